"""Where a member of a zip is, and how its bytes are read and checked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from lambda_build_plugin.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import ExitStack
    from io import FileIO

_File = TypeVar("_File", bound="FileIO | zipfile.ZipFile")

__all__ = [
    "CHUNK",
    "LOCAL_HEADER",
    "DamagedMemberError",
    "Member",
    "MemberReader",
    "WheelGoneError",
    "member_of",
]

LOCAL_HEADER = struct.Struct("<4s2B4HL2L2H")

_HEADER_SLACK = 256  # bytes read beyond a member, for extra fields of its local header

_MOST_BYTES_A_CHARACTER = 4  # of UTF-8

CHUNK = 1 << 20

_MOST_OPEN = 64  # files of a reader

_SMALL = 1 << 20  # bytes of a member that may be in memory as a whole

_AHEAD = 1 << 20  # bytes to read at once when members are wanted in the order of the file

_LAST_OFFSET = (1 << 63) - 1  # to which a file can be read; zip64 fields can name later ones


class Member(NamedTuple):
    """Where the bytes of one file lie inside a wheel; a tuple, because there are thousands."""

    wheel: Path
    name: str
    header_offset: int
    compressed_size: int
    size: int
    crc: int
    method: int


def member_of(file: Path, info: zipfile.ZipInfo) -> Member:
    """Note where a member of a zip is."""
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
    """Reads members of wheels; the wheels stay open until the stack closes them.

    Only the last ones that were used do: systems may allow no more than 256 open files to
    a process (macOS's default). The data of a member has to be read before the next is asked for.
    """

    def __init__(self, stack: ExitStack, *, chunk: int = CHUNK, check_names: bool = True) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            stack: Closes the wheels at its end.
            chunk: Bytes to read or inflate at a time.
            check_names: False to read a member whose local header has another name than the
                directory, for callers that report unsafe names with reasons of their own.
        """
        self._chunk = chunk
        self._check_names = check_names
        self._files = _OpenFiles(stack, _open)
        self._archives = _OpenFiles(stack, zipfile.ZipFile)
        self._piece = _Piece(_NOWHERE, 0, b"")

    def _at(self, member: Member) -> FileIO:
        """Open the wheel, at the beginning of the member."""
        if member.header_offset > _LAST_OFFSET:
            raise DamagedMemberError(member, "there is no local header where the directory says")
        file = self._files.get(member.wheel)
        try:
            file.seek(member.header_offset)
        except (OSError, OverflowError, ValueError) as error:
            raise DamagedMemberError(member, "it cannot be where the directory says") from error
        return file

    def raw(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a member as the wheel contains them, compressed or not.

        Raises:
            DamagedMemberError: The member is not there, or is cut off.
        """
        yield from self.copied(member)[1]

    def copied(self, member: Member) -> tuple[int, Iterator[bytes]]:
        """Find where the data of a member begins in its wheel, and begin to read it.

        One read brings the local header and, for small members, all of the data.

        Returns:
            The offset of the data, and the data; a member that is cut off shows at its end.

        Raises:
            DamagedMemberError: The member is not there.
        """
        file = self._at(member)
        head = file.read(_longest_head(member) + min(member.compressed_size, self._chunk))
        start = _start_of_data(member, head, check_name=self._check_names)
        data = head[start : start + member.compressed_size]
        return member.header_offset + start, self._rest(member, file, start, data)

    def _rest(self, member: Member, file: FileIO, start: int, data: bytes) -> Iterator[bytes]:
        yield data
        left = member.compressed_size - len(data)
        if left:
            file.seek(member.header_offset + start + len(data))
        while left:
            chunk = file.read(min(left, self._chunk))
            if not chunk:
                raise DamagedMemberError(member, "the file ends inside it")
            left -= len(chunk)
            yield chunk

    def whole(self, member: Member) -> bytes | None:
        """Read a small member, and check its size and its CRC.

        Most members are small, and read one after the other. So the wheel is read in large
        pieces, and each member is inflated in one step.

        Returns:
            The content; None if the member is large, compressed in a less common way, or not
            what the directory says of it: then `blocks` and the caller find out what is wrong.

        Raises:
            DamagedMemberError: The member is not there.
        """
        if max(member.size, member.compressed_size) > _SMALL:
            return None
        piece, place = self._ahead(member)
        head = piece[place : place + LOCAL_HEADER.size + _MOST_BYTES_A_CHARACTER * len(member.name)]
        start = place + _start_of_data(member, head, check_name=self._check_names)
        data = memoryview(piece)[start : start + member.compressed_size]
        content = _inflated_at_once(data, member) if len(data) == member.compressed_size else None
        if content is None or len(content) != member.size or zlib.crc32(content) != member.crc:
            return None
        return content

    def _ahead(self, member: Member) -> tuple[bytes, int]:
        """Get a piece of the wheel in which a member is, and where its local header begins."""
        wanted = _longest_head(member) + member.compressed_size
        wheel, start, piece = self._piece
        place = member.header_offset - start
        if wheel != member.wheel or place + wanted > len(piece):
            piece, place = self._at(member).read(max(wanted, _AHEAD)), 0
            self._piece = _Piece(member.wheel, member.header_offset, piece)
        elif place < 0:  # not in the order of the file: reading ahead may be in vain
            return self._at(member).read(wanted), 0
        return piece, place

    def blocks(self, member: Member) -> Iterator[bytes]:
        """Yield the uncompressed content of a member in pieces; size and CRC are not checked.

        Raises:
            DamagedMemberError: The member is not there, is cut off, or cannot be inflated.
        """
        if member.method == zipfile.ZIP_STORED or not member.compressed_size:
            yield from self.raw(member)
        elif member.method == zipfile.ZIP_DEFLATED:
            yield from self._inflated(member)
        else:
            yield from self._read_by_zipfile(member)

    def content(self, member: Member) -> bytes:
        """Read the whole content of a member.

        Raises:
            DamagedMemberError: The member cannot be read, or its size or CRC is wrong.
        """
        found, size = [], 0
        for block in self.blocks(member):
            size += len(block)
            if size > member.size:
                break
            found.append(block)
        content = b"".join(found)
        if size != member.size or zlib.crc32(content) != member.crc:
            raise DamagedMemberError(member, "its size or CRC is wrong")
        return content

    def _inflated(self, member: Member) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for chunk in self.raw(member):
                rest = chunk
                while rest and not inflater.eof:
                    yield inflater.decompress(rest, self._chunk)
                    rest = inflater.unconsumed_tail
                if rest or inflater.unused_data:
                    raise DamagedMemberError(
                        member, "something follows the end of its compressed data"
                    )
            while block := inflater.decompress(b"", self._chunk):
                yield block
        except zlib.error as error:
            raise DamagedMemberError(member, f"it cannot be inflated: {error}") from error
        if not inflater.eof:
            raise DamagedMemberError(member, "its compressed data ends too early")

    def _read_by_zipfile(self, member: Member) -> Iterator[bytes]:
        """Read a member that is compressed in a less common way."""
        try:
            with self._archives.get(member.wheel).open(member.name) as stream:
                while block := stream.read(self._chunk):
                    yield block
        except Exception as error:  # bz2, lzma and zstd have no common one
            raise DamagedMemberError(member, f"it cannot be read: {error}") from error


class _Piece(NamedTuple):
    """A part of a wheel that was read."""

    wheel: Path
    start: int
    content: bytes


_NOWHERE = Path()


def _longest_head(member: Member) -> int:
    """Say how many bytes a local header may have, unless its extra fields are very long."""
    return LOCAL_HEADER.size + _MOST_BYTES_A_CHARACTER * len(member.name) + _HEADER_SLACK


def _inflated_at_once(data: memoryview, member: Member) -> bytes | None:
    """Inflate all data of a member; None if it does not end where the directory says."""
    if member.method == zipfile.ZIP_STORED or not data:
        return bytes(data)
    if member.method != zipfile.ZIP_DEFLATED:
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data, member.size + 1)
    except zlib.error:
        return None
    return content if inflater.eof and not inflater.unused_data else None


def _open(wheel: Path) -> FileIO:
    try:
        return wheel.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise WheelGoneError(wheel) from error


class WheelGoneError(StageError):
    """A wheel was removed during the build."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        super().__init__(
            f"cannot read {wheel}",
            why="the file was there a moment ago: something has removed it during the build",
            hint="build again, and clear the cache only while nothing is built",
        )


class _OpenFiles(Generic[_File]):
    """Opens files, and closes those that have not been used for the longest time."""

    def __init__(self, stack: ExitStack, open_file: Callable[[Path], _File]) -> None:
        self._open_file = open_file
        self._files: dict[Path, _File] = {}
        """The last one is the one that was used last."""
        stack.callback(self._close_all)

    def get(self, path: Path) -> _File:
        """Get a file, which is open until many others have been asked for."""
        file = self._files.pop(path, None)
        if file is None:
            if len(self._files) >= _MOST_OPEN:
                self._files.pop(next(iter(self._files))).close()
            file = self._open_file(path)
        self._files[path] = file
        return file

    def _close_all(self) -> None:
        for file in self._files.values():
            file.close()


def _start_of_data(member: Member, head: bytes, *, check_name: bool) -> int:
    """Find where the data begins, and that this is the member the directory meant."""
    if len(head) < LOCAL_HEADER.size or head[:4] != b"PK\x03\x04":
        raise DamagedMemberError(member, "there is no local header where the directory says")
    name_length, extra_length = struct.unpack_from("<2H", head, LOCAL_HEADER.size - 4)
    name = head[LOCAL_HEADER.size : LOCAL_HEADER.size + name_length]
    if check_name and name != member.name.encode("utf-8") and name != _as_cp437(member.name):
        raise DamagedMemberError(member, "its local header has another name")
    return LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _as_cp437(name: str) -> bytes | None:
    """Spell a name as archives without the UTF-8 flag do."""
    try:
        return name.encode("cp437")
    except UnicodeEncodeError:
        return None


class DamagedMemberError(StageError):
    """A member is not where the wheel says, or has other bytes than it says."""

    def __init__(self, member: Member, problem: str) -> None:
        self.member, self.problem = member, problem
        super().__init__(
            f"`{member.name}` in a wheel is damaged",
            why=f"{member.wheel}: {problem}",
            hint="lock another version, and tell the authors of the package",
        )
