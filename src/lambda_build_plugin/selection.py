"""Decide which one file of each locked package the target will load.

Follows the installation steps of PEP 751 ("Installation", steps 9 and 10) for every
lock format: the readers have already brought them to one model. Pure: it touches
neither network nor clock, and asks nothing of the running machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from lambda_build_plugin.errors import SelectionError, SourceBuildError
from lambda_build_plugin.target import AS_OF, RUNTIMES, Architecture, Glibc, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packaging.tags import Tag
    from packaging.utils import BuildTag, NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.lock.model import LockedFile, LockedPackage

__all__ = [
    "NoMatchingFileError",
    "Selected",
    "SourceItemError",
    "best_wheel",
    "explain",
    "is_of_one_machine",
    "select",
]

_PLATFORM = re.compile(
    r"(?P<family>manylinux|musllinux|macosx|win|linux|android|ios|emscripten|pyodide)"
    r"(?P<level>1|2010|2014|_(?:\d{1,4}_)?\d{1,4})?(?:_(?P<machine>\w+)|(?P<bits>32))?"
)
_LEGACY = {"1": Glibc(2, 5), "2010": Glibc(2, 12), "2014": Glibc(2, 17)}
_FAMILIES = {
    "manylinux": "Linux",
    "linux": "Linux",
    "musllinux": "Linux with musl",
    "macosx": "macOS",
    "win": "Windows",
    "android": "Android",
    "ios": "iOS",
    "emscripten": "Emscripten",
    "pyodide": "Pyodide",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The file that ships for one package."""

    name: NormalizedName
    version: Version
    file: LockedFile
    filename: str
    package: LockedPackage

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wheel:
    """A locked wheel, its file name taken apart (PEP 427)."""

    file: LockedFile
    filename: str
    name: NormalizedName
    version: Version
    build: BuildTag
    tags: frozenset[Tag]


class NoMatchingFileError(SelectionError):
    """Locked packages have no file that the target can load; reports all of them."""

    def __init__(self, target: Target, packages: Sequence[LockedPackage]) -> None:
        self.target, self.packages = target, tuple(packages)
        count = len(packages)
        names = ", ".join(f"`{package}`" for package in packages)
        super().__init__(
            f"no wheel of {names} loads in {target}"
            if count == 1
            else f"{count} locked packages have no wheel that loads in {target}: {names}",
            why="\n".join(explain(package, target) for package in packages),
            hint="choose another runtime or architecture, or lock a version that has such a wheel",
        )


class SourceItemError(SourceBuildError):
    """The lock holds items that would have to be built."""

    def __init__(self, packages: Sequence[LockedPackage]) -> None:
        self.packages = tuple(packages)
        super().__init__(
            "the lock holds sources, and this version ships wheels only",
            why="\n".join(f"{package} ({package.at}): {_source(package)}" for package in packages),
            hint="lock a version that has wheels, or build a wheel of it and lock that",
        )


def select(packages: Iterable[LockedPackage], target: Target) -> tuple[Selected, ...]:
    """Choose one file a package.

    Raises:
        SelectionError: With every package that has no file for the target.
        SourceBuildError: With every package that is a source only.
    """
    chosen: list[Selected] = []
    sources: list[LockedPackage] = []
    unmatched: list[LockedPackage] = []
    for package in packages:
        if not package.wheels and _is_source(package):
            sources.append(package)
        elif (best := best_wheel(package, target)) is not None:
            chosen.append(best)
        else:
            unmatched.append(package)
    if unmatched:
        raise NoMatchingFileError(target, unmatched)
    if sources:
        raise SourceItemError(sources)
    return tuple(chosen)


def best_wheel(package: LockedPackage, target: Target) -> Selected | None:
    """Choose the wheel with the most specific tag, and of those the highest build tag.

    What is left, such as one file at two places, is decided by its name, digest and
    place, so that the order of the lock never counts.
    """
    best: tuple[_Preference, _Wheel] | None = None
    for wheel in _wheels(package):
        ranks = [rank for tag in wheel.tags if (rank := target.rank.get(tag)) is not None]
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


_Preference = tuple[bool, int, tuple[int, str], tuple[str, str, str]]


def _preference(wheel: _Wheel, rank: int, package: LockedPackage) -> _Preference:
    """Make the key by which wheels are preferred: the greatest wins.

    The locked version itself goes before a local version of it (`1.0+cpu`, PEP 440).
    """
    file = wheel.file
    return (
        package.version in {None, wheel.version},
        -rank,
        wheel.build or (-1, ""),
        (wheel.filename, file.digest or "", str(file.path or file.url or "")),
    )


def _wheels(package: LockedPackage) -> Iterator[_Wheel]:
    """Yield the wheels that belong to the package by their own file name.

    A file name of another package or version is a stranger, whatever the lock says.
    """
    for file in package.wheels:
        try:
            name, version, build, tags = parse_wheel_filename(file.filename or "")
        except ValueError:  # InvalidWheelFilename, or a number of thousands of digits
            continue
        if name == package.name and package.version in {None, version, _public(version)}:
            yield _Wheel(
                file=file,
                filename=file.filename or "",
                name=name,
                version=version,
                build=build,
                tags=tags,
            )


def _public(version: Version) -> Version:
    """Drop the local part: `==1.0` admits `1.0+cpu` (PEP 440)."""
    return type(version)(version.public) if version.local else version


def _is_source(package: LockedPackage) -> bool:
    return bool(package.directory or package.vcs or package.archive or package.sdist)


