"""The errors about locks, each with a hint that says how to fix it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import LockError, quoted
from lambda_build_plugin.lock.formats import DEFAULT_NAMES, commands_by_tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.lock.formats import LockFormat
    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.runtime.target import Target

__all__ = [
    "AmbiguousPackageError",
    "ExcludedTargetError",
    "HostOnlyLockError",
    "InvalidLockError",
    "LockNotFoundError",
    "MissingHashError",
    "NotLockedError",
    "PyprojectNotFoundError",
    "StaleLockError",
    "UnknownGroupError",
    "UnlockedRequirementError",
    "UnresolvedPackageError",
    "UnsupportedLockError",
    "well_formed",
]

_FOR_ALL_MACHINES = """\
lock for all machines: run `lambda-build lock`, or add this to pyproject.toml and run
`hatch -e lambda lock`; both write pylock.lambda.toml
[tool.hatch.envs.lambda]
template = "lambda"
installer = "uv"
locked = true{python}
[tool.uv.pip]
universal = true"""
"""Without its own template, an environment also has the dependencies of `default`."""

_COMPILE = "uv pip compile --universal --generate-hashes pyproject.toml -o requirements.txt"


class LockNotFoundError(LockError):
    """The project has no lock, and has dependencies or does not declare any.

    Args:
        folder: Where a lock was looked for.
        declared: Whether the project says anything about its dependencies.
        row: The format of the tool that the project uses, if that is clear.
        nearby: Folders that may be meant instead, each with the file that was found there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        declared: bool = True,
        row: LockFormat | None = None,
        nearby: Sequence[tuple[Path, str]] = (),
    ) -> None:
        self.folder, self.nearby = folder, tuple(nearby)
        nothing = "or, if the project has no dependencies, say so with an empty requirements.txt"
        super().__init__(
            f"cannot find a lock in {folder}",
            why=f"none of these files exists: {', '.join(DEFAULT_NAMES)}",
            hint="\n".join(
                (
                    *(_elsewhere(folder, *each) for each in nearby),
                    # Somebody in the wrong folder needs no list of all tools.
                    *(() if nearby and not declared else _how_to_lock(row)),
                    "or name a lock that is somewhere else with the setting `lock` (`--lock PATH`)",
                    *(() if declared else (nothing,)),
                )
            ),
        )


def _elsewhere(folder: Path, place: Path, name: str) -> str:
    shown = os.path.relpath(place, folder)
    return f"there is a {name} in {shown}: did you mean `lambda-build {shown}`?"


def _how_to_lock(row: LockFormat | None) -> Sequence[str]:
    if row is not None:
        return (f"make one with {row.tool}, which the project uses: `{row.command}`",)
    return ("make one with the tool that the project uses:", *commands_by_tool())


class WorkspaceNotLockedError(LockError):
    """A member of a workspace has no lock, because the workspace has none."""

    def __init__(self, folder: Path, row: LockFormat) -> None:
        self.folder = folder
        super().__init__(
            f"cannot find a lock of the workspace in {folder}",
            why=f"{row.tool} locks all members together at the root, and there is no "
            f"{row.default_names[0]}",
            hint=f"make it with `{row.command}`\n"
            "or name a lock that is somewhere else with the setting `lock` (`--lock PATH`)",
        )


class NotLockedError(LockError):
    """The project has dependencies, but its own tool has not locked them."""

    def __init__(self, path: Path, *, remedy: str, others: Sequence[str] = ()) -> None:
        self.path = path
        there = f"use {others[0]} with `--lock {others[0]}`" if others else ""
        super().__init__(
            f"cannot find {path.name} in {path.parent}",
            why="the project's dependencies are not locked",
            hint=f"lock them with `{remedy}`, or {there or 'name another lock with `--lock`'}",
        )


class PyprojectNotFoundError(LockError):
    """The lock of a tool lies in a folder without the pyproject.toml that it belongs to."""

    def __init__(self, lock: Path, folder: Path) -> None:
        self.lock, self.folder = lock, folder
        super().__init__(
            f"cannot find pyproject.toml in {folder}",
            why=f"{lock.name} belongs to a pyproject.toml, which says what the project needs "
            "and whether the lock is up to date",
            hint="copy pyproject.toml there as well, or name the project's folder",
        )


class InvalidLockError(LockError):
    """The lock does not follow its format."""

    def __init__(self, path: Path, problem: str, *, hint: str) -> None:
        self.path = path
        super().__init__(f"cannot read the lock {path.name}", why=problem, hint=hint)


@contextmanager
def well_formed(path: Path, *, remedy: str) -> Iterator[None]:
    """Turn a wrong value found while reading into an error about the lock.

    Raises:
        InvalidLockError: A value is wrong; the hint names the command that makes the lock.
    """
    try:
        yield
    except TableError as error:
        raise InvalidLockError(
            path,
            str(error),
            hint=f"make it again with `{remedy}`; locks are not meant to be edited by hand",
        ) from error


