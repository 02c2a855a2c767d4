"""The line of progress on a terminal."""

from __future__ import annotations

import io
import os
import pty
import time

import pytest

from lambda_build_plugin.frontends.terminal import TerminalReporter, moves

_CLEAR = "\r\x1b[K"


def a_reporter(*, live: bool = True) -> tuple[TerminalReporter, io.StringIO]:
    """Make a reporter, and what it writes to."""
    stream = io.StringIO()
    return TerminalReporter(stream, verbose=False, live=live), stream


def drawn(stream: io.StringIO) -> list[str]:
    """List what the line has shown."""
    return stream.getvalue().split(_CLEAR)[1:]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give a clock that a test moves: its only item is the time."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_bytes_of_bytes(clock: list[float]) -> None:
    """What has come is shown beside what is to come, with the name of the artifact."""
    reporter, stream = a_reporter()
    reporter.artifact("demo api")
    reporter.fetching(files=2)
    reporter.announced(4 << 20)

    reporter.received(1 << 20)
    clock[0] += 0.2
    reporter.received(1 << 20)

    assert drawn(stream) == [
        "demo api: fetch 0 of 2 files, 1.0 MB of 4.0 MB",
        "demo api: fetch 0 of 2 files, 2.0 MB of 4.0 MB",
    ]


def test_ten_updates_a_second(clock: list[float]) -> None:
    """However many chunks come, the count is drawn ten times a second."""
    reporter, stream = a_reporter()

    for _ in range(1_000):
        reporter.received(1_000)
        clock[0] += 0.001

    assert 9 <= len(drawn(stream)) <= 10


def test_never_more_than_all(clock: list[float]) -> None:
    """A server need not announce a size; then as much is expected as has come."""
    reporter, stream = a_reporter()

    reporter.received(1 << 20)

    assert clock
    assert drawn(stream) == ["fetch 0 of 0 files, 1.0 MB of 1.0 MB"]


def test_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer line would wrap, and only its last part would be cleared."""
    monkeypatch.setenv("COLUMNS", "20")
    reporter, stream = a_reporter()
    reporter.artifact("a-project-with-a-long-name")

    reporter.stage("archive")

    assert [len(line) for line in drawn(stream)] == [19]


def test_nothing_moves_elsewhere() -> None:
    """Without a terminal nothing is drawn."""
    reporter, stream = a_reporter(live=False)

    reporter.stage("archive")
    reporter.received(1_000)

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("environ", "moving"),
    [
        pytest.param({"TERM": "xterm"}, True, id="terminal"),
        pytest.param({"TERM": "dumb"}, False, id="dumb"),
        pytest.param({"CI": "true"}, False, id="CI"),
    ],
)
def test_terminals(environ: dict[str, str], *, moving: bool) -> None:
    """A line moves only on a terminal that can overwrite it, and that a person looks at."""
    controller, terminal = pty.openpty()
    with open(terminal, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        found = moves(stream, environ)
    os.close(controller)

    assert found is moving


def test_a_pipe_is_no_terminal() -> None:
    """What is read by a program has no moving line."""
    assert not moves(io.StringIO(), {"TERM": "xterm"})
