"""Warn of packages in a lock that nothing of the project needs.

A requirements file is taken whole, because it does not say what belongs to the project. It
may contain another member of a workspace (rye), or tools such as aws-cdk-lib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin.config.settings import Contents
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.pipeline.roots import get_roots
from lambda_build_plugin.selection.graph import reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["warn_of_unneeded"]

_TAKEN_WHOLE = {FORMATS["requirements file"].name, FORMATS["pylock.toml"].name}

_NAMED = 5
"""How many packages one warning names."""


def warn_of_unneeded(
    artifact: ArtifactBuild,
    lock: Lock,
    wheels: Sequence[Wheel],
    requires: Callable[[Wheel], Sequence[Requirement]],
) -> Iterator[str]:
    """Yield a warning if a lock without groups has more than the project requires.

    What an extra requires counts as needed, because such a lock cannot be asked for extras.
    If the project declares nothing, the lock itself is the declaration. `requires` reads what
    a wheel requires.
    """
    if lock.kind not in _TAKEN_WHOLE or lock.extras or lock.groups or not artifact.settings.main:
        return
    project, target = artifact.settings.project, artifact.settings.target
    if project.dependencies is None and artifact.settings.contents is not Contents.ALL:
        return  # only a build could tell, and nothing else of this artifact needs one
    roots, of_project = get_roots(artifact, lock)
    if not roots and not any(of_project.values()):
        return
    extras = ",".join(sorted(project.optional_dependencies))
    requirements = {
        **{wheel.name: requires(wheel) for wheel in wheels},
        **of_project,
    }
    needed = reachable([*roots, Requirement(f"{project.name}[{extras}]")], requirements, target)
    unneeded = {wheel.name: wheel for wheel in wheels if wheel.name not in needed}
    if unneeded:
        heads = _heads(list(unneeded), requirements, target)
        yield _warning([unneeded[name] for name in heads], len(unneeded), lock, project.name)


def _heads(
    names: Sequence[NormalizedName],
    requirements: Mapping[NormalizedName, Sequence[Requirement]],
    target: Target,
) -> list[NormalizedName]:
    """Choose the packages that lead to all others, such as a tool without its dependencies."""
    heads: list[NormalizedName] = []
    covered: set[str] = set()
    reach = {name: set(reachable([Requirement(name)], requirements, target)) for name in names}
    for name in sorted(names, key=lambda name: (-len(reach[name]), name)):
        if name not in covered:
            heads.append(name)
            covered |= reach[name]
    return sorted(heads)


def _warning(heads: Sequence[Wheel], count: int, lock: Lock, project: str) -> str:
    names = [f"{wheel.name} {wheel.version}" for wheel in heads[:_NAMED]]
    if more := len(heads) - len(names):
        names.append(f"{more} more")
    what = ", ".join(names)
    if others := count - len(heads):
        needs = "it needs" if len(heads) == 1 else "they need"
        what += f", with {others} package{'' if others == 1 else 's'} that only {needs},"
    verb = "ships" if len(heads) == 1 else "ship"
    them = "it" if len(heads) == 1 else "them"
    return (
        f"{what} {verb} because {lock} has {them}, but nothing that {project} requires "
        f"needs {them}: lock without {them}, or add {them} to the project's dependencies"
    )
