"""What stands for `/var/runtime`: AWS's runtime interface client, and the AWS SDK.

uv or pip installs them from the user's index into folders of our cache, never into the user's
environment: exactly the versions and files that the locks beside this module name. Nothing is
built, since only wheels are taken. A folder is used again if it still has the contents that
were noted and signed when it was made.

The wheels are those for Linux on every system. awslambdaric and what it requires also run
without their compiled parts; `stand_in` has what then sends its requests.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement

from lambda_build_plugin.errors import FetchError, excerpt
from lambda_build_plugin.system.cache import CacheError
from lambda_build_plugin.system.interpreters import uv_of, without_downloads
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.urls import redacted_text
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lambda_build_plugin.invoke.feasible import Python
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.system.cache import Cache

__all__ = ["CLIENT", "SDK", "STAND_IN", "Installer", "NotInstalledError", "RuntimePackages"]

_HERE = Path(__file__).parent

STAND_IN = _HERE / "stand_in"

_KIND: Final = "packages"
_CONSTRAINTS = frozenset(
    {
        "PIP_CONSTRAINT",
        "PIP_REQUIREMENT",
        "PIP_TARGET",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "UV_EXCLUDE",
    }
)
"""Variables that would change what is installed, or where."""

_LAST_LINES = 12


@dataclass(frozen=True, kw_only=True)
class RuntimePackages:
    """Packages that Lambda's runtime has, and the lock that says which ones we take."""

    name: str
    """What they are called in messages."""

    lock: Path
    """Requirements with hashes and markers, without any URL."""

    def requirements(self, target: Target) -> list[str]:
        """List the requirements of a target, with their hashes and without markers.

        pip would evaluate markers for the Python that runs pip.
        """
        text = self.lock.read_text(encoding="utf-8").replace("\\\n", " ")
        found = []
        for line in text.splitlines():
            requirement, *hashes = line.split(" --hash=")
            parsed = Requirement(requirement.strip())
            if parsed.marker is None or parsed.marker.evaluate(target.marker_environment):
                pinned = f"{parsed.name}{parsed.specifier}"
                found.append(" ".join((pinned, *(f"--hash={each.strip()}" for each in hashes))))
        return found


CLIENT = RuntimePackages(
    name="AWS's runtime interface client (awslambdaric)", lock=_HERE / "runtime-client.txt"
)
SDK = RuntimePackages(name="the AWS SDK (boto3)", lock=_HERE / "sdk.txt")


class NotInstalledError(FetchError):
    """Packages of the runtime cannot be had."""

    def __init__(self, packages: RuntimePackages, target: Target, output: str) -> None:
        lines = redacted_text(output.strip()).splitlines()[-_LAST_LINES:]
        super().__init__(
            f"{packages.name} could not be installed for {target.runtime.name}",
            why=[excerpt(line) for line in lines] or ["the installer gave no reason"],
            hint="check the index that uv or pip is configured with: it needs the wheels for Linux",
        )


class OfflineError(FetchError):
    """Packages of the runtime would have to be fetched."""

    def __init__(self, packages: RuntimePackages, target: Target) -> None:
        super().__init__(
            f"{packages.name} is not in the cache for {target.runtime.name}",
            why="the command runs offline, and they have not been installed before",
            hint="invoke the function once without `--offline`",
        )


@dataclass(frozen=True, kw_only=True)
class Installer:
    """Gets packages of the runtime, from the cache or from the user's index."""

    cache: Cache
    environ: Mapping[str, str]
    cwd: Path
    python: Python
    target: Target
    offline: bool

    def folder(self, packages: RuntimePackages) -> Path:
        """Return the folder that packages are installed in.

        Raises:
            FetchError: They are not there and cannot be installed.
        """
        wanted = packages.requirements(self.target)
        key = "\n".join((*wanted, self.python.machine, self.python.interpreter.build))
        folder = self.cache.folder(_KIND, key)
        noted = self.cache.note(_KIND, key)
        if noted is not None and noted["digest"] == _digest(folder):
            return folder
        if self.offline:
            raise OfflineError(packages, self.target)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as scratch:
                made = Path(scratch, "packages")
                self._install(packages, wanted, made)
                digest = _digest(made)
                _move(made, folder, digest)
        except OSError as error:
            raise CacheError(str(folder.parent), error.strerror or str(error)) from error
        self.cache.keep_note(_KIND, key, {"digest": digest})
        return folder

    def _install(self, packages: RuntimePackages, wanted: Sequence[str], folder: Path) -> None:
        listed = folder.with_name("requirements.txt")
        listed.write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
        environ = {k: v for k, v in self.environ.items() if k not in _CONSTRAINTS}
        environ["UV_PYTHON_DOWNLOADS"] = "never"
        command = [*self._installer(), "--target", str(folder), "--requirement", str(listed)]
        try:
            result = finished(command, cwd=self.cwd, environ=environ, together=True)
        except OSError as error:
            raise NotInstalledError(packages, self.target, str(error)) from error
        if result.returncode or not folder.is_dir():
            raise NotInstalledError(packages, self.target, result.stdout)
        self._compile(folder)

    def _installer(self) -> list[str]:
        """Spell an installation for the Python of the function, whichever Python runs it."""
        version = ".".join(map(str, self.target.runtime.python))
        common = ["--no-deps", "--require-hashes", "--python-version", version]
        if uv := uv_of(self.environ):
            return [
                # Without its cache, whose unpacked files nobody would hash again.
                *(uv, "pip", "install", "--quiet", "--no-cache"),
                *("--python", sys.executable, *common),
                *("--only-binary", ":all:", "--python-platform"),
                f"{self.python.machine}-manylinux2014",
            ]
        has_pip = importlib.util.find_spec("pip") is not None
        program = sys.executable if has_pip else str(self.python.interpreter.path)
        return [
            *(program, "-Im", "pip", "install", "--quiet", "--no-input", *common),
            *("--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp"),
            f"--platform=manylinux2014_{self.python.machine}",
            f"--platform=manylinux_2_17_{self.python.machine}",
        ]

    def _compile(self, folder: Path) -> None:
        """Write the bytecode that the function's Python reads without looking at the sources."""
        shutil.rmtree(folder / "bin", ignore_errors=True)  # commands nobody needs
        arguments = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
        # The same bytes each time, so that installations at the same time agree.
        environ = {"PATH": self.environ.get("PATH", os.defpath), "PYTHONHASHSEED": "0"}
        finished(
            [*self.python.command, "-s", "-S", *arguments, str(folder)],
            environ=without_downloads(environ),
            cwd=folder,
        )


def _move(made: Path, folder: Path, digest: str) -> None:
    """Move a new folder to its place, where another process may have been quicker."""
    if folder.exists() and _digest(folder) != digest:
        shutil.rmtree(folder)
    try:
        made.rename(folder)
    except OSError:
        if _digest(folder) != digest:
            raise


def _digest(folder: Path) -> str:
    """Hash the names and contents of all files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        digest.update(f"{path[len(str(folder)) :]}\0".encode("utf-8", "surrogateescape"))
        with open(path, "rb") as file:  # noqa: PTH123 - botocore has two thousand of them
            digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        yield from (f"{root}/{name}" for name in names)
