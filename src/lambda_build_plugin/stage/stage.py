"""Wheels and plain sources → `StagedTree`: a map from archive path to where the bytes lie.

Nothing is unpacked: `installer.install` (PEP 427) drives a destination that notes,
for each file, the member of the wheel that holds it. Only RECORD is written anew,
so that it is true to what ships. Headers and scripts stay behind; bytecode caches
do, because they belong to the machine that wrote them. A project that is no package
brings its files as they lie in its folder.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from installer import install
from installer.destinations import WheelDestination
from installer.records import RecordEntry
from installer.sources import WheelSource
from installer.utils import SCHEME_NAMES
from packaging.utils import canonicalize_name

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.system.hashes import digest_of, digest_of_file, record_digest
from lambda_build_plugin.wheel.file import (
    check_path,
    check_readable,
    dist_info_of,
    is_version,
    members,
    opened,
    read_text,
)
from lambda_build_plugin.wheel.members import member_of
from lambda_build_plugin.wheel.metadata import headers
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    import os
    import zipfile
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from installer.utils import Scheme
    from packaging.utils import NormalizedName

    from lambda_build_plugin.wheel.file import (
        Wheel,
    )
    from lambda_build_plugin.wheel.members import Member

__all__ = [
    "Dispute",
    "Distribution",
    "DuplicateDistributionError",
    "Entry",
    "Layout",
    "PlainFile",
    "PlainProject",
    "StagedTree",
    "check_folders",
    "lay_out",
    "record",
    "stage",
]

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")

_CHUNK = 1 << 18

_PARTS_BELOW_DATA = 2  # the kind, and at least a file name

_DIGEST_LENGTH = len("sha256=") + 43  # URL-safe base64 of 32 bytes, without padding


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFile:
    """One file that ships as it lies on the disk."""

    path: str
    """Below the folder from which modules are imported, with slashes."""

    place: Path
    """Absolute; its links are followed."""

    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainProject:
    """The files of a project that ships without becoming a wheel."""

    name: NormalizedName
    version: str | None = None
    files: tuple[PlainFile, ...] = ()

    @property
    def owner(self) -> str:
        """What its entries name as their owner: no distribution can be called so."""
        return f"the project {self.name}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the tree."""

    path: str
    """Inside the zip, with slashes."""

    owner: str
    """Normalized name of the distribution, or `PlainProject.owner`."""

    data: Member | bytes | Path
    digest: str
    """sha256 as RECORD has it: `sha256=` and URL-safe base64 without padding.

    Empty for bytecode, as installers record it.
    """

    size: int
    """Bytes, not compressed."""

    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One distribution of the tree, as its wheel brought it."""

    wheel: Wheel
    dist_info: str
    """Name of its metadata folder, such as `requests-2.32.0.dist-info`."""

    has_metadata: bool = True
    """False where METADATA was taken away after staging."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one wheel brings, and where it is to lie."""

    dist_info: str
    """Name of its metadata folder."""

    entries: tuple[Entry, ...]
    """By paths below the folder from which modules are imported; all are members of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A warning that holds as long as all of some files ship."""

    text: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedTree:
    """Everything that goes into the artifact."""

    entries: tuple[Entry, ...]
    """Sorted by path."""

    distributions: tuple[Distribution, ...]
    prefix: str
    """Where the importable files lie; empty, or with a slash at its end."""

    project: PlainProject | None = None
    disputes: tuple[Dispute, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the files that ship."""
        return tuple(dispute.text for dispute in self.disputes)

    @property
    def size(self) -> int:
        """Bytes of all entries, not compressed."""
        return sum(entry.size for entry in self.entries)


class DuplicateDistributionError(StageError):
    """One distribution comes from two wheels."""

    def __init__(self, one: Wheel, other: Wheel) -> None:
        self.wheels = (one, other)
        super().__init__(
            f"`{one.name}` would ship twice",
            why="\n".join(f"{wheel.filename} ({wheel.source})" for wheel in self.wheels),
            hint="a project that is in its own lock ships from its source: take it out of the lock",
        )


def lay_out(wheel: Wheel) -> Layout:
    """Find out where the files of a wheel lie once it is installed.

    Raises:
        StageError: It is broken or escapes.
    """
    destination = _TreeDestination(wheel)
    with opened(wheel) as archive:
        source = _MappedWheel(wheel, archive)
        source.check_metadata()
        source.check_scripts()
        install(source, destination, additional_metadata={})
    return Layout(dist_info=source.dist_info_dir, entries=tuple(destination.entries.values()))


def stage(
    wheels: Iterable[Wheel],
    *,
    prefix: str,
    project: PlainProject | None = None,
    layout_of: Callable[[Wheel], Layout] = lay_out,
) -> StagedTree:
    """Lay the wheels out under a prefix, and the files of the project over them.

    Where two wheels write one path, the later by name wins, whatever order they come
    in; the project's own file wins over both.

    Args:
        wheels: Each of another distribution.
        prefix: Empty, or with a slash at its end.
        project: What ships without being a wheel.
        layout_of: Lays one wheel out, or remembers how it was.

    Raises:
        StageError: A wheel is broken or escapes, or a file cannot be read.
    """
    entries: dict[str, Entry] = {}
    claims: defaultdict[str, list[Entry]] = defaultdict(list)
    distributions: list[Distribution] = []
    written: dict[str, Sequence[Entry]] = {}
    for wheel in _one_of_each(wheels):
        layout = layout_of(wheel)
        own = _below(prefix, layout.entries)
        distributions.append(Distribution(wheel=wheel, dist_info=layout.dist_info))
        written[layout.dist_info] = own
        _lay_over(entries, claims, own)
    if project is not None:
        _lay_over(entries, claims, [_plain_entry(project, file, prefix) for file in project.files])
    for distribution in distributions:
        own_record = record(distribution, written[distribution.dist_info], entries, prefix)
        entries[own_record.path] = own_record
    check_folders(entries)
    return StagedTree(
        entries=tuple(entries[path] for path in sorted(entries)),
        distributions=tuple(distributions),
        prefix=prefix,
        project=project,
        disputes=(*_collisions(claims, entries), *_same_but_for_case(entries)),
    )


def _lay_over(
    entries: dict[str, Entry], claims: defaultdict[str, list[Entry]], own: Iterable[Entry]
) -> None:
    for entry in own:
        if entry.path in entries:
            claims[entry.path].append(entries[entry.path])
        entries[entry.path] = entry


def _plain_entry(project: PlainProject, file: PlainFile, prefix: str) -> Entry:
    digest, size = digest_of_file(file.place)
    return Entry(prefix + file.path, project.owner, file.place, digest, size, file.executable)


def _one_of_each(wheels: Iterable[Wheel]) -> list[Wheel]:
    """Sort the wheels by name; two of one name would mix."""
    ordered = sorted(wheels, key=lambda wheel: wheel.name)
    for one, other in itertools.pairwise(ordered):
        if one.name == other.name:
            raise DuplicateDistributionError(one, other)
    return ordered


def _below(prefix: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    if not prefix:
        return entries
    return [
        Entry(
            prefix + entry.path,
            entry.owner,
            entry.data,
            entry.digest,
            entry.size,
            entry.executable,
        )
        for entry in entries
    ]


class _Handle:
    """Stands for a stream that nobody reads: the member itself."""

    __slots__ = ("digest", "member")

    def __init__(self, member: Member, digest: str) -> None:
        self.member = member
        self.digest = digest


class _MappedWheel(WheelSource):
    """A wheel whose contents are given as places instead of streams."""

    def __init__(self, wheel: Wheel, archive: zipfile.ZipFile) -> None:
        super().__init__(wheel.name, str(wheel.version))
        self._wheel = wheel
        self._archive = archive
        self._members = members(archive)
        self._dist_info = dist_info_of(wheel, self._members)

    @property
    def dist_info_dir(self) -> str:
        return self._dist_info

    @property
    def data_dir(self) -> str:
        return self._dist_info.removesuffix(".dist-info") + ".data"

    @property
    def dist_info_filenames(self) -> list[str]:
        """Tell of no entry points: installer would make scripts of them, and fail."""
        return []

    def read_dist_info(self, filename: str) -> str:
        return self._read_dist_info(filename).decode("utf-8")

    def _read_dist_info(self, filename: str) -> bytes:
        name = f"{self._dist_info}/{filename}"
        info = self._members.get(name)
        if info is None:
            raise ValueError(f"it has no `{name}`")
        return read_text(self._archive, info)

    def check_metadata(self) -> None:
        """Refuse metadata of another distribution, or of another version (PEP 427)."""
        found = headers(self._read_dist_info("METADATA"))
        name, version = found.get("name", ""), found.get("version", "")
        wheel = self._wheel
        if canonicalize_name(name) != wheel.name or not is_version(version, wheel.version):
            raise ValueError(
                f"its file name says that it is {wheel.name} {wheel.version}, its METADATA says "
                f"{name or 'no name'} {version or 'and no version'}"
            )

    def check_scripts(self) -> None:
        """Refuse scripts that would lie elsewhere, although none ships."""
        if f"{self._dist_info}/entry_points.txt" not in self._members:
            return
        try:
            text = self.read_dist_info("entry_points.txt")
        except UnicodeDecodeError:
            return
        for name in _script_names(text):
            check_path(self._wheel, name)

    def get_contents(self) -> Iterator[tuple[tuple[str, str, str], BinaryIO, bool]]:
        rows = {row[0]: row for row in record_rows(self.read_dist_info("RECORD"))}
        skipped = {f"{self._dist_info}/{name}" for name in _SIGNATURES}
        for name, info in self._members.items():
            if name in skipped or "__pycache__" in name.split("/")[:-1]:
                continue
            self._check_member(info, name)
            member = member_of(self._wheel.path, info)
            handle = _Handle(member, self._digest(info, name, rows.get(name)))
            element = (self._in_data_dir(name), handle.digest, str(info.file_size))
            # The destination takes the handle out again; installer only passes it on.
            yield element, cast("BinaryIO", handle), _is_executable(info)

    def _check_member(self, info: zipfile.ZipInfo, name: str) -> None:
        """Refuse what installer would tidy up silently or not survive."""
        check_readable(info)
        check_path(self._wheel, name)
        head, *rest = name.split("/")
        if not head.endswith(".data"):
            return
        if self._is_data_dir(head):
            if len(rest) < _PARTS_BELOW_DATA:
                raise ValueError(f"`{name}` is a file where `.data` has its kinds")
        elif rest and rest[0] in SCHEME_NAMES:
            raise ValueError(f"`{head}` is not the `.data` folder of this distribution")

    def _is_data_dir(self, folder: str) -> bool:
        """Tell whether a `.data` folder names this distribution, however it spells it."""
        if folder == self.data_dir:
            return True
        name, _, version = folder.removesuffix(".data").rpartition("-")
        wheel = self._wheel
        return canonicalize_name(name) == wheel.name and is_version(version, wheel.version)

    def _in_data_dir(self, name: str) -> str:
        """Spell the `.data` folder as installer looks for it."""
        head, slash, rest = name.partition("/")
        if head.endswith(".data") and self._is_data_dir(head):
            return f"{self.data_dir}{slash}{rest}"
        return name

    def _digest(self, info: zipfile.ZipInfo, name: str, row: Sequence[str] | None) -> str:
        """Get the sha256 of a member: from RECORD where it is told, else from its bytes."""
        if row is not None and row[2] and row[2] != str(info.file_size):
            raise ValueError(
                f"RECORD says that `{name}` has {row[2]} bytes; it has {info.file_size}"
            )
        if row is not None and len(row[1]) == _DIGEST_LENGTH and row[1].startswith("sha256="):
            return row[1]
        if name == f"{self._dist_info}/RECORD":
            return ""
        hashing = hashlib.sha256()
        with self._archive.open(info) as stream:  # it may be larger than what memory holds
            while block := stream.read(_CHUNK):
                hashing.update(block)
        return record_digest(hashing)


class _TreeDestination(WheelDestination):
    """Notes what a wheel brings, and drops what a function has no use for."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self.entries: dict[str, Entry] = {}

    def write_script(
        self,
        name: str,  # noqa: ARG002 - installer's signature
        module: str,  # noqa: ARG002
        attr: str,  # noqa: ARG002
        section: Any,  # noqa: ARG002
    ) -> RecordEntry:
        """Write none; installer is told of no entry points."""
        return _UNRECORDED

    def write_file(
        self,
        scheme: Scheme,
        path: str | os.PathLike[str],
        stream: BinaryIO,
        is_executable: bool,  # noqa: FBT001
    ) -> RecordEntry:
        name = str(path)
        check_path(self._wheel, name)
        if scheme in {"scripts", "headers"} or (scheme == "data" and name.startswith("bin/")):
            return _UNRECORDED
        handle = cast("_Handle", stream)
        entry = Entry(
            name,
            self._wheel.name,
            handle.member,
            handle.digest,
            handle.member.size,
            is_executable,
        )
        if not _same(self.entries.setdefault(entry.path, entry), entry):
            raise ValueError(f"two members with other content are to become `{name}`")
        return _UNRECORDED

    def finalize_installation(
        self,
        scheme: Scheme,
        record_file_path: str,
        records: Iterable[tuple[Scheme, RecordEntry]],
    ) -> None:
        """Write nothing: RECORD comes when all distributions are known."""


_UNRECORDED = RecordEntry("unrecorded", None, None)


def _script_names(text: str) -> Iterator[str]:
    """Yield the names of scripts, also from a file that breaks its format elsewhere."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        name, equals, _ = line.partition("=")
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif equals and section in {"console_scripts", "gui_scripts"}:
            yield name.strip()


def _is_executable(info: zipfile.ZipInfo) -> bool:
    return bool((info.external_attr >> 16) & 0o111)


def check_folders(entries: Mapping[str, Entry]) -> None:
    """Refuse a file where another distribution needs a folder.

    Raises:
        StageError: There is one.
    """
    seen: set[str] = set()
    for path, entry in entries.items():
        parent = path.rpartition("/")[0]
        while parent and parent not in seen:
            seen.add(parent)
            if parent in entries:
                raise StageError(
                    f"`{parent}` is a file and a folder at once",
                    why=f"{entries[parent].owner} brings the file, {entry.owner} brings `{path}`",
                    hint="leave one of the two distributions out",
                )
            parent = parent.rpartition("/")[0]


def _collisions(
    claims: Mapping[str, Sequence[Entry]], entries: Mapping[str, Entry]
) -> Iterator[Dispute]:
    for path, losers in sorted(claims.items()):
        winner = entries[path]
        different = [loser.owner for loser in losers if not _same(loser, winner)]
        if different:
            text = (
                f"`{path}` comes from {', '.join(different)} and from {winner.owner} with other "
                f"content: that of {winner.owner} ships"
            )
            yield Dispute(text=text, paths=(path,))


def _same_but_for_case(entries: Mapping[str, Entry]) -> Iterator[Dispute]:
    """Warn of paths that are one where case does not count: Lambda has both, others lose one."""
    seen: dict[str, Entry] = {}
    for path in sorted(entries):
        entry = entries[path]
        other = seen.setdefault(path.casefold(), entry)
        if other is not entry:
            text = (
                f"`{other.path}` of {other.owner} and `{path}` of {entry.owner} differ in case "
                "only: unpacked on Windows or macOS they are one file"
            )
            yield Dispute(text=text, paths=(other.path, path))


def _same(one: Entry, other: Entry) -> bool:
    return one.digest == other.digest and one.size == other.size


def record(
    distribution: Distribution,
    own: Sequence[Entry],
    entries: Mapping[str, Entry],
    prefix: str,
) -> Entry:
    """Write RECORD anew: sorted, and only of what ships with this content."""
    path = f"{prefix}{distribution.dist_info}/RECORD"
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerows(
        (entry.path.removeprefix(prefix), entry.digest, entry.size)
        for entry in sorted(own, key=lambda entry: entry.path)
        if entry.path != path and _same(entry, entries[entry.path])
    )
    writer.writerow((path.removeprefix(prefix), "", ""))
    content = rows.getvalue().encode()
    return Entry(path, distribution.wheel.name, content, digest_of(content), len(content))
