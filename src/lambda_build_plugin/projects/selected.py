"""What is selected from a lock for an artifact, in a form that can be compared and measured."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Contents, LocalDependencies
from lambda_build_plugin.errors import SelectionError
from lambda_build_plugin.selection.files import select
from lambda_build_plugin.selection.wheel_choice import is_source
from lambda_build_plugin.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.config.build_policy import BuildPolicy
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.model import LockedFile, LockedPackage
    from lambda_build_plugin.pipeline.target_lock import TargetLock

__all__ = ["Selected", "selected_from"]

_UNKNOWN_SIZE = 1024 * 1024
"""Bytes that a file counts for whose size the lock does not say."""

_Fact = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What ships from a lock."""

    facts: tuple[_Fact, ...] = ()
    """Packages, versions, hashes, commits and folders. Equal facts make equal artifacts."""

    size: int = 0
    """Bytes of the files, as far as the lock knows them."""


def selected_from(
    lock: TargetLock, settings: Settings, policy: BuildPolicy, *, root: Path
) -> Selected:
    """Describe what is selected from a lock.

    Args:
        lock: The lock with the packages for the target.
        settings: The artifact.
        policy: What may be built from source.
        root: The folder that local paths are compared from: that of the repository.
    """
    if settings.contents is Contents.PROJECT:
        return Selected()
    facts: list[_Fact] = []
    size = 0
    for package in lock.packages.packages:
        files = _files(package, settings, policy)
        hashes = (fact for file in files for fact in (file.filename, file.digest))
        facts.append((package.name, str(package.version or ""), *_source(package, root), *hashes))
        size += sum(file.size or _UNKNOWN_SIZE for file in files)
        if any(map(is_source, files)) or package.vcs is not None:
            # What the lock says about builds matters only if something is built.
            facts.append((package.name, lock.lock.policy.settings_for(package.name).key))
    return Selected(facts=tuple(facts), size=size)


def _files(package: LockedPackage, settings: Settings, policy: BuildPolicy) -> list[LockedFile]:
    """List the file that is selected; all files, if the index has to be asked or none fits."""
    skips = settings.local_dependencies is LocalDependencies.SKIP
    if not (package.unnamed or package.unhashed):
        with suppress(SelectionError):
            chosen = select([package], settings.target, policy=policy, skip_folders=skips)
            return [item.file for item in chosen.files]
    every = (*package.wheels, *package.unnamed, package.sdist, package.archive)
    return [file for file in every if file is not None]


def _source(package: LockedPackage, root: Path) -> Iterator[object]:
    """Say where a package comes from, if not from an index."""
    if package.directory is not None:
        yield from ("folder", _relative(package.directory.path, root))
        yield package.directory.subdirectory or ""
    if package.vcs is not None:
        vcs = package.vcs
        yield from (vcs.kind, redacted(vcs.url), vcs.commit, vcs.subdirectory or "")


def _relative(path: Path, root: Path) -> str:
    return os.path.relpath(os.path.realpath(path), os.path.realpath(root))
