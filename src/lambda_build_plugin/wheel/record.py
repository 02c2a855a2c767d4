"""Read and write the rows of RECORD files (PEP 376, PEP 427).

https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

from __future__ import annotations

import base64
import csv
import io
from typing import TYPE_CHECKING

from lambda_build_plugin.system.hashes import digest_of
from lambda_build_plugin.wheel.file import plain_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    RecordRow: TypeAlias = tuple[str, str, str]
    """Path, digest as `algorithm=base64`, and size in bytes; the last two may be empty."""

__all__ = ["record_content", "record_row", "record_rows", "spells_digest"]

_FIELDS = 3

_HEXADECIMAL = frozenset("0123456789abcdef")


def record_rows(text: str) -> Iterator[RecordRow]:
    """Yield path, digest and size of each row, with paths spelled as in `wheel.file.members`.

    Raises:
        ValueError: The text is not CSV, or a row does not have three fields.
    """
    try:
        # Rows end where CSV says, and not at every character that str.splitlines knows.
        for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
            if len(row) != _FIELDS:
                raise ValueError(f"row {number} of RECORD has {len(row)} fields instead of 3")
            name, digest, size = row
            yield plain_path(name.replace("\\", "/")), digest, size
    except csv.Error as error:
        raise ValueError(f"RECORD is not valid: {error}") from error


def spells_digest(value: str, digest: bytes) -> bool:
    """Tell whether the value of a row spells a digest, in whichever way.

    The specification asks for urlsafe base64 without padding. There are wheels with padding,
    with the standard alphabet, and with hexadecimal digits (of uv_build before 0.8.13); pip and
    uv install them, because they do not compare digests at all.

    Args:
        value: The part of a row's digest behind `algorithm=`.
        digest: The bytes that the algorithm gives for the content.
    """
    if len(value) == 2 * len(digest) and _HEXADECIMAL.issuperset(value.lower()):
        return bytes.fromhex(value) == digest
    plain = value.rstrip("=").replace("+", "-").replace("/", "_")
    return plain == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def record_row(path: str, content: bytes) -> RecordRow:
    """Describe a file by its path and its content."""
    return path, digest_of(content), str(len(content))


def record_content(rows: Iterable[RecordRow]) -> bytes:
    """Write rows, in the order given, as the content of a RECORD file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
