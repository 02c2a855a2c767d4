"""Write beside the place where a result belongs, and move it there when it is complete."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


__all__ = ["OutputError", "moved_in"]


class OutputError(StageError):
    """The artifact cannot be written where it is wanted."""

    def __init__(self, path: Path, problem: str, *, hint: str = "") -> None:
        self.path = path
        super().__init__(
            f"cannot write {path}",
            why=problem,
            hint=hint or "choose another place, or mend its permissions",
        )


@contextmanager
def moved_in(path: Path) -> Iterator[Path]:
    """Give a name beside a place; move it in when all went well, else leave no trace.

    A file may be written there, or a folder made. Folders that had to be made on the
    way are removed again on failure.

    Raises:
        OutputError: The place cannot be written.
    """
    made: list[Path] = []
    if path.is_symlink():
        path = path.resolve()  # what it points to is meant, not the link
    # Without the name of the place, which may be as long as a name can be.
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            _remove(temporary)
        with suppress(OSError):
            for folder in reversed(made):
                folder.rmdir()
        if isinstance(error, OSError):
            raise OutputError(path, error.strerror or str(error)) from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
