"""Where the requirement graph of a project begins: in its lock, or in the project itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin.config.project import metadata_requirements, named_requirements
from lambda_build_plugin.selection.graph import requirements_of
from lambda_build_plugin.selection.packages import asked_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.run import ArtifactBuild

__all__ = ["get_roots"]


def get_roots(
    artifact: ArtifactBuild, lock: Lock
) -> tuple[Sequence[Requirement], dict[NormalizedName, Sequence[Requirement]]]:
    """Get what the project requires by name: from the lock if it says so, else from the project.

    Returns:
        The requirements that the graph starts with, and those of the project itself. Both
        are empty for a lock without a project.
    """
    settings, project = artifact.settings, artifact.settings.project
    if lock.roots is not None:
        return asked_for(
            lock,
            settings.target,
            extras=settings.extras,
            groups=settings.groups,
            main=settings.main,
        ), {}
    roots = [*named_requirements(project, settings.groups, main=settings.main)]
    if project.dependencies is None and not project.is_package:
        return roots, {}
    if project.dependencies is None and "dependencies" not in project.tool.table("poetry"):
        requirements: Sequence[Requirement] = requirements_of(artifact.project_wheel().path)
    else:
        requirements = metadata_requirements(project)
    if requirements and (settings.main or settings.extras):
        roots.append(Requirement(f"{project.name}[{','.join(sorted(settings.extras))}]"))
    return roots, {project.name: requirements}
