"""Decide which packages of a lock belong to a target, with its extras and groups.

In flat locks, the marker of each package decides (PEP 751, "Installation", steps 5 to 8);
in locks with edges, a walk from the root. Pure: no network, no clock.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.version import Version

from lambda_build_plugin.lock.errors import (
    AmbiguousPackageError,
    ExcludedTargetError,
    InvalidLockError,
    UnknownGroupError,
    UnresolvedPackageError,
)
from lambda_build_plugin.lock.markers import Activated
from lambda_build_plugin.lock.model import Roots
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.markers import LockMarker
    from lambda_build_plugin.lock.model import Edge, Lock, LockedPackage
    from lambda_build_plugin.runtime.target import Target

__all__ = ["Reached", "asked_for", "reached"]

_UNASKED_EXTRA = "it is needed only by an extra that was not requested"
_UNASKED_GROUP = "it is needed only by a dependency group that was not requested"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The packages that belong to the target, sorted by name, and all others."""

    packages: tuple[LockedPackage, ...]
    left_out: tuple[LeftOut, ...]


def reached(
    lock: Lock,
    target: Target,
    *,
    extras: frozenset[NormalizedName],
    groups: frozenset[NormalizedName],
    main: bool = True,
) -> Reached:
    """Decide for each package of the lock whether it belongs to the target.

    Without `main`, only what the named groups and extras need counts, not what a lock
    ships by default: Poetry's `--only`, PDM's `--no-default`.

    Raises:
        LockError: The lock excludes the target, lacks an extra or a group, or contains
            a package twice.
    """
    _check_names(lock, "extra", extras, lock.extras)
    _check_names(lock, "dependency group", groups, lock.groups)
    _check_python(lock, target)
    if main:
        groups |= lock.default_groups
    activated = Activated(extras=extras, groups=groups)
    _check_environments(lock, target, activated)
    environment = target.marker_environment
    if lock.roots is None:
        chosen, reasons = _by_marker(lock, environment, activated)
    else:
        roots = lock.roots if main else replace(lock.roots, main=())
        chosen, reasons = _by_edges(lock, roots, environment, activated)
    chosen.sort(key=lambda package: package.key)
    _check_unambiguous(lock, target, chosen)
    _check_requires_python(lock, target, chosen)
    if unresolved := [package for package in chosen if package.unresolved]:
        raise UnresolvedPackageError(lock, target, unresolved)
    present = {package.key for package in chosen}
    left_out = {
        package.key: LeftOut(
            name=package.name,
            version=str(package.version or ""),
            reason=reasons.get(index, "nothing that ships needs it"),
        )
        for index, package in enumerate(lock.packages)
        if package.key not in present and index != lock.project
    }
    return Reached(
        packages=tuple(chosen),
        left_out=tuple(left_out[key] for key in sorted(left_out)),
    )


def asked_for(
    lock: Lock,
    target: Target,
    *,
    extras: frozenset[NormalizedName],
    groups: frozenset[NormalizedName],
    main: bool = True,
) -> tuple[Requirement, ...]:
    """List what the project itself requires in a lock with edges, without versions.

    That includes the requirements of entries that are not packages (uv: `package = false`)
    and of the project's own name.
    """
    activated = Activated(extras=extras, groups=groups | (lock.default_groups if main else set()))
    environment = target.marker_environment
    roots = lock.roots or Roots()
    found: dict[str, Requirement] = {}
    visited: set[tuple[int, str]] = set()
    todo = list(_root_edges(roots if main else replace(roots, main=()), activated))
    while todo:
        edge = todo.pop()
        own = _extras_of(lock, edge)
        if not _holds(edge.marker, environment, replace(activated, extras=activated.extras | own)):
            continue
        text = f"{edge.name}[{','.join(sorted(edge.extras))}]"
        found[text] = Requirement(text)
        for index in edge.candidates:
            package = lock.packages[index]
            if not (package.virtual or index == lock.project):
                continue
            for extra, edges in _edges_of(package, edge.extras):
                if (index, extra) not in visited:
                    visited.add((index, extra))
                    todo += edges
    return tuple(found[text] for text in sorted(found))


def _check_names(
    lock: Lock,
    kind: str,
    asked: frozenset[NormalizedName],
    known: frozenset[NormalizedName] | None,
) -> None:
    """Check that the lock has these names (PEP 751, steps 3 and 4)."""
    if unknown := sorted(asked - (known or frozenset())):
        raise UnknownGroupError(lock, kind, unknown, known)


