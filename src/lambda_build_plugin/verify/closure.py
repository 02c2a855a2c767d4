"""Check that the requirements of every shipped distribution are met.

Each `Requires-Dist` of each distribution is evaluated for the target (PEP 508), with the extras
that the user or another distribution asks for. This finds locks that were made for one machine
only, or by hand.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.selection.graph import holds
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.view import Shipped

__all__ = ["UnmetRequirementsError", "Word", "check_closure"]

_KEPT = 1024
"""Distributions whose requirements were read."""


@dataclass(frozen=True, kw_only=True)
class Word:
    """What the user has said about the set of distributions."""

    extras: Mapping[NormalizedName, frozenset[NormalizedName]] = field(default_factory=dict)
    """Extras that the user asked for, by distribution."""

    left_out: frozenset[str] = frozenset()
    """Distributions that are provided, or not wanted."""

    doubtful: frozenset[str] = frozenset()
    """Distributions whose absence is reported, but is no failure."""

    on_their_own: frozenset[str] = frozenset()
    """Distributions whose requirements others have to provide."""


class UnmetRequirementsError(VerificationError):
    """Something that ships requires what does not ship."""

    def __init__(self, unmet: Sequence[str]) -> None:
        self.unmet = tuple(unmet)
        count = "a requirement is" if len(unmet) == 1 else f"{len(unmet)} requirements are"
        super().__init__(
            f"{count} not met by what ships",
            why=unmet,
            hint="lock again so that the lock contains them for this target: a lock made for one "
            "machine, or by hand, may lack what another one needs; name the zips of layers that "
            "contain them (`provided-by`; `lambda-build inspect --layer`), and list what is left "
            "out on purpose in the setting `provided` (--provided NAME)",
        )


def check_closure(
    distributions: Sequence[Shipped],
    target: Target,
    word: Word,
    *,
    beside: Sequence[Shipped] = (),
) -> Findings:
    """Check that the requirements of all distributions are met.

    A version outside of the required range is a warning: a lock may override metadata, and metadata
    is often too strict.

    Args:
        distributions: What ships.
        target: What markers are evaluated for.
        word: What the user wants to differ.
        beside: Distributions in layers, which are there as well.
    """
    there = {each.name: each for each in (*beside, *distributions)}
    unmet: list[str] = []
    warnings: list[str] = []
    for needer, requirement in _needs(distributions, target, word):
        name = canonicalize_name(requirement.name)
        asked = f"{needer.shown} requires {requirement.name}{requirement.specifier}"
        found = there.get(name)
        if found is None:
            if name in word.left_out:
                continue
            if name in word.doubtful:
                warnings.append(
                    f"{asked}, which does not ship: the runtime's own copy is used, "
                    "whatever its version"
                )
            else:
                unmet.append(f"{asked}, which does not ship")
        elif found.version and not requirement.specifier.contains(found.version, prereleases=True):
            warnings.append(f"{asked}, but {found.version} ships")
    errors = (UnmetRequirementsError(list(dict.fromkeys(unmet))),) if unmet else ()
    return Findings(errors=errors, warnings=tuple(dict.fromkeys(warnings)))


def _needs(
    distributions: Sequence[Shipped], target: Target, word: Word
) -> Iterator[tuple[Shipped, Requirement]]:
    """Yield each requirement that applies to the target, with the distribution that has it."""
    by_name = {each.name: each for each in distributions}
    extras: defaultdict[NormalizedName, set[NormalizedName]] = defaultdict(set)
    for name, asked in word.extras.items():
        extras[name] |= asked
    found: dict[NormalizedName, tuple[Requirement, ...]] = {}
    todo = deque(each.name for each in distributions if each.name not in word.on_their_own)
    while todo:
        name = todo.popleft()
        found[name] = _holding(by_name[name].requires, target, frozenset(extras[name]))
        for requirement in found[name]:
            asked_of, new = (
                canonicalize_name(requirement.name),
                set(map(canonicalize_name, requirement.extras)),
            )
            if new <= extras[asked_of]:
                continue
            extras[asked_of] |= new
            if asked_of in by_name and asked_of not in word.on_their_own:
                todo.append(asked_of)
    for each in distributions:
        yield from ((each, requirement) for requirement in found.get(each.name, ()))


@lru_cache(maxsize=_KEPT)
def _holding(
    lines: tuple[str, ...], target: Target, extras: frozenset[NormalizedName]
) -> tuple[Requirement, ...]:
    """List the requirements that apply; invalid lines (PEP 508) are skipped.

    The artifacts of a run have many distributions in common.
    """
    return tuple(_applying(lines, target, extras))


def _applying(
    lines: Iterable[str], target: Target, extras: frozenset[NormalizedName]
) -> Iterator[Requirement]:
    for line in lines:
        if not extras and _is_of_an_extra(line):
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if holds(requirement, target, extras):
            yield requirement


def _is_of_an_extra(line: str) -> bool:
    """Check without parsing whether a marker can only be true with an extra, as most are."""
    marker = line.partition(";")[2]
    return "extra ==" in marker and " or " not in marker and "!=" not in marker
