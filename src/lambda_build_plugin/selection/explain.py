"""Explain why no wheel of a package loads in a target."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SelectionError, quoted
from lambda_build_plugin.runtime.target import AS_OF, RUNTIMES, Architecture, Glibc, Target
from lambda_build_plugin.selection.wheel_choice import (
    best_wheel,
    offered_wheels,
    wheel_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packaging.tags import Tag

    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.selection.wheel_choice import (
        OfferedWheel,
    )

__all__ = ["NoMatchingFileError", "explain", "is_of_one_machine", "needed_glibc"]

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

_MOST_NAMED = 5
"""Packages in the headline of an error; its reason names all of them."""


class NoMatchingFileError(SelectionError):
    """Some locked packages have no file that the target can load; lists all of them."""

    def __init__(self, target: Target, packages: Sequence[LockedPackage]) -> None:
        self.target, self.packages = target, tuple(packages)
        count = len(packages)
        names = quoted(packages, most=_MOST_NAMED)
        super().__init__(
            f"no wheel of {names} loads in {target}"
            if count == 1
            else f"{count} locked packages have no wheel that loads in {target}: {names}",
            why=[explain(package, target) for package in packages],
            hint="choose another runtime or architecture, or lock a version that has such a wheel",
        )


def is_of_one_machine(packages: Iterable[LockedPackage]) -> bool:
    """Check whether all wheels fit one single machine, as in the lock of an environment."""
    systems: set[str] = set()
    machines: set[str] = set()
    for tag in (
        tag for package in packages for wheel in offered_wheels(package) for tag in wheel.tags
    ):
        if match := _PLATFORM.fullmatch(tag.platform):
            systems.add(_FAMILIES[match["family"]].partition(" ")[0])
            machines.add(match["machine"] or match["bits"] or "")
    return len(systems) == 1 and len(machines - {"universal2"}) <= 1


def explain(package: LockedPackage, target: Target) -> str:
    """Explain in plain words why no wheel of a package loads in a target."""
    wheels = list(offered_wheels(package))
    lines = [f"{package}: {_reason(package, wheels, target)}"]
    if wheels:
        lines.append(f"  offered: {_offered(wheels, target)}")
    return "\n".join(lines)


def _offered(wheels: Sequence[OfferedWheel], target: Target) -> str:
    """List the tags, and only those for the target's machine if there are any."""
    near = [
        wheel for wheel in wheels if any(_on_machine(tag.platform, target) for tag in wheel.tags)
    ]
    texts = sorted({_tag_text(wheel.filename) for wheel in near or wheels})
    others = len(wheels) - len(near) if near else 0
    more = f", and {others} for other platforms" if others else ""
    return ", ".join(texts) + more


def _reason(package: LockedPackage, wheels: Sequence[OfferedWheel], target: Target) -> str:
    if not any(wheel_files(package)):
        return "the lock contains no file for it"
    if not wheels:
        return "the lock contains only files with another name or version: " + ", ".join(
            sorted(file.filename or "?" for file in package.wheels)
        )
    tags = {tag for wheel in wheels for tag in wheel.tags}
    elsewhere = _other_targets(package, target)
    needed = needed_glibc(tags, target)
    if needed is None:
        obstacle, remedy = _missing(tags, target), "lock another version"
    else:
        runtime = target.runtime
        obstacle = f"needs glibc {needed}, but {runtime.name} has {runtime.glibc}"
        remedy = "lock an older version"
    return f"{obstacle}: {f'use {elsewhere}, or {remedy}' if elsewhere else remedy}"


def needed_glibc(tags: Iterable[Tag], target: Target) -> Glibc | None:
    """Return the lowest glibc that is required by wheels which otherwise fit the target."""
    loadable = {(tag.interpreter, tag.abi) for tag in target.tags}
    asked = (_glibc(tag.platform, target) for tag in tags if (tag.interpreter, tag.abi) in loadable)
    return min((glibc for glibc in asked if glibc and glibc > target.runtime.glibc), default=None)


def _missing(tags: Iterable[Tag], target: Target) -> str:
    """Say that the Python has no wheel, or the platform if it has none for any Python."""
    system = f"Linux {target.architecture.machine}"
    pythons = {f"{tag.interpreter}-{tag.abi}" for tag in tags if _on_machine(tag.platform, target)}
    if pythons:
        major, minor = target.runtime.python
        there = ", ".join(sorted(pythons))
        return f"has no wheel for CPython {major}.{minor} on {system} (only {there})"
    platforms = sorted({_platform_text(tag.platform) for tag in tags})
    return f"has no wheel for {system} (only {', '.join(platforms)})"


def _other_targets(package: LockedPackage, target: Target) -> str:
    """Name the runtimes that have a wheel, else the architecture; empty if there are none."""
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
    """Return the glibc that a manylinux tag for the target's machine requires."""
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
    """Return the tags in a file name as they are written there."""
    return "-".join(filename.removesuffix(".whl").split("-")[-3:])
