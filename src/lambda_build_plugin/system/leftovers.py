"""Temporary files: how they are named, and the removal of those that a killed process has left.

Only files of this user are removed, with names that nothing else has, that have not been
touched for a day: a build that is still running is left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.system.cache import belongs_to_another_user

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CACHE_PART",
    "DAY",
    "draft_name",
    "empty_folder",
    "part_name",
    "sweep",
    "sweep_ended",
    "sweep_parts",
    "temporary_folder",
]

DAY = 24 * 60 * 60
"""Seconds after which something unfinished belongs to no running build."""

_FOLDER = re.compile(r"lambda-build-(\d+)-[a-z0-9_]{8}")
"""With the number of the process that has made it."""

_UNFINISHED = re.compile(
    r"\.lambda-build-[0-9a-f]{16}\.part|pylock\.lambda-build-[0-9a-f]{16}\.toml"
)
"""What `part_name` and `draft_name` return."""

CACHE_PART = re.compile(r"\.part-[a-z0-9_]{8}(?:[0-9a-f]{8})?")
"""Unfinished files and folders in the cache."""

_MARKER = "swept"
"""The file in the cache that is touched when the last sweep is over."""


def temporary_folder(*, ignore_errors: bool = False) -> tempfile.TemporaryDirectory[str]:
    """Make a temporary folder, which is removed at the end of the `with` block.

    Args:
        ignore_errors: Whether files that cannot be removed are left.
    """
    return _TemporaryFolder(
        prefix=f"lambda-build-{os.getpid()}-", ignore_cleanup_errors=ignore_errors
    )


class _TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """A folder that is also gone if the process is interrupted while it is being removed."""

    def cleanup(self) -> None:
        try:
            super().cleanup()
        except KeyboardInterrupt:  # no second signal has an effect
            super().cleanup()
            raise


def empty_folder(folder: Path) -> None:
    """Remove what is in a folder, as far as that is possible, so that it can be used again.

    Where thousands of folders are removed one after the other, some file systems need ever longer
    to make new ones.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)  # noqa: PTH108 - an entry has no other method


def part_name() -> str:
    """Return a name for an unfinished file beside its destination.

    It does not contain the destination's name, which may have the greatest length allowed.
    """
    return f".lambda-build-{os.urandom(8).hex()}.part"


def draft_name() -> str:
    """Return a name for an unfinished lock; PEP 751 says what such names look like."""
    return f"pylock.lambda-build-{os.urandom(8).hex()}.toml"


def sweep(cache: Path) -> None:
    """Remove old temporary folders, and unfinished files in the cache; once a day.

    Args:
        cache: The folder of the cache, which may not exist. That of another user is left alone.
    """
    marker = cache / _MARKER
    with suppress(OSError):
        if time.time() - marker.stat().st_mtime < DAY:
            return
    _sweep(Path(tempfile.gettempdir()), _FOLDER)
    if belongs_to_another_user(cache):
        return
    with suppress(OSError):
        for folder in cache.iterdir():
            _sweep(folder, CACHE_PART)
        marker.touch()


def sweep_ended() -> None:
    """Remove the temporary folders of processes that have ended, however old they are."""
    root = Path(tempfile.gettempdir())
    for path in _ours(root, _FOLDER):
        match = _FOLDER.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def sweep_parts(folder: Path) -> None:
    """Remove old unfinished results from a folder where results are written."""
    _sweep(folder, _UNFINISHED)


def _sweep(folder: Path, name: re.Pattern[str]) -> None:
    for path in _old_ones(folder, name):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _old_ones(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files and folders of a folder that are ours and old."""
    for path in _ours(folder, name):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > DAY:
                yield path


def _ours(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files and folders of a folder that are this user's and have such a name."""
    try:
        names = [found for found in os.listdir(folder) if name.fullmatch(found)]  # noqa: PTH208
    except OSError:
        return
    for found in names:
        with suppress(OSError):
            status = (folder / found).lstat()
            is_own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
            if is_own and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                yield folder / found


def _is_running(process: int) -> bool:
    """Tell whether a process may run; on Windows, asking would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
