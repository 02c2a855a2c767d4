"""`pdm.lock` → `Lock`: lock versions 4.4 (PDM 2.10) to 4.5.1.

With the strategy `inherit_metadata`, PDM's default now, the lock is flat: each package
names its groups and the marker under which they need it. Without, it is a graph
whose walk begins at the requirements of pyproject.toml. An entry with `extras` repeats
a package and adds what these extras need. The lock targets tell which platforms and
Pythons it was made for. Nothing tells from which index a package comes.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin import urls
from lambda_build_plugin.config.tables import Table, TableError, read_toml
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
    Edge,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    Roots,
    sdist_suffixes,
)
from lambda_build_plugin.lock.pdm_groups import DEFAULT, extras_of, lines_by_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.fields import Context

__all__ = ["read"]

_FORMAT = FORMATS["pdm.lock"]
_REMEDY = _FORMAT.command
_OLDEST = Version("4.4")
_NEWEST = pdm_freshness.NEWEST
_VCS = ("git", "hg", "svn", "bzr")
_NEVER = 'python_version < "0"'
_EMPTY = "<empty>"
"""How PDM prints a marker that never holds."""

_ROOT = "${PROJECT_ROOT}"
_MANYLINUX = re.compile(r"manylinux_\d+_\d+_(\w+)")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_WILDCARD = re.compile(r"(?<![=!])(<=|>=|<|>)(\s*[\d.]+)\.\*")
_PLACE = re.compile(
    r"(?:(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?\s+@\s+)?"
    r"(?P<url>[^\s;]+?)(?:\[(?P<path_extras>[^]]*)\])?(?:\s*;\s*(?P<marker>.+))?"
)
_EGG = re.compile(r"[#&]egg=(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?")


def read(path: Path, context: Context) -> Lock:
    """Read a pdm.lock.

    Raises:
        LockError: It cannot be read, is of another version, stale, or without digests.
    """
    with well_formed(path, remedy=_REMEDY):
        return _Reader(path, read_toml(path), context).lock()


class _Reader:
    """Reads one file; holds what every part of it needs to know."""

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
        entries = _entries(self._data.tables("package"))
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
            environments=tuple(map(_environment, self._metadata.tables("targets"))),
            extras=locked & extras,
            groups=locked - extras,
            default_groups=frozenset({DEFAULT}),
            indexes=pdm_sources.indexes(self._locked, self._context.environ),
            warnings=tuple(self._warnings(version, strategy)),
        )
        # To the groups of a workspace belong all its members: which of them one needs, the
        # requirements tell.
        if "inherit_metadata" in strategy and self._locked is project:
            lock = self._flat(lock, entries, extras)
        else:
            lock = self._graph(lock, entries, locked, extras)
        if self._without_hash:
            raise MissingHashError(self._path, self._without_hash, remedy=_REMEDY)
        return lock

    def _version(self) -> Version:
        """Read the version: PDM reads every higher patch level, but no higher minor one."""
        version = fields.version(self._metadata, "lock_version") or Version("0")
        if version >= _OLDEST and version.release[:2] <= _NEWEST.release[:2]:
            return version
        remedy = f"lock again with PDM 2.10 or later: `{_REMEDY}`"
        raise UnsupportedLockError(
            self._path,
            f"its lock_version is {self._metadata.text('lock_version') or 'not stated'}; "
            "this version of lambda-build-plugin reads 4.4 to 4.5",
            hint=remedy if version < _OLDEST else f"update lambda-build-plugin, or {remedy}",
        )

    def _strategy(self) -> frozenset[str]:
        """Read how the lock was made, as PDM does where a key is not there."""
        if "strategy" not in self._metadata:
            return frozenset({"cross_platform"})
        return frozenset(self._metadata.texts("strategy"))

    def _warnings(self, version: Version, strategy: frozenset[str]) -> Iterator[str]:
        name = self._path.name
        if version > _NEWEST:
            yield f"{name} has lock_version {version}; {_NEWEST} is the newest that is known here"
        if "targets" not in self._metadata and "cross_platform" not in strategy:
            yield (
                f"{name} was locked for one platform and does not say for which: "
                f"lock again with PDM 2.17 or later, `{_REMEDY}`"
            )
        if pdm_freshness.is_foreign(self._locked) and not self._context.lock_is_fresh:
            yield (
                f"{name} is taken as fresh: only PDM itself can compare it with tables of "
                "another tool, `pdm lock --check`"
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
        if kind := next((key for key in _VCS if key in table), None):
            return replace(package, vcs=_commit(table, kind))
        path, url = table.text("path"), table.text("url")
        if url is not None and url.startswith(f"file:///{_ROOT}/"):
            path = url.removeprefix(f"file:///{_ROOT}/")  # what was not there when it was locked
        if path is None and url is None:
            files = self._files(table)
            return replace(
                package,
                wheels=tuple(file for file in files if _is_wheel(file)),
                sdist=next((file for file in files if not _is_wheel(file)), None),
            )
        if path is not None and not _is_archive(path):
            directory = LockedDirectory(
                path=self._path.parent / path, editable=table.flag("editable") or False
            )
            return replace(package, directory=_within(directory, table.text("subdirectory")))
        return self._with_one_file(package, table, path, url)

    def _with_one_file(
        self, package: LockedPackage, table: Table, path: str | None, url: str | None
    ) -> LockedPackage:
        """Read what is locked as one file: on this machine, or at a URL."""
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
        if _is_wheel(file):
            return replace(package, wheels=(file,))
        return replace(package, archive=file)

    def _expanded(self, url: str | None) -> str | None:
        """Fill in the variables of a URL, such as a token: the lock does not hold their values."""
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
        self, lock: Lock, entries: Sequence[_Entry], extras: frozenset[NormalizedName]
    ) -> Lock:
        """Give each package the marker under which it ships; an entry with extras adds none."""
        packages = tuple(
            replace(package, marker=_gated(entry.table, extras))
            for package, entry in zip(lock.packages, entries, strict=True)
            if entry.base is None
        )
        return replace(lock, packages=packages, project=self._project(packages))

    def _project(self, packages: Sequence[LockedPackage]) -> int | None:
        """Find the project itself, where a requirement leads back to it."""
        for index, package in enumerate(packages):
            if package.directory is not None and fields.is_project(
                package.directory.path, self._context.project
            ):
                return index
        return None

    def _graph(
        self,
        lock: Lock,
        entries: Sequence[_Entry],
        locked: frozenset[NormalizedName],
        extras: frozenset[NormalizedName],
    ) -> Lock:
        """Give the lock its edges."""
        project = self._context.project
        if pdm_freshness.is_foreign(project):
            raise UnsupportedLockError(
                self._path,
                "its packages do not tell their groups, and only PDM can read those of a project "
                "without a [project] table",
                hint=f"let them tell: `{_REMEDY} --strategy inherit_metadata`",
            )
        edges = _Edges(entries, project, self._locked, self._path.parent)
        packages = [
            replace(
                package,
                marker=_python_marker(package.requires_python),
                virtual=entry.base is not None,
                edges=edges.of_entry(entry),
            )
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
        # What is locked may need the project: then all that the project needs ships.
        itself = LockedPackage(
            name=project.name, at=at, edges=groups.get(DEFAULT, ()), extra_edges=roots.extras
        )
        own = len(packages)
        return replace(lock, packages=(*packages, itself), roots=roots, project=own)


_Key = tuple["NormalizedName", frozenset["NormalizedName"]]


# --- entries --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One `[[package]]` table, and its relation to the others."""

    table: Table
    key: _Key
    """Name and extras: what requirements ask for."""

    place: str | None
    """Where it lies, if an index does not have it: a path or a URL."""

    base: int | None = None
    """Place of the entry that it repeats because of extras."""


