"""A world for one build through the door: a project, an index, and all that a build may touch."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from fakes.projects import a_project, quiet_environment, run_lambda_build

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fakes.projects import Run
    from fakes.wheels import FakeWheel

__all__ = ["World", "pylock_of"]

_CONSOLE = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"


def pylock_of(wheels: Sequence[FakeWheel], files_url: str) -> str:
    """Lock wheels by their addresses (PEP 751)."""
    packages = "".join(
        f"[[packages]]\n"
        f'name = "{wheel.project}"\n'
        f'version = "{wheel.filename.split("-")[1].replace("_", "+")}"\n'
        f"[[packages.wheels]]\n"
        f'name = "{wheel.filename}"\n'
        f'url = "{files_url}{wheel.filename}"\n'
        f'hashes = {{ sha256 = "{wheel.sha256}" }}\n'
        for wheel in wheels
    )
    return f'lock-version = "1.0"\ncreated-by = "a test"\n{packages}'


class World:
    """A project that is packaged without its own code, unless a test asks for it."""

    def __init__(self, folder: Path, *, name: str = "project") -> None:
        self.folder = folder
        self.project = a_project(folder / name).resolve()
        self.cache = folder / "cache"
        folder.mkdir(exist_ok=True)
        self.output = folder / "out" / "artifact.zip"
        self.output.parent.mkdir()
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.environ = quiet_environment(
            folder / "home",
            LAMBDA_BUILD_CACHE_DIR=str(self.cache),
            LAMBDA_BUILD_CONTENTS="dependencies",
            LAMBDA_BUILD_OUTPUT=str(self.output),
            LAMBDA_BUILD_RUNTIME="python3.13",
            TMPDIR=str(self.temporary),
        )

    def lock(self, text: str, name: str = "pylock.toml") -> None:
        """Write the lock."""
        (self.project / name).write_text(text, encoding="utf-8")

    def require(self, *wheels: FakeWheel, index: str) -> None:
        """Lock wheels by name and digest, so that a page of the index has to be read."""
        lines = (
            f"{wheel.project}=={wheel.filename.split('-')[1]} --hash=sha256:{wheel.sha256}\n"
            for wheel in wheels
        )
        self.lock(f"--index-url {index}\n{''.join(lines)}", "requirements.txt")

    def build(self, *arguments: str | Path) -> Run:
        """Run `lambda-build` to its end."""
        return run_lambda_build(*arguments, cwd=self.project, environ=self.environ)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start `lambda-build` and go on."""
        return subprocess.Popen(
            [sys.executable, "-c", _CONSOLE, *map(str, arguments)],
            cwd=self.project,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def members(self) -> dict[str, bytes]:
        """Read the artifact: content by name, in its order."""
        with zipfile.ZipFile(self.output) as archive:
            assert archive.testzip() is None
            return {name: archive.read(name) for name in archive.namelist()}

    def digest(self) -> str:
        """Hash the artifact."""
        return hashlib.sha256(self.output.read_bytes()).hexdigest()

    def left_behind(self) -> list[str]:
        """List everything at the output and among temporary files."""
        return sorted(
            path.relative_to(self.folder).as_posix()
            for folder in (self.output.parent, self.temporary)
            for path in folder.rglob("*")
        )

    def parts(self) -> list[str]:
        """List what is unfinished in the cache."""
        return [path.name for path in self.cache.rglob(".part-*")]
