"""A wheel on disk: open it, and find, check and read its members."""

from __future__ import annotations

import re
import zipfile
import zlib
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.system.hashes import check_file
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = [
    "BROKEN_ZIP",
    "ChangedArchiveError",
    "InvalidWheelError",
    "UnsafePathError",
    "Wheel",
    "check_path",
    "check_readable",
    "check_unchanged",
    "dist_info_of",
    "is_version",
    "members",
    "opened",
    "plain_path",
    "read_text",
    "remedy",
]

_ENCRYPTED = 0x1

_UNSAFE = re.compile(r"^$|^/|[\\\0]|^[^/]*:|(?:^|/)\.{0,2}(?:/|$)")
"""Paths that `check_path` has to look at more closely."""

_SUSPECT = ("\\", "\0", ":", "//", "/.", "./")
"""One of these is in each such path, unless it begins or ends like one."""

_LARGEST_TEXT = 1 << 26  # bytes of METADATA, RECORD …; 65,535 rows of RECORD have a sixth of that

BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,  # of an offset in a zip64 field
    RuntimeError,
    ValueError,
)
"""What zipfile may raise if a file is broken, is encrypted or is not a zip."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel that will be laid out in the artifact."""

    name: NormalizedName
    version: Version
    filename: str
    path: Path
    sha256: str
    source: str
    """What it was built from: `sdist`, `local` or `vcs`; `wheel` if it was not built here."""

    built_by: str = ""
    """The backend that built it here, with its version; empty if it came as a wheel."""

    compiled_by: str = ""
    """The zig that compiled its machine code, and for what; empty if none did."""

    @classmethod
    def of(cls, path: Path, *, sha256: str, source: str, filename: str = "") -> Wheel:
        """Describe a wheel by its file name (PEP 427).

        Args:
            path: Where it is.
            sha256: The digest of its bytes, in hexadecimal.
            source: What it was built from, as in the field of this name.
            filename: Its name, if the file at `path` has another one.

        Raises:
            InvalidWheelFilename: The name is not that of a wheel.
        """
        filename = filename or path.name
        name, version, _, _ = _parsed(filename)
        return cls(
            name=name,
            version=version,
            filename=filename,
            path=path,
            sha256=sha256,
            source=source,
        )


# Artifacts of one run have many wheels in common.
_parsed = lru_cache(maxsize=4096)(parse_wheel_filename)


class InvalidWheelError(StageError):
    """A wheel does not follow PEP 427."""

    def __init__(self, wheel: Wheel, problem: str) -> None:
        self.wheel = wheel
        super().__init__(
            f"{wheel.filename} cannot be laid out",
            why=problem,
            hint=remedy(wheel) or f"lock another version of `{wheel.name}`, and tell its authors",
        )


class UnsafePathError(StageError):
    """A wheel contains a path that leads outside of the artifact."""

    def __init__(self, wheel: Wheel, path: str, problem: str) -> None:
        self.wheel, self.path = wheel, path
        super().__init__(
            f"{wheel.filename} contains an unsafe path",
            why=f"`{path!r}` {problem}",
            hint=remedy(wheel) or f"do not use this file; lock another version of `{wheel.name}`",
        )


class ChangedArchiveError(StageError):
    """A file whose members ship has changed since its hash was checked."""

    def __init__(self, path: Path, shown: str, problem: str) -> None:
        self.path = path
        super().__init__(
            f"{shown} has changed during the build",
            why=f"{path} {problem}",
            hint="build again when nothing writes to it",
        )


def check_unchanged(path: Path, sha256: str, *, shown: str = "") -> None:
    """Hash a file again, after its content was used.

    A wheel is hashed first, and then read several times: someone may build it again in place
    meanwhile. What was read is only worth something if the file still is what was hashed.

    Args:
        path: The file.
        sha256: What it had, in hexadecimal.
        shown: Its name for messages, if it does not have its own.

    Raises:
        ChangedArchiveError: It is another one now, or cannot be read any more.
    """
    try:
        found = check_file(path).sha256
    except OSError as error:
        problem = f"cannot be read any more: {error.strerror or error}"
        raise ChangedArchiveError(path, shown or path.name, problem) from error
    if found != sha256:
        problem = f"had the sha256 {sha256} when it was checked, and has {found} now"
        raise ChangedArchiveError(path, shown or path.name, problem)


