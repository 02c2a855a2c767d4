from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lambda_build_plugin.system.processes import finished

ENVIRON = {"PATH": os.environ.get("PATH", os.defpath)}


def run(program: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a Python program in an environment of nobody's."""
    command = [sys.executable, "-I", "-c", program]
    return finished(command, cwd=cwd, environ=ENVIRON)


def test_what_a_program_says_is_kept(tmp_path: Path) -> None:
    """Exit code, output and errors come back, however much that is and whatever its letters."""
    program = (
        "import os, sys; sys.stdout.buffer.write(b'\\xff' + os.getcwd().encode())\n"
        "sys.stderr.write('e' * 300_000); sys.exit(3)"
    )
    result = run(program, cwd=tmp_path)
    assert (result.returncode, result.stdout, len(result.stderr)) == (3, f"�{tmp_path}", 300_000)


def test_program_gets_no_input() -> None:
    """Who asks meets the end of input at once."""
    assert run("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no sessions")
def test_program_has_no_terminal() -> None:
    """A session of its own has no terminal to ask at, though we may have one."""
    assert run("import os; print(os.getsid(0) == os.getpid())").stdout == "True\n"


def test_child_in_the_background_is_not_waited_for() -> None:
    """What a program leaves behind, such as a connection of ssh, does not hold us up."""
    child = "import subprocess, sys; print(subprocess.Popen(['sleep', '100']).pid)"
    begin = time.monotonic()
    result = run(child)
    os.kill(int(result.stdout), 9)
    assert time.monotonic() - begin < 90


def test_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """At its time limit a program is ended with all that it has started."""
    note = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 1000 & echo $! > '{note}'; wait"]
    with pytest.raises(subprocess.TimeoutExpired):
        finished(command, environ=ENVIRON, timeout=3)
    assert is_gone(int(note.read_text()))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, within some seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
            with Path(f"/proc/{pid}/stat").open(encoding="utf-8") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")
def test_signal_while_a_program_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal between the start of a program and its watch leaves no program behind."""
    start, started = subprocess.Popen, []

    def start_and_signal(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        process = start(command, **options)
        if command[0] == "sleep":
            started.append(process.pid)
            signal.raise_signal(signal.SIGTERM)
        return process

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", start_and_signal)
    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(KeyboardInterrupt):
            finished(["sleep", "1000"], environ=ENVIRON)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert is_gone(started[0])


def test_program_that_is_absent_is_told() -> None:
    """What cannot be started is the system's error."""
    with pytest.raises(FileNotFoundError):
        finished(["no-such-program"], environ=ENVIRON)
