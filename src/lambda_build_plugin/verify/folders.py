"""The largest folders inside packages: often one of them is half of an artifact."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from lambda_build_plugin.verify.paths import by_top_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["heavy_folders"]


def heavy_folders(tree: StagedTree, most: int) -> list[tuple[str, int]]:
    """List the largest folders inside packages by unzipped size in bytes.

    They are the folders in a package, such as `botocore/data/`, and those beside one that have
    no folders themselves, such as `numpy.libs/`.
    """
    paths = [entry.path for entry in tree.entries]
    # The size of some neighbours is the difference of two sums.
    sums = list(accumulate((entry.size for entry in tree.entries), initial=0))
    found = (
        (folder, sums[places.stop] - sums[places.start])
        for folder, places in _folders(paths, tree.prefix)
    )
    return sorted(found, key=lambda item: (-item[1], item[0]))[:most]


def _folders(paths: Sequence[str], prefix: str) -> Iterator[tuple[str, range]]:
    """Yield the folders inside packages, and packages without folders, with their files."""
    for top, files in by_top_name(paths, prefix):
        if not paths[files.start].startswith(f"{prefix}{top}/"):
            continue
        inner = [
            (f"{top}/{name}/", below)
            for name, below in by_top_name(paths, f"{prefix}{top}/")
            if paths[below.start].startswith(f"{prefix}{top}/{name}/")
        ]
        yield from inner or [(f"{top}/", files)]
