"""The lock for a target → the wheels that ship beside the project, and the packages that do not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Contents, LocalDependencies
from lambda_build_plugin.pipeline.decision import Dependencies
from lambda_build_plugin.pipeline.plan import may_have_plan
from lambda_build_plugin.pipeline.target_lock import explaining_host_only_lock
from lambda_build_plugin.pipeline.unneeded import warn_of_unneeded
from lambda_build_plugin.selection.graph import requirements_of
from lambda_build_plugin.source_build.compatibility import holds_code
from lambda_build_plugin.source_build.policy import policy_warnings
from lambda_build_plugin.source_build.wheels import included

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.selection.files import Selection
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["find_skipped", "get_dependencies", "warn_of_empty_wheels"]


def get_dependencies(
    artifact: ArtifactBuild, lock: TargetLock | None, selection: Selection | None = None
) -> Dependencies:
    """Get all wheels but the project's own: those of the lock, and those of `include-local`.

    Args:
        artifact: What is built.
        lock: The packages for its target.
        selection: What was already selected for all of these packages.

    Raises:
        LambdaBuildError: A package has no file for the target, or cannot be fetched or built.
    """
    settings = artifact.settings
    dependencies = Dependencies() if lock is None else _get_locked(artifact, lock, selection)
    if settings.contents is Contents.PROJECT:
        return dependencies
    local = tuple(included(path, artifact.context) for path in settings.include_local)
    wheels = (*dependencies.wheels, *local)
    return replace(
        dependencies,
        wheels=wheels,
        warnings=(*dependencies.warnings, *warn_of_empty_wheels(wheels)),
    )


def _get_locked(
    artifact: ArtifactBuild, target_lock: TargetLock, selection: Selection | None
) -> Dependencies:
    # Not loaded by a build that has a plan.
    from lambda_build_plugin.pipeline.environment_lock import get_needed_wheels
    from lambda_build_plugin.pipeline.locked_wheels import get_locked_wheels, make_fetcher

    settings, lock = artifact.settings, target_lock.lock
    skipped = find_skipped(settings, lock)
    if settings.contents is Contents.PROJECT:
        return Dependencies(lock=target_lock, skipped=skipped)
    packages = target_lock.packages
    can_have_plan = False
    with (
        closing(make_fetcher(artifact, lock)) as fetcher,
        explaining_host_only_lock(lock, settings),
    ):
        if target_lock.needs_cut:
            found = get_needed_wheels(artifact, target_lock, fetcher)
            wheels, left_out, warnings = found.wheels, found.left_out, found.warnings
        else:
            locked = get_locked_wheels(artifact, packages.packages, fetcher, selection)
            can_have_plan = locked.can_have_plan and may_have_plan(settings)
            wheels = locked.wheels
            warnings = tuple(
                warn_of_unneeded(artifact, lock, wheels, lambda wheel: requirements_of(wheel.path))
            )
            left_out = (*packages.left_out, *locked.left_out)
    return Dependencies(
        lock=target_lock,
        wheels=wheels,
        left_out=left_out,
        warnings=(
            *target_lock.warnings,
            *warnings,
            *fetcher.warnings,
            *policy_warnings(artifact.context.policy, wheels),
        ),
        skipped=skipped,
        can_have_plan=can_have_plan,
    )


def find_skipped(settings: Settings, lock: Lock) -> frozenset[str]:
    """Name packages that the lock requires and that have no wheel to ship.

    These are the folders of `local-dependencies = "skip"`, and projects that are not
    packages (uv: `package = false`): only what they require ships.
    """
    real = {package.name for package in lock.packages if not package.virtual}
    skips_folders = settings.local_dependencies is LocalDependencies.SKIP
    return frozenset(
        package.name
        for package in lock.packages
        if (package.virtual and package.name not in real)
        or (skips_folders and package.directory is not None)
    )


def warn_of_empty_wheels(wheels: Sequence[Wheel]) -> Iterator[str]:
    """Warn of folders whose build settings select no code: some backends do not fail then."""
    for wheel in wheels:
        if wheel.source == "local" and not holds_code(wheel.path):
            yield (
                f"the wheel of {wheel.name} {wheel.version}, built from its folder, is empty: "
                "check its build settings if the folder contains code"
            )
