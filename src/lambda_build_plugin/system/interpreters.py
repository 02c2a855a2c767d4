"""The Pythons of this machine: where they may be, and one of exactly one minor version.

Bytecode belongs to a minor version of CPython (PEP 3147: its magic number), so
nothing near is good enough. Asked are the Python that runs us, the programs on PATH
that are named for the version, pyenv, uv, and then whatever else is on PATH; each that
is found says itself what it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "Interpreter",
    "NoInterpreterError",
    "candidates",
    "clean",
    "find_interpreter",
    "uv_of",
    "without_downloads",
]

_ANSWER_WITHIN = 60  # seconds; a busy machine needs some
_IDENTIFY = """\
import sys, json, importlib.util
print(json.dumps({
    "executable": sys.executable,
    "implementation": sys.implementation.name,
    "python": list(sys.version_info[:2]),
    "level": sys.version_info.releaselevel,
    "flags": getattr(sys, "abiflags", ""),
    "version": sys.version,
    "magic": importlib.util.MAGIC_NUMBER.hex(),
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python that can be started."""

    path: Path
    version: str
    """`sys.version`: patch level and build, on one line."""

    magic: str
    """The magic number of its bytecode, in hexadecimal."""


class NoInterpreterError(StageError):
    """There is no Python of the runtime's version here."""

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

    Free-threaded and debug builds and alpha and beta releases are passed over: their
    bytecode may be another one. `need` says what for, in front of "needs".

    Raises:
        NoInterpreterError: There is none.
    """
    asked = set()
    if sys.version_info[:2] == python and (found := _identified(sys.executable, python, environ)):
        return found
    for program in candidates(python, environ, home):
        if program not in asked:
            asked.add(program)
            if found := _identified(program, python, environ):
                return found
    raise NoInterpreterError(python, need)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Take everything out of an environment that Python would listen to."""
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


def candidates(python: tuple[int, int], environ: Mapping[str, str], home: Path) -> Iterator[str]:
    """Yield programs that may be a Python of a minor version, the likely and quick ones first."""
    version = f"{python[0]}.{python[1]}"
    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    # Shims (of pyenv, asdf) choose a version by the folder that we are in, and take long.
    direct = [folder for folder in folders if Path(folder).name != "shims"]
    yield from _found((f"python{version}",), direct)
    root = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    for folder in sorted(root.glob(f"versions/{version}.*"), key=_patch, reverse=True):
        yield from _found((f"python{version}", "python"), (str(folder / "bin"),))
    yield from _of_uv(version, environ)
    yield from _found(("python3", "python"), direct)
    yield from _found((f"python{version}",), folders)


def _found(names: Iterable[str], folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        for name in names:
            if program := shutil.which(name, path=folder):
                yield program


def _patch(folder: Path) -> int:
    last = folder.name.rpartition(".")[2]
    return int(last) if re.fullmatch("[0-9]{1,4}", last) else -1


def _of_uv(version: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Ask uv, which keeps Pythons where nobody else looks; it is told to fetch none."""
    uv = uv_of(environ)
    if uv is None:
        return
    command = [uv, "python", "find", "--no-project", version]
    if answer := _answer(command, without_downloads(environ)):
        yield answer


def _identified(
    program: str, python: tuple[int, int], environ: Mapping[str, str]
) -> Interpreter | None:
    answer = _answer([program, "-I", "-S", "-c", _IDENTIFY], clean(environ))
    try:
        said = json.loads(answer)
    except ValueError:
        return None
    if (
        said["implementation"] != "cpython"
        or tuple(said["python"]) != python
        or said["level"] not in {"candidate", "final"}
        or set(said["flags"]) & {"d", "t"}
    ):
        return None
    # Of a program such as a shim of pyenv, the Python that it leads to.
    return Interpreter(
        path=Path(said["executable"] or program),
        version=" ".join(said["version"].split()),
        magic=said["magic"],
    )


def _answer(command: list[str], environ: Mapping[str, str]) -> str:
    """Run a program and get what it prints; empty where it fails."""
    try:
        result = subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.decode("utf-8", errors="replace").strip() if not result.returncode else ""
