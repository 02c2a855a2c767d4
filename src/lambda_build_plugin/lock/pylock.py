"""Read a `pylock.toml` (PEP 751)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock import fields, made_from, pdm_freshness, pdm_sources
from lambda_build_plugin.lock.errors import (
    InvalidLockError,
    MissingHashError,
    StaleLockError,
    UnsupportedLockError,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.model import (
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.fields import Context

__all__ = ["OURS", "read"]

OURS = "lambda-build-plugin"
"""The `created-by` of locks that `lambda-build lock` made."""

_REMEDY = "uv export --format pylock.toml --no-default-groups --no-emit-project -o pylock.toml"
"""For locks made by an unknown tool; `uv` reads any project with standard tables.

It leaves out the default groups, because the format cannot tell them from the
dependencies of the project.
"""

_FORMAT = FORMATS["pylock.toml"]

_REMEDIES = {
    "uv": _REMEDY,
    "pdm": FORMATS["pdm.lock"].command,
    "poetry-plugin-export": "poetry export --format pylock.toml --output pylock.toml",
    "pip": "pip lock",
}

_MEMBERSHIP_KEYS = ("extras", "dependency-groups", "default-groups")
"""Keys that say which package belongs to which extra or group."""

_REQUIREMENT = re.compile(
    r"""\s*(?:-|[a-z0-9][\w.-]*(?:\[[^]]*\])?\s*(?:[=<>~!]=|[<>@])[^"']*$)""", re.IGNORECASE
)


def read(path: Path, context: Context) -> Lock:
    """Read a pylock.toml.

    Raises:
        LockError: It is not valid, has an unknown version, or lacks digests.
    """
    try:
        data = context.read_toml(path)
        return _Reader(path, data, context).lock()
    except TableError as error:
        raise InvalidLockError(path, str(error), hint=_hint(path)) from error


