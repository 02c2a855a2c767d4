"""What of an artifact cannot run on this machine, which is said before anything starts."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SettingsError, VerificationError
from lambda_build_plugin.runtime.target import Architecture, Glibc
from lambda_build_plugin.system.interpreters import find_interpreter, probe
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.findings import listed
from lambda_build_plugin.wheel.elf import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lambda_build_plugin.config.settings import Host
    from lambda_build_plugin.invoke.unpacked import Facts
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.system.interpreters import Interpreter
    from lambda_build_plugin.wheel.elf import Identity

__all__ = [
    "InfeasibleError",
    "Python",
    "architecture_of",
    "check_code",
    "choose_python",
    "own_machine",
]

_NEED = "running the function"
_LISTED = 3


class InfeasibleError(VerificationError):
    """The artifact has machine code that this machine cannot run."""

    def __init__(self, what: str, files: Iterable[str], *, hint: str) -> None:
        super().__init__(
            what,
            why=f"it contains machine code: {listed([f'`{name}`' for name in files], _LISTED)}",
            hint=hint,
        )


@dataclass(frozen=True, kw_only=True)
class Python:
    """The Python that runs the function, and how it is started."""

    interpreter: Interpreter
    emulator: tuple[str, ...] = ()
    """qemu with its options, if the Python is for another processor."""

    @property
    def command(self) -> tuple[str, ...]:
        """The program and its first arguments."""
        return (*self.emulator, str(self.interpreter.path))

    @property
    def system(self) -> str:
        """Such as `linux`, `macosx` or `win`."""
        return re.split(r"[-\d]", self.interpreter.platform)[0]

    @property
    def machine(self) -> str:
        """What it is compiled for, as wheel tags spell it."""
        return _machine(self.interpreter.platform)


def own_machine() -> str:
    """Return the architecture of this machine, as wheel tags spell it."""
    return _machine(sysconfig.get_platform())


def _machine(platform: str) -> str:
    machine = platform.rpartition("-")[2].lower()
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(machine, machine)


def choose_python(
    target: Target, host: Host, *, program: Path | None, sysroot: Path | None
) -> Python:
    """Find the Python of the target's minor version, or check the one that the user names.

    Args:
        target: What the function is for.
        host: This machine.
        program: The Python to use.
        sysroot: The folder with the libraries of another architecture, for qemu.

    Raises:
        SettingsError: The program is not a Python of that version, or there is no qemu.
        NoInterpreterError: None was found.
    """
    python = target.runtime.python
    if program is None:
        if sysroot is not None:
            raise SettingsError(["--qemu-sysroot: needs `--python`, a Python inside that folder"])
        found = find_interpreter(python, environ=host.environ, home=host.home, need=_NEED)
        return Python(interpreter=found)
    emulator = _emulator(target.architecture, sysroot, host.environ) if sysroot else ()
    named = probe(str(program), host.environ, prefix=emulator)
    if named is None:
        raise SettingsError(
            [f"--python: `{program}` does not run as a Python here"],
            hint="name the program of a Python; for one of another architecture, also name the "
            "folder with its libraries with `--qemu-sysroot`",
        )
    if not named.loads_like(python):
        minor = ".".join(map(str, python))
        raise SettingsError(
            [f"--python: `{program}` is {named}, but {target.runtime.name} is CPython {minor}"],
            hint=f"name a Python {minor}, or run the function for another runtime with `--runtime`",
        )
    return Python(interpreter=named, emulator=emulator)


def _emulator(
    architecture: Architecture, sysroot: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    names = [f"qemu-{architecture.machine}-static", f"qemu-{architecture.machine}"]
    for name in names:
        if found := shutil.which(name, path=environ.get("PATH")):
            return (found, "-L", str(sysroot))
    raise SettingsError(
        [f"--qemu-sysroot: neither `{names[0]}` nor `{names[1]}` is on PATH"],
        hint="install qemu-user (on Debian and Ubuntu: `apt install qemu-user-static`)",
    )


def architecture_of(code: Mapping[str, Identity]) -> Architecture | None:
    """Tell the architecture by machine code that is for only one of Lambda's; None without it."""
    machines = {each.machine for each in code.values() if each.kind is Kind.ELF}
    fitting = [each for each in Architecture if each.machine in machines]
    return fitting[0] if len(fitting) == 1 else None


def check_code(facts: Facts, target: Target, python: Python) -> list[str]:
    """Check the machine code of an artifact against this machine, and return warnings.

    Raises:
        InfeasibleError: It cannot be loaded here. A function without machine code always can.
    """
    machine = target.architecture.machine
    files = sorted(
        name
        for name, found in facts.code.items()
        if found.kind is Kind.ELF and found.machine == machine
    )
    if not files:
        return []
    if python.system != "linux":
        raise InfeasibleError(
            f"an artifact for {target} cannot run on this system, which is not Linux",
            files,
            hint="run it on Linux, in a virtual machine for example; functions without machine "
            "code run here, too",
        )
    if python.machine != machine:
        raise InfeasibleError(
            f"an artifact for {target} cannot run on this machine, which is {python.machine}",
            files,
            hint=f"build it with `--arch {_lambda_name(python.machine)}` to try it here, or let "
            f"qemu run it: `--python` names a Python for {machine}, and `--qemu-sysroot` the "
            "folder with its libraries",
        )
    return _glibc_warnings(target, python, files)


def _lambda_name(machine: str) -> str:
    return next((each.value for each in Architecture if each.machine == machine), machine)


def _glibc_warnings(target: Target, python: Python, files: list[str]) -> list[str]:
    if python.emulator:
        return ["the function runs under qemu: it is many times slower than on Lambda"]
    glibc = _host_glibc()
    if glibc is None:
        raise InfeasibleError(
            f"an artifact for {target} cannot run on this system, which has no glibc",
            files,
            hint="run it on a Linux with glibc (not on Alpine, for example); functions without "
            "machine code run here, too",
        )
    expected = target.runtime.glibc
    if glibc == expected:
        return []
    difference = "newer" if glibc > expected else "older"
    effect = ": code that needs it runs here, but fails on Lambda" if glibc > expected else ""
    return [
        f"the glibc of this machine ({glibc}) is {difference} than that of "
        f"{target.runtime.name} ({expected}){effect}"
    ]


def _host_glibc() -> Glibc | None:
    """Ask the C library of this process for its version (confstr(3))."""
    if sys.platform != "linux":
        return None
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        return None
    match = re.match(r"glibc (\d+)\.(\d+)", text)
    return Glibc(int(match[1]), int(match[2])) if match else None
