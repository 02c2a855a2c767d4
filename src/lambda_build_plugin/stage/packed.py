"""Files of wheels in the form in which an earlier artifact had them, as a note in the cache.

For a given set of wheels, the zip is always the same except for the project's own files. So the
local headers, the records of the central directory, and the places of the data in the wheels are
noted together, with the sha256 of all these bytes in their order: whoever copies them again and
gets this digest has verified every byte, and does not have to hash or open the wheels first.
"""

from __future__ import annotations

import json
import struct
from itertools import accumulate, pairwise, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from lambda_build_plugin.stage.tree import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Packed", "PackedFiles", "as_bytes", "from_bytes"]

_LENGTHS = struct.Struct("<2Q")


class Packed(NamedTuple):
    """One file as it is stored in the zip."""

    head: bytes | memoryview
    """The local header, followed by the data unless that is copied from a wheel."""

    record: bytes | memoryview
    """Its record in the central directory, with any offset."""

    wheel: Path
    start: int
    length: int
    """Where the rest of the data is in the wheel: zero bytes if `head` has all of it."""

    compressed: int
    """Bytes of the data in the zip."""


class PackedFiles(NamedTuple):
    """The files of all dependencies."""

    entries: tuple[Entry, ...]
    """Sorted by path. Their digests are not known, only that of all bytes together."""

    sha256: bytes
    """Digest of the local headers and data of all files, in their order."""

    facts: Mapping[str, Any]
    """What else is known about these files, as JSON values."""


def as_bytes(packed: PackedFiles, wheels: Sequence[Path], owners: Sequence[str]) -> bytes:
    """Write the note.

    Args:
        packed: The files.
        wheels: The wheels from which data is copied.
        owners: The distributions that the files belong to.
    """
    data: list[Packed] = [entry.data for entry in packed.entries if isinstance(entry.data, Packed)]
    text = json.dumps(
        {
            "facts": packed.facts,
            "sha256": packed.sha256.hex(),
            "paths": [entry.path for entry in packed.entries],
            "owners": [owners.index(entry.owner) for entry in packed.entries],
            "sizes": [entry.size for entry in packed.entries],
            "heads": [len(item.head) for item in data],
            "records": [len(item.record) for item in data],
            "wheels": [wheels.index(item.wheel) if item.length else 0 for item in data],
            "starts": [item.start for item in data],
            "lengths": [item.length for item in data],
            "compressed": [item.compressed for item in data],
        }
    ).encode()
    heads = b"".join(item.head for item in data)
    records = b"".join(item.record for item in data)
    return b"".join((_LENGTHS.pack(len(text), len(heads)), text, heads, records))


def from_bytes(note: bytes, wheels: Sequence[Path], owners: Sequence[str]) -> PackedFiles:
    """Read a note whose signature the cache has checked.

    Args:
        note: What `as_bytes` has written.
        wheels: The same wheels in the same order, with their current paths.
        owners: The same owners in the same order.
    """
    text_length, heads_length = _LENGTHS.unpack_from(note)
    view = memoryview(note)[_LENGTHS.size :]
    columns = json.loads(bytes(view[:text_length]))
    heads = view[text_length : text_length + heads_length]
    records = view[text_length + heads_length :]
    data = map(
        Packed,
        _cut(heads, columns["heads"]),
        _cut(records, columns["records"]),
        map(wheels.__getitem__, columns["wheels"]),
        columns["starts"],
        columns["lengths"],
        columns["compressed"],
    )
    return PackedFiles(
        entries=tuple(
            map(
                Entry,
                columns["paths"],
                map(owners.__getitem__, columns["owners"]),
                data,
                repeat(""),
                columns["sizes"],
            )
        ),
        sha256=bytes.fromhex(columns["sha256"]),
        facts=columns["facts"],
    )


def _cut(view: memoryview, lengths: Iterable[int]) -> Iterator[memoryview]:
    for start, end in pairwise(accumulate(lengths, initial=0)):
        yield view[start:end]
