"""Locked packages → the selected file of each package, as the settings want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import LocalDependencies
from lambda_build_plugin.selection.files import select
from lambda_build_plugin.verify import sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.selection.files import Selection
    from lambda_build_plugin.selection.wheel_choice import Selected

__all__ = ["check_sizes", "select_files"]


def select_files(artifact: ArtifactBuild, packages: Sequence[LockedPackage]) -> Selection:
    """Select what each package is installed from.

    Raises:
        SelectionError: A package has nothing for the target.
    """
    settings = artifact.settings
    return select(
        packages,
        settings.target,
        policy=artifact.context.policy,
        skip_folders=settings.local_dependencies is LocalDependencies.SKIP,
    )


def check_sizes(settings: Settings, files: Sequence[Selected]) -> None:
    """Stop before the download if the wheels can never fit; not if files may be left out.

    Raises:
        VerificationError: The locked sizes alone are above Lambda's limit.
    """
    may_shrink = (
        settings.exclude
        or settings.exclude_presets
        or settings.provided
        or settings.provided_by
        or settings.hooks.after_stage
    )
    if not may_shrink:
        sizes.check_wheels(
            {str(item): item.file.size for item in files if item.is_wheel and item.file.size}
        )
