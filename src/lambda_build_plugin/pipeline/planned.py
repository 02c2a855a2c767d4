"""Get the dependencies by a plan, if there is one: without fetching, hashing or opening a wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.pipeline.dependencies import Dependencies, find_skipped
from lambda_build_plugin.pipeline.plan import find_note, may_have_plan, read_plan
from lambda_build_plugin.pipeline.selecting import check_sizes, select_files
from lambda_build_plugin.pipeline.unneeded import warn_of_unneeded
from lambda_build_plugin.selection.graph import parsed_requirements
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.selection.files import Selection
    from lambda_build_plugin.selection.wheel_choice import Selected

__all__ = ["get_planned_dependencies"]


def get_planned_dependencies(
    artifact: ArtifactBuild, target_lock: TargetLock | None
) -> tuple[Dependencies | None, Selection | None]:
    """Find the plan for the wheels of a lock, and the wheels in the cache.

    Returns:
        The dependencies, whose wheels have not been hashed; None if there is no plan, or if
        something would have to be fetched or built for it. And what was selected for them, if
        it came to that.
    """
    settings = artifact.settings
    if target_lock is None or target_lock.needs_cut or not may_have_plan(settings):
        return None, None
    packages = target_lock.packages
    if any(package.unhashed for package in packages.packages):
        return None, None
    named = _named(artifact, target_lock.lock, packages.packages)
    if named is None:
        return None, None
    with artifact.clock.stage("select"):
        selection = select_files(artifact, named)
    if selection.folders or selection.commits:
        return None, selection
    wheels = _find_wheels(artifact, selection.files)
    check_sizes(settings, selection.files)
    if wheels is None or (note := find_note(artifact, wheels)) is None:
        return None, selection
    with artifact.clock.stage("fetch"):
        plan = read_plan(note, artifact, wheels)
    reporter = artifact.context.reporter
    reporter.fetching(files=len(wheels))
    for wheel in wheels:
        reporter.fetched(wheel.filename, cached=True)
    left_out = (*packages.left_out, *selection.left_out)
    requires = {each.name: each.requires for each in plan.distributions}
    unneeded = warn_of_unneeded(
        artifact,
        target_lock.lock,
        wheels,
        lambda wheel: tuple(parsed_requirements(requires[wheel.name])),
    )
    dependencies = Dependencies(
        lock=target_lock,
        wheels=wheels,
        left_out=tuple(sorted(left_out, key=lambda item: (item.name, item.version))),
        warnings=(*target_lock.warnings, *unneeded),
        folders=target_lock.folders,
        skipped=find_skipped(settings, target_lock.lock),
        plan=plan,
    )
    return dependencies, selection


def _named(
    artifact: ArtifactBuild, lock: Lock, packages: Sequence[LockedPackage]
) -> Sequence[LockedPackage] | None:
    """Name the files of which the lock has only the hashes; None if an index must be asked."""
    if not any(package.unnamed for package in packages):
        return packages
    # Not loaded for a lock that has names.
    from lambda_build_plugin.pipeline.locked_wheels import make_fetcher

    try:
        return make_fetcher(artifact, lock, offline=True).named(packages, artifact.settings.target)
    except FetchError:
        return None


def _find_wheels(artifact: ArtifactBuild, files: Sequence[Selected]) -> tuple[Wheel, ...] | None:
    """Find all selected files in the cache; None if one is missing, or is not a hashed wheel."""
    wheels: list[Wheel] = []
    for item in files:
        digest = item.file.digest
        if not item.is_wheel or item.file.path is not None or digest is None:
            return None
        path = artifact.context.cache.unchecked(digest)
        if path is None or not digest.startswith("sha256:"):
            return None
        sha256 = digest.removeprefix("sha256:")
        wheels.append(Wheel.of(path, sha256=sha256, source="wheel", filename=item.filename))
    return tuple(wheels)
