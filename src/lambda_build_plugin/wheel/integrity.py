"""Wheels → the certainty that each holds what its headers and its RECORD say, and its machine code.

Members are copied into the zip as they lie in their wheel, and sizes and digests are
taken over from there. So every member is inflated once before that is believed, as a
stream, and never further than its header says. What passed is noted in the cache by
the digest of the wheel, which was taken just before: the next build only looks it up.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zipfile
import zlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError, StageError
from lambda_build_plugin.wheel.file import check_readable, dist_info_of, members, opened, read_text
from lambda_build_plugin.wheel.machine_code import Examiner, as_note, from_note
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO, TypeAlias

    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.machine_code import MachineCode

    MachineCodeOf: TypeAlias = Mapping[Path, Mapping[str, MachineCode]]
    """Path of a wheel → name of a member in it → what machine code that is."""

__all__ = ["Damage", "DamageError", "DamagedWheelsError", "check", "content"]

_NOTES = "checked"
_CHECK = "2"
"""Noted of a wheel that passed; the number changes when more is checked or found out."""

_LOCAL = struct.Struct("<4s22x2H")  # signature, lengths of name and extra field
_CHUNK = 1 << 18
_MOST_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One member of a wheel that is not what it is said to be."""

    wheel: Wheel
    member: str
    problem: str


class DamagedWheelsError(StageError):
    """Wheels are the files that were locked, and still not sound."""

    def __init__(self, damages: Sequence[Damage]) -> None:
        self.damages = tuple(damages)
        names = ", ".join(damage.wheel.filename for damage in damages)
        local = all(damage.wheel.source == "local" for damage in damages)
        super().__init__(
            f"{names} {'is' if len(damages) == 1 else 'are'} damaged",
            why="\n".join(
                f"`{damage.member}` in {damage.wheel.filename}: {damage.problem}"
                for damage in damages
            ),
            hint="this wheel was just built of the project itself: look at its build backend"
            if local
            else "these are the bytes that were asked for, so fetching them again does not help: "
            "lock another version, and tell the authors of the package",
        )


class DamageError(Exception):
    """A member is not what it is said to be."""


def check(wheels: Iterable[Wheel], cache: Cache) -> MachineCodeOf:
    """Inflate and hash all members of the wheels that were not checked before.

    `Wheel.sha256` has to be that of the file as it is now.

    Returns:
        The members of each wheel, by its path, that are machine code.

    Raises:
        DamagedWheelsError: With every wheel that holds something else than it says.
        InvalidWheelError: One cannot be read at all.
    """
    known: dict[Path, Mapping[str, MachineCode]] = {}
    unknown: list[Wheel] = []
    for wheel in wheels:
        if (noted := _noted(wheel, cache)) is None:
            unknown.append(wheel)
        else:
            known[wheel.path] = noted
    if not unknown:
        return known
    # The largest first: it would be waited for at the end.
    unknown.sort(key=lambda wheel: (-_size(wheel), wheel.name))
    count = min(os.cpu_count() or 1, _MOST_THREADS, len(unknown))
    threads = ThreadPoolExecutor(max_workers=count)
    try:
        found = list(threads.map(_checked, unknown))
    finally:
        # An interrupted build does not wait for what is still to come.
        threads.shutdown(wait=False, cancel_futures=True)
    for wheel, result in zip(unknown, found, strict=True):
        if isinstance(result, Damage):
            continue
        known[wheel.path] = result
        if wheel.source != "local":
            with suppress(FetchError):  # a cache that cannot be written costs time only
                note = {"check": _CHECK, "code": as_note(result)}
                cache.keep_note(_NOTES, wheel.sha256, note)
    damages = [result for result in found if isinstance(result, Damage)]
    if damages:
        raise DamagedWheelsError(sorted(damages, key=lambda damage: damage.wheel.name))
    return known


def _noted(wheel: Wheel, cache: Cache) -> Mapping[str, MachineCode] | None:
    """Look a wheel up; one that was built here is another one the next time."""
    note = None if wheel.source == "local" else cache.note(_NOTES, wheel.sha256)
    if note is None or note.get("check") != _CHECK:
        return None
    try:
        return from_note(note.get("code", ""))
    except ValueError:
        return None


def _size(wheel: Wheel) -> int:
    try:
        return wheel.path.stat().st_size
    except OSError:
        return 0


