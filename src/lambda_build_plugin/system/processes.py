"""Run programs to their end, without a terminal; they do not outlive this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["finished", "kill", "watched"]

_KILL_GROUP = 'read line || kill -9 "-$1"'
"""At the end of the pipe without a line, end the group of processes."""


def finished(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str],
    timeout: float | None = None,
    together: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; whatever ends this process ends the program and its children.

    It gets no input, and a session of its own: without a terminal nothing can ask there.

    Args:
        command: The program and its arguments.
        cwd: The working directory; by default that of this process.
        environ: All of its environment variables.
        timeout: Seconds after which it is ended; by default it may run forever.
        together: Whether its errors are part of its standard output, in the order of writing.

    Raises:
        OSError: It cannot be started.
        subprocess.TimeoutExpired: After `timeout` seconds; it has been ended.
    """
    # Into files: a pipe would be waited for as long as a child in the background has it,
    # such as the connection that ssh keeps for the next time.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if together else errors,
            start_new_session=True,
        ) as process:
            try:
                with watched(process):
                    process.wait(timeout)
            except BaseException:
                kill(process)
                raise
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
    return subprocess.CompletedProcess(command, process.returncode, *texts)


@contextmanager
def watched(
    process: subprocess.Popen[bytes], script: str = _KILL_GROUP, *arguments: str
) -> Iterator[None]:
    """Let a second process end the first one if this one is killed and cannot do so.

    The second one waits for a line in a pipe that only this process can write to, and which
    the system closes when this process ends. Windows has no groups of processes to end.

    Args:
        process: The first process, which leads a session.
        script: What the second one does, for `sh`: it reads a line and, without one, cleans up.
        arguments: Of the script, after the number of the group.
    """
    if sys.platform == "win32":
        yield
        return
    reading, writing = os.pipe()  # not inherited by other programs
    watcher = _watcher((script, "lambda-build-watch", str(process.pid), *arguments), reading)
    try:
        yield
    finally:
        with suppress(OSError):
            os.write(writing, b"done\n")
        os.close(writing)
        os.close(reading)
        if watcher is not None:
            watcher.wait()


def _watcher(script: Sequence[str], reading: int) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", *script],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,
        )
    except OSError:  # the program can do without it
        return None


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and its children if the system has sessions."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
