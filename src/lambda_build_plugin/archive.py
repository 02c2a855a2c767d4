"""`StagedTree` → zip or folder; depends on the tree alone.

Members that are deflated in their wheel are copied as they are: nothing is
inflated, nothing deflated again. Headers are written here because `zipfile` has no
way to write a member that is already compressed (APPNOTE 6.3.3, no zip64, no data
descriptors, no folders). The same tree gives the same bytes.

Files that are already packed, in the form that an earlier archive had, are copied with their
headers, and hashed on their own as well: the caller knows which digest they must have.
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
from dataclasses import field
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lambda_build_plugin.stage.contents import EXECUTABLE_MODE, FILE_MODE, content_of
from lambda_build_plugin.stage.packed import Packed, PackedFiles
from lambda_build_plugin.stage.tree import Entry
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.members import LOCAL_HEADER, Member, MemberReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from io import FileIO

    from typing_extensions import Self

    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["END_SIZE", "Written", "describe_archive", "packed_files", "write_archive"]

_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")

_END = struct.Struct("<4s4H2LH")

_METHOD, _CRC = 6, 9  # fields of a record; after the CRC come the compressed size and the size

_OFFSET = struct.Struct("<L")  # the last field

_WITHOUT_OFFSET = _CENTRAL.size - _OFFSET.size

END_SIZE = _END.size
"""Bytes of the record at the end of the zip, after the directory."""

_VERSION = 20  # 2.0: folders and deflate; nothing that we write needs more

_UNIX = 3  # on other systems unzip would ignore the modes

_UTF8 = 0x800

_LEVEL = 6

_BLOCK = 1 << 19  # bytes

_SPARE: list[bytearray] = []
"""A block for the next archive, which is sooner found than made."""

_BLOCKS = 4  # one is filled, while the others wait to be hashed and written

_MOST_OPEN = 16  # wheels

_NOWHERE = Path()

_FIRST_DATE = datetime.datetime(1980, 1, 1, tzinfo=datetime.timezone.utc)

_LAST_DATE = datetime.datetime(2107, 12, 31, 23, 59, 58, tzinfo=datetime.timezone.utc)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A finished archive."""

    path: Path
    size: int
    """Bytes of the zip."""

    sha256: bytes
    compressed: tuple[int, ...]
    """Compressed bytes of each entry of the tree, in its order."""

    records: tuple[bytes, ...] = field(default=(), repr=False, compare=False)
    """The record of each entry of the tree in the central directory, with any offset."""

    offsets: tuple[int, ...] = field(default=(), repr=False, compare=False)
    """Where the local header of each entry begins in the zip."""

    directory: bytes = field(default=b"", repr=False, compare=False)
    """The central directory."""

    packed_sha256: bytes = field(default=b"", repr=False, compare=False)
    """Of the headers and data of all entries that were already packed, if it was wanted; or else
    of those that will be."""

    starts: tuple[int, ...] = field(default=(), repr=False, compare=False)
    """Where the data of each entry begins in its wheel; 0 if it was not copied from a wheel."""

    def member(self, number: int, name: str) -> Member:
        """Say where an entry of the tree lies in the zip, given its number and its path."""
        fields = _CENTRAL.unpack_from(self.records[number])
        method, crc, compressed, size = fields[_METHOD], *fields[_CRC : _CRC + 3]
        return Member(self.path, name, self.offsets[number], compressed, size, crc, method)


def write_archive(
    tree: StagedTree,
    path: Path,
    *,
    epoch: int | None,
    hashes_packed: bool = True,
    in_thread: bool = True,
    own: Collection[str] | None = None,
) -> Written:
    """Write the tree as a zip.

    Args:
        tree: What is to be written.
        path: Where; it must not exist.
        epoch: The date of all members, in seconds since 1970; None for 1980.
        hashes_packed: Whether what was already packed is hashed on its own as well.
        in_thread: Whether a second thread hashes and writes. Where other processes keep all
            processors busy, that only costs time.
        own: If nothing is packed yet, and `packed_files` is to pack it: the owners of the
            other files.

    Raises:
        StageError: A member of a wheel is damaged.
        OSError: The file cannot be written.
    """
    with (
        path.open("xb", buffering=0) as file,
        _Output(file, hashes_packed=hashes_packed, in_thread=in_thread) as output,
    ):
        members = _write_all(tree, output, epoch, own)
    return Written(
        path=path,
        size=output.offset,
        sha256=output.digest,
        packed_sha256=output.packed_digest,
        **members._asdict(),
    )


