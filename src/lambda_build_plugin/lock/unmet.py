"""Name the requirements that a lock does not answer.

Poetry, PDM and pipenv store a hash of what they locked for, which only tells that something
has changed. What the lock contains tells what: a package that is missing, a version that is
no longer admitted, or a package that nothing asks for any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.lock.model import LockedPackage

__all__ = ["Asked", "asked_for", "unmet", "versions_by_name"]


class Asked(NamedTuple):
    """A requirement, in whatever language it is written."""

    name: NormalizedName
    constraint: str
    """As it is written; empty for any version."""

    admits: Callable[[Version], bool]
    conditional: bool = False
    """Whether it has a marker, so that the lock need not have the package."""

    def __str__(self) -> str:
        separator = " " if self.constraint[:1].isalnum() or self.constraint[:1] == "^" else ""
        return f"{self.name}{separator}{self.constraint}"


def asked_for(requirement: Requirement) -> Asked:
    """Read a requirement (PEP 508); one with a URL admits any version."""
    specifier = requirement.specifier

    def admits(version: Version) -> bool:
        return specifier.contains(version, prereleases=True)

    name, conditional = canonicalize_name(requirement.name), requirement.marker is not None
    return Asked(name, str(specifier), admits, conditional)


def versions_by_name(
    packages: Iterable[LockedPackage],
) -> dict[NormalizedName, list[Version | None]]:
    """Collect the locked versions of each package; None for one that is not locked by version."""
    found: dict[NormalizedName, list[Version | None]] = {}
    for package in packages:
        found.setdefault(package.name, []).append(package.version)
    return found


def unmet(
    asked: Sequence[Asked],
    locked: Mapping[NormalizedName, Sequence[Version | None]],
    *,
    needed: Collection[NormalizedName] | None = None,
) -> Iterator[str]:
    """Yield a line for each requirement that the lock does not answer.

    Args:
        asked: What the project asks for now.
        locked: The versions of each locked package.
        needed: What locked packages need; with it, a line tells of each locked package that
            neither the project nor another package asks for. None if the lock does not say.
    """
    for each in {(each.name, each.constraint): each for each in asked}.values():
        versions = locked.get(each.name)
        if versions is None and each.conditional:
            continue
        if versions is None:
            yield f"- {each}: not in the lock"
        elif not any(version is None or each.admits(version) for version in versions):
            yield f"- {each}: the lock has {', '.join(map(str, versions))}"
    if needed is not None:
        names = {each.name for each in asked} | {*needed}
        yield from (f"- {name}: only in the lock" for name in locked if name not in names)
