"""Unpack source archives into a folder, without touching anything outside of it.

The archives are not trusted: sdists (PEP 517, PEP 625), or archives at a URL, such as a
forge makes from a commit. Not all supported Pythons have the filters of `tarfile`, and
`zipfile` has none, so the rules of PEP 706 are implemented here for both kinds: names stay
inside, links point inside, and there are only files, folders and links.
"""

from __future__ import annotations

import lzma
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Literal

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = [
    "BrokenSourceError",
    "NoSuchFolderError",
    "UnsafeSourceError",
    "project_below",
    "unpacked",
]

_MOST_BYTES = 4 << 30
"""The limit for all files together; the largest known sdists have some hundred MB."""

_MOST_MEMBERS = 500_000
_LONGEST_LINK = 1 << 12
_LONGEST_HEADER = 1 << 22
_CHUNK = 1 << 18
_ZIP = b"PK"

_Kind = Literal["file", "folder", "symlink", "hardlink", "other"]


class BrokenSourceError(SourceBuildError):
    """A source archive cannot be read."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(
            f"cannot unpack {name}",
            why=problem,
            hint="it must be a .tar.gz, .tar.bz2, .tar.xz or .zip with the source code of one "
            "project; if it is as its author made it, lock another version, or one with a wheel",
        )


class UnsafeSourceError(SourceBuildError):
    """Unpacking a source archive would touch files outside of its folder, or fill the disk."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(
            f"{name} is not safe to unpack",
            why=problem,
            hint="no honest project's archive contains this: inspect it before you trust it, "
            "and tell its author",
        )


class NoSuchFolderError(SourceBuildError):
    """A source does not have the folder that the lock names."""

    def __init__(self, what: str, subdirectory: str) -> None:
        self.subdirectory = subdirectory
        super().__init__(
            f"{what} has no folder `{subdirectory}`",
            why="the lock says that the project is there",
            hint="fix the subdirectory where the dependency is declared, and lock again",
        )


@dataclass(frozen=True, kw_only=True)
class _Member:
    """One entry of an archive of either kind."""

    name: str
    kind: _Kind
    executable: bool
    size: int
    """Bytes, as declared."""

    target: str
    """What a link points to: relative to its own folder, or for a hard link a member."""

    open: Callable[[], IO[bytes]]
    """Open the content of a file."""


def unpacked(
    archive: Path,
    folder: Path,
    *,
    name: str | None = None,
    subdirectory: str | None = None,
    most_bytes: int = _MOST_BYTES,
) -> Path:
    """Unpack a source archive into an empty folder and return the project in it.

    The kind is detected from the content, because files in the cache have no names.

    Args:
        archive: An sdist or archive: tar (plain, gzip, bzip2, xz) or zip.
        folder: Where to unpack it; created if it does not exist.
        name: What messages call the archive, if not the name of its file.
        subdirectory: The project's folder in the archive, as the lock says.
        most_bytes: The most bytes that may be written.

    Returns:
        The archive's single top folder (PEP 517), or `folder` if there is none.

    Raises:
        SourceBuildError: It is broken, it is not safe, or it has no such subdirectory.
    """
    shown = name or archive.name
    folder.mkdir(parents=True, exist_ok=True)
    with _readable(shown), ExitStack() as stack:
        members = stack.enter_context(_opened(archive))
        _Unpacking(shown, folder, most_bytes).run(members)
    entries = sorted(folder.iterdir())
    if not entries:
        raise BrokenSourceError(shown, "it is empty")
    top = entries[0]
    is_top = len(entries) == 1 and top.is_dir() and not top.is_symlink()
    return project_below(top if is_top else folder, subdirectory, what=shown)


def project_below(root: Path, subdirectory: str | None, *, what: str) -> Path:
    """Return a subdirectory of unpacked or checked out source code.

    Raises:
        NoSuchFolderError: It does not exist, or it leads out of the source code.
    """
    if not subdirectory:
        return root
    path = root / subdirectory.replace("\0", "?")
    inside = path.resolve().is_relative_to(root.resolve())
    if not inside or not path.is_dir():
        raise NoSuchFolderError(what, subdirectory)
    return path


