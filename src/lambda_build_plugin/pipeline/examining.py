"""Fetched wheels → notes in the cache that they are sound, and how they are laid out.

While the other wheels arrive, each one is read, checked and laid out in a single pass. The stages
that follow look the notes up. Nothing is decided here: a wheel with any fault gets no note, and
the stage that meets it says what is wrong, in the order of the wheels.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.stage.layout import lay_out_open
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.wheel import integrity
from lambda_build_plugin.wheel.file import check_unchanged
from lambda_build_plugin.wheel.open_wheel import open_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.wheel.file import Wheel

    Task: TypeAlias = tuple[float, int, "Wheel | None"]
    """What comes first, what comes first among equals, and a wheel; None ends a thread."""

__all__ = ["examining"]

_MOST_THREADS = 8

_LAST = float("inf")


@contextmanager
def examining(cache: Cache) -> Iterator[Callable[[Wheel], None]]:
    """Examine wheels in threads while others arrive, and wait for them at the end.

    Of the wheels that have arrived, the largest comes first: it would be waited for at the end.

    Yields:
        A function that takes a wheel whose file has just been hashed.
    """
    arrived: queue.PriorityQueue[Task] = queue.PriorityQueue()
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            _, _, wheel = arrived.get()
            if wheel is None:
                return
            with suppress(LambdaBuildError):
                _examine(wheel, cache)

    def take(wheel: Wheel) -> None:
        with suppress(OSError):  # whoever needs it says that it has gone
            arrived.put((-wheel.path.stat().st_size, id(wheel), wheel))

    # More threads than processors would take memory for nothing.
    threads = [
        threading.Thread(target=run, daemon=True)
        for _ in range(min(os.cpu_count() or 1, _MOST_THREADS))
    ]
    for thread in threads:
        thread.start()
    try:
        yield take
    except BaseException:
        is_over.set()  # nobody waits for what is left
        raise
    finally:
        for number in range(len(threads)):
            arrived.put((_LAST, number, None))
    for thread in threads:
        thread.join()


def _examine(wheel: Wheel, cache: Cache) -> None:
    """Check one wheel, lay it out, and note both if it has not changed meanwhile.

    Raises:
        StageError: It is broken, or has changed since it was hashed.
    """
    layouts = Layouts(cache)
    if integrity.is_noted(wheel, cache) and layouts.is_noted(wheel):
        return
    with open_wheel(wheel) as source:
        code = integrity.examine(source)
        if isinstance(code, integrity.Damage):
            return
        layout = lay_out_open(source)
    check_unchanged(wheel.path, wheel.sha256, shown=wheel.filename)
    integrity.keep(wheel, code, cache)
    layouts.keep(wheel, layout)
