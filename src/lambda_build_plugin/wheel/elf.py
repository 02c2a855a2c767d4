"""Machine code in files: its format, the machine that it is for, and what it needs to load.

The module turns bytes into facts; it opens no file and runs nothing. Of an ELF file, only the
program headers, the dynamic section and the required symbol versions are looked at, so a large
file takes no longer than a small one. They are structures of a few integers each:
https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html (chapters 4 and 5), and
https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html.
A library that reads every part of an ELF file, such as pyelftools, takes ten times as long for
these, and a first build reads hundreds of files.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["HEAD", "MAGIC", "Elf", "Identity", "Kind", "UnreadableElfError", "identify", "read_elf"]

HEAD = 64
"""How many bytes at the beginning of a file are enough to tell what it is."""

MAGIC = b"\x7fELF"
"""How every ELF file begins."""

_MACHINES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64"}
"""`e_machine` (System V ABI) → what wheel tags call it."""

_MACH_O = {
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
}

_FAT = b"\xca\xfe\xba\xbe"

_OLDEST_CLASS_FILE = 45
"""Java classes begin like fat Mach-O files, but have a version where these have a small count."""

_PE_OFFSET = slice(0x3C, 0x40)

_MOST_HEADERS = 1 << 10

_MOST_TAGS = 1 << 13

_LONGEST_NAME = 1 << 12
"""Limits for what a file may claim, so that a broken one is not read for ever."""


class Kind(enum.Enum):
    """Formats of machine code, with the names that people use."""

    ELF = "ELF"
    MACH_O = "Mach-O"
    PE = "PE"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What the beginning of a file says about it."""

    kind: Kind
    machine: str | None = None
    """As wheel tags spell it, such as `aarch64`, or a number; only known for ELF files."""

    bits: int | None = None
    """32 or 64; only known for ELF files."""


@dataclass(frozen=True, kw_only=True)
class Elf:
    """The machine that an ELF file is for, and what the dynamic linker has to find for it."""

    machine: str
    bits: int
    needed: tuple[str, ...] = ()
    """Names of libraries (DT_NEEDED), in the file's order."""

    versions: tuple[str, ...] = ()
    """Symbol versions that these libraries must have, such as `GLIBC_2.17`, sorted."""

    search: tuple[str, ...] = ()
    """Folders in which they are searched (DT_RUNPATH, or else DT_RPATH), as the file has them."""

    musl: bool = False
    """Whether it is linked against musl instead of glibc."""


class UnreadableElfError(ValueError):
    """A file begins like an ELF file, but is broken or has an unknown structure."""


def identify(head: bytes) -> Identity | None:
    """Tell from the first `HEAD` bytes of a file whether it is machine code, and which."""
    if head.startswith(MAGIC):
        order = "big" if head[5:6] == b"\x02" else "little"
        machine = int.from_bytes(head[18:20], order)  # type: ignore[arg-type] # one of the two
        return Identity(
            kind=Kind.ELF,
            machine=_MACHINES.get(machine, f"machine {machine}"),
            bits=64 if head[4:5] == b"\x02" else 32,
        )
    if head[:4] in _MACH_O:
        return Identity(kind=Kind.MACH_O)
    if head[:4] == _FAT and 0 < int.from_bytes(head[4:8], "big") < _OLDEST_CLASS_FILE:
        return Identity(kind=Kind.MACH_O)
    # A text may also begin with MZ, but then the offset of the PE header is a large number.
    if head[:2] == b"MZ" and 0 < int.from_bytes(head[_PE_OFFSET], "little") < 1 << 16:
        return Identity(kind=Kind.PE)
    return None


def read_elf(stream: BinaryIO) -> Elf:
    """Read what an ELF file needs; the stream must be seekable.

    Raises:
        UnreadableElfError: The file is broken, or is not an ELF file.
    """
    try:
        return _Reader(stream).elf()
    # Broken files have offsets that lead nowhere, and names that are no text.
    except (struct.error, OverflowError, ValueError, OSError) as error:
        raise UnreadableElfError(f"it is no readable ELF file: {error}") from error


_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3

_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 15, 29

_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFF_FFFE, 0x6FFF_FFFF

_TAGS_AT_ONCE = 64


class _Format(NamedTuple):
    """The structures of an ELF file, for its class (32 or 64 bits) and its order of bytes."""

    header: struct.Struct
    """From `e_type` on: with `e_phoff`, `e_phentsize` and `e_phnum` among its fields."""

    segment: struct.Struct
    tag: struct.Struct
    library: struct.Struct
    """`Elf_Verneed`: a library of which versions are required."""

    version: struct.Struct
    """`Elf_Vernaux`: one of these versions."""

    @classmethod
    def of(cls, order: str, bits: int) -> _Format:
        """Make the structures; their fields are as long as a word, but for the versions."""
        is_wide = bits == 64  # noqa: PLR2004 - the name of the class
        layouts = ("HHI3QI6H", "2I6Q", "qQ") if is_wide else ("HHI3II6H", "8I", "iI")
        return cls(*(struct.Struct(order + each) for each in (*layouts, "2H3I", "I2H2I")))


