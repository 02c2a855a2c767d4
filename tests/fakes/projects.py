"""Small projects and controlled runs of the console script."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakes import forked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Run", "a_project", "quiet_environment", "run_lambda_build"]

_SECONDS = 120
"""How long a run may take."""

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = [{dependencies}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a finished process left."""

    code: int
    output: str
    errors: str


def a_project(
    folder: Path, *, name: str = "demo", dependencies: tuple[str, ...] = (), extra: str = ""
) -> Path:
    """Write a pure-Python project with hatchling as its backend."""
    package = folder / "src" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text("def handler(event, context):\n    return event\n")
    listed = ", ".join(f'"{dependency}"' for dependency in dependencies)
    text = _PYPROJECT.format(name=name, dependencies=listed) + extra
    (folder / "pyproject.toml").write_text(text)
    return folder


def quiet_environment(home: Path, **variables: str) -> dict[str, str]:
    """Make an environment in which nothing of this machine's configuration is seen."""
    return {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", ""),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        **variables,
    }


def run_lambda_build(*arguments: str | Path, cwd: Path, environ: Mapping[str, str]) -> Run:
    """Run the console script as a process of its own."""
    words = [str(argument) for argument in arguments]
    if forked.is_possible(environ):
        result = forked.run(*words, cwd=cwd, environ=environ, timeout=_SECONDS)
    else:
        # The package is hidden as in conftest.py.
        code = "import sys; sys.modules['ziglang'] = None\n"
        code += "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
        result = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=cwd,
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    return Run(code=result.returncode, output=result.stdout, errors=result.stderr)
