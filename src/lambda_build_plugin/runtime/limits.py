"""Lambda's quotas for deployment packages, in bytes, and how sizes are shown.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

__all__ = ["MOST_ENTRIES", "UNZIPPED_LIMIT", "ZIPPED_LIMIT", "size_text"]

UNZIPPED_LIMIT = 262_144_000
"""Bytes that a function and its layers have to stay below together, unzipped."""

ZIPPED_LIMIT = 52_428_800
"""Bytes of a zip from which on it has to be uploaded through S3."""

MOST_ENTRIES = 65_535
"""Entries that a zip without zip64 can count; Lambda is not known to read zip64."""

_KILOBYTES_SHOWN = 100
_KILOBYTES_OF_A_GIGABYTE = 1024 * 1024


def size_text(size: int) -> str:
    """Write a number of bytes for people, in the MB that Lambda's documents use."""
    kilobytes = size / 1024
    if kilobytes >= _KILOBYTES_OF_A_GIGABYTE:
        return f"{kilobytes / _KILOBYTES_OF_A_GIGABYTE:.1f} GB"
    return f"{kilobytes / 1024:.1f} MB" if kilobytes >= _KILOBYTES_SHOWN else f"{kilobytes:.1f} KB"
