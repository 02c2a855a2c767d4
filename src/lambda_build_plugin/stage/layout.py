"""Lay one wheel out: where `installer` puts each of its files."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, cast

from installer import install
from installer.destinations import WheelDestination
from installer.records import RecordEntry
from installer.sources import WheelSource
from installer.utils import SCHEME_NAMES
from packaging.utils import canonicalize_name

from lambda_build_plugin.stage.tree import Entry, WheelLayout, same
from lambda_build_plugin.system.hashes import record_digest
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
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from installer.utils import Scheme

    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.members import Member

__all__ = ["lay_out"]

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")

_CHUNK = 1 << 18

_PARTS_BELOW_DATA = 2  # the kind, and at least a file name

_DIGEST = re.compile(r"sha256=[A-Za-z0-9_-]{43}")
"""URL-safe base64 of 32 bytes, without padding: what RECORD gets here, too. A digest in another
spelling is taken anew from the bytes."""

_UNRECORDED = RecordEntry("unrecorded", None, None)


def lay_out(wheel: Wheel) -> WheelLayout:
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
    return WheelLayout(dist_info=source.dist_info_dir, entries=tuple(destination.entries.values()))


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
                raise ValueError(f"`{name}` must be in a subfolder of `.data`, such as `purelib`")
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
        """Get the sha256 of a member from RECORD if it has it, else from its bytes."""
        if row is not None and row[2] and row[2] != str(info.file_size):
            raise ValueError(
                f"RECORD says that `{name}` has {row[2]} bytes; it has {info.file_size}"
            )
        if row is not None and _DIGEST.fullmatch(row[1]):
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
        if not same(self.entries.setdefault(entry.path, entry), entry):
            raise ValueError(f"two members with different content would be written to `{name}`")
        return _UNRECORDED

    def finalize_installation(
        self,
        scheme: Scheme,
        record_file_path: str,
        records: Iterable[tuple[Scheme, RecordEntry]],
    ) -> None:
        """Write nothing: RECORD comes when all distributions are known."""


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