def describe_archive(tree: StagedTree, path: Path, *, epoch: int | None, sha256: bytes) -> Written:
    """Say what `write_archive` has written, of a zip that is there already.

    Args:
        tree: What was written.
        path: The zip.
        epoch: The date of all members, in seconds since 1970; None for 1980.
        sha256: That of the zip; the caller has checked that it is the one of this tree.

    Raises:
        StageError: A member of a wheel is damaged.
    """
    output = _Nothing()
    members = _write_all(tree, output, epoch)
    return Written(path=path, size=output.offset, sha256=sha256, **members._asdict())


class _Members(NamedTuple):
    """What is known of all members, as `Written` has it."""

    records: tuple[bytes, ...]
    offsets: tuple[int, ...]
    compressed: tuple[int, ...]
    starts: tuple[int, ...]
    directory: bytes


def _write_all(
    tree: StagedTree,
    output: _Output | _Nothing,
    epoch: int | None,
    own: Collection[str] | None = None,
) -> _Members:
    """Write the members of a zip and its directory."""
    date = _dos_date(epoch)
    records: list[bytes] = []
    offsets: list[int] = []
    compressed: list[int] = []
    starts: list[int] = []
    with ExitStack() as wheels:
        reader, opened = MemberReader(wheels), _OpenWheels(wheels)
        for is_packed, entries in _runs(tree.entries):
            if is_packed:
                run: list[Packed] = [entry.data for entry in entries]  # type: ignore[misc]
                offsets += output.copy_packed(run, opened)
                records += [data.record for data in run]
                compressed += [data.compressed for data in run]
                starts += [data.start for data in run]
                continue
            for entry in entries:
                packed = _packed(entry, reader)
                header = _local_header(entry, packed, date)
                offsets.append(output.offset)
                records.append(_central_header(entry, header))
                output.write(
                    header, *packed.chunks, is_packed=own is not None and entry.owner not in own
                )
                compressed.append(packed.size)
                starts.append(packed.start)
        start, count, directory = output.offset, len(records), _directory(records, offsets)
        output.write(directory)
        output.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0))
    return _Members(
        tuple(records), tuple(offsets), tuple(compressed), tuple(starts), bytes(directory)
    )


def _local_header(entry: Entry, packed: _Deflated, date: tuple[int, int]) -> bytes:
    name = entry.path.encode("utf-8")
    flags = 0 if entry.path.isascii() else _UTF8
    fields = (flags, packed.method, date[1], date[0], packed.crc, packed.size, entry.size)
    return LOCAL_HEADER.pack(b"PK\x03\x04", _VERSION, 0, *fields, len(name), 0) + name


def _central_header(entry: Entry, local: bytes) -> bytes:
    """Write the record that belongs to a local header; its offset is filled in later."""
    mode = stat.S_IFREG | (EXECUTABLE_MODE if entry.executable else FILE_MODE)
    fields = LOCAL_HEADER.unpack_from(local)[3:-2]
    name = local[LOCAL_HEADER.size :]
    versions = (_VERSION, _UNIX, _VERSION, 0)
    lengths = (len(name), 0, 0, 0, 0)
    packed = _CENTRAL.pack(b"PK\x01\x02", *versions, *fields, *lengths, mode << 16, 0)
    return packed + name


def _directory(records: Sequence[bytes], offsets: Iterable[int]) -> bytearray:
    """Write the central directory, with the offsets of this zip."""
    directory = bytearray().join(records)
    places = accumulate(map(len, records), initial=_WITHOUT_OFFSET)
    # The last place is where one more record would begin.
    for place, offset in zip(places, offsets, strict=False):
        _OFFSET.pack_into(directory, place, offset)
    return directory


def _runs(entries: Sequence[Entry]) -> Iterator[tuple[bool, Sequence[Entry]]]:
    """Divide entries into those that are already packed, and those that are not."""
    start = 0
    for is_packed, same in groupby([isinstance(entry.data, Packed) for entry in entries]):
        end = start + len(list(same))
        yield is_packed, entries[start:end]
        start = end


