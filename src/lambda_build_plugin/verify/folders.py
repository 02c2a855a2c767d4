"""The largest folders inside packages: often one of them is half of an artifact."""

from __future__ import annotations

from collections import Counter
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
    for path, _, _, _, size, _ in tree.entries:
        top, *below = path[start:].split("/", 2)
        if below and path.startswith(prefix):
            sizes[f"{top}/{below[0]}/" if len(below) > 1 else f"{top}/"] += size
    nested = {folder.partition("/")[0] + "/" for folder in sizes if folder.count("/") > 1}
    found = ((folder, size) for folder, size in sizes.items() if folder not in nested)
    return sorted(found, key=lambda item: (-item[1], item[0]))[:most]
