"""Write results beside their destination, and move them there when they are complete."""

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
    """The artifact cannot be written to its destination."""

    def __init__(self, path: Path, problem: str, *, hint: str = "") -> None:
        self.path = path
        super().__init__(
            f"cannot write {path}",
            why=problem,
            hint=hint or "choose another place, or fix its permissions",
        )


@contextmanager
def moved_in(path: Path) -> Iterator[Path]:
    """Yield a temporary path; move it to the destination on success, and remove it on failure.

    The caller writes a file there or creates a folder. Parent folders that had to be created
    are removed again on failure.

    Raises:
        OutputError: The destination cannot be written.
    """
    made: list[Path] = []
    if path.is_symlink():
        path = path.resolve()  # replace the file that the link points to, not the link
    # Without the destination's name, which may already have the greatest length allowed.
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
