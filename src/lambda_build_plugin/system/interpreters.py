"""Find the Pythons on this machine that are of exactly one minor version.

Bytecode and extension modules belong to one minor version of CPython (PEP 3147: the magic
number; PEP 425: the tags), so a near version does not help. The search looks at the Python
that runs this program, at programs on PATH that are named for the version, at pyenv and uv,
and then at whatever else is on PATH. Each candidate is run and reports what it is.

Why not `findpython` or `python-discovery`: neither takes an environment to search in, and
importing one costs 50 to 60 ms, while this module needs facts (magic number, build flags)
that a probe of our own has to report in any case.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "Interpreter",
    "NoInterpreterError",
    "find_interpreter",
    "find_interpreters",
    "probe",
    "uv_of",
    "without_downloads",
    "without_python_variables",
]

_TIMEOUT = 60.0
"""Seconds that a Python gets to report what it is; a busy machine needs some."""

_PROBE = """\
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "path": sys.executable,
    "version": sys.version.split()[0],
    "build": " ".join(sys.version.split()),
    "implementation": sys.implementation.name,
    "release_level": sys.version_info.releaselevel,
    "abi_flags": getattr(sys, "abiflags", ""),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "platform": sysconfig.get_platform(),
    "magic": importlib.util.MAGIC_NUMBER.hex(),
    "has_ensurepip": all(map(importlib.util.find_spec, ("ensurepip", "venv"))),
}))
"""
"""What every candidate is asked; the keys are the fields of `Interpreter`."""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python on this machine, as it describes itself."""

    path: Path
    """The program itself: not a shim of pyenv, but the Python that it leads to."""

    version: str
    """Such as `3.13.1` or `3.15.0b1`."""

    build: str
    """`sys.version` on one line: the version, and when and with what it was compiled."""

    implementation: str
    """`cpython`, `pypy`, …"""

    release_level: str
    """`alpha`, `beta`, `candidate` or `final`."""

    abi_flags: str
    """`d` for a debug build, `t` for a free-threaded one; empty on Windows."""

    free_threaded: bool
    platform: str
    """Such as `linux-x86_64`; wheel tags are derived from it."""

    magic: str
    """The magic number of its bytecode, in hexadecimal."""

    has_ensurepip: bool
    """Whether it can create an environment with pip; some systems leave that out."""

    @classmethod
    def running(cls) -> Interpreter:
        """Describe the Python that runs this program."""
        return cls(
            path=Path(sys.executable),
            version=sys.version.split()[0],
            build=" ".join(sys.version.split()),
            implementation=sys.implementation.name,
            release_level=sys.version_info.releaselevel,
            abi_flags=getattr(sys, "abiflags", ""),
            free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            platform=sysconfig.get_platform(),
            magic=importlib.util.MAGIC_NUMBER.hex(),
            has_ensurepip=all(map(importlib.util.find_spec, ("ensurepip", "venv"))),
        )

    @property
    def is_running(self) -> bool:
        """Whether this is the Python that runs this program."""
        return self.path == Path(sys.executable)

    def loads_like(self, python: tuple[int, int]) -> bool:
        """Tell whether CPython of a minor version loads the extension modules compiled here."""
        minor = tuple(map(int, self.version.split(".")[:2]))
        return self.implementation == "cpython" and not self.free_threaded and minor == python

    def compiles_like(self, python: tuple[int, int]) -> bool:
        """Tell whether the bytecode is that of CPython of a minor version, as Lambda has it.

        Alpha and beta releases, debug and free-threaded builds may differ.
        """
        return (
            self.loads_like(python)
            and self.release_level in {"candidate", "final"}
            and not set(self.abi_flags) & {"d", "t"}
        )

    def __str__(self) -> str:
        name = "Python" if self.implementation == "cpython" else self.implementation
        return f"{name} {self.version}{'t' if self.free_threaded else ''}"


class NoInterpreterError(StageError):
    """This machine has no Python of the runtime's version."""

    def __init__(self, python: tuple[int, int], need: str) -> None:
        self.python = python
        version = f"{python[0]}.{python[1]}"
        super().__init__(
            f"there is no CPython {version} on this machine",
            why=f"{need} needs a Python of exactly that version, with the usual build flags",
            hint=f"get one with `uv python install {version}`, or put a `python{version}` on PATH",
        )


