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
import zlib
from collections import defaultdict
from contextlib import ExitStack, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError, StageError
from lambda_build_plugin.system.hashes import record_digest, spelled_digest
from lambda_build_plugin.system.threads import map_in_threads
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.file import check_readable, check_unchanged
from lambda_build_plugin.wheel.machine_code import Examiner, as_note, examined_content, from_note
from lambda_build_plugin.wheel.members import DamagedMemberError, MemberReader, member_of
from lambda_build_plugin.wheel.open_wheel import open_wheel
from lambda_build_plugin.wheel.record import spells_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.wheel.arriving import Content
    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.machine_code import MachineCode
    from lambda_build_plugin.wheel.members import Member
    from lambda_build_plugin.wheel.open_wheel import OpenWheel
    from lambda_build_plugin.wheel.record import RecordRow

    MachineCodeOf: TypeAlias = Mapping[Path, Mapping[str, MachineCode]]
    """Path of a wheel → name of a member in it → what machine code that is."""

__all__ = [
    "Damage",
    "DamagedWheelsError",
    "check",
    "examine",
    "is_noted",
    "keep",
]

_NOTES = "checked"
_CHECK = "3"
"""Noted of a wheel that passed; the number changes when more is checked or found out."""

_CHUNK = 1 << 18  # bytes inflated at a time
_MOST_THREADS = 8
_SMALL = 1 << 18  # bytes of wheels
_KEPT = 16
"""Wheels that were checked and are not noted in the cache."""

_MOST_NAMED = 3
"""Wheels in the headline of an error; its reason names all of them."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One member of a wheel that is not what it is said to be."""

    wheel: Wheel
    member: str
    problem: str


class DamagedWheelsError(StageError):
    """Wheels are the files that were locked, but are damaged."""

    def __init__(self, damages: Sequence[Damage]) -> None:
        self.damages = tuple(damages)
        local = all(damage.wheel.source == "local" for damage in damages)
        super().__init__(
            f"{_named(damages)} {'is' if len(damages) == 1 else 'are'} damaged",
            why=[
                f"`{damage.member}` in {damage.wheel.filename}: {damage.problem}"
                for damage in damages
            ],
            hint="this wheel was just built from the project itself: look at its build backend"
            if local
            else "these are the bytes that were asked for, so fetching them again does not help: "
            "lock another version, and tell the authors of the package",
        )


def _named(damages: Sequence[Damage]) -> str:
    names = [damage.wheel.filename for damage in damages]
    return ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} wheels"