def _entries(tables: Sequence[Table]) -> list[_Entry]:
    found = []
    bases: dict[tuple[NormalizedName, str | None, str | None], int] = {}
    for index, table in enumerate(tables):
        name, extras = fields.name(table), fields.names(table, "extras")
        place = next((text for key in (*_VCS, "path", "url") if (text := table.text(key))), None)
        found.append(_Entry(table=table, key=(name, extras), place=place))
        if not extras:
            bases[name, table.text("version"), place] = index
    return [
        replace(entry, base=bases.get((entry.key[0], entry.table.text("version"), entry.place)))
        if entry.key[1]
        else entry
        for entry in found
    ]


def _commit(table: Table, kind: str) -> LockedVcs:
    revision = table.text("revision")
    if revision is None:
        raise TableError(
            table.at,
            "a checkout that is editable is locked without its commit; take the `-e` from its "
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


def _is_wheel(file: LockedFile) -> bool:
    return (file.filename or "").endswith(".whl")


def _is_archive(path: str) -> bool:
    return path.endswith((".whl", *sdist_suffixes))


def _requires_python(table: Table) -> SpecifierSet | None:
    """Read a range as PDM does: of old packages `>=3.6.*`, too, which PEP 440 has not."""
    text = table.text("requires_python")
    if text is None:
        return None
    legacy = _WILDCARD.sub(lambda match: f"{match[1].replace('<=', '<').rstrip()}{match[2]}", text)
    return fields.specifier(Table({"requires_python": legacy}, at=table.at), "requires_python")


# --- lock targets ---------------------------------------------------------------------


def _environment(table: Table) -> LockMarker:
    """Turn a lock target into a marker; one that Lambda can never be becomes false.

    A newer glibc than Lambda's is none of these: PDM installs from such a lock, too, and
    which files load is decided by their own tags.
    """
    shown = ", ".join(f"{key} = {table.raw(key)}" for key in table)
    text = " and ".join(
        f"({part})"
        for part in (
            _python_marker_of(table),
            _platform_marker(table.text("platform")),
            _implementation_marker(table),
        )
        if part
    )
    return LockMarker(text or 'python_version >= "0"', shown=shown)


def _python_marker_of(table: Table) -> str | None:
    """Read the range of a target; PDM joins what is no single range with `||`."""
    alternatives = []
    for text in (table.text("requires_python") or "").split("||"):
        try:
            specifier = SpecifierSet(text)
            hash(specifier)  # only now are numbers read, which may have too many digits
        except (InvalidSpecifier, ValueError) as error:
            raise TableError(table.place("requires_python"), "is no version specifier") from error
        marker = _python_marker(specifier)
        if marker is None:
            return None
        alternatives.append(f"({marker.text})")
    return " or ".join(alternatives)


def _python_marker(specifier: SpecifierSet | None) -> LockMarker | None:
    if not specifier:
        return None
    clauses = sorted((each.operator, each.version) for each in specifier)
    return LockMarker(
        " and ".join(
            f'python_full_version {operator} "{version}"' for operator, version in clauses
        ),
        shown=f"requires Python {specifier}",
    )


def _platform_marker(platform: str | None) -> str | None:
    if platform is None:
        return None
    if platform == "linux":  # PDM's name for the one that most people have
        platform = "manylinux_2_40_x86_64"
    match = _MANYLINUX.fullmatch(platform)
    if match is None:
        return _NEVER  # another system, or musl
    machine = _MACHINES.get(match[1], match[1])
    return f'sys_platform == "linux" and platform_machine == "{machine}"'


def _implementation_marker(table: Table) -> str | None:
    implementation = table.text("implementation")
    if implementation in {None, "cpython"} and not table.flag("gil_disabled"):
        return None
    return _NEVER


# --- strategy inherit_metadata --------------------------------------------------------


def _gated(table: Table, extras: frozenset[NormalizedName]) -> LockMarker | None:
    """Join the groups and the marker of a package, in the words of PEP 751."""
    condition = table.text("marker")
    gate = " or ".join(
        f'"{name}" in {"extras" if name in extras else "dependency_groups"}'
        for name in map(canonicalize_name, table.texts("groups"))
    )
    if condition == _EMPTY:
        return LockMarker(_NEVER, shown=_EMPTY)
    if not condition:
        return LockMarker(gate) if gate else None
    marker = _parsed(table.place("marker"), condition)
    return LockMarker(f"({gate}) and ({condition})", shown=condition) if gate else marker


# --- without inherit_metadata ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A requirement, as PDM writes them: of PEP 508, of pip, or a place alone."""

    name: NormalizedName | None
    """None where the place alone tells."""

    extras: frozenset[NormalizedName] = frozenset()
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    place: str | None = None
    marker: str | None = None

    @classmethod
    def parse(cls, line: str, at: str) -> _Asked:
        """Read a line.

        Raises:
            TableError: It is no requirement.
        """
        text = line.removeprefix("-e ").strip()
        try:
            requirement = Requirement(text)
            hash(requirement)  # only now are numbers read, which may have too many digits
        except InvalidRequirement:
            return cls._of_place(text, at)
        except ValueError as error:
            raise TableError(at, str(error)) from error
        return cls(
            name=canonicalize_name(requirement.name),
            extras=_names(requirement.extras),
            specifier=requirement.specifier,
            place=requirement.url,
            marker=str(requirement.marker) if requirement.marker else None,
        )

    @classmethod
    def _of_place(cls, text: str, at: str) -> _Asked:
        match = _PLACE.fullmatch(text)
        if match is None:
            raise TableError(at, f"`{urls.redacted_text(text)}` is no requirement")
        egg = _EGG.search(match["url"])
        name = match["name"] or (egg["name"] if egg else None)
        extras = match["extras"] or match["path_extras"] or (egg["extras"] if egg else None) or ""
        return cls(
            name=canonicalize_name(name) if name else None,
            extras=_names(extras.split(",")),
            place=match["url"],
            marker=match["marker"],
        )


def _names(texts: Iterable[str]) -> frozenset[NormalizedName]:
    return frozenset(canonicalize_name(text.strip()) for text in texts if text.strip())


class _Edges:
    """Turns requirements into edges, knowing all entries."""

    def __init__(
        self, entries: Sequence[_Entry], project: Project, locked: Project, folder: Path
    ) -> None:
        self._entries = entries
        self._project = project
        self._folder = folder
        self._places: defaultdict[_Key, list[int]] = defaultdict(list)
        for index, entry in enumerate(entries):
            self._places[entry.key].append(index)
        resolution = locked.tool.table("pdm").table("resolution")
        self._overridden = _names(resolution.table("overrides"))
        self._excluded = _names(resolution.texts("excludes"))

    def of_entry(self, entry: _Entry) -> tuple[Edge, ...]:
        """Read what an entry needs; one with extras needs first what it repeats."""
        table = entry.table
        found = self.of_lines(table.texts("dependencies"), table.place("dependencies"))
        if entry.base is None:
            return found
        return (Edge(name=entry.key[0], candidates=(entry.base,)), *found)

    def of_lines(self, lines: Iterable[str], at: str) -> tuple[Edge, ...]:
        """Read requirements; what the project excludes is not asked for."""
        asked = (_Asked.parse(line, at) for line in lines)
        return tuple(self._edge(each, at) for each in asked if each.name not in self._excluded)

    def _edge(self, asked: _Asked, at: str) -> Edge:
        marker = _parsed(at, asked.marker) if asked.marker else None
        if asked.name == self._project.name and self._project.is_package:
            # Stands behind all entries, see `_graph`.
            own = (len(self._entries),)
            return Edge(name=asked.name, candidates=own, extras=asked.extras, marker=marker)
        # None at all is right where the marker excludes all lock targets.
        candidates = tuple(self._candidates(asked))
        name = asked.name or (self._entries[candidates[0]].key[0] if candidates else None)
        if name is None:
            raise TableError(at, f"no entry of the lock lies at {urls.redacted(str(asked.place))}")
        return Edge(name=name, candidates=candidates, marker=marker)

    def _candidates(self, asked: _Asked) -> Iterator[int]:
        """Find the entries that answer, as PDM does when it resolves within its lock."""
        if asked.name is None:
            keys = [key for key in self._places if key[1] == asked.extras]
        else:
            keys = [(asked.name, asked.extras)]
        places = [index for key in keys for index in self._places[key]]
        for index in places:
            entry = self._entries[index]
            if asked.name is not None and asked.name in self._overridden:
                yield index
            elif asked.place is None:
                version = fields.version(entry.table)
                if version is None or asked.specifier.contains(version, prereleases=True):
                    yield index
            elif entry.place is not None and (
                len(places) == 1 or self._location(entry.place) == self._location(asked.place)
            ):
                yield index

    def _location(self, place: str) -> str:
        """Spell a place in one way: without a commit, and a path from the file system's root."""
        root = self._folder.as_uri()
        text = re.sub(r"^(?:git|hg|svn|bzr)\+", "", place.partition("#")[0])
        text = text.replace(f"file:///{_ROOT}", root).replace("{root:uri}", root)
        if "://" not in text or text.startswith("file:///"):
            path = urls.path_of(text) if "://" in text else self._folder / text
            return os.path.normpath(path)
        scheme, _, rest = text.partition("://")
        host, _, inside = rest.partition("/")
        return f"{scheme}://{host}/{inside.partition('@')[0]}"


def _parsed(at: str, text: str) -> LockMarker:
    try:
        return LockMarker.parse(text)
    except ValueError as error:
        raise TableError(at, str(error)) from error
