"""`uv.lock` → `Lock`: a graph with markers on its edges, walked from the project.

uv documents the file as its own; what is read here was observed in lock version 1,
revisions 0 to 5. Conflicting extras and groups are encoded by uv as pseudo extras
(`extra-<length>-<package>-<extra>`); they become the gates of PEP 751.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.lock import parts
from lambda_build_plugin.lock.failures import (
    InvalidLockError,
    MissingHashError,
    StaleLockError,
    UnsupportedLockError,
)
from lambda_build_plugin.lock.freshness import differences
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    Edge,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    Roots,
)
from lambda_build_plugin.tables import TableError, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.parts import Context
    from lambda_build_plugin.tables import Table

__all__ = ["read"]

_REMEDY = "uv lock"
_LOCAL = ("editable", "directory", "virtual")
_CONFLICT = re.compile(r"""extra\s*(==|!=)\s*(["'])(extra|group)-(\d+)-([^"']+)\2""")


def read(path: Path, context: Context) -> Lock:
    """Read a uv.lock for the project, which may be any member of its workspace.

    Raises:
        LockError: It cannot be read, does not know the project, or is stale.
    """
    try:
        return _Reader(path, read_toml(path), context).lock()
    except TableError as error:
        raise InvalidLockError(
            path, str(error), hint=f"make it again: `{_REMEDY}`; a lock is not edited by hand"
        ) from error


class _Reader:
    """Reads one file; holds what every part of it needs to know."""

    def __init__(self, path: Path, data: Table, context: Context) -> None:
        self._path = path
        self._data = data
        self._context = context
        self._without_hash: list[str] = []

    def lock(self) -> Lock:
        self._check_version()
        tables = self._data.tables("package")
        root = self._root(tables)
        self._check_fresh(root)
        places: defaultdict[NormalizedName, list[tuple[int, Table]]] = defaultdict(list)
        for index, table in enumerate(tables):
            places[parts.name(table)].append((index, table))
        edges = _Edges(parts.name(root), places)
        lock = Lock(
            path=self._path,
            kind="uv.lock",
            remedy=_REMEDY,
            requires_python=parts.specifier(self._data, "requires-python"),
            packages=tuple(self._package(table, edges) for table in tables),
            extras=frozenset(
                map(canonicalize_name, root.table("metadata").texts("provides-extras"))
            )
            | frozenset(map(canonicalize_name, root.table("optional-dependencies"))),
            groups=frozenset(map(canonicalize_name, root.table("dev-dependencies")))
            | frozenset(map(canonicalize_name, root.table("metadata").table("requires-dev"))),
            project=tables.index(root),
            roots=Roots(
                main=edges.of(root, "dependencies"),
                extras=edges.by_name(root.table("optional-dependencies")),
                groups=edges.by_name(root.table("dev-dependencies")),
            ),
        )
        if self._without_hash:
            raise MissingHashError(self._path, self._without_hash, remedy=_REMEDY)
        return lock

    def _check_version(self) -> None:
        version = self._data.number("version")
        if version != 1:
            raise UnsupportedLockError(
                self._path,
                f"its version is {version}; this version of lambda-build-plugin reads 1",
                hint="update lambda-build-plugin, or lock again with another version of uv",
            )

    def _root(self, tables: Sequence[Table]) -> Table:
        """Find the entry of the project, at the root or as a member of the workspace."""
        for table in tables:
            source = table.table("source")
            for kind in _LOCAL:
                local = source.text(kind)
                if local is not None and parts.is_project(
                    self._path.parent / local, self._context.project
                ):
                    return table
        raise StaleLockError(
            self._path,
            [f"- the project {self._context.project.name} is not in the lock"],
            remedy=_REMEDY,
        )

    def _check_fresh(self, root: Table) -> None:
        found = differences(self._context.project, root.table("metadata"), self._data)
        if found:
            raise StaleLockError(self._path, found, remedy=_REMEDY)

    def _package(self, table: Table, edges: _Edges) -> LockedPackage:
        source = table.table("source")
        registry, url = source.text("registry"), source.text("url")
        base = self._path.parent
        directory = next((source.text(kind) for kind in _LOCAL if kind in source), None)
        folder = _registry_folder(base, registry)
        path = source.text("path")
        return LockedPackage(
            name=parts.name(table),
            version=parts.version(table),
            at=f"{table.at} ({table.text('name')})",
            marker=_any_of(table, "resolution-markers", edges),
            index=registry if folder is None else None,
            wheels=tuple(
                self._file(wheel, folder=folder, url=url, path=path)
                for wheel in table.tables("wheels")
            ),
            sdist=(
                self._file(table.table("sdist"), folder=folder, url=url, path=path)
                if "sdist" in table
                else None
            ),
            directory=LockedDirectory(path=base / directory) if directory else None,
            vcs=_vcs(source),
            edges=edges.of(table, "dependencies"),
            extra_edges=edges.by_name(table.table("optional-dependencies")),
        )

    def _file(
        self, table: Table, *, folder: Path | None, url: str | None, path: str | None
    ) -> LockedFile:
        algorithm, _, value = (table.text("hash") or "").partition(":")
        digest = parts.digest_of(table, {algorithm: value})
        if digest is None:
            self._without_hash.append(table.at)
        file_url = table.text("url") or url
        file_path = table.text("path")
        located: Path | None = None
        if file_path is not None:
            located = (folder or self._path.parent) / file_path
        elif path is not None:
            located = self._path.parent / path
        return LockedFile(
            filename=table.text("filename")
            or parts.filename_of(file_path or file_url or path or ""),
            url=file_url if located is None else None,
            path=located,
            digest=digest,
            size=table.number("size"),
        )


class _Edges:
    """Turns dependency tables into edges, knowing all packages by name."""

    def __init__(
        self,
        root: NormalizedName,
        places: Mapping[NormalizedName, Sequence[tuple[int, Table]]],
    ) -> None:
        self._root = root
        self._places = places

    def of(self, table: Table, key: str) -> tuple[Edge, ...]:
        return tuple(self._edge(dependency) for dependency in table.tables(key))

    def by_name(self, table: Table) -> dict[NormalizedName, tuple[Edge, ...]]:
        return {canonicalize_name(key): self.of(table, key) for key in table}

    def gated(self, text: str) -> str:
        """Replace uv's encoding of conflicts by the gates of PEP 751."""

        def gate(match: re.Match[str]) -> str:
            length = int(match[4])
            package, name = match[5][:length], match[5][length + 1 :]
            if canonicalize_name(package) != self._root:
                return match[0]
            variable = "extras" if match[3] == "extra" else "dependency_groups"
            negation = "" if match[1] == "==" else "not "
            return f"'{name}' {negation}in {variable}"

        return _CONFLICT.sub(gate, text)

    def _edge(self, table: Table) -> Edge:
        name = parts.name(table)
        candidates = tuple(
            index for index, package in self._places.get(name, ()) if _answers(package, table)
        )
        if not candidates:
            raise TableError(table.at, f"no entry of the lock answers to {name}")
        text = table.text("marker")
        return Edge(
            name=name,
            candidates=candidates,
            extras=parts.names(table, "extra"),
            marker=_parsed(table, "marker", self.gated(text)) if text else None,
        )


def _answers(package: Table, dependency: Table) -> bool:
    """Tell whether an entry is the one that an edge names by version and source."""
    return all(
        key not in dependency or dependency.raw(key) == package.raw(key)
        for key in ("version", "source")
    )


def _any_of(table: Table, key: str, edges: _Edges) -> LockMarker | None:
    texts = table.texts(key)
    if not texts:
        return None
    return _parsed(table, key, edges.gated(" or ".join(f"({text})" for text in texts)))


def _parsed(table: Table, key: str, text: str) -> LockMarker:
    try:
        return LockMarker.parse(text)
    except ValueError as error:
        raise TableError(table.place(key), str(error)) from error


def _registry_folder(base: Path, registry: str | None) -> Path | None:
    """Where the registry is a folder of files (`--find-links`), get it."""
    if registry is None:
        return None
    if registry.startswith("file:"):
        return parts.path_of(registry)
    return None if "://" in registry else base / registry


def _vcs(source: Table) -> LockedVcs | None:
    """Read `{ git = "URL?subdirectory=…#COMMIT" }`."""
    text = source.text("git")
    if text is None:
        return None
    url, _, commit = text.partition("#")
    url, _, query = url.partition("?")
    options = dict(part.partition("=")[::2] for part in query.split("&"))
    return LockedVcs(kind="git", url=url, commit=commit, subdirectory=options.get("subdirectory"))
