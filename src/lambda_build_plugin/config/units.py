"""Sizes and times with their units, as people write them: `2GB`, `500MB`, `30d`, `12h`."""

from __future__ import annotations

import re

__all__ = ["read_duration", "read_size"]

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?)(?:i?B)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,9}) ?([hdw])", re.ASCII)

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}


def read_size(text: str) -> int:
    """Read a size with its unit, such as `2GB` or `1.5 GiB`.

    Returns:
        Bytes. As in all reports, and in Lambda's documents, 1 MB are 1024 x 1024 bytes.

    Raises:
        ValueError: It is something else; every number but 0 needs its unit.
    """
    if text == "0":
        return 0
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not a size such as `500MB` or `2GB`")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].upper()])


def read_duration(text: str) -> int:
    """Read a number of hours, days or weeks, such as `12h`, `30d` or `2w`.

    Returns:
        Seconds.

    Raises:
        ValueError: It is something else; a number needs its unit.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is not a time such as `12h`, `30d` or `2w`")
    return int(match[1]) * _HOURS[match[2]] * 60 * 60
