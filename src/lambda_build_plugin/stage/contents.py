"""The bytes of a tree's entries, and the tree written out as a folder."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.stage.packed import Packed
from lambda_build_plugin.system.hashes import digest_of
from lambda_build_plugin.wheel.members import Member, MemberReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lambda_build_plugin.stage.tree import Entry, StagedTree

__all__ = [
    "EXECUTABLE_MODE",
    "FILE_MODE",
    "ChangedFileError",
    "content_of",
    "contents",
    "write_folder",
]

FILE_MODE, EXECUTABLE_MODE = 0o644, 0o755


def content_of(entry: Entry, reader: MemberReader) -> bytes:
    """Read the content of an entry.

    Raises:
        StageError: A member is damaged, or a file is no longer what was staged.
    """
    data = entry.data
    if isinstance(data, bytes):
        return data
    if isinstance(data, Member):
        return reader.content(data)
    if isinstance(data, Packed):
        raise TypeError(f"{entry.path} is only known in its packed form")
    try:
        content = data.read_bytes()
    except FileNotFoundError as error:
        raise ChangedFileError(data) from error
    if digest_of(content) != entry.digest:
        raise ChangedFileError(data)
    return content


class ChangedFileError(StageError):
    """A file was changed or removed after it was staged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} has changed while it was packed",
            why="its content is not the one that was read a moment ago, or it is gone",
            hint="build again when nothing writes to it, or leave it out with `exclude`",
        )


def contents(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the content of each entry.

    Raises:
        StageError: A member is damaged.
        OSError: A wheel cannot be read.
    """
    with ExitStack() as stack:
        reader = MemberReader(stack)
        for entry in entries:
            yield content_of(entry, reader)


def write_folder(tree: StagedTree, folder: Path) -> None:
    """Write the tree as files, for people and tools that need to read them.

    Raises:
        StageError: A member is damaged.
        OSError: A file cannot be written.
    """
    folder.mkdir()
    with ExitStack() as stack:
        reader = MemberReader(stack)
        for entry in tree.entries:
            path = folder / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content_of(entry, reader))
            path.chmod(EXECUTABLE_MODE if entry.executable else FILE_MODE)
