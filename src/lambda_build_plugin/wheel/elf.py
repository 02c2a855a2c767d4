"""Machine code in files: its format, the machine that it is for, and what it needs to load.

The module turns bytes into facts; it opens no file and runs nothing. The container of an
ELF file is read by pyelftools. Only the program headers, the dynamic section and the
required symbol versions are looked at, so a large file takes no longer than a small one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, BinaryIO

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile


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
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        return _Reader(ELFFile(stream)).elf()
    # The last four come from broken files, whose numbers do not fit together.
    except (ELFError, ConstructError, ArithmeticError, LookupError, ValueError, OSError) as error:
        raise UnreadableElfError(f"it is no readable ELF file: {error}") from error


class _Reader:
    """Reads a file by its segments, because the loader looks at nothing else."""

    def __init__(self, elf: ELFFile) -> None:
        self._elf = elf
        self._stream = elf.stream
        self._structs = elf.structs
        count = min(elf["e_phnum"], _MOST_HEADERS)
        self._segments = [
            self._at(self._structs.Elf_Phdr, elf["e_phoff"] + place * elf["e_phentsize"])
            for place in range(count)
        ]

    def elf(self) -> Elf:
        tags = self._tags()
        strings = self._offset(tags.get("DT_STRTAB", [0])[0])
        needed = tuple(self._text(strings + value) for value in tags.get("DT_NEEDED", ()))
        machine = identify(self._head())
        return Elf(
            machine=machine.machine or "" if machine else "",
            bits=self._elf.elfclass,
            needed=needed,
            search=tuple(self._search(tags, strings)),
            versions=tuple(sorted(set(self._versions(tags, strings)))),
            musl=any("musl" in name for name in (*needed, *self._interpreters())),
        )

    def _search(self, tags: dict[str, list[int]], strings: int) -> Iterator[str]:
        for value in tags.get("DT_RUNPATH") or tags.get("DT_RPATH") or ():
            yield from filter(None, self._text(strings + value).split(":"))

    def _head(self) -> bytes:
        self._stream.seek(0)
        return bytes(self._stream.read(HEAD))

    def _tags(self) -> dict[str, list[int]]:
        """Read the dynamic section: tag → values; empty if there is none."""
        found: dict[str, list[int]] = {}
        for segment in self._segments:
            if segment["p_type"] != "PT_DYNAMIC" or not segment["p_filesz"]:
                continue
            for place in range(_MOST_TAGS):
                offset = segment["p_offset"] + place * self._structs.Elf_Dyn.sizeof()
                tag = self._at(self._structs.Elf_Dyn, offset)
                if tag["d_tag"] == "DT_NULL":
                    break
                found.setdefault(str(tag["d_tag"]), []).append(tag["d_val"])
        return found

    def _versions(self, tags: dict[str, list[int]], strings: int) -> Iterator[str]:
        """Yield the required symbol versions (`.gnu.version_r`, found by the dynamic tags)."""
        if "DT_VERNEED" not in tags:
            return
        offset = self._offset(tags["DT_VERNEED"][0])
        for _ in range(min(tags.get("DT_VERNEEDNUM", [0])[0], _MOST_TAGS)):
            library = self._at(self._structs.Elf_Verneed, offset)
            version = offset + library["vn_aux"]
            for _ in range(library["vn_cnt"]):
                entry = self._at(self._structs.Elf_Vernaux, version)
                yield self._text(strings + entry["vna_name"])
                version += entry["vna_next"]
            offset += library["vn_next"]

    def _interpreters(self) -> Iterator[str]:
        for segment in self._segments:
            if segment["p_type"] == "PT_INTERP":
                yield self._text(segment["p_offset"])

    def _offset(self, address: int) -> int:
        """Find the offset in the file of what is loaded at an address."""
        for segment in self._segments:
            begin = segment["p_vaddr"]
            if segment["p_type"] == "PT_LOAD" and begin <= address < begin + segment["p_filesz"]:
                return int(address - begin + segment["p_offset"])
        return address

    def _text(self, offset: int) -> str:
        self._stream.seek(offset)
        return bytes(self._stream.read(_LONGEST_NAME)).partition(b"\0")[0].decode("utf-8")

    def _at(self, struct: Any, offset: int) -> Any:
        from elftools.common.utils import struct_parse

        return struct_parse(struct, self._stream, stream_pos=offset)
