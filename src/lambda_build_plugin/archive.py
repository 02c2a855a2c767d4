"""`StagedTree` → zip or folder; depends on the tree alone.

Members that are deflated in their wheel are copied as they are: nothing is
inflated, nothing deflated again. Headers are written here because `zipfile` has no
way to write a member that is already compressed (APPNOTE 6.3.3, no zip64, no data
descriptors, no folders). The same tree gives the same bytes.
"""

from __future__ import annotations

import datetime
import hashlib
import queue
import stat
import struct
import threading
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lambda_build_plugin.stage.contents import EXECUTABLE_MODE, FILE_MODE, content_of
from lambda_build_plugin.wheel.members import CHUNK, LOCAL_HEADER, Member, MemberReader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import FileIO
    from pathlib import Path

    from typing_extensions import Self

    from lambda_build_plugin.stage.tree import Entry, StagedTree

__all__ = ["Written", "write_archive"]

_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")

_END = struct.Struct("<4s4H2LH")

_VERSION = 20  # 2.0: folders and deflate; nothing that we write needs more

_UNIX = 3  # on other systems unzip would ignore the modes

_UTF8 = 0x800

_LEVEL = 6

_BLOCKS_AHEAD = 4  # of CHUNK bytes each, that wait to be hashed and written

_FIRST_DATE = datetime.datetime(1980, 1, 1, tzinfo=datetime.timezone.utc)

_LAST_DATE = datetime.datetime(2107, 12, 31, 23, 59, 58, tzinfo=datetime.timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A finished archive."""

    path: Path
    size: int
    """Bytes of the zip."""

    sha256: bytes
    compressed: tuple[int, ...]
    """Compressed bytes of each entry of the tree, in its order."""


def write_archive(tree: StagedTree, path: Path, *, epoch: int | None) -> Written:
    """Write the tree as a zip.

    Raises:
        StageError: A member of a wheel is damaged.
        OSError: The file cannot be written.
    """
    date, time = _dos_date(epoch)
    central: list[bytes] = []
    compressed: list[int] = []
    with path.open("xb", buffering=0) as file, ExitStack() as wheels, _Output(file) as output:
        reader = MemberReader(wheels)
        for entry in tree.entries:
            packed = _packed(entry, reader)
            name = entry.path.encode("utf-8")
            flags = 0 if entry.path.isascii() else _UTF8
            fields = (flags, packed.method, time, date, packed.crc, packed.size, entry.size)
            central.append(_central_header(entry, name, fields, output.offset))
            output.write(LOCAL_HEADER.pack(b"PK\x03\x04", _VERSION, 0, *fields, len(name), 0), name)
            output.write(*packed.chunks)
            compressed.append(packed.size)
        start, count = output.offset, len(central)
        output.write(*central)
        output.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, output.offset - start, start, 0))
    return Written(
        path=path, size=output.offset, sha256=output.digest, compressed=tuple(compressed)
    )


def _central_header(entry: Entry, name: bytes, fields: tuple[int, ...], offset: int) -> bytes:
    mode = stat.S_IFREG | (EXECUTABLE_MODE if entry.executable else FILE_MODE)
    versions = (_VERSION, _UNIX, _VERSION, 0)
    lengths = (len(name), 0, 0, 0, 0)
    packed = _CENTRAL.pack(b"PK\x01\x02", *versions, *fields, *lengths, mode << 16, offset)
    return packed + name


class _Output:
    """Gathers small writes; a second thread hashes and writes what was gathered.

    Both release the interpreter's lock, so that the next members are read meanwhile.
    """

    def __init__(self, file: BinaryIO | FileIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._gathered = 0
        self._blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=_BLOCKS_AHEAD)
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._failure: Exception | None = None
        self.offset = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._hand_over()
        finally:
            self._blocks.put(None)
            self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def write(self, *parts: bytes) -> None:
        size = sum(map(len, parts))
        self.offset += size
        self._gathered += size
        self._pending += parts
        if self._gathered >= CHUNK:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._blocks.put(b"".join(self._pending))
        self._pending.clear()
        self._gathered = 0

    def _drain(self) -> None:
        while (block := self._blocks.get()) is not None:
            if self._failure is not None:
                continue
            try:
                self._hash.update(block)
                self._write_all(block)
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits
                self._failure = error

    def _write_all(self, block: bytes) -> None:
        """Write a block to the end: an unbuffered file may take a part only."""
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]


@dataclass(frozen=True, slots=True)
class _Packed:
    """The compressed form of one entry."""

    method: int
    crc: int
    size: int
    chunks: Iterable[bytes]


def _packed(entry: Entry, reader: MemberReader) -> _Packed:
    data = entry.data
    # Nothing at all is best stored.
    if isinstance(data, Member) and data.method == zipfile.ZIP_DEFLATED and data.size:
        return _Packed(zipfile.ZIP_DEFLATED, data.crc, data.compressed_size, reader.raw(data))
    content = content_of(entry, reader)
    crc = zlib.crc32(content)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = compressor.compress(content) + compressor.flush()
    if len(deflated) < len(content):
        return _Packed(zipfile.ZIP_DEFLATED, crc, len(deflated), (deflated,))
    return _Packed(zipfile.ZIP_STORED, crc, len(content), (content,))


def _dos_date(epoch: int | None) -> tuple[int, int]:
    """Get date and time of every member: 1980, or `SOURCE_DATE_EPOCH` as far as zip reaches."""
    moment = _FIRST_DATE
    if epoch is not None:
        moment = datetime.datetime.fromtimestamp(
            min(max(epoch, _FIRST_DATE.timestamp()), _LAST_DATE.timestamp()),
            tz=datetime.timezone.utc,
        )
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date, moment.hour << 11 | moment.minute << 5 | moment.second // 2
