"""The process of a function: started with nothing of ours, and ended with all its children.

It leads a session of its own. A watcher ends it if this program is killed; children that have
left the session are found by the name of the log stream in their environment, which nothing
else on the machine has.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lambda_build_plugin.system.processes import kill, watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["FunctionProcess"]

_CLEAN_UP = """\
read line && exit
kill -9 "-$1"
for file in $(grep -lsF "$2" /proc/[0-9]*/environ); do
    pid=${file#/proc/}
    kill -9 "${pid%/environ}"
done
chmod -R u+w "$3"
rm -rf "$3"
"""
"""What the watcher does if this program is gone: end the processes, and remove the folder."""

_RESIDENT = re.compile(rb"^VmRSS:\s*(\d+) kB", re.MULTILINE)
_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB", re.MULTILINE)


class FunctionProcess:
    """A running function."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        marker: str,
        log: BinaryIO,
        scratch: Path,
    ) -> None:
        """Start it.

        Args:
            command: The program and its arguments.
            cwd: Its working directory.
            environ: All of its environment variables.
            marker: A part of the environment that no other process has.
            log: A file for its standard output and errors.
            scratch: The folder to remove if this program is killed.

        Raises:
            OSError: It cannot be started.
        """
        self._marker = marker.encode()
        self._stack = ExitStack()
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            self._stack.enter_context(watched(self._process, _CLEAN_UP, marker, str(scratch)))
        except BaseException:
            self.end()
            raise

    def exit_code(self) -> int | None:
        """Return the exit code, or the negative number of a signal; None if it is running."""
        return self._process.poll()

    def resident(self) -> int:
        """Return the bytes that are resident now; 0 where the system does not tell."""
        return self._memory(_RESIDENT)

    def peak(self) -> int:
        """Return the most bytes that were ever resident; 0 where the system does not tell."""
        return self._memory(_PEAK)

    def _memory(self, pattern: re.Pattern[bytes]) -> int:
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_bytes()
            if match := pattern.search(status):
                return int(match[1]) * 1024
        return 0

    def end(self) -> None:
        """End the process and whatever it has started."""
        kill(self._process)
        for pid in self._strays():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self._stack.close()

    def _strays(self) -> Iterator[int]:
        """Find children that have left the session; only Linux shows them."""
        if sys.platform != "linux":
            return
        for name in os.listdir("/proc"):  # noqa: PTH208 - much faster, and there are many
            if name.isdecimal():
                with suppress(OSError):
                    if self._marker in Path(f"/proc/{name}/environ").read_bytes():
                        yield int(name)