def packed_files(
    tree: StagedTree, written: Written, *, without: Collection[str], facts: Mapping[str, Any]
) -> PackedFiles:
    """Take the files of all owners but some out of a zip that was written of a tree.

    Only the headers are read again, and what is not copied from a wheel.

    Args:
        tree: What was written; nothing in it was already packed.
        written: The zip.
        without: The owners whose files are left out; they were `own` when it was written.
        facts: What else is known about the files.

    Raises:
        OSError: The zip cannot be read.
    """
    ends = (*written.offsets[1:], written.size - END_SIZE - len(written.directory))
    entries: list[Entry] = []
    with written.path.open("rb") as file:
        for number, (entry, start, stop) in enumerate(
            zip(tree.entries, written.offsets, ends, strict=True)
        ):
            if entry.owner in without:
                continue
            compressed, record = written.compressed[number], written.records[number]
            wheel, place, copied = _NOWHERE, 0, 0
            if isinstance(entry.data, Member) and _is_copied(entry.data):
                wheel, place, copied = entry.data.wheel, written.starts[number], compressed
            file.seek(start)
            head = file.read(stop - start - copied)
            data = Packed(head, record, wheel, place, copied, compressed)
            entries.append(Entry(entry.path, entry.owner, data, "", entry.size))
    return PackedFiles(entries=tuple(entries), sha256=written.packed_sha256, facts=facts)


class _OpenWheels:
    """Wheels that are open for reading; only the last ones, if there are many."""

    def __init__(self, stack: ExitStack) -> None:
        stack.callback(self._close)
        self._files: dict[Path, FileIO] = {}

    def file(self, wheel: Path) -> FileIO:
        """Open a wheel, if it is not open; it stays open until others are asked for."""
        return self._files.get(wheel) or self._open(wheel)

    def _open(self, wheel: Path) -> FileIO:
        if len(self._files) == _MOST_OPEN:
            self._files.pop(next(iter(self._files))).close()
        file = self._files[wheel] = wheel.open("rb", buffering=0)
        return file

    def _close(self) -> None:
        for file in self._files.values():
            file.close()


class _Block(NamedTuple):
    """What is to be hashed and written next."""

    buffer: bytearray
    """It is used again afterwards."""

    size: int
    is_packed: bool


class _Nothing:
    """Takes the place of an output that exists already, and only counts."""

    def __init__(self) -> None:
        self.offset = 0
        """Bytes so far."""

    def write(self, *parts: bytes | bytearray, is_packed: bool = False) -> None:
        """Count bytes that were not packed before."""
        del is_packed
        self.offset += sum(map(len, parts))

    def copy_packed(self, run: Iterable[Packed], _wheels: _OpenWheels) -> list[int]:
        """Return the offset of each file, without reading any."""
        offsets = [*accumulate((len(each.head) + each.length for each in run), initial=self.offset)]
        self.offset = offsets.pop()
        return offsets


class _Span:
    """Neighbours in a wheel that are neighbours in the zip as well, and are read at once.

    The headers of the wheel are read with them, and then replaced by those of the zip, which
    take as many bytes.
    """

    def __init__(self, file: FileIO | None = None, start: int = 0, place: int = 0) -> None:
        self._file, self._start, self._place = file, start, place
        self.heads: list[tuple[int, bytes]] = []
        """The headers between the files, and their places in the block."""

    def read(self, block: memoryview, end: int) -> None:
        """Fill a block up to some place; where the wheel is cut off, leave what is in it."""
        if self._file is None or self._place == end:
            return
        self._file.seek(self._start)
        self._file.readinto(block[self._place : end])
        for place, head in self.heads:
            block[place : place + len(head)] = head


