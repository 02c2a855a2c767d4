"""The edges of a `poetry.lock` of version 2.0, which Poetry 1 made.

Such a lock is a graph without groups: the walk begins at the requirements of
pyproject.toml, of which Poetry 1 knows `[tool.poetry]` alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.poetry_constraint import platform_marker
from lambda_build_plugin.config.tables import Table, TableError
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.markers import LockMarker, with_extras
from lambda_build_plugin.lock.model import Edge, Roots
from lambda_build_plugin.lock.poetry_fields import DEV, MAIN, constraint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.poetry_constraint import Constraint
    from lambda_build_plugin.lock.model import Lock, LockedPackage

__all__ = ["with_edges"]

_LOCAL = ("git", "path", "file", "url")
"""Keys of a requirement that say where it is, and not which version it has."""


def with_edges(lock: Lock, data: Table, pyproject: Table) -> Lock:
    """Give the lock its edges; Poetry 1 knows `[tool.poetry]` alone."""
    tables = data.tables("package")
    edges = _Edges(lock.packages, tables)
    packages = (
        replace(
            package,
            marker=_python_versions(table),
            requires_python=constraint(table, "python-versions").specifier,
            edges=edges.of(table),
            extra_edges={
                canonicalize_name(extra): edges.of_extra(table, extra)
                for extra in table.table("extras")
            },
        )
        for package, table in zip(lock.packages, tables, strict=True)
    )
    poetry = pyproject.table("tool").table("poetry")
    groups = {MAIN: edges.of_main(poetry), DEV: edges.of_group(poetry, "dev-dependencies")}
    for group in poetry.table("group"):
        name = canonicalize_name(group)
        in_group = edges.of_group(poetry.table("group").table(group), "dependencies")
        groups[name] = (*groups.get(name, ()), *in_group)
    return replace(lock, packages=tuple(packages), roots=Roots(groups=groups, loose=True))


def _python_versions(table: Table) -> LockMarker | None:
    text = constraint(table, "python-versions").python_marker
    return LockMarker(text) if text else None


class _Edges:
    """Turns requirements in Poetry's syntax into edges, with all packages by name."""

    def __init__(self, packages: Sequence[LockedPackage], tables: Sequence[Table]) -> None:
        self._packages = packages
        self._sources = [table.table("source") for table in tables]
        self._places: defaultdict[NormalizedName, list[int]] = defaultdict(list)
        for index, package in enumerate(packages):
            self._places[package.name].append(index)

    def of(self, table: Table) -> tuple[Edge, ...]:
        """Read what a package needs regardless of its extras."""
        return tuple(
            self._edge(asked, frozenset())
            for asked in _requirements(table, "dependencies")
            if not asked.flag("optional")
        )

    def of_extra(self, table: Table, extra: str) -> tuple[Edge, ...]:
        """Read what a package needs for one of its extras: a list of names (PEP 508)."""
        requirements = table.table("extras")
        listed = {_required_name(requirements, extra, text) for text in requirements.texts(extra)}
        extras = frozenset({canonicalize_name(extra)})
        return tuple(
            self._edge(asked, extras)
            for asked in _requirements(table, "dependencies")
            if asked.flag("optional") and fields.name(asked) in listed
        )

    def of_main(self, poetry: Table) -> tuple[Edge, ...]:
        """Read the main dependencies; an optional one depends on its extras."""
        extras: defaultdict[NormalizedName, list[NormalizedName]] = defaultdict(list)
        for extra in poetry.table("extras"):
            for text in poetry.table("extras").texts(extra):
                name = _required_name(poetry.table("extras"), extra, text)
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
                edge = replace(edge, marker=_both_markers(edge.marker, gate))
            found.append(edge)
        return tuple(found)

    def of_group(self, table: Table, key: str) -> tuple[Edge, ...]:
        """Read the dependencies of a group."""
        return tuple(self._edge(asked, frozenset()) for asked in _requirements(table, key))

    def _edge(self, asked: Table, extras: frozenset[NormalizedName]) -> Edge:
        name = fields.name(asked)
        versions = constraint(asked, "version")
        return Edge(
            name=name,
            # There may be no candidate if the marker excludes all that the project supports.
            candidates=tuple(
                index
                for index in self._places[name]
                if _is_from(self._sources[index], asked)
                and _admits(versions, self._packages[index])
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


def _admits(versions: Constraint, package: LockedPackage) -> bool:
    return package.version is None or versions.admits(package.version)


def _condition(asked: Table, extras: frozenset[NormalizedName]) -> LockMarker | None:
    """Join `markers`, `python` and `platform` into one marker, with the extras replaced."""
    texts = [with_extras(asked.text("markers") or "", extras)]
    if "python" in asked:
        texts.append(constraint(asked, "python").python_marker)
    if (platform := asked.text("platform")) is not None:
        try:
            texts.append(platform_marker(platform))
        except ValueError as error:
            raise TableError(asked.place("platform"), str(error)) from error
    texts = [text for text in texts if text]
    if not texts:
        return None
    return fields.parsed_marker(" and ".join(f"({text})" for text in texts), asked.place("markers"))


def _both_markers(marker: LockMarker | None, text: str) -> LockMarker:
    return LockMarker(text if marker is None else f"({marker}) and ({text})")


def _required_name(table: Table, key: str, text: str) -> NormalizedName:
    """Get the name out of a requirement (PEP 508)."""
    try:
        return canonicalize_name(Requirement(text).name)
    except InvalidRequirement:
        # Poetry 1 wrote invalid markers into some of them, but the name comes first anyway.
        match = re.match(r"[A-Za-z0-9][\w.-]*", text)
        if match is None:
            raise TableError(table.place(key), f"`{text}` is not a requirement") from None
        return canonicalize_name(match[0])