def _source(package: LockedPackage) -> str:
    if package.directory:
        return f"the folder {package.directory.path}"
    if package.vcs:
        return f"commit {package.vcs.commit or 'unknown'} of a {package.vcs.kind} repository"
    file = package.archive or package.sdist
    return f"the source distribution {file.filename}" if file else "nothing"


def is_of_one_machine(packages: Iterable[LockedPackage]) -> bool:
    """Tell whether all wheels are such as one single machine could have chosen."""
    systems: set[str] = set()
    machines: set[str] = set()
    for tag in (tag for package in packages for wheel in _wheels(package) for tag in wheel.tags):
        if match := _PLATFORM.fullmatch(tag.platform):
            systems.add(_FAMILIES[match["family"]].partition(" ")[0])
            machines.add(match["machine"] or match["bits"] or "")
    return len(systems) == 1 and len(machines - {"universal2"}) <= 1


def explain(package: LockedPackage, target: Target) -> str:
    """Say in plain words why no wheel of a package loads in a target."""
    wheels = list(_wheels(package))
    lines = [f"{package}: {_reason(package, wheels, target)}"]
    if wheels:
        lines.append(f"  offered: {_offered(wheels, target)}")
    return "\n".join(lines)


def _offered(wheels: Sequence[_Wheel], target: Target) -> str:
    """List the tags, those of the target's machine alone where there are any."""
    near = [
        wheel for wheel in wheels if any(_on_machine(tag.platform, target) for tag in wheel.tags)
    ]
    texts = sorted({_tag_text(wheel.filename) for wheel in near or wheels})
    others = len(wheels) - len(near) if near else 0
    more = f", and {others} for other platforms" if others else ""
    return ", ".join(texts) + more


def _reason(package: LockedPackage, wheels: Sequence[_Wheel], target: Target) -> str:
    if not package.wheels:
        return "the lock offers no file at all"
    if not wheels:
        return "the lock offers only files of another name or version: " + ", ".join(
            sorted(file.filename or "?" for file in package.wheels)
        )
    tags = {tag for wheel in wheels for tag in wheel.tags}
    elsewhere = _other_targets(package, target)
    needed = _needed_glibc(tags, target)
    if needed is None:
        obstacle, remedy = _missing(tags, target), "lock another version"
    else:
        runtime = target.runtime
        obstacle = f"needs glibc {needed}, {runtime.name} has {runtime.glibc}"
        remedy = "lock an older version"
    return f"{obstacle}: {f'use {elsewhere}, or {remedy}' if elsewhere else remedy}"


def _needed_glibc(tags: Iterable[Tag], target: Target) -> Glibc | None:
    """Get the lowest glibc that a wheel asks for which fits the target but for that."""
    loadable = {(tag.interpreter, tag.abi) for tag in target.tags}
    asked = (_glibc(tag.platform, target) for tag in tags if (tag.interpreter, tag.abi) in loadable)
    return min((glibc for glibc in asked if glibc and glibc > target.runtime.glibc), default=None)


def _missing(tags: Iterable[Tag], target: Target) -> str:
    """Say which Python has no wheel; or, where no Python has one, which platform."""
    system = f"Linux {target.architecture.machine}"
    pythons = {f"{tag.interpreter}-{tag.abi}" for tag in tags if _on_machine(tag.platform, target)}
    if pythons:
        major, minor = target.runtime.python
        there = ", ".join(sorted(pythons))
        return f"has no wheel for CPython {major}.{minor} on {system} (only {there})"
    platforms = sorted({_platform_text(tag.platform) for tag in tags})
    return f"has no wheel for {system} (only {', '.join(platforms)})"


def _other_targets(package: LockedPackage, target: Target) -> str:
    """Name the runtimes that would find a wheel, else the architecture; empty if none."""
    supported = [
        runtime
        for runtime in RUNTIMES.values()
        if not runtime.preview and not (runtime.deprecated and runtime.deprecated <= AS_OF)
    ]
    fitting = [
        runtime
        for runtime in supported
        if best_wheel(package, Target(runtime=runtime, architecture=target.architecture))
    ]
    if len(fitting) > 1 and fitting == supported[-len(fitting) :]:
        return f"{fitting[0].name} or newer"
    if fitting:
        return " or ".join(runtime.name for runtime in fitting)
    others = (
        architecture.value
        for architecture in Architecture
        if best_wheel(package, Target(runtime=target.runtime, architecture=architecture))
    )
    return next(others, "")


def _on_machine(platform: str, target: Target) -> bool:
    match = _PLATFORM.fullmatch(platform)
    return platform == "any" or (
        match is not None
        and match["family"] in {"manylinux", "linux"}
        and match["machine"] == target.architecture.machine
    )


def _glibc(platform: str, target: Target) -> Glibc | None:
    """Get the glibc that a manylinux tag of the target's machine asks for."""
    match = _PLATFORM.fullmatch(platform)
    if match is None or match["family"] != "manylinux" or not _on_machine(platform, target):
        return None
    level = match["level"] or ""
    if level in _LEGACY:
        return _LEGACY[level]
    major, _, minor = level.removeprefix("_").partition("_")
    return Glibc(int(major), int(minor)) if minor else None


def _platform_text(platform: str) -> str:
    match = _PLATFORM.fullmatch(platform)
    if match is None:
        return platform
    machine = match["machine"] or match["bits"] or ""
    return f"{_FAMILIES[match['family']]} {machine}".strip()


def _tag_text(filename: str) -> str:
    """Get the tags of a file name as they stand there."""
    return "-".join(filename.removesuffix(".whl").split("-")[-3:])
