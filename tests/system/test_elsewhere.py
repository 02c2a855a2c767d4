"""Work of another process: its result, its failure, and its end."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.system import elsewhere
from lambda_build_plugin.system.elsewhere import Elsewhere, can_fork

HERE = os.getpid()


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a process that has threads, as that of the tests, start others, and list them."""
    fork, found = os.fork, []

    def noted() -> int:
        found.append(fork())
        return found[-1]

    monkeypatch.setattr(os, "fork", noted)
    monkeypatch.setattr(elsewhere, "can_fork", lambda: True)
    monkeypatch.setattr(elsewhere, "usable_processors", lambda: 2)
    return found


def is_left(process: int) -> bool:
    """Tell whether a process is running, or has ended and nobody has waited for it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_result_of_another_process(started: list[int]) -> None:
    """The work is done elsewhere, its result is here, and the other process has ended."""
    with Elsewhere(lambda: [os.getpid(), "x" * 200_000]) as other:
        process, text = other.result()

    assert [process] == started
    assert len(str(text)) == 200_000
    assert not is_left(started[0])


def fail() -> None:
    """Fail with an error that cannot be pickled."""
    raise SettingsError([f"wrong in {os.getpid()}"])


def test_failure_is_raised_here(started: list[int]) -> None:
    """An error comes with all that belongs to it, because it is found once more."""
    with Elsewhere(fail) as other, pytest.raises(SettingsError, match=f"wrong in {HERE}"):
        other.result()

    assert [is_left(process) for process in started] == [False]


def killed_elsewhere() -> int:
    """End the process, unless it is the first one."""
    if os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_work_that_another_process_does_not_finish() -> None:
    """If the other process is killed, the work is done here."""
    with Elsewhere(killed_elsewhere) as other:
        assert other.result() == HERE


def test_result_that_cannot_be_sent() -> None:
    """A result that cannot be pickled is made here."""
    with Elsewhere(lambda: (os.getpid(), threading.Lock())) as other:
        process, _ = other.result()

    assert process == HERE


def test_work_that_is_short(started: list[int]) -> None:
    """Where it is not worth it, no process is started."""
    with Elsewhere(os.getpid, is_worth_it=False) as other:
        assert other.result() == HERE

    assert started == []


def test_error_before_the_result(started: list[int]) -> None:
    """If the result is not wanted any more, the other process is waited for all the same."""
    with pytest.raises(ValueError, match="meanwhile"), Elsewhere(os.getpid):
        raise ValueError("meanwhile")

    assert [is_left(process) for process in started] == [False]


def test_no_room_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system allows no other process, the work is done here."""

    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    before = len([*Path("/proc/self/fd").iterdir()])

    with Elsewhere(os.getpid) as other:
        assert other.result() == HERE

    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_thread_that_runs() -> None:
    """A process with other threads is not copied: one of them may hold a lock."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        over.set()
        thread.join()
