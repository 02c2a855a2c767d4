"""Digests, spelled as in locks and as in `RECORD`, and the hashing of files."""

from __future__ import annotations

import base64
import errno
import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NewType

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


__all__ = [
    "Checked",
    "Digest",
    "Hashing",
    "check_file",
    "check_regular",
    "digest",
    "digest_of",
    "digest_of_file",
    "record_digest",
    "spelled_digest",
    "strongest",
]

Digest = NewType("Digest", str)
"""`algorithm:hexadecimal`, such as `sha256:ab12…`; only `digest` makes it."""

_LENGTHS = {
    "sha256": 64,
    "sha384": 96,
    "sha512": 128,
    "blake2b": 128,
    "sha3_256": 64,
    "sha3_384": 96,
    "sha3_512": 128,
    "blake2s": 64,
}
"""Algorithms that are strong enough, the preferred one first, with their hexadecimal digits."""

_CHUNK = 1 << 18

_BLOCK = 1 << 20  # bytes


def digest(algorithm: str, value: str) -> Digest | None:
    """Make a digest; None if the algorithm is too weak, or unknown.

    Raises:
        ValueError: The value is not a digest of this algorithm.
    """
    algorithm, value = algorithm.lower(), value.lower()
    if algorithm not in _LENGTHS:
        return None
    if len(value) != _LENGTHS[algorithm] or value.strip("0123456789abcdef"):
        raise ValueError(f"`{value}` is no {algorithm} digest")
    return Digest(f"{algorithm}:{value}")


def strongest(hashes: Mapping[str, str]) -> Digest | None:
    """Choose the digest to compare a file with: sha256 if there is one.

    Raises:
        ValueError: A value is not a digest of its algorithm.
    """
    known = [found for item in hashes.items() if (found := digest(*item)) is not None]
    if len(known) == 1:
        return known[0]
    order = list(_LENGTHS)
    return min(known, key=lambda d: order.index(d.partition(":")[0]), default=None)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A file whose content has just been hashed."""

    path: Path
    sha256: str
    """Hexadecimal."""

    size: int
    """Bytes."""

    digest: str
    """`algorithm:hexadecimal`, in the requested algorithm."""


def check_file(path: Path, algorithm: str = "sha256") -> Checked:
    """Hash a file.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    check_regular(path)
    hashing = Hashing(algorithm)
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hashing.update(view[:count])
    return hashing.checked(path)


def check_regular(path: Path) -> None:
    """Check that a file can be read to its end; reading a pipe, for example, might never end.

    Raises:
        OSError: It does not exist, or is a pipe, a device or a folder.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


class Hashing:
    """Hashes in sha256, and in the algorithm of the lock if that is a different one."""

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._sha256 = hashlib.sha256()
        self._other = None if algorithm == "sha256" else hashlib.new(algorithm)
        self._size = 0

    def update(self, chunk: bytes | memoryview) -> None:
        """Hash the next bytes."""
        self._size += len(chunk)
        self._sha256.update(chunk)
        if self._other is not None:
            self._other.update(chunk)

    def checked(self, path: Path) -> Checked:
        """Give the digests of all bytes so far, as the digests of a file."""
        sha256 = self._sha256.hexdigest()
        asked = sha256 if self._other is None else self._other.hexdigest()
        return Checked(
            path=path, sha256=sha256, size=self._size, digest=f"{self._algorithm}:{asked}"
        )


def digest_of(content: bytes) -> str:
    """Get the sha256 of some bytes, spelled as in `RECORD`."""
    return record_digest(hashlib.sha256(content))


def digest_of_file(path: Path) -> tuple[str, int]:
    """Get the sha256 of a file, spelled as in `RECORD`, and its size in bytes.

    Raises:
        StageError: The file cannot be read.
    """
    found, size = hashlib.sha256(), 0
    try:
        with path.open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                found.update(block)
                size += len(block)
    except OSError as error:
        raise StageError(
            f"{path} cannot be read",
            why=error.strerror or str(error),
            hint="check its permissions, or leave it out with the setting `exclude`",
        ) from error
    return record_digest(found), size


def record_digest(found: hashlib._Hash) -> str:
    """Spell a digest as in `RECORD`: URL-safe base64 without padding."""
    return spelled_digest(found.digest())


def spelled_digest(sha256: bytes) -> str:
    """Spell the bytes of a sha256 in the same way."""
    return f"sha256={base64.urlsafe_b64encode(sha256).rstrip(b'=').decode()}"
