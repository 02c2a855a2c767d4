"""The bytes of a wheel as they arrive → what its members contain, before the wheel is complete.

A download takes longer than everything else, and the largest wheels are complete last. So their
members are inflated and hashed while the rest is still on its way, by the local headers that
precede them. That decides nothing: only the directory, at the end of the file, says which members
there are and what they should be. `integrity` compares these facts with it, and inflates a member
itself if there are none, or if they do not fit.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.wheel.machine_code import Examiner, examined_content
from lambda_build_plugin.wheel.members import LOCAL_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = ["ArrivingMembers", "Content"]

_SIGNATURE = b"PK\x03\x04"

_ENCRYPTED = 0x1

_SIZES_FOLLOW = 0x8
"""The flag of a member whose sizes stand behind its data, in a data descriptor."""

_IN_ZIP64_FIELD = 0xFFFF_FFFF

_SMALL = 1 << 18  # bytes of a member that is inflated in one step

_CHUNK = 1 << 18  # bytes of a larger one that are inflated at a time

_AT_ONCE = 1 << 18
"""Bytes that are gathered before they are read: there are many small members in them."""


_MOST = 1 << 28
"""Bytes of content that are inflated ahead: more than Lambda unpacks.

Nobody knows yet whether the bytes are the locked ones, and a megabyte may contain a gigabyte.
"""


class Content(NamedTuple):
    """What a member contains, found out from its data; a tuple, because there are thousands."""

    method: int
    compressed_size: int
    size: int
    crc: int
    sha256: bytes
    code: MachineCode | None
    """What machine code it is, if it is."""


class _Header(NamedTuple):
    """What a local header says."""

    offset: int
    method: int
    compressed_size: int
    size: int


class _UnreadableError(ValueError):
    """From here on, nothing can be found out before the wheel is complete."""


class ArrivingMembers:
    """Takes the bytes of one wheel in their order."""

    def __init__(self) -> None:
        self._found: dict[int, Content] = {}
        self._waiting: list[bytes] = []
        """What has arrived, and can only be read together with what follows it."""

        self._count = 0
        """The bytes of that."""

        self._needed = _AT_ONCE
        """How many there must be until it is worth reading them."""

        self._offset = 0
        """Where they begin in the wheel."""

        self._large: _LargeMember | None = None
        self._room = _MOST
        self._is_over = False

    def hear(self, chunk: bytes) -> None:
        """Take the next bytes. Nothing fails: what cannot be read is left for later."""
        if self._is_over:
            return
        self._waiting.append(chunk)
        self._count += len(chunk)
        if self._count >= self._needed:
            self._read_on()

    def finish(self) -> Mapping[int, Content]:
        """Read what is left, and return what members contain, by the offset of their headers."""
        if not self._is_over:
            self._read_on()
        self.close()
        return self._found

    def close(self) -> None:
        """Release what is in memory and in temporary files, except for what was found."""
        self._is_over = True
        self._waiting.clear()
        if self._large is not None:
            self._large.close()
            self._large = None

    def _read_on(self) -> None:
        try:
            self._read(b"".join(self._waiting))
        except (_UnreadableError, zlib.error, OSError):  # of a temporary file
            self.close()

    def _read(self, data: bytes) -> None:
        """Read as many members as are there, and keep the rest.

        Raises:
            _UnreadableError: What follows is no member, or one that cannot be read ahead.
        """
        view, place = memoryview(data), 0
        while True:
            if self._large is not None:
                place += self._large.hear(view[place:])
                if not self._large.is_complete:
                    self._needed = _AT_ONCE
                    break
                self._found[self._large.header.offset] = self._large.content()
                self._large = None
            read = self._member(view[place:], self._offset + place)
            if not read:
                break
            place += read
        self._waiting = [data[place:]]
        self._count = len(data) - place
        self._offset += place

    def _member(self, data: memoryview, offset: int) -> int:
        """Read a small member, or the header of a large one.

        Returns:
            How many bytes that took; 0 if it needs more.

        Raises:
            _UnreadableError: It is no member, or one that cannot be read ahead.
        """
        self._needed = _AT_ONCE
        if len(data) < LOCAL_HEADER.size:
            return 0
        signature, _, _, flags, method, _, _, _, packed, size, name, extra = (
            LOCAL_HEADER.unpack_from(data)
        )
        if signature != _SIGNATURE or flags & (_ENCRYPTED | _SIZES_FOLLOW):
            raise _UnreadableError
        if method not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise _UnreadableError
        if _IN_ZIP64_FIELD in {packed, size} or size > self._room:
            raise _UnreadableError
        start = LOCAL_HEADER.size + name + extra
        header = _Header(offset, method, packed, size)
        is_large = max(packed, size) > _SMALL
        end = int(start if is_large else start + packed)
        if len(data) < end:
            self._needed = max(end, _AT_ONCE)
            return 0
        self._room -= size
        if is_large:
            self._large = _LargeMember(header)
        else:
            self._found[offset] = _content(header, data[start:end])
        return end


def _content(header: _Header, data: memoryview) -> Content:
    """Find out what a small member contains.

    Raises:
        _UnreadableError: Its data does not end where the header says.
    """
    content = bytes(data)
    if header.method == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        content = inflater.decompress(data, header.size + 1)
        if not inflater.eof or inflater.unused_data:
            raise _UnreadableError
    return Content(
        header.method,
        header.compressed_size,
        len(content),
        zlib.crc32(content),
        hashlib.sha256(content).digest(),
        examined_content(content),
    )


class _LargeMember:
    """Takes the data of one member in its order."""

    def __init__(self, header: _Header) -> None:
        self.header = header
        self._left = header.compressed_size
        self._inflater = (
            zlib.decompressobj(-zlib.MAX_WBITS) if header.method == zipfile.ZIP_DEFLATED else None
        )
        self._examiner = Examiner()
        self._hash = hashlib.sha256()
        self._size = self._crc = 0

    @property
    def is_complete(self) -> bool:
        """Whether all of its data has been heard."""
        return not self._left

    def hear(self, data: memoryview) -> int:
        """Take the next bytes, and return how many of them belong to the member.

        Raises:
            _UnreadableError: The data contains more than the header says, or ends before.
        """
        own = data[: self._left]
        self._left -= len(own)
        for block in self._inflated(own):
            self._size += len(block)
            if self._size > self.header.size:
                raise _UnreadableError
            self._crc = zlib.crc32(block, self._crc)
            self._hash.update(block)
            self._examiner.hear(block)
        return len(own)

    def _inflated(self, data: memoryview) -> Iterator[bytes]:
        if self._inflater is None:
            yield bytes(data)
            return
        rest: memoryview | bytes = data
        while rest and not self._inflater.eof:
            yield self._inflater.decompress(rest, _CHUNK)
            rest = self._inflater.unconsumed_tail
        if self.is_complete:
            while block := self._inflater.decompress(b"", _CHUNK):
                yield block
        if rest or self._inflater.unused_data or (self._inflater.eof != self.is_complete):
            raise _UnreadableError

    def content(self) -> Content:
        """Tell what it contains, after its last byte."""
        code = self._examiner.found()
        self.close()
        header = self.header
        return Content(
            header.method,
            header.compressed_size,
            self._size,
            self._crc,
            self._hash.digest(),
            code,
        )

    def close(self) -> None:
        """Release the bytes that were kept."""
        self._examiner.close()
