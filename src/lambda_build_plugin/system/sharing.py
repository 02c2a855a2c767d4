"""A folder in which several processes and threads do each piece of work once.

Whoever comes first works on a key, and the others wait and find the result. A lock of the
system ends with the process that holds it, so nobody waits for one that was killed.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SharedFolder"]


class SharedFolder:
    """A folder of results; it lies in the temporary folder of a run and ends with it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def alone(self, key: str) -> Iterator[Path]:
        """Wait until nobody else works on a key, and yield a path for its results.

        Whoever holds one key must not ask for another one, because two could then wait for
        each other.
        """
        place = self._root / hashlib.sha256(key.encode()).hexdigest()
        self._root.mkdir(parents=True, exist_ok=True)
        with place.with_suffix(".lock").open("a+b") as file:
            # A file system without locks costs only time: the work is done twice.
            with suppress(OSError):
                _lock(file.fileno())
            yield place  # closing the file gives the lock back

    @property
    def is_doubtful(self) -> bool:
        """Whether what the results were made of may have changed during the run."""
        return self._doubt.exists()

    def doubt(self) -> None:
        """Say that something is about to run which may change what the results were made of."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._doubt.touch()

    @property
    def _doubt(self) -> Path:
        return self._root / "doubtful"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
            except PermissionError:  # after ten seconds
                continue
            return

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
