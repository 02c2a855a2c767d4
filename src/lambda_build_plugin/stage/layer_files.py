"""The user's own files at the root of a layer: `bin/`, `lib/`, `extensions/`, a wrapper script.

Lambda unpacks a layer to /opt, where `bin/` is on PATH, `lib/` is on LD_LIBRARY_PATH,
`extensions/` is searched for external extensions, and `AWS_LAMBDA_EXEC_WRAPPER` names a
script at any path. https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html

A file or folder keeps its own name; the contents of a folder that is written with a slash at its
end go to the root. These are the rules of rsync, so no table of destinations is needed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SettingsError, StageError
from lambda_build_plugin.stage.plain_files import FolderWalk, UnfitFileError, plain_file, real_place
from lambda_build_plugin.stage.stage import same_but_for_case
from lambda_build_plugin.stage.tree import LAYER_FILES, Entry, check_folders, check_names
from lambda_build_plugin.system.hashes import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.config.settings import LayerFiles, Settings
    from lambda_build_plugin.stage.tree import PlainFile, StagedTree

__all__ = ["LayerFilesError", "with_layer_files"]

_NO_CONTENT = frozenset({".git", ".hg", ".svn", ".DS_Store", "Thumbs.db", "__pycache__"})
"""Names that the machine puts into folders, not the user."""


class LayerFilesError(StageError):
    """Something that `layer-files` names cannot be at the root of the layer."""

    def __init__(self, path: str, problem: str, *, why: str, hint: str) -> None:
        self.path = path
        super().__init__(f"layer-files: {problem}", why=why, hint=hint)


def with_layer_files(tree: StagedTree, settings: Settings) -> StagedTree:
    """Add the files that `layer-files` names to a tree that is otherwise complete.

    Raises:
        SettingsError: A path does not exist.
        StageError: A file cannot ship, or another file has its path.
    """
    entries = {entry.path: entry for entry in tree.entries}
    for item in settings.layer_files:
        for file in _files(item, settings.project.root):
            entry = _entry(file)
            other = entries.setdefault(entry.path, entry)
            if other is not entry and other.data != entry.data:
                raise _collision(item, entry, other)
    _check_names(entries)
    known = {dispute.paths for dispute in tree.disputes}
    new = (each for each in same_but_for_case(entries) if each.paths not in known)
    return replace(
        tree,
        entries=tuple(entries[path] for path in sorted(entries)),
        disputes=(*tree.disputes, *new),
    )


def _files(item: LayerFiles, root: Path) -> Iterator[PlainFile]:
    """Yield what one item names, with paths from the layer's root."""
    place = Path(os.path.normpath(item.path))
    if not place.exists():
        raise SettingsError(
            [f"layer-files: {_shown(place, root)} does not exist"],
            hint="name files and folders in the project; a `before-build` command may make them",
        )
    homes = _homes(place, root)
    real = real_place(place)
    if not any(real.is_relative_to(home) for home in homes):
        raise _outside(_shown(place, root), real)
    try:
        if place.is_dir():
            walk = FolderWalk(homes=homes, outside=_outside, passed_over=_NO_CONTENT)
            yield from walk.files(place, "" if item.contents_only else f"{place.name}/")
        elif item.contents_only:
            raise SettingsError(
                [f"layer-files: {_shown(place, root)} is a file: remove the slash at its end"]
            )
        else:
            yield plain_file(place, place.name)
    except UnfitFileError as error:
        raise LayerFilesError(
            error.path,
            f"{error.path!r} of {_shown(place, root)} cannot ship",
            why=error.why,
            hint="rename it, or move it to another place",
        ) from error
    except OSError as error:
        raise LayerFilesError(
            str(place),
            f"{_shown(place, root)} cannot be read",
            why=error.strerror or str(error),
            hint="check its permissions",
        ) from error


def _homes(place: Path, root: Path) -> tuple[Path, ...]:
    """List the folders in which links may end: the project, or a place that was named outside."""
    home = real_place(root)
    if place.is_relative_to(os.path.normpath(root)):
        return (home,)
    return (home, real_place(place))


def _entry(file: PlainFile) -> Entry:
    digest, size = digest_of_file(file.place)
    return Entry(file.path, LAYER_FILES, file.place, digest, size, file.executable)


def _shown(place: Path, root: Path) -> str:
    """Write a path as the user knows it."""
    inside = place.is_relative_to(root)
    return f"`{place.relative_to(root).as_posix() if inside else place}`"


def _outside(path: str, real: Path) -> LayerFilesError:
    return LayerFilesError(
        path,
        f"{path if path.startswith('`') else f'`{path}`'} leads out of the project",
        why=f"it is a link to {real}",
        hint="copy what it points to into the project; a `before-build` command can do that",
    )


def _collision(item: LayerFiles, entry: Entry, other: Entry) -> LayerFilesError:
    return LayerFilesError(
        entry.path,
        f"there would be two files `{entry.path}`",
        why=f"one comes from {item.path}, "
        f"the other from {'another item' if other.owner == LAYER_FILES else other.owner}",
        hint="rename one of them, or leave the other one out",
    )


def _check_names(entries: Mapping[str, Entry]) -> None:
    """Refuse what cannot be unpacked: a file where a folder must be, a name that is too long."""
    own = [entry for entry in entries.values() if entry.owner == LAYER_FILES]
    check_folders(entries)
    check_names(own)
