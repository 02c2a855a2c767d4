"""Choose the wheel of a package that fits a target best."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.tags import Tag
    from packaging.utils import BuildTag, NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.lock.model import LockedFile, LockedPackage
    from lambda_build_plugin.runtime.target import Target

__all__ = [
    "WHEEL_SUFFIX",
    "OfferedWheel",
    "Selected",
    "best_wheel",
    "is_source",
    "offered_wheels",
    "wheel_files",
]

WHEEL_SUFFIX = ".whl"

_MOST_KEPT = 8192

_CHOSEN: dict[tuple[int, int], tuple[LockedPackage, Mapping[Tag, int], Selected | None]] = {}
"""What was chosen already, by the identities of the package and of the ranks of the tags."""

_Preference = tuple[bool, int, tuple[int, str], tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The file that ships for one package."""

    name: NormalizedName
    version: Version | None
    """From the file name of a wheel, or from the lock for a source."""

    file: LockedFile
    filename: str
    package: LockedPackage

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel; everything else is an archive of source code."""
        return self.filename.endswith(WHEEL_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedWheel:
    """A locked wheel with the parts of its file name (PEP 427)."""

    file: LockedFile
    filename: str
    name: NormalizedName
    version: Version
    build: BuildTag
    tags: frozenset[Tag]


def is_source(file: LockedFile) -> bool:
    """Check that a locked file is not a wheel, which pylock.toml allows as an archive."""
    return not (file.filename or "").endswith(WHEEL_SUFFIX)


def best_wheel(package: LockedPackage, target: Target) -> Selected | None:
    """Choose the wheel with the most specific tag, and among those the highest build tag.

    If that is a tie, such as one file at two locations, its name, digest and location
    decide, so that the order of the lock never matters.
    """
    # All members of a workspace have the same packages, as objects. These stay in the entry, so
    # that no other object gets their identity, and comparing them would take time.
    rank = target.rank
    key = id(package), id(rank)
    kept = _CHOSEN.get(key)
    if kept is None:
        if len(_CHOSEN) >= _MOST_KEPT:
            _CHOSEN.clear()
        kept = _CHOSEN[key] = package, rank, _choose(package, rank)
    return kept[2]


def _choose(package: LockedPackage, rank: Mapping[Tag, int]) -> Selected | None:
    best: tuple[_Preference, OfferedWheel] | None = None
    for wheel in offered_wheels(package):
        ranks = [place for tag in wheel.tags if (place := rank.get(tag)) is not None]
        if ranks:
            preference = _preference(wheel, min(ranks), package)
            if best is None or preference > best[0]:
                best = (preference, wheel)
    if best is None:
        return None
    wheel = best[1]
    return Selected(
        name=package.name,
        version=wheel.version,
        file=wheel.file,
        filename=wheel.filename,
        package=package,
    )


def _preference(wheel: OfferedWheel, rank: int, package: LockedPackage) -> _Preference:
    """Return the sort key of a wheel; the greatest wins.

    The locked version itself is preferred to a local version of it (`1.0+cpu`, PEP 440).
    """
    file = wheel.file
    return (
        package.version in {None, wheel.version},
        -rank,
        wheel.build or (-1, ""),
        (wheel.filename, file.digest or "", str(file.path or file.url or "")),
    )


def offered_wheels(package: LockedPackage) -> Iterator[OfferedWheel]:
    """Yield the wheels that belong to the package according to their file names.

    Those with the name of another package or version are ignored, whatever the lock says.
    """
    for file in wheel_files(package):
        try:
            name, version, build, tags = _parsed(file.filename or "")
        except ValueError:  # InvalidWheelFilename, or a number with thousands of digits
            continue
        if name == package.name and package.version in {None, version, _public(version)}:
            yield OfferedWheel(
                file=file,
                filename=file.filename or "",
                name=name,
                version=version,
                build=build,
                tags=tags,
            )


# Projects of one workspace are asked about the same files, one after the other.
_parsed = lru_cache(maxsize=8192)(parse_wheel_filename)


def wheel_files(package: LockedPackage) -> Iterator[LockedFile]:
    """Yield the locked files of a package that are wheels."""
    yield from package.wheels
    if package.archive and not is_source(package.archive):
        yield package.archive


def _public(version: Version) -> Version:
    """Remove the local part, because `==1.0` matches `1.0+cpu` (PEP 440)."""
    return type(version)(version.public) if version.local else version
