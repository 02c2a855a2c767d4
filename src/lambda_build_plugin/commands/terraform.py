"""Answer the `external` data source of Terraform and OpenTofu: a query → what was built.

Its program reads a JSON object of strings from standard input, and writes one to standard
output. Both are flat. After any exit code but 0, Terraform shows what is on standard error
(documentation of the provider hashicorp/external).
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.commands.api import load_all_settings
from lambda_build_plugin.errors import SettingsError, excerpt
from lambda_build_plugin.pipeline.build import build_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.report import BuildReport

__all__ = ["answer", "read_query"]

_TRY = 'to try it by hand: echo \'{"project": "."}\' | lambda-build terraform'

_NOT_HERE = ("environ", "json", "report", "unpacked")
"""What is no setting, or means another output than the zip."""


def read_query(text: str) -> dict[str, str]:
    """Read the query; values that are empty or null count as not given.

    Raises:
        SettingsError: It is not a JSON object of strings.
    """
    try:
        query: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            [f"standard input is not JSON: `{excerpt(text.strip())}`"], hint=_TRY
        ) from error
    if not isinstance(query, dict):
        raise SettingsError(
            [f"standard input is not a JSON object: `{excerpt(text.strip())}`"], hint=_TRY
        )
    given = {key: value for key, value in query.items() if value is not None and value != ""}
    if wrong := [key for key, value in given.items() if not isinstance(value, str)]:
        raise SettingsError(
            [f"{key}: must be a string" for key in wrong],
            hint='write lists with commas and booleans as words: groups = "a,b", strict = "true"',
        )
    return given


def answer(
    query: Mapping[str, str], environ: Mapping[str, str], warn: Callable[[str], None]
) -> dict[str, str]:
    """Build what a query asks for, and describe it for `aws_lambda_function`.

    Args:
        query: `project` (a folder, by default the current one), `artifact`, `cache_dir`, and
            settings, with `_` for `-`; the setting `project` is spelled `project_as`.
        environ: Environment variables.
        warn: Is called with each warning of the build, before the answer is there.

    Returns:
        `filename` (from the current folder), `source_code_hash` (base64), `sha256`
        (hexadecimal), `runtime`, `architecture`, `handler` (empty if the project names none)
        and `size` (bytes), all as strings.

    Raises:
        LambdaBuildError: With the reason and how to fix it.
    """
    rest = {key.replace("-", "_"): value for key, value in query.items()}
    folder, artifact = rest.pop("project", "."), rest.pop("artifact", None)
    cache_dir = rest.pop("cache_dir", None)
    if "project_as" in rest:
        rest["project"] = rest.pop("project_as")
    _check_keys(rest)
    names = [artifact] if artifact else []
    settings = load_all_settings(folder, *names, environ=environ, cache_dir=cache_dir, **rest)
    _check_there_is_one(settings, names)
    # A folder that the project names would be there already at the next plan.
    reports = build_all([replace(each, unpacked=None) for each in settings])
    for warning in dict.fromkeys(each for report in reports for each in report["warnings"]):
        warn(warning)
    # What provides for the artifact comes before it.
    return _described(reports[-1], settings[-1].host.cwd)


def _check_keys(query: Mapping[str, str]) -> None:
    if wrong := [key for key in query if key in _NOT_HERE]:
        raise SettingsError(
            [f"{key}: cannot be set in a query" for key in wrong],
            hint="remove it: the result of a data source is one zip and what is known of it",
        )


def _check_there_is_one(settings: Sequence[Settings], names: Sequence[str]) -> None:
    wanted = [each for each in settings if not names or each.artifact in names]
    if len(wanted) > 1:
        labels = ", ".join(each.label for each in wanted)
        raise SettingsError(
            [f"the query means {len(wanted)} artifacts: {labels}"],
            hint="choose one in the query with `artifact`, `runtime` and `architecture`, and "
            "write a data source for each",
        )


def _described(report: BuildReport, cwd: Path) -> dict[str, str]:
    return {
        "filename": _from(cwd, report["artifact"]),
        "source_code_hash": report["code_sha256"],
        "sha256": report["sha256"],
        "runtime": report["runtime"],
        "architecture": report["architecture"],
        "handler": report["handler"] or "",
        "size": str(report["size"]["zipped"]),
    }


def _from(cwd: Path, path: str) -> str:
    """Spell a path from the current folder: the state is shared by machines with other folders."""
    try:
        return Path(os.path.relpath(path, cwd)).as_posix()
    except ValueError:  # on another drive of Windows
        return path
