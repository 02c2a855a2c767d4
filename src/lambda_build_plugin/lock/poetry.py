"""`poetry.lock` → `Lock`: lock versions 2.0 (Poetry 1.5 to 1.8) and 2.1 (Poetry 2).

A 2.1 lock is flat: each package names its groups and the marker under which each of
them needs it. A 2.0 lock is a graph without groups; the walk begins at the
requirements of pyproject.toml. Files are known by name and digest, never by URL.
Whether the lock is fresh is told by Poetry's own content hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.poetry_constraint import Constraint, platform_marker
from lambda_build_plugin.config.tables import Table, TableError, read_toml
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.errors import (
    MissingHashError,
    StaleLockError,
    UnsupportedLockError,
    well_formed,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.markers import LockMarker, with_extras
from lambda_build_plugin.lock.model import (
    Edge,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    Roots,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.fields import Context

__all__ = ["content_hash", "read"]

_FORMAT = FORMATS["poetry.lock"]
_REMEDY = _FORMAT.command
_OLDEST, _FLAT, _UNKNOWN, _NEXT = Version("2.0"), Version("2.1"), Version("2.2"), Version("3")
_MAIN, _DEV = canonicalize_name("main"), canonicalize_name("dev")
_HASHED_WITH_GROUPS_FROM = Version("2.3.0")
_RELEVANT_TO_PROJECT = ("requires-python", "dependencies", "optional-dependencies")
_ALWAYS_RELEVANT = ("dependencies", "source", "extras", "dev-dependencies")
_LOCAL = ("git", "path", "file", "url")
"""Keys of a requirement that say where it is; the others say which version."""


def read(path: Path, context: Context) -> Lock:
    """Read a poetry.lock.

    Raises:
        LockError: It cannot be read, is of another version, stale, or without digests.
    """
    with well_formed(path, remedy=_REMEDY):
        return _Reader(path, read_toml(path), context).lock()


class _Reader:
    """Reads one file; holds what every part of it needs to know."""

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
            default_groups=frozenset({_MAIN}),
            indexes=_indexes(pyproject, flat=version >= _FLAT),
            warnings=tuple(self._warnings(version)),
        )
        lock = replace(_of_python(lock, self._metadata), project=self._project(lock.packages))
        lock = _flat(lock, self._data) if version >= _FLAT else _graph(lock, self._data, pyproject)
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
            f"its lock-version is {self._metadata.text('lock-version') or 'not stated'}; "
            "this version of lambda-build-plugin reads 2.x",
            hint=remedy if version < _NEXT else f"update lambda-build-plugin, or {remedy}",
        )

    def _warnings(self, version: Version) -> Iterator[str]:
        if version >= _UNKNOWN:
            yield f"{self._path.name} has lock-version {version}; only 2.0 and 2.1 are known here"

    def _check_fresh(self, pyproject: Table) -> None:
        """Compare content hashes, as `poetry check --lock` does."""
        if self._context.lock_is_fresh:
            return
        locked = self._metadata.text("content-hash")
        fresh = content_hash(pyproject) == locked or (
            self._hashed_without_groups() and content_hash(pyproject, with_groups=False) == locked
        )
        if not fresh:
            raise StaleLockError(
                self._path,
                ["- the content hash of pyproject.toml is not the one in the lock"],
                remedy=_REMEDY,
            )

    def _hashed_without_groups(self) -> bool:
        """Tell by its first line whether an older Poetry made the lock."""
        first = self._path.read_text(encoding="utf-8").partition("\n")[0]
        match = re.search(r"Poetry ([^ ]+)", first)
        try:
            return match is not None and Version(match[1]) < _HASHED_WITH_GROUPS_FROM
        except InvalidVersion:
            return False

    def _project(self, packages: Sequence[LockedPackage]) -> int | None:
        """Find the project itself, where a requirement leads back to it."""
        for index, package in enumerate(packages):
            if package.directory is not None and fields.is_project(
                package.directory.path, self._context.project
            ):
                return index
        return None

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
                    wheels=tuple(file for file in files if _is_wheel(file)),
                    sdist=next((file for file in files if not _is_wheel(file)), None),
                )
            case kind:
                raise TableError(source.place("type"), f"`{kind}` is no kind of source known here")

    def _with_one_file(
        self, package: LockedPackage, table: Table, source: Table, kind: str
    ) -> LockedPackage:
        """Read what is locked as one file: on this machine, or at a URL."""
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
        if _is_wheel(file):
            return replace(package, wheels=(file,))
        return replace(package, archive=file)

    def _files(self, table: Table) -> list[LockedFile]:
        files = []
        for file in table.tables("files"):
            algorithm, _, value = file.required_text("hash").partition(":")
            digest = fields.digest_of(file, {algorithm: value})
            if digest is None:
                self._without_hash.append(file.at)
            files.append(LockedFile(filename=file.required_text("file"), digest=digest))
        return files


def content_hash(pyproject: Table, *, with_groups: bool = True) -> str:
    """Compute what Poetry locks as `content-hash`: of all that bears on resolution.

    Poetry before 2.3 left `[dependency-groups]` out.
    """
    project, poetry = pyproject.table("project"), pyproject.table("tool").table("poetry")
    standard: dict[str, object] = {}
    if of_project := {key: project.raw(key) for key in _RELEVANT_TO_PROJECT if key in project}:
        standard["project"] = of_project
    if with_groups and (groups := pyproject.raw("dependency-groups")):
        standard["dependency-groups"] = groups
    own = {key: poetry.raw(key) for key in (*_ALWAYS_RELEVANT, "group") if key in poetry}
    if standard:
        relevant = {**standard, "tool": {"poetry": own}}
    else:
        # As Poetry 1 had it: at top level, and null where a table is not there.
        relevant = {**dict.fromkeys(_ALWAYS_RELEVANT), **own}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def _is_wheel(file: LockedFile) -> bool:
    return (file.filename or "").endswith(".whl")


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


def _of_python(lock: Lock, metadata: Table) -> Lock:
    """Bound the lock to the Pythons that it was made for."""
    constraint = _constraint(metadata, "python-versions")
    if constraint.specifier is not None:
        return replace(lock, requires_python=constraint.specifier)
    return replace(lock, environments=(LockMarker(constraint.python_marker),))


def _group_names(pyproject: Table, *, flat: bool) -> Iterator[NormalizedName]:
    """Name the groups that can be asked for; a graph's are those of Poetry 1."""
    poetry = pyproject.table("tool").table("poetry")
    yield _MAIN
    yield from map(canonicalize_name, poetry.table("group"))
    if "dev-dependencies" in poetry:
        yield _DEV
    if flat:
        yield from map(canonicalize_name, pyproject.table("dependency-groups"))


