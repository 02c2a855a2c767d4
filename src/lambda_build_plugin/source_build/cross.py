"""Choose the compiler for machine code that the machine here would compile wrongly.

`zig cc` compiles C and C++ for another architecture, and against the symbols of any glibc:
https://ziglang.org/documentation/master/#Cross-compiling-is-a-first-class-use-case. The
package `ziglang` on the index contains the program; the extra `cross` installs it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import CrossCompile
from lambda_build_plugin.errors import SettingsError, excerpt
from lambda_build_plugin.runtime.target import Architecture, Glibc
from lambda_build_plugin.source_build.errors import EXTRA
from lambda_build_plugin.system.processes import finished

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.system.interpreters import Interpreter

__all__ = ["CrossCompiler", "NoZigError", "find_cross_compiler", "remedy"]

_CPUS = {
    # What Lambda's Graviton2 is: https://docs.aws.amazon.com/lambda/latest/dg/foundation-arch.html
    Architecture.ARM64: "neoverse_n1",
    # Has SSE4.2 and POPCNT, as all of Lambda's have, which even have AVX2:
    # https://docs.aws.amazon.com/lambda/latest/dg/runtimes-avx2.html. With less, zig does not let
    # functions use CRC32 that are declared for SSE4.2, as gcc and clang do.
    Architecture.X86_64: "x86_64_v2",
}
_OLDEST = (0, 13)
"""The oldest zig that was tried."""

_TIMEOUT = 60.0  # seconds, for a program that prints its version


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCompiler:
    """A zig, and what it compiles for."""

    zig: Path
    version: str
    triple: str
    """The target as zig names it, with the version of glibc: `aarch64-linux-gnu.2.34`."""

    machine: str
    cpu: str
    """The processor whose instructions may be used."""

    cache: Path
    """Where zig keeps its own libraries that it has compiled."""

    def __str__(self) -> str:
        return f"zig {self.version} for {self.triple}"


class NoZigError(SettingsError):
    """The user wants everything to be compiled with zig, and there is none that can be used."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            [f'`cross-compile = "always"` needs zig: {problem}'],
            hint=f"install `{EXTRA}`, or put a `zig` on PATH",
        )


def find_cross_compiler(
    mode: CrossCompile,
    target: Target,
    interpreter: Interpreter,
    *,
    environ: Mapping[str, str],
    cache_dir: Path,
) -> CrossCompiler | None:
    """Find what compiles machine code for a target, if not the compilers of this machine.

    Args:
        mode: What the user asks for.
        target: What has to load the machine code.
        interpreter: The Python that runs the backends, whose headers are used.
        environ: The variables; PATH may lead to a zig.
        cache_dir: The folder in which zig keeps its own libraries that it has compiled.

    Returns:
        None if the compilers of this machine are to be used.

    Raises:
        NoZigError: The user asks for it, and there is no zig.
    """
    if mode is CrossCompile.NEVER or not _has_headers(interpreter, target):
        return None
    if mode is CrossCompile.AUTO and _is_like(interpreter, target):
        return None
    zig = _find_zig(environ.get("PATH", os.defpath))
    if zig.problem:
        if mode is CrossCompile.ALWAYS:
            raise NoZigError(zig.problem)
        return None
    machine = target.architecture.machine
    return CrossCompiler(
        zig=zig.path,
        version=zig.version,
        triple=f"{machine}-linux-gnu.{target.runtime.glibc}",
        machine=machine,
        cpu=_CPUS[target.architecture],
        cache=cache_dir,
    )


def remedy(
    mode: CrossCompile, target: Target, interpreter: Interpreter, *, environ: Mapping[str, str]
) -> str:
    """Say what to install so that zig compiles for a target, for the hint of an error.

    Returns:
        An empty text if nothing is missing, or if zig would not be used in any case.
    """
    is_used = mode is not CrossCompile.NEVER and _is_linux(interpreter)
    if not is_used or _is_like(interpreter, target):
        return ""
    missing = []
    if not interpreter.loads_like(target.runtime.python):
        version = "{}.{}".format(*target.runtime.python)
        missing.append(f"get CPython {version} with `uv python install {version}`")
    zig = _find_zig(environ.get("PATH", os.defpath))
    if zig.problem:
        missing.append(f"install `{EXTRA}`")
    if not missing:
        return ""
    # That there is none goes without saying.
    unusable = f" ({zig.problem})" if zig.problem and zig.path != _NOWHERE else ""
    return f"{' and '.join(missing)}, to compile C and C++ for the target with zig{unusable}"


def _has_headers(interpreter: Interpreter, target: Target) -> bool:
    """Tell whether the headers of a Python are those that the target's Python has.

    They are on every Linux, whatever the architecture: on 64 bits `pyconfig.h` says the same.
    Those for macOS and Windows say something else.
    """
    return interpreter.loads_like(target.runtime.python) and _is_linux(interpreter)


def _is_linux(interpreter: Interpreter) -> bool:
    return interpreter.platform.startswith("linux-")


def _is_like(interpreter: Interpreter, target: Target) -> bool:
    """Tell whether what this machine compiles loads in the target, as far as can be told."""
    machine = f"linux-{target.architecture.machine}"
    glibc = _glibc_here()
    return interpreter.platform == machine and glibc is not None and glibc <= target.runtime.glibc


def _glibc_here() -> Glibc | None:
    """Return the glibc of this machine; None if it has another C library."""
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        return None
    found = re.fullmatch(r"glibc ([0-9]+)\.([0-9]+).*", text)
    return Glibc(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zig:
    """A zig that was found, or the lack of one."""

    path: Path
    version: str = ""
    problem: str = ""
    """Why it cannot be used; empty if it can."""


_NOWHERE = Path()
_NONE = _Zig(path=_NOWHERE, problem="it is neither installed nor on PATH")


@cache
def _find_zig(path: str) -> _Zig:
    """Find a zig that can be used: in the package `ziglang`, which the extra installs, or on PATH.

    Args:
        path: The folders in which to search after that, as PATH has them.
    """
    spec = importlib.util.find_spec("ziglang")
    package = spec.submodule_search_locations if spec is not None else None
    folders = [*(package or ()), *path.split(os.pathsep)]
    programs = (shutil.which("zig", path=folder) for folder in folders)
    # Links are not followed: snap and mise link to a program that acts by the name it is called by.
    found = [_examined(Path(program).absolute()) for program in programs if program]
    usable = (zig for zig in found if not zig.problem)
    return next(usable, found[0] if found else _NONE)


def _examined(path: Path) -> _Zig:
    """Ask a zig for its version."""
    try:
        result = finished([str(path), "version"], environ={}, timeout=_TIMEOUT)
    except OSError as error:
        return _Zig(path=path, problem=f"{path} cannot be started: {error.strerror}")
    except subprocess.TimeoutExpired:
        problem = f"{path} does not say its version within {_TIMEOUT:.0f} s"
        return _Zig(path=path, problem=problem)
    version = result.stdout.strip()
    # Development versions are like `0.15.0-dev.877+0dd0c9620`.
    numbers = re.match(r"([0-9]+)\.([0-9]+)\.", version)
    if result.returncode or numbers is None:
        said = (result.stderr.strip() or version).partition("\n")[0]
        return _Zig(path=path, problem=f"{path} does not say its version, but `{excerpt(said)}`")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST:
        oldest = "{}.{}".format(*_OLDEST)
        problem = f"{path} is zig {version}, and {oldest} or newer is needed"
        return _Zig(path=path, problem=problem)
    return _Zig(path=path, version=version)
