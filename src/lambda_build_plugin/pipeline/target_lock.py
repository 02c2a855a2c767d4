"""Settings → the lock, and which of its packages belong to the target."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.lock.errors import ExcludedTargetError, HostOnlyLockError
from lambda_build_plugin.lock.find import find_lock
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.pipeline.noted_toml import NotedToml
from lambda_build_plugin.selection.explain import NoMatchingFileError, is_of_one_machine
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.selection.packages import Reached

__all__ = [
    "TargetLock",
    "explaining_host_only_lock",
    "find_packages",
    "read_lock_of",
    "read_target_lock",
    "target_lock_of",
]


@dataclass(frozen=True, kw_only=True)
class TargetLock:
    """The lock of the project, and the packages in it that belong to the target."""

    path: Path
    lock: Lock
    packages: Reached
    needs_cut: bool
    """Whether the lock describes an environment, of which only what the project needs ships."""

    remarks: tuple[str, ...]
    """What the user should know about the choice of the lock."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the lock."""
        return (*self.lock.warnings, *self.remarks)

    @property
    def overridden(self) -> frozenset[NormalizedName]:
        """Packages that the user locks differently from what metadata asks for."""
        return self.lock.overridden

    @property
    def rewritten(self) -> frozenset[NormalizedName]:
        """Packages whose requirements the user states in place of their metadata."""
        return self.lock.rewritten

    @property
    def folders(self) -> frozenset[Path]:
        """Folders of local packages, which ship as wheels or not at all.

        Nothing is imported from the folder of a member that is not a package, so it does not
        ship either.
        """
        return frozenset(
            package.directory.path.resolve()
            for package in self.lock.packages
            if package.directory is not None
        )


def read_target_lock(artifact: ArtifactBuild) -> TargetLock | None:
    """Read the lock and choose the packages for the target; None if there is none to read.

    Raises:
        LockError: The lock is missing, out of date or unreadable, or excludes the target.
    """
    if not artifact.settings.needs_lock:
        return None
    with artifact.clock.stage("lock"):
        reader = NotedToml(cache=artifact.context.cache)
        return target_lock_of(artifact.settings, artifact.run.locks, read_toml=reader)


def target_lock_of(
    settings: Settings,
    locks: MutableMapping[Path, Lock],
    *,
    read_toml: Callable[[Path], Table] = read_toml,
) -> TargetLock | None:
    """Read the lock for some settings and choose the packages for their target.

    Args:
        settings: What is built.
        locks: Locks by path. A lock that is read here is added.
        read_toml: Reads the file, if the format is TOML.

    Raises:
        LockError: The lock is missing, out of date or unreadable, or excludes the target.
    """
    if not settings.needs_lock:
        return None
    found = find_lock(
        settings.project, settings.lock, needed=bool(settings.extras or settings.groups)
    )
    if found is None:
        return None
    lock = locks.get(found.path) or read_lock_of(settings, found.path, read_toml=read_toml)
    locks[found.path] = lock
    with explaining_host_only_lock(lock, settings):
        packages = find_packages(lock, settings, settings.target)
    return TargetLock(
        path=found.path,
        lock=lock,
        packages=packages,
        needs_cut=_needs_cut(lock, settings),
        remarks=found.warnings,
    )


def read_lock_of(
    settings: Settings, path: Path, *, read_toml: Callable[[Path], Table] = read_toml
) -> Lock:
    """Read a lock for the project of some settings.

    Raises:
        LockError: It is out of date or unreadable.
    """
    return read_lock(
        path,
        settings.project,
        settings.host.environ,
        lock_is_fresh=settings.lock_is_fresh,
        read_toml=read_toml,
    )


def find_packages(lock: Lock, settings: Settings, target: Target) -> Reached:
    """Choose the packages of a lock that the settings want for a target.

    Raises:
        LockError: The lock excludes the target, or does not have an extra or a group.
    """
    whole = _needs_cut(lock, settings)
    return reached(
        lock,
        target,
        extras=frozenset() if whole else settings.extras,
        groups=frozenset() if whole else settings.groups,
        main=settings.main,
    )


def _needs_cut(lock: Lock, settings: Settings) -> bool:
    return lock.of_environment and settings.main


@contextmanager
def explaining_host_only_lock(lock: Lock, settings: Settings) -> Iterator[None]:
    """Explain a failure with the fact that a lock describes an environment on another machine.

    Raises:
        LockError: The lock of an environment cannot serve the target.
    """
    try:
        yield
    except (ExcludedTargetError, NoMatchingFileError) as error:
        if not lock.of_environment or (
            isinstance(error, NoMatchingFileError) and not is_of_one_machine(lock.packages)
        ):
            raise
        raise HostOnlyLockError(
            lock,
            settings.target,
            error.why,
            wrong_python=isinstance(error, ExcludedTargetError),
        ) from error