@contextmanager
def _readable(shown: str) -> Iterator[None]:
    """Turn what the standard library raises for broken archives into one error."""
    try:
        yield
    except (
        EOFError,
        OSError,
        ValueError,  # a NUL in a name, an invalid date
        RuntimeError,  # an encrypted zip
        NotImplementedError,  # an unknown compression method
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise BrokenSourceError(shown, str(error) or type(error).__name__) from error


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    with archive.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    if is_zip:
        with zipfile.ZipFile(archive) as opened_zip:
            yield _zip_members(opened_zip)
    else:
        with archive.open("rb") as file, _Tar.open(fileobj=file, mode="r:*") as opened_tar:
            yield _tar_members(opened_tar)


class _Tar(tarfile.TarFile):
    """A tar whose headers are limited: tarfile reads a name of two gigabytes into memory."""

    def __init__(
        self, name: str | None = None, mode: str = "r", fileobj: Any = None, **more: Any
    ) -> None:
        super().__init__(name, mode, _ShortReads(fileobj), **more)  # type: ignore[arg-type]


class _ShortReads:
    """A file that refuses to read much at once; contents of members are read in chunks."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"it has a header of more than {_LONGEST_HEADER:,} bytes")
        return self._file.read(size)


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for entry in archive:
        yield _Member(
            name=entry.name,
            kind=_tar_kind(entry),
            executable=bool(entry.mode & stat.S_IXUSR),
            size=entry.size,
            target=entry.linkname,
            open=partial(_tar_content, archive, entry),
        )


def _tar_content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(entry)
    if content is None:
        raise tarfile.ExtractError(f"`{entry.name}` is not a file")
    return content


def _tar_kind(entry: tarfile.TarInfo) -> _Kind:
    if entry.isreg():
        return "file"
    if entry.isdir():
        return "folder"
    if entry.issym():
        return "symlink"
    return "hardlink" if entry.islnk() else "other"


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for entry in archive.infolist():
        mode = entry.external_attr >> 16
        is_link = stat.S_ISLNK(mode)
        yield _Member(
            name=entry.filename,
            kind=_zip_kind(entry, mode),
            executable=bool(mode & stat.S_IXUSR),
            size=entry.file_size,
            target=_link_target(archive, entry) if is_link else "",
            open=partial(archive.open, entry),
        )


def _link_target(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """Read the target of a link, which is its content in a zip."""
    with archive.open(entry) as content:
        return os.fsdecode(content.read(_LONGEST_LINK))


def _zip_kind(entry: zipfile.ZipInfo, mode: int) -> _Kind:
    if entry.is_dir():
        return "folder"
    if stat.S_ISLNK(mode):
        return "symlink"
    # Archives from other systems, and those that Python wrote, have no file type in the mode.
    return "file" if stat.S_ISREG(mode) or not stat.S_IFMT(mode) else "other"


class _Unpacking:
    """Write members into a folder; links last, so that nothing is written through a link."""

    def __init__(self, shown: str, folder: Path, most_bytes: int) -> None:
        self._shown = shown
        self._folder = folder
        self._most_bytes = most_bytes
        self._bytes = 0
        self._links: dict[Path, _Member] = {}

    def run(self, members: Iterator[_Member]) -> None:
        for count, member in enumerate(members):
            if count >= _MOST_MEMBERS:
                raise self._unsafe(f"it has more than {_MOST_MEMBERS:,} members")
            self._write(member)
        for path, member in self._links.items():
            self._link(path, member)
        for path, member in self._links.items():
            # Resolved as the system does it, since a link may lead through another one.
            if not self._is_inside(os.path.realpath(path)):
                raise self._leads_out(member)

    def _write(self, member: _Member) -> None:
        path = self._place(member.name)
        match member.kind:
            case "folder":
                path.mkdir(parents=True, exist_ok=True)
            case "file":
                with member.open() as content:
                    self._copy(content, path, member)
            case "hardlink":
                # The member that it is a second name of has already been written (pax).
                with self._place(member.target).open("rb") as content:
                    self._copy(content, path, member)
            case "symlink":
                self._links[path] = member
            case "other":
                raise self._unsafe(f"`{member.name}` is a device, a pipe or something like it")

    def _place(self, name: str) -> Path:
        """Return the path of a member, which must be below the folder."""
        drive, _ = os.path.splitdrive(name)
        parts = name.replace(os.sep, "/").split("/")
        if name.startswith("/") or drive or ".." in parts:
            raise self._unsafe(f"`{name}` leads out of the archive")
        return self._folder.joinpath(*parts)

    def _copy(self, content: IO[bytes], path: Path, member: _Member) -> None:
        # The declared size first, so that a member which is too large is not read at all.
        if self._bytes + member.size > self._most_bytes:
            raise self._too_large()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._links.pop(path, None)  # the last of several members with one name counts
        with path.open("wb") as file:
            while chunk := content.read(_CHUNK):
                self._bytes += len(chunk)
                if self._bytes > self._most_bytes:
                    raise self._too_large()
                file.write(chunk)
        # The same for every user: the umask must not affect what is built.
        path.chmod(0o755 if member.executable else 0o644)

    def _link(self, path: Path, member: _Member) -> None:
        target = posixpath.join(posixpath.dirname(member.name), member.target)
        climbs = posixpath.normpath(target).split("/")[0] == ".."
        if member.target.startswith("/") or climbs:
            raise self._leads_out(member)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(member.target)

    def _is_inside(self, path: str) -> bool:
        root = os.path.realpath(self._folder)
        return path == root or path.startswith(root + os.sep)

    def _leads_out(self, member: _Member) -> UnsafeSourceError:
        return self._unsafe(
            f"the link `{member.name}` leads out of the archive, to `{member.target}`"
        )

    def _too_large(self) -> UnsafeSourceError:
        return self._unsafe(f"it unpacks to more than {self._most_bytes:,} bytes")

    def _unsafe(self, problem: str) -> UnsafeSourceError:
        return UnsafeSourceError(self._shown, problem)
