"""Read the rows of RECORD (https://packaging.python.org/en/latest/specifications/recording-installed-packages/)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from installer.records import parse_record_file

from lambda_build_plugin.wheel.file import plain_path

if TYPE_CHECKING:
    from collections.abc import Iterator


__all__ = ["record_rows"]


def record_rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, digest and size as RECORD tells them (PEP 376), paths as in `members`."""
    # Rows end where CSV says, and not at every character that str.splitlines knows.
    for name, digest, size in parse_record_file(io.StringIO(text)):
        yield plain_path(name), digest, size