def find_interpreter(
    python: tuple[int, int], *, environ: Mapping[str, str], home: Path, need: str
) -> Interpreter:
    """Find a CPython of this major and minor version, as Lambda has it.

    Args:
        python: The major and minor version.
        environ: Variables such as PATH that say where to search.
        home: The user's home folder.
        need: What the Python is needed for; it stands before "needs" in the error.

    Raises:
        NoInterpreterError: There is none.
    """
    for found in find_interpreters(python, environ=environ, home=home):
        if found.compiles_like(python):
            return found
    raise NoInterpreterError(python, need)


def find_interpreters(
    python: tuple[int, int], *, environ: Mapping[str, str], home: Path
) -> Iterator[Interpreter]:
    """Yield the Pythons that may be of a minor version, the likely and quick ones first.

    Whatever does not run is passed over, such as a shim that `.python-version` rules out.
    Each program is run once, and only when the caller asks for the next one.
    """
    running = (sys.executable,) if sys.version_info[:2] == python else ()
    probed: set[str] = set()
    for program in chain(running, _candidates(python, environ, home)):
        if program not in probed:
            probed.add(program)
            if found := probe(program, environ):
                yield found


def without_python_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Remove every variable that Python would read from an environment."""
    return {
        name: value
        for name, value in environ.items()
        if not name.upper().startswith("PYTHON") and name != "__PYVENV_LAUNCHER__"
    }


def without_downloads(environ: Mapping[str, str]) -> dict[str, str]:
    """Tell uv, which may stand behind any program called `python`, to fetch and keep nothing."""
    return {**environ, "UV_PYTHON_DOWNLOADS": "never", "UV_OFFLINE": "1", "UV_NO_CACHE": "1"}


def uv_of(environ: Mapping[str, str]) -> str | None:
    """Find uv on the PATH, else beside the running Python."""
    beside = str(Path(sys.executable).parent)
    return shutil.which("uv", path=environ.get("PATH")) or shutil.which("uv", path=beside)


def _candidates(python: tuple[int, int], environ: Mapping[str, str], home: Path) -> Iterator[str]:
    """Yield programs that may be a Python of a minor version, the likely and quick ones first."""
    version = f"{python[0]}.{python[1]}"
    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    # Shims (of pyenv and asdf) choose a version by the current folder, and are slow.
    direct = [folder for folder in folders if Path(folder).name != "shims"]
    yield from _programs((f"python{version}",), direct)
    root = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    for folder in sorted(root.glob(f"versions/{version}.*"), key=_patch, reverse=True):
        yield from _programs((f"python{version}", "python"), (str(folder / "bin"),))
    yield from _managed_by_uv(version, environ)
    yield from _programs(("python3", "python"), direct)
    yield from _programs((f"python{version}",), folders)


def _programs(names: Iterable[str], folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        for name in names:
            if program := shutil.which(name, path=folder):
                yield program


def _patch(folder: Path) -> int:
    last = folder.name.rpartition(".")[2]
    return int(last) if re.fullmatch("[0-9]{1,4}", last) else -1


def _managed_by_uv(version: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Ask uv, which keeps Pythons in a folder of its own; it may not download one."""
    uv = uv_of(environ)
    if uv is None:
        return
    command = [uv, "python", "find", "--no-project", version]
    if answer := _output(command, without_downloads(environ)):
        yield answer


def probe(
    program: str, environ: Mapping[str, str], *, prefix: Sequence[str] = ()
) -> Interpreter | None:
    """Run a Python to learn what it is; None if it does not run or reports something else.

    Args:
        program: Its path.
        environ: The variables to run it with, apart from those that Python reads.
        prefix: A command that runs it, such as an emulator of another processor.
    """
    variables = without_downloads(without_python_variables(environ))
    try:
        answer = json.loads(_output([*prefix, program, "-I", "-S", "-c", _PROBE], variables))
        found = Interpreter(**{**answer, "path": Path(answer["path"] or program)})
        tuple(map(int, found.version.split(".")[:2]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return found


def _output(command: list[str], environ: Mapping[str, str]) -> str:
    """Run a program and return what it prints; empty if it fails."""
    try:
        result = finished(command, environ=environ, timeout=_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if not result.returncode else ""