def _check_python(lock: Lock, target: Target) -> None:
    """Check the lock's `requires-python` against the runtime (PEP 751, step 2)."""
    if lock.requires_python is None or lock.requires_python.contains(target.python_version):
        return
    raise ExcludedTargetError(
        lock,
        target,
        f"it requires Python `{lock.requires_python}`, but "
        f"{target.runtime.name} has {target.runtime.full_version}",
    )


def _check_environments(lock: Lock, target: Target, activated: Activated) -> None:
    """Check that the target is one of the locked environments (step 1)."""
    environment = target.marker_environment
    if lock.environments and not any(
        marker.holds(environment, activated) for marker in lock.environments
    ):
        listed = "\n".join(f"- {marker}" for marker in lock.environments)
        raise ExcludedTargetError(
            lock,
            target,
            f"it was locked only for these environments:\n{listed}",
            hint=_one_more_target(lock, target),
        )


def _one_more_target(lock: Lock, target: Target) -> str:
    """Say how to add the target, if the lock's own tool can do that."""
    if not lock.target_remedy:
        return ""
    glibc, (major, minor) = target.runtime.glibc, target.runtime.python
    command = lock.target_remedy.format(
        platform=f"manylinux_{glibc.major}_{glibc.minor}_{target.architecture.machine}",
        python=f"=={major}.{minor}.*",
    )
    return f"add the target to the lock: `{command}`, or choose another runtime or architecture"


def _check_requires_python(lock: Lock, target: Target, chosen: Iterable[LockedPackage]) -> None:
    """Check each package's own `requires-python` against the runtime (step 7)."""
    for package in chosen:
        specifier = package.requires_python
        if specifier is not None and not specifier.contains(target.python_version):
            raise ExcludedTargetError(
                lock,
                target,
                f"{package} ({package.at}) requires Python `{specifier}`, but "
                f"{target.runtime.name} has {target.runtime.full_version}",
            )


def _check_unambiguous(lock: Lock, target: Target, chosen: Iterable[LockedPackage]) -> None:
    """Check that no name has two entries (PEP 751, step 8)."""
    by_name: defaultdict[str, list[LockedPackage]] = defaultdict(list)
    for package in chosen:
        by_name[package.name].append(package)
    clashes = [entries for entries in by_name.values() if len(entries) > 1]
    if clashes:
        raise AmbiguousPackageError(lock, target, clashes)


_Reasons = dict[int, str]
_Decision = tuple[list["LockedPackage"], _Reasons]


def _by_marker(lock: Lock, environment: Mapping[str, str], activated: Activated) -> _Decision:
    """Choose from a flat lock: a package ships if its marker is true (PEP 751, step 6)."""
    chosen: list[LockedPackage] = []
    reasons: _Reasons = {}
    for index, package in enumerate(lock.packages):
        if index == lock.project:
            continue
        if _holds(package.marker, environment, activated):
            chosen.append(package)
        else:
            reasons[index] = _why_false(lock, package.marker, environment, activated)
    return chosen, reasons


def _why_false(
    lock: Lock, marker: LockMarker | None, environment: Mapping[str, str], activated: Activated
) -> str:
    """Say whether a group, an extra or the target is the reason why a marker is false."""
    extras, groups = lock.extras or frozenset(), lock.groups or frozenset()
    if _holds(marker, environment, replace(activated, groups=groups)):
        return _UNASKED_GROUP
    if _holds(marker, environment, replace(activated, extras=extras)):
        return _UNASKED_EXTRA
    return f"its marker is false: {marker}"


def _by_edges(
    lock: Lock, roots: Roots, environment: Mapping[str, str], activated: Activated
) -> _Decision:
    """Choose from a lock with edges: a package ships if a walk from the root reaches it.

    A marker may need an extra that a later edge activates, so the walk is repeated until
    it finds no new one.
    """
    while True:
        chosen, reasons, met = _walk(lock, roots, environment, activated)
        if met <= activated.extras:
            return chosen, reasons
        activated = replace(activated, extras=activated.extras | met)


