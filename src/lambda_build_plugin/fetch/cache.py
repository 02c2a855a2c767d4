"""Files by their digest, on this machine; checked again each time they are used.

Nothing here is trusted: a name says which digest a file ought to have, and only
hashing it shows that it does. Writers put a file beside its place and move it in,
so several builds may share one cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lambda_build_plugin.fetch.failures import CacheError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lambda_build_plugin.lock.model import Digest

__all__ = ["Cache", "Checked", "check_file"]

_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A file whose content was hashed just now."""

    path: Path
    sha256: str
    """Hexadecimal."""

    size: int
    """Bytes."""

    digest: str
    """`algorithm:hexadecimal` in the algorithm that was asked for."""


def check_file(path: Path, algorithm: str = "sha256") -> Checked:
    """Hash a file.

    Raises:
        OSError: It cannot be read.
    """
    hashing = _Hashing(algorithm)
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hashing.update(view[:count])
    return hashing.checked(path)


class Cache:
    """A content-addressed folder of files, and small notes beside them."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, digest: Digest) -> Checked | None:
        """Get the file of a digest if it is there and really has it."""
        path = self._path(digest)
        try:
            checked = check_file(path, digest.partition(":")[0])
        except OSError:
            return None
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
        hashing = _Hashing(algorithm)
        with self._beside("files") as (file, temporary):
            for chunk in chunks:
                hashing.update(chunk)
                file.write(chunk)
            file.close()
            checked = hashing.checked(temporary)
            if digest is not None and checked.digest != digest:
                return checked
            path = self._path(checked.digest)
            _move(temporary, path)
        return hashing.checked(path)

    def note(self, kind: str, key: str) -> Mapping[str, str] | None:
        """Get a note that was kept; None where there is none or it is unreadable."""
        try:
            value = json.loads(self._note_path(kind, key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            return None
        return value

    def keep_note(self, kind: str, key: str, value: Mapping[str, str]) -> None:
        """Keep a note; it must be something that can be found out again."""
        with self._beside(kind) as (file, temporary):
            file.write(json.dumps(value, sort_keys=True).encode())
            file.close()
            _move(temporary, self._note_path(kind, key))

    def folder(self, kind: str, key: str) -> Path:
        """Name the place of a folder that another module keeps here; the key may be secret."""
        return self._root / kind / hashlib.sha256(key.encode()).hexdigest()

    def _path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        return self._root / "files" / algorithm / value[:2] / value

    def _note_path(self, kind: str, key: str) -> Path:
        return self._root / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    @contextmanager
    def _beside(self, kind: str) -> Iterator[tuple[BinaryIO, Path]]:
        folder = self._root / kind
        # Around the whole: a full disk may show in any write, or only when the file is closed.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=".part-")
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    yield file, temporary
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(str(self._root), error.strerror or str(error)) from error


def _move(temporary: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)


class _Hashing:
    """Hashes in sha256, and in the algorithm of the lock where that is another."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._sha256 = hashlib.sha256()
        self._other = None if algorithm == "sha256" else hashlib.new(algorithm)
        self._size = 0

    def update(self, chunk: bytes | memoryview) -> None:
        self._size += len(chunk)
        self._sha256.update(chunk)
        if self._other is not None:
            self._other.update(chunk)

    def checked(self, path: Path) -> Checked:
        sha256 = self._sha256.hexdigest()
        asked = sha256 if self._other is None else self._other.hexdigest()
        return Checked(
            path=path, sha256=sha256, size=self._size, digest=f"{self._algorithm}:{asked}"
        )
