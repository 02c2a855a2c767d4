"""A zip file → contradictions between its records.

A program may read a zip by its directory, at the end, or by the local header in front of each
member. Both have to agree, or different programs unpack different files (APPNOTE.TXT 4.3:
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
"""

from __future__ import annotations

import itertools
import os
import struct
from typing import IO, TYPE_CHECKING, NamedTuple

from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.wheel.members import LOCAL_HEADER

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Structure", "read_structure"]

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_LONGEST_COMMENT = 1 << 16
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_IN_ZIP64 = 0xFFFFFFFF
_COUNT_IN_ZIP64 = 0xFFFF
_HAS_DESCRIPTOR, _UTF8 = 0x8, 0x800


class Structure(NamedTuple):
    """What is wrong with the records of a zip."""

    problems: tuple[str, ...]
    """Complete sentences for people."""

    unreadable: frozenset[str]
    """Names of members whose data cannot be found."""


class _Header(NamedTuple):
    """The local header of a member."""

    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    name: bytes
    length: int
    """Bytes from the header's beginning to the member's data."""


def read_structure(path: Path, infos: Sequence[zipfile.ZipInfo], *, count: int) -> Structure:
    """Compare the records of a zip with each other; no member is inflated.

    Args:
        path: The file.
        infos: The members to look at, as `zipfile` has read them from the directory.
        count: How many members the directory has.

    Raises:
        OSError: The file cannot be read.
    """
    problems: list[str] = []
    unreadable: set[str] = set()
    ranges: list[tuple[int, int, str]] = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        problems += _end_problems(file, size, count=count)
        for info in infos:
            shown = f"`{excerpt(info.filename)}`"
            header = _local_header(file, info, size)
            if header is None:
                problems.append(f"{shown}: there is no local header where the directory says")
                unreadable.add(info.filename)
                continue
            end = info.header_offset + header.length + info.compress_size
            if end > size:
                problems.append(f"{shown}: the file ends inside it")
                unreadable.add(info.filename)
            ranges.append((info.header_offset, end, shown))
            problems += (
                f"{shown}: its local header has another {what}"
                for what in _differences(header, info)
            )
    problems += _overlaps(sorted(ranges))
    return Structure(problems=tuple(problems), unreadable=frozenset(unreadable))


def _local_header(file: IO[bytes], info: zipfile.ZipInfo, size: int) -> _Header | None:
    if not 0 <= info.header_offset <= size - LOCAL_HEADER.size:
        return None
    file.seek(info.header_offset)
    signature, _, _, flags, method, _, _, crc, compressed, full, name_length, extra_length = (
        LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    )[:12]
    if signature != b"PK\x03\x04":
        return None
    return _Header(
        flags=flags,
        method=method,
        crc=crc,
        compressed=compressed,
        size=full,
        name=file.read(name_length),
        length=LOCAL_HEADER.size + name_length + extra_length,
    )


def _differences(header: _Header, info: zipfile.ZipInfo) -> Iterator[str]:
    """Yield differences between the local header and the directory."""
    if header.name != _encoded(info):
        yield "name"
    if header.method != info.compress_type:
        yield "method of compression"
    if header.flags & _HAS_DESCRIPTOR:
        return  # the numbers follow the data, and the directory has them, too
    if header.crc != info.CRC:
        yield "CRC"
    if _IN_ZIP64 not in {header.compressed, header.size} and (
        (header.compressed, header.size) != (info.compress_size, info.file_size)
    ):
        yield "size"


def _encoded(info: zipfile.ZipInfo) -> bytes:
    """Get the name as it is in the directory."""
    try:
        return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    except UnicodeEncodeError:
        return info.orig_filename.encode("utf-8", "surrogateescape")


def _overlaps(ranges: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    for (_, end, one), (start, _, other) in itertools.pairwise(ranges):
        if start < end:
            yield f"{one} and {other} share bytes of the file"


def _end_problems(file: IO[bytes], size: int, *, count: int) -> Iterator[str]:
    """Yield what is wrong with the record at the end of the file."""
    start = max(0, size - _LONGEST_COMMENT - _END.size)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(_END_SIGNATURE)
    if place < 0 or len(tail) - place < _END.size:
        yield "there is no complete record at the end of the zip"
        return
    _, disk, first_disk, here, total, length, offset, comment = _END.unpack_from(tail, place)
    position = start + place
    following = size - position - _END.size - comment
    if following:
        yield (
            f"{following:,} bytes follow the end of the zip"
            if following > 0
            else "the record at the end of the zip is cut off"
        )
    if disk or first_disk:
        yield "it is a part of a zip of several files"
    end_of_directory = position
    in_zip64 = _IN_ZIP64 in {length, offset} or _COUNT_IN_ZIP64 in {here, total}
    if in_zip64 and (found := _zip64_end(file, position)):
        here, total = found["here"], found["total"]
        length, offset, end_of_directory = found["length"], found["offset"], found["position"]
    if {here, total} != {count}:
        there = f"there {'is' if count == 1 else 'are'} {count:,}"
        yield f"the record at its end counts {total:,} members, and {there}"
    before = end_of_directory - length - offset
    if before > 0:
        yield f"there are {before:,} bytes more than its records count"
    elif before < 0:
        yield "its directory is not where the record at its end says"


def _zip64_end(file: IO[bytes], position: int) -> Mapping[str, int] | None:
    """Read the records of zip64 in front of the one at the end."""
    place = position - _ZIP64_LOCATOR.size - _ZIP64_END.size
    if place < 0:
        return None
    file.seek(place)
    fields = _ZIP64_END.unpack(file.read(_ZIP64_END.size))
    if fields[0] != b"PK\x06\x06":
        return None
    here, total, length, offset = fields[6:10]
    return {"here": here, "total": total, "length": length, "offset": offset, "position": place}
