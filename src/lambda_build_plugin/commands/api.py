"""Functions for Python programs: plain values in, settings and reports out.

`lambda_build_plugin` offers them, together with `build` and `build_all` of the pipeline.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lambda_build_plugin.commands.inspection import inspect as inspect_zip
from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.sources import SettingsSource, environment_source, table_source
from lambda_build_plugin.config.spelling import wrong_value
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.pipeline.host import read_host, read_machine
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambda_build_plugin.commands.inspection import InspectionReport
    from lambda_build_plugin.config.settings import Settings

__all__ = ["inspect", "load_all_settings", "load_settings"]

_T = TypeVar("_T")


def load_settings(
    project_dir: str | os.PathLike[str] = ".",
    /,
    *,
    environ: Mapping[str, str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    **settings: object,
) -> Settings:
    """Load the settings of a project that has one artifact.

    Args:
        project_dir: The folder with pyproject.toml or requirements.txt.
        environ: Environment variables; by default those of this process.
        cache_dir: The folder of the cache; by default the same as for `lambda-build`.
        settings: The keys of `[tool.lambda-build]`, with `_` for `-`. Like flags on the
            command line they win over the environment (`LAMBDA_BUILD_<KEY>`) and the table,
            and relative paths start from the current folder.

    Raises:
        SettingsError: With every mistake, or because the project has several artifacts.
    """
    loaded = load_all_settings(project_dir, environ=environ, cache_dir=cache_dir, **settings)
    if len(loaded) > 1:
        labels = ", ".join(each.label for each in loaded)
        raise SettingsError(
            [f"the project has {len(loaded)} artifacts: {labels}"],
            hint="use `load_all_settings` and `build_all`",
        )
    return loaded[0]


def load_all_settings(
    project_dir: str | os.PathLike[str] = ".",
    /,
    *artifacts: str,
    environ: Mapping[str, str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    **settings: object,
) -> tuple[Settings, ...]:
    """Load the settings of all artifacts of a project, in the order to build them.

    Args:
        project_dir: The folder with pyproject.toml or requirements.txt.
        artifacts: Names of artifacts; by default all. What they are provided by is included.
        environ: Environment variables; by default those of this process.
        cache_dir: The folder of the cache; by default the same as for `lambda-build`.
        settings: The keys of `[tool.lambda-build]`, with `_` for `-`, as in `load_settings`.

    Raises:
        SettingsError: With every mistake in every artifact.
    """
    host = read_host(
        os.environ if environ is None else environ,
        None if cache_dir is None else os.fspath(cache_dir),
    )
    project = read_project(host.cwd / project_dir)
    sources = [
        SettingsSource(
            values={key.replace("_", "-"): _plain(value) for key, value in settings.items()},
            spell=lambda key: key.replace("-", "_"),
            base=host.cwd,
        ),
        environment_source(host),
        table_source(project),
    ]
    return read_artifacts(project, sources, host, wanted=artifacts)


def _plain(value: object) -> object:
    """Turn paths and other sequences into the strings and lists that TOML would have."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return value


def inspect(
    path: str | os.PathLike[str],
    *,
    runtime: str | None = None,
    architecture: str | None = None,
    handler: str | None = None,
    layers: Sequence[str | os.PathLike[str]] = (),
) -> InspectionReport:
    """Check the zip of a function or a layer, whatever tool made it.

    Args:
        path: The zip.
        runtime: Such as `python3.13`; guessed from the contents by default.
        architecture: `x86_64` or `arm64`; guessed from the contents by default.
        handler: Such as `package.module.function`; not checked by default.
        layers: Zips of the layers that the function uses, in their order.

    Raises:
        SettingsError: The runtime or the architecture is unknown.
        VerificationError: A file cannot be read as a zip. Checks that fail do not raise:
            they are in `failures` of the report.
    """
    problems: list[str] = []

    def choose(name: str, value: str | None, known: Mapping[str, _T]) -> _T | None:
        if value is not None and value not in known:
            problems.append(f"{name}: {wrong_value(value, known)}")
        return None if value is None else known.get(value)

    chosen_runtime = choose("runtime", runtime, RUNTIMES)
    chosen_architecture = choose(
        "architecture", architecture, {each.value: each for each in Architecture}
    )
    if problems:
        raise SettingsError(problems)
    return inspect_zip(
        Path(path),
        runtime=chosen_runtime,
        architecture=chosen_architecture,
        handler=handler,
        layers=tuple(map(Path, layers)),
        machine=read_machine(os.environ),
    )
