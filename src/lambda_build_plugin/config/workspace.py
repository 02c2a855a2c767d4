"""Several projects of one run: the folders that were named, or the members of a workspace.

`find_projects` turns what the command line has into a list of folders, each of which is built
as if it had been named alone. It reads pyproject.toml files and lists folders; nothing is
built, and all mistakes are told together.
"""

from __future__ import annotations

import glob
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.sources import TABLE, WORKSPACE, misnamed_tables
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import SettingsError, quoted
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lambda_build_plugin.config.tables import Table

__all__ = ["find_projects", "is_pattern", "workspace_hint"]

_PYPROJECT = "pyproject.toml"

_PLACES = ((TABLE, WORKSPACE), ("uv", "workspace"), ("pdm", "workspace"))
"""Tables below `[tool]` that name the members of a workspace; the first in a file counts.

https://docs.astral.sh/uv/concepts/projects/workspaces/ describes those of uv.
"""


def find_projects(
    folders: Sequence[Path], *, workspace: bool, marks: Collection[str]
) -> tuple[Path, ...]:
    """List the folders of the projects to build, each once, in the order given.

    Args:
        folders: Absolute paths, as they were named. One that does not exist may be a pattern
            such as `functions/*`, which a shell has left as it is.
        workspace: Whether to list the members of the workspace that the only folder is in, as
            far as they have a `[tool.lambda-build]` table of their own.
        marks: The names of files one of which makes a folder a project, such as
            `pyproject.toml` and the default names of locks.

    Returns:
        Absolute paths of existing folders. The members of a workspace come in the order of the
        patterns in its table, and by name within a pattern; the root itself comes first.

    Raises:
        SettingsError: A folder does not exist or is not a project, a pattern matches nothing,
            a table is wrong, or the workspace has no member to build. It lists every mistake.
    """
    if not workspace:
        return _named(folders, marks)
    if len(folders) != 1:
        raise SettingsError(
            ["--workspace: does not go together with several folders"],
            hint="leave the folders out, or name one inside the workspace",
        )
    return _members_to_build(_Workspace.around(folders[0]))


def is_pattern(folder: Path) -> bool:
    """Tell whether the name of a folder is a pattern: it has wildcards, and does not exist."""
    return glob.has_magic(str(folder)) and not os.path.lexists(folder)


def workspace_hint(folder: Path) -> str:
    """Suggest `--workspace` for a root that has no settings of its own, but members to build.

    Returns:
        The end of a sentence that begins with what to do; empty for any other folder.
    """
    try:
        workspace = _Workspace.around(folder)
        if workspace.root != folder.resolve() or _has_table(folder):
            return ""
        members = _members_to_build(workspace)
    except (SettingsError, TableError, OSError):
        return ""
    example = Path(os.path.relpath(members[0], workspace.root)).as_posix()
    return (
        "the members of this workspace with `--workspace`, or name the folders of some of them, "
        f"such as {example}"
    )


# --- folders that are named -----------------------------------------------------------


def _named(folders: Sequence[Path], marks: Collection[str]) -> tuple[Path, ...]:
    problems: list[str] = []
    found: dict[Path, Path] = {}
    for named in folders:
        matches = _matches(named) if is_pattern(named) else [named]
        if not matches:
            problems.append(f"the pattern {named} matches no folder")
        for folder in matches:
            if not folder.is_dir():
                problems.append(f"{folder} is not a folder")
            elif not any((folder / mark).is_file() for mark in marks):
                problems.append(
                    f"{folder} is not a project: it has neither a {_PYPROJECT} nor a lock"
                )
            else:
                found.setdefault(folder.resolve(), folder)
    if problems:
        raise SettingsError(problems, hint="name folders that have a pyproject.toml or a lock")
    return tuple(found.values())


def _matches(pattern: Path) -> list[Path]:
    paths = (Path(path) for path in glob.iglob(str(pattern), recursive=True))  # noqa: PTH207 - absolute
    return sorted(path for path in paths if path.is_dir())


