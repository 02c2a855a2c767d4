"""Which folders and files can change an artifact, beside what its lock selects.

On the safe side: a backend may package any file in the folder of its project, so all of them
count. The exceptions are known to make no difference: documents at the top of a package that
its configuration does not name, results of earlier builds, and other projects below.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Contents, Form, LocalDependencies
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.lock.formats import DEFAULT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lambda_build_plugin.config.settings import Command, Settings
    from lambda_build_plugin.pipeline.target_lock import TargetLock

__all__ = ["InputFolder", "Inputs", "inputs_of"]

_DOCUMENT = re.compile(
    r"(readme|changes?|changelog|history|news|contributing|security|code_of_conduct)"
    r"(\.(md|rst|txt))?",
    re.IGNORECASE,
)
"""Documents that no backend takes of its own accord, as it does with licences and authors."""

_CONFIGURATION = ("pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "hatch.toml")
"""Where the files that a package consists of are named; also the scripts of its build."""

_WORD = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFolder:
    """A folder of which nearly all files can change an artifact."""

    path: Path
    """Absolute, without symbolic links."""

    without: frozenset[Path] = frozenset()
    """What is in it and makes no difference; of a folder, everything."""

    without_documents: bool = False
    """Whether documents at its top make no difference, except those of `named`."""

    named: frozenset[str] = frozenset()
    outputs: frozenset[Path] = frozenset()
    """Folders in which zips make no difference, because builds write them."""

    def contains(self, path: Path) -> bool:
        """Tell whether a file is in it whose change can change the artifact."""
        if path != self.path and self.path not in path.parents:
            # A changed folder above is a submodule, or a link to a folder, with all of this.
            return path in self.path.parents
        if path in self.without or not self.without.isdisjoint(path.parents):
            return False
        if path.suffix == ".zip" and path.parent in self.outputs:
            return False
        if not self.without_documents or path.parent != self.path:
            return True
        return path.name in self.named or not _DOCUMENT.fullmatch(path.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What can change an artifact."""

    folders: tuple[InputFolder, ...] = ()
    files: tuple[Path, ...] = ()
    """Outside of these folders; some may not exist."""

    def joined(self, others: Iterable[Inputs]) -> Inputs:
        """Add the inputs of others."""
        every = (self, *others)
        return Inputs(
            folders=tuple(dict.fromkeys(chain.from_iterable(each.folders for each in every))),
            files=tuple(dict.fromkeys(chain.from_iterable(each.files for each in every))),
        )

    def contain(self, path: Path) -> bool:
        """Tell whether a change of a file can change the artifact."""
        return path in self.files or any(folder.contains(path) for folder in self.folders)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All folders and files."""
        return (*(folder.path for folder in self.folders), *self.files)


def inputs_of(settings: Settings, lock: TargetLock | None, projects: Iterable[Path]) -> Inputs:
    """Find what can change an artifact, beside what is selected from its lock.

    Args:
        settings: The artifact.
        lock: Its lock, and what is selected for it.
        projects: Folders of other projects, which may be below this one.
    """
    root = settings.project.root
    others = {*map(_real, projects), *(lock.folders if lock else ())}
    folders = dict.fromkeys(_local_folders(settings, lock))
    files = [*_named_files(settings), *_files_of_lock(lock)]
    if settings.contents is not Contents.DEPENDENCIES:
        folders = dict.fromkeys((root, *folders))
        files += _files_beside(root)
    within = tuple(_input_folder(folder, settings, lock, others) for folder in folders)
    beside = (file for file in files if not any(folder.contains(file) for folder in within))
    return Inputs(folders=within, files=tuple(dict.fromkeys(beside)))


def _input_folder(
    path: Path, settings: Settings, lock: TargetLock | None, others: set[Path]
) -> InputFolder:
    is_project = path == settings.project.root
    hooks = settings.hooks
    # The files of a source project ship as they are, and commands may read any file.
    everything = is_project and (
        settings.form is Form.SOURCE or hooks.before_build or hooks.after_stage
    )
    without = {other for other in others if other != path and path in other.parents}
    named = _names_in_configuration(path)
    # What is selected from a lock is compared, not its text.
    locks = {*DEFAULT_NAMES, *([lock.path.name] if lock else [])}
    without |= {path / name for name in locks - named}
    if is_project:
        # Artifacts have no place in the next one, and neither has the folder `unpacked`.
        aside = (settings.unpacked, settings.host.cache_dir)
        without |= {_real(place) for place in aside if place} - {path, *path.parents}
    output = _real(settings.zip_path(settings.project.version))
    return InputFolder(
        path=path,
        without=frozenset(without),
        outputs=frozenset({output.parent, path / "dist"}),
        without_documents=not everything,
        named=frozenset(filter(_DOCUMENT.fullmatch, named)),
    )


def _local_folders(settings: Settings, lock: TargetLock | None) -> Iterator[Path]:
    """List the folders whose wheels ship."""
    if settings.contents is not Contents.PROJECT:
        if lock is not None and settings.local_dependencies is not LocalDependencies.SKIP:
            for package in lock.packages.packages:
                if package.directory is not None:
                    yield _real(package.directory.path)
        yield from (_real(path) for path in settings.include_local if path.is_dir())


def _files_of_lock(lock: TargetLock | None) -> Iterator[Path]:
    """List files that the lock has no hash for, and what is beside a lock and belongs to it."""
    if lock is None:
        return
    folder = _real(lock.path).parent
    yield from (folder / name for name in ("pyproject.toml", "uv.toml"))
    for package in lock.packages.packages:
        for file in (*package.wheels, package.sdist, package.archive):
            # A file with a hash cannot change without a change in the lock.
            if file is not None and file.path is not None and file.digest is None:
                yield _real(file.path)


def _named_files(settings: Settings) -> Iterator[Path]:
    """List files that the settings name, and where they come from."""
    root = settings.project.root
    yield root / "pyproject.toml"
    if settings.project.pinned_in is not None:
        yield Path(os.path.normpath(root / settings.project.pinned_in))
    yield from (_real(path) for path in settings.include_local if not path.is_dir())
    yield from (_real(path) for path in settings.provided_by if isinstance(path, Path))
    hooks = settings.hooks
    for command in (*hooks.before_build, *hooks.after_stage):
        yield from (_real(root / word) for word in _words(command) if (root / word).is_file())


def _words(command: Command) -> list[str]:
    if isinstance(command, str):
        try:
            return shlex.split(command)
        except ValueError:  # a quote is missing: the shell will say so
            return []
    return list(command)


def _files_beside(folder: Path) -> Iterator[Path]:
    """List the readme and the licences of a package that lie outside of its folder."""
    for value in _text_values(folder):
        path = _real(folder / value)
        if path.is_file():
            yield path


def _text_values(folder: Path) -> Iterator[str]:
    """Read the paths that a package's metadata names (PEP 621, PEP 639, Poetry)."""
    try:
        data = read_toml(folder / "pyproject.toml")
        tables = (data.table("project"), data.table("tool").table("poetry"))
    except (OSError, TableError):
        return
    for table in tables:
        for key in ("readme", "license", "license-files"):
            value = table.raw(key) if key in table else None
            if isinstance(value, dict):
                value = value.get("file")
            yield from (item for item in _listed(value) if isinstance(item, str))


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


def _names_in_configuration(folder: Path) -> set[str]:
    """List all words in the configuration of a package that could be names of files."""
    scripts = sorted(path.name for path in folder.glob("*.py"))
    texts = (_text(folder / name) for name in dict.fromkeys((*_CONFIGURATION, *scripts)))
    return {word for text in texts for word in _WORD.findall(text)}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
