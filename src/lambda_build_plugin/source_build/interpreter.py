"""The Python that a source is built with: of the target's minor version, where there is one.

A setup.py asks the Python that runs it what to build, and an extension module loads in
the minor version alone that compiled it. Nothing is downloaded.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.system.interpreters import candidates, uv_of, without_downloads
from lambda_build_plugin.system.processes import finished

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Interpreter", "find"]

_SECONDS = 60.0
"""A Python that takes longer to say what it is waits for something."""

_PROBE = """\
import json, platform, sys, sysconfig
# Without uv an environment gets its pip from ensurepip, which some systems leave out.
import venv
try:
    import ensurepip
    can_seed = True
except ImportError:
    can_seed = False
print(json.dumps([
    sys.executable,
    platform.python_version(),
    sys.implementation.name,
    sysconfig.get_platform(),
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    can_seed,
]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python on this machine."""

    path: Path
    version: str
    """Of three parts, such as `3.13.1`."""

    implementation: str
    """`cpython`, `pypy`, …"""

    platform: str
    """Such as `linux-x86_64`; its tags are made of it."""

    free_threaded: bool = False

    @classmethod
    def running(cls) -> Interpreter:
        """Describe the one that runs this."""
        return cls(
            path=Path(sys.executable),
            version=platform.python_version(),
            implementation=sys.implementation.name,
            platform=sysconfig.get_platform(),
            free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        )

    @property
    def is_running(self) -> bool:
        """Whether it is the one that runs this."""
        return self.path == Path(sys.executable)

    def loads_like(self, python: tuple[int, int]) -> bool:
        """Tell whether what it compiles loads in CPython of a minor version."""
        minor = tuple(map(int, self.version.split(".")[:2]))
        return self.implementation == "cpython" and not self.free_threaded and minor == python

    def __str__(self) -> str:
        name = "Python" if self.implementation == "cpython" else self.implementation
        return f"{name} {self.version}{'t' if self.free_threaded else ''}"


def find(python: tuple[int, int], *, environ: Mapping[str, str], home: Path) -> Interpreter:
    """Find a Python of a minor version, else take the running one.

    Asked are the PATH, uv and pyenv; what does not run, such as a shim of a version
    that `.python-version` rules out, is passed over.
    """
    running = Interpreter.running()
    if running.loads_like(python):
        return running
    uv = uv_of(environ)
    for candidate in candidates(python, environ, home):
        found = _probed(candidate, environ, needs_pip=uv is None)
        if found is not None and found.loads_like(python):
            return found
    return running


def _probed(program: str, environ: Mapping[str, str], *, needs_pip: bool) -> Interpreter | None:
    """Run a Python to learn what it is; None where it does not run."""
    said = _said([program, "-I", "-c", _PROBE], environ)
    try:
        executable, version, implementation, system, free_threaded, can_seed = json.loads(
            said or ""
        )
    except ValueError:
        return None
    if needs_pip and not can_seed:
        return None
    return Interpreter(
        path=Path(executable),
        version=version,
        implementation=implementation,
        platform=system,
        free_threaded=free_threaded,
    )


def _said(command: list[str], environ: Mapping[str, str]) -> str | None:
    """Get what a program prints; None where it fails."""
    try:
        result = finished(command, environ=without_downloads(environ), timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