class _Output:
    """Gathers what is written in blocks; a second thread may hash and write them.

    Both release the interpreter's lock, so that the next block is filled meanwhile.
    """

    def __init__(self, file: BinaryIO | FileIO, *, hashes_packed: bool, in_thread: bool) -> None:
        self._file = file
        self._hashes_packed = hashes_packed
        self._hash = hashlib.sha256()
        self._packed_hash: hashlib._Hash | None = None
        """Of what was packed; None as long as nothing else was written."""

        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        for _ in range(_BLOCKS if in_thread else 1):
            self._free.put(_SPARE.pop() if _SPARE else bytearray(_BLOCK))
        self._filled: queue.SimpleQueue[_Block | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._drain, daemon=True) if in_thread else None
        self._failure: Exception | None = None
        self._is_packed = False
        self._buffer = self._free.get()
        self._view = memoryview(self._buffer)
        self._size = 0
        self._handed_over = 0

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._hand_over()
        finally:
            if self._thread is not None:
                self._filled.put(None)
                self._thread.join()
        if not _SPARE:
            _SPARE.append(self._buffer)
        if kind is None and self._failure is not None:
            raise self._failure

    @property
    def offset(self) -> int:
        """Bytes that were written so far."""
        return self._handed_over + self._size

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    @property
    def packed_digest(self) -> bytes:
        return (self._packed_hash or self._hash).digest()

    def write(self, *parts: bytes | bytearray, is_packed: bool = False) -> None:
        """Write bytes that were not packed before; tell if they are to be hashed like those."""
        self._switch(is_packed=is_packed)
        for part in parts:
            self._put(part)

    def copy_packed(self, run: Iterable[Packed], wheels: _OpenWheels) -> list[int]:
        """Write files that an earlier archive has packed.

        There are thousands of them, and most are small, so that what is done for each counts.
        Where a wheel is cut off, what is written is wrong, as the hash will show.

        Returns:
            The offset of each file.
        """
        self._switch(is_packed=True)
        offsets: list[int] = []
        span, wheel, follows = _Span(), None, 0
        size = self._size
        for head, _, source, start, length, _ in run:
            offsets.append(self._handed_over + size)
            begin = size + len(head)
            end = begin + length
            if source is wheel and start == follows + len(head) and end <= _BLOCK:
                span.heads.append((size, head))
                size, follows = end, start + length
                continue
            span.read(self._view, size)
            wheel, follows = source if length else None, start + length
            file = wheels.file(source) if length else None
            if end <= _BLOCK:
                self._view[size:begin] = head
                span, size = _Span(file, start, begin), end
                continue
            self._size = size
            self._put(head)
            if file is not None:
                self._copy(file, start, length)
            size = self._size
            span = _Span(file, follows, size)
        span.read(self._view, size)
        self._size = size
        return offsets

    def _copy(self, file: FileIO, start: int, length: int) -> None:
        file.seek(start)
        while length:
            if self._size == _BLOCK:
                self._hand_over()
            count = file.readinto(self._view[self._size : self._size + length])
            if not count:
                return
            self._size += count
            length -= count

    def _switch(self, *, is_packed: bool) -> None:
        """Begin a block if the last one is of the other kind."""
        if self._is_packed is not is_packed:
            if self._size:
                self._hand_over()
            self._is_packed = is_packed

    def _put(self, part: bytes | bytearray) -> None:
        while len(part) > _BLOCK - self._size:
            room = _BLOCK - self._size
            self._view[self._size :] = part[:room]
            self._size, part = _BLOCK, part[room:]
            self._hand_over()
        end = self._size + len(part)
        self._view[self._size : end] = part
        self._size = end

    def _hand_over(self) -> None:
        if self._failure is not None:
            raise self._failure
        block = _Block(self._buffer, self._size, self._is_packed)
        self._handed_over += self._size
        self._size = 0
        if self._thread is None:
            self._take(block)
            return
        self._filled.put(block)
        self._buffer = self._free.get()
        self._view = memoryview(self._buffer)

    def _drain(self) -> None:
        while (block := self._filled.get()) is not None:
            try:
                if self._failure is None:
                    self._take(block)
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits
                self._failure = error
            self._free.put(block.buffer)

    def _take(self, block: _Block) -> None:
        """Hash and write a block."""
        content = memoryview(block.buffer)[: block.size]
        self._absorb(content, is_packed=block.is_packed)
        self._write_all(content)

    def _absorb(self, content: memoryview, *, is_packed: bool) -> None:
        """Hash a block; as long as everything was packed, one hash is that of both."""
        if not self._hashes_packed:
            pass
        elif not is_packed and self._packed_hash is None:
            self._packed_hash = self._hash.copy()
        elif is_packed and self._packed_hash is not None:
            self._packed_hash.update(content)
        self._hash.update(content)

    def _write_all(self, content: memoryview) -> None:
        """Write a block to the end: an unbuffered file may take a part only."""
        while content:
            content = content[self._file.write(content) or 0 :]


class _Deflated(NamedTuple):
    """The compressed form of one entry."""

    method: int
    crc: int
    size: int
    chunks: Iterable[bytes]
    start: int = 0
    """Where the data begins in the wheel, if it is copied."""


def _packed(entry: Entry, reader: MemberReader) -> _Deflated:
    data = entry.data
    if isinstance(data, Member) and _is_copied(data):
        start, chunks = reader.copied(data)
        return _Deflated(zipfile.ZIP_DEFLATED, data.crc, data.compressed_size, chunks, start)
    content = content_of(entry, reader)
    crc = zlib.crc32(content)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = compressor.compress(content) + compressor.flush()
    if len(deflated) < len(content):
        return _Deflated(zipfile.ZIP_DEFLATED, crc, len(deflated), (deflated,))
    return _Deflated(zipfile.ZIP_STORED, crc, len(content), (content,))


def _is_copied(member: Member) -> bool:
    """Tell whether the data of a member is copied as it is; if it is empty, it is best stored."""
    return member.method == zipfile.ZIP_DEFLATED and member.size > 0


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
