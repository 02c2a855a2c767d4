"""One file on disk → `PlainFile`, if it can ship under a name that every system accepts."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.stage.tree import PlainFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

__all__ = ["FolderWalk", "LinkedFolders", "UnfitFileError", "plain_file", "real_place"]


_MOST_LINKED = 5_000


class UnfitFileError(StageError):
    """A file of the project cannot go into an artifact."""

    def __init__(self, path: str, problem: str, *, hint: str = "") -> None:
        self.path = path
        super().__init__(
            f"{path!r} cannot ship",
            why=problem,
            hint=hint or "rename it, or leave it out with the setting `exclude`",
        )


class LinkedFolders:
    """Count the folders that are reached through links, up to a limit.

    Each of them ships as a copy, so that two links in each of 24 nested folders to the next
    one would be 16 million folders.
    """

    def __init__(self) -> None:
        self._count = 0

    def add(self, path: str) -> None:
        """Count another one.

        Raises:
            UnfitFileError: There are too many.
        """
        self._count += 1
        if self._count > _MOST_LINKED:
            raise UnfitFileError(
                path,
                f"links lead to more than {_MOST_LINKED:,} folders, each of which would be copied",
                hint="remove links that lead to the same folders again, or leave them out with "
                "the setting `exclude`",
            )


class FolderWalk:
    """Walks a folder and yields every file in it; links ship as copies of what they point to."""

    def __init__(
        self,
        *,
        homes: Sequence[Path],
        outside: Callable[[str, Path], Exception],
        passed_over: Collection[str] = (),
    ) -> None:
        """Prepare a walk.

        Args:
            homes: Resolved folders in which links may end.
            outside: Makes the error about a link that ends elsewhere, from its path and its target.
            passed_over: Names of files and folders that are left out.
        """
        self._homes = homes
        self._outside = outside
        self._passed_over = passed_over
        self._linked = LinkedFolders()

    def files(self, folder: Path, path: str) -> Iterator[PlainFile]:
        """Yield the files of a folder under a path, which is empty or has a slash at its end.

        Raises:
            UnfitFileError: A file cannot ship, or links lead to too many folders.
        """
        yield from self._below(folder, path, (real_place(folder),))

    def _below(
        self, folder: Path, path: str, above: tuple[Path, ...], *, linked: bool = False
    ) -> Iterator[PlainFile]:
        for place in sorted(folder.iterdir()):
            if place.name in self._passed_over:
                continue
            name = path + place.name
            real = above[-1] / place.name
            if place.is_symlink():
                real = real_place(real)
                if not any(real.is_relative_to(home) for home in self._homes):
                    raise self._outside(name, real)
            if not place.is_dir():
                yield plain_file(place, name)
            elif real not in above:  # else a link back up: it would never end
                is_linked = linked or place.is_symlink()
                if is_linked:
                    self._linked.add(name)
                yield from self._below(place, f"{name}/", (*above, real), linked=is_linked)


def real_place(place: Path) -> Path:
    """Follow all links; a link to itself is returned as it is, without an error."""
    return Path(os.path.realpath(place))


def plain_file(place: Path, path: str) -> PlainFile:
    """Look at one file that will ship under a path, or at the target of a link.

    Raises:
        UnfitFileError: It is not a file, or its name does not work on every system.
    """
    try:
        mode = place.stat().st_mode
    except OSError as error:
        problem = "it is a link that points to nothing or to itself"
        raise UnfitFileError(
            path, problem if place.is_symlink() else error.strerror or str(error)
        ) from error
    if not stat.S_ISREG(mode):
        raise UnfitFileError(path, "it is a device, a pipe or a socket")
    _check_name(path)
    return PlainFile(path=path, place=place, executable=_is_executable(mode))


def _check_name(path: str) -> None:
    """Refuse a name that would be changed, or impossible, where the zip is unpacked."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnfitFileError(path, "its name is not UTF-8 text") from error
    if "\\" in path or ":" in path.partition("/")[0]:
        raise UnfitFileError(path, "its name contains a `\\` or a drive, as Windows paths do")


def _is_executable(mode: int) -> bool:
    """Check whether the owner may execute a file; always false on Windows."""
    return os.name != "nt" and bool(mode & stat.S_IXUSR)
