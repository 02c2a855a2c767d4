from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lambda_build_plugin.system.interpreters import (
    Interpreter,
    NoInterpreterError,
    find_interpreter,
)

_SHELL = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
_OTHER = (3, 2)
"""A version that no machine has, and so not this one either."""


def a_python(folder: Path, name: str = "python3.2", *, fails: bool = False, **said: object) -> Path:
    """Write a program that says of itself what a Python would."""
    answer = {
        "path": str(folder / name),
        "version": "3.2.1",
        "build": "3.2.1 (main, today)",
        "implementation": "cpython",
        "release_level": "final",
        "abi_flags": "",
        "free_threaded": False,
        "platform": "linux-x86_64",
        "magic": "2a0d0d0a",
        "has_ensurepip": True,
    } | said
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(
        f"#!/bin/sh\n{'exit 1' if fails else ''}\nprintf '%s' '{json.dumps(answer)}'\n"
    )
    program.chmod(0o755)
    return program


def found(tmp_path: Path, *folders: Path, **environ: str) -> Interpreter:
    """Look for the other version in these folders alone."""
    places = {"PATH": ":".join(map(str, folders)), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "uv")}
    return find_interpreter(_OTHER, environ=places | environ, home=tmp_path, need="this")


def test_running_python() -> None:
    """The Python that runs us serves where it is of the version."""
    version = sys.version_info[:2]

    interpreter = find_interpreter(version, environ={"PATH": ""}, home=Path("/"), need="this")

    assert interpreter.path == Path(sys.executable)
    assert interpreter == Interpreter.running()
    assert interpreter.build == " ".join(sys.version.split())


@_SHELL
def test_on_path(tmp_path: Path) -> None:
    """A program on PATH that is named for the version is asked what it is."""
    program = a_python(tmp_path / "bin")

    assert found(tmp_path, tmp_path / "bin") == Interpreter(
        path=program,
        version="3.2.1",
        build="3.2.1 (main, today)",
        implementation="cpython",
        release_level="final",
        abi_flags="",
        free_threaded=False,
        platform="linux-x86_64",
        magic="2a0d0d0a",
        has_ensurepip=True,
    )


@_SHELL
@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"fails": True}, id="does not run"),
        pytest.param({"implementation": "pypy"}, id="other implementation"),
        pytest.param({"version": "3.1.4"}, id="other version"),
        pytest.param({"abi_flags": "t"}, id="free-threaded"),
        pytest.param({"free_threaded": True}, id="free-threaded, without flags as on Windows"),
        pytest.param({"abi_flags": "d"}, id="debug build"),
        pytest.param({"release_level": "beta"}, id="beta"),
        pytest.param({"unknown": 1}, id="no answer to what was asked"),
        pytest.param({"version": None}, id="no version"),
    ],
)
def test_passed_over(tmp_path: Path, said: dict[str, object]) -> None:
    """What Lambda does not have is passed over, and the next one is asked."""
    a_python(tmp_path / "first", **said)  # type: ignore[arg-type]  # of several kinds
    right = a_python(tmp_path / "second", "python3")

    assert found(tmp_path, tmp_path / "first", tmp_path / "second").path == right


@_SHELL
def test_pyenv(tmp_path: Path) -> None:
    """A version that pyenv has is found without its shims, the newest patch first."""
    a_python(tmp_path / "root" / "versions" / "3.2.9" / "bin", "python")
    newest = a_python(tmp_path / "root" / "versions" / "3.2.10" / "bin", "python")
    a_python(tmp_path / "shims", fails=True)

    interpreter = found(tmp_path, tmp_path / "shims", PYENV_ROOT=str(tmp_path / "root"))

    assert interpreter.path == newest


def test_none(tmp_path: Path) -> None:
    """Where there is none, the error says how to get one."""
    with pytest.raises(NoInterpreterError) as caught:
        found(tmp_path, tmp_path)

    assert (caught.value.what, caught.value.hint) == (
        "there is no CPython 3.2 on this machine",
        "get one with `uv python install 3.2`, or put a `python3.2` on PATH",
    )
