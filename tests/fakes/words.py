"""Words that are not ours, asked of those who say them: the system and Python's libraries.

Messages pass them on. They are not the same on every system and change with releases, so
tests that compare a whole message take them from here.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DENIED",
    "IS_FOLDER",
    "NO_FILE",
    "NO_FOLDER",
    "NO_SPACE",
    "NO_TEXT",
    "NO_URL",
    "NO_ZIP",
    "REFUSED",
]


def _said(action: Callable[[], object]) -> str:
    try:
        action()
    except (ValueError, zipfile.BadZipFile) as error:
        return str(error)
    raise AssertionError(action)


DENIED = os.strerror(errno.EACCES)
NO_SPACE = os.strerror(errno.ENOSPC)
IS_FOLDER = os.strerror(errno.EISDIR)
NO_FILE = os.strerror(errno.ENOENT)
NO_FOLDER = os.strerror(errno.ENOTDIR)
REFUSED = os.strerror(errno.ECONNREFUSED)

NO_TEXT = _said(b"\xff".decode)
NO_URL = _said(lambda: urlsplit("https://[oops/"))
NO_ZIP = _said(lambda: zipfile.ZipFile(io.BytesIO()))
