"""Spread projects evenly over machines that build at the same time."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lambda_build_plugin.projects.plan import Planned

__all__ = ["spread"]


def spread(artifacts: Sequence[Planned], shards: int) -> dict[Path, int]:
    """Give each project to a shard, so that all shards have about the same size.

    The largest project comes first, and each goes where there is least (Graham's rule). Only
    the lock counts, so every machine comes to the same result.

    Args:
        artifacts: What there is to build. The artifacts of a project stay together.
        shards: How many shards there may be, at least 1.

    Returns:
        The number of the shard by the folder of the project, beginning with 1. With fewer
        projects than shards, the last shards are empty.
    """
    sizes: defaultdict[Path, int] = defaultdict(int)
    for each in artifacts:
        sizes[each.project.folder] += each.size
    loads = [0] * min(shards, len(sizes))
    found: dict[Path, int] = {}
    for folder in sorted(sizes, key=lambda folder: (-sizes[folder], str(folder))):
        shard = loads.index(min(loads))
        loads[shard] += sizes[folder]
        found[folder] = shard + 1
    return found
