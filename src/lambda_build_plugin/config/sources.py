"""Where settings come from: flags, the environment, and tables of pyproject.toml."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_build_plugin.config.options import ENVIRONMENT_PREFIX, variable
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Host
    from lambda_build_plugin.config.tables import Table

__all__ = [
    "ARTIFACTS",
    "TABLE",
    "WORKSPACE",
    "SettingsSource",
    "environment_source",
    "misnamed_tables",
    "table_source",
]

_STAGE = "LAMBDA_BUILD_STAGE"
"""Set for hooks, which may run a build of their own; it is not a setting."""

TABLE = "lambda-build"
"""The table of ours, below `[tool]`."""

_MISTAKABLE = {"lambda", "lambdabuild", "lambdabuilder", "lambdabuildplugin", "buildlambda"}
"""What people call the table by mistake, without dashes, underscores and dots."""

_NEARLY = 0.9
"""One letter that is missing, doubled or in the wrong place."""

ARTIFACTS = "artifacts"
"""Key of the sub-table for single artifacts, which `config.artifacts` reads."""

WORKSPACE = "workspace"
"""Key of the sub-table that names other projects, which `config.workspace` reads."""

_SUB_TABLES = frozenset({ARTIFACTS, WORKSPACE})


@dataclass(frozen=True, kw_only=True)
class SettingsSource:
    """One source of settings: its values, and how messages name its keys."""

    values: Mapping[str, object]
    """By key as in `[tool.lambda-build]`; None means not given."""

    spell: Callable[[str], str]
    base: Path
    """Folder that relative paths in this source start from."""

    is_table: bool = False
    """Whether it is a table in a file, where some keys are not allowed."""

    is_environment: bool = False
    """Whether it is the process environment, where some keys are not allowed."""


def environment_source(host: Host) -> SettingsSource:
    """Read the keys that `LAMBDA_BUILD_<KEY>` sets; an empty variable counts as not set."""
    named = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("_", "-"): value
        for name, value in host.environ.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in {_STAGE, variable("cache-dir")}
    }
    return SettingsSource(
        values={key: value or None for key, value in named.items()},
        spell=lambda key: f"environment variable {variable(key)}",
        base=host.cwd,
        is_environment=True,
    )


def table_source(project: Project) -> SettingsSource:
    """Read `[tool.lambda-build]` of the project, without its sub-tables.

    Raises:
        SettingsError: It is not a table, or a table with another name looks like it.
    """
    if misnamed := [*misnamed_tables(project.pyproject)]:
        raise SettingsError(misnamed, hint="rename it in pyproject.toml: nothing reads it there")
    try:
        table = project.tool.table(TABLE)
    except TableError as error:
        raise SettingsError([str(error)]) from error
    return SettingsSource(
        values={key: table.raw(key) for key in table if key not in _SUB_TABLES},
        spell=lambda key: f"[tool.lambda-build] {key}",
        base=project.root,
        is_table=True,
    )


def misnamed_tables(pyproject: Table) -> Iterator[str]:
    """Find tables that are probably meant to be `[tool.lambda-build]`, which would be ignored."""
    for at, table in (("", pyproject), ("tool.", pyproject.table("tool"))):
        for key in table:
            is_right = at and key == TABLE
            if not is_right and _looks_like_our_table(key) and isinstance(table.raw(key), dict):
                yield f"[{at}{key}] is not a table of any tool; did you mean [tool.{TABLE}]?"


def _looks_like_our_table(key: str) -> bool:
    letters = re.sub(r"[-_. ]", "", key.lower())
    if letters in _MISTAKABLE or not letters.startswith("la"):
        return letters in _MISTAKABLE
    from difflib import SequenceMatcher

    return SequenceMatcher(None, letters, "lambdabuild").ratio() > _NEARLY
