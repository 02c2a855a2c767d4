"""Core metadata (packaging.python.org/specifications/core-metadata/) → its headers.

Only what stands before the first empty line counts: the description follows it, and may
hold lines that look like headers.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["headers", "values"]


def headers(metadata: bytes) -> dict[str, str]:
    """Read the headers, the first of each name, by its lower-case name."""
    found: dict[str, str] = {}
    for name, value in _fields(metadata):
        found.setdefault(name, value)
    return found


def values(metadata: bytes, name: str) -> list[str]:
    """Read the values of one header that may be there several times, by its lower-case name."""
    return [value for each, value in _fields(metadata) if each == name]


def _fields(metadata: bytes) -> Iterator[tuple[str, str]]:
    for line in io.BytesIO(metadata):
        if not line.strip():
            break
        name, colon, value = line.decode("utf-8", errors="replace").partition(":")
        if colon:
            yield name.lower(), value.strip()
