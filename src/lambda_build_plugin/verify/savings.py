"""A large tree → what would make it smaller, and by how much.

This is computed only for a tree that is too large, or near that: presets look into the files of
packages.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Preset
from lambda_build_plugin.errors import StageError
from lambda_build_plugin.runtime.sdk import SDK_HEADS
from lambda_build_plugin.stage.filters import preset_effect
from lambda_build_plugin.verify.sizes import Saving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["all_savings", "possible_savings", "worth_telling"]

_SDK_ALONE = SDK_HEADS | {"s3transfer", "jmespath"}
"""Packages of the AWS SDK that few other packages require."""

_DATA = {
    "googleapiclient/discovery_cache/documents/": "if the function discovers APIs by network",
    "matplotlib/mpl-data/sample_data/": "",
    "pyarrow/include/": "",
    "sklearn/datasets/data/": "",
    "sklearn/datasets/images/": "",
    "torch/include/": "",
}
"""Large folders that functions rarely need, and when they do not: data for examples, and headers
for compilers."""

_WORTH_TELLING = 1 << 16  # bytes


def possible_savings(tree: StagedTree) -> tuple[Saving, ...]:
    """Find the settings that make a tree smaller, the most effective first."""
    return worth_telling(all_savings(tree))


def all_savings(tree: StagedTree) -> Counter[tuple[str, str]]:
    """Map settings, with their conditions, to the bytes that each would save.

    The savings of two trees without a common folder can be added.
    """
    return Counter({(each.setting, each.condition): each.size for each in _savings(tree)})


def worth_telling(savings: Mapping[tuple[str, str], int]) -> tuple[Saving, ...]:
    """List what `all_savings` has found and is not small, the most effective first."""
    found = (
        Saving(setting, size, condition)
        for (setting, condition), size in savings.items()
        if size >= _WORTH_TELLING
    )
    return tuple(sorted(found, key=lambda saving: (-saving.size, saving.setting)))


def _savings(tree: StagedTree) -> Iterator[Saving]:
    for preset in Preset:
        with suppress(StageError, OSError):
            size = preset_effect(preset, tree).unzipped
            yield Saving(f'exclude-presets = ["{preset.value}"]', size)
    sdk = [entry for entry in tree.entries if entry.owner in _SDK_ALONE]
    if SDK_HEADS & {entry.owner for entry in sdk}:
        yield Saving('provided = ["boto3"]', sum(entry.size for entry in sdk))
    if sources := _compiled_sources(tree):
        yield Saving("bytecode-only = true", sources, "if tracebacks need no lines of code")
    for folder, condition in _DATA.items():
        yield Saving(f'exclude = ["/{folder}"]', _size_below(tree, folder), condition)


def _compiled_sources(tree: StagedTree) -> int:
    """Add up the sources that ship together with their bytecode."""
    paths = {entry.path for entry in tree.entries if entry.path.endswith(".pyc")}
    compiled = {
        f"{folder}/{name.partition('.')[0]}.py"
        for folder, _, name in (path.rpartition("/__pycache__/") for path in paths)
    }
    return sum(entry.size for entry in tree.entries if entry.path in compiled)


def _size_below(tree: StagedTree, folder: str) -> int:
    start = tree.prefix + folder
    return sum(entry.size for entry in tree.entries if entry.path.startswith(start))
