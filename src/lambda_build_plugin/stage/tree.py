"""The staged tree: which file goes where in the artifact, and where its bytes are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.members import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.stage.packed import Packed
    from lambda_build_plugin.system.hashes import Checked
    from lambda_build_plugin.wheel.file import Wheel

__all__ = [
    "LAYER_FILES",
    "Dispute",
    "Distribution",
    "Entry",
    "LeftBehind",
    "LongNameError",
    "PlainFile",
    "PlainProject",
    "StagedTree",
    "WheelLayout",
    "check_folders",
    "check_names",
    "same",
]

LAYER_FILES = "`layer-files`"
"""The owner of entries that this setting adds: no distribution can have this name."""

_LONGEST_NAME = 255  # bytes of UTF-8

_LONGEST_PATH = 4095 - len("/var/task/")

_MOST_IN_A_NAME = f"and a name of a file or a folder may have {_LONGEST_NAME}"

_MOST_IN_A_PATH = f"and may have {_LONGEST_PATH:,} below /var/task"

_SHORT = 63  # characters of at most four bytes: no part of a shorter path is too long


@dataclass(frozen=True, kw_only=True)
class PlainFile:
    """One file that ships as it is on disk."""

    path: str
    """Below the folder from which modules are imported, with slashes."""

    place: Path
    """Absolute; its links are followed."""

    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class LeftBehind:
    """A file or a whole folder of a source project that does not ship."""

    path: str
    """Below the folder from which modules are imported; with a slash at the end for a folder."""

    place: Path
    reason: str
    """What leaves it out, such as a `.gitignore`."""


@dataclass(frozen=True, kw_only=True)
class PlainProject:
    """The files of a project that ships without becoming a wheel."""

    name: NormalizedName
    version: str | None = None
    files: tuple[PlainFile, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()
    """What is next to these files and does not ship, sorted by path."""

    @property
    def owner(self) -> str:
        """The owner of its entries: no distribution can have this name."""
        return f"the project {self.name}"


class Entry(NamedTuple):
    """One file of the tree; a tuple, because there are thousands of them."""

    path: str
    """Inside the zip, with slashes."""

    owner: str
    """Normalized name of the distribution, `PlainProject.owner`, or `LAYER_FILES`."""

    data: Member | bytes | Path | Packed
    digest: str
    """sha256 as RECORD has it: `sha256=` and URL-safe base64 without padding.

    Empty for bytecode, as installers record it.
    """

    size: int
    """Bytes, not compressed."""

    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """One distribution of the tree, as its wheel brought it."""

    wheel: Wheel
    dist_info: str
    """Name of its metadata folder, such as `requests-2.32.0.dist-info`."""

    has_metadata: bool = True
    """False where METADATA was taken away after staging."""


@dataclass(frozen=True, kw_only=True)
class WheelLayout:
    """The files of one wheel, and where they go."""

    dist_info: str
    """Name of its metadata folder."""

    entries: tuple[Entry, ...]
    """Members of the wheel, by their paths below the folder from which modules are imported."""


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """A warning that holds as long as all of some files ship."""

    text: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StagedTree:
    """Everything that goes into the artifact."""

    entries: tuple[Entry, ...]
    """Sorted by path."""

    distributions: tuple[Distribution, ...]
    prefix: str
    """The folder of the importable files; empty, or with a slash at its end."""

    project: PlainProject | None = None
    disputes: tuple[Dispute, ...] = ()
    bytecode: tuple[Checked, ...] = ()
    """Files in the cache that contain compiled modules of the tree."""

    @cached_property
    def not_packed(self) -> tuple[Entry, ...]:
        """The entries that are not already packed as in an earlier zip."""
        from lambda_build_plugin.stage.packed import Packed  # that module imports this one

        return tuple([entry for entry in self.entries if not isinstance(entry.data, Packed)])

    @property
    def archives(self) -> Iterator[tuple[Path, str, str]]:
        """Path, sha256 and name of each file from which members are copied."""
        copied = {entry.data.wheel for entry in self.not_packed if isinstance(entry.data, Member)}
        for distribution in self.distributions:
            wheel = distribution.wheel
            if wheel.path in copied:
                yield wheel.path, wheel.sha256, wheel.filename
        for checked in self.bytecode:
            yield checked.path, checked.sha256, "bytecode in the cache"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the files that ship."""
        return tuple(dispute.text for dispute in self.disputes)

    @cached_property
    def size(self) -> int:
        """Bytes of all entries, not compressed."""
        return sum(entry.size for entry in self.entries)


def check_folders(entries: Mapping[str, Entry]) -> None:
    """Refuse a file where another distribution needs a folder.

    Raises:
        StageError: There is one.
    """
    seen: set[str] = set()
    for path, entry in entries.items():
        parent = path.rpartition("/")[0]
        while parent and parent not in seen:
            seen.add(parent)
            if parent in entries:
                raise StageError(
                    f"`{parent}` is both a file and a folder",
                    why=f"{entries[parent].owner} contains the file, "
                    f"{entry.owner} contains `{path}`",
                    hint="leave out one of the two distributions",
                )
            parent = parent.rpartition("/")[0]


def check_names(entries: Iterable[Entry]) -> None:
    """Refuse names that Linux, and so Lambda, cannot unpack.

    Raises:
        StageError: A name has more than 255 bytes (NAME_MAX), or a path more than 4,095
            (PATH_MAX with its final NUL byte, both in limits.h), /var/task included.
    """
    for entry in entries:
        path = entry.path
        if len(path) <= _SHORT:
            continue
        name = max(path.split("/"), key=_size)
        if _size(name) > _LONGEST_NAME:
            raise LongNameError(entry, f"`{name[:40]}…` has {_size(name)} bytes, {_MOST_IN_A_NAME}")
        if _size(path) > _LONGEST_PATH:
            raise LongNameError(entry, f"its path has {_size(path):,} bytes, {_MOST_IN_A_PATH}")


def _size(name: str) -> int:
    return len(name.encode("utf-8"))


class LongNameError(StageError):
    """A file has a name that cannot exist in Lambda."""

    def __init__(self, entry: Entry, problem: str) -> None:
        self.path = entry.path
        super().__init__(
            f"a file of {entry.owner} has a name that is too long for Linux",
            why=problem,
            hint="leave the file out with the setting `exclude`, or rename it if it is yours",
        )


def same(one: Entry, other: Entry) -> bool:
    """Check whether two entries have the same content."""
    return one.digest == other.digest and one.size == other.size