def _indexes(pyproject: Table, *, flat: bool) -> IndexOptions:
    """Bring Poetry's sources into the order in which to ask them.

    A package from anywhere but the default index is locked with its source and asked
    for there alone; this is about the others. An explicit source is for none of them.
    """
    primary: list[str] = []
    supplemental: list[str] = []
    named: list[tuple[str, str]] = []
    replaced = False
    for source in pyproject.table("tool").table("poetry").tables("source"):
        name, url = source.required_text("name"), source.text("url")
        if url is None:  # PyPI, which nobody has to tell where it is
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
        # What has no source in the lock came from there, and no other index is told of it.
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


# --- lock-version 2.1 -----------------------------------------------------------------


def _flat(lock: Lock, data: Table) -> Lock:
    """Give each package the marker under which it ships, gated by its groups."""
    packages = (
        replace(
            package,
            marker=_gated(table),
            requires_python=_constraint(table, "python-versions").specifier,
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
    marker = _marker(table, "markers", " or ".join(alternatives))
    return replace(marker, shown=" or ".join(markers)) if "" not in markers else marker


# --- lock-version 2.0 -----------------------------------------------------------------


def _graph(lock: Lock, data: Table, pyproject: Table) -> Lock:
    """Give the lock its edges; Poetry 1 knows `[tool.poetry]` alone."""
    tables = data.tables("package")
    edges = _Edges(lock.packages, tables)
    packages = (
        replace(
            package,
            marker=_python_versions(table),
            requires_python=_constraint(table, "python-versions").specifier,
            edges=edges.of(table),
            extra_edges={
                canonicalize_name(extra): edges.of_extra(table, extra)
                for extra in table.table("extras")
            },
        )
        for package, table in zip(lock.packages, tables, strict=True)
    )
    poetry = pyproject.table("tool").table("poetry")
    groups = {_MAIN: edges.of_main(poetry), _DEV: edges.of_group(poetry, "dev-dependencies")}
    for group in poetry.table("group"):
        name = canonicalize_name(group)
        in_group = edges.of_group(poetry.table("group").table(group), "dependencies")
        groups[name] = (*groups.get(name, ()), *in_group)
    return replace(lock, packages=tuple(packages), roots=Roots(groups=groups, loose=True))


def _python_versions(table: Table) -> LockMarker | None:
    text = _constraint(table, "python-versions").python_marker
    return LockMarker(text) if text else None


class _Edges:
    """Turns requirements in Poetry's words into edges, knowing all packages by name."""

    def __init__(self, packages: Sequence[LockedPackage], tables: Sequence[Table]) -> None:
        self._packages = packages
        self._sources = [table.table("source") for table in tables]
        self._places: defaultdict[NormalizedName, list[int]] = defaultdict(list)
        for index, package in enumerate(packages):
            self._places[package.name].append(index)

    def of(self, table: Table) -> tuple[Edge, ...]:
        """Read what a package needs whatever extras are asked of it."""
        return tuple(
            self._edge(asked, frozenset())
            for asked in _requirements(table, "dependencies")
            if not asked.flag("optional")
        )

    def of_extra(self, table: Table, extra: str) -> tuple[Edge, ...]:
        """Read what a package needs for one of its extras: a list of names (PEP 508)."""
        requirements = table.table("extras")
        listed = {_name_in(requirements, extra, text) for text in requirements.texts(extra)}
        extras = frozenset({canonicalize_name(extra)})
        return tuple(
            self._edge(asked, extras)
            for asked in _requirements(table, "dependencies")
            if asked.flag("optional") and fields.name(asked) in listed
        )

    def of_main(self, poetry: Table) -> tuple[Edge, ...]:
        """Read the main dependencies; an optional one waits for its extras."""
        extras: defaultdict[NormalizedName, list[NormalizedName]] = defaultdict(list)
        for extra in poetry.table("extras"):
            for text in poetry.table("extras").texts(extra):
                name = _name_in(poetry.table("extras"), extra, text)
                extras[name].append(canonicalize_name(extra))
        found = []
        for asked in _requirements(poetry, "dependencies"):
            if fields.name(asked) == "python":
                continue
            edge = self._edge(asked, frozenset())
            if asked.flag("optional"):
                waits_for = extras[fields.name(asked)]
                if not waits_for:
                    continue
                gate = " or ".join(f'extra == "{extra}"' for extra in waits_for)
                edge = replace(edge, marker=_both(edge.marker, gate))
            found.append(edge)
        return tuple(found)

    def of_group(self, table: Table, key: str) -> tuple[Edge, ...]:
        """Read the dependencies of a group."""
        return tuple(self._edge(asked, frozenset()) for asked in _requirements(table, key))

    def _edge(self, asked: Table, extras: frozenset[NormalizedName]) -> Edge:
        name = fields.name(asked)
        constraint = _constraint(asked, "version")
        return Edge(
            name=name,
            # None at all is right where the marker excludes what the project supports.
            candidates=tuple(
                index
                for index in self._places[name]
                if _is_from(self._sources[index], asked)
                and _admits(constraint, self._packages[index])
            ),
            extras=fields.names(asked, "extras"),
            marker=_condition(asked, extras),
        )


def _requirements(table: Table, key: str) -> Iterator[Table]:
    """Yield each requirement as a table: Poetry allows a string, a table, or a list of them."""
    dependencies = table.table(key)
    for name in dependencies:
        value = dependencies.raw(name)
        for index, single in enumerate(value if isinstance(value, list) else [value]):
            at = dependencies.place(name) + (f"[{index}]" if isinstance(value, list) else "")
            if isinstance(single, str):
                yield Table({"name": name, "version": single}, at=at)
            elif isinstance(single, dict):
                yield Table({**cast("dict[str, object]", single), "name": name}, at=at)
            else:
                raise TableError(at, "must be a string or a table")


def _is_from(source: Table, asked: Table) -> bool:
    """Tell whether a locked package comes from where a requirement looks for it."""
    kind = source.text("type")
    match next((key for key in _LOCAL if key in asked), None):
        case "git":
            return kind == "git"
        case "path" | "file":
            return kind in {"directory", "file"}
        case "url":
            return kind == "url"
        case _:
            pinned = asked.text("source")
            return pinned is None or pinned.lower() == (source.text("reference") or "pypi").lower()


def _admits(constraint: Constraint, package: LockedPackage) -> bool:
    return package.version is None or constraint.admits(package.version)


def _condition(asked: Table, extras: frozenset[NormalizedName]) -> LockMarker | None:
    """Join `markers`, `python` and `platform`, with the extras of the package answered."""
    texts = [with_extras(asked.text("markers") or "", extras)]
    if "python" in asked:
        texts.append(_constraint(asked, "python").python_marker)
    if (platform := asked.text("platform")) is not None:
        try:
            texts.append(platform_marker(platform))
        except ValueError as error:
            raise TableError(asked.place("platform"), str(error)) from error
    texts = [text for text in texts if text]
    if not texts:
        return None
    return _marker(asked, "markers", " and ".join(f"({text})" for text in texts))


def _both(marker: LockMarker | None, text: str) -> LockMarker:
    return LockMarker(text if marker is None else f"({marker}) and ({text})")


def _name_in(table: Table, key: str, text: str) -> NormalizedName:
    """Get the name out of a requirement (PEP 508)."""
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:
        # Poetry 1 wrote markers into some that are none; the name stands first anyway.
        match = re.match(r"[A-Za-z0-9][\w.-]*", text)
        if match is None:
            raise TableError(table.place(key), f"`{text}` is no requirement") from None
        return canonicalize_name(match[0])


def _constraint(table: Table, key: str) -> Constraint:
    try:
        return Constraint.parse(table.text(key) or "*")
    except ValueError as error:
        raise TableError(table.place(key), str(error)) from error


def _marker(table: Table, key: str, text: str) -> LockMarker:
    try:
        return LockMarker.parse(text)
    except ValueError as error:
        raise TableError(table.place(key), str(error)) from error
