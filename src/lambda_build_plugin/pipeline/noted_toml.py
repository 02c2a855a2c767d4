"""The content of a large lock, as a note in the cache: JSON is parsed thirty times as fast as TOML.

Locks with packages of this machine, such as those of workspaces, are read in each build, because
more decides what they say than their text. What is noted here is nothing but the text, under its
hash, so that all errors of a lock are found as without a note.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import Table, read_toml
from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.system.cache import Cache

__all__ = ["NotedToml"]

_NOTES = "tables"
_FORMAT = "1"
_LARGE = 1 << 15  # bytes; less is parsed in a few milliseconds


@dataclass(frozen=True, kw_only=True)
class NotedToml:
    """Reads TOML files like `read_toml`; all instances are equal, since all read the same."""

    cache: Cache = field(repr=False, compare=False)

    def __call__(self, path: Path) -> Table:
        """Read a file, or the note of what is in it.

        Raises:
            TableError: The file is not UTF-8 or not TOML.
            OSError: It cannot be read.
        """
        content = path.read_bytes()
        if len(content) < _LARGE:
            return read_toml(path)
        key = f"{_FORMAT}\n{hashlib.sha256(content).hexdigest()}"
        note = self.cache.signed(_NOTES, key)
        if note is not None:
            return Table(json.loads(note), at=path.name)
        table = read_toml(path)
        # Dates, tables that are nested too deeply and giant numbers cannot be noted. A file that
        # has changed just now is noted next time.
        with suppress(TypeError, ValueError, RecursionError, OSError, FetchError):
            if path.read_bytes() == content:
                self.cache.keep_signed(_NOTES, key, json.dumps(table.whole()).encode())
        return table
