"""Write results beside their destinations, and move them there when all are complete."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.system.hashes import check_file
from lambda_build_plugin.system.leftovers import part_name, sweep_parts
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from typing_extensions import Self


__all__ = [
    "OutputError",
    "Outputs",
    "PlacedOutputs",
    "SameFileError",
    "moved_in",
    "only_file",
    "writing",
]

_CHUNK = 1 << 20  # bytes


class OutputError(StageError):
    """The artifact cannot be written to its destination."""

    def __init__(self, path: Path, problem: str, *, hint: str = "") -> None:
        self.path = path
        super().__init__(
            f"cannot write {path}",
            why=problem,
            hint=hint or "choose another place, or fix its permissions",
        )


class SameFileError(OutputError):
    """Two artifacts of one build have the same destination, which is only known at its end."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            "another artifact of the same build is written there",
            hint="give one of them another `output`",
        )


@dataclass(frozen=True, kw_only=True)
class PlacedOutputs:
    """What a process has prepared, so that another one can move it or remove it."""

    results: tuple[tuple[Path, Path, bool], ...] = ()
    """The destination and the temporary path of each, and whether both have the same content."""

    folders: tuple[Path, ...] = ()
    """Those that were created for the results."""


class Outputs:
    """Several results that appear together at the end of a `with` block, or not at all.

    If the block fails, or one of the results cannot be moved to its destination, all
    destinations have what they had before, and folders that were created for them are removed.
    """

    def __init__(
        self,
        placed: PlacedOutputs | None = None,
        *,
        tell: Callable[[PlacedOutputs], object] | None = None,
    ) -> None:
        """Start without results, or take over those of another process.

        Args:
            placed: What the other process has prepared.
            tell: Hears what is prepared before anything of it is on the disk, so that nothing
                is left behind even if this process is killed.
        """
        placed = placed or PlacedOutputs()
        self._pending = [_Pending(*result) for result in placed.results]
        self._folders = list(placed.folders)
        self._tell = tell

    def place(self, path: Path) -> Path:
        """Prepare a destination, and return a temporary path where the caller writes the result.

        The result is a file or a folder. A destination that is a symbolic link keeps it: the
        file that it points to is replaced.

        Raises:
            OutputError: The parent folder cannot be created.
        """
        if path.is_symlink():
            path = Path(os.path.realpath(path))  # `resolve` fails for links that form a circle
        pending = _Pending(path, path.with_name(part_name()), is_same=False)
        with writing(path):
            missing = [*takewhile(lambda folder: not folder.exists(), path.parents)][::-1]
            self._pending.append(pending)
            self._folders += missing
            self._say()
            for folder in missing:
                folder.mkdir(exist_ok=True)  # another process may be faster
        sweep_parts(path.parent)
        return pending.temporary

    def discard(self, temporary: Path) -> None:
        """Forget a destination, given the path that `place` has returned for it."""
        pending = self._placed_at(temporary)
        pending.clean_up()
        self._pending.remove(pending)
        self._say()

    def find_same(self, temporary: Path, *, size: int, sha256: bytes) -> Path | None:
        """Find the file at a destination, if it is what would be written.

        It is left as it is, with its date, and nothing has to be written.

        Args:
            temporary: The path that `place` has returned.
            size: Bytes of what would be written.
            sha256: Its digest.
        """
        pending = self._placed_at(temporary)
        try:
            if pending.path.stat().st_size != size:
                return None
            pending.remember()
            pending.sha256 = check_file(pending.path).sha256
            pending.is_same = bytes.fromhex(pending.sha256) == sha256
        except OSError:
            return None
        self._say()
        return pending.path if pending.is_same else None

    def compare(self, temporary: Path) -> bool | None:
        """Tell whether a file that was written differs from the one at its destination.

        A file at the destination with the same content is left as it is, with its date.

        Args:
            temporary: The path that `place` has returned.

        Returns:
            None if there is no file at the destination.

        Raises:
            OutputError: The file at the destination cannot be read.
        """
        pending = self._placed_at(temporary)
        if pending.is_same:
            return False
        if not pending.path.is_file():
            return None
        with writing(pending.path):
            pending.remember()
            pending.is_same = _have_same_content(temporary, pending.path)
        self._say()
        return not pending.is_same

    @property
    def placed(self) -> PlacedOutputs:
        """What is prepared, for another process."""
        return PlacedOutputs(
            results=tuple((each.path, each.temporary, each.is_same) for each in self._pending),
            folders=tuple(self._folders),
        )

    def _placed_at(self, temporary: Path) -> _Pending:
        return next(each for each in self._pending if each.temporary == temporary)

    def _say(self) -> None:
        if self._tell is not None:
            self._tell(self.placed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._move_all()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove everything that has not been moved, and the folders that were created for it."""
        is_done = all(pending.is_moved or pending.is_same for pending in self._pending)
        for pending in self._pending:
            pending.clean_up()
        if not is_done:
            for folder in reversed(self._folders):
                with suppress(OSError):
                    folder.rmdir()

    def _check_destinations(self) -> None:
        """Check that no result would replace another; a version in a name is only known now."""
        seen: set[str] = set()
        for pending in self._pending:
            place = os.path.realpath(pending.path)
            if place in seen:
                raise SameFileError(pending.path)
            seen.add(place)

    def _move_all(self) -> None:
        """Move all results to their destinations, or none.

        Raises:
            OutputError: Two have the same destination, or one cannot be moved. The message says
                where the previous file of another destination is, should it be impossible to
                restore it.
        """
        self._check_destinations()
        written: set[tuple[int, int]] = set()
        try:
            for pending in self._pending:
                pending.check_file(written)
                pending.move()
                if (file := only_file(pending.path)) is not None:
                    written.add(file)
        except BaseException as error:
            lost = [problem for each in self._pending if (problem := each.roll_back())]
            if lost and isinstance(error, OutputError):
                error.why = "\n".join((error.why, *lost))
            raise


class _Pending:
    """One result on the way to its destination."""

    def __init__(self, path: Path, temporary: Path, is_same: bool) -> None:  # noqa: FBT001
        self.path = path
        self.temporary = temporary
        self.is_same = is_same
        """Whether the destination has this content already, so that nothing is moved."""
        self.sha256 = ""
        """That of the file at the destination, if it was hashed."""
        self._seen: tuple[int, ...] = ()
        self._aside = self.temporary.with_suffix(".old")
        """What was at the destination before, until all results have been moved."""
        self.is_moved = False

    def remember(self) -> None:
        """Remember the file at the destination before it is compared.

        Raises:
            OSError: It cannot be found.
        """
        self._seen = _identity(self.path)

    def check_file(self, written: Collection[tuple[int, int]]) -> None:
        """Check that what is at the destination is not what another result has written there.

        Raises:
            SameFileError: Both destinations are the same, in two spellings.
        """
        if only_file(self.path) in written:
            raise SameFileError(self.path)

    def _is_still_same(self) -> bool:
        """Tell whether the destination still has the content that it had when it was compared."""
        if not self.is_same:
            return False
        with suppress(OSError):
            now = _identity(self.path)
            return now == (self._seen or now) or check_file(self.path).sha256 == self.sha256
        return False

    def move(self) -> None:
        """Replace what is at the destination, and keep it until `clean_up`.

        Raises:
            OutputError: The system refuses it.
        """
        if self._is_still_same():
            return
        if self.is_same and not self.temporary.exists():
            raise OutputError(
                self.path,
                "it was the zip that this build would have written, and was changed or removed "
                "before the build ended",
                hint="build again when no command of the build, and nobody else, writes there",
            )
        with writing(self.path):
            self._keep_previous()
            self.temporary.replace(self.path)
        self.is_moved = True

    def _keep_previous(self) -> None:
        """Set a previous file aside, or an empty folder; nothing else can be replaced."""
        if self.path.is_file():
            try:
                # A second name for it, so that there is a file at the destination at any time.
                os.link(self.path, self._aside)
            except OSError:  # not possible on all file systems
                self.path.rename(self._aside)
        elif self.path.is_dir() and self.temporary.is_dir() and not any(self.path.iterdir()):
            self.path.rename(self._aside)

    def roll_back(self) -> str:
        """Restore what was at the destination; on failure say where it is, otherwise empty."""
        was_moved, self.is_moved = self.is_moved, False
        try:
            if was_moved and self.path.is_dir():
                shutil.rmtree(self.path)
            if os.path.lexists(self._aside):
                self._aside.replace(self.path)
                self._aside.unlink(missing_ok=True)  # where both were names of the same file
            elif was_moved:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            if os.path.lexists(self._aside):
                return f"the previous {self.path} is now {self._aside}: {error.strerror}"
        return ""

    def clean_up(self) -> None:
        """Remove what is temporary, and what a result that was moved has replaced."""
        with suppress(OSError):
            _remove(self.temporary)
        if self.is_moved:
            with suppress(OSError):
                # Not with its contents: a folder was empty when it was set aside.
                self._aside.rmdir() if self._aside.is_dir() else self._aside.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of an error of the system that the destination cannot be written.

    Raises:
        OutputError: The system has refused something.
    """
    try:
        yield
    except OSError as error:
        is_full = error.errno == errno.ENOSPC
        hint = "make room there, or choose another place" if is_full else ""
        raise OutputError(path, error.strerror or str(error), hint=hint) from error


@contextmanager
def moved_in(path: Path) -> Iterator[Path]:
    """Yield a temporary path; move it to the destination on success, and remove it on failure.

    The caller writes a file there or creates a folder. Parent folders that had to be created
    are removed again on failure.

    Raises:
        OutputError: The destination cannot be written.
    """
    with Outputs() as outputs, writing(path):
        yield outputs.place(path)


def only_file(path: Path) -> tuple[int, int] | None:
    """Identify a file that has one name, which may be spelled in several ways.

    So `A.zip` is known as `a.zip` on a disk that takes them for the same, and in a folder that
    is mounted at two places.

    Returns:
        None if there is no such file, it has several names (hard links), or the file system
        does not tell files apart.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    is_known = status.st_nlink == 1 and status.st_ino and stat.S_ISREG(status.st_mode)
    return (status.st_dev, status.st_ino) if is_known else None


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _have_same_content(one: Path, other: Path) -> bool:
    """Compare two files."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(_CHUNK):
            if chunk != second.read(_CHUNK):
                return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