class _Segment(NamedTuple):
    """One program header."""

    kind: int
    offset: int
    address: int
    size: int
    """Bytes in the file."""


_CLASSES = {1: 32, 2: 64}

_ORDERS = {1: "<", 2: ">"}

_FORMATS = {
    (kind, data): _Format.of(order, bits)
    for kind, bits in _CLASSES.items()
    for data, order in _ORDERS.items()
}
"""By the bytes `EI_CLASS` and `EI_DATA` of a file."""

_IDENT = 16  # bytes before the fields of the header


class _Reader:
    """Reads a file by its segments, because the loader looks at nothing else."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        stream.seek(0)
        self._head = stream.read(HEAD)
        if not self._head.startswith(MAGIC):
            raise ValueError("it does not begin like one")
        ident = tuple(self._head[4:6])
        if ident not in _FORMATS:
            raise ValueError("its class or its order of bytes is unknown")
        self._format = _FORMATS[ident[0], ident[1]]
        self._bits = _CLASSES[ident[0]]
        self._segments = list(self._read_segments())

    def _read_segments(self) -> Iterator[_Segment]:
        structure = self._format.segment
        fields = self._format.header.unpack_from(self._head, _IDENT)
        start, length, count = fields[4], fields[8], fields[9]
        for place in range(min(count, _MOST_HEADERS)):
            fields = self._at(structure, start + place * length)
            if self._bits == 64:  # noqa: PLR2004 - the name of the class
                kind, _, offset, address, _, size, _, _ = fields
            else:
                kind, offset, address, _, size, _, _, _ = fields
            yield _Segment(kind, offset, address, size)

    def elf(self) -> Elf:
        tags = self._tags()
        strings = self._offset(tags.get(_DT_STRTAB, [0])[0])
        needed = tuple(self._text(strings + value) for value in tags.get(_DT_NEEDED, ()))
        machine = identify(self._head)
        return Elf(
            machine=machine.machine or "" if machine else "",
            bits=self._bits,
            needed=needed,
            search=tuple(self._search(tags, strings)),
            versions=tuple(sorted(set(self._versions(tags, strings)))),
            musl=any("musl" in name for name in (*needed, *self._interpreters())),
        )

    def _search(self, tags: dict[int, list[int]], strings: int) -> Iterator[str]:
        for value in tags.get(_DT_RUNPATH) or tags.get(_DT_RPATH) or ():
            yield from filter(None, self._text(strings + value).split(":"))

    def _tags(self) -> dict[int, list[int]]:
        """Read the dynamic section: tag → values; empty if there is none."""
        found: dict[int, list[int]] = {}
        for segment in self._segments:
            if segment.kind == _PT_DYNAMIC and segment.size:
                for tag, value in self._tags_at(segment.offset):
                    found.setdefault(tag, []).append(value)
        return found

    def _tags_at(self, offset: int) -> Iterator[tuple[int, int]]:
        structure = self._format.tag
        for _ in range(_MOST_TAGS // _TAGS_AT_ONCE):
            block = self._read(offset, structure.size * _TAGS_AT_ONCE)
            for place in range(_TAGS_AT_ONCE):
                tag, value = structure.unpack_from(block, place * structure.size)
                if tag == _DT_NULL:
                    return
                yield tag, value
            offset += len(block)

    def _versions(self, tags: dict[int, list[int]], strings: int) -> Iterator[str]:
        """Yield the required symbol versions (`.gnu.version_r`, found by the dynamic tags)."""
        if _DT_VERNEED not in tags:
            return
        offset = self._offset(tags[_DT_VERNEED][0])
        for _ in range(min(tags.get(_DT_VERNEEDNUM, [0])[0], _MOST_TAGS)):
            _, count, _, first, following = self._at(self._format.library, offset)
            version = offset + first
            for _ in range(count):
                _, _, _, name, next_version = self._at(self._format.version, version)
                yield self._text(strings + name)
                version += next_version
            offset += following

    def _interpreters(self) -> Iterator[str]:
        for segment in self._segments:
            if segment.kind == _PT_INTERP:
                yield self._text(segment.offset)

    def _offset(self, address: int) -> int:
        """Find the offset in the file of what is loaded at an address."""
        for segment in self._segments:
            begin = segment.address
            if segment.kind == _PT_LOAD and begin <= address < begin + segment.size:
                return address - begin + segment.offset
        return address

    def _text(self, offset: int) -> str:
        return self._read(offset, _LONGEST_NAME).partition(b"\0")[0].decode("utf-8")

    def _at(self, structure: struct.Struct, offset: int) -> tuple[Any, ...]:
        return structure.unpack(self._read(offset, structure.size))

    def _read(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(length)
