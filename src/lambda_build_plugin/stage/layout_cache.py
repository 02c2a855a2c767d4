"""Layouts of wheels, kept in the cache: what is found out of a wheel is found out once.

A layout is a fact about the bytes of a wheel and its file name, and is noted by them; the
digest of the bytes was taken just before. A note that is damaged is made anew.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.stage.layout import lay_out
from lambda_build_plugin.stage.tree import Entry, WheelLayout
from lambda_build_plugin.wheel.members import Member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["Layouts"]

_NOTES = "layouts"
_FORM = "1"
"""Of a layout; raised when wheels come to be laid out otherwise."""


class Layouts:
    """Lays wheels out, or remembers how they were."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def of(self, wheel: Wheel) -> WheelLayout:
        """Get the layout of a wheel; `Wheel.sha256` has to be that of the file as it is now.

        Raises:
            StageError: The wheel is broken, or wants to write outside of the artifact.
        """
        if wheel.source == "local":  # it is built anew each time
            return lay_out(wheel)
        key = f"{wheel.sha256}\n{wheel.filename}"
        layout = _from_note(wheel, self._cache.note(_NOTES, key))
        if layout is None:
            layout = lay_out(wheel)
            with suppress(FetchError):  # a cache that cannot be written costs time only
                self._cache.keep_note(_NOTES, key, _as_note(layout))
        return layout


def _as_note(layout: WheelLayout) -> dict[str, str]:
    rows = json.dumps([list(_row(entry)) for entry in layout.entries])
    return {
        "form": _FORM,
        "dist-info": layout.dist_info,
        "rows": rows,
        "sha256": _sha256(layout.dist_info + rows),
    }


def _row(entry: Entry) -> Iterator[object]:
    member = cast("Member", entry.data)  # a wheel has nothing else
    yield from (entry.path, entry.digest, entry.executable)
    yield from (member.name, member.header_offset, member.compressed_size)
    yield from (member.size, member.crc, member.method)


def _from_note(wheel: Wheel, note: Mapping[str, str] | None) -> WheelLayout | None:
    if note is None or note.get("form") != _FORM:
        return None
    dist_info, rows = note.get("dist-info", ""), note.get("rows", "")
    if note.get("sha256") != _sha256(dist_info + rows):
        return None
    path, owner = wheel.path, wheel.name
    return WheelLayout(
        dist_info=dist_info,
        entries=tuple(
            Entry(
                name,
                owner,
                Member(path, member, offset, compressed, size, crc, method),
                digest,
                size,
                executable,
            )
            for name, digest, executable, member, offset, compressed, size, crc, method in (
                json.loads(rows)
            )
        ),
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
