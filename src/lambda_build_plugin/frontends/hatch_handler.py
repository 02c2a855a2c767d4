"""The build target `lambda`: hatchling's configuration → `Settings` → build → a zip.

Loaded when the target is built. Hatchling provides the tables of the target, the output
folder, and the project's wheel, as `-t wheel` would write it. The core does the rest, so
that all frontends write the same bytes.
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
from lambda_build_plugin.frontends.session import Session, write_failure
from lambda_build_plugin.pipeline.build import build
from lambda_build_plugin.pipeline.outputs import PAGE, REPORT, SBOM
from lambda_build_plugin.source_build.errors import BackendError
from lambda_build_plugin.source_build.source import of_project

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.frontends.hatch import LambdaBuilder

__all__ = ["build_zip", "checked_versions", "configured_layout", "remove_zips"]

_INTERRUPTED = 130
_FILES = (REPORT.option, PAGE.option, SBOM.option)
"""The keys with the files that tell about a build, for which other frontends have flags."""

_COMMAND = "`hatch build -t lambda`"
_TABLE = "tool.hatch.build.targets.lambda"

_HATCHLING_KEYS = frozenset(
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
"""Keys that hatchling itself reads in the table of any target (`builders/config.py`)."""


def checked_versions(builder: LambdaBuilder, versions: Sequence[str] | None) -> list[str]:
    """Choose the versions to build; a wrong setting ends the command with a message."""
    with _reporting_errors(builder):
        chosen = _versions(builder, versions)
        session = _session(builder)
        settings = _settings(builder, session, None)
        session.check_result_files([settings])
        if len(chosen) > 1 and (named := _result_files(builder)):
            raise SettingsError(
                [
                    f"`{key}` is a single file, but {len(chosen)} versions are requested"
                    for key in named
                ],
                hint="build one version at a time: `hatch build -t lambda:layer`",
            )
        if len(chosen) > 1 and not _is_folder(builder, settings):
            raise SettingsError(
                [f"`output` is a single file, but {len(chosen)} versions are requested"],
                hint="remove `output`: the zips go into hatchling's `directory`",
            )
        if ARTIFACTS in settings.project.tool.table("lambda-build"):
            builder.app.display_warning(
                f"warning: [tool.lambda-build.{ARTIFACTS}] is ignored: {_COMMAND} builds one zip "
                "per version; use `lambda-build` to build the artifacts"
            )
    return chosen


def configured_layout(builder: LambdaBuilder) -> str:
    """Return the layout of the settings, or the default."""
    return _settings(builder, _session(builder), None).layout.value


def build_zip(builder: LambdaBuilder, version: str, directory: str) -> str:
    """Build one version into hatchling's folder and return the path of the zip."""
    with _reporting_errors(builder):
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
        # hatchling reserves standard output for other programs.
        session.show([result], sys.stderr, sys.stderr)
    return result["artifact"]


def remove_zips(builder: LambdaBuilder, directory: str, versions: Sequence[str]) -> None:
    """Remove zips of these versions that earlier builds wrote under the default name."""
    with _reporting_errors(builder):
        name = re.escape(read_project(Path(builder.root)).name.replace("-", "_"))
        pattern = re.compile(
            rf"{name}(-[^-]+)?-({'|'.join(versions)})-python3\.\d+-(x86_64|arm64)\.zip"
        )
        for path in Path(builder.root, directory).iterdir():
            if pattern.fullmatch(path.name):
                path.unlink()


@contextmanager
def _reporting_errors(builder: LambdaBuilder) -> Iterator[None]:
    """End hatchling with our message and exit code, where it would show a traceback."""
    # As in the console script: collecting garbage is not worth it, the process ends soon.
    gc.disable()
    try:
        yield
    except LambdaBuildError as error:
        write_failure(error, _result_files(builder), cwd=Path(builder.root), output=sys.stderr)
        builder.app.abort(
            _message_for_hatch(error, verbose=builder.app.verbosity > 0), code=error.exit_code
        )
    except KeyboardInterrupt:
        builder.app.abort("interrupted", code=_INTERRUPTED)
    finally:
        gc.enable()


