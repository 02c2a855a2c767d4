"""Warn of code under version control that stays behind.

A `.gitignore` often has a line such as `lib/` that was meant for something else. git still tracks
files there if they were added, so the author does not notice, but a build leaves them out. They do
not ship automatically, because the same files without a repository have to give the same bytes.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

from lambda_build_plugin.stage.project_walk import BY_DEFAULT, BY_GITIGNORE
from lambda_build_plugin.system.processes import finished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.stage.tree import LeftBehind, PlainProject

__all__ = ["tracked_code_warnings"]

_PATIENCE = 10
"""Seconds for git to list the files of a large repository."""


def tracked_code_warnings(project: PlainProject, settings: Settings) -> Iterator[str]:
    """Yield a warning for each file and folder with tracked modules that stays behind.

    Without a repository or without git, there are no warnings.
    """
    suspects = [item for item in project.left_behind if _may_be_code(item)]
    if not suspects:
        return
    modules: defaultdict[str, int] = defaultdict(int)
    shipped = {file.place for file in project.files}
    for place in _tracked_modules(settings):
        for item in suspects:
            if place in shipped:
                continue
            if place == item.place or item.place in place.parents:
                modules[item.path] += 1
    for item in suspects:
        if count := modules.get(item.path):
            things = "it is" if not item.path.endswith("/") else _counted(count)
            yield (
                f"{item.path} stays behind because {item.reason}, although {things} under version "
                f'control: ship it with `include = ["/{item.path}"]`, or leave it out with '
                "`exclude`"
            )


def _counted(count: int) -> str:
    return "a module in it is" if count == 1 else f"{count} modules in it are"


def _may_be_code(item: LeftBehind) -> bool:
    """Check whether something could be imported and is not left out for a good reason."""
    name = item.path.rstrip("/").rpartition("/")[2]
    if item.path.endswith("/"):
        return name.isidentifier() and item.reason in {BY_DEFAULT, BY_GITIGNORE}
    return name.endswith(".py") and item.reason == BY_GITIGNORE


def _tracked_modules(settings: Settings) -> Sequence[Path]:
    """List the modules below the project that git tracks."""
    root = settings.project.root
    environ = {
        name: value for name, value in settings.host.environ.items() if not name.startswith("GIT_")
    }
    command = ("git", "-C", str(root), "-c", "core.fsmonitor=false", "ls-files", "-z", "--", "*.py")
    try:
        ran = finished(command, environ=environ, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return [root / path for path in ran.stdout.split("\0") if path] if ran.returncode == 0 else ()
