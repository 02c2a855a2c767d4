"""What is in the folder of a cache, and its removal.

Only names that `system.cache` writes are seen. Whatever else is in the folder stays, so
nothing happens to a folder that was named by mistake.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.system.cache import FILES, FOLDER_KINDS
from lambda_build_plugin.system.leftovers import CACHE_PART

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Stored", "remove", "remove_empty_folders", "stored_in"]

_NOTE = re.compile(r"[0-9a-f]{64}\.note")
_FOLDER = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{64,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One file or folder of the cache, which is removed as a whole."""

    path: Path
    kind: str
    """The folder of the cache that it is in, such as `files`."""

    size: int
    """Bytes."""

    files: int
    used: float
    """When it was last used, in seconds since 1970; correct to an hour."""

    is_leftover: bool = False
    """Whether it is the unfinished work of a build."""


def stored_in(cache: Path) -> Iterator[Stored]:
    """List what is in a cache, also while builds change it.

    Args:
        cache: The folder; one that does not exist is empty.
    """
    for kind in _entries(cache):
        if kind.is_dir(follow_symlinks=False):
            for entry in _entries(kind.path):
                if (found := _stored(entry, kind.name)) is not None:
                    yield found
            if kind.name == FILES:
                yield from _files(kind.path)


def remove(entry: Stored) -> bool:
    """Remove something from the cache; return whether it is gone now."""
    if entry.path.is_dir() and not entry.path.is_symlink():
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with suppress(OSError):
            entry.path.unlink(missing_ok=True)
    return not os.path.lexists(entry.path)


def remove_empty_folders(cache: Path, entries: Iterable[Stored]) -> None:
    """Remove the folders in which these entries were, if nothing else is in them."""
    folders = {
        folder
        for entry in entries
        for folder in entry.path.parents
        if folder != cache and folder.is_relative_to(cache)
    }
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            folder.rmdir()


def _files(folder: str) -> Iterator[Stored]:
    """List the files by digest: `ALGORITHM/xx/xxyy…`, where `xx` begins the digest."""
    for algorithm in _entries(folder):
        for prefix in _entries(algorithm.path):
            for entry in _entries(prefix.path):
                if _DIGEST.fullmatch(entry.name) and entry.name.startswith(prefix.name):
                    found = _plain(entry, FILES)
                    if found is not None:
                        yield found


def _stored(entry: os.DirEntry[str], kind: str) -> Stored | None:
    """Describe what lies directly in the folder of a kind, if it is ours."""
    is_leftover = CACHE_PART.fullmatch(entry.name) is not None
    if is_leftover or (kind in FOLDER_KINDS and _FOLDER.fullmatch(entry.name)):
        if entry.is_dir(follow_symlinks=False):
            return _folder(entry, kind, is_leftover=is_leftover)
        return _plain(entry, kind, is_leftover=is_leftover)
    return _plain(entry, kind) if _NOTE.fullmatch(entry.name) else None


def _plain(entry: os.DirEntry[str], kind: str, *, is_leftover: bool = False) -> Stored | None:
    with suppress(OSError):  # it may be gone by now
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            return Stored(
                path=Path(entry.path),
                kind=kind,
                size=status.st_size,
                files=1,
                used=status.st_mtime,
                is_leftover=is_leftover,
            )
    return None


def _folder(entry: os.DirEntry[str], kind: str, *, is_leftover: bool) -> Stored | None:
    with suppress(OSError):
        sizes = []
        for folder, _, names in os.walk(entry.path):
            for name in names:
                with suppress(OSError):
                    sizes.append(os.lstat(os.path.join(folder, name)).st_size)  # noqa: PTH118 - many files
        return Stored(
            path=Path(entry.path),
            kind=kind,
            size=sum(sizes),
            files=len(sizes),
            used=entry.stat(follow_symlinks=False).st_mtime,
            is_leftover=is_leftover,
        )
    return None


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """List a folder; one that has gone or cannot be read is empty."""
    with suppress(OSError), os.scandir(folder) as found:
        return list(found)
    return []
