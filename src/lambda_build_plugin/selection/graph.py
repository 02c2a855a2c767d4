"""Follow the requirements of the chosen distributions, evaluated for the target.

The lock decides what ships. The requirements in core metadata (`Requires-Dist`) tell
whether the lock covers the project, which part of an environment's lock the project
needs, and what only packages that the runtime provides need. Pure, except for reading
the metadata of wheels.
"""

from __future__ import annotations

import re
import zipfile
from collections import deque
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.lock.markers import Activated, LockMarker
from lambda_build_plugin.wheel.metadata import values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.runtime.target import Target

__all__ = [
    "ASKED",
    "extras_in_markers",
    "extras_of",
    "holds",
    "pruned",
    "reachable",
    "requirements_of",
]

_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)""")

ASKED = "the project"
"""Who requires the roots."""


def requirements_of(wheel: Path) -> tuple[Requirement, ...]:
    """Read what a wheel requires; invalid requirements (PEP 508) are ignored."""
    return tuple(parsed_requirements(_values(wheel, "requires-dist")))


def extras_of(wheel: Path) -> frozenset[NormalizedName]:
    """Read which extras a wheel offers."""
    return frozenset(map(canonicalize_name, _values(wheel, "provides-extra")))


def _values(wheel: Path, key: str) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return values(archive.read(metadata), key)


def parsed_requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    """Parse what a wheel requires; invalid requirements (PEP 508) are ignored."""
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def reachable(
    roots: Iterable[Requirement],
    requirements: Mapping[NormalizedName, Sequence[Requirement]],
    target: Target,
    *,
    ends: Collection[NormalizedName] = (),
) -> dict[NormalizedName, str]:
    """Follow requirements from the roots, without versions, which the lock has chosen.

    Args:
        roots: What is requested, with its extras.
        requirements: By distribution, as far as they are known; the walk ends at others.
        target: The target for which markers are evaluated.
        ends: Distributions at which the walk also ends.

    Returns:
        Each name that the target needs, with the name that required it first.
    """
    return {name: needer for name, (needer, _) in _walk(roots, requirements, target, ends).items()}


def _walk(
    roots: Iterable[Requirement],
    requirements: Mapping[NormalizedName, Sequence[Requirement]],
    target: Target,
    ends: Collection[NormalizedName],
) -> dict[NormalizedName, tuple[str, set[str]]]:
    """Return for each name that is needed who required it first, and its requested extras."""
    found: dict[NormalizedName, tuple[str, set[str]]] = {}
    todo: deque[tuple[str, Requirement]] = deque((ASKED, root) for root in roots)
    while todo:
        needer, requirement = todo.popleft()
        name = canonicalize_name(requirement.name)
        _, visited = found.setdefault(name, (needer, set()))
        # A marker is evaluated for one extra at a time (PEP 508).
        for extra in ("", *sorted(map(canonicalize_name, requirement.extras))):
            if extra in visited:
                continue
            visited.add(extra)
            activated = frozenset((extra,)) if extra else frozenset()
            todo.extend(
                (name, following)
                for following in (() if name in ends else requirements.get(name, ()))
                if holds(following, target, activated)
            )
    return found


def pruned(
    provided: Collection[NormalizedName],
    roots: Sequence[Requirement],
    requirements: Mapping[NormalizedName, Sequence[Requirement]],
    target: Target,
    *,
    offered: Mapping[NormalizedName, Collection[str]] | None = None,
) -> dict[NormalizedName, tuple[NormalizedName, ...]]:
    """Find what need not ship if some distributions are provided.

    What the roots require by name stays, and so does everything that no provided
    distribution leads to, with its own requirements.

    Args:
        provided: What the runtime has.
        roots: What is requested, with its extras.
        requirements: By distribution, for all that would ship.
        target: The target for which markers are evaluated.
        offered: All extras by distribution; they count if the requested ones are unknown.

    Returns:
        By distribution that need not ship, the provided ones that lead to it; empty for
        a provided one itself.
    """
    gone = set(provided) & set(requirements)
    everything = [*roots, *map(Requirement, requirements)]
    asked = _walk(everything, requirements, target, ())
    led_to = {
        name: set(reachable([_with_extras(name, asked[name][1])], requirements, target))
        for name in sorted(gone)
    }
    candidates = gone.union(*led_to.values())
    staying = [
        _with_extras(name, (offered or {}).get(name, ()))
        for name in requirements
        if name not in candidates
    ]
    kept = reachable([*roots, *staying], requirements, target, ends=gone)
    return {
        name: tuple(by for by in led_to if name in led_to[by] and name not in gone)
        for name in sorted(candidates & set(requirements))
        if name in gone or name not in kept
    }


def _with_extras(name: NormalizedName, extras: Iterable[str]) -> Requirement:
    return Requirement(f"{name}[{','.join(sorted(filter(None, extras)))}]")


def extras_in_markers(requirements: Iterable[Requirement]) -> frozenset[NormalizedName]:
    """List the extras that markers ask for."""
    texts = (str(each.marker) for each in requirements if each.marker)
    return frozenset(canonicalize_name(extra) for text in texts for extra in _EXTRA.findall(text))


def holds(requirement: Requirement, target: Target, extras: frozenset[str]) -> bool:
    """Check whether a requirement applies to the target, with the requested extras.

    A marker that cannot be evaluated, such as `sys_platform ~= "linux"`, is false.
    """
    marker = requirement.marker
    if marker is None:
        return True
    try:
        return LockMarker(str(marker)).holds(target.marker_environment, Activated(extras=extras))
    except ValueError:
        return False
