"""Work on several things at once."""

from __future__ import annotations

import threading

import pytest

from lambda_build_plugin.system.threads import map_in_threads


def test_order() -> None:
    """Items start in the order that is asked for; the results stay in that of the items."""
    started: list[str] = []

    def work(item: str) -> str:
        started.append(item)
        return item.upper()

    assert map_in_threads(work, ["a", "b", "c"], threads=1, order=[2, 0, 1]) == ["A", "B", "C"]
    assert started == ["c", "a", "b"]


def test_meanwhile() -> None:
    """The waiting thread does something else while the others work."""
    is_done = threading.Event()

    def work(_: int) -> bool:
        return is_done.wait(timeout=30)

    assert map_in_threads(work, [1, 2], threads=2, meanwhile=is_done.set) == [True, True]


def test_failure_meanwhile() -> None:
    """What the waiting thread does may fail; no other item is begun then."""
    seen: list[int] = []
    begun, goes_on = threading.Event(), threading.Event()

    def work(item: int) -> None:
        seen.append(item)
        begun.set()
        goes_on.wait(timeout=30)

    def fail() -> None:
        begun.wait(timeout=30)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        map_in_threads(work, [1, 2, 3], threads=1, meanwhile=fail)
    goes_on.set()

    assert seen == [1]
