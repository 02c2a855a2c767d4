"""Get the dependencies by a plan, if there is one: without fetching, hashing or opening a wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.pipeline.cached_wheels import find_cached_wheels, tell_of_cached
from lambda_build_plugin.pipeline.decision import Dependencies
from lambda_build_plugin.pipeline.dependencies import find_skipped, warn_of_empty_wheels
from lambda_build_plugin.pipeline.noted_choice import keep_choice
from lambda_build_plugin.pipeline.plan import find_plan, may_have_plan
from lambda_build_plugin.pipeline.selecting import check_sizes, select_files
from lambda_build_plugin.pipeline.unneeded import warn_of_unneeded
from lambda_build_plugin.selection.graph import parsed_requirements, requirements_of
from lambda_build_plugin.source_build.policy import policy_warnings
from lambda_build_plugin.source_build.wheels import build_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.noted_choice import ChoiceKey
    from lambda_build_plugin.pipeline.plan import Plan
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.selection.files import Selection
    from lambda_build_plugin.selection.wheel_choice import Selected
    from lambda_build_plugin.system.hashes import Digest
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["get_planned_dependencies"]


def get_planned_dependencies(
    artifact: ArtifactBuild, target_lock: TargetLock | None, key: ChoiceKey | None
) -> tuple[Dependencies | None, Selection | None]:
    """Find the plan for the wheels of a lock, and the wheels in the cache.

    Args:
        artifact: What is built.
        target_lock: The packages for its target.
        key: Where what is chosen from the lock can be noted, if it can.

    Returns:
        The dependencies, whose wheels have not been hashed; None if there is no plan, or if
        something would have to be fetched or built for it. And what was selected for them, if
        it came to that.
    """
    settings = artifact.settings
    if target_lock is None or target_lock.needs_cut or not may_have_plan(settings):
        return None, None
    packages = target_lock.packages
    named = _named(artifact, target_lock.lock, packages.packages)
    if named is None:
        return None, None
    with artifact.clock.stage("select"):
        selection = select_files(artifact, named)
    if selection.commits:
        return None, selection
    check_sizes(settings, selection.files)
    files = _hashed_wheels(selection.files)
    if files is None:
        return None, selection
    if key is not None and named is packages.packages:
        keep_choice(artifact, key, target_lock, selection)
    wheels = find_cached_wheels(artifact, files)
    if wheels is None or (plan := find_plan(artifact, wheels)) is None:
        return None, selection
    with artifact.clock.stage("fetch"):
        tell_of_cached(artifact, wheels)
    local = _build_folders(artifact, selection)
    left_out = (*packages.left_out, *selection.left_out)
    dependencies = Dependencies(
        lock=target_lock,
        wheels=(*wheels, *local),
        left_out=tuple(sorted(left_out, key=lambda item: (item.name, item.version))),
        warnings=(
            *target_lock.warnings,
            *_warnings(artifact, target_lock, plan, (*wheels, *local)),
        ),
        skipped=find_skipped(settings, target_lock.lock),
        plan=plan,
    )
    return dependencies, selection


def _build_folders(artifact: ArtifactBuild, selection: Selection) -> tuple[Wheel, ...]:
    """Build the local folders that ship; their wheels are not part of a plan."""
    if not selection.folders:
        return ()
    with artifact.clock.stage("build"):
        return tuple(build_folder(*item, artifact.context) for item in selection.folders)


def _warnings(
    artifact: ArtifactBuild, target_lock: TargetLock, plan: Plan, wheels: Sequence[Wheel]
) -> Iterator[str]:
    """Yield what a build without a plan warns of, apart from what comes from an index."""
    requires = {each.name: each.requires for each in plan.distributions}
    yield from warn_of_unneeded(
        artifact,
        target_lock.lock,
        wheels,
        lambda wheel: (
            tuple(parsed_requirements(requires[wheel.name]))
            if wheel.name in requires
            else requirements_of(wheel.path)
        ),
    )
    yield from policy_warnings(artifact.context.policy, wheels)
    yield from warn_of_empty_wheels(wheels)


def _named(
    artifact: ArtifactBuild, lock: Lock, packages: Sequence[LockedPackage]
) -> Sequence[LockedPackage] | None:
    """Name the files of which the lock has only the hashes; None if an index must be asked.

    None as well if the lock has no hash of a file.
    """
    if any(package.unhashed for package in packages):
        return None
    if not any(package.unnamed for package in packages):
        return packages
    # Not loaded for a lock that has names.
    from lambda_build_plugin.pipeline.locked_wheels import make_fetcher

    try:
        return make_fetcher(artifact, lock, offline=True).named(packages, artifact.settings.target)
    except FetchError:
        return None


def _hashed_wheels(files: Sequence[Selected]) -> list[tuple[str, Digest]] | None:
    """List all selected files by name and sha256; None if one is something else."""
    found: list[tuple[str, Digest]] = []
    for item in files:
        digest = item.file.digest
        if not item.is_wheel or item.file.path is not None or digest is None:
            return None
        if not digest.startswith("sha256:"):
            return None
        found.append((item.filename, digest))
    return found
