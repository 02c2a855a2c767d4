"""A real zig from the package index, and what it has compiled for tests before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes.hosts import host
from fakes.locks import CACHE

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["a_cache", "zig_folder"]


def zig_folder() -> Path:
    """Return the folder of a zig that the lock of the tests names."""
    tool = host("ziglang", "ziglang>=0.13", with_plugin=False)
    (package,) = tool.folder.glob("lib/python*/site-packages/ziglang")
    return package


def a_cache(folder: Path) -> Path:
    """Make a cache that is empty but for what zig has compiled for earlier tests.

    Its own libraries take it a minute or two for each target. It finds what it compiled by the
    contents of all files and by all arguments, so an old result is never taken for a new one.
    """
    kept = CACHE / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (folder / "zig").symlink_to(kept)
    return folder
