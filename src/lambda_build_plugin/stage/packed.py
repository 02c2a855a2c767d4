"""Files of wheels in the form in which an earlier artifact had them, as a note in the cache.

For a given set of wheels, the zip is always the same except for the project's own files. So the
local headers, the records of the central directory, and the places of the data in the wheels are
noted together, with the sha256 of all these bytes in their order: whoever copies them again and
gets this digest has verified every byte, and does not have to hash or open the wheels first.
"""

from __future__ import annotations

import json
import struct
from functools import partial
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from lambda_build_plugin.stage.tree import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Packed", "PackedFiles", "as_bytes", "from_bytes"]

_LENGTHS = struct.Struct("<3Q")

_COLUMNS = 8
"""Numbers that are noted of each file."""


class Packed(NamedTuple):
    """One file as it is stored in the zip."""

    head: bytes
    """The local header, followed by the data unless that is copied from a wheel."""

    record: bytes
    """Its record in the central directory, with any offset."""

    wheel: Path
    start: int
    length: int
    """Where the rest of the data is in the wheel: zero bytes if `head` has all of it."""

    compressed: int
    """Bytes of the data in the zip."""


# A note has thousands of files. These make the same values as the classes do, in half the time.
_packed = partial(tuple.__new__, Packed)
_entry = partial(tuple.__new__, Entry)


class PackedFiles(NamedTuple):
    """The files of all dependencies."""

    entries: tuple[Entry, ...]
    """Sorted by path. Their digests are not known, only that of all bytes together."""

    sha256: bytes
    """Digest of the local headers and data of all files, in their order."""

    facts: Mapping[str, Any]
    """What else is known about these files, as JSON values."""


def as_bytes(packed: PackedFiles, sources: Sequence[Path], owners: Sequence[str]) -> bytes:
    """Write the note.

    Args:
        packed: The files.
        sources: The files from which data is copied, such as wheels.
        owners: The distributions that the files belong to.
    """
    data: list[Packed] = [entry.data for entry in packed.entries if isinstance(entry.data, Packed)]
    text = json.dumps(
        {
            "facts": packed.facts,
            "sha256": packed.sha256.hex(),
            "paths": [entry.path for entry in packed.entries],
        }
    ).encode()
    number_of = {owner: number for number, owner in enumerate(owners)}
    place_of = {source: place for place, source in enumerate(sources)}
    columns = (
        [number_of[entry.owner] for entry in packed.entries],
        [entry.size for entry in packed.entries],
        [len(item.head) for item in data],
        [len(item.record) for item in data],
        [place_of[item.wheel] if item.length else 0 for item in data],
        [item.start for item in data],
        [item.length for item in data],
        [item.compressed for item in data],
    )
    heads = b"".join(item.head for item in data)
    records = b"".join(item.record for item in data)
    numbers = _column(len(data))
    lengths = _LENGTHS.pack(len(text), len(data), len(heads))
    return b"".join((lengths, text, *(numbers.pack(*each) for each in columns), heads, records))


def from_bytes(
    note: bytes, find_sources: Callable[[Mapping[str, Any]], Sequence[Path]], owners: Sequence[str]
) -> PackedFiles:
    """Read a note whose signature the cache has checked.

    Args:
        note: What `as_bytes` has written.
        find_sources: Finds the current paths of the same sources in the same order, given the
            facts of the note.
        owners: The same owners in the same order.
    """
    text_length, count, heads_length = _LENGTHS.unpack_from(note)
    text_end = _LENGTHS.size + text_length
    text = json.loads(note[_LENGTHS.size : text_end])
    sources = find_sources(text["facts"])
    numbers = _column(count)
    owner, sizes, heads, records, source, starts, lengths, compressed = (
        numbers.unpack_from(note, text_end + place * numbers.size) for place in range(_COLUMNS)
    )
    heads_start = text_end + _COLUMNS * numbers.size
    data = map(
        _packed,
        zip(
            _cut(note, heads_start, heads),
            _cut(note, heads_start + heads_length, records),
            map(sources.__getitem__, source),
            starts,
            lengths,
            compressed,
            strict=True,
        ),
    )
    owned = map(owners.__getitem__, owner)
    executable = repeat(False)  # noqa: FBT003 - nobody asks: the record says it
    entries = zip(text["paths"], owned, data, repeat(""), sizes, executable)
    return PackedFiles(
        entries=tuple(map(_entry, entries)),
        sha256=bytes.fromhex(text["sha256"]),
        facts=text["facts"],
    )


def _column(count: int) -> struct.Struct:
    """Give the form of one number of each file."""
    return struct.Struct(f"<{count}Q")


def _cut(note: bytes, start: int, lengths: Iterable[int]) -> Iterator[bytes]:
    places = list(accumulate(lengths, initial=start))
    return map(note.__getitem__, map(slice, places, places[1:]))
