"""What PATH leads to while tests run."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["without"]


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
