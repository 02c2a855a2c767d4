"""Which Python on this machine a source is built with."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.source_build.interpreter import find
from lambda_build_plugin.system.interpreters import Interpreter

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are scripts")

_MINOR = (3, 99)  # of which there is none


def a_program(path: Path, script: str) -> Path:
    """Write a program for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def a_python(
    path: Path,
    version: str = "3.99.1",
    *,
    implementation: str = "cpython",
    free_threaded: bool = False,
    release_level: str = "final",
    has_ensurepip: bool = True,
) -> Path:
    """Write a program that says what a Python would."""
    told = {
        "path": str(path),
        "version": version,
        "build": f"{version} (main, today)",
        "implementation": implementation,
        "release_level": release_level,
        "abi_flags": "",
        "free_threaded": free_threaded,
        "platform": "linux-x86_64",
        "magic": "2a0d0d0a",
        "has_ensurepip": has_ensurepip,
    }
    return a_program(path, f"echo '{json.dumps(told)}'")


def found(tmp_path: Path, *folders: str, **variables: str) -> Path:
    """Search with these folders of the test on the PATH."""
    path = ":".join(str(tmp_path / folder) for folder in folders)
    environ = {"PATH": path, "UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons"), **variables}
    return find(_MINOR, environ=environ, home=tmp_path / "home").path


def test_running_python_of_the_right_version(tmp_path: Path) -> None:
    """The running Python is taken without a search if its minor version is the target's."""
    assert find(sys.version_info[:2], environ={}, home=tmp_path) == Interpreter.running()


def test_no_python_of_the_right_version(tmp_path: Path) -> None:
    """Where there is none, it is the running one."""
    assert find(_MINOR, environ={"PATH": ""}, home=tmp_path) == Interpreter.running()


def test_python_on_the_path(tmp_path: Path) -> None:
    """The first that the PATH has is taken, with all that is to be known of it."""
    path = a_python(tmp_path / "b" / "python3.99")
    a_python(tmp_path / "c" / "python3.99")
    environ = {"PATH": f"{tmp_path / 'a'}:{path.parent}:{tmp_path / 'c'}"}

    interpreter = find(_MINOR, environ=environ, home=tmp_path)

    assert (interpreter.path, str(interpreter), interpreter.platform) == (
        path,
        "Python 3.99.1",
        "linux-x86_64",
    )


def test_beta(tmp_path: Path) -> None:
    """A beta compiles extension modules for its minor version: preview runtimes need that."""
    path = a_python(tmp_path / "a" / "python3.99", "3.99.0b1", release_level="beta")

    assert found(tmp_path, "a") == path


def test_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uv, a Python that cannot create an environment with pip is passed over."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))  # so no uv lies beside it
    a_python(tmp_path / "a" / "python3.99", has_ensurepip=False)
    path = a_python(tmp_path / "b" / "python3.99")

    assert found(tmp_path, "a", "b") == path


def test_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    """A shim that `.python-version` forbids exits with 127; the one behind it is asked."""
    a_program(tmp_path / "shims" / "python3.99", "echo 'not installed' >&2; exit 127")
    path = a_python(tmp_path / "b" / "python3.99")

    assert found(tmp_path, "shims", "b") == path


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"version": "3.98.0"}, id="another version"),
        pytest.param({"implementation": "pypy"}, id="another implementation"),
        pytest.param({"free_threaded": True}, id="free-threaded"),
    ],
)
def test_python_whose_extensions_do_not_load(tmp_path: Path, other: dict[str, str]) -> None:
    """What is only named like the right one is passed over."""
    a_python(tmp_path / "a" / "python3.99", **other)  # type: ignore[arg-type] # a row each
    path = a_python(tmp_path / "b" / "python3.99")

    assert found(tmp_path, "a", "b") == path


def test_python_of_uv(tmp_path: Path) -> None:
    """What uv has installed is found through uv, which is told to download nothing."""
    path = a_python(tmp_path / "pythons" / "somewhere" / "python")
    told = tmp_path / "told"
    a_program(tmp_path / "a" / "uv", f'echo "$UV_PYTHON_DOWNLOADS $*" > {told}; echo {path}')

    assert found(tmp_path, "a") == path
    assert told.read_text() == "never python find --no-project 3.99\n"


@pytest.mark.parametrize(
    "is_set", [pytest.param(False, id="home"), pytest.param(True, id="PYENV_ROOT")]
)
def test_python_of_pyenv(tmp_path: Path, *, is_set: bool) -> None:
    """The newest that pyenv has is found, although no shim of it is on the PATH."""
    root = tmp_path / ("elsewhere" if is_set else "home/.pyenv")
    for version in ("3.99.9", "3.99.10", "3.98.11"):
        a_python(root / "versions" / version / "bin" / "python3.99", version)
    variables = {"PYENV_ROOT": str(root)} if is_set else {}

    expected = root / "versions" / "3.99.10" / "bin" / "python3.99"
    assert found(tmp_path, **variables) == expected
