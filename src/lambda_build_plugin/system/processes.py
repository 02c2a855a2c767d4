"""Run programs to their end, without a terminal; they do not outlive this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["finished", "kill", "running"]

_READ_GROUP = 'read group; [ "$group" != 0 ] || group=\n'
_KILL_GROUP = 'read line || [ -z "$group" ] || kill -9 "-$group"'
"""At the end of the pipe without a line, end the group of processes."""

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


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
        with running(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output if together else errors,
        ) as process:
            process.wait(timeout)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
    return subprocess.CompletedProcess(command, process.returncode, *texts)


@contextmanager
def running(
    command: Sequence[str | Path], script: str = _KILL_GROUP, *arguments: str, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program; an exception in the `with` block ends it, and so does our own end.

    A second process, the watcher, waits for lines in a pipe that only this process can write
    to, and which the system closes when this process ends. It is there before the program, and
    a signal that comes while the program starts is handled when both are known. Windows has no
    groups of processes to end.

    Args:
        command: The program and its arguments.
        script: What the watcher does, for `sh`, when `$group` is the group of the program: it
            reads a line and, without one, cleans up.
        arguments: Of the script.
        options: Of `subprocess.Popen`; the program gets a session of its own.

    Raises:
        OSError: It cannot be started.
    """
    process = None
    with ExitStack() as stack:
        try:
            with _signals_held():
                tell = stack.enter_context(_watching(script, arguments))
                process = subprocess.Popen(command, start_new_session=True, **options)
                tell(process.pid)
            yield process
        except BaseException:
            if process is not None:
                kill(process)
            raise


@contextmanager
def _watching(script: str, arguments: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """Start a watcher, and give what tells it the group of processes."""
    if sys.platform == "win32":
        yield lambda _: None
        return
    reading, writing = os.pipe()  # not inherited by other programs
    lines = ["0", "done"]

    def tell(group: int) -> None:
        lines.pop(0)
        with suppress(OSError):
            os.write(writing, f"{group}\n".encode())

    try:
        watcher = _watcher((f"{_READ_GROUP}{script}", "lambda-build-watch", *arguments), reading)
    finally:
        os.close(reading)
    try:
        yield tell
    finally:
        with suppress(OSError):
            os.write(writing, "".join(f"{line}\n" for line in lines).encode())
        os.close(writing)
        if watcher is not None:
            watcher.wait()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals that Python handles wait until the end of the `with` block.

    Their handlers raise exceptions, which would leave a program behind that nobody knows yet.
    They are not blocked for the system, since programs would inherit that.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone handles them
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    held = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in held:
            signal.signal(number, lambda each, _: arrived.append(each))
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        for number in arrived:
            signal.raise_signal(number)


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
