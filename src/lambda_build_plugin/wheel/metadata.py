"""Read the headers of core metadata (packaging.python.org/specifications/core-metadata/).

Reading stops at the first empty line, because the description follows it and may
contain lines that look like headers.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["headers", "values"]


def headers(metadata: bytes) -> dict[str, str]:
    """Map lower-case header names to values; the first header of a name wins."""
    found: dict[str, str] = {}
    for name, value in _fields(metadata):
        found.setdefault(name, value)
    return found


def values(metadata: bytes, name: str) -> list[str]:
    """List all values of one header, given by its lower-case name."""
    return [value for each, value in _fields(metadata) if each == name]


def _fields(metadata: bytes) -> Iterator[tuple[str, str]]:
    for line in io.BytesIO(metadata):
        if not line.strip():
            break
        name, colon, value = line.decode("utf-8", errors="replace").partition(":")
        if colon:
            yield name.lower(), value.strip()
