"""The lock of a whole environment → the wheels that the project needs.

Such a lock (Hatch's, for example) also has what other tools in the environment need.
What a wheel requires is in its metadata, so the wheels are fetched level by level of the
requirement graph, and packages that nothing requires are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin.config.project import (
    group_names,
    group_requirements,
    metadata_requirements,
)
from lambda_build_plugin.config.settings import Contents, Form
from lambda_build_plugin.lock.errors import UnknownGroupError
from lambda_build_plugin.pipeline.locked_wheels import get_locked_wheels
from lambda_build_plugin.selection.graph import ASKED, extras_of, reachable, requirements_of
from lambda_build_plugin.selection.packages import LeftOut

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.fetch.fetcher import Fetcher
    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["NeededWheels", "get_needed_wheels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededWheels:
    """The wheels that the project needs, and the packages that it does not need."""

    wheels: tuple[Wheel, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """The requirements as far as they are known."""

    roots: tuple[Requirement, ...]
    requirements: dict[NormalizedName, Sequence[Requirement]]
    """By the name of the project or package that has them; grows level by level."""


def get_needed_wheels(
    artifact: ArtifactBuild, target_lock: TargetLock, fetcher: Fetcher
) -> NeededWheels:
    """Follow the project's requirements through the lock and get the wheels that they reach.

    Raises:
        LambdaBuildError: An extra or group is unknown, a package has no file for the target,
            or a package cannot be fetched or built.
    """
    target, applicable = artifact.settings.target, target_lock.packages
    graph = _start_graph(artifact, target_lock.lock)
    known = graph.requirements
    wheels: dict[NormalizedName, Wheel] = {}
    left_out = list(applicable.left_out)
    while level := [
        package
        for package in applicable.packages
        if package.name in reachable(graph.roots, known, target) and package.name not in known
    ]:
        locked = get_locked_wheels(artifact, level, fetcher)
        left_out += locked.left_out
        wheels |= {wheel.name: wheel for wheel in locked.wheels}
        for package in level:
            wheel = wheels.get(package.name)  # None if it is left out
            known[package.name] = requirements_of(wheel.path) if wheel else ()
    left_out += _list_unneeded(applicable.packages, known)
    return NeededWheels(
        wheels=tuple(wheels[name] for name in sorted(wheels)),
        left_out=tuple(sorted(left_out, key=lambda item: (item.name, item.version))),
        # Verification checks what the wheels themselves require.
        warnings=tuple(
            f"{needer} requires {name}, which is not in the lock for this target"
            for name, needer in reachable(graph.roots, known, target).items()
            if name not in known and needer == ASKED
        ),
    )


def _start_graph(artifact: ArtifactBuild, lock: Lock) -> _Graph:
    """Start with the requirements of the project, and of the requested extras and groups.

    Raises:
        LockError: The project does not have such an extra or group.
    """
    settings, project = artifact.settings, artifact.settings.project
    ships_wheel = settings.contents is Contents.ALL and settings.form is Form.WHEEL
    if ships_wheel or (project.dependencies is None and project.is_package):
        # The wheel's metadata also has what a backend or its hooks have filled in.
        path = artifact.project_wheel().path
        requirements, extras = requirements_of(path), extras_of(path)
    else:
        requirements = metadata_requirements(project)
        extras = frozenset(project.optional_dependencies)
    for kind, requested, existing in (
        ("extra", settings.extras, extras),
        ("dependency group", settings.groups, group_names(project)),
    ):
        if unknown := sorted(requested - existing):
            raise UnknownGroupError(lock, kind, unknown, existing)
    itself = Requirement(f"{project.name}[{','.join(sorted(settings.extras))}]")
    groups = (group_requirements(project, group) for group in sorted(settings.groups))
    return _Graph(
        roots=(itself, *chain.from_iterable(groups)), requirements={project.name: requirements}
    )


def _list_unneeded(
    packages: Sequence[LockedPackage], known: Container[NormalizedName]
) -> Iterator[LeftOut]:
    for package in packages:
        if package.name not in known:
            yield LeftOut(
                name=package.name,
                version=str(package.version or ""),
                reason="neither the project nor a requested extra or group needs it",
            )
