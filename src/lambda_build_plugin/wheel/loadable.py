"""Hold what an ELF file needs against what a target has."""

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
    """Yield why a file does not load in a target; nothing if it does.

    Args:
        elf: What the file is and needs.
        target: Where it is to load.
        bundled: Names of the files that ship beside it.
    """
    if problem := foreign(elf, target):
        yield problem
        return
    if absent := absent_libraries(elf, bundled):
        yield f"needs {', '.join(absent)}, which the runtime does not have"
    if newest := newest_above(elf, target):
        yield f"needs {newest}, and the runtime has glibc {target.runtime.glibc}"


def foreign(elf: Elf, target: Target) -> str:
    """Say why a file is not for such a machine at all; empty where it is."""
    machine = target.architecture.machine
    if elf.machine != machine or elf.bits != 64:  # noqa: PLR2004 # both are 64-bit machines
        return f"is made for {elf.bits}-bit {elf.machine}, not for {machine}"
    return "is linked against musl, and the runtime has glibc" if elf.musl else ""


def absent_libraries(elf: Elf, bundled: Collection[str]) -> tuple[str, ...]:
    """List the libraries that neither the runtime has nor the files that ship beside it."""
    return tuple(
        name for name in elf.needed if name not in PRESENT_LIBRARIES and name not in bundled
    )


def newest_above(elf: Elf, target: Target) -> str:
    """Name the newest version of symbols that is above what the runtime has; empty if none is."""
    above = [text for text in elf.versions if _is_above(text, target.runtime.glibc)]
    return max(above, key=_natural, default="")


def _is_above(version: str, glibc: Glibc) -> bool:
    """Tell whether a version of symbols is newer than a runtime's libraries."""
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
