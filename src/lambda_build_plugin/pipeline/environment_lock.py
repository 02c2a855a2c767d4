"""The lock of a whole environment → the wheels that the project needs.

Such a lock (Hatch's, for example) also has what other tools in the environment need.
What a wheel requires is in its metadata, so the wheels are fetched level by level of the
requirement graph, and packages that nothing requires are left out.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin.config.project import (
    group_names,
    group_requirements,
    metadata_requirements,
)
from lambda_build_plugin.config.settings import Contents, Form, LocalDependencies
from lambda_build_plugin.errors import FetchError, SelectionError
from lambda_build_plugin.lock.errors import UnknownGroupError
from lambda_build_plugin.pipeline.locked_wheels import get_locked_wheels
from lambda_build_plugin.selection.files import select
from lambda_build_plugin.selection.graph import ASKED, extras_of, reachable, requirements_of
from lambda_build_plugin.selection.left_out import LeftOut

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
    _check_direct(artifact, applicable.packages)
    graph = _start_graph(artifact, target_lock.lock)
    known = graph.requirements
    wheels: dict[NormalizedName, Wheel] = {}
    left_out = list(applicable.left_out)
    while level := [
        package
        for package in applicable.packages
        if package.name in reachable(graph.roots, known, target) and package.name not in known
    ]:
        others = [package for package in applicable.packages if package not in level]
        with _naming_missing_wheels(artifact, others):
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


def _check_direct(artifact: ArtifactBuild, packages: Sequence[LockedPackage]) -> None:
    """Check what pyproject.toml requires before anything is built or fetched.

    Otherwise an index that cannot be reached would be the first message, and that a package
    has no wheel for the target the second one.

    Raises:
        SelectionError: With every such package that has no file for the target.
    """
    settings, project = artifact.settings, artifact.settings.project
    if project.dependencies is None:
        return
    itself = Requirement(f"{project.name}[{','.join(sorted(settings.extras))}]")
    groups = sorted(settings.groups & group_names(project))  # others are reported later
    roots = (itself, *chain.from_iterable(group_requirements(project, group) for group in groups))
    requirements = {project.name: metadata_requirements(project)}
    needed = reachable(roots, requirements, settings.target)
    _check_files(artifact, [package for package in packages if package.name in needed])


def _check_files(artifact: ArtifactBuild, packages: Sequence[LockedPackage]) -> None:
    """Check that packages have files for the target, as far as the lock has their names."""
    select(
        [package for package in packages if not (package.unnamed or package.unhashed)],
        artifact.settings.target,
        policy=artifact.context.policy,
        skip_folders=artifact.settings.local_dependencies is LocalDependencies.SKIP,
    )


@contextmanager
def _naming_missing_wheels(
    artifact: ArtifactBuild, others: Sequence[LockedPackage]
) -> Iterator[None]:
    """Add to an error of the network which other packages have no file for the target.

    Whether the project needs them is in the metadata that could not be fetched.
    """
    try:
        yield
    except FetchError as error:
        try:
            _check_files(artifact, others)
        except SelectionError as missing:
            error.why += (
                "\nbesides, if the project needs them (which could not be found out): "
                f"{missing.what}\n{missing.why}"
            )
        raise


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