# --- the members of a workspace -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Workspace:
    """The root of a workspace, and the table that names its members."""

    root: Path
    table: Table
    is_own: bool
    """Whether it is our own table, in which each pattern has to match something."""

    @classmethod
    def around(cls, folder: Path) -> _Workspace:
        """Find the workspace of a folder: at the folder itself, or at the nearest one above.

        The search ends at the top of the repository.

        Raises:
            SettingsError: There is none, or a pyproject.toml cannot be read.
        """
        start = folder.resolve()
        if not start.is_dir():
            raise SettingsError([f"{folder} is not a folder"], hint="name the project's folder")
        for root in (start, *start.parents):
            with _told_at(root):
                if (found := cls._at(root)) is not None:
                    return found
            if (root / ".git").exists():
                break
        tables = quoted(f"[tool.{'.'.join(place)}]" for place in _PLACES)
        raise SettingsError(
            [
                f"--workspace: {folder} is in no workspace: no folder up to {root} has one of "
                f"{tables}"
            ],
            hint=f"name the members at the root: `[tool.{TABLE}.{WORKSPACE}] "
            'members = ["functions/*"]`',
        )

    @classmethod
    def _at(cls, root: Path) -> _Workspace | None:
        path = root / _PYPROJECT
        if not path.is_file():
            return None
        tool = read_toml(path).table("tool")
        for name, key in _PLACES:
            if key in tool.table(name):
                return cls(
                    root=root,
                    table=tool.table(name).table(key),
                    is_own=name == TABLE,
                )
        return None

    def folders(self) -> Iterator[Path]:
        """Yield the root and the members that are not excluded.

        Raises:
            SettingsError: A pattern is wrong, or one of our own table matches nothing.
        """
        problems: list[str] = []
        with _told_at(self.root):
            self._check_keys(problems)
            excluded = {path for _, found in self._globbed("exclude", problems) for path in found}
            members = list(self._globbed("members", problems))
        if self.is_own:
            problems += [
                f"{self.table.place('members')}: `{pattern}` matches no folder below {self.root}"
                for pattern, found in members
                if not found
            ]
        if problems:
            raise SettingsError(problems, hint=f"fix {self.root / _PYPROJECT}")
        yield self.root
        for _, found in members:
            yield from (path for path in found if path not in excluded)

    def _check_keys(self, problems: list[str]) -> None:
        """Check our own table for keys that do not exist; those of others are their own."""
        if self.is_own:
            unknown = sorted(set(self.table) - {"members", "exclude"})
            problems += [
                f"{self.table.place(key)}: there is no such setting: use `members` and `exclude`"
                for key in unknown
            ]
            if "members" not in self.table:
                problems.append(f"{self.table.at}: the required key `members` is missing")

    def _globbed(self, key: str, problems: list[str]) -> Iterator[tuple[str, list[Path]]]:
        """Yield each pattern of a list with the folders that it matches, in their order."""
        for pattern in self.table.texts(key):
            try:
                paths = [path for path in self.root.glob(pattern) if path.is_dir()]
            except (ValueError, NotImplementedError, IndexError):  # such as `/functions` and ``
                problems.append(
                    f"{self.table.place(key)}: `{pattern}` is not a pattern for folders below "
                    f"{self.root}"
                )
                continue
            yield pattern, sorted(Path(os.path.normpath(path)) for path in paths)


def _members_to_build(workspace: _Workspace) -> tuple[Path, ...]:
    """List the members with a table of their own."""
    problems: list[str] = []
    found: dict[Path, Path] = {}
    for folder in workspace.folders():
        try:
            with _told_at(folder):
                if _has_table(folder):
                    found.setdefault(folder.resolve(), folder)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems, hint="fix these files")
    if not found:
        raise SettingsError(
            [f"no member of the workspace in {workspace.root} has a table [tool.{TABLE}]"],
            hint=f"add an empty [tool.{TABLE}] to the {_PYPROJECT} of each member to build",
        )
    return tuple(found.values())


def _has_table(folder: Path) -> bool:
    """Tell whether a project has settings of its own; the names of members are none.

    Raises:
        SettingsError: It has a table whose name looks like that of ours: it would be ignored,
            and the project would silently not be built.
    """
    path = folder / _PYPROJECT
    if not path.is_file():
        return False
    pyproject = read_toml(path)
    if misnamed := [f"{folder}: {problem}" for problem in misnamed_tables(pyproject)]:
        raise SettingsError(misnamed)
    tool = pyproject.table("tool")
    return TABLE in tool and set(tool.table(TABLE)) != {WORKSPACE}


@contextmanager
def _told_at(folder: Path) -> Iterator[None]:
    """Say of a mistake in a pyproject.toml in which folder it is.

    Raises:
        SettingsError: The file cannot be read, or a value in it is wrong.
    """
    try:
        yield
    except (TableError, OSError) as error:
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        raise SettingsError([f"{folder}: {reason}"], hint=f"fix {folder / _PYPROJECT}") from error