class UnsupportedLockError(LockError):
    """The format or version of the lock is not supported."""

    def __init__(self, path: Path, problem: str, *, hint: str) -> None:
        self.path = path
        super().__init__(f"cannot use the lock {path.name}", why=problem, hint=hint)


class StaleLockError(LockError):
    """The project asks for something other than what was locked."""

    def __init__(
        self,
        path: Path,
        differences: Sequence[str],
        *,
        remedy: str,
        source: str = "pyproject.toml",
    ) -> None:
        """Say what differs; of the lines in `differences`, those come first that name a cause."""
        self.path, self.differences = path, tuple(differences)
        super().__init__(
            f"the lock {path.name} is out of date",
            why=(f"{source} and the lock differ:", *differences),
            hint=f"run `{remedy}` and review the changes",
        )


class MissingHashError(LockError):
    """A locked file has no hash, or none that is strong enough."""

    def __init__(self, path: Path, places: Iterable[str], *, remedy: str) -> None:
        self.path, self.places = path, tuple(places)
        super().__init__(
            f"the lock {path.name} does not have a hash for every file",
            why=[f"{place}: has no sha256 or stronger hash" for place in self.places],
            hint=f"lock again with hashes: `{remedy}`",
        )


class UnlockedRequirementError(LockError):
    """Lines of a requirements file do not pin a version."""

    def __init__(self, path: Path, lines: Sequence[str], *, remedy: str = _COMPILE) -> None:
        self.path = path
        pin = "pin every line with `==`"
        if any("git+" in line for line in lines):
            pin += ", and repositories with a commit (`…@` and its 40 digits)"
        super().__init__(
            f"{path.name} is not a lock: it does not pin every version",
            why=lines,
            hint=f"{pin}; a tool can do that, with hashes:\n{remedy}",
        )


class UnknownGroupError(LockError):
    """The user asked for an extra or dependency group that the lock does not have."""

    def __init__(
        self, lock: Lock, kind: str, asked: Sequence[str], known: Iterable[str] | None
    ) -> None:
        self.lock, self.asked = lock, tuple(asked)
        what = f"{lock} has no {kind} {', '.join(f'`{name}`' for name in asked)}"
        if known is None:
            super().__init__(
                what,
                why=f"a {lock.kind} does not say which packages belong to which {kind}",
                hint=f"pass the {kind} to the tool that makes the lock instead",
            )
            return
        super().__init__(
            what,
            why=f"it has: {', '.join(sorted(known)) or f'no {kind}s at all'}",
            hint=f"check the spelling, or lock again if the {kind} is new: "
            f"`{lock.group_remedy or lock.remedy}`",
        )


class UnresolvedPackageError(LockError):
    """The target needs packages for which the lock has no file."""

    def __init__(self, lock: Lock, target: Target, packages: Sequence[LockedPackage]) -> None:
        self.lock, self.target, self.packages = lock, target, tuple(packages)
        lines = [f"{package} ({package.at}): {package.unresolved}" for package in packages]
        names = quoted(package.name for package in packages)
        super().__init__(
            f"the lock {lock} has no file of {names} for {target}",
            why=lines,
            hint="the lock was made on another platform: run "
            f"`{lock.remedy}` on Linux, take the package from an index, or "
            "exclude it with a marker",
        )


class ExcludedTargetError(LockError):
    """The lock itself says that it does not cover the target."""

    def __init__(self, lock: Lock, target: Target, reason: str, *, hint: str = "") -> None:
        self.lock, self.target = lock, target
        super().__init__(
            f"the lock {lock} does not cover {target}",
            why=reason,
            hint=hint
            or f"choose another runtime, or change the project to support this one "
            f"and lock again: `{lock.remedy}`",
        )


class HostOnlyLockError(LockError):
    """The lock of an environment was made for a machine other than the target."""

    def __init__(
        self, lock: Lock, target: Target, reason: str, *, wrong_python: bool = False
    ) -> None:
        self.lock, self.target = lock, target
        # An environment is locked for its own Python version and all later ones.
        python = '\npython = "{}.{}"'.format(*target.runtime.python) if wrong_python else ""
        super().__init__(
            f"the lock {lock} was made for a machine other than {target}",
            why=reason,
            hint=_FOR_ALL_MACHINES.format(python=python),
        )


class AmbiguousPackageError(LockError):
    """Two entries for one package apply to the target."""

    def __init__(
        self, lock: Lock, target: Target, clashes: Sequence[Sequence[LockedPackage]]
    ) -> None:
        self.lock, self.target, self.clashes = lock, target, clashes
        lines = [
            f"{package}: {package.at}, marker: {package.marker or 'none'}"
            for clash in clashes
            for package in clash
        ]
        names = ", ".join(dict.fromkeys(f"`{clash[0].name}`" for clash in clashes))
        super().__init__(
            f"the lock {lock} has {names} more than once for {target}",
            why=lines,
            hint="if extras or groups conflict, ask for only one of them; otherwise lock again, so "
            f"that the markers exclude each other: `{lock.remedy}`",
        )
