"""Find the project's lock, without reading it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.lock.errors import (
    InvalidLockError,
    LockNotFoundError,
    WorkspaceNotLockedError,
)
from lambda_build_plugin.lock.formats import DEFAULT_NAMES, FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.errors import LockError

__all__ = ["Found", "find_lock"]


class Found(NamedTuple):
    """The lock to read, and the names of all other locks that were passed over."""

    path: Path
    others: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the choice of the lock."""
        if not self.others:
            return ()
        return (
            f"using {self.path.name} and ignoring {', '.join(self.others)} beside it: "
            "choose a lock with the setting `lock`",
        )


def find_lock(project: Project, named: Path | None, *, needed: bool = False) -> Found | None:
    """Find the project's lock: the named one, or the first in the search order.

    Args:
        project: The project to look in, and in the folders above it for a workspace.
        named: The lock that the user named, if any.
        needed: Whether a lock is needed even without dependencies, because extras or
            groups were requested.

    Returns:
        The lock, or None if there is none and the project has nothing to lock.

    Raises:
        LockError: There is no lock, and the project has dependencies.
    """
    if named is not None:
        if not os.path.isfile(named):  # noqa: PTH113 - also false for impossible names
            raise InvalidLockError(
                named, f"{named} is not a file", hint="check the setting `lock` (--lock)"
            )
        return Found(path=named)
    there = [name for name in _names_in(project.root) if (project.root / name).is_file()]
    if there:
        return Found(path=project.root / there[0], others=tuple(there[1:]))
    if (of_workspace := _workspace_lock(project)) is not None:
        return Found(path=of_workspace)
    if project.needs_no_lock and not needed:
        return None
    raise _not_found(project)


def _names_in(folder: Path) -> Sequence[str]:
    """List the default names of locks that are in a folder; all if it cannot be listed."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are enough
    except OSError:
        return DEFAULT_NAMES
    return [name for name in DEFAULT_NAMES if name in names]


def _not_found(project: Project) -> LockError:
    """Say what the project has no lock of: itself, or the workspace that it is a member of."""
    # Not loaded by a build that has a lock.
    from lambda_build_plugin.lock.nearby import folders_nearby, format_of_tool

    row = format_of_tool(project)
    declared = project.is_package or project.dependencies is not None
    for folder in _folders_above(project) if declared else ():
        for each in FORMATS.values() if row is None else (row,):
            if each.covers(folder, project):
                return WorkspaceNotLockedError(folder, each)
    return LockNotFoundError(
        project.root,
        declared=declared,
        row=row,
        nearby=folders_nearby(project.root),
    )


def _workspace_lock(project: Project) -> Path | None:
    """Find the lock of the workspace that the project is a member of."""
    for folder in _folders_above(project):
        for row in FORMATS.values():
            for name in row.default_names if row.workspace else ():
                if (folder / name).is_file() and row.covers(folder, project):
                    return folder / name
    return None


def _folders_above(project: Project) -> Iterator[Path]:
    """Yield the folders where the lock of a workspace may be, up to the top of the repository."""
    for folder in project.root.parents:
        yield folder
        if (folder / ".git").exists():
            return
