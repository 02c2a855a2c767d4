"""Files by their digest, on this machine; checked again each time they are used.

Nothing here is trusted: a name says which digest a file ought to have, and only
hashing it shows that it does. Writers put a file beside its place and move it in,
so several builds may share one cache.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.system.hashes import Hashing, check_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lambda_build_plugin.system.hashes import Checked, Digest

__all__ = ["Cache", "CacheError"]

_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Cache:
    """A content-addressed folder of files, and small notes beside them."""

    def __init__(self, root: Path, *, spare: Path | None = None) -> None:
        """Take the folder, and one for new files where that one may only be read."""
        self._root = root
        self._spare = spare
        self._read_only = ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the folder, after the fetching."""
        if not self._read_only:
            return ()
        return (
            f"the cache at {self._root} cannot be written ({self._read_only}): "
            "missing files are fetched again for each build",
        )

    def find(self, digest: Digest) -> Checked | None:
        """Get the file of a digest if it is there and really has it."""
        for root in filter(None, (self._root, self._spare)):
            path = _file_path(root, digest)
            try:
                checked = check_file(path, digest.partition(":")[0])
            except OSError:
                continue
            if checked.digest == digest:
                return checked
            with suppress(OSError):  # damaged: the next fetch brings it anew
                path.unlink()
        return None

    def store(self, chunks: Iterable[bytes], digest: Digest | None) -> Checked:
        """Keep what a stream brings, if it is what the digest says.

        The caller compares `Checked.digest` with what it wanted; a file that differs
        is not kept.

        Raises:
            CacheError: The folder cannot be written.
        """
        algorithm = digest.partition(":")[0] if digest else "sha256"
        hashing = Hashing(algorithm)
        with self._beside("files") as (file, temporary, root):
            for chunk in chunks:
                hashing.update(chunk)
                file.write(chunk)
            file.close()
            checked = hashing.checked(temporary)
            if digest is not None and checked.digest != digest:
                return checked
            path = _file_path(root, checked.digest)
            _move(temporary, path)
        return hashing.checked(path)

    def note(self, kind: str, key: str) -> Mapping[str, str] | None:
        """Get a note that was kept; None where there is none or it is unreadable."""
        for root in filter(None, (self._root, self._spare)):
            try:
                value = json.loads(_note_path(root, kind, key).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
                return value
        return None

    def keep_note(self, kind: str, key: str, value: Mapping[str, str]) -> None:
        """Keep a note; it must be something that can be found out again."""
        with self._beside(kind) as (file, temporary, root):
            file.write(json.dumps(value, sort_keys=True).encode())
            file.close()
            _move(temporary, _note_path(root, kind, key))

    def folder(self, kind: str, key: str) -> Path:
        """Name the place of a folder that another module keeps here; the key may be secret."""
        return self._root / kind / hashlib.sha256(key.encode()).hexdigest()

    @contextmanager
    def _beside(self, kind: str) -> Iterator[tuple[BinaryIO, Path, Path]]:
        # Around the whole: a full disk may show in any write, or only when the file is closed.
        try:
            descriptor, temporary, root = self._opened(kind)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield file, temporary, root
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(str(self._root), error.strerror or str(error)) from error

    def _opened(self, kind: str) -> tuple[int, Path, Path]:
        """Open a new file in the folder, or else in the spare one; say in which."""
        try:
            return *_new_file(self._root / kind), self._root
        except OSError as error:
            if self._spare is None or error.errno not in _READ_ONLY:
                raise
            self._read_only = error.strerror or str(error)
        return *_new_file(self._spare / kind), self._spare


def _file_path(root: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return root / "files" / algorithm / value[:2] / value


def _note_path(root: Path, kind: str, key: str) -> Path:
    return root / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _new_file(folder: Path) -> tuple[int, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".part-")
    return descriptor, Path(name)


def _move(temporary: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)


class CacheError(FetchError):
    """The cache cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"cannot write the cache at {path}",
            why=reason,
            hint="free space or set another folder with `--cache-dir`",
        )
