"""Read a `poetry.lock`: lock versions 2.0 (Poetry 1.5 to 1.8) and 2.1 (Poetry 2).

A 2.1 lock is flat: each package names its groups and the marker under which each of
them needs it. A 2.0 lock is a graph without groups; the walk begins at the
requirements of pyproject.toml. Files are known by name and digest, never by URL.
Poetry's own content hash tells whether the lock is up to date.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock import fields, poetry_fields, poetry_freshness, poetry_graph
from lambda_build_plugin.lock.errors import (
    MissingHashError,
    StaleLockError,
    UnsupportedLockError,
    well_formed,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
)
from lambda_build_plugin.lock.unmet import unmet, versions_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.fields import Context

__all__ = ["read"]

_FORMAT = FORMATS["poetry.lock"]
_REMEDY = _FORMAT.command
_OLDEST, _FLAT, _UNKNOWN, _NEXT = Version("2.0"), Version("2.1"), Version("2.2"), Version("3")


def read(path: Path, context: Context) -> Lock:
    """Read a poetry.lock.

    Raises:
        LockError: It cannot be read, has an unknown version, is out of date, or lacks digests.
    """
    with well_formed(path, remedy=_REMEDY):
        return _Reader(path, context.read_toml(path), context).lock()


class _Reader:
    """Reads one file, and keeps what all its parts need."""

    def __init__(self, path: Path, data: Table, context: Context) -> None:
        self._path = path
        self._metadata = data.table("metadata")
        self._data = data
        self._context = context
        self._without_hash: list[str] = []

    def lock(self) -> Lock:
        version = self._version()
        pyproject = self._context.project.pyproject
        self._check_fresh(pyproject)
        lock = Lock(
            path=self._path,
            kind=_FORMAT.name,
            remedy=_REMEDY,
            packages=tuple(map(self._package, self._data.tables("package"))),
            extras=frozenset(map(canonicalize_name, self._data.table("extras"))),
            groups=frozenset(_group_names(pyproject, flat=version >= _FLAT)),
            default_groups=frozenset({poetry_fields.MAIN}),
            indexes=_indexes(pyproject, flat=version >= _FLAT),
            warnings=tuple(self._warnings(version)),
        )
        project = fields.project_index(lock.packages, self._context.project)
        lock = replace(_bound_to_python(lock, self._metadata), project=project)
        lock = (
            _flat(lock, self._data)
            if version >= _FLAT
            else poetry_graph.with_edges(lock, self._data, pyproject)
        )
        if self._without_hash:
            raise MissingHashError(self._path, self._without_hash, remedy=_REMEDY)
        return lock

    def _version(self) -> Version:
        version = fields.version(self._metadata, "lock-version") or Version("0")
        if _OLDEST <= version < _NEXT:
            return version
        remedy = f"lock again with Poetry 2: `{_REMEDY}`"
        raise UnsupportedLockError(
            self._path,
            f"its lock-version is {self._metadata.text('lock-version') or 'not stated'}, "
            "but this version of lambda-build-plugin reads 2.x",
            hint=remedy if version < _NEXT else f"update lambda-build-plugin, or {remedy}",
        )

    def _warnings(self, version: Version) -> Iterator[str]:
        if version >= _UNKNOWN:
            yield (
                f"{self._path.name} has lock-version {version}, "
                "but this version only knows 2.0 and 2.1"
            )

    def _check_fresh(self, pyproject: Table) -> None:
        if self._context.lock_is_fresh:
            return
        locked = self._metadata.text("content-hash")
        if not poetry_freshness.is_fresh(self._path, pyproject, locked_hash=locked):
            raise StaleLockError(
                self._path,
                [
                    *self._changes(),
                    "- the content hash of pyproject.toml does not match the one in the lock",
                ],
                remedy=_REMEDY,
            )

    def _changes(self) -> Iterator[str]:
        tables = self._data.tables("package")
        packages = tuple(map(self._package, tables))
        needed = {
            canonicalize_name(name) for table in tables for name in table.table("dependencies")
        }
        asked = [*poetry_freshness.asked(self._context.project)]
        yield from unmet(asked, versions_by_name(packages), needed=needed)

    def _package(self, table: Table) -> LockedPackage:
        package = LockedPackage(
            name=fields.name(table),
            version=fields.version(table),
            at=f"{table.at} ({table.text('name')})",
        )
        source = table.table("source")
        match source.text("type"):
            case "directory":
                directory = LockedDirectory(
                    path=self._path.parent / source.required_text("url"),
                    editable=table.flag("develop") or False,
                )
                return replace(package, directory=directory)
            case "git":
                return replace(package, vcs=_commit(source))
            case "file" | "url" as kind:
                return self._with_one_file(package, table, source, kind)
            case None | "legacy" as kind:
                files = self._files(table)
                return replace(
                    package,
                    index=source.required_text("url") if kind else None,
                    wheels=tuple(file for file in files if fields.is_wheel(file)),
                    sdist=next((file for file in files if not fields.is_wheel(file)), None),
                )
            case kind:
                raise TableError(source.place("type"), f"`{kind}` is not a known type of source")

    def _with_one_file(
        self, package: LockedPackage, table: Table, source: Table, kind: str
    ) -> LockedPackage:
        """Read a package that is locked as a single file, on this machine or at a URL."""
        location = source.required_text("url")
        name = fields.filename(source, location)
        files = self._files(table)
        if not files:
            self._without_hash.append(table.at)
            files = [LockedFile(filename=name, digest=None)]
        file = next((each for each in files if each.filename == name), files[0])
        if kind == "file":
            file = replace(file, path=self._path.parent / location)
        else:
            file = replace(file, url=location, subdirectory=source.text("subdirectory"))
        return fields.with_file(package, file)

    def _files(self, table: Table) -> list[LockedFile]:
        files = []
        for file in table.tables("files"):
            algorithm, _, value = file.required_text("hash").partition(":")
            digest = fields.digest_of(file, {algorithm: value})
            if digest is None:
                self._without_hash.append(file.at)
            files.append(LockedFile(filename=file.required_text("file"), digest=digest))
        return files


def _commit(source: Table) -> LockedVcs:
    url = source.required_text("url")
    # Poetry writes `file:///repository` with the host that Python finds there: None.
    url = re.sub(r"^file://None/", "file:///", url)
    return LockedVcs(
        kind="git",
        url=url,
        commit=source.required_text("resolved_reference"),
        subdirectory=source.text("subdirectory"),
    )


def _bound_to_python(lock: Lock, metadata: Table) -> Lock:
    """Restrict the lock to the Python versions that it was made for."""
    constraint = poetry_fields.constraint(metadata, "python-versions")
    if constraint.specifier is not None:
        return replace(lock, requires_python=constraint.specifier)
    return replace(lock, environments=(LockMarker(constraint.python_marker),))


def _group_names(pyproject: Table, *, flat: bool) -> Iterator[NormalizedName]:
    """Name the groups that can be requested; in a graph, only those of Poetry 1."""
    poetry = pyproject.table("tool").table("poetry")
    yield poetry_fields.MAIN
    yield from map(canonicalize_name, poetry.table("group"))
    if "dev-dependencies" in poetry:
        yield poetry_fields.DEV
    if flat:
        yield from map(canonicalize_name, pyproject.table("dependency-groups"))


def _indexes(pyproject: Table, *, flat: bool) -> IndexOptions:
    """Put Poetry's sources into the order in which they are asked.

    A package that is not from the default index is locked with its source and is only
    looked for there. This order is for the other packages, which never come from an
    explicit source.
    """
    primary: list[str] = []
    supplemental: list[str] = []
    named: list[tuple[str, str]] = []
    replaced = False
    for source in pyproject.table("tool").table("poetry").tables("source"):
        name, url = source.required_text("name"), source.text("url")
        if url is None:  # PyPI, whose URL is known
            continue
        named.append((name, url))
        priority = source.text("priority") or _old_priority(source)
        if priority in {"primary", "default"}:
            primary.append(url)
            # With Poetry 1 a primary source stood beside the default index.
            replaced |= flat or priority == "default"
        elif priority != "explicit":
            supplemental.append(url)
    keeps_default = not replaced or any(
        source.required_text("name").lower() == "pypi"
        for source in pyproject.table("tool").table("poetry").tables("source")
    )
    if keeps_default:
        # Packages without a source came from it, and no other index learns their names.
        return IndexOptions(named=tuple(named))
    return IndexOptions(
        index_url=primary[-1],
        extra_index_urls=tuple(primary[:-1]),
        supplemental_urls=tuple(supplemental),
        named=tuple(named),
    )


def _old_priority(source: Table) -> str:
    """Read the flags that Poetry had before priorities (1.4 and older)."""
    if source.flag("secondary"):
        return "supplemental"
    return "default" if source.flag("default") else "primary"


def _flat(lock: Lock, data: Table) -> Lock:
    """Give each package the marker under which it ships, including its groups."""
    packages = (
        replace(
            package,
            marker=_gated(table),
            requires_python=poetry_fields.constraint(table, "python-versions").specifier,
        )
        for package, table in zip(lock.packages, data.tables("package"), strict=True)
    )
    return replace(lock, packages=tuple(packages))


def _gated(table: Table) -> LockMarker:
    """Join the groups of a package, each with its marker, in the words of PEP 751."""
    groups = table.texts("groups")
    if not groups:
        raise TableError(table.at, "the required key `groups` is missing")
    alternatives: list[str] = []
    markers: dict[str, None] = {}
    for group in groups:
        gate = f'"{canonicalize_name(group)}" in dependency_groups'
        per_group = isinstance(table.raw("markers"), dict)
        condition = table.table("markers").text(group) if per_group else table.text("markers")
        alternatives.append(f"{gate} and ({condition})" if condition else gate)
        markers[condition or ""] = None
    if len(alternatives) > 1:
        alternatives = [f"({alternative})" for alternative in alternatives]
    marker = fields.parsed_marker(" or ".join(alternatives), table.place("markers"))
    return replace(marker, shown=" or ".join(markers)) if "" not in markers else marker
