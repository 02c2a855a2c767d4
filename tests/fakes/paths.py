"""What PATH and `sys.path` lead to while tests run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

__all__ = ["hide_module", "without"]


def hide_module(name: str) -> None:
    """Let this process, and those that are forked from it, find no module of a name.

    `None` says so: https://docs.python.org/3/reference/import.html#the-module-cache.
    """
    sys.modules[name] = None  # type: ignore[assignment]


def without(program: str, path: str) -> tuple[str, list[Path]]:
    """Make a PATH on which a program is not found, and everything else is.

    Returns:
        The PATH, and the folders that were made for it: each has links to what else was in a
        folder that contains the program. Whoever asks for them removes them.
    """
    folders, made = path.split(os.pathsep), []
    for place, folder in enumerate(folders):
        if shutil.which(program, path=folder) is None:
            continue
        links = Path(tempfile.mkdtemp(prefix="lambda-build-tests-"))
        for each in Path(folder).iterdir():
            if each.name != program:
                (links / each.name).symlink_to(each.absolute())
        folders[place] = str(links)
        made.append(links)
    return os.pathsep.join(folders), made
