"""The lock formats, in one table: what they are called, who makes them and who reads them.

A new format is one module with a reader, and one row here. The search order, the help of
`--lock` and the hints of errors are made from these rows. This module imports next to
nothing, so that `--help` can use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.fields import Context
    from lambda_build_plugin.lock.model import Lock

__all__ = ["DEFAULT_NAMES", "FORMATS", "LockFormat", "commands_by_tool", "format_of"]

_LOCK = "lambda_build_plugin.lock"


class LockFormat(NamedTuple):
    """One format of locks."""

    name: str
    """What people call it, such as `uv.lock` or `requirements file`."""

    default_names: tuple[str, ...]
    """The file names to search for in a project, in this order."""

    reader: str
    """`module:function`, loaded only when a lock of this format is read."""

    tool: str
    """The tool that makes it, as the hint of `LockNotFoundError` lists it."""

    command: str
    """The command that makes or refreshes a lock of this format."""

    patterns: tuple[str, ...] = ()
    """More file names that `--lock` accepts, as `fnmatch` patterns."""

    naming: str = ""
    """How to name such a file, if `default_names` does not say it all."""

    note: str = ""
    """What to know before the command is run."""

    needs_pyproject: bool = False
    """Whether such a lock says nothing without the pyproject.toml that it was made from."""

    workspace: str = ""
    """`module:function` that tells if a lock in a folder covers a project below it."""

    def accepts(self, filename: str) -> bool:
        """Tell whether a file of this name is read as this format."""
        from fnmatch import fnmatch

        return any(fnmatch(filename, name) for name in (*self.default_names, *self.patterns))

    def read(self, path: Path, context: Context) -> Lock:
        """Read a lock of this format.

        Raises:
            LockError: The lock is not valid, out of date or of an unknown version.
        """
        lock: Lock = _loaded(self.reader)(path, context)
        return lock

    def covers(self, folder: Path, project: Project) -> bool:
        """Tell whether this format's lock in a folder also covers a project below it."""
        return bool(self.workspace and _loaded(self.workspace)(folder, project))


def _loaded(target: str) -> Callable[..., Any]:
    from importlib import import_module

    module, _, name = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


FORMATS = {
    row.name: row
    for row in (
        LockFormat(
            name="pylock.toml",
            default_names=("pylock.lambda.toml", "pylock.toml"),
            patterns=("pylock.*.toml",),
            naming="pylock.toml or pylock.<name>.toml (PEP 751)",
            reader=f"{_LOCK}.pylock:read",
            tool="hatch",
            command="lambda-build lock",
        ),
        LockFormat(
            name="uv.lock",
            default_names=("uv.lock",),
            reader=f"{_LOCK}.uv:read",
            tool="uv",
            command="uv lock",
            needs_pyproject=True,
            workspace=f"{_LOCK}.uv:is_workspace",
        ),
        LockFormat(
            name="poetry.lock",
            default_names=("poetry.lock",),
            reader=f"{_LOCK}.poetry:read",
            tool="poetry",
            command="poetry lock",
            needs_pyproject=True,
        ),
        LockFormat(
            name="pdm.lock",
            default_names=("pdm.lock",),
            reader=f"{_LOCK}.pdm:read",
            tool="pdm",
            command="pdm lock",
            needs_pyproject=True,
            workspace=f"{_LOCK}.pdm_freshness:is_workspace",
        ),
        LockFormat(
            name="Pipfile.lock",
            default_names=("Pipfile.lock",),
            reader=f"{_LOCK}.pipfile:read",
            tool="pipenv",
            command="pipenv lock",
        ),
        LockFormat(
            name="requirements file",
            default_names=("requirements.lock", "requirements.txt"),
            patterns=("requirements*.lock", "*.txt"),
            naming="requirements.lock, or any name that ends in .txt (requirements file)",
            reader=f"{_LOCK}.requirements:read",
            tool="pip-tools",
            command="pip-compile --generate-hashes -o requirements.txt pyproject.toml",
            note="on Linux, because it locks only for the system that it runs on",
        ),
    )
}
"""Each format by its name. The order of the rows is the search order."""

DEFAULT_NAMES = tuple(name for row in FORMATS.values() for name in row.default_names)
"""The file names to search for in a project: the first one that exists is the lock."""


def format_of(path: Path) -> LockFormat | None:
    """Find the format of a lock by the name of its file; None if no format has such a name."""
    return next((row for row in FORMATS.values() if row.accepts(path.name)), None)


def commands_by_tool() -> list[str]:
    """List how to make a lock, a line for each tool, in columns."""
    width = max(len(row.tool) for row in FORMATS.values())
    return [
        f"{f'{row.tool}:':{width + 1}} {row.command}{f' ({row.note})' if row.note else ''}"
        for row in FORMATS.values()
    ]