def _walk(
    lock: Lock, roots: Roots, environment: Mapping[str, str], activated: Activated
) -> tuple[list[LockedPackage], _Reasons, frozenset[str]]:
    """Walk once; the third result is every extra that an edge on the way activates."""
    reasons: _Reasons = {}
    chosen: dict[int, LockedPackage] = {}
    met: set[str] = set()
    visited: set[tuple[int, str]] = set()
    todo: list[tuple[str, Edge]] = [("the project", edge) for edge in _root_edges(roots, activated)]
    undecided: list[tuple[str, Edge]] = []
    _note_unasked(roots.extras.values(), reasons, _UNASKED_EXTRA)
    _note_unasked(roots.groups.values(), reasons, _UNASKED_GROUP)
    while todo or undecided:
        needer, edge = todo.pop() if todo else _decided(lock, undecided, chosen)
        # The marker of an edge to `lib[cpu]` may itself require that `cpu` is active.
        own = _extras_of(lock, edge)
        if not _holds(edge.marker, environment, replace(activated, extras=activated.extras | own)):
            for index in edge.candidates:
                reasons[index] = f"{needer} needs it only if {edge.marker}"
            continue
        met |= own
        fitting = _fitting(lock, edge, environment, activated)
        if roots.loose and len(fitting) > 1:
            undecided.append((needer, replace(edge, candidates=fitting)))
            continue
        index = _candidate(lock, edge, fitting, needer)
        package = lock.packages[index]
        if package.virtual:
            reasons[index] = "it is not a package: only its dependencies ship"
        elif index != lock.project:
            chosen[index] = package
        for extra, edges in _edges_of(package, edge.extras):
            if (index, extra) not in visited:
                visited.add((index, extra))
                todo.extend((package.name, following) for following in edges)
    return list(chosen.values()), reasons, frozenset(met)


def _extras_of(lock: Lock, edge: Edge) -> frozenset[str]:
    """Return the extras that an edge activates, spelled as in markers."""
    if lock.project in edge.candidates:
        return edge.extras
    return frozenset(f"{edge.name}[{extra}]" for extra in edge.extras)


def _root_edges(roots: Roots, activated: Activated) -> Iterator[Edge]:
    yield from roots.main
    for extra, edges in roots.extras.items():
        if extra in activated.extras:
            yield from edges
    for group, edges in roots.groups.items():
        if group in activated.groups:
            yield from edges


def _note_unasked(unasked: Iterable[Iterable[Edge]], reasons: _Reasons, reason: str) -> None:
    for edge in itertools.chain.from_iterable(unasked):
        for index in edge.candidates:
            reasons.setdefault(index, reason)


def _edges_of(
    package: LockedPackage, extras: frozenset[NormalizedName]
) -> Iterator[tuple[str, tuple[Edge, ...]]]:
    yield "", package.edges
    for extra in sorted(extras):
        yield extra, package.extra_edges.get(extra, ())


def _decided(
    lock: Lock, undecided: list[tuple[str, Edge]], chosen: Mapping[int, LockedPackage]
) -> tuple[str, Edge]:
    """Remove one undecided edge from the list, and choose its entry.

    An entry that already ships is used, else the newest one that all undecided edges to
    the package allow. That is how Poetry resolves within its lock. If it leads to two
    versions of one package, that is an error later and never a guess.
    """
    undecided.sort(key=lambda item: (item[1].name, item[0]))
    for place, (needer, edge) in enumerate(undecided):
        if there := [index for index in edge.candidates if index in chosen]:
            del undecided[place]
            return needer, replace(edge, candidates=tuple(there[:1]))
    needer, edge = undecided.pop(0)
    others = [set(other.candidates) for _, other in undecided if other.name == edge.name]
    common = set(edge.candidates).intersection(*others) or set(edge.candidates)
    newest = max(sorted(common), key=lambda index: lock.packages[index].version or Version("0"))
    return needer, replace(edge, candidates=(newest,))


def _fitting(
    lock: Lock, edge: Edge, environment: Mapping[str, str], activated: Activated
) -> tuple[int, ...]:
    return tuple(
        index
        for index in edge.candidates
        if _holds(lock.packages[index].marker, environment, activated)
    )


def _candidate(lock: Lock, edge: Edge, fitting: Sequence[int], needer: str) -> int:
    """Choose among the forks of a package by their markers."""
    if len(fitting) != 1 and len(edge.candidates) == 1:
        # A single entry: its fork markers say where it was resolved, not where it is needed.
        return edge.candidates[0]
    if len(fitting) == 1:
        return fitting[0]
    raise InvalidLockError(
        lock.path,
        f"{needer} needs {edge.name}, but {len(fitting)} of its {len(edge.candidates)} "
        "entries apply to the target",
        hint=f"lock again: `{lock.remedy}`",
    )


def _holds(marker: LockMarker | None, environment: Mapping[str, str], activated: Activated) -> bool:
    return marker is None or marker.holds(environment, activated)