def _message_for_hatch(error: LambdaBuildError, *, verbose: bool) -> str:
    return error.text(verbose=verbose).replace(
        "`lambda-build --help` lists the options and their values",
        f"settings are read from [{_TABLE}], [tool.lambda-build] and LAMBDA_BUILD_<KEY>",
    )


def _versions(builder: LambdaBuilder, versions: Sequence[str] | None) -> list[str]:
    """Choose the versions, and let hatchling check its tables before the build.

    Raises:
        SettingsError: Hatchling rejects a table, or a version is unknown.
    """
    try:
        builder.metadata.validate_fields()
        builder.get_build_hooks(builder.config.directory)
        chosen = list(versions or builder.config.versions)
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError([str(error)], hint="fix pyproject.toml or hatch.toml") from error
    known = builder.get_version_api()
    if unknown := sorted(set(chosen) - set(known)):
        raise SettingsError(
            [f"the target `lambda` has no version {', '.join(f'`{name}`' for name in unknown)}"],
            hint=f"the versions are: {', '.join(known)} (`-t lambda:layer`)",
        )
    return chosen


def _session(builder: LambdaBuilder) -> Session:
    verbosity = builder.app.verbosity
    options = {key: Path(builder.root, file) for key, file in _result_files(builder).items()}
    return Session.of(options, os.environ, quiet=verbosity < 0, verbose=verbosity > 0)


def _result_files(builder: LambdaBuilder) -> dict[str, str]:
    """Return the files that tell about a build, by their keys, as far as they are texts."""
    try:
        table = builder.target_config
    except TypeError:  # not a table, which `_target_source` explains
        table = {}
    named = {key: table.get(key) for key in _FILES}
    return {key: file for key, file in named.items() if isinstance(file, str) and file}


def _settings(builder: LambdaBuilder, session: Session, version: str | None) -> Settings:
    """Read the settings; the version sets the layout, and is as strong as a flag.

    Raises:
        SettingsError: With every mistake.
    """
    project = read_project(Path(builder.root))
    sources = [
        SettingsSource(
            values={"layout": version},
            spell=lambda _: f"the version `{version}` of the target",
            base=project.root,
        ),
        environment_source(session.host),
        _target_source(builder, project),
        table_source(project),
    ]
    return read_settings(project, for_one_target(sources, door=_COMMAND), session.host)


def _target_source(builder: LambdaBuilder, project: Project) -> SettingsSource:
    """Read the target's own table in pyproject.toml or hatch.toml."""
    try:
        table = builder.target_config
    except TypeError as error:
        raise SettingsError([str(error)], hint=f"make [{_TABLE}] a table") from error
    if isinstance(table.get(ARTIFACTS), dict):
        raise SettingsError(
            [
                f"[{_TABLE}] {ARTIFACTS}: is a table, but hatchling's own key with that name is a "
                "list of patterns"
            ],
            hint=f"define artifacts in [tool.lambda-build.{ARTIFACTS}]; `lambda-build` builds them",
        )
    if wrong := [key for key in _FILES if not isinstance(table.get(key, ""), str)]:
        raise SettingsError(
            [f"[{_TABLE}] {key}: must be a string" for key in wrong], hint="name a file"
        )
    others = {*_HATCHLING_KEYS, *_FILES}
    return SettingsSource(
        values={key: value for key, value in table.items() if key not in others},
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
        SourceBuildError: Hatchling or a hook fails.
    """
    wheels = WheelBuilder(
        builder.root,
        plugin_manager=builder.plugin_manager,
        metadata=builder.metadata,
        app=builder.app,
    )
    try:
        # The folder is new, so there is nothing to clean even if the variable asks for it.
        list(wheels.build(directory=str(folder), versions=["standard"], clean=False))
    except Exception as error:  # whatever hatchling or a hook raises
        output = traceback.format_exc() if verbose else f"{type(error).__name__}: {error}"
        raise BackendError(of_project(project), "hatchling", output) from error
