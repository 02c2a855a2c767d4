"""The files of a zip as a tree of numbers, in a form that is short and never deep.

A zip of unknown origin may have folders of any depth, so the tree is two flat lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypedDict

from lambda_build_plugin.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lambda_build_plugin.commands.inspected_zip import InspectedZip

__all__ = ["HEADERS", "NO_PACKAGE", "FileTree", "Group", "file_tree", "files_of", "merged", "shown"]

_DEEPEST = 64

_DIST_INFO = ".dist-info/"


class Group(NamedTuple):
    """What a file belongs to: a distribution, or something that is none."""

    is_package: bool
    name: str


NO_PACKAGE = Group(is_package=False, name="files of no package")
HEADERS = Group(is_package=False, name="headers")
"""What the zip takes beside its files, which is in no folder."""

_REST = "headers and directory of the zip"

_DIRECTIONS = (*range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPES = {code: f"\\u{code:04x}" for code in _DIRECTIONS}
"""Characters that would show a name in another order, or on two lines."""


def shown(text: str) -> str:
    """Write a text from a zip so that everybody sees what it is made of."""
    return printable(text).translate(_ESCAPES)


class FileTree(TypedDict):
    """All files, in their folders; sizes are bytes."""

    folders: list[tuple[str, int]]
    """Name, and the number of the folder that it is in. The first is the zip itself, in -1; those
    in the zip are groups: a package, for example. A folder comes after the one that it is in."""

    files: list[tuple[str, int, list[int]]]
    """Name, number of the folder, and sizes: unzipped and zipped; for two zips, those of the one
    before and then those of the one after. The row in the zip itself is not a file: it is what
    the zip takes beside its files."""


def files_of(
    found: InspectedZip, *, zipped: int, others: Mapping[str, Group]
) -> dict[tuple[Group, str], list[int]]:
    """List the files of a zip: the group and the path of each, and its sizes.

    Their sum is that of the zip: what is not in a file is in the group `HEADERS`.

    Args:
        found: The zip.
        zipped: Its size in bytes.
        others: Groups by path, for files that belong to no distribution.
    """
    names = {each.shown: each.name for each in found.artifact.distributions}
    files: dict[tuple[Group, str], list[int]] = {}
    for info in found.infos:
        owner = names.get(found.artifact.owner(info.filename))
        group = (
            Group(is_package=True, name=owner)
            if owner
            else others.get(info.filename, others.get("", NO_PACKAGE))
        )
        if info.is_dir():
            continue
        sizes = files.setdefault((group, info.filename), [0, 0])
        sizes[0] += info.file_size
        sizes[1] += info.compress_size
    rest = (
        found.unzipped - sum(unzipped for unzipped, _ in files.values()),
        zipped - sum(packed for _, packed in files.values()),
    )
    files[HEADERS, _REST] = [max(0, size) for size in rest]
    return files


def merged(
    before: Mapping[tuple[Group, str], Sequence[int]],
    after: Mapping[tuple[Group, str], Sequence[int]],
) -> dict[tuple[Group, str], list[int]]:
    """Put the files of two zips side by side; metadata of two versions counts as the same."""
    files: dict[tuple[Group, str], list[int]] = {}
    for first, side in ((0, before), (2, after)):
        for (group, path), (unzipped, packed) in side.items():
            sizes = files.setdefault((group, _without_version(path)), [0, 0, 0, 0])
            sizes[first] += unzipped
            sizes[first + 1] += packed
    return files


def _without_version(path: str) -> str:
    """Cut the version out of the name of a `.dist-info` folder (PEP 427)."""
    folder, found, rest = path.partition(_DIST_INFO)
    if not found:
        return path
    parent, slash, name = folder.rpartition("/")
    return f"{parent}{slash}{name.partition('-')[0]}{_DIST_INFO}{rest}"


def file_tree(files: Mapping[tuple[Group, str], Sequence[int]]) -> FileTree:
    """Arrange files in their folders, below their groups."""
    numbers: dict[tuple[Group | str, ...], int] = {(): 0}
    folders = [("", -1)]
    rows = []
    for (group, path), sizes in sorted(files.items()):
        *above, name = path.split("/", _DEEPEST)
        number = 0
        for key in () if group == HEADERS else _prefixes((group, *above)):
            if key not in numbers:
                last = key[-1]
                label = last.name if isinstance(last, Group) else last
                numbers[key] = len(folders)
                folders.append((shown(label), number))
            number = numbers[key]
        rows.append((shown(name), number, list(sizes)))
    return FileTree(folders=folders, files=rows)


def _prefixes(parts: Sequence[Group | str]) -> Iterable[tuple[Group | str, ...]]:
    return (tuple(parts[:end]) for end in range(1, len(parts) + 1))
