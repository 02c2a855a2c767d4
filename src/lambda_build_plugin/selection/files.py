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

from lambda_build_plugin.errors import SelectionError
from lambda_build_plugin.runtime.target import AS_OF, RUNTIMES, Architecture, Glibc, Target
from lambda_build_plugin.selection.packages import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packaging.tags import Tag
    from packaging.utils import BuildTag, NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.lock.model import (
        LockedDirectory,
        LockedFile,
        LockedPackage,
        LockedVcs,
    )

__all__ = [
    "ForbiddenSourceError",
    "NoMatchingFileError",
    "Selected",
    "Selection",
    "best_wheel",
    "explain",
    "is_of_one_machine",
    "select",
]

_WHEEL_SUFFIX = ".whl"
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
    version: Version | None
    """Of a wheel its own, of a source what the lock says."""

    file: LockedFile
    filename: str
    package: LockedPackage

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    @property
    def is_wheel(self) -> bool:
        """Whether it ships as it is; everything else is an archive of source code."""
        return self.filename.endswith(_WHEEL_SUFFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What each package ships from."""

    files: tuple[Selected, ...] = ()
    """To be fetched: wheels, and source code to be built."""

    folders: tuple[tuple[LockedPackage, LockedDirectory], ...] = ()
    """Source code on this machine."""

    commits: tuple[tuple[LockedPackage, LockedVcs], ...] = ()
    """Source code in repositories."""

    left_out: tuple[LeftOut, ...] = ()


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


class ForbiddenSourceError(SelectionError):
    """The lock holds packages that would have to be built, and `only-binary` forbids it."""

    def __init__(self, packages: Sequence[LockedPackage]) -> None:
        self.packages = tuple(packages)
        super().__init__(
            "the lock holds sources, and `only-binary` forbids building them",
            why="\n".join(f"{package} ({package.at}): {_source(package)}" for package in packages),
            hint="lock a version that has wheels, let `include-local` name a wheel that was built "
            "elsewhere, or switch `only-binary` off",
        )


def select(
    packages: Iterable[LockedPackage],
    target: Target,
    *,
    only_binary: bool = False,
    skip_folders: bool = False,
) -> Selection:
    """Choose what each package ships from: a wheel where one fits, else its source.

    Args:
        packages: Those that belong to the target.
        target: What has to load them.
        only_binary: Whether nothing may be built; folders of the user's own are.
        skip_folders: Whether folders on this machine are left out.

    Raises:
        SelectionError: With every package that has nothing for the target.
    """
    sorter = _Sorter(target, only_binary=only_binary, skip_folders=skip_folders)
    for package in packages:
        sorter.place(package)
    if sorter.unmatched:
        raise NoMatchingFileError(target, sorter.unmatched)
    if sorter.forbidden:
        raise ForbiddenSourceError(sorter.forbidden)
    return Selection(
        files=tuple(sorter.files),
        folders=tuple(sorter.folders),
        commits=tuple(sorter.commits),
        left_out=tuple(sorter.left_out),
    )


class _Sorter:
    """Puts each package where it belongs, those without anything that ships among them."""

    def __init__(self, target: Target, *, only_binary: bool, skip_folders: bool) -> None:
        self._target = target
        self._only_binary = only_binary
        self._skip_folders = skip_folders
        self.files: list[Selected] = []
        self.folders: list[tuple[LockedPackage, LockedDirectory]] = []
        self.commits: list[tuple[LockedPackage, LockedVcs]] = []
        self.left_out: list[LeftOut] = []
        self.unmatched: list[LockedPackage] = []
        self.forbidden: list[LockedPackage] = []

    def place(self, package: LockedPackage) -> None:
        source = package.archive or package.sdist
        if package.directory is not None:
            self._place_folder(package, package.directory)
        elif (best := best_wheel(package, self._target)) is not None:
            self.files.append(best)
        elif self._only_binary and not any(_wheel_files(package)) and (source or package.vcs):
            self.forbidden.append(package)
        elif source is not None and _is_source(source) and not self._only_binary:
            self.files.append(_source_of(package, source))
        elif package.vcs is not None:
            self.commits.append((package, package.vcs))
        else:
            self.unmatched.append(package)

    def _place_folder(self, package: LockedPackage, directory: LockedDirectory) -> None:
        if not self._skip_folders:
            self.folders.append((package, directory))
            return
        self.left_out.append(
            LeftOut(
                name=package.name,
                version=str(package.version or ""),
                reason=f"`local-dependencies` is `skip`, and it is the folder {directory.path}",
            )
        )


def _is_source(file: LockedFile) -> bool:
    """Tell whether a locked file is no wheel: pylock.toml may have one as an archive."""
    return not (file.filename or "").endswith(_WHEEL_SUFFIX)


def _source_of(package: LockedPackage, file: LockedFile) -> Selected:
    return Selected(
        name=package.name,
        version=package.version,
        file=file,
        filename=file.filename or f"the source code of {package}",
        package=package,
    )


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
    for file in _wheel_files(package):
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


def _wheel_files(package: LockedPackage) -> Iterator[LockedFile]:
    yield from package.wheels
    if package.archive and not _is_source(package.archive):
        yield package.archive


def _public(version: Version) -> Version:
    """Drop the local part: `==1.0` admits `1.0+cpu` (PEP 440)."""
    return type(version)(version.public) if version.local else version


def _source(package: LockedPackage) -> str:
    if package.vcs:
        return f"commit {package.vcs.commit} of a {package.vcs.kind} repository"
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
    if not any(_wheel_files(package)):
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
