"""Run programs to their end, without a terminal, and never let them outlive this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["finished"]


def finished(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str],
    timeout: float | None = None,
    together: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; what interrupts us ends it with all that it has started.

    It gets no input, and a session of its own: without a terminal nothing can ask there.
    What it writes may be gathered `together`, in its order, as its standard output.

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
                process.wait(timeout)
            except BaseException:
                _kill(process)
                raise
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
    return subprocess.CompletedProcess(command, process.returncode, *texts)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session, and its children where there are sessions."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
