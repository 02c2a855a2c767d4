"""Read a `uv.lock`: a graph with markers on its edges, walked from the project.

uv does not specify the format; what is read here was observed in lock version 1,
revisions 0 to 5. uv encodes conflicting extras and groups as pseudo extras
(`extra-<length>-<package>-<extra>`). They become the markers of PEP 751; an extra of a
package other than the project becomes `"package[extra]" in extras`.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from packaging.utils import canonicalize_name

from lambda_build_plugin import urls
from lambda_build_plugin.config.build_policy import BuildPolicy
from lambda_build_plugin.config.tables import TableError, read_toml, stamp_of
from lambda_build_plugin.errors import quoted
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.errors import (
    MissingHashError,
    StaleLockError,
    UnsupportedLockError,
    well_formed,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.model import (
    Edge,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    Roots,
)
from lambda_build_plugin.lock.uv_freshness import constraint_differences, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Stamp, Table
    from lambda_build_plugin.lock.fields import Context
    from lambda_build_plugin.lock.markers import LockMarker

__all__ = ["is_workspace", "read"]

_FORMAT = FORMATS["uv.lock"]
_REMEDY = _FORMAT.command
_LOCAL = ("editable", "directory", "virtual")
_MOST_LISTED = 5
"""Members of a workspace in a hint."""

_ALWAYS, _NEVER = "python_version >= '0'", "python_version < '0'"
_CONFLICT = re.compile(
    r"""\bextra\s*(?P<operator>==|!=)\s*(?P<quote>["'])"""
    r"""(?P<kind>extra|group|project)-(?P<length>\d+)-(?P<names>[^"']+)(?P=quote)"""
)


def read(path: Path, context: Context) -> Lock:
    """Read a uv.lock for the project, which may be any member of its workspace.

    Raises:
        LockError: It cannot be read, does not contain the project, or is out of date.
    """
    with well_formed(path, remedy=_REMEDY):
        return _Reader(path, _document(path, stamp_of(path), context.read_toml), context).lock()


def is_workspace(folder: Path, _project: Project) -> bool:
    """Tell whether a folder is the root of a uv workspace; its lock names the members."""
    try:
        return "workspace" in read_toml(folder / "pyproject.toml").table("tool").table("uv")
    except (OSError, TableError):
        return False


def _constraint(table: Table) -> str:
    """Return an entry of `build-constraints` as a requirement (PEP 508)."""
    marker = table.text("marker")
    text = f"{fields.name(table)}{table.text('specifier') or ''}"
    return f"{text} ; {marker}" if marker else text


@dataclass(slots=True)
class _Document:
    """A parsed lock, of which all members of a workspace have most in common."""

    data: Table
    tables: tuple[Table, ...]
    """The entries of the packages."""

    places: Mapping[NormalizedName, Sequence[tuple[int, Table]]]
    """The entries with their numbers, by name."""

    local: Sequence[tuple[Table, Path]]
    """The entries of packages on this machine, with their folders as they are written."""

    likely: Mapping[str, Sequence[tuple[Table, Path]]]
    """The same by path without following links, which takes time."""

    packages: _Packages | None = None
    """All packages, if they are the same for each member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packages:
    """The packages of a lock, and what is to be said about their files."""

    items: tuple[LockedPackage, ...]
    without_hash: tuple[str, ...]
    unhashed_folders: tuple[str, ...]


@lru_cache(maxsize=1)
def _document(path: Path, _stamp: Stamp, read_toml: Callable[[Path], Table]) -> _Document:
    """Parse a lock once for all members of a workspace, and again if the file has changed."""
    data = read_toml(path)
    tables = data.tables("package")
    places: defaultdict[NormalizedName, list[tuple[int, Table]]] = defaultdict(list)
    local: list[tuple[Table, Path]] = []
    likely: defaultdict[str, list[tuple[Table, Path]]] = defaultdict(list)
    for index, table in enumerate(tables):
        places[fields.name(table)].append((index, table))
        if (named := _folder(table.table("source"))) is not None:
            local.append((table, path.parent / named))
            likely[os.path.normpath(local[-1][1])].append(local[-1])
    return _Document(data=data, tables=tables, places=places, local=local, likely=likely)


class _Reader:
    """Reads one file, and keeps what all its parts need."""

    def __init__(self, path: Path, document: _Document, context: Context) -> None:
        self._path = path
        self._base = path.parent
        self._document = document
        self._data = document.data
        self._context = context
        self._without_hash: list[str] = []
        self._unhashed_folders: dict[str, None] = {}

    def lock(self) -> Lock:
        self._check_version()
        tables = self._document.tables
        root = self._root(tables)
        self._check_fresh(root)
        edges = _Edges(fields.name(root), self._document.places)
        packages = self._packages(tables, edges)
        manifest = self._data.table("manifest")
        lock = Lock(
            path=self._path,
            kind=_FORMAT.name,
            remedy=_REMEDY,
            requires_python=fields.specifier(self._data, "requires-python"),
            environments=tuple(
                fields.parsed_marker(text, self._data.place("supported-markers"))
                for text in self._data.texts("supported-markers")
            ),
            packages=packages.items,
            extras=frozenset(
                map(canonicalize_name, root.table("metadata").texts("provides-extras"))
            )
            | frozenset(map(canonicalize_name, root.table("optional-dependencies"))),
            groups=frozenset(map(canonicalize_name, root.table("dev-dependencies")))
            | frozenset(map(canonicalize_name, root.table("metadata").table("requires-dev"))),
            project=tables.index(root),
            overridden=frozenset(map(fields.name, manifest.tables("overrides")))
            | frozenset(map(canonicalize_name, manifest.texts("excludes"))),
            rewritten=frozenset(map(fields.name, manifest.tables("dependency-metadata"))),
            policy=BuildPolicy(
                constraints={"": tuple(map(_constraint, manifest.tables("build-constraints")))}
            ),
            roots=Roots(
                main=edges.of(root, "dependencies"),
                extras=edges.by_name(root.table("optional-dependencies")),
                groups=edges.by_name(root.table("dev-dependencies")),
            ),
        )
        if packages.without_hash:
            raise MissingHashError(self._path, packages.without_hash, remedy=_REMEDY)
        return replace(lock, warnings=tuple(map(self._unhashed_warning, packages.unhashed_folders)))

    def _packages(self, tables: Sequence[Table], edges: _Edges) -> _Packages:
        """Read all packages, unless they were read for another member of the workspace."""
        if self._document.packages is not None:
            return self._document.packages
        packages = _Packages(
            items=tuple(self._package(table, edges) for table in tables),
            without_hash=tuple(self._without_hash),
            unhashed_folders=tuple(self._unhashed_folders),
        )
        if not edges.depend_on_root:
            self._document.packages = packages
        return packages

    def _unhashed_warning(self, folder: str) -> str:
        return (
            f"{self._path.name} has no hashes for the files in the folder {folder}: "
            "uv does not lock any for find-links, so the build takes whatever is there"
        )

    def _check_version(self) -> None:
        version = self._data.number("version")
        if version != 1:
            raise UnsupportedLockError(
                self._path,
                f"its version is {version}, but this version of lambda-build-plugin reads only 1",
                hint="update lambda-build-plugin, or lock again with another version of uv",
            )

    def _root(self, tables: Sequence[Table]) -> Table:
        """Find the entry of the project, which may be a member of the workspace."""
        project = self._context.project
        likely = self._document.likely.get(str(project.root), ())
        for table, folder in (*likely, *self._document.local):
            if fields.is_project(folder, project):
                return table
        if members := self._members(tables):
            raise UnsupportedLockError(
                self._path,
                f"it locks a workspace, and {self._context.project.root} itself is not a project",
                hint=f"name the folder of one of its members: {quoted(members, most=_MOST_LISTED)}",
            )
        raise StaleLockError(
            self._path,
            [f"- the project {self._context.project.name} is not in the lock"],
            remedy=_REMEDY,
        )

    def _members(self, tables: Sequence[Table]) -> list[str]:
        """Get the folders of the workspace's members if the project is only its root."""
        members = self._data.table("manifest").texts("members")
        if not fields.is_project(self._base, self._context.project):
            return []
        sources = (table.table("source") for table in tables if table.text("name") in members)
        return [folder for source in sources if (folder := _folder(source)) is not None]

    def _check_fresh(self, root: Table) -> None:
        if self._context.lock_is_fresh:
            return
        uv = self._tool_of_workspace()
        places = self._document.places
        found = [
            *differences(
                self._context.project,
                root.table("metadata"),
                self._data,
                inherited=self._inherited_sources(uv),
            ),
            *(constraint_differences(uv, self._data, places) if uv is not None else ()),
        ]
        if found:
            raise StaleLockError(self._path, found, remedy=_REMEDY)

    def _tool_of_workspace(self) -> Table | None:
        """Read `[tool.uv]` of the workspace's root; None if it is not beside the lock."""
        root = self._base
        if fields.is_project(root, self._context.project):
            return self._context.project.tool.table("uv")
        try:
            return read_toml(root / "pyproject.toml").table("tool").table("uv")
        except (OSError, TableError):
            return None

    def _inherited_sources(self, uv: Table | None) -> Mapping[str, object] | None:
        """Get `[tool.uv.sources]` of the workspace's root for another member of it."""
        if uv is None or fields.is_project(self._base, self._context.project):
            return None if uv is None else {}
        sources = uv.table("sources")
        return {key: sources.raw(key) for key in sources}

    def _package(self, table: Table, edges: _Edges) -> LockedPackage:
        source = table.table("source")
        base, registry, directory = self._base, source.text("registry"), _folder(source)
        folder = _registry_folder(base, source)
        return LockedPackage(
            name=fields.name(table),
            version=fields.version(table),
            at=f"{table.at} ({table.text('name')})",
            marker=_any_of(table, "resolution-markers", edges),
            index=registry if folder is None else None,
            wheels=tuple(self._file(wheel, source, folder) for wheel in table.tables("wheels")),
            sdist=(self._file(table.table("sdist"), source, folder) if "sdist" in table else None),
            virtual="virtual" in source,
            directory=LockedDirectory(path=base / directory) if directory else None,
            vcs=_vcs(source),
            edges=edges.of(table, "dependencies"),
            extra_edges=edges.by_name(table.table("optional-dependencies")),
        )

    def _file(self, table: Table, source: Table, folder: Path | None) -> LockedFile:
        """Read a file; the package's source has what its own table leaves out."""
        url = table.text("url") or source.text("url")
        path, base = table.text("path"), folder or self._base
        if path is None:
            path, base = source.text("path"), self._base
        filename = table.text("filename") or fields.filename(table, path or url or "")
        algorithm, _, value = (table.text("hash") or "").partition(":")
        digest = fields.digest_of(table, {algorithm: value})
        if digest is None and folder is not None:
            self._unhashed_folders[source.required_text("registry")] = None
        elif digest is None:
            self._without_hash.append(f"{table.at} ({filename})")
        return LockedFile(
            filename=filename,
            url=url if path is None else None,
            path=None if path is None else base / path,
            digest=digest,
            size=table.number("size"),
            subdirectory=source.text("subdirectory"),
        )


class _Edges:
    """Turns dependency tables into edges, with all packages by name."""

    def __init__(
        self,
        root: NormalizedName,
        places: Mapping[NormalizedName, Sequence[tuple[int, Table]]],
    ) -> None:
        self._root = root
        self._places = places
        self.depend_on_root = False
        """Whether a marker has another meaning for another member of the workspace."""

    def of(self, table: Table, key: str) -> tuple[Edge, ...]:
        return tuple(self._edge(dependency) for dependency in table.tables(key))

    def by_name(self, table: Table) -> dict[NormalizedName, tuple[Edge, ...]]:
        return {canonicalize_name(key): self.of(table, key) for key in table}

    def gated(self, text: str) -> str:
        """Replace uv's encoding of conflicts by the markers of PEP 751."""

        def gate(match: re.Match[str]) -> str:
            self.depend_on_root = True
            length, wanted = int(match["length"]), match["operator"] == "=="
            package, name = match["names"][:length], match["names"][length + 1 :]
            is_root = canonicalize_name(package) == self._root
            if match["kind"] == "project":
                return _ALWAYS if is_root is wanted else _NEVER
            variable = "extras" if match["kind"] == "extra" else "dependency_groups"
            gated = name if is_root else f"{package}[{name}]"
            return f"'{gated}' {'' if wanted else 'not '}in {variable}"

        return _CONFLICT.sub(gate, text)

    def _edge(self, table: Table) -> Edge:
        name = fields.name(table)
        candidates = tuple(
            index for index, package in self._places.get(name, ()) if _answers(package, table)
        )
        if not candidates:
            raise TableError(table.at, f"no package in the lock matches {name}")
        text = table.text("marker")
        return Edge(
            name=name,
            candidates=candidates,
            extras=fields.names(table, "extra"),
            marker=fields.parsed_marker(self.gated(text), table.place("marker")) if text else None,
        )


def _answers(package: Table, dependency: Table) -> bool:
    """Tell whether an entry has the version and source that an edge names."""
    return all(
        key not in dependency or dependency.raw(key) == package.raw(key)
        for key in ("version", "source")
    )


def _any_of(table: Table, key: str, edges: _Edges) -> LockMarker | None:
    texts = table.texts(key)
    if not texts:
        return None
    condition = edges.gated(" or ".join(f"({text})" for text in texts))
    return fields.parsed_marker(condition, table.place(key))


def _folder(source: Table) -> str | None:
    return next((source.text(kind) for kind in _LOCAL if kind in source), None)


def _registry_folder(base: Path, source: Table) -> Path | None:
    """Get the folder of a registry that is a folder of files (`--find-links`)."""
    registry = source.text("registry")
    if registry is None:
        return None
    if registry.startswith("file:"):
        try:
            return urls.path_of(registry)
        except ValueError as error:
            raise TableError(source.place("registry"), str(error)) from error
    return None if "://" in registry else base / registry


def _vcs(source: Table) -> LockedVcs | None:
    """Read `{ git = "URL?subdirectory=…#COMMIT" }`."""
    text = source.text("git")
    if text is None:
        return None
    url, _, commit = text.partition("#")
    url, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    return LockedVcs(kind="git", url=url, commit=commit, subdirectory=options.get("subdirectory"))
