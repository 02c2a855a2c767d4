"""Requirements of the chosen distributions, evaluated for the target.

Core metadata (`Requires-Dist`) and a target go in; what it asks for and nobody brings
comes out. The lock decides what ships; this tells when it does not know the project.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.lock.markers import Activated, LockMarker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.target import Target

__all__ = ["requirements_of", "unmet"]


def requirements_of(wheel: Path) -> tuple[Requirement, ...]:
    """Read what a wheel requires; lines that are no requirement (PEP 508) ask for nothing."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode("utf-8", errors="replace").partition("\n\n")[0]
    return tuple(_requirements(lines))


def _requirements(headers: str) -> Iterator[Requirement]:
    for line in headers.splitlines():
        key, _, value = line.partition(":")
        if key.lower() == "requires-dist":
            try:
                yield Requirement(value.strip())
            except InvalidRequirement:
                continue


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
        marker = requirement.marker
        if marker is not None and not LockMarker(str(marker)).holds(
            target.marker_environment, activated
        ):
            continue
        version = shipped.get(canonicalize_name(requirement.name))
        asked = f"{requirement.name}{requirement.specifier}"
        if version is None:
            yield f"{asked}, which is not in the lock for this target"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{asked}, and {version} is what the lock holds"
