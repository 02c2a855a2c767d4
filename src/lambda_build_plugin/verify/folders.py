"""The largest folders inside packages: often one of them is half of an artifact."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["heavy_folders"]


def heavy_folders(tree: StagedTree, most: int) -> list[tuple[str, int]]:
    """List the largest folders inside packages by unzipped size in bytes.

    They are the folders in a package, such as `botocore/data/`, and those beside one that have
    no folders themselves, such as `numpy.libs/`.
    """
    sizes: Counter[str] = Counter()
    prefix, start = tree.prefix, len(tree.prefix)
    paths = [entry.path for entry in tree.entries]
    # Bytes of all entries before each one: the difference of two is what lies between them.
    before = [0, *accumulate(entry.size for entry in tree.entries)]
    place = bisect_left(paths, prefix)
    while place < len(paths) and paths[place].startswith(prefix):
        top, *below = paths[place][start:].split("/", 2)
        if len(below) > 1:
            folder = f"{top}/{below[0]}/"
            # What is in a folder lies together, and `0` is the character after `/`.
            end = bisect_left(paths, f"{prefix}{folder[:-1]}0", place)
            sizes[folder] += before[end] - before[place]
            place = end
            continue
        if below:
            sizes[f"{top}/"] += tree.entries[place].size
        place += 1
    nested = {folder.partition("/")[0] + "/" for folder in sizes if folder.count("/") > 1}
    found = ((folder, size) for folder, size in sizes.items() if folder not in nested)
    return sorted(found, key=lambda item: (-item[1], item[0]))[:most]
