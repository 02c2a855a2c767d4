"""A tree that is too large → what would make it smaller, and by how much.

This is computed only for an error message: presets look into the files of packages.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.config.settings import Preset
from lambda_build_plugin.errors import StageError
from lambda_build_plugin.runtime.sdk import SDK_HEADS
from lambda_build_plugin.stage.filters import filtered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["Saving", "heavy_folders", "possible_savings"]

_SDK_ALONE = SDK_HEADS | {"s3transfer", "jmespath"}
"""Packages of the AWS SDK that few other packages require."""

_DEPTH = 2  # a package, and a folder in it
_WORTH_TELLING = 1 << 16  # bytes


class Saving(NamedTuple):
    """A setting that leaves something out."""

    setting: str
    """As it is written in `pyproject.toml`."""

    size: int
    """Uncompressed bytes."""


def possible_savings(tree: StagedTree) -> tuple[Saving, ...]:
    """Find the settings that make a tree smaller, the most effective first."""
    found = (saving for saving in _savings(tree) if saving.size >= _WORTH_TELLING)
    return tuple(sorted(found, key=lambda saving: (-saving.size, saving.setting)))


def _savings(tree: StagedTree) -> Iterator[Saving]:
    for preset in Preset:
        with suppress(StageError, OSError):
            (excluded,) = filtered(tree, presets=(preset,)).excluded
            yield Saving(f'exclude-presets = ["{preset.value}"]', excluded.unzipped)
    sdk = [entry for entry in tree.entries if entry.owner in _SDK_ALONE]
    if SDK_HEADS & {entry.owner for entry in sdk}:
        yield Saving('provided = ["boto3"]', sum(entry.size for entry in sdk))


def heavy_folders(tree: StagedTree, most: int) -> list[tuple[str, int]]:
    """List the largest folders inside packages by unzipped size in bytes."""
    sizes: Counter[str] = Counter()
    for entry in tree.entries:
        parts = entry.path.removeprefix(tree.prefix).split("/")
        if len(parts) > _DEPTH:
            sizes["/".join(parts[:_DEPTH]) + "/"] += entry.size
    return sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:most]
