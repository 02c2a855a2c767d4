"""Install a lock of the repository into a folder, once per machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from fakes.locks import CACHE, NEWEST

__all__ = ["installed"]


def installed(lock: Path, *requirements: str) -> Path:
    """Give the folder with what a lock names, for this interpreter.

    Args:
        lock: Requirements with hashes.
        requirements: What it was made of: what is installed where nothing is held to locks.
    """
    # A minor version's extension modules load in that minor version alone.
    key = f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"
    folder = CACHE / f"{lock.stem}-{key}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        # Beside its place: a rename works within one file system, and then at once.
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch, "target")
            _install(made, lock, requirements)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():  # or another worker has been quicker
                    raise
    return folder


def _install(target: Path, lock: Path, requirements: tuple[str, ...]) -> None:
    beside = Path(sys.executable).parent
    uv = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    assert uv, "uv is in the dependency group `test`"
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable]
    environ = {key: value for key, value in os.environ.items() if key != "UV_CONSTRAINT"}
    locked = ("--require-hashes", "--no-deps", "--requirement", str(lock))
    what = requirements if NEWEST else locked
    subprocess.run([*command, "--target", str(target), *what], env=environ, check=True)
