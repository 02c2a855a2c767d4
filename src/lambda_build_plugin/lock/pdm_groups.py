"""The groups of a project as PDM sees them: main dependencies, extras, dependency groups.

They share one namespace, in which the main dependencies are `default`. An extra may
include others as `project[extra]`, a dependency group as `{include-group = …}` (PEP 735);
here each group is expanded. The library dependency-groups is not used, because it knows
neither the shared namespace nor PDM's own lines, such as `-e file:///…`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.tables import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["DEFAULT", "dev_dependencies", "extras_of", "lines_by_group"]

DEFAULT = canonicalize_name("default")

_OWN_EXTRAS = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^]]*)\])?\s*")


def extras_of(project: Project) -> frozenset[NormalizedName]:
    """Name the groups that are extras."""
    optional = project.pyproject.table("project").table("optional-dependencies")
    return frozenset(map(canonicalize_name, optional))


def dev_dependencies(pyproject: Table) -> dict[NormalizedName, list[object]]:
    """Join `[dependency-groups]` and `[tool.pdm.dev-dependencies]`, without expanding them.

    Raises:
        TableError: A group is not a list, or is defined twice.
    """
    groups: dict[NormalizedName, list[object]] = {}
    standard = pyproject.table("dependency-groups")
    for key in standard:
        name = canonicalize_name(key)
        if name in groups:
            raise TableError(standard.place(key), f"the group `{name}` is defined twice")
        groups[name] = [*_items(standard, key)]
    own = pyproject.table("tool").table("pdm").table("dev-dependencies")
    for key in own:
        groups.setdefault(canonicalize_name(key), []).extend(_items(own, key))
    return groups


def lines_by_group(project: Project) -> dict[NormalizedName, tuple[str, ...]]:
    """List the requirements of each group, including those of the groups that it includes.

    Raises:
        TableError: A group includes itself, or one that does not exist.
    """
    pyproject = project.pyproject
    table = pyproject.table("project")
    optional = table.table("optional-dependencies")
    groups: dict[NormalizedName, list[object]] = {DEFAULT: [*_items(table, "dependencies")]}
    groups |= {canonicalize_name(key): [*_items(optional, key)] for key in optional}
    for name, items in dev_dependencies(pyproject).items():
        groups.setdefault(name, items)
    return {
        name: tuple(_spelled_out(name, groups, project.name, pyproject.at, ())) for name in groups
    }


def _items(table: Table, key: str) -> list[object]:
    items = table.raw(key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise TableError(table.place(key), "must be a list")
    return items


def _spelled_out(
    name: NormalizedName,
    groups: Mapping[NormalizedName, list[object]],
    project: NormalizedName,
    at: str,
    within: tuple[NormalizedName, ...],
) -> Iterator[str]:
    if name in within:
        raise TableError(at, f"the group `{name}` includes itself")
    if name not in groups:
        raise TableError(at, f"the group `{within[-1]}` includes `{name}`, which does not exist")
    for item in groups[name]:
        included = _included(item, project)
        if included is None:
            if not isinstance(item, str):
                raise TableError(
                    at, f"the group `{name}` contains an item that is not a requirement"
                )
            yield item
            continue
        for other in included:
            yield from _spelled_out(other, groups, project, at, (*within, name))


def _included(item: object, project: NormalizedName) -> list[NormalizedName] | None:
    """Name the groups that an item includes; None if it is a requirement."""
    if isinstance(item, dict):
        other = item.get("include-group")
        return [canonicalize_name(other)] if isinstance(other, str) and len(item) == 1 else None
    match = _OWN_EXTRAS.fullmatch(item) if isinstance(item, str) else None
    if match is None or canonicalize_name(match["name"]) != project:
        return None
    extras = (match["extras"] or "").split(",")
    return [canonicalize_name(extra.strip()) for extra in extras if extra.strip()]
