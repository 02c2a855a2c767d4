"""The user's own commands: before the project is built, and in the staged folder.

For commands in the staged folder, the tree is written as files and read again: files that a command
did not touch are still copied from their wheel; those that it changed, added or removed ship
accordingly, and each RECORD lists them. Whether such a build is reproducible depends on the
commands.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.stage.contents import write_folder
from lambda_build_plugin.stage.plain_files import FolderWalk, UnfitFileError
from lambda_build_plugin.stage.records import record
from lambda_build_plugin.stage.tree import Entry, PlainProject, check_folders
from lambda_build_plugin.system.hashes import digest_of_file
from lambda_build_plugin.system.output import writing
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.urls import redacted_text
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.config.settings import Command, Settings
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.stage.tree import Distribution, PlainFile, StagedTree

__all__ = ["HookError", "after_stage", "before_build"]

_SHOWN = 8_000  # characters at the end of a command's output


class HookError(SourceBuildError):
    """One of the user's own commands failed."""

    def __init__(self, hook: str, command: Command, problem: str) -> None:
        self.hook = hook
        super().__init__(
            f"the {hook} command failed: {_shown(command)}",
            why=problem,
            hint=f"run it on its own, and fix `{hook}` in [tool.lambda-build.hooks]",
        )


def before_build(settings: Settings, reporter: Reporter) -> None:
    """Run the `before-build` commands in the project's folder.

    Raises:
        HookError: A command fails.
    """
    for command in settings.hooks.before_build:
        _run("before-build", command, settings.project.root, _environment(settings), reporter)


def after_stage(
    settings: Settings, tree: StagedTree, folder: Path, reporter: Reporter
) -> StagedTree:
    """Run the `after-stage` commands on the staged files in a new folder, and read them again.

    The folder must exist until the artifact is written.

    Raises:
        HookError: A command fails.
        StageError: The files cannot be written, or what a command left cannot ship.
    """
    with writing(folder):
        write_folder(tree, folder)
    environ = {
        **_environment(settings),
        "LAMBDA_BUILD_STAGE": str(folder),
        # A command that imports modules of the stage must not leave bytecode caches there.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for command in settings.hooks.after_stage:
        _run("after-stage", command, folder, environ, reporter)
    return _read_back(tree, folder, settings)


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **settings.host.environ,
        "LAMBDA_BUILD_RUNTIME": settings.target.runtime.name,
        "LAMBDA_BUILD_ARCHITECTURE": settings.target.architecture.value,
    }


def _run(
    hook: str, command: Command, folder: Path, environ: Mapping[str, str], reporter: Reporter
) -> None:
    reporter.note(f"{hook}: {_shown(command)}")
    try:
        result = finished(_arguments(command, environ), cwd=folder, environ=environ, together=True)
    except OSError as error:
        raise HookError(hook, command, f"it cannot be started: {error.strerror}") from error
    said = redacted_text(result.stdout.strip())
    if len(said) > _SHOWN:
        said = f"…{said[-_SHOWN:]}"
    if result.returncode != 0:
        ended = f"it exited with {result.returncode}"
        raise HookError(
            hook, command, f"{ended}:\n{said}" if said else f"{ended} and printed nothing"
        )
    if said:
        reporter.note(said)


def _arguments(command: Command, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the program to start: for a command line the same shell as `subprocess` uses."""
    if not isinstance(command, str):
        return command
    if sys.platform == "win32":
        return (environ.get("COMSPEC", "cmd.exe"), "/c", command)
    return ("/bin/sh", "-c", command)


def _shown(command: Command) -> str:
    text = command if isinstance(command, str) else " ".join(command)
    return f"`{redacted_text(text)}`"


def _read_back(tree: StagedTree, folder: Path, settings: Settings) -> StagedTree:
    """Make a tree from the files in the folder."""
    tree = _with_owner(tree, settings)
    before = {entry.path: entry for entry in tree.entries}
    own = _owner(tree, settings)
    home = folder.resolve()
    entries = {
        file.path: _entry(file, before.get(file.path), own)
        for file in FolderWalk(homes=(home,), outside=_outside).files(home, "")
    }
    distributions = []
    for distribution in tree.distributions:
        _renew_record(distribution, tree.prefix, before, entries)
        metadata = f"{tree.prefix}{distribution.dist_info}/METADATA"
        distributions.append(replace(distribution, has_metadata=metadata in entries))
    check_folders(entries)
    return replace(
        tree,
        entries=tuple(entries[path] for path in sorted(entries)),
        distributions=tuple(distributions),
    )


def _with_owner(tree: StagedTree, settings: Settings) -> StagedTree:
    """Make the project the owner of new files, even if it ships no files itself."""
    project = settings.project
    if tree.project is not None or any(d.wheel.name == project.name for d in tree.distributions):
        return tree
    return replace(tree, project=PlainProject(name=project.name, version=project.version))


def _owner(tree: StagedTree, settings: Settings) -> str:
    return settings.project.name if tree.project is None else tree.project.owner


def _entry(file: PlainFile, before: Entry | None, owner: str) -> Entry:
    digest, size = digest_of_file(file.place)
    if before is None:
        return Entry(file.path, owner, file.place, digest, size, file.executable)
    # Windows has no such modes, so commands cannot change them there.
    executable = before.executable if os.name == "nt" else file.executable
    if before.digest == digest:
        return before._replace(executable=executable)
    return Entry(file.path, before.owner, file.place, digest, size, executable)


def _outside(path: str, real: Path) -> UnfitFileError:
    return UnfitFileError(
        path,
        f"a command made it a link to {real}, which is outside the staged folder",
        hint="have the command copy what the link points to",
    )


def _renew_record(
    distribution: Distribution, prefix: str, before: Mapping[str, Entry], entries: dict[str, Entry]
) -> None:
    """List in RECORD what still exists and what is new, unless RECORD was removed."""
    path = f"{prefix}{distribution.dist_info}/RECORD"
    if path not in entries:
        return
    rows = record_rows(cast("bytes", before[path].data).decode("utf-8"))  # `stage` has written it
    kept = [entries[name] for row in rows if (name := prefix + row[0]) in entries]
    new = [
        entry
        for name, entry in entries.items()
        if entry.owner == distribution.wheel.name and name not in before
    ]
    entries[path] = record(distribution, (*kept, *new), entries, prefix)
