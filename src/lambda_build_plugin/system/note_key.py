"""The key that notes in the cache are signed with: a secret of the user, kept elsewhere.

Whoever can write to the cache can write a note, so a note is only believed if it bears a
signature (HMAC, RFC 2104) that needs this key. It never lies in the cache itself, so that a
cache can be shared or restored by a CI service without it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["key_of_this_process", "read_key"]

_LENGTH = 32  # bytes, as many as sha256 has

_FILE = "cache-key"


def read_key(folder: Path | None, *, cache: Path) -> bytes:
    """Read the key of the user, or make one if there is none that can be trusted.

    Without a place for it, the key is that of this process alone: nothing fails, but notes of
    earlier builds are made anew.

    Args:
        folder: Where the key is kept: the user's folder for state; None without a place.
        cache: The folder of the cache, which must not contain the key.
    """
    if folder is None or folder.is_relative_to(cache):
        return key_of_this_process()
    path = folder / _FILE
    try:
        return _trusted(path) or _made(path) or key_of_this_process()
    except OSError:
        return key_of_this_process()


@cache
def key_of_this_process() -> bytes:
    """Make a key that nobody else will know, and that is gone when the process ends."""
    return os.urandom(_LENGTH)


def _trusted(path: Path) -> bytes | None:
    """Read a key that nobody but the user can have read or written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != _LENGTH:
            return None
        if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
            return None
        return file.read()


def _made(path: Path) -> bytes | None:
    """Make a key; if another process is faster, take that one's.

    Raises:
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_LENGTH))
        try:
            os.link(temporary, path)  # fails if another process has made one meanwhile
        except OSError:  # a file is there, or the file system has no hard links
            if _trusted(path) is None:
                temporary.replace(path)  # what is there is not a key, or others may know it
    finally:
        temporary.unlink(missing_ok=True)
    return _trusted(path)
