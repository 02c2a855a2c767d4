"""Choose the runtime of artifacts for which nobody named one: the lock decides.

The default of `config.read_settings` is the newest runtime that requires-python admits.
If the lock has no wheels for it, a build would compile for minutes or fail, although an
older runtime would do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.lock.errors import ExcludedTargetError
from lambda_build_plugin.lock.find import find_lock
from lambda_build_plugin.pipeline.target_lock import find_packages, read_lock_of
from lambda_build_plugin.runtime.target import Target, default_runtimes
from lambda_build_plugin.selection.wheel_choice import best_wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping, Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.runtime.target import Runtime

__all__ = ["with_default_runtimes"]


def with_default_runtimes(
    artifacts: Sequence[Settings],
    locks: MutableMapping[Path, Lock],
    *,
    read_toml: Callable[[Path], Table] = read_toml,
    candidates: Callable[[SpecifierSet | None], Sequence[Runtime]] = default_runtimes,
) -> list[Settings]:
    """Give each artifact without a named runtime the newest one for which its lock has wheels.

    Artifacts with the same lock get the same runtime, because one may provide for another.
    If no runtime has wheels of everything, or the lock cannot be read, the default stays;
    the build then says what is wrong.

    Args:
        artifacts: The artifacts to build.
        locks: Locks by path. A lock that is read here is added.
        read_toml: Reads a lock, if its format is TOML.
        candidates: Lists the runtimes to try for a requires-python, the preferred one first.
    """
    by_lock: defaultdict[Path | None, list[Settings]] = defaultdict(list)
    for settings in artifacts:
        if settings.runtime_is_default:
            by_lock[_lock_path(settings)].append(settings)
    chosen: dict[int, Settings] = {}
    for path, group in by_lock.items():
        lock = None if path is None else _lock(path, group[0], locks, read_toml)
        runtimes = candidates(group[0].project.requires_python)
        if lock is None or (found := _first_with_wheels(lock, group, runtimes)) is None:
            continue
        runtime, reason = found
        for settings in group:
            chosen[id(settings)] = replace(
                settings,
                target=replace(settings.target, runtime=runtime),
                runtime_reason=reason or settings.runtime_reason,
            )
    return [chosen.get(id(settings), settings) for settings in artifacts]


def _lock_path(settings: Settings) -> Path | None:
    try:
        found = find_lock(settings.project, settings.lock)
    except LambdaBuildError:
        return None
    return found.path if found else None


def _lock(
    path: Path,
    settings: Settings,
    locks: MutableMapping[Path, Lock],
    read_toml: Callable[[Path], Table],
) -> Lock | None:
    if path in locks:
        return locks[path]
    try:
        lock = read_lock_of(settings, path, read_toml=read_toml)
    except LambdaBuildError:
        return None
    if not settings.hooks.before_build:  # they may change the lock
        locks[path] = lock
    return lock


def _first_with_wheels(
    lock: Lock, group: Sequence[Settings], runtimes: Sequence[Runtime]
) -> tuple[Runtime, str] | None:
    """Find the first runtime without an obstacle, and say which obstacle the one before has.

    The reason is empty if the first runtime has none.
    """
    before = ""
    for runtime in runtimes:
        obstacle = next((each for s in group for each in _obstacles(lock, s, runtime)), "")
        if not obstacle:
            reason = f"the newest for which {lock} has everything: {before}" if before else ""
            return runtime, reason
        before = obstacle
    return None


def _obstacles(lock: Lock, settings: Settings, runtime: Runtime) -> Iterator[str]:
    """Yield why a lock cannot serve a runtime without compiling."""
    target = Target(runtime=runtime, architecture=settings.target.architecture)
    try:
        packages = find_packages(lock, settings, target)
    except ExcludedTargetError:
        yield f"it excludes {runtime.name}"
        return
    except LambdaBuildError:
        yield f"it does not serve {runtime.name}"
        return
    for package in packages.packages:
        if package.wheels and best_wheel(package, target) is None:
            yield f"{package} has no wheel for {target}"
