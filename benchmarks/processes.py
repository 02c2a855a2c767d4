"""Measure whole processes, one at a time: wall time, processor time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["FailedProcessError", "Sample", "measured", "together"]

_MEGABYTE = 1_000_000
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class FailedProcessError(Exception):
    """A process has failed; the message is its command, and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One process, or several that ran one after the other."""

    seconds: float
    cpu: float
    """Seconds of user and system time, of the process and all of its children."""

    peak: float
    """Largest resident set of any of the processes, in MB."""


def measured(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path, log: Path
) -> Sample:
    """Run one process to its end.

    Args:
        command: The program and its arguments.
        environment: All of its variables.
        folder: Its working directory.
        log: Where its output goes.

    Raises:
        FailedProcessError: It has failed.
    """
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        # Not `process.wait`: this gives the usage of that child alone.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise FailedProcessError(f"{' '.join(command)} ended with {process.returncode}\n{said}")
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(seconds=seconds, cpu=cpu, peak=usage.ru_maxrss * _MAXRSS_UNIT / _MEGABYTE)


def together(samples: Iterable[Sample]) -> Sample:
    """Add up processes that ran one after the other."""
    found = list(samples)
    return Sample(
        seconds=sum(each.seconds for each in found),
        cpu=sum(each.cpu for each in found),
        peak=max(each.peak for each in found),
    )
