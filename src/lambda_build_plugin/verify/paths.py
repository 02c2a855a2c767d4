"""Ranges of sorted paths, which are found without looking at all of them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["by_top_name", "range_starting"]


def range_starting(paths: Sequence[str], start: str) -> range:
    """Find the paths that begin with a text.

    Args:
        paths: Sorted; none of them is the folder of another one.
        start: Not empty.

    Returns:
        Their places in the sequence.
    """
    first = bisect_left(paths, start)
    # No text that begins with `start` comes after this one.
    behind = start[:-1] + chr(ord(start[-1]) + 1)
    return range(first, bisect_left(paths, behind, first))


def by_top_name(paths: Sequence[str], folder: str) -> Iterator[tuple[str, range]]:
    """Yield what is directly in a folder, with the places of its own path or of its files.

    Args:
        paths: Sorted; none of them is the folder of another one.
        folder: Empty, or with a slash at its end.
    """
    within = range_starting(paths, folder) if folder else range(len(paths))
    place = within.start
    while place < within.stop:
        name, slash, _ = paths[place][len(folder) :].partition("/")
        found = range_starting(paths, f"{folder}{name}/") if slash else range(place, place + 1)
        yield name, found
        place = found.stop
