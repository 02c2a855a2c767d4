"""A wheel that is open, for everything that is found out about it while it is."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from lambda_build_plugin.wheel.file import dist_info_of, members, opened, read_text
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.record import RecordRow

__all__ = ["OpenWheel", "open_wheel"]


@contextmanager
def open_wheel(wheel: Wheel) -> Iterator[OpenWheel]:
    """Open a wheel, and report whatever is wrong with it as an error of ours.

    Raises:
        InvalidWheelError: It is not a zip, or something that is read in it is not valid.
    """
    with opened(wheel) as archive:
        yield OpenWheel(wheel, archive)


class OpenWheel:
    """A wheel that is open, whose directory and RECORD are read once for all who look into it."""

    def __init__(self, wheel: Wheel, archive: zipfile.ZipFile) -> None:
        """Read the directory.

        Raises:
            ValueError: It contains a file twice, or not one metadata folder of its own.
        """
        self.wheel = wheel
        self.archive = archive
        self.members = members(archive)
        self.dist_info = dist_info_of(wheel, self.members)

    @property
    def record(self) -> zipfile.ZipInfo | None:
        """Its RECORD, if it has one."""
        return self.members.get(f"{self.dist_info}/RECORD")

    @cached_property
    def record_rows(self) -> Sequence[RecordRow]:
        """The rows of its RECORD; none if it has no RECORD.

        Raises:
            ValueError: It is not one.
        """
        if self.record is None:
            return ()
        return tuple(record_rows(read_text(self.archive, self.record).decode("utf-8")))
