"""Decide which one file of each locked package the target will load.

Follows the installation steps of PEP 751 ("Installation", steps 9 and 10) for every
lock format, since the readers turn all of them into one model. Pure: it uses neither the
network nor the clock, and does not depend on the running machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.config.build_policy import BuildPolicy
from lambda_build_plugin.errors import SelectionError
from lambda_build_plugin.selection.explain import NoMatchingFileError
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.selection.wheel_choice import Selected, best_wheel, is_source, wheel_files
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedPackage, LockedVcs
    from lambda_build_plugin.runtime.target import Target

__all__ = ["ForbiddenSourceError", "NoSourceError", "Selection", "select"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What each package is installed from."""

    files: tuple[Selected, ...] = ()
    """Files to fetch: wheels, and source code to build."""

    folders: tuple[tuple[LockedPackage, LockedDirectory], ...] = ()
    """Source code on this machine."""

    commits: tuple[tuple[LockedPackage, LockedVcs], ...] = ()
    """Source code in repositories of version control systems."""

    left_out: tuple[LeftOut, ...] = ()


class ForbiddenSourceError(SelectionError):
    """The lock contains packages that must be built, which the user forbids."""

    def __init__(self, packages: Sequence[tuple[LockedPackage, str]]) -> None:
        self.packages = tuple(package for package, _ in packages)
        origins = tuple(dict.fromkeys(origin for _, origin in packages))
        super().__init__(
            "the lock contains source code, and "
            + (f"{origins[0]} forbids" if len(origins) == 1 else "your settings forbid")
            + " building it",
            why=[
                f"{package} ({package.at}): {_source(package)}"
                + (f"; forbidden by {origin}" if len(origins) > 1 else "")
                for package, origin in packages
            ],
            hint="lock a version that has wheels, add a wheel that was built elsewhere to "
            f"`include-local`, or turn off {' and '.join(origins)}",
        )


class NoSourceError(SelectionError):
    """Wheels of some packages must not be used, and the lock has no source of them."""

    def __init__(self, packages: Sequence[tuple[LockedPackage, str]]) -> None:
        self.packages = tuple(package for package, _ in packages)
        super().__init__(
            "the lock has no source for packages that are to be built from source",
            why=[
                f"{package} ({package.at}): {origin} forbids its wheels"
                for package, origin in packages
            ],
            hint="lock again so that the lock has their sdists, or allow their wheels there",
        )


def select(
    packages: Iterable[LockedPackage],
    target: Target,
    *,
    policy: BuildPolicy | None = None,
    skip_folders: bool = False,
) -> Selection:
    """Choose what each package is installed from: a wheel if one fits, else its source.

    Args:
        packages: The packages that belong to the target.
        target: What has to load them.
        policy: What may be built, and what must be. The user's own folders are always built.
        skip_folders: Whether folders on this machine are left out.

    Raises:
        SelectionError: With every package that has nothing for the target.
    """
    sorter = _Sorter(target, policy=policy or BuildPolicy(), skip_folders=skip_folders)
    for package in packages:
        sorter.place(package)
    if sorter.unmatched:
        raise NoMatchingFileError(target, sorter.unmatched)
    if sorter.forbidden:
        raise ForbiddenSourceError(sorter.forbidden)
    if sorter.without_source:
        raise NoSourceError(sorter.without_source)
    return Selection(
        files=tuple(sorter.files),
        folders=tuple(sorter.folders),
        commits=tuple(sorter.commits),
        left_out=tuple(sorter.left_out),
    )


class _Sorter:
    """Sort packages by what they are installed from, or by why they cannot be."""

    def __init__(self, target: Target, *, policy: BuildPolicy, skip_folders: bool) -> None:
        self._target = target
        self._policy = policy
        self._skip_folders = skip_folders
        self.files: list[Selected] = []
        self.folders: list[tuple[LockedPackage, LockedDirectory]] = []
        self.commits: list[tuple[LockedPackage, LockedVcs]] = []
        self.left_out: list[LeftOut] = []
        self.unmatched: list[LockedPackage] = []
        self.forbidden: list[tuple[LockedPackage, str]] = []
        self.without_source: list[tuple[LockedPackage, str]] = []

    def place(self, package: LockedPackage) -> None:
        if package.directory is not None:
            self._place_folder(package, package.directory)
            return
        # A file or a commit that the lock names by its URL is the only one there is.
        refused = self._policy.forbids_wheel(package.name) if package.wheels else None
        best = None if refused else best_wheel(package, self._target)
        if best is not None:
            self.files.append(best)
        else:
            self._place_source(package, refused)

    def _place_source(self, package: LockedPackage, refused: str | None) -> None:
        """Place a package of which no wheel fits, or may be used."""
        source = package.archive or package.sdist
        if source is not None and not is_source(source):
            source = None
        forbidden = self._policy.forbids_build(package.name)
        if forbidden and (source or package.vcs) and (refused or not any(wheel_files(package))):
            self.forbidden.append((package, forbidden))
        elif source is not None and not forbidden:
            self.files.append(_source_of(package, source))
        elif package.vcs is not None and not forbidden:
            self.commits.append((package, package.vcs))
        elif refused:
            self.without_source.append((package, refused))
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


def _source_of(package: LockedPackage, file: LockedFile) -> Selected:
    return Selected(
        name=package.name,
        version=package.version,
        file=file,
        filename=file.filename or f"the source code of {package}",
        package=package,
    )


def _source(package: LockedPackage) -> str:
    if package.vcs:
        return f"commit {package.vcs.commit} of a {package.vcs.kind} repository"
    file = package.archive or package.sdist
    return f"the source distribution {file.filename}" if file else "nothing"
