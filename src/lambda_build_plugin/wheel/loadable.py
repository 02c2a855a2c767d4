"""Compare what an ELF file needs with what a target has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_build_plugin.runtime.libraries import NEWEST_SYMBOLS, PRESENT_LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lambda_build_plugin.runtime.libraries import VersionNumbers
    from lambda_build_plugin.runtime.target import Glibc, Target
    from lambda_build_plugin.wheel.elf import Elf

__all__ = ["absent_libraries", "foreign", "load_problems", "newest_above"]

_VERSION = re.compile(r"(?P<family>[A-Z]+)_(?P<numbers>\d{1,9}(?:\.\d{1,9})*)")


def load_problems(elf: Elf, target: Target, bundled: Collection[str]) -> Iterator[str]:
    """Yield the reasons why a target cannot load a file; nothing if it can.

    Args:
        elf: The facts about the file.
        target: The target that is to load it.
        bundled: Names of the files that ship with it.
    """
    if problem := foreign(elf, target):
        yield problem
        return
    if absent := absent_libraries(elf, bundled):
        yield f"needs {', '.join(absent)}, which the runtime does not have"
    if newest := newest_above(elf, target):
        yield f"needs {newest}, and the runtime has glibc {target.runtime.glibc}"


def foreign(elf: Elf, target: Target) -> str:
    """Say why a file is for another kind of machine; empty if it is for this one."""
    machine = target.architecture.machine
    if elf.machine != machine or elf.bits != 64:  # noqa: PLR2004 # both architectures have 64 bits
        return f"is made for {elf.bits}-bit {elf.machine}, not for {machine}"
    return "is linked against musl, and the runtime has glibc" if elf.musl else ""


def absent_libraries(elf: Elf, bundled: Collection[str]) -> tuple[str, ...]:
    """List the libraries that are neither in the runtime nor among the files that ship."""
    return tuple(
        name for name in elf.needed if name not in PRESENT_LIBRARIES and name not in bundled
    )


def newest_above(elf: Elf, target: Target) -> str:
    """Name the newest symbol version that is too new for the runtime; empty if there is none."""
    above = [text for text in elf.versions if _is_above(text, target.runtime.glibc)]
    return max(above, key=_natural, default="")


def _is_above(version: str, glibc: Glibc) -> bool:
    """Tell whether a symbol version is newer than the libraries of a runtime."""
    match = _VERSION.fullmatch(version)
    if match is None:
        # `GLIBC_ABI_DT_RELR` (2.36) and `GLIBC_PRIVATE` bind a file to the glibc it saw.
        return version.startswith("GLIBC_")
    numbers = tuple(map(int, match["numbers"].split(".")))
    ceiling = glibc if match["family"] == "GLIBC" else NEWEST_SYMBOLS[glibc].get(match["family"])
    return ceiling is not None and numbers > (*ceiling, *(0,) * (len(numbers) - len(ceiling)))


def _natural(version: str) -> tuple[str, VersionNumbers]:
    match = _VERSION.fullmatch(version)
    numbers = tuple(map(int, match["numbers"].split("."))) if match else ()
    return ("" if match else version, numbers)
