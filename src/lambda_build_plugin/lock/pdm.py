"""Read a `pdm.lock`: lock versions 4.4 (PDM 2.10) to 4.5.1.

With the strategy `inherit_metadata`, PDM's default now, the lock is flat: each package
names its groups and the marker under which they need it. Without it, the lock is a graph
whose walk begins at the requirements of pyproject.toml. An entry with `extras` repeats
a package and adds what these extras need. The lock targets tell for which platforms and
Python versions it was made. It does not say from which index a package comes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.tables import Table, TableError, stamp_of
from lambda_build_plugin.lock import fields, pdm_freshness, pdm_sources
from lambda_build_plugin.lock.errors import (
    MissingHashError,
    StaleLockError,
    UnsupportedLockError,
    well_formed,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    VCS_KINDS,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    Roots,
)
from lambda_build_plugin.lock.pdm_graph import Edges, entries_of
from lambda_build_plugin.lock.pdm_groups import DEFAULT, extras_of, lines_by_group
from lambda_build_plugin.lock.pdm_targets import environment, python_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.tables import Stamp
    from lambda_build_plugin.lock.fields import Context
    from lambda_build_plugin.lock.pdm_graph import Entry

__all__ = ["read"]

_FORMAT = FORMATS["pdm.lock"]
_REMEDY = _FORMAT.command
_OLDEST = Version("4.4")
_NEWEST = pdm_freshness.NEWEST
_NEVER = 'python_version < "0"'
_EMPTY = "<empty>"
"""How PDM writes a marker that never holds."""

_WILDCARD = re.compile(r"(?<![=!])(<=|>=|<|>)(\s*[\d.]+)\.\*")


def read(path: Path, context: Context) -> Lock:
    """Read a pdm.lock.

    Raises:
        LockError: It cannot be read, has an unknown version, is out of date, or lacks digests.
    """
    with well_formed(path, remedy=_REMEDY):
        return _Reader(path, _parsed(path, stamp_of(path), context.read_toml), context).lock()


@lru_cache(maxsize=1)
def _parsed(path: Path, _stamp: Stamp, read_toml: Callable[[Path], Table]) -> Table:
    """Parse a lock once for all members of a workspace, and again if the file has changed."""
    return read_toml(path)


class _Reader:
    """Reads one file, and keeps what all its parts need."""

    def __init__(self, path: Path, data: Table, context: Context) -> None:
        self._path = path
        self._data = data
        self._metadata = data.table("metadata")
        self._context = context
        self._locked = pdm_freshness.locked_project(path.parent, context.project)
        """The project that PDM locked: the root of the workspace for all its members."""
        self._without_hash: list[str] = []

    def lock(self) -> Lock:
        version, project = self._version(), self._context.project
        strategy = self._strategy()
        entries = entries_of(self._data.tables("package"))
        packages = tuple(self._package(entry.table) for entry in entries)
        if not self._context.lock_is_fresh:
            self._check_fresh(version, packages)
        extras, locked = extras_of(project), self._groups()
        lock = Lock(
            path=self._path,
            kind=_FORMAT.name,
            remedy=_REMEDY,
            group_remedy=pdm_freshness.MORE_GROUPS,
            target_remedy=pdm_freshness.ONE_MORE_TARGET,
            packages=packages,
            requires_python=project.requires_python,
            environments=tuple(map(environment, self._metadata.tables("targets"))),
            extras=locked & extras,
            groups=locked - extras,
            default_groups=frozenset({DEFAULT}),
            indexes=pdm_sources.indexes(self._locked, self._context.environ),
            warnings=tuple(self._warnings(version, strategy)),
        )
        # The groups of a workspace contain all its members, so the requirements of the
        # project decide which packages it needs.
        if "inherit_metadata" in strategy and self._locked is project:
            lock = self._flat(lock, entries, extras)
        else:
            lock = self._graph(lock, entries, locked, extras)
        if self._without_hash:
            raise MissingHashError(self._path, self._without_hash, remedy=_REMEDY)
        return lock

    def _version(self) -> Version:
        """Read the version: PDM accepts every higher patch version, but no higher minor one."""
        version = fields.version(self._metadata, "lock_version") or Version("0")
        if version >= _OLDEST and version.release[:2] <= _NEWEST.release[:2]:
            return version
        remedy = f"lock again with PDM 2.10 or later: `{_REMEDY}`"
        raise UnsupportedLockError(
            self._path,
            f"its lock_version is {self._metadata.text('lock_version') or 'not stated'}, "
            "but this version of lambda-build-plugin reads 4.4 to 4.5",
            hint=remedy if version < _OLDEST else f"update lambda-build-plugin, or {remedy}",
        )

    def _strategy(self) -> frozenset[str]:
        """Read how the lock was made, with the default that PDM has."""
        if "strategy" not in self._metadata:
            return frozenset({"cross_platform"})
        return frozenset(self._metadata.texts("strategy"))

    def _warnings(self, version: Version, strategy: frozenset[str]) -> Iterator[str]:
        name = self._path.name
        if version > _NEWEST:
            yield f"{name} has lock_version {version}, but the newest known one is {_NEWEST}"
        if "targets" not in self._metadata and "cross_platform" not in strategy:
            yield (
                f"{name} was locked for a single platform and does not say which: "
                f"lock again with PDM 2.17 or later, `{_REMEDY}`"
            )
        if pdm_freshness.is_foreign(self._locked) and not self._context.lock_is_fresh:
            yield (
                f"{name} is assumed to be up to date: only PDM itself can compare it with "
                "the tables of another tool (`pdm lock --check`)"
            )

    def _check_fresh(self, version: Version, packages: Sequence[LockedPackage]) -> None:
        """Compare with pyproject.toml, as `pdm lock --check` does."""
        project, metadata = self._locked, self._metadata
        if pdm_freshness.is_foreign(project):
            return
        found = pdm_freshness.differences(
            project,
            metadata,
            locked_hash=(metadata.text("content_hash") or "").removeprefix("sha256:"),
            packages=packages,
            version=version,
        )
        if found:
            raise StaleLockError(self._path, found, remedy=_REMEDY)

    def _groups(self) -> frozenset[NormalizedName]:
        if "groups" in self._metadata:
            return fields.names(self._metadata, "groups")
        return frozenset(lines_by_group(self._locked))

    def _package(self, table: Table) -> LockedPackage:
        package = LockedPackage(
            name=fields.name(table),
            version=fields.version(table),
            at=f"{table.at} ({table.text('name')})",
            requires_python=_requires_python(table),
        )
        if kind := next((key for key in VCS_KINDS if key in table), None):
            return replace(package, vcs=_commit(table, kind))
        path, url = table.text("path"), table.text("url")
        root = f"{pdm_sources.PROJECT_ROOT}/"
        if url is not None and url.startswith(root):
            # PDM writes a URL for a path that did not exist when it locked.
            path = url.removeprefix(root)
        if path is None and url is None:
            files = self._files(table)
            return replace(
                package,
                wheels=tuple(file for file in files if fields.is_wheel(file)),
                sdist=next((file for file in files if not fields.is_wheel(file)), None),
            )
        if path is not None and not fields.is_archive(path):
            directory = LockedDirectory(
                path=self._path.parent / path, editable=table.flag("editable") or False
            )
            return replace(package, directory=_within(directory, table.text("subdirectory")))
        return self._with_one_file(package, table, path, url)

    def _with_one_file(
        self, package: LockedPackage, table: Table, path: str | None, url: str | None
    ) -> LockedPackage:
        """Read a package that is locked as a single file, on this machine or at a URL."""
        name = fields.filename(table, path or (url or "").partition("#")[0])
        files = self._files(table)
        if not files:
            self._without_hash.append(table.at)
            files = [LockedFile(filename=name, digest=None)]
        file = next((each for each in files if each.filename == name), files[0])
        file = replace(
            file,
            path=None if path is None else self._path.parent / path,
            url=self._expanded(url) if path is None else None,
            subdirectory=table.text("subdirectory"),
        )
        return fields.with_file(package, file)

    def _expanded(self, url: str | None) -> str | None:
        """Fill in the variables of a URL, such as a token; the lock only has their names."""
        return url and pdm_sources.expanded(url, self._locked, self._context.environ)

    def _files(self, table: Table) -> list[LockedFile]:
        files = []
        for file in table.tables("files"):
            algorithm, _, value = file.required_text("hash").partition(":")
            digest = fields.digest_of(file, {algorithm: value})
            if digest is None:
                self._without_hash.append(file.at)
            url = file.text("url")
            name = file.required_text("file") if url is None else fields.filename(file, url)
            files.append(LockedFile(filename=name, url=url, digest=digest))
        return files

    def _flat(
        self, lock: Lock, entries: Sequence[Entry], extras: frozenset[NormalizedName]
    ) -> Lock:
        """Give each package the marker under which it ships; an entry with extras adds none."""
        packages = tuple(
            replace(package, marker=_gated(entry.table, extras))
            for package, entry in zip(lock.packages, entries, strict=True)
            if entry.base is None
        )
        return replace(
            lock, packages=packages, project=fields.project_index(packages, self._context.project)
        )

    def _graph(
        self,
        lock: Lock,
        entries: Sequence[Entry],
        locked: frozenset[NormalizedName],
        extras: frozenset[NormalizedName],
    ) -> Lock:
        """Give the lock its edges."""
        project = self._context.project
        if pdm_freshness.is_foreign(project):
            raise UnsupportedLockError(
                self._path,
                "it does not say which packages belong to which group, and only PDM can read the "
                "groups of a project without a [project] table",
                hint=f"lock the groups of each package: `{_REMEDY} --strategy inherit_metadata`",
            )
        edges = Edges(entries, project, self._locked, self._path.parent)
        packages = [
            _with_edges(package, entry, edges)
            for package, entry in zip(lock.packages, entries, strict=True)
        ]
        at = project.pyproject.at
        groups = {
            name: edges.of_lines(lines, f"{at}: the group {name}")
            for name, lines in lines_by_group(project).items()
            if name in locked
        }
        roots = Roots(
            extras={name: found for name, found in groups.items() if name in extras},
            groups={name: found for name, found in groups.items() if name not in extras},
            loose=True,
        )
        if not project.is_package:
            return replace(lock, packages=tuple(packages), roots=roots)
        # If a locked package needs the project, everything that the project needs ships.
        itself = LockedPackage(
            name=project.name, at=at, edges=groups.get(DEFAULT, ()), extra_edges=roots.extras
        )
        own = len(packages)
        return replace(lock, packages=(*packages, itself), roots=roots, project=own)


def _with_edges(package: LockedPackage, entry: Entry, edges: Edges) -> LockedPackage:
    return replace(
        package,
        marker=python_marker(package.requires_python),
        virtual=entry.base is not None,
        edges=edges.of_entry(entry),
    )


def _commit(table: Table, kind: str) -> LockedVcs:
    revision = table.text("revision")
    if revision is None:
        raise TableError(
            table.at,
            "an editable checkout is locked without its commit: remove the `-e` from its "
            "requirement",
        )
    return LockedVcs(
        kind=kind,
        url=table.required_text(kind),
        commit=revision,
        subdirectory=table.text("subdirectory"),
    )


def _within(directory: LockedDirectory, subdirectory: str | None) -> LockedDirectory:
    return replace(directory, subdirectory=subdirectory) if subdirectory else directory


def _requires_python(table: Table) -> SpecifierSet | None:
    """Read a range as PDM does, also `>=3.6.*`, which PEP 440 does not allow."""
    text = table.text("requires_python")
    if text is None:
        return None
    legacy = _WILDCARD.sub(lambda match: f"{match[1].replace('<=', '<').rstrip()}{match[2]}", text)
    return fields.specifier(Table({"requires_python": legacy}, at=table.at), "requires_python")


def _gated(table: Table, extras: frozenset[NormalizedName]) -> LockMarker | None:
    """Join the groups and the marker of a package into one marker of PEP 751."""
    condition = table.text("marker")
    gate = " or ".join(
        f'"{name}" in {"extras" if name in extras else "dependency_groups"}'
        for name in map(canonicalize_name, table.texts("groups"))
    )
    if condition == _EMPTY:
        return LockMarker(_NEVER, shown=_EMPTY)
    if not condition:
        return LockMarker(gate) if gate else None
    marker = fields.parsed_marker(condition, table.place("marker"))
    return LockMarker(f"({gate}) and ({condition})", shown=condition) if gate else marker
