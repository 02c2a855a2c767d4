"""Tell before anything is fetched which builds are not likely to end well.

Compiling a package like numpy takes minutes. Where its wheels show that the result would not
load in the target, or that this machine cannot compile for the target, the user learns it at
once, and decides with `no-binary` whether to build nevertheless.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from lambda_build_plugin.errors import SelectionError, quoted
from lambda_build_plugin.selection.explain import explain, needed_glibc
from lambda_build_plugin.selection.wheel_choice import offered_wheels

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from packaging.tags import Tag
    from packaging.version import Version

    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.source_build.context import BuildContext
    from lambda_build_plugin.system.interpreters import Interpreter

__all__ = ["HopelessBuildError", "check_sources"]

_MOST_NAMED = 5
"""Packages in the headline of an error; its reason names all of them."""


class HopelessBuildError(SelectionError):
    """Packages without a fitting wheel are not built, since that would most likely fail."""

    def __init__(
        self, packages: Sequence[tuple[LockedPackage, str]], target: Target, remedy: str
    ) -> None:
        self.packages, self.target = tuple(package for package, _ in packages), target
        names = quoted((package for package, _ in packages), most=_MOST_NAMED)
        options = " ".join(f"--no-binary {package.name}" for package, _ in packages)
        one = len(packages) == 1
        super().__init__(
            f"no wheel of {names} loads in {target}"
            + (", and it is" if one else ", and they are")
            + " built from source only on request",
            why=[f"{explain(package, target)}\n  {why}" for package, why in packages],
            hint=f"{remedy}; to build from source: `{options}`, or `no-binary` in "
            "[tool.lambda-build]",
        )


def check_sources(
    packages: Iterable[LockedPackage],
    context: BuildContext,
    listed: Callable[[LockedPackage], Iterable[str]],
) -> None:
    """Check that the packages that are to be built from source can be built for the target.

    Args:
        packages: Those that are selected as source code.
        context: The target, the packages that the user wants to be built, and what compiles.
        listed: Lists the files of all versions of a package, as far as they are known.

    Raises:
        HopelessBuildError: With all packages that cannot.
    """
    target, policy = context.target, context.policy
    old_glibc: list[tuple[LockedPackage, str]] = []
    foreign: list[tuple[LockedPackage, str]] = []
    for package in packages:
        tags = {tag for wheel in offered_wheels(package) for tag in wheel.tags}
        if not tags or policy.forbids_wheel(canonicalize_name(package.name)):
            continue
        is_too_new = needed_glibc(tags, target) is not None
        if (is_too_new or _is_compiled_for_linux(tags)) and context.cross_compiler is not None:
            continue
        if is_too_new:
            old_glibc.append((package, "compiling it takes long, and needs an older glibc here"))
        elif _is_compiled_for_linux(tags) and (problem := _obstacle(context.interpreter, target)):
            foreign.append((package, problem))
    if not old_glibc and not foreign:
        return
    remedies = [] if foreign else ["choose a runtime with a newer glibc (python3.12 or newer)"]
    if foreign:
        remedies = ["choose another runtime or architecture, build on a machine like the target"]
    packages_with_older = [
        f"{package.name} {version}"
        for package, _ in (*old_glibc, *foreign)
        if (version := _older_version(package, target, listed(package))) is not None
    ]
    older = " and ".join(packages_with_older)
    remedies.append(
        f"lock an older version that has such a wheel, such as {older}"
        if older
        else "lock a version that has such a wheel"
    )
    if remedy := context.cross_remedy:
        remedies.append(remedy)
    raise HopelessBuildError([*old_glibc, *foreign], target, ", or ".join(remedies))


def _is_compiled_for_linux(tags: Collection[Tag]) -> bool:
    """Tell whether wheels contain machine code on Linux, too, and not on other systems alone."""
    return all(tag.platform != "any" for tag in tags) and any(
        tag.platform.startswith(("linux", "manylinux", "musllinux")) for tag in tags
    )


def _older_version(
    package: LockedPackage, target: Target, filenames: Iterable[str]
) -> Version | None:
    """Return the newest older release of a package that has a wheel for the target."""
    found: set[Version] = set()
    for filename in filenames:
        with suppress(InvalidWheelFilename):
            name, version, _, tags = parse_wheel_filename(filename)
            if name == package.name and any(tag in target.rank for tag in tags):
                found.add(version)
    return max(
        (
            version
            for version in found
            if not version.is_prerelease and (not package.version or version < package.version)
        ),
        default=None,
    )


def _obstacle(interpreter: Interpreter, target: Target) -> str:
    """Say why a Python cannot compile machine code for a target; empty if it can."""
    major, minor = target.runtime.python
    if not interpreter.loads_like(target.runtime.python):
        return f"its wheels contain machine code, and there is no Python {major}.{minor} here"
    if interpreter.platform != f"linux-{target.architecture.machine}":
        return (
            f"its wheels contain machine code, and this machine ({interpreter.platform}) does not "
            f"compile for Linux on {target.architecture.value}"
        )
    return ""
