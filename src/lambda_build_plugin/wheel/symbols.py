"""What ELF files take from each other: the symbols that they define, and those that they lack.

A linker lets a shared library lack symbols, since the process that loads it may have them. An
extension module gets Python's in that way. What nothing has makes its import fail.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.elf import UnreadableElfError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile

__all__ = ["Symbols", "read_symbols"]

_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym of the System V ABI, little-endian
_VERSION = struct.Struct("<H")
_WEAK = 2
_UNVERSIONED = frozenset({0, 1})
"""VER_NDX_LOCAL and VER_NDX_GLOBAL: the symbol has no version, so no library of glibc has it."""


_OF_BROKEN_FILES = (
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    struct.error,
)
"""What pyelftools raises, depending on its version, if numbers in a file do not fit together."""


@dataclass(frozen=True, kw_only=True)
class Symbols:
    """The symbols of a 64-bit ELF file that the dynamic linker sees."""

    defined: frozenset[str]
    lacking: frozenset[str]
    """Undefined without a version, and not weak: something that is loaded must define them."""


def read_symbols(data: bytes) -> Symbols:
    """Read the symbols of an ELF file.

    Raises:
        UnreadableElfError: The file is broken, or is not a 64-bit, little-endian ELF file.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        symbols = list(_symbols(ELFFile(io.BytesIO(data))))
    except (ELFError, ConstructError, *_OF_BROKEN_FILES) as error:
        raise UnreadableElfError(f"it is no readable ELF file: {error}") from error
    return Symbols(
        defined=frozenset(name for name, is_defined, _ in symbols if is_defined),
        lacking=frozenset(name for name, is_defined, lacks in symbols if lacks and not is_defined),
    )


def _symbols(file: ELFFile) -> Iterator[tuple[str, bool, bool]]:
    """Yield each symbol's name, whether it is defined, and else whether the file lacks it."""
    table = file.get_section_by_name(".dynsym")
    strings = file.get_section_by_name(".dynstr")
    versions = file.get_section_by_name(".gnu.version")
    if table is None or strings is None:
        return
    if file.elfclass != 64 or not file.little_endian:  # noqa: PLR2004 - bits
        raise ValueError("its symbols are not those of Lambda's processors")
    names = strings.data()
    indices = (
        [] if versions is None else [index for (index,) in _VERSION.iter_unpack(versions.data())]
    )
    for place, (name, info, _, section, _, _) in enumerate(_SYMBOL.iter_unpack(table.data())):
        if not name:
            continue
        is_unversioned = not indices or indices[place] in _UNVERSIONED
        text = names[name : names.index(b"\0", name)].decode("utf-8", "replace")
        yield text, section != 0, is_unversioned and info >> 4 != _WEAK
