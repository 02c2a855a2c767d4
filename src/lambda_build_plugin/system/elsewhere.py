"""Work that another process does, while this one does what only it can do, such as load modules.

Threads of one process would take turns.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from lambda_build_plugin.system.processors import usable_processors

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from typing_extensions import Self

__all__ = ["Elsewhere", "can_fork"]

_T = TypeVar("_T")

_LENGTH = struct.Struct("<Q")

_THREADS = Path("/proc/self/task")
"""Lists the threads of this process, also those that were not started by Python."""


def can_fork() -> bool:
    """Tell whether a copy of this process can go on from here.

    The libraries of macOS do not endure it, and neither does a lock that another thread holds at
    that moment.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            return len(list(_THREADS.iterdir())) == 1
    return False


class Elsewhere(Generic[_T]):
    """Some work that another process does from the beginning of the `with` block on, if it can."""

    def __init__(self, work: Callable[[], _T], *, is_worth_it: bool = True) -> None:
        """Start nothing yet.

        Args:
            work: It changes nothing, because it is done here if no other process can do it. Its
                result can be pickled.
            is_worth_it: Whether the work takes longer than to start another process.
        """
        self._work = work
        self._is_worth_it = is_worth_it and usable_processors() > 1
        self._process = 0
        """The number of the other process; 0 if there is none."""
        self._place = -1
        """The end of the pipe that it writes to."""

    def __enter__(self) -> Self:
        if self._is_worth_it and can_fork():
            with suppress(OSError):  # the system does not allow another process
                self._start()
        return self

    def _start(self) -> None:
        place, end = os.pipe()
        try:
            process = os.fork()
        except OSError:
            os.close(place)
            os.close(end)
            raise
        if not process:
            os.close(place)
            _work_and_end(self._work, end)
        os.close(end)
        self._process, self._place = process, place

    def result(self) -> _T:
        """Wait for the result; what the work raises is raised here."""
        if self._process:
            with os.fdopen(self._place, "rb") as pipe:
                self._place = -1
                content = pipe.read()
            start = len(content) - _LENGTH.size
            # What failed there fails again here, with its traceback and all that belongs to it.
            if start >= 0 and _LENGTH.unpack_from(content, start)[0] == start:
                return cast("_T", pickle.loads(memoryview(content)[:start]))  # noqa: S301 - it is ours
        return self._work()

    def __exit__(self, *_: object) -> None:
        if self._place >= 0:  # nobody wants the result
            os.close(self._place)
        if self._process:
            os.waitpid(self._process, 0)


def _work_and_end(work: Callable[[], object], end: int) -> NoReturn:
    """Do the work in the other process, and write the result, with its length at the end."""
    try:
        content = pickle.dumps(work(), pickle.HIGHEST_PROTOCOL)
        with os.fdopen(end, "wb") as pipe:
            pipe.write(content + _LENGTH.pack(len(content)))
    finally:
        os._exit(0)  # whatever the first process has to do at its end
