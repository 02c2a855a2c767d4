"""Real hosts of this plugin, each in an environment of its own with the tree installed.

They are made with uv from the configured package index and kept below `.cache/tests`,
so a test that asks for one bears the mark `index`. What is installed is what the locks of
the repository say; `make newest` alone takes what is newest (see `fakes.locks`).

`python -m fakes.hosts` makes all that tests use each time, so that workers need not wait for
each other, or make the same one twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.locks import BUILDS, BUILT_WHEEL, CACHE, NEWEST, ROOT, added_by_plugin, host_lock, hosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Host", "host", "our_wheel", "uv"]

_HOSTS = CACHE / "hosts"
_KEPT_SECONDS = 24 * 3600

_VARIABLES = {
    "cdk": {
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(CACHE / "jsii"),  # 10 s for each home otherwise
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    },
    "deploy": {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "SAM_CLI_TELEMETRY": "0",
    },
    "hatch": {
        "HATCH_CACHE_DIR": "{home}/hatch-cache",
        "HATCH_DATA_DIR": "{home}/hatch-data",
        "NO_COLOR": "1",
    },
    "hatchling": {},
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
    "selenium": {"SE_AVOID_STATS": "true", "SE_OFFLINE": "true"},
    "ziglang": {},
}
"""What keeps a host in its user's home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """An environment that holds a host, such as Poetry."""

    name: str
    """As `python -m` and its own variables have it."""

    folder: Path

    requirements: tuple[str, ...] = ()
    """What it was made for."""

    @property
    def python(self) -> Path:
        """The interpreter that the host runs in."""
        return _python_of(self.folder)

    def environment(self, home: Path) -> dict[str, str]:
        """Give the variables that a user with this home would have."""
        return _a_users_environment(self.name, home)

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
            env={**self.environment(home), **(environ or {})},
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
    wheel = our_wheel() if with_plugin else None
    folder = _HOSTS / _folder_name(requirements, wheel)
    if not folder.is_dir():
        _make(folder, requirements, wheel)
    os.utime(folder)
    return Host(name=name, folder=folder, requirements=requirements)


def _folder_name(requirements: tuple[str, ...], wheel: Path | None) -> str:
    """Name the environment for all that is in it."""
    parts = [sys.version, *sorted(requirements), _digest(wheel.read_bytes()) if wheel else ""]
    if not NEWEST:
        lock = host_lock(requirements, with_plugin=wheel is not None)
        parts.append(lock.read_text(encoding="utf-8") if lock else "")
    label = re.split(r"[^a-z]", requirements[0])[0]
    return f"{label}-{_digest(chr(10).join(parts).encode())}"


def our_wheel(*, beside: Host | None = None) -> Path:
    """Build this plugin's wheel, once for each state of the tree.

    Args:
        beside: A host that is to install it from the package index, with what it needs:
            the wheel asks for the versions of the lock, too, that the host has not yet.
    """
    pins = [] if beside is None else added_by_plugin(beside.requirements)
    if BUILT_WHEEL and not pins:
        return BUILT_WHEEL
    folder = _HOSTS / f"wheel-{_digest(*_tree(), repr(pins).encode())}"
    if not folder.is_dir():
        with _scratch() as scratch:
            _forget_old(Path(scratch))
            made = Path(scratch, "wheel")
            held = () if NEWEST else ("--build-constraints", BUILDS, "--require-hashes")
            source = _a_tree_with(pins, Path(scratch, "tree")) if pins else ROOT
            uv("build", "--wheel", *held, "--out-dir", made, source)
            _move_in(made, folder)
    os.utime(folder)
    return next(folder.glob("*.whl"))


def _a_tree_with(requirements: list[str], folder: Path) -> Path:
    """Copy what the wheel is built of, and let it require more."""
    # Bytecode appears and goes while other tests run.
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "hatch_build.py"):
        shutil.copy(ROOT / name, folder)
    head, key, tail = (
        (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\ndependencies = [")
    )
    assert key
    more = "".join(f"\n    {json.dumps(requirement)}," for requirement in requirements)
    (folder / "pyproject.toml").write_text(f"{head}{key}{more}{tail}", encoding="utf-8")
    return folder


def uv(*arguments: str | Path) -> str:
    """Run uv as the developer has configured it and give what it prints."""
    beside = Path(sys.executable).parent
    program = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    assert program, "uv is in the dependency group `test`"
    # What holds the builds of tests would hold the hosts as well.
    environ = {key: value for key, value in os.environ.items() if key != "UV_CONSTRAINT"}
    ran = subprocess.run(
        [program, "--quiet", *arguments], env=environ, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _make(folder: Path, requirements: tuple[str, ...], wheel: Path | None) -> None:
    with _scratch() as scratch:
        made = Path(scratch, "host")
        alone = _HOSTS / _folder_name(requirements, None)
        if wheel is not None and alone.is_dir():
            # Nothing that is there is changed by what is added, so its files can be linked.
            shutil.copytree(alone, made, symlinks=True, copy_function=os.link)
        else:
            uv("venv", "--relocatable", "--python", sys.executable, made)
        for words in _to_install(requirements, wheel):
            uv("pip", "install", "--compile-bytecode", "--python", _python_of(made), *words)
        _move_in(made, folder)


def _to_install(
    requirements: tuple[str, ...], wheel: Path | None
) -> Iterator[tuple[str | Path, ...]]:
    """Give the arguments of each installation: the lock, and then the wheel alone."""
    ours = () if wheel is None else (wheel,)
    if NEWEST:
        yield (*requirements, *ours)
        return
    lock = host_lock(requirements, with_plugin=wheel is not None)
    assert lock, f"add {requirements} to locks/environments.toml and run `make lock`"
    yield ("--require-hashes", "--no-deps", "--requirement", lock)
    if ours:
        yield ("--no-deps", *ours)


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


def _forget_old(new: Path) -> None:
    """Remove what earlier states of the tree have left.

    How old that is tells a folder that was made just now: the clock of this process may be
    another than that of the file system.
    """
    now = new.stat().st_mtime
    for folder in _HOSTS.iterdir():
        if folder.stat().st_mtime < now - _KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _tree() -> Iterator[bytes]:
    parts = {".css", ".html", ".js", ".py", ".txt", ".typed"}
    files = (path for path in (ROOT / "src").rglob("*") if path.suffix in parts)
    files_of_build = (ROOT / name for name in ("pyproject.toml", "README.md", "hatch_build.py"))
    for path in (*files_of_build, *sorted(files)):
        yield f"{path.relative_to(ROOT)}\n".encode()
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


def _make_all() -> None:
    """Make every environment that tests use each time: those without the plugin first."""
    our_wheel()
    for with_plugin in (False, True):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for made in [
                pool.submit(host, requirements[0], *requirements, with_plugin=with_plugin)
                for requirements in hosts()
                if host_lock(requirements, with_plugin=with_plugin)
            ]:
                made.result()


if __name__ == "__main__":
    _make_all()
