"""Build artifacts: settings → lock → selection → fetch → stage → archive → verify → report.

This module joins the stages and does nothing else. Each stage takes a value and
returns one; what all stages of one artifact share is an `ArtifactBuild`.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.pipeline.finish import finish
from lambda_build_plugin.pipeline.host import open_cache
from lambda_build_plugin.pipeline.noted_choice import find_choice_key, get_noted_dependencies
from lambda_build_plugin.pipeline.noted_toml import NotedToml
from lambda_build_plugin.pipeline.outputs import check_outputs
from lambda_build_plugin.pipeline.plan import UnusablePlanError
from lambda_build_plugin.pipeline.run import ArtifactBuild, Run
from lambda_build_plugin.pipeline.staging import get_project_code, run_before_build, stage_artifact
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.system.cache_use import using
from lambda_build_plugin.system.leftovers import sweep, temporary_folder
from lambda_build_plugin.system.output import Outputs
from lambda_build_plugin.system.sharing import SharedFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.pipeline.decision import Dependencies
    from lambda_build_plugin.pipeline.noted_choice import ChoiceKey
    from lambda_build_plugin.report import BuildReport

__all__ = ["build", "build_all", "build_artifact", "prepare"]


def build(
    settings: Settings,
    reporter: Reporter | None = None,
    *,
    builder: Callable[[Path], object] | None = None,
) -> BuildReport:
    """Build one artifact from a locked project.

    Args:
        settings: What to build.
        reporter: Is told about each step; by default nothing is shown.
        builder: Writes the project's wheel into a folder, for a host that is itself the
            project's build backend.

    Raises:
        LambdaBuildError: With the reason and how to fix it. Nothing is left behind.
    """
    return build_all([settings], reporter, builder=builder)[0]


def build_all(
    artifacts: Sequence[Settings],
    reporter: Reporter | None = None,
    *,
    builder: Callable[[Path], object] | None = None,
) -> list[BuildReport]:
    """Build several artifacts from a locked project: all of them appear, or none.

    Args:
        artifacts: What to build. An artifact comes after those that provide for it.
        reporter: Is told about each step; by default nothing is shown.
        builder: Writes the project's wheel into a folder, for a host that is itself the
            project's build backend.

    Raises:
        LambdaBuildError: With the reason and how to fix it. Nothing is left behind.
    """
    caches = {settings.host.cache_dir for settings in artifacts}
    for cache in caches:
        sweep(cache)
    with (
        using(caches),
        temporary_folder() as folder,
        Outputs() as outputs,
    ):
        run = Run(
            folder=Path(folder),
            reporter=reporter or Reporter(),
            builder=builder,
            outputs=outputs,
            shared=SharedFolder(Path(folder, "shared")),
        )
        prepared = prepare(run, artifacts)
        return [build_artifact(run, prepared, number) for number in range(len(prepared))]


def prepare(run: Run, artifacts: Sequence[Settings]) -> Sequence[Settings]:
    """Choose the runtimes that nobody named, and check all outputs, before anything is built.

    Args:
        run: The run that artifacts are built in.
        artifacts: All artifacts of the project, also if some are built by another process.

    Returns:
        The artifacts, as they are to be built.

    Raises:
        LambdaBuildError: An artifact cannot be written to its output.
    """
    if any(settings.runtime_is_default for settings in artifacts):
        from lambda_build_plugin.pipeline.default_runtime import with_default_runtimes

        cache = open_cache(artifacts[0].host, run.folder, shared=run.shared)
        artifacts = with_default_runtimes(artifacts, run.locks, read_toml=NotedToml(cache=cache))
    for settings in artifacts:
        with _naming_artifact(settings, count=len(artifacts)):
            check_outputs(settings)
    return artifacts


def build_artifact(run: Run, artifacts: Sequence[Settings], number: int) -> BuildReport:
    """Build one artifact in a run; it appears when the outputs of the run are moved.

    Args:
        run: The run; artifacts that provide for this one have been built in it.
        artifacts: What `prepare` has returned.
        number: The place of the artifact among these.

    Raises:
        LambdaBuildError: With the reason and how to fix it.
    """
    with _naming_artifact(artifacts[number], count=len(artifacts)):
        return _build(artifacts[number], run)


def _build(settings: Settings, run: Run) -> BuildReport:
    """Take one artifact through all stages; it is moved into place when the run ends."""
    artifact = ArtifactBuild.start(settings, run)
    run_before_build(artifact)
    key = find_choice_key(artifact)
    found = None if key is None else get_noted_dependencies(artifact, key)
    try:
        return _build_from(*(found or _get_dependencies(artifact, key)))
    except UnusablePlanError as error:
        run.reporter.note(f"building without a plan: {error}")
    return _build_from(*_get_dependencies(artifact, key, has_plans=False))


def _get_dependencies(
    artifact: ArtifactBuild, key: ChoiceKey | None, *, has_plans: bool = True
) -> tuple[ArtifactBuild, Dependencies]:
    """Read the lock, and get the dependencies by a plan if there is one.

    Returns:
        The build, with the policy of the lock, and the dependencies.
    """
    # Not loaded by a build of which everything is noted.
    from lambda_build_plugin.pipeline.dependencies import get_dependencies
    from lambda_build_plugin.pipeline.left_out import leave_out_provided
    from lambda_build_plugin.pipeline.planned import get_planned_dependencies
    from lambda_build_plugin.pipeline.target_lock import read_target_lock

    lock = read_target_lock(artifact)
    artifact = artifact.with_policy_of(lock.lock if lock else None)
    selection = None
    if has_plans:
        planned, selection = get_planned_dependencies(artifact, lock, key)
        if planned is not None:
            return artifact, planned
    dependencies = get_dependencies(artifact, lock, selection)
    return artifact, leave_out_provided(artifact, lock, dependencies)


def _build_from(artifact: ArtifactBuild, dependencies: Dependencies) -> BuildReport:
    """Take the project's code and its dependencies through the remaining stages."""
    code = get_project_code(artifact, dependencies)
    staged = stage_artifact(artifact, dependencies, code)
    return finish(artifact, dependencies, staged)


@contextmanager
def _naming_artifact(settings: Settings, *, count: int) -> Iterator[None]:
    """Name the artifact in an error, if there are several."""
    try:
        yield
    except LambdaBuildError as error:
        if count > 1:
            error.what = f"{settings.label}: {error.what}"
        raise
