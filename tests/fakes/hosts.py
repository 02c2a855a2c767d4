"""Real hosts of this plugin, each in an environment of its own with the tree installed.

They are made with uv from the configured package index and kept below `.cache/tests`,
so a test that asks for one bears the mark `index`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Host", "host", "our_wheel", "uv"]

_ROOT = Path(__file__).parents[2]
_HOSTS = _ROOT / ".cache" / "tests" / "hosts"
_KEPT_SECONDS = 24 * 3600

_VARIABLES = {
    "pdm": {
        "PDM_CACHE_DIR": "{home}/pdm-cache",
        "PDM_CHECK_UPDATE": "false",
        "PDM_CONFIG_FILE": "{home}/pdm-config/config.toml",
        "PDM_LOG_DIR": "{home}/pdm-log",
    },
    "poetry": {
        "POETRY_CACHE_DIR": "{home}/poetry-cache",
        "POETRY_CONFIG_DIR": "{home}/poetry-config",
        "POETRY_DATA_DIR": "{home}/poetry-data",
        "POETRY_KEYRING_ENABLED": "false",
    },
}
"""What keeps a host in its user's home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """An environment that holds a host, such as Poetry."""

    name: str
    """As `python -m` and its own variables have it."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter that the host runs in."""
        return _python_of(self.folder)

    def run(
        self,
        *arguments: str | Path,
        cwd: Path,
        home: Path,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the host as a user with this home would, who has configured nothing else."""
        return self.run_python("-m", self.name, *arguments, cwd=cwd, home=home, environ=environ)

    def run_python(
        self,
        *arguments: str | Path,
        cwd: Path,
        home: Path,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the interpreter in the same way."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=cwd,
            env={**_a_users_environment(self.name, home), **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def host(name: str, *requirements: str, with_plugin: bool = True) -> Host:
    """Give the environment that holds these requirements, and make it if it is not there.

    Args:
        name: Of the host, as `python -m` has it.
        requirements: Of the host, and of what else is to be held to a version.
        with_plugin: Whether this plugin is installed, too, as a wheel built of the tree.
    """
    wheel = [str(our_wheel())] if with_plugin else []
    key = _digest("\n".join((sys.version, *requirements, *wheel)).encode())
    folder = _HOSTS / f"{name}-{key}"
    if not folder.is_dir():
        _make(folder, [*requirements, *wheel])
    os.utime(folder)
    return Host(name=name, folder=folder)


def our_wheel() -> Path:
    """Build this plugin's wheel, once for each state of the tree."""
    folder = _HOSTS / f"wheel-{_digest(*_tree())}"
    if not folder.is_dir():
        with _scratch() as scratch:
            _forget_old()
            made = Path(scratch, "wheel")
            uv("build", "--wheel", "--out-dir", made, _ROOT)
            _move_in(made, folder)
    os.utime(folder)
    return next(folder.glob("*.whl"))


def uv(*arguments: str | Path) -> str:
    """Run uv as the developer has configured it and give what it prints."""
    beside = Path(sys.executable).parent
    program = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    assert program, "uv is in the dependency group `test`"
    ran = subprocess.run(
        [program, "--quiet", *arguments], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _make(folder: Path, requirements: list[str]) -> None:
    with _scratch() as scratch:
        made = Path(scratch, "host")
        uv("venv", "--relocatable", "--python", sys.executable, made)
        uv("pip", "install", "--compile-bytecode", "--python", _python_of(made), *requirements)
        _move_in(made, folder)


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a folder in the file system of the hosts, whichever of them is asked for first."""
    _HOSTS.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=_HOSTS)


def _move_in(made: Path, folder: Path) -> None:
    """Rename: within one file system, and then at once."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # or another worker has been quicker
            raise


def _forget_old() -> None:
    """Remove what earlier states of the tree have left."""
    for folder in _HOSTS.iterdir():
        if folder.stat().st_mtime < time.time() - _KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _tree() -> Iterator[bytes]:
    files = (path for path in (_ROOT / "src").rglob("*") if path.suffix in {".py", ".typed"})
    for path in (_ROOT / "pyproject.toml", _ROOT / "README.md", *sorted(files)):
        yield f"{path.relative_to(_ROOT)}\n".encode()
        yield path.read_bytes()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]


def _a_users_environment(name: str, home: Path) -> dict[str, str]:
    """Give the host a home of its own; nothing of the developer's is read."""
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "LAMBDA_BUILD_CACHE_DIR": str(home / "lambda-build-cache"),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "XDG_CONFIG_DIRS": str(home),
        **{key: value.format(home=home) for key, value in _VARIABLES[name].items()},
    }