def remedy(wheel: Wheel) -> str:
    """Say how to fix a wheel that was built here; empty for a wheel of somebody else."""
    if wheel.source != "local":
        return ""
    return (
        f"this wheel was just built from `{wheel.name}` itself: fix what its build settings or "
        "its build backend put into it"
    )


@contextmanager
def opened(wheel: Wheel) -> Iterator[zipfile.ZipFile]:
    """Open a wheel, and report whatever is wrong with it as an error of ours.

    Raises:
        InvalidWheelError: It is not a zip, or something that is read in it is not valid.
    """
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            yield archive
    except BROKEN_ZIP as error:
        raise InvalidWheelError(wheel, str(error) or type(error).__name__) from error
    except OSError as error:
        raise InvalidWheelError(wheel, f"it cannot be read: {error.strerror}") from error


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Map the files of a wheel by their paths, in the order of the zip.

    Raises:
        ValueError: It contains a file twice, so that it is not clear which one is meant.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.orig_filename.endswith("/"):
            continue
        name = plain_path(info.orig_filename)  # `filename` ends at a NUL byte
        if name in found:
            raise ValueError(f"`{name}` is there twice")
        found[name] = info
    return found


def plain_path(name: str) -> str:
    """Spell the path of a member without the `./` that hatchling may write in front."""
    return name.removeprefix("./")


def is_version(text: str, wanted: Version) -> bool:
    """Tell whether a text is a version (PEP 440) that equals another one."""
    try:
        return Version(text) == wanted
    except InvalidVersion:
        return False


def dist_info_of(wheel: Wheel, names: Iterable[str]) -> str:
    """Find the metadata folder, which must have the wheel's name (PEP 427).

    Raises:
        ValueError: There is none, more than one, or one with another name.
    """
    folders = {
        name.partition("/")[0] for name in names if name.partition("/")[0].endswith(".dist-info")
    }
    if len(folders) != 1:
        raise ValueError(f"it has {len(folders)} .dist-info folders instead of one")
    folder = folders.pop()
    name = folder.removesuffix(".dist-info").rpartition("-")[0]
    if canonicalize_name(name) != wheel.name:
        raise ValueError(f"its metadata folder is `{folder}`: that is another distribution")
    return folder


def check_readable(info: zipfile.ZipInfo) -> None:
    """Refuse a member that needs a password.

    Raises:
        ValueError: The member is encrypted.
    """
    if info.flag_bits & _ENCRYPTED:
        raise ValueError(f"`{info.filename}` is encrypted")


def read_text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read a file of the metadata.

    Raises:
        ValueError: It is encrypted, or larger than any such file.
    """
    check_readable(info)
    if info.file_size > _LARGEST_TEXT:
        raise ValueError(f"`{info.filename}` has {info.file_size:,} bytes")
    with archive.open(info) as stream:  # `ZipFile.read` inflates more than the declared size
        return stream.read(info.file_size)


def check_path(wheel: Wheel, path: str) -> None:
    """Refuse a path that leads outside of the artifact on any system.

    Raises:
        UnsafePathError: It is absolute, a Windows path, or not normalized.
    """
    if (
        path
        and not path.startswith(("/", "."))
        and not path.endswith("/")
        and not any(map(path.__contains__, _SUSPECT))
    ):
        return  # almost all paths; searching takes ten times as long
    if not _UNSAFE.search(path):
        return
    if not path or path.startswith("/"):
        raise UnsafePathError(wheel, path, "is absolute")
    if "\\" in path or ":" in path.partition("/")[0]:
        raise UnsafePathError(wheel, path, "is a Windows path")
    if "\0" in path:
        raise UnsafePathError(wheel, path, "holds a NUL byte")
    raise UnsafePathError(wheel, path, "escapes or is not normalized")
