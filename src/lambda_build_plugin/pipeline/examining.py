"""Fetched wheels → notes in the cache that they are sound, and how they are laid out.

The members of a wheel are inflated and hashed while the wheel arrives, and it is checked and laid
out while the others do. The stages that follow look the notes up. Nothing is decided here: a wheel
with any fault gets no note, and the stage that meets it says what is wrong, in the order of the
wheels.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.stage.layout import lay_out_open
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.wheel import integrity
from lambda_build_plugin.wheel.arriving import ArrivingMembers
from lambda_build_plugin.wheel.file import check_unchanged
from lambda_build_plugin.wheel.open_wheel import open_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.wheel.arriving import Content
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["Examination", "examining"]

_MOST_THREADS = 8

_LAST = float("inf")


class Examination:
    """Examines wheels, in threads of its own and in those in which they are received."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._arrived: queue.PriorityQueue[_Task] = queue.PriorityQueue()
        self._streams: dict[str, ArrivingMembers] = {}
        self._is_over = threading.Event()
        # More threads than processors would only be in each other's way.
        count = min(os.cpu_count() or 1, _MOST_THREADS)
        self._turns = threading.Semaphore(count)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def receive(self, filename: str) -> Callable[[bytes], None]:
        """Begin to receive a wheel, maybe once more, and return what takes its bytes."""
        if (earlier := self._streams.get(filename)) is not None:
            earlier.close()  # it has broken off
        stream = self._streams[filename] = ArrivingMembers()

        def hear(chunk: bytes) -> None:
            with self._turns:
                stream.hear(chunk)

        return hear

    def take(self, wheel: Wheel) -> None:
        """Examine a wheel whose file has just been hashed, and is what was received.

        The largest of those that have arrived comes first: it would be waited for at the end.
        """
        with suppress(OSError):  # whoever needs it says that it has gone
            self._arrived.put(_Task(-wheel.path.stat().st_size, id(wheel), wheel))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def finish(self, *, waits: bool) -> None:
        """End the threads; after a failure, nobody waits for what they have not begun."""
        if not waits:
            self._is_over.set()
        for number in range(len(self._threads)):
            self._arrived.put(_Task(_LAST, number, None))
        if waits:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            wheel = self._arrived.get().wheel
            if wheel is None:
                return
            stream = self._streams.pop(wheel.filename, None)
            with suppress(LambdaBuildError):
                _examine(wheel, self._cache, stream.finish() if stream is not None else {})


class _Task(NamedTuple):
    """What to do next; the smallest comes first."""

    order: float
    number: int
    """Distinguishes those of the same order."""

    wheel: Wheel | None
    """None ends a thread."""


@contextmanager
def examining(cache: Cache) -> Iterator[Examination]:
    """Examine wheels while others arrive, and wait for the last of them at the end."""
    examination = Examination(cache)
    examination.start()
    try:
        yield examination
    except BaseException:
        examination.finish(waits=False)
        raise
    examination.finish(waits=True)


def _examine(wheel: Wheel, cache: Cache, arrived: Mapping[int, Content]) -> None:
    """Check one wheel, lay it out, and note both if it has not changed meanwhile.

    Raises:
        StageError: It is broken, or has changed since it was hashed.
    """
    layouts = Layouts(cache)
    if integrity.is_noted(wheel, cache) and layouts.is_noted(wheel):
        return
    with open_wheel(wheel) as source:
        code = integrity.examine(source, arrived)
        if isinstance(code, integrity.Damage):
            return
        layout = lay_out_open(source)
    check_unchanged(wheel.path, wheel.sha256, shown=wheel.filename)
    integrity.keep(wheel, code, cache)
    layouts.keep(wheel, layout)
