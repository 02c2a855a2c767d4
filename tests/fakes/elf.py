"""Make ELF files in memory: what a linker writes for the one that loads them, and no code."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["an_elf"]

_MACHINES = {"x86_64": 0x3E, "aarch64": 0xB7}
_HEADER, _PROGRAM_HEADER = 64, 56
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRTAB, _STRSZ, _RUNPATH, _VERNEED, _VERNEEDNUM = 1, 5, 10, 29, 0x6FFFFFFE, 0x6FFFFFFF


def an_elf(
    machine: str = "x86_64",
    *,
    needed: Sequence[str] = ("libc.so.6",),
    versions: Mapping[str, Sequence[str]] | None = None,
    interpreter: str | None = None,
    runpath: str | None = None,
) -> bytes:
    """Make a 64-bit shared object without sections, as if stripped of all that can be.

    Args:
        machine: As wheel tags spell it.
        needed: The libraries that it is linked against.
        versions: The versions of symbols that it needs of each library.
        interpreter: The dynamic linker that it names.
        runpath: The folders in which its libraries are looked for first, with colons between.
    """
    strings = _Strings()
    versions = versions or {}
    requirements = _requirements(versions, strings)
    tags = [(_NEEDED, strings.add(name)) for name in needed]
    if runpath is not None:
        tags.append((_RUNPATH, strings.add(runpath)))
    place = strings.add(interpreter or "")

    text = strings.data + bytes(-len(strings.data) % 8)
    count = 3 if interpreter else 2
    at_strings = _HEADER + count * _PROGRAM_HEADER
    at_requirements = at_strings + len(text)
    at_tags = at_requirements + len(requirements)
    tags += [(_STRTAB, at_strings), (_STRSZ, len(text))]
    if versions:
        tags += [(_VERNEED, at_requirements), (_VERNEEDNUM, len(versions))]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    segments = [
        (_LOAD, 0, at_tags + len(dynamic)),
        (_DYNAMIC, at_tags, len(dynamic)),
        *([(_INTERPRETER, at_strings + place, len(interpreter) + 1)] if interpreter else []),
    ]
    return b"".join(
        (
            b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),
            struct.pack("<HHIQQQI", 3, _MACHINES[machine], 1, 0, _HEADER, 0, 0),
            struct.pack("<HHHHHH", _HEADER, _PROGRAM_HEADER, count, 64, 0, 0),
            *(struct.pack("<IIQQQQQQ", kind, 4, at, at, at, n, n, 8) for kind, at, n in segments),
            text,
            requirements,
            dynamic,
        )
    )


class _Strings:
    """A string table; the empty string is at its beginning."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        place = len(self.data)
        self.data += text.encode() + b"\0"
        return place


def _requirements(versions: Mapping[str, Sequence[str]], strings: _Strings) -> bytes:
    """Make the table of needed versions: an entry a library, and one for each version."""
    data = b""
    for place, (library, names) in enumerate(versions.items(), start=1):
        size = 16 * (1 + len(names))
        following = size if place < len(versions) else 0
        data += struct.pack("<HHIII", 1, len(names), strings.add(library), 16, following)
        for number, name in enumerate(names, start=1):
            step = 16 if number < len(names) else 0
            data += struct.pack("<IHHII", 0, 0, number + 1, strings.add(name), step)
    return data
