"""Requirements of the chosen distributions, evaluated for the target.

Core metadata (`Requires-Dist`) and a target go in; what it leads to, and what it asks
for and nobody brings, comes out. The lock decides what ships; this tells when it does not
know the project, and which part of an environment's lock the project needs. Pure, but for
reading the metadata of a wheel.
"""

from __future__ import annotations

import zipfile
from collections import deque
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.lock.markers import Activated, LockMarker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.target import Target

__all__ = ["extras_of", "reachable", "requirements_of", "unmet"]


def requirements_of(wheel: Path) -> tuple[Requirement, ...]:
    """Read what a wheel requires; lines that are no requirement (PEP 508) ask for nothing."""
    return tuple(_requirements(_values(wheel, "requires-dist")))


def extras_of(wheel: Path) -> frozenset[NormalizedName]:
    """Read which extras a wheel offers."""
    return frozenset(map(canonicalize_name, _values(wheel, "provides-extra")))


def _values(wheel: Path, key: str) -> Iterator[str]:
    """Yield the values of one header of the core metadata."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = archive.read(metadata).decode("utf-8", errors="replace").partition("\n\n")[0]
    for line in headers.splitlines():
        name, _, value = line.partition(":")
        if name.lower() == key:
            yield value.strip()


def _requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def reachable(
    roots: Iterable[Requirement],
    requirements: Mapping[NormalizedName, Sequence[Requirement]],
    target: Target,
) -> dict[NormalizedName, str]:
    """Follow requirements from the roots; versions are the lock's to choose.

    Args:
        roots: What is asked for, with its extras.
        requirements: By distribution, as far as they are known: the walk ends at others.
        target: For which markers are evaluated.

    Returns:
        Each name that the target needs, with the one that asked for it first.
    """
    needers: dict[NormalizedName, str] = {}
    visited: set[tuple[NormalizedName, str]] = set()
    todo: deque[tuple[str, Requirement]] = deque(("the project", root) for root in roots)
    while todo:
        needer, requirement = todo.popleft()
        name = canonicalize_name(requirement.name)
        needers.setdefault(name, needer)
        # A requirement of an extra holds for that extra alone (PEP 508), so each has its turn.
        for extra in ("", *sorted(map(canonicalize_name, requirement.extras))):
            if (name, extra) not in visited:
                visited.add((name, extra))
                activated = Activated(extras=frozenset((extra,)) if extra else frozenset())
                todo.extend(
                    (name, following)
                    for following in requirements.get(name, ())
                    if _holds(following, target, activated)
                )
    return needers


def _holds(requirement: Requirement, target: Target, activated: Activated) -> bool:
    marker = requirement.marker
    return marker is None or LockMarker(str(marker)).holds(target.marker_environment, activated)


def unmet(
    requirements: tuple[Requirement, ...],
    target: Target,
    *,
    extras: frozenset[NormalizedName],
    shipped: Mapping[NormalizedName, Version],
) -> Iterator[str]:
    """Yield each requirement that holds for the target and that no distribution meets."""
    activated = Activated(extras=extras)
    for requirement in requirements:
        if not _holds(requirement, target, activated):
            continue
        version = shipped.get(canonicalize_name(requirement.name))
        asked = f"{requirement.name}{requirement.specifier}"
        if version is None:
            yield f"{asked}, which is not in the lock for this target"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{asked}, and {version} is what the lock holds"
