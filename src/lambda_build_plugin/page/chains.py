"""Why each distribution is in a zip: the chain of requirements that leads to it.

Only what the distributions themselves say is known (`Requires-Dist`), evaluated for the target.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.selection.graph import extras_in_markers, holds, parsed_requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.view import Shipped

__all__ = ["chains"]


def chains(
    distributions: Sequence[Shipped], target: Target
) -> dict[NormalizedName, tuple[str, ...]]:
    """Find a shortest chain of requirements to each distribution.

    Args:
        distributions: All that are in the zip.
        target: What markers are evaluated for.

    Returns:
        By distribution, who requires it, from the far end of the chain to the near one, such as
        `("my-app", "boto3")` for botocore, with an extra in brackets where one is at work. It is
        empty if no other distribution in the zip requires it.
    """
    return _Walk(distributions, target).run()


class _Walk:
    """A search in breadth through the requirements."""

    def __init__(self, distributions: Sequence[Shipped], target: Target) -> None:
        self._requirements: Mapping[NormalizedName, list[Requirement]] = {
            each.name: list(parsed_requirements(each.requires))
            for each in sorted(distributions, key=lambda each: each.name)
        }
        self._target = target
        self._found: dict[NormalizedName, tuple[str, ...]] = {}
        self._visited: set[tuple[NormalizedName, str]] = set()
        self._todo: deque[tuple[NormalizedName, str]] = deque()

    def run(self) -> dict[NormalizedName, tuple[str, ...]]:
        """Find the chains, as `chains` returns them."""
        required = {
            name
            for needer in self._requirements
            for extra in ("", *self._extras(needer))
            for name, _ in self._needs(needer, extra)
            if name != needer
        }
        for name in self._requirements:
            if name not in required:
                self._reach(name, ())
        self._follow()
        # What is left is there for an extra that no metadata requests, because the project's own
        # requirements are not in the zip; or in a circle that nothing leads to.
        while rest := [name for name in self._requirements if name not in self._found]:
            self._reach(*self._optional(rest))
            self._follow()
        return self._found

    def _reach(self, name: NormalizedName, chain: tuple[str, ...], extra: str = "") -> None:
        self._found.setdefault(name, chain)
        if (name, extra) not in self._visited:
            self._visited.add((name, extra))
            self._todo.append((name, extra))

    def _follow(self) -> None:
        while self._todo:
            needer, extra = self._todo.popleft()
            for name, extras in self._needs(needer, extra):
                for each in ("", *extras):
                    self._reach(name, self._chain(needer, extra), each)

    def _optional(self, names: Sequence[NormalizedName]) -> tuple[NormalizedName, tuple[str, ...]]:
        """Find one that an extra of something in the zip would require, else take the first."""
        wanted = set(names)
        for needer in [name for name in self._requirements if name in self._found]:
            for extra in self._extras(needer):
                for name, _ in self._needs(needer, extra):
                    if name in wanted:
                        return name, self._chain(needer, extra)
        return names[0], ()

    def _chain(self, needer: NormalizedName, extra: str) -> tuple[str, ...]:
        return (*self._found[needer], f"{needer}[{extra}]" if extra else needer)

    def _extras(self, name: NormalizedName) -> list[str]:
        return sorted(extras_in_markers(self._requirements[name]))

    def _needs(
        self, needer: NormalizedName, extra: str
    ) -> Iterator[tuple[NormalizedName, list[str]]]:
        """List what a distribution requires with one extra, or without one, and is in the zip."""
        activated = frozenset((extra,)) if extra else frozenset()
        for each in self._requirements[needer]:
            name = canonicalize_name(each.name)
            if name in self._requirements and holds(each, self._target, activated):
                yield name, sorted(map(canonicalize_name, each.extras))