def _hint(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    if _REQUIREMENT.match(first):
        return (
            "this looks like a requirements file: give it a name that ends in .txt, such as "
            f"requirements.txt, or make a real pylock.toml: `{_REMEDY}`"
        )
    return "make it again with the tool that wrote it; locks are not meant to be edited by hand"


class _Reader:
    """Reads one file, and keeps what all its parts need."""

    def __init__(self, path: Path, data: Table, context: Context) -> None:
        self._path = path
        self._data = data
        self._context = context
        self._without_hash: list[str] = []
        self._created_by = data.text("created-by") or ""
        self._of_environment = self._is_of_environment()
        self._remedy = (
            _FORMAT.command if self._of_environment else _REMEDIES.get(self._created_by, _REMEDY)
        )

    def lock(self) -> Lock:
        warnings = tuple(self._check_version())
        data = self._data
        if "packages" not in data:
            raise TableError(data.at, "the required key `packages` is missing")
        by_pdm = data.text("created-by") == "pdm"
        lock = Lock(
            path=self._path,
            kind=_FORMAT.name,
            remedy=self._remedy,
            group_remedy=pdm_freshness.MORE_GROUPS if by_pdm else "",
            target_remedy=pdm_freshness.ONE_MORE_TARGET if by_pdm else "",
            indexes=pdm_sources.indexes(self._context.project, self._context.environ)
            if by_pdm
            else IndexOptions(),
            requires_python=fields.specifier(data, "requires-python"),
            environments=tuple(
                fields.parsed_marker(text, data.place(f"environments[{index}]"))
                for index, text in enumerate(data.texts("environments"))
            ),
            extras=fields.names(data, "extras"),
            groups=fields.names(data, "dependency-groups") | fields.names(data, "default-groups"),
            default_groups=fields.names(data, "default-groups"),
            packages=tuple(
                package
                for table in data.tables("packages")
                if (package := self._package(table)) is not None
            ),
            of_environment=self._of_environment,
            warnings=warnings,
        )
        if self._without_hash:
            raise MissingHashError(self._path, self._without_hash, remedy=self._remedy)
        self._check_fresh(lock)
        return lock

    def _is_of_environment(self) -> bool:
        """Tell whether the lock mixes the project's requirements with others.

        `hatch lock` mixes them with the dependencies of an environment, and our own lock
        has those of all extras and groups that it was made for. The format could tell them
        apart, but uv, which makes both, does not. Locks of other tools are taken as they are.
        """
        project = self._context.project
        if "project" not in project.pyproject or any(key in self._data for key in _MEMBERSHIP_KEYS):
            return False
        return (
            self._created_by == OURS
            or "hatch" in project.tool
            or (project.root / "hatch.toml").is_file()
        )

    def _check_fresh(self, lock: Lock) -> None:
        """Compare with pyproject.toml, if the lock records what it was made from."""
        self._check_our_record()
        noted, project = self._data.table("tool").table("pdm"), self._context.project
        if self._context.lock_is_fresh or not {"hashes", "lock_inputs"} & set(noted):
            return
        if pdm_freshness.is_foreign(project):
            return
        found = pdm_freshness.differences(
            project,
            noted,
            locked_hash=noted.table("hashes").text("sha256") or "",
            packages=lock.packages,
        )
        if found:
            raise StaleLockError(self._path, found, remedy=self._remedy)

    def _check_our_record(self) -> None:
        """Compare with pyproject.toml, if `lambda-build lock` made the lock for this project."""
        locked, project = made_from.read_record(self._data), self._context.project
        is_ours = locked is not None and self._path.resolve().parent == project.root
        if locked is None or not is_ours or self._context.lock_is_fresh:
            return
        if found := made_from.differences(locked, project):
            name = self._path.name
            output = "" if name == _FORMAT.default_names[0] else f" --output {name}"
            raise StaleLockError(self._path, found, remedy=f"{locked.command}{output}")

    def _check_version(self) -> Iterator[str]:
        """Accept 1.x (PEP 751: a higher minor may be read with a warning)."""
        version = self._data.required_text("lock-version")
        major, _, minor = version.partition(".")
        if major != "1":
            raise UnsupportedLockError(
                self._path,
                f"its lock-version is {version}, but this version reads 1.x (PEP 751)",
                hint="update lambda-build-plugin, or lock with an older version of the tool",
            )
        if minor != "0":
            yield f"{self._path.name} has lock-version {version}, but this version only knows 1.0"

    def _package(self, table: Table) -> LockedPackage | None:
        """Read one package; None for the project itself, which is built from its source."""
        sources = [key for key in ("vcs", "directory", "archive") if key in table]
        if len(sources) + ("sdist" in table or "wheels" in table) != 1:
            raise TableError(
                table.at, "exactly one of vcs, directory, archive, or sdist and wheels must be set"
            )
        directory = self._directory(table)
        if directory is not None and fields.is_project(
            directory.path / (directory.subdirectory or ""), self._context.project
        ):
            return None
        archive = self._file(table.table("archive")) if "archive" in table else None
        wheels = [self._file(wheel) for wheel in table.tables("wheels")]
        if archive is not None and (archive.filename or "").endswith(".whl"):
            wheels, archive = (
                [archive],
                None,
            )  # PDM writes a wheel that a requirement names as an archive
        return LockedPackage(
            name=fields.name(table),
            version=fields.version(table),
            at=f"{table.at} ({table.text('name')})",
            marker=fields.marker(table),
            requires_python=fields.specifier(table, "requires-python"),
            index=table.text("index"),
            wheels=tuple(wheels),
            sdist=self._file(table.table("sdist")) if "sdist" in table else None,
            archive=archive,
            directory=directory,
            vcs=self._vcs(table.table("vcs")) if "vcs" in table else None,
        )

    def _file(self, table: Table) -> LockedFile:
        url, path = table.text("url"), table.text("path")
        if url is None and path is None:
            raise TableError(table.at, "one of `url` and `path` must be set")
        hashes = table.table("hashes")
        digest = fields.digest_of(table, {key: hashes.required_text(key) for key in hashes})
        filename = table.text("name") or fields.filename(table, path or url or "")
        if digest is None:
            self._without_hash.append(f"{table.at} ({filename})")
        return LockedFile(
            filename=filename,
            url=None if path and url and url.startswith("file:") else url,
            path=self._path.parent / path if path else None,
            digest=digest,
            size=table.number("size"),
            subdirectory=table.text("subdirectory"),
        )

    def _directory(self, table: Table) -> LockedDirectory | None:
        if "directory" not in table:
            return None
        directory = table.table("directory")
        return LockedDirectory(
            path=self._path.parent / directory.required_text("path"),
            editable=directory.flag("editable") or False,
            subdirectory=directory.text("subdirectory"),
        )

    def _vcs(self, table: Table) -> LockedVcs:
        url, path = table.text("url"), table.text("path")
        if url is None and path is None:
            raise TableError(table.at, "one of `url` and `path` must be set")
        return LockedVcs(
            kind=table.required_text("type"),
            url=url or str(self._path.parent / (path or "")),
            commit=table.required_text("commit-id"),
            subdirectory=table.text("subdirectory"),
        )
