"""Work on several things at once, in threads that nobody has to wait for.

The threads of `concurrent.futures` are joined when the interpreter ends: a build that was
interrupted would wait there for a server that does not respond, inside Poetry or PDM too.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["map_in_threads"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def _nothing() -> None:
    """Do what a thread does that waits for others."""


def map_in_threads(
    work: Callable[[_T], _R],
    items: Sequence[_T],
    *,
    threads: int,
    order: Sequence[int] | None = None,
    meanwhile: Callable[[], object] = _nothing,
) -> list[_R]:
    """Process all items, and return the results in the order of the items.

    The first exception ends it, and so does an interruption of the waiting thread; items
    that were not started by then are not processed.

    Args:
        work: What is done with each item.
        items: What is processed.
        threads: How many of them are processed at a time, at most.
        order: The places of the items, the first to start first; None for their own order.
        meanwhile: What the waiting thread does before it waits.
    """
    if min(threads, len(items)) <= 1 and meanwhile is _nothing and order is None:
        return list(map(work, items))  # one at a time: that needs no other thread
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, _R] | BaseException] = queue.SimpleQueue()
    is_over = threading.Event()
    for index in range(len(items)) if order is None else order:
        todo.put(index)

    def run() -> None:
        while not is_over.is_set():
            try:
                index = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((index, work(items[index])))
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                done.put(error)

    results: dict[int, _R] = {}
    try:
        for _ in range(min(threads, len(items))):
            threading.Thread(target=run, daemon=True).start()
        meanwhile()
        while len(results) < len(items):
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            results[result[0]] = result[1]
    finally:
        is_over.set()
    return [results[index] for index in range(len(items))]
