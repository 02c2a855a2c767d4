"""Processes that need not import `lambda-build` again: they are forked from one that has.

Hundreds of tests run the command, and importing it takes longer than what most of them
build. Each run is a process of its own all the same, with the arguments, the working
directory, the environment and the streams that it is given; what it imports or changes,
the next one does not see.

The file is the program of that first process, too. It reads a request a line, forks, and
answers with the exit code.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_possible", "run"]

_SEEN_AT_THE_START = ("LANG", "LC_", "LD_", "PYTHON")
"""How variables begin that an interpreter or its loader looks at when it starts."""

_PACKAGE = "lambda_build_plugin"
_OF_HOSTS = (
    f"{_PACKAGE}.cdk",
    *(f"{_PACKAGE}.frontends.{host}" for host in ("hatch", "pdm", "poetry")),
)
"""How modules begin that need a host to be imported."""


class _Request(TypedDict):
    """What makes one run differ from another."""

    arguments: list[str]
    cwd: str
    environ: dict[str, str]
    umask: int
    output: str
    errors: str


def is_possible(environ: Mapping[str, str]) -> bool:
    """Tell whether a forked process does the same as one that is started.

    On macOS a process may not use the network once it is forked, and Windows has no `fork`.
    What runs at once with others is started in threads, and here one run follows another.
    """
    return (
        sys.platform == "linux"
        and threading.current_thread() is threading.main_thread()
        and not any(name.startswith(_SEEN_AT_THE_START) for name in environ)
    )


def run(
    *arguments: str, cwd: Path, environ: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `lambda-build` to its end, as `subprocess.run` would.

    Raises:
        subprocess.TimeoutExpired: After that many seconds; the process is ended.
    """
    with tempfile.TemporaryDirectory() as streams:
        output, errors = Path(streams, "output"), Path(streams, "errors")
        request = _Request(
            arguments=list(arguments),
            cwd=str(cwd),
            environ=dict(environ),
            umask=_umask(),
            output=str(output),
            errors=str(errors),
        )
        return subprocess.CompletedProcess(
            arguments,
            _exit_code(request, timeout),
            output.read_text(encoding="utf-8"),
            errors.read_text(encoding="utf-8"),
        )


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _exit_code(request: _Request, timeout: float) -> int:
    first = _first()
    assert first.stdin
    assert first.stdout
    first.stdin.write(json.dumps(request).encode() + b"\n")
    first.stdin.flush()
    if not select.select([first.stdout], [], [], timeout)[0]:
        _first.cache_clear()
        _end(first)
        raise subprocess.TimeoutExpired("lambda-build", timeout)
    return int(first.stdout.readline())


@cache
def _first() -> subprocess.Popen[bytes]:
    """Start the process that all others are forked from, in a group of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__],
        env={key: os.environ[key] for key in ("PATH",) if key in os.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it together with what it has forked."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# --- in the process that is forked ----------------------------------------------------


def _serve() -> None:
    """Answer requests, and return in each process that is forked for one."""
    sys.path[0] = ""  # as with `python -c`
    sys.modules["ziglang"] = None  # type: ignore[assignment]  # as in conftest.py
    _import_all()
    while line := sys.stdin.buffer.readline():
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            return
        _, status = os.waitpid(pid, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))
    sys.exit()


def _import_all() -> None:
    """Import what a run may need: all of the package that needs no host."""
    package = importlib.import_module(_PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f"{_PACKAGE}."):
        if not module.name.startswith(_OF_HOSTS):
            importlib.import_module(module.name)


def _become(request: _Request) -> None:
    """Take over what the run is given."""
    sys.argv = ["-c", *request["arguments"]]
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["output"], os.O_WRONLY | os.O_CREAT),
        (2, request["errors"], os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    # What the interpreter itself has set when it started stays.
    for key in os.environ.keys() - {"LC_CTYPE"}:
        del os.environ[key]
    os.environ.update(request["environ"])
    time.tzset()


if __name__ == "__main__":
    _serve()
    importlib.import_module(f"{_PACKAGE}.frontends.cli").entry_point()