def check(wheels: Iterable[Wheel], cache: Cache) -> MachineCodeOf:
    """Inflate and hash all members of the wheels that were not checked before.

    `Wheel.sha256` must have been found by hashing the file.

    Returns:
        The members of each wheel, by its path, that are machine code.

    Raises:
        DamagedWheelsError: With every wheel that contains something else than it says.
        ChangedArchiveError: One has changed since it was hashed.
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
    if sum(map(_size, unknown)) < _SMALL:  # sooner done than a thread is started
        found = list(map(_checked, unknown))
    else:
        count = min(os.cpu_count() or 1, _MOST_THREADS, len(unknown))
        found = map_in_threads(_checked, unknown, threads=count)
    for wheel, result in zip(unknown, found, strict=True):
        if isinstance(result, Damage):
            continue
        known[wheel.path] = result
        keep(wheel, result, cache)
    damages = [result for result in found if isinstance(result, Damage)]
    if damages:
        raise DamagedWheelsError(sorted(damages, key=lambda damage: damage.wheel.name))
    return known


def is_noted(wheel: Wheel, cache: Cache) -> bool:
    """Tell whether `check` will find noted that a wheel is sound."""
    return _noted(wheel, cache) is not None


def keep(wheel: Wheel, code: Mapping[str, MachineCode], cache: Cache) -> None:
    """Note that a wheel is sound, and which machine code it has.

    The file must still have had its digest after it was examined.
    """
    if wheel.source != "local":
        with suppress(FetchError):  # a cache that cannot be written costs time only
            cache.keep_note(_NOTES, wheel.sha256, {"check": _CHECK, "code": as_note(code)})


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


@lru_cache(maxsize=_KEPT)
def _checked(wheel: Wheel) -> Damage | Mapping[str, MachineCode]:
    """Check a wheel; what was found is about the file that was hashed, and about no other.

    Several projects of a run may need the same local wheel.

    Raises:
        ChangedArchiveError: The file has changed.
    """
    with open_wheel(wheel) as source:
        found = examine(source)
    check_unchanged(wheel.path, wheel.sha256, shown=wheel.filename)
    return found


def examine(
    source: OpenWheel, arrived: Mapping[int, Content] | None = None
) -> Damage | Mapping[str, MachineCode]:
    """Find the first member that is not what the wheel says of it, else the machine code.

    What is found is worth something only if the file still has its digest afterwards.

    Args:
        source: The wheel.
        arrived: What members contained when the same bytes were received, by the offset of
            their headers: they are not inflated again.

    Raises:
        ValueError: The RECORD is none, or a member is encrypted.
    """
    code: dict[str, MachineCode] = {}
    record, digests = source.record, _digests(source.record_rows)
    with ExitStack() as stack:
        reader = MemberReader(stack, chunk=_CHUNK, check_names=False)
        for name, info in source.members.items():
            check_readable(info)
            member = member_of(source.wheel.path, info)
            wanted = () if info is record else digests.get(name, ())
            content = arrived.get(member.header_offset) if arrived else None
            if content is not None and _is_as_declared(content, member, wanted):
                if content.code is not None:
                    code[info.filename] = content.code
                continue
            try:
                found = _examine_member(member, wanted, reader)
            except DamagedMemberError as error:
                return Damage(wheel=source.wheel, member=name, problem=error.problem)
            if found is not None:
                code[info.filename] = found
    return code


def _is_as_declared(content: Content, member: Member, digests: Collection[str]) -> bool:
    """Compare what a member contained with the directory and with its digests in RECORD."""
    if content.method != member.method or content.compressed_size != member.compressed_size:
        return False
    if content.size != member.size or content.crc != member.crc:
        return False
    return all(digest == spelled_digest(content.sha256) for digest in digests)


def _digests(rows: Iterable[RecordRow]) -> Mapping[str, Sequence[str]]:
    """Get the digests of each path; one that has several rows has to meet them all."""
    digests: defaultdict[str, list[str]] = defaultdict(list)
    for name, digest, _ in rows:
        digests[name].append(digest)
    return digests


def _examine_member(
    member: Member, digests: Collection[str], reader: MemberReader
) -> MachineCode | None:
    """Check a member, and tell which machine code it is.

    Raises:
        DamagedMemberError: It is not what the wheel says of it.
    """
    content = reader.whole(member)
    if content is not None and _has_digests(content, digests):
        return examined_content(content)
    # It is large or damaged, or its digest is spelled in another way or of another kind.
    with Examiner() as examiner:
        _compare(member, reader.blocks(member), digests, examiner)
        return examiner.found()


def _has_digests(content: bytes, digests: Collection[str]) -> bool:
    """Tell whether all digests are that of the content, in the spelling that almost all have."""
    if not digests:
        return True
    found = record_digest(hashlib.sha256(content))
    return all(digest == found for digest in digests)


def _compare(
    member: Member, blocks: Iterable[bytes], digests: Iterable[str], examiner: Examiner
) -> None:
    """Compare the content of a member with its header and with its digests in RECORD."""
    hashes = [
        (algorithm, value, hashing)
        for algorithm, equals, value in (digest.partition("=") for digest in digests)
        if equals and value and (hashing := _hashing(algorithm)) is not None
    ]
    size = crc = 0
    for block in blocks:
        size += len(block)
        if size > member.size:
            raise DamagedMemberError(
                member, f"it contains more than the {member.size:,} bytes that it declares"
            )
        crc = zlib.crc32(block, crc)
        examiner.hear(block)
        for _, _, hashing in hashes:
            hashing.update(block)
    if size != member.size:
        raise DamagedMemberError(member, f"it contains {size:,} bytes but declares {member.size:,}")
    if crc != member.crc:
        raise DamagedMemberError(member, f"its CRC is {crc:08x}, its header says {member.crc:08x}")
    for algorithm, value, hashing in hashes:
        if not spells_digest(value, hashing.digest()):
            found = base64.urlsafe_b64encode(hashing.digest()).rstrip(b"=").decode()
            raise DamagedMemberError(member, f"its {algorithm} is {found}, RECORD says {value}")


def _hashing(algorithm: str) -> hashlib._Hash | None:
    try:
        hashing = hashlib.new(algorithm, usedforsecurity=False)
    except ValueError:
        return None
    return hashing if hashing.digest_size else None  # those of any length have none