def _checked(wheel: Wheel) -> Damage | Mapping[str, MachineCode]:
    """Find the first member that is not what the wheel says of it, else the machine code."""
    code: dict[str, MachineCode] = {}
    with opened(wheel) as archive:
        files = members(archive)
        record = files.get(f"{dist_info_of(wheel, files)}/RECORD")
        digests = _digests(archive, record) if record else {}
        with wheel.path.open("rb", buffering=0) as file:
            for name, info in files.items():
                check_readable(info)
                try:
                    blocks = content(archive, file, info)
                    wanted = () if info is record else digests.get(name, ())
                    with Examiner() as examiner:
                        _compare(info, blocks, wanted, examiner)
                        found = examiner.found()
                except DamageError as error:
                    return Damage(wheel=wheel, member=name, problem=str(error))
                if found is not None:
                    code[info.filename] = found
    return code


def _digests(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> Mapping[str, Sequence[str]]:
    """Read the digests of each path; one that has several rows has to meet them all."""
    digests: defaultdict[str, list[str]] = defaultdict(list)
    for name, digest, _ in record_rows(read_text(archive, record).decode("utf-8")):
        digests[name].append(digest)
    return digests


def _compare(
    info: zipfile.ZipInfo, blocks: Iterable[bytes], digests: Iterable[str], examiner: Examiner
) -> None:
    """Hold the content of a member against its header and its digests in RECORD."""
    hashes = [
        (algorithm, value, hashing)
        for algorithm, equals, value in (digest.partition("=") for digest in digests)
        if equals and value and (hashing := _hashing(algorithm)) is not None
    ]
    size = crc = 0
    for block in blocks:
        size += len(block)
        if size > info.file_size:
            raise DamageError(f"it holds more than the {info.file_size:,} bytes that it declares")
        crc = zlib.crc32(block, crc)
        examiner.hear(block)
        for _, _, hashing in hashes:
            hashing.update(block)
    if size != info.file_size:
        raise DamageError(f"it holds {size:,} bytes and declares {info.file_size:,}")
    if crc != info.CRC:
        raise DamageError(f"its CRC is {crc:08x}, its header says {info.CRC:08x}")
    for algorithm, value, hashing in hashes:
        found = base64.urlsafe_b64encode(hashing.digest()).rstrip(b"=").decode()
        if found != value.rstrip("="):
            raise DamageError(f"its {algorithm} is {found}, RECORD says {value}")


def _hashing(algorithm: str) -> hashlib._Hash | None:
    try:
        hashing = hashlib.new(algorithm, usedforsecurity=False)
    except ValueError:
        return None
    return hashing if hashing.digest_size else None  # those of any length have none


def content(archive: zipfile.ZipFile, file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield what a member holds, in pieces; of the two usual kinds without zipfile's bounds.

    Raises:
        DamageError: It is cut off, or its compressed data is broken.
    """
    if info.compress_type == zipfile.ZIP_STORED or not info.compress_size:
        yield from _raw(file, info)
    elif info.compress_type == zipfile.ZIP_DEFLATED:
        yield from _inflated(_raw(file, info))
    else:
        # These are not copied as they are: what zipfile reads is deflated anew.
        try:
            with archive.open(info) as stream:
                while block := stream.read(_CHUNK):
                    yield block
        except Exception as error:  # bz2, lzma and zstd have no common one
            raise DamageError(f"it cannot be read: {error}") from error


def _raw(file: BinaryIO, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the bytes of a member as they lie in the wheel."""
    file.seek(info.header_offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise DamageError("no local header is where the directory says")
    _, *lengths = _LOCAL.unpack(head)
    file.seek(sum(lengths), os.SEEK_CUR)
    left = info.compress_size
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise DamageError("the file ends inside it")
        left -= len(chunk)
        yield chunk


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for chunk in chunks:
            rest = chunk
            while rest and not inflater.eof:
                yield inflater.decompress(rest, _CHUNK)
                rest = inflater.unconsumed_tail
            if rest or inflater.unused_data:
                raise DamageError("something follows the end of its compressed data")
        while block := inflater.decompress(b"", _CHUNK):
            yield block
    except zlib.error as error:
        raise DamageError(f"it cannot be inflated: {error}") from error
    if not inflater.eof:
        raise DamageError("its compressed data ends too early")
