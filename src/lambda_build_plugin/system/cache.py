"""Files by their digest, on this machine, and signed notes; checked each time they are used.

Nothing here is trusted. The name of a file says which digest it should have, and only hashing
shows that it has it. A note is believed only if it is signed with the key of the user, for
its own kind and key, so that neither a forged note nor a note that was moved has any effect.

A folder that belongs to another user is never written to. Its notes are not read, and its
files are copied while they are hashed, because their owner could change them at any time.

Writers put a file beside its place and move it in, so several builds may share one cache. The
modification time of a file is when it was last used, correct to an hour, for clean-ups.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import stat
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, get_args

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.system.hashes import Hashing, check_file
from lambda_build_plugin.system.note_key import key_of_this_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from lambda_build_plugin.system.hashes import Checked, Digest
    from lambda_build_plugin.system.sharing import SharedFolder

__all__ = [
    "FILES",
    "FOLDER_KINDS",
    "Cache",
    "CacheError",
    "belongs_to_another_user",
]

FILES = "files"
"""The folder of the files by their digest; beside it is one for each kind of notes."""

FolderKind: TypeAlias = Literal["git", "packages", "zig"]

FOLDER_KINDS = frozenset(get_args(FolderKind))
"""Kinds whose entries are folders that other modules keep here."""

_HOUR = 60 * 60  # seconds

_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

_CHUNK = 1 << 18  # bytes

_SIGNATURE_LENGTH = hashlib.sha256().digest_size


class Cache:
    """A content-addressed folder of files, and small notes beside them."""

    def __init__(
        self,
        root: Path,
        *,
        key: bytes | None = None,
        spare: Path | None = None,
        is_optional: bool = False,
        shared: SharedFolder | None = None,
    ) -> None:
        """Use a folder.

        Args:
            root: The folder, which may not exist yet.
            key: Signs the notes; without it, only notes of this process are believed.
            spare: For new files, if the folder can only be read or is another user's.
            is_optional: Whether to use the spare folder if this one cannot be made at all:
                nobody has chosen it.
            shared: Lets one of several processes fill the cache while the others wait; without
                it, each works on its own.
        """
        self._root = root
        self._key = key or key_of_this_process()
        self._spare = spare
        self._shared = shared
        self._read_only = ""
        self._is_foreign = belongs_to_another_user(root)
        self._obstacle = _obstacle(root) if is_optional and spare is not None else None

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """Wait while another build of the run makes what is missing, and look again then."""
        with nullcontext() if self._shared is None else self._shared.alone(f"cache {key}"):
            yield

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the folder, after the fetching."""
        if self._is_foreign:
            return (
                f"the cache at {self._root} belongs to another user: nothing is written to it, "
                "and only files whose hashes are locked are used from it; choose another folder "
                "with `--cache-dir`, or change its owner",
            )
        if self._read_only:
            return (
                f"the cache at {self._root} cannot be written ({self._read_only}): "
                "missing files are fetched again for each build",
            )
        return ()

    @property
    def _own(self) -> Path:
        """The folder that may be believed and written to, as far as its permissions allow."""
        is_unusable = self._is_foreign or self._obstacle is not None
        return self._spare if is_unusable and self._spare is not None else self._root

    def find(self, digest: Digest) -> Checked | None:
        """Get the file of a digest if it is there and really has it.

        Raises:
            CacheError: The file is another user's and cannot be copied.
        """
        for root in self._own_folders():
            path = _file_path(root, digest)
            try:
                checked = check_file(path, digest.partition(":")[0])
            except OSError:
                continue
            if checked.digest == digest:
                _note_use(path)
                return checked
            with suppress(OSError):  # damaged: the next fetch brings it anew
                path.unlink()
        return self._copied(digest) if self._is_foreign else None

    def _copied(self, digest: Digest) -> Checked | None:
        """Copy a file out of a folder of another user, and hash what was copied."""
        with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
            checked = self.store_file(_file_path(self._root, digest), digest)
            return checked if checked.digest == digest else None
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
        with self._beside(FILES) as (file, temporary, root):
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

    def store_file(self, path: Path, digest: Digest | None) -> Checked:
        """Keep a copy of a file, as `store` does with a stream.

        Raises:
            CacheError: The folder cannot be written.
            OSError: The file cannot be opened.
        """
        with path.open("rb") as file:
            return self.store(iter(lambda: file.read(_CHUNK), b""), digest)

    def note(self, kind: str, key: str) -> Mapping[str, str] | None:
        """Get a note that was kept; None if there is none that this user has signed."""
        content = self.signed(kind, key)
        if content is None:
            return None
        value: Mapping[str, str] = json.loads(content)
        return value

    def keep_note(self, kind: str, key: str, value: Mapping[str, str]) -> None:
        """Sign a note and keep it; it must be something that can be found out again.

        Raises:
            CacheError: The folder cannot be written.
        """
        self.keep_signed(kind, key, json.dumps(value, sort_keys=True).encode())

    def signed(self, kind: str, key: str) -> bytes | None:
        """Get a note of another format; None if there is none that this user has signed."""
        for root in self._own_folders():
            path = _note_path(root, kind, key)
            try:
                content = path.read_bytes()
            except OSError:
                continue
            signature, text = content[:_SIGNATURE_LENGTH], content[_SIGNATURE_LENGTH:]
            if hmac.compare_digest(signature, self._signature(kind, key, text)):
                _note_use(path)
                return text
        return None

    def keep_signed(self, kind: str, key: str, content: bytes) -> None:
        """Sign a note of another format and keep it.

        Raises:
            CacheError: The folder cannot be written.
        """
        with self._beside(kind) as (file, temporary, root):
            file.write(self._signature(kind, key, content))
            file.write(content)
            file.close()
            _move(temporary, _note_path(root, kind, key))

    def unchecked(self, digest: Digest) -> Path | None:
        """Find the file of a digest without hashing it, for a caller that hashes what it copies.

        Files of another user are not found.
        """
        for root in self._own_folders():
            path = _file_path(root, digest)
            with suppress(OSError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    _note_use(path, status)
                    return path
        return None

    def folder(self, kind: FolderKind, key: str) -> Path:
        """Name the place of a folder that another module keeps here; the key may be secret."""
        if self._obstacle is not None:
            self._read_only = _reason(self._obstacle)
        place = self._own / kind / hashlib.sha256(key.encode()).hexdigest()
        _note_use(place)
        return place

    def _signature(self, kind: str, key: str, text: bytes) -> bytes:
        """Sign the content of a note together with its kind and its key."""
        signing = hmac.new(self._key, hashlib.sha256(f"{kind}\0{key}".encode()).digest(), "sha256")
        signing.update(text)
        return signing.digest()

    def _own_folders(self) -> Iterator[Path]:
        if not self._is_foreign and self._obstacle is None:
            yield self._root
        if self._spare is not None:
            yield self._spare

    @contextmanager
    def _beside(self, kind: str) -> Iterator[tuple[BinaryIO, Path, Path]]:
        # Around the whole: a full disk may show in any write, or only when the file is closed.
        try:
            file, temporary, root = self._opened(kind)
            try:
                with file:
                    yield file, temporary, root
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(str(self._root), _reason(error)) from error

    def _opened(self, kind: str) -> tuple[BinaryIO, Path, Path]:
        """Open a new file in the folder, or else in the spare one; return in which one."""
        try:
            if self._is_foreign:
                raise PermissionError(errno.EPERM, "it belongs to another user")
            if self._obstacle is not None:
                raise self._obstacle
            return *_new_file(self._root / kind), self._root
        except OSError as error:
            is_expected = error is self._obstacle or error.errno in _READ_ONLY
            if self._spare is None or not is_expected:
                raise
            self._read_only = _reason(error)
        return *_new_file(self._spare / kind), self._spare


def _note_use(path: Path, status: os.stat_result | None = None) -> None:
    """Say of a file or a folder in the cache that it was used, at most once an hour."""
    with suppress(OSError):  # it is only read, or it is another user's
        if time.time() - (status or path.stat()).st_mtime > _HOUR:
            os.utime(path)


def belongs_to_another_user(root: Path) -> bool:
    """Tell whether a folder exists and is not the user's own, as pip does for its cache."""
    if os.name != "posix":
        return False
    try:
        return root.stat().st_uid != os.geteuid()
    except OSError:
        return False


def _obstacle(root: Path) -> OSError | None:
    """Make a folder, and return the error if that is not possible."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error
    return None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _file_path(root: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return root / FILES / algorithm / value[:2] / value


def _note_path(root: Path, kind: str, key: str) -> Path:
    return root / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.note"


def _new_file(folder: Path) -> tuple[BinaryIO, Path]:
    """Open a new file; its mode follows the umask, so that a shared cache can be read."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".part-{os.urandom(8).hex()}"
    return path.open("xb"), path


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
