"""Lay one wheel out: where an installer puts each of its files.

https://packaging.python.org/en/latest/specifications/binary-distribution-format/ says how. The
library `installer` could do this, but it loads `email` and more, which would take longer than the
layout itself.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.stage.tree import Entry, WheelLayout, same
from lambda_build_plugin.system.hashes import record_digest
from lambda_build_plugin.wheel.file import check_path, check_readable, is_version, read_text
from lambda_build_plugin.wheel.members import member_of
from lambda_build_plugin.wheel.metadata import headers
from lambda_build_plugin.wheel.open_wheel import open_wheel

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.open_wheel import OpenWheel

__all__ = ["lay_out", "lay_out_open"]

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")

_CHUNK = 1 << 18

_SCHEMES = frozenset({"purelib", "platlib", "headers", "scripts", "data"})
"""Subfolders of `.data`, by where their files go."""

_PARTS_BELOW_DATA = 2  # the scheme, and at least a file name

_VERSION = "1."  # of the format, with any minor version

_DIGEST = re.compile(r"sha256=[A-Za-z0-9_-]{43}")
"""URL-safe base64 of 32 bytes, without padding, as RECORD gets it here, too. If a digest is spelled
in another way, it is computed again from the bytes.
"""


def lay_out(wheel: Wheel) -> WheelLayout:
    """Find out where an installer puts the files of a wheel.

    Raises:
        StageError: The wheel is broken, or a path leads out of it.
    """
    with open_wheel(wheel) as opened:
        return lay_out_open(opened)


def lay_out_open(opened: OpenWheel) -> WheelLayout:
    """Do the same with a wheel that is open, in the block that has opened it.

    Raises:
        StageError: A path leads out of the wheel.
        ValueError: It is broken.
    """
    source = _WheelSource(opened)
    source.check_metadata()
    source.check_scripts()
    source.check_format()
    entries: dict[str, Entry] = {}
    for entry in source.entries():
        if not same(entries.setdefault(entry.path, entry), entry):
            raise ValueError(
                f"two members with different content would be written to `{entry.path}`"
            )
    return WheelLayout(dist_info=source.dist_info, entries=tuple(entries.values()))


class _WheelSource:
    """A wheel, read as the source of an installation."""

    def __init__(self, opened: OpenWheel) -> None:
        self._opened = opened
        self._wheel = opened.wheel
        self._archive = opened.archive
        self._members = opened.members
        self.dist_info = opened.dist_info
        self._data = self.dist_info.removesuffix(".dist-info") + ".data"

    def _read_dist_info(self, filename: str) -> bytes:
        name = f"{self.dist_info}/{filename}"
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
        """Refuse scripts with paths that lead elsewhere, although no script ships."""
        if f"{self.dist_info}/entry_points.txt" not in self._members:
            return
        try:
            text = self._read_dist_info("entry_points.txt").decode("utf-8")
        except UnicodeDecodeError:
            return
        for name in _script_names(text):
            check_path(self._wheel, name)

    def check_format(self) -> None:
        """Refuse versions of the format that may mean something else (PEP 427)."""
        content = self._read_dist_info("WHEEL").decode("utf-8").encode()
        version = headers(content).get("wheel-version", "")
        if not version.startswith(_VERSION):
            raise ValueError(
                f"its format has the version {version or '(none)'}, and only 1.x is supported"
            )

    def entries(self) -> Iterator[Entry]:
        """Yield the files of the wheel, without those that a function has no use for."""
        if self._opened.record is None:
            raise ValueError(f"it has no `{self.dist_info}/RECORD`")
        rows = {row[0]: row for row in self._opened.record_rows}
        skipped = {f"{self.dist_info}/{name}" for name in ("RECORD", *_SIGNATURES)}
        for name, info in self._members.items():
            if name.endswith(_SIGNATURES) and name in skipped:
                continue
            if "__pycache__" in name and "__pycache__" in name.split("/")[:-1]:
                continue
            check_readable(info)
            check_path(self._wheel, name)
            scheme, path = self._destination(name)
            if path is not name:
                check_path(self._wheel, path)
            digest = self._digest(info, name, rows.get(name))
            is_command = scheme == "scripts" or (scheme == "data" and path.startswith("bin/"))
            if is_command or scheme == "headers" or name in skipped:
                continue
            member = member_of(self._wheel.path, info)
            yield Entry(path, self._wheel.name, member, digest, member.size, _is_executable(info))

    def _destination(self, name: str) -> tuple[str, str]:
        """Say by which scheme a member is installed, and where.

        Raises:
            ValueError: It is in a `.data` folder in which it does not belong.
        """
        head, *rest = name.split("/")
        if not head.endswith(".data"):
            return "purelib", name
        if not self._is_data_dir(head):
            if rest and rest[0] in _SCHEMES:
                raise ValueError(f"`{head}` is not the `.data` folder of this distribution")
            return "purelib", name
        if len(rest) < _PARTS_BELOW_DATA:
            raise ValueError(f"`{name}` must be in a subfolder of `.data`, such as `purelib`")
        scheme = rest[0]
        if scheme not in _SCHEMES:
            raise ValueError(f"`{name}` is not in a valid subfolder of `.data`")
        return scheme, "/".join(rest[1:])

    def _is_data_dir(self, folder: str) -> bool:
        """Check whether a `.data` folder names this distribution, in any spelling."""
        if folder == self._data:
            return True
        name, _, version = folder.removesuffix(".data").rpartition("-")
        wheel = self._wheel
        return canonicalize_name(name) == wheel.name and is_version(version, wheel.version)

    def _digest(self, info: zipfile.ZipInfo, name: str, row: Sequence[str] | None) -> str:
        """Get the sha256 of a member from RECORD if it has it, else from its bytes."""
        if row is not None and row[2] and row[2] != str(info.file_size):
            raise ValueError(
                f"RECORD says that `{name}` has {row[2]} bytes; it has {info.file_size}"
            )
        if row is not None and _DIGEST.fullmatch(row[1]):
            return row[1]
        if name == f"{self.dist_info}/RECORD":
            return ""
        hashing = hashlib.sha256()
        with self._archive.open(info) as stream:  # it may be larger than what memory holds
            while block := stream.read(_CHUNK):
                hashing.update(block)
        return record_digest(hashing)


def _script_names(text: str) -> Iterator[str]:
    """Yield the names of scripts, even if the file is invalid elsewhere."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        name, equals, _ = line.partition("=")
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif equals and section in {"console_scripts", "gui_scripts"}:
            yield name.strip()


def _is_executable(info: zipfile.ZipInfo) -> bool:
    return bool((info.external_attr >> 16) & 0o111)
