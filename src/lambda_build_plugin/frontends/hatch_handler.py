"""The build target `lambda`: hatchling's words → `Settings` → build → a zip.

Loaded when the target is built. What is asked of hatchling: the tables of the target, the
folder to build into, and the project's wheel, as `-t wheel` would write it. The rest is
the core's, so that all doors write the same bytes.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import traceback
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hatchling.builders.wheel import WheelBuilder

from lambda_build_plugin.config.artifacts import for_one_target
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.read_settings import read_settings
from lambda_build_plugin.config.sources import (
    ARTIFACTS,
    SettingsSource,
    environment_source,
    table_source,
)
from lambda_build_plugin.errors import LambdaBuildError, SettingsError
from lambda_build_plugin.frontends.session import Session
from lambda_build_plugin.pipeline.build import build
from lambda_build_plugin.source_build.errors import BackendError
from lambda_build_plugin.source_build.source import of_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.frontends.hatch import LambdaBuilder

__all__ = ["build_zip", "checked_versions", "configured_layout", "remove_zips"]

_INTERRUPTED = 130
_DOOR = "`hatch build -t lambda`"
_TABLE = "tool.hatch.build.targets.lambda"

_HATCHLINGS = frozenset(
    {
        "artifacts",
        "dependencies",
        "dev-mode-dirs",
        "dev-mode-exact",
        "directory",
        "force-include",
        "hooks",
        "ignore-vcs",
        "only-include",
        "only-packages",
        "packages",
        "reproducible",
        "require-runtime-dependencies",
        "require-runtime-features",
        "skip-excluded-dirs",
        "sources",
        "versions",
    }
)
"""What hatchling itself reads in the table of any target (`builders/config.py`)."""


def checked_versions(builder: LambdaBuilder, versions: Sequence[str] | None) -> list[str]:
    """Choose the versions to build; ends with a message where a setting is wrong."""
    with _answered(builder):
        chosen = _versions(builder, versions)
        settings = _settings(builder, _session(builder), None)
        if len(chosen) > 1 and not _is_folder(builder, settings):
            raise SettingsError(
                [f"`output` names one file, and {len(chosen)} versions are to be built"],
                hint="leave `output` out: hatchling's `directory` takes them",
            )
        if ARTIFACTS in settings.project.tool.table("lambda-build"):
            builder.app.display_warning(
                f"warning: [tool.lambda-build.{ARTIFACTS}] is passed over: {_DOOR} builds one zip "
                "a version, `lambda-build` builds the artifacts"
            )
    return chosen


def configured_layout(builder: LambdaBuilder) -> str:
    """Get the layout that the settings name, or its default."""
    return _settings(builder, _session(builder), None).layout.value


def build_zip(builder: LambdaBuilder, version: str, directory: str) -> str:
    """Build one version into hatchling's folder and give the path of the zip."""
    with _answered(builder):
        session = _session(builder)
        settings = _settings(builder, session, version)
        if _is_folder(builder, settings) and (builder.is_given or settings.output is None):
            folder = Path(builder.root, directory)
            settings = replace(settings, output=folder, output_is_folder=True)
        reporter = session.reporter(sys.stderr)
        with reporter.live():
            result = build(
                settings,
                reporter,
                builder=partial(_write_wheel, builder, settings.project, session.verbose),
            )
        # hatchling keeps standard output for what other programs read.
        session.show([result], sys.stderr, sys.stderr)
    return result["artifact"]


def remove_zips(builder: LambdaBuilder, directory: str, versions: Sequence[str]) -> None:
    """Remove the zips of these versions that earlier builds wrote under their default name."""
    with _answered(builder):
        name = re.escape(read_project(Path(builder.root)).name.replace("-", "_"))
        pattern = re.compile(
            rf"{name}(-[^-]+)?-({'|'.join(versions)})-python3\.\d+-(x86_64|arm64)\.zip"
        )
        for path in Path(builder.root, directory).iterdir():
            if pattern.fullmatch(path.name):
                path.unlink()


