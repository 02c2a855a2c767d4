"""Disks that are small or may only be read: mounted for a test, gone after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read_only", "second_place", "small_disk"]


@contextmanager
def small_disk(folder: Path, *, size: int) -> Iterator[Path]:
    """Mount a disk of some bytes at a folder, which is made; skip where nobody may mount."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Let a folder be one that may only be read, for root too."""
    if os.name == "posix" and os.geteuid() != 0:
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        try:
            yield folder
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        return
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,ro,bind", str(folder))
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def second_place(folder: Path, place: Path) -> Iterator[Path]:
    """Mount a folder a second time, at a place that is made; skip where nobody may mount."""
    place.mkdir(parents=True)
    _mount("--bind", str(folder), str(place))
    try:
        yield place
    finally:
        _unmount(place)


def _mount(*arguments: str) -> None:
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("there is no mount as Linux has it")
    run = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"nothing can be mounted here: {run.stderr.strip()}")


def _unmount(folder: Path) -> None:
    # Lazily: a process that is just ending may still hold something open.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
