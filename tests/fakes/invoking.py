"""Run `lambda-build invoke` on zips that a test makes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fakes.artifacts import a_zip
from fakes.locks import AWSLAMBDARIC, CACHE
from fakes.projects import quiet_environment, run_lambda_build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fakes.projects import Run

__all__ = ["RUNTIME", "SITE_PACKAGES", "Workplace", "installed_runtime"]

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = f"python/lib/{RUNTIME}/site-packages"
_CONSOLE = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"


def installed_runtime() -> dict[str, str]:
    """Install awslambdaric into a cache that tests share; return the variables that name it.

    The key that its notes are signed with lies beside it.
    """
    digest = hashlib.sha256(AWSLAMBDARIC.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"invoke-{sys.implementation.cache_tag}-{sysconfig.get_platform()}-{digest}"
    variables = {
        "LAMBDA_BUILD_CACHE_DIR": str(folder / "cache"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
    artifact = a_zip(folder / f"{os.getpid()}.zip", {"app.py": "def handler(*_): ...\n"})
    options = ("--runtime", RUNTIME, "--handler", "app.handler", "--timeout", "60")
    run = run_lambda_build(
        "invoke", artifact, *options, cwd=folder, environ={**os.environ, **variables}
    )
    artifact.unlink()
    assert run.code == 0, run.errors
    return variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A folder of a test, and what the command finds on the machine."""

    folder: Path
    runtime: Mapping[str, str] = field(default_factory=dict)
    """Where awslambdaric is installed."""

    def artifact(self, files: Mapping[str, str | bytes], name: str = "function.zip") -> Path:
        """Write a zip."""
        return a_zip(self.folder / name, files)

    def environ(self, **variables: str) -> dict[str, str]:
        """Return the environment of the command."""
        self.temporary.mkdir(exist_ok=True)
        home = self.folder / "home"
        return quiet_environment(
            home, **{"TMPDIR": str(self.temporary), **self.runtime, **variables}
        )

    @property
    def temporary(self) -> Path:
        """The folder for temporary files, empty when nothing is left behind."""
        return self.folder / "temporary"

    def invoke(self, *arguments: str | Path, **variables: str) -> Run:
        """Run the command to its end, offline and for this Python."""
        options = ("--offline", "--runtime", RUNTIME)
        return run_lambda_build(
            "invoke", *options, *arguments, cwd=self.folder, environ=self.environ(**variables)
        )

    def call(self, code: str, *arguments: str, name: str = "app.handler") -> Run:
        """Invoke the handler of a module `app`."""
        artifact = self.artifact({"app.py": code})
        return self.invoke(artifact, "--handler", name, *arguments)

    @contextmanager
    def started(self, *arguments: str | Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Start the command, and end it if it is still running."""
        options = ("--offline", "--runtime", RUNTIME)
        with subprocess.Popen(
            [sys.executable, "-c", _CONSOLE, "invoke", *options, *map(str, arguments)],
            cwd=self.folder,
            env=self.environ(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()
