"""Where a member of a zip lies, and how its bytes are read and checked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from io import FileIO
    from pathlib import Path


__all__ = ["CHUNK", "LOCAL_HEADER", "DamagedMemberError", "Member", "MemberReader", "member_of"]

LOCAL_HEADER = struct.Struct("<4s2B4HL2L2H")

_HEADER_SLACK = 256  # bytes read beyond a member, for extra fields of its local header

_MOST_BYTES_A_CHARACTER = 4  # of UTF-8

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """Where the bytes of one file lie inside a wheel."""

    wheel: Path
    name: str
    header_offset: int
    compressed_size: int
    size: int
    crc: int
    method: int


def member_of(file: Path, info: zipfile.ZipInfo) -> Member:
    """Note where a member of a zip lies."""
    return Member(
        file,
        info.filename,
        info.header_offset,
        info.compress_size,
        info.file_size,
        info.CRC,
        info.compress_type,
    )


class MemberReader:
    """Reads members of wheels; each wheel is opened once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._files: dict[Path, FileIO] = {}

    def raw(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a member as they lie in the wheel, compressed or not.

        One read brings the local header and, for small members, all of the data.
        """
        file = self._files.get(member.wheel)
        if file is None:
            file = self._stack.enter_context(member.wheel.open("rb", buffering=0))
            self._files[member.wheel] = file
        file.seek(member.header_offset)
        head = file.read(
            LOCAL_HEADER.size
            + _MOST_BYTES_A_CHARACTER * len(member.name)
            + _HEADER_SLACK
            + min(member.compressed_size, CHUNK)
        )
        start = _start_of_data(member, head)
        data = head[start : start + member.compressed_size]
        yield data
        left = member.compressed_size - len(data)
        if left:
            file.seek(member.header_offset + start + len(data))
        while left:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                raise DamagedMemberError(member, "the file ends inside it")
            left -= len(chunk)
            yield chunk

    def content(self, member: Member) -> bytes:
        """Read what a member holds, and check it against its CRC."""
        if member.method in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            content = b"".join(self.raw(member))
            if member.method == zipfile.ZIP_DEFLATED:
                content = _inflated(member, content)
            if len(content) != member.size or zlib.crc32(content) != member.crc:
                raise DamagedMemberError(member, "its size or CRC is wrong")
            return content
        try:
            with zipfile.ZipFile(member.wheel) as archive:
                return archive.read(member.name)
        except Exception as error:  # bz2, lzma and zstd have no common one
            raise DamagedMemberError(member, str(error)) from error


def _inflated(member: Member, content: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than declared is enough to see that the declaration lies.
        return inflater.decompress(content, member.size + 1)
    except zlib.error as error:
        raise DamagedMemberError(member, str(error)) from error


def _start_of_data(member: Member, head: bytes) -> int:
    """Find where the data begins, and that this is the member the directory meant."""
    if len(head) < LOCAL_HEADER.size or head[:4] != b"PK\x03\x04":
        raise DamagedMemberError(member, "no local header is where the directory says")
    name_length, extra_length = struct.unpack_from("<2H", head, LOCAL_HEADER.size - 4)
    name = head[LOCAL_HEADER.size : LOCAL_HEADER.size + name_length]
    if name != member.name.encode("utf-8") and name != _as_cp437(member.name):
        raise DamagedMemberError(member, "its local header bears another name")
    return LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _as_cp437(name: str) -> bytes | None:
    """Spell a name as archives without the UTF-8 flag do."""
    try:
        return name.encode("cp437")
    except UnicodeEncodeError:
        return None


class DamagedMemberError(StageError):
    """The bytes of a member are not where or what the wheel says."""

    def __init__(self, member: Member, problem: str) -> None:
        self.member = member
        super().__init__(
            f"`{member.name}` in a wheel is damaged",
            why=f"{member.wheel}: {problem}",
            hint="lock another version, and tell the authors of the package",
        )
