"""Keep the layouts of wheels in the cache, so that each wheel is laid out once.

A layout is a fact about the bytes of a wheel and its file name, and is noted by them. Notes in the
cache can be trusted: each one is signed with the user's key.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.stage.layout import lay_out
from lambda_build_plugin.stage.tree import Entry, WheelLayout
from lambda_build_plugin.wheel.file import check_unchanged
from lambda_build_plugin.wheel.members import Member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["Layouts"]

_NOTES = "layouts"
_FORM = "2"
"""The version of a layout, to be raised if wheels are laid out differently."""

# Several projects of a run may need the same one.
_lay_out_local = lru_cache(maxsize=16)(lay_out)


class Layouts:
    """Lays wheels out, or remembers how they were laid out."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def of(self, wheel: Wheel) -> WheelLayout:
        """Get the layout of a wheel; `Wheel.sha256` must have been found by hashing the file.

        Raises:
            StageError: The wheel is broken, would write outside of the artifact, or has changed
                since it was hashed.
        """
        if wheel.source == "local":  # it is built anew each time
            return _lay_out_local(wheel)
        layout = _from_note(wheel, self._cache.note(_NOTES, _key(wheel)))
        if layout is None:
            layout = lay_out(wheel)
            check_unchanged(wheel.path, wheel.sha256, shown=wheel.filename)
            self.keep(wheel, layout)
        return layout

    def is_noted(self, wheel: Wheel) -> bool:
        """Tell whether it is noted how a wheel is laid out."""
        note = self._cache.note(_NOTES, _key(wheel))
        return note is not None and note.get("form") == _FORM

    def keep(self, wheel: Wheel, layout: WheelLayout) -> None:
        """Note how a wheel of somebody else is laid out.

        The file must still have had its digest after it was laid out.
        """
        with suppress(FetchError):  # a cache that cannot be written costs time only
            self._cache.keep_note(_NOTES, _key(wheel), _as_note(layout))


def _key(wheel: Wheel) -> str:
    return f"{wheel.sha256}\n{wheel.filename}"


def _as_note(layout: WheelLayout) -> dict[str, str]:
    rows = json.dumps([list(_row(entry)) for entry in layout.entries])
    return {"form": _FORM, "dist-info": layout.dist_info, "rows": rows}


def _row(entry: Entry) -> Iterator[object]:
    member = cast("Member", entry.data)  # a wheel has nothing else
    yield from (entry.path, entry.digest, entry.executable)
    yield from (member.name, member.header_offset, member.compressed_size)
    yield from (member.size, member.crc, member.method)


def _from_note(wheel: Wheel, note: Mapping[str, str] | None) -> WheelLayout | None:
    if note is None or note.get("form") != _FORM:
        return None
    path, owner = wheel.path, wheel.name
    return WheelLayout(
        dist_info=note["dist-info"],
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
                json.loads(note["rows"])
            )
        ),
    )
