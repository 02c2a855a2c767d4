"""Find what somebody who is in the wrong folder may mean: a project or a lock nearby.

Loaded only for an error message.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock.formats import DEFAULT_NAMES, FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.formats import LockFormat

__all__ = ["folders_nearby", "format_of_tool"]

_PROJECT = "pyproject.toml"
_DEEPEST = 2
_MOST_FOLDERS = 500
_LISTED = 3
_OTHERS = {"build", "dist", "node_modules", "site-packages", "venv", "env"}

_BACKENDS = {"poetry.core": "poetry.lock", "pdm.": "pdm.lock", "uv_build": "uv.lock"}
"""How build backends begin that belong to one tool, with the lock of that tool."""


def folders_nearby(folder: Path) -> list[tuple[Path, str]]:
    """List folders that have a lock, or a project if the folder itself has none.

    Args:
        folder: Where there is no lock.

    Returns:
        At most three, each with the name of the file that was found there: the nearest folder
        above, up to the root of the repository, and folders below.
    """
    names = DEFAULT_NAMES
    if not (folder / _PROJECT).is_file():
        names = (*DEFAULT_NAMES, _PROJECT)
    found = [
        (place, name)
        for place in (*_above(folder), *_below(folder))
        if (name := next((name for name in names if (place / name).is_file()), None))
    ]
    above = [each for each in found if each[0] in folder.parents][:1]
    below = [each for each in found if each[0] not in folder.parents]
    return [*above, *below][:_LISTED]


def _above(folder: Path) -> Iterator[Path]:
    for place, parent in zip((folder, *folder.parents), folder.parents, strict=False):
        if (place / ".git").exists():
            return
        yield parent


def _below(folder: Path) -> Iterator[Path]:
    """Yield the folders below, the nearest first; not too many."""
    todo, seen = [folder], 0
    for _ in range(_DEEPEST):
        inner: list[Path] = []
        for place in todo:
            for entry in _folders(place):
                seen += 1
                if seen > _MOST_FOLDERS:
                    return
                inner.append(entry)
                yield entry
        todo = inner


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [place / name for name in sorted(names) if name[0] != "." and name not in _OTHERS]


def format_of_tool(project: Project) -> LockFormat | None:
    """Return the lock format of the tool that manages a project; None if that is not clear."""
    tools = {
        "poetry.lock": "poetry" in project.tool,
        "pdm.lock": "pdm" in project.tool,
        "uv.lock": "uv" in project.tool,
        "Pipfile.lock": (project.root / "Pipfile").is_file(),
    }
    found = {name for name, used in tools.items() if used}
    backend = project.build_system.backend
    found |= {name for start, name in _BACKENDS.items() if backend.startswith(start)}
    # hatchling alone says nothing: uv's projects use it, too.
    if not found and _is_for_hatch(project):
        found = {"pylock.toml"}
    return FORMATS[found.pop()] if len(found) == 1 else None


def _is_for_hatch(project: Project) -> bool:
    """Tell whether the project configures what only Hatch reads."""
    try:
        hatch = project.tool.table("hatch")
        return "envs" in hatch or "lambda" in hatch.table("build").table("targets")
    except TableError:  # whatever it is, it is not what Hatch reads
        return False
