"""Where settings come from: flags, the environment, and tables of pyproject.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.config.options import ENVIRONMENT_PREFIX, variable
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Host

__all__ = ["ARTIFACTS", "SettingsSource", "environment_source", "table_source"]

_STAGE = "LAMBDA_BUILD_STAGE"
"""Set for hooks, which may run a build of their own; it is not a setting."""

ARTIFACTS = "artifacts"
"""Key of the sub-table for single artifacts, which `config.artifacts` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """Read `[tool.lambda-build]` of the project, without its tables for single artifacts.

    Raises:
        SettingsError: It is not a table.
    """
    try:
        table = project.tool.table("lambda-build")
    except TableError as error:
        raise SettingsError([str(error)]) from error
    return SettingsSource(
        values={key: table.raw(key) for key in table if key != ARTIFACTS},
        spell=lambda key: f"[tool.lambda-build] {key}",
        base=project.root,
        is_table=True,
    )