@contextmanager
def _answered(builder: LambdaBuilder) -> Iterator[None]:
    """End hatchling with a message and our exit code where it would show a traceback."""
    # As in the console script: the process is about to end, collecting is not worth it.
    gc.disable()
    try:
        yield
    except LambdaBuildError as error:
        builder.app.abort(_in_words_of_hatch(error), code=error.exit_code)
    except KeyboardInterrupt:
        builder.app.abort("interrupted", code=_INTERRUPTED)
    finally:
        gc.enable()


def _in_words_of_hatch(error: LambdaBuildError) -> str:
    return str(error).replace(
        "`lambda-build --help` lists the options and their values",
        f"they stand in [{_TABLE}], [tool.lambda-build], or the environment as LAMBDA_BUILD_<KEY>",
    )


def _versions(builder: LambdaBuilder, versions: Sequence[str] | None) -> list[str]:
    """Choose the versions, and let hatchling look at its tables before it builds.

    Raises:
        SettingsError: A table is not as hatchling has it, or a version is not known.
    """
    try:
        builder.metadata.validate_fields()
        builder.get_build_hooks(builder.config.directory)
        chosen = list(versions or builder.config.versions)
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError([str(error)], hint="mend pyproject.toml or hatch.toml") from error
    there = builder.get_version_api()
    if unknown := sorted(set(chosen) - set(there)):
        raise SettingsError(
            [f"the target `lambda` has no version {', '.join(f'`{name}`' for name in unknown)}"],
            hint=f"the versions are: {', '.join(there)} (`-t lambda:layer`)",
        )
    return chosen


def _session(builder: LambdaBuilder) -> Session:
    verbosity = builder.app.verbosity
    return Session.of({}, os.environ, quiet=verbosity < 0, verbose=verbosity > 0)


def _settings(builder: LambdaBuilder, session: Session, version: str | None) -> Settings:
    """Read the settings; the version is a layout, like a flag.

    Raises:
        SettingsError: With every mistake.
    """
    project = read_project(Path(builder.root))
    layers = [
        SettingsSource(
            values={"layout": version},
            spell=lambda _: f"the version `{version}` of the target",
            base=project.root,
        ),
        environment_source(session.host),
        _target_layer(builder, project),
        table_source(project),
    ]
    return read_settings(project, for_one_target(layers, door=_DOOR), session.host)


def _target_layer(builder: LambdaBuilder, project: Project) -> SettingsSource:
    """Read the target's own table, of pyproject.toml or hatch.toml."""
    try:
        table = builder.target_config
    except TypeError as error:
        raise SettingsError([str(error)], hint=f"make [{_TABLE}] a table") from error
    if isinstance(table.get(ARTIFACTS), dict):
        raise SettingsError(
            [
                f"[{_TABLE}] {ARTIFACTS}: is a table, and hatchling's own key of that name is a "
                "list of patterns"
            ],
            hint=f"[tool.lambda-build.{ARTIFACTS}] has artifacts, which `lambda-build` builds",
        )
    return SettingsSource(
        values={key: value for key, value in table.items() if key not in _HATCHLINGS},
        spell=lambda key: f"[{_TABLE}] {key}",
        base=project.root,
        is_table=True,
    )


def _is_folder(builder: LambdaBuilder, settings: Settings) -> bool:
    """Tell whether the zip gets its default name, in hatchling's folder or in `output`."""
    return builder.is_given or settings.output is None or settings.output_is_folder


def _write_wheel(builder: LambdaBuilder, project: Project, verbose: bool, folder: Path) -> None:  # noqa: FBT001 - bound by `partial`
    """Build the project's wheel with the hooks of the target `wheel`.

    Raises:
        SourceBuildError: hatchling or a hook fails.
    """
    wheels = WheelBuilder(
        builder.root,
        plugin_manager=builder.plugin_manager,
        metadata=builder.metadata,
        app=builder.app,
    )
    try:
        # The folder is new: there is nothing to clean, also where the variable asks for it.
        list(wheels.build(directory=str(folder), versions=["standard"], clean=False))
    except Exception as error:  # whatever hatchling or a hook raises
        said = traceback.format_exc() if verbose else f"{type(error).__name__}: {error}"
        raise BackendError(of_project(project), "hatchling", said) from error
