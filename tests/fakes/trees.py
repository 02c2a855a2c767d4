"""Wheels laid out as a tree, and what of it ships."""

from __future__ import annotations

import csv
import itertools
import zipfile
from typing import TYPE_CHECKING

from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.wheels import FakeWheel
    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["a_tree", "paths", "record_of", "shipped"]


def a_tree(folder: Path, *fakes: FakeWheel, prefix: str = "") -> StagedTree:
    """Write the wheels, each into a folder of its own, and lay them out."""
    places = (folder / "wheels" / str(number) for number in itertools.count())
    return stage([_described(fake, next(places)) for fake in fakes], prefix=prefix)


def _described(fake: FakeWheel, folder: Path) -> Wheel:
    return Wheel.of(fake.write_to(folder), sha256=fake.sha256, source="wheel")


def shipped(tree: StagedTree, file: Path) -> dict[str, bytes]:
    """Write the tree as a zip and read it back."""
    write_archive(tree, file, epoch=None)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def paths(tree: StagedTree) -> list[str]:
    """Get all paths but those of metadata."""
    return [entry.path for entry in tree.entries if ".dist-info/" not in entry.path]


def record_of(tree: StagedTree, dist_info: str) -> list[list[str]]:
    """Get the rows of a RECORD, which staging has written."""
    path = f"{tree.prefix}{dist_info}/RECORD"
    data = next(entry.data for entry in tree.entries if entry.path == path)
    assert isinstance(data, bytes)
    return list(csv.reader(data.decode().splitlines()))
