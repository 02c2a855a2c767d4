"""Where a member of a zip lies, and how its bytes are read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path


__all__ = ["Member", "member_of"]


@dataclass(frozen=True, slots=True)
class Member:
    """Where the bytes of one file lie inside a wheel."""

    wheel: Path
    name: str
    header_offset: int
    compressed_size: int
    size: int
    crc: int
    method: int


def member_of(file: Path, info: zipfile.ZipInfo) -> Member:
    """Note where a member of a zip lies."""
    return Member(
        file,
        info.filename,
        info.header_offset,
        info.compress_size,
        info.file_size,
        info.CRC,
        info.compress_type,
    )
