"""Leave out wheels that are already there: in the runtime, or in another artifact."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Contents
from lambda_build_plugin.pipeline.roots import get_roots
from lambda_build_plugin.selection.provided import check_locked, without_artifacts, without_provided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.decision import Dependencies
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.selection.provided import Kept
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["leave_out_provided"]


def leave_out_provided(
    artifact: ArtifactBuild, lock: TargetLock | None, dependencies: Dependencies
) -> Dependencies:
    """Leave out what `provided` and `provided-by` name, each package with its reason.

    An artifact without dependencies only has the versions in its providers checked.

    Raises:
        VerificationError: A provider has another version than the lock.
    """
    settings, providers = artifact.settings, artifact.providers
    wheels = dependencies.wheels
    found: list[Kept] = []
    if lock is not None and settings.contents is Contents.PROJECT:
        found.append(check_locked(lock.packages.packages, providers))
    if lock is not None and settings.provided and wheels:
        found.append(_without_runtime_packages(artifact, lock.lock, wheels))
        wheels = found[-1].wheels
    if providers and wheels:
        found.append(without_artifacts(wheels, providers))
        wheels = found[-1].wheels
    left_out = chain(dependencies.left_out, *(kept.left_out for kept in found))
    removed = {wheel.name for wheel in dependencies.wheels if wheel not in wheels}
    return replace(
        dependencies,
        wheels=wheels,
        provided=tuple(wheel for wheel in dependencies.wheels if wheel not in wheels),
        left_out=tuple(sorted(left_out, key=lambda item: (item.name, item.version))),
        warnings=(*dependencies.warnings, *chain(*(kept.warnings for kept in found))),
        skipped=dependencies.skipped | removed,
    )


def _without_runtime_packages(artifact: ArtifactBuild, lock: Lock, wheels: Sequence[Wheel]) -> Kept:
    """Leave out the packages of `provided`, and the packages that only they need."""
    roots, project = get_roots(artifact, lock)
    return without_provided(
        wheels,
        artifact.settings.provided,
        artifact.settings.target,
        roots=roots,
        project=project,
        locked={package.name for package in lock.packages},
    )
