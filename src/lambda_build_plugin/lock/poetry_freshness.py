"""Check that a `poetry.lock` still matches pyproject.toml.

Poetry stores a hash of all tables that affect resolution; it is computed here as
Poetry computes it, so that Poetry need not be installed.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.config.project import (
    group_names,
    group_requirements,
    metadata_requirements,
)
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock import poetry_fields
from lambda_build_plugin.lock.unmet import Asked, asked_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["asked", "content_hash", "is_fresh"]

_HASHED_WITH_GROUPS_FROM = Version("2.3.0")
_CONDITIONS = {"markers", "platform", "python"}
_RELEVANT_TO_PROJECT = ("requires-python", "dependencies", "optional-dependencies")
_ALWAYS_RELEVANT = ("dependencies", "source", "extras", "dev-dependencies")


def is_fresh(path: Path, pyproject: Table, *, locked_hash: str | None) -> bool:
    """Compare content hashes, as `poetry check --lock` does.

    Args:
        path: The lock, whose first line names the Poetry that made it.
        pyproject: The project as it is now.
        locked_hash: The `content-hash` of the lock, hexadecimal digits.
    """
    return content_hash(pyproject) == locked_hash or (
        _hashed_without_groups(path) and content_hash(pyproject, with_groups=False) == locked_hash
    )


def content_hash(pyproject: Table, *, with_groups: bool = True) -> str:
    """Compute the `content-hash` of Poetry, over all tables that affect resolution.

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
        # As Poetry 1 had it: at top level, and null for missing tables.
        relevant = {**dict.fromkeys(_ALWAYS_RELEVANT), **own}
    # Poetry cannot hash dates, so it never makes such a lock from a project with one.
    text = json.dumps(relevant, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def asked(project: Project) -> Iterator[Asked]:
    """Yield what a project asks for, in the standard tables and in Poetry's own.

    Raises:
        SettingsError: A dependency group is not written as PEP 735 says.
        TableError: One of Poetry's own tables is not a table.
    """
    # An extra may ask for other extras of the project itself.
    standard = metadata_requirements(project)
    yield from (
        asked_for(each) for each in standard if canonicalize_name(each.name) != project.name
    )
    for name in group_names(project):
        yield from map(asked_for, group_requirements(project, name))
    poetry = project.tool.table("poetry")
    groups = poetry.table("group")
    for table in (
        poetry.table("dependencies"),
        poetry.table("dev-dependencies"),
        *(groups.table(key).table("dependencies") for key in groups),
    ):
        for key in table:
            if key != "python":
                yield from _asked_in_table(table, key)


def _asked_in_table(table: Table, key: str) -> Iterator[Asked]:
    """Read a dependency in a table of Poetry: a constraint, or tables with one each."""
    value = table.raw(key)
    name = canonicalize_name(key)
    parts = value if isinstance(value, list) else [value]
    texts = [part.get("version") if isinstance(part, dict) else part for part in parts]
    try:
        found = [poetry_fields.parsed(str(text or "*"), table.place(key)) for text in texts]
    except TableError:
        return  # Poetry itself will say what is wrong
    # Each of several constraints counts on some platforms; one version may answer one of them.
    shown = " || ".join(str(text) for text in texts if text and text != "*")
    conditional = any(isinstance(part, dict) and _CONDITIONS & {*part} for part in parts)
    yield Asked(
        name, shown, lambda version: any(each.admits(version) for each in found), conditional
    )


def _hashed_without_groups(path: Path) -> bool:
    """Tell from its first line whether an older Poetry made the lock."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    match = re.search(r"Poetry ([^ ]+)", first)
    try:
        return match is not None and Version(match[1]) < _HASHED_WITH_GROUPS_FROM
    except InvalidVersion:
        return False
