"""Which artifacts a change touches: a file that they are made of, or what their lock selects.

A lock has nearly as many changes as a repository, and most of them concern a few projects. So
its text does not count: the lock as it was is read again, and what was selected from it is
compared with what is selected now.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.sources import TABLE
from lambda_build_plugin.config.tables import TableError, parse_toml
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.lock.formats import FORMATS, format_of
from lambda_build_plugin.pipeline.target_lock import target_lock_of
from lambda_build_plugin.projects.selected import selected_from
from lambda_build_plugin.system.leftovers import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.projects.plan import Planned, Planner
    from lambda_build_plugin.system.repository import Repository

__all__ = ["Changes"]

_PYPROJECT = "pyproject.toml"

_INCLUDED = re.compile(
    r"^\s*(?:-r|--requirement|-c|--constraint)(?:\s+|=)?(\S+)", re.MULTILINE | re.ASCII
)
"""Other files that a requirements file includes."""


@dataclass(slots=True, kw_only=True)
class Changes:
    """The changes in a repository."""

    repository: Repository
    planner: Planner
    paths: frozenset[Path]
    """What was changed, added or removed."""

    def touched(self, artifacts: Sequence[Planned]) -> list[Planned]:
        """Keep the artifacts that are touched, in their order."""
        with temporary_folder() as folder:
            before = _Before(
                repository=self.repository, planner=self.planner, root=Path(folder).resolve()
            )
            return [each for each in artifacts if self._touches(each, before)]

    def removed(self) -> list[Path]:
        """List the folders of projects with a table of ours that do not exist any more."""
        return sorted(
            path.parent
            for path in self.paths
            if path.name == _PYPROJECT
            and not path.is_file()
            and _has_table(self.repository.before(path))
        )

    def unseen(self, artifacts: Sequence[Planned]) -> list[Path]:
        """List inputs outside of the repository, of which no change is seen."""
        root = self.repository.root
        paths = (path for each in artifacts for path in each.all_inputs.paths)
        return [path for path in dict.fromkeys(paths) if not path.is_relative_to(root)]

    def _touches(self, planned: Planned, before: _Before) -> bool:
        if any(map(planned.inputs.contain, self.paths)):
            return True
        if self._touches_lock(planned) and planned.selected.facts != before.facts(planned):
            return True
        return any(self._touches(provider, before) for provider in planned.providers)

    def _touches_lock(self, planned: Planned) -> bool:
        """Tell whether the lock, or a file that it includes, has another text."""
        if planned.lock is None:
            return False
        files = (_real(path) for path in _with_included(planned.lock.path, _text))
        return not self.paths.isdisjoint(files)


@dataclass(slots=True, kw_only=True)
class _Before:
    """Locks as they were, written to a folder that has the layout of the repository."""

    repository: Repository
    planner: Planner
    root: Path
    locks: dict[Path, dict[Path, Lock]] = field(default_factory=dict)

    def facts(self, planned: Planned) -> object:
        """Describe what was selected for an artifact; None if that cannot be said."""
        project = planned.settings.project.root
        if planned.lock is None or not project.is_relative_to(self.repository.root):
            return None
        path = _real(planned.lock.path)
        for file in (*_with_included(path, self.repository.before), path.parent / _PYPROJECT):
            self._write(file)
        self._write(project / _PYPROJECT)
        place = self._place(project)
        place.mkdir(parents=True, exist_ok=True)
        policy = self.planner.policy(planned.lock, planned.settings)
        with suppress(LambdaBuildError, OSError, ValueError):
            settings = replace(
                planned.settings,
                project=read_project(place),
                lock=self._place(path),
                lock_is_fresh=True,  # whether it was up to date does not matter now
            )
            lock = target_lock_of(settings, self.locks.setdefault(place, {}))
            if lock is not None:
                return selected_from(lock, settings, policy, root=lock.path.parent).facts
        return None

    def _place(self, path: Path) -> Path:
        return self.root / path.relative_to(self.repository.root)

    def _write(self, path: Path) -> None:
        """Write a file as it was, once; nothing if it did not exist."""
        if not path.is_relative_to(self.repository.root):
            return
        place = self._place(path)
        if not place.exists() and (text := self.repository.before(path)) is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")


def _with_included(path: Path, read: Callable[[Path], str | None]) -> Iterator[Path]:
    """Yield a lock, and all files that it includes if it is a requirements file."""
    found, todo = {path}, [path]
    while todo:
        file = todo.pop()
        yield file
        is_requirements = file is not path or format_of(path) is FORMATS["requirements file"]
        for name in _INCLUDED.findall(read(file) or "") if is_requirements else ():
            included = Path(os.path.normpath(file.parent / name))
            if included not in found:
                found.add(included)
                todo.append(included)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _has_table(pyproject: str | None) -> bool:
    """Tell whether the text of a pyproject.toml has settings of ours."""
    try:
        return TABLE in parse_toml(pyproject or "", at=_PYPROJECT).table("tool")
    except TableError:
        return False


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
