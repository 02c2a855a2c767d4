"""The process of a function: started with nothing of ours, and ended with all its children.

It leads a session of its own. A watcher ends it if this program is killed. Children that have
left the session are found in three ways: by the name of the log stream in their environment,
which nothing else on the machine has; by their working directory, which is in the function's
folder; and, while this program runs, as its own descendants, since it adopts their orphans.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lambda_build_plugin.system.processes import kill, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["FunctionProcess"]

_CLEAN_UP = """\
read line && exit
[ -z "$group" ] || kill -9 "-$group"
for file in $(grep -lsF "$1" /proc/[0-9]*/environ); do
    pid=${file#/proc/}
    kill -9 "${pid%/environ}"
done
for file in $(ls -l /proc/[0-9]*/cwd | sed -n "s:.* \\(/proc/[0-9]*\\)/cwd -> $2/.*:\\1:p"); do
    kill -9 "${file#/proc/}"
done
chmod -R u+w "$2"
rm -rf "$2"
"""
"""What the watcher does if this program is gone: end the processes, and remove the folder."""

_ROUNDS = 50
"""How often to look for children, in case they go on to start others."""

_SET_CHILD_SUBREAPER = 36

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
        self._scratch = f"{scratch}{os.sep}"
        self._stack = ExitStack()
        self._stack.enter_context(_adopting_orphans())
        self._process = self._stack.enter_context(
            running(
                command,
                _CLEAN_UP,
                marker,
                str(scratch),
                cwd=cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )
        self._strangers = _children(os.getpid())  # the watcher is among them

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
        for _ in range(_ROUNDS):
            strays = set(self._strays())
            for pid in strays:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for pid in strays:
                with suppress(ChildProcessError):  # it was not adopted
                    os.waitpid(pid, 0)
            if not strays:
                break
        self._stack.close()

    def _strays(self) -> Iterator[int]:
        """Find children that have left the session; only Linux shows them."""
        if sys.platform != "linux":
            return
        for name in os.listdir("/proc"):  # noqa: PTH208 - much faster, and there are many
            if name.isdecimal() and self._is_ours(f"/proc/{name}"):
                yield int(name)
        yield from self._adopted(os.getpid())

    def _is_ours(self, place: str) -> bool:
        with suppress(OSError):
            if self._marker in Path(place, "environ").read_bytes():
                return True
        with suppress(OSError):
            return os.readlink(f"{place}/cwd").startswith(self._scratch)  # noqa: PTH115 - quicker
        return False

    def _adopted(self, parent: int) -> Iterator[int]:
        """Find orphans that were adopted, and their children."""
        for pid in _children(parent) - self._strangers:
            with suppress(OSError):
                if os.getsid(pid) != os.getsid(0):  # no other thread has started it
                    yield pid
                    yield from self._adopted(pid)


def _children(parent: int) -> set[int]:
    """List the children of a process; none where the system does not tell."""
    found: set[int] = set()
    with suppress(OSError):
        for task in Path(f"/proc/{parent}/task").iterdir():
            with suppress(OSError):
                found.update(map(int, (task / "children").read_text("ascii").split()))
    return found


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Become the parent of processes below this one whose parents have ended (prctl(2))."""
    if sys.platform != "linux":
        yield
        return
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
