"""A Python for arm64 from Debian, and qemu to run it on another processor."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from fakes.locks import CACHE, ROOT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Arm64Python", "arm64_python", "find_arm64_python"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm64Python:
    """A Python for arm64 and the folder with all that it loads."""

    sysroot: Path
    program: Path

    @property
    def command(self) -> tuple[str | Path, ...]:
        """The beginning of a command that runs it."""
        return ("qemu-aarch64-static", "-L", self.sysroot, self.program)


def arm64_python(version: str) -> Arm64Python:
    """Give a Python of a version such as `3.11`; where it cannot be had, skip the test."""
    found = find_arm64_python(version)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@cache
def find_arm64_python(version: str) -> Arm64Python | str:
    """Get a Python of a version such as `3.11`; else return why it cannot be had."""
    if shutil.which("qemu-aarch64-static") is None:
        return "there is no qemu-aarch64-static: `apt-get install qemu-user-static`"
    if os.geteuid() or shutil.which("apt-get") is None:
        return "only root on Debian can get a Python for arm64 from apt"
    folder = CACHE / f"arm64-python{version}"
    ran = subprocess.run(
        ["sh", str(ROOT / "tests/arm64/make_python.sh"), str(folder)],
        env={**os.environ, "VERSION": version},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        return f"apt has no Python {version} for arm64: {ran.stderr.strip()[-200:]}"
    return Arm64Python(sysroot=folder, program=folder / "usr" / "bin" / f"python{version}")
