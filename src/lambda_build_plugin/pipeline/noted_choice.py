"""What was chosen from a lock, as a note in the cache, so that later builds need not read it.

Which files ship follows from the lock, the project, the target, the settings and the policy
for builds. Where nothing else decides, the first build that has read the lock as a whole,
without an error, notes what it has chosen under a key that names all of this. So the errors of
a lock, also those in parts that nobody uses, come before anything is noted.

Locks of packages on this machine, and locks that include other files, are read each time.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import packaging

from lambda_build_plugin import __version__
from lambda_build_plugin.config.build_policy import BuildPolicy
from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.lock.find import find_lock
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.pipeline.cached_wheels import find_cached_wheels, tell_of_cached
from lambda_build_plugin.pipeline.decision import Dependencies
from lambda_build_plugin.pipeline.plan import find_plan, may_have_plan
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.system.hashes import check_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.find import Found
    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.selection.files import Selection

__all__ = ["ChoiceKey", "NotedLock", "find_choice_key", "get_noted_dependencies", "keep_choice"]

_NOTES = "choices"
_FORMAT = "1"
"""The version of a note; to be raised if locks are read differently within a release."""

_SELF_CONTAINED = frozenset(FORMATS[name].name for name in ("uv.lock", "poetry.lock", "pdm.lock"))
"""Formats that are read with nothing but pyproject.toml and the folders of local packages."""


class ChoiceKey(NamedTuple):
    """Names everything that decides what ships."""

    lock: Path
    sha256: str
    """Of the lock."""

    text: str
    is_first: bool
    """Whether the hash was taken before the lock was read."""

    warnings: tuple[str, ...]
    """What the user should know about the choice of the lock."""


class NotedLock:
    """A lock that an earlier build has read; what is not noted of it is read when it is needed."""

    def __init__(self, settings: Settings, key: ChoiceKey, note: Mapping[str, Any]) -> None:
        self._settings = settings
        self.path = key.lock
        self.kind: str = note["kind"]
        self.policy = BuildPolicy()
        self.overridden: frozenset[NormalizedName] = frozenset(note["overridden"])
        self.rewritten: frozenset[NormalizedName] = frozenset(note["rewritten"])

    @property
    def packages(self) -> tuple[LockedPackage, ...]:
        """All packages of the lock."""
        return self.lock.packages

    @property
    def folders(self) -> frozenset[Path]:
        """Folders of local packages: a noted lock has none beside the project."""
        return frozenset()

    @cached_property
    def lock(self) -> Lock:
        """The whole lock.

        Raises:
            LockError: It is another one by now, which is not valid.
        """
        from lambda_build_plugin.pipeline.target_lock import read_lock_of

        return read_lock_of(self._settings, self.path)


def find_choice_key(artifact: ArtifactBuild) -> ChoiceKey | None:
    """Name everything that decides which locked files ship; None if more than that decides.

    Raises:
        LockError: There is no lock, although one is needed.
    """
    settings = artifact.settings
    if not settings.needs_lock or not may_have_plan(settings):
        return None
    found = find_lock(
        settings.project, settings.lock, needed=bool(settings.extras or settings.groups)
    )
    if found is None or found.path.parent != settings.project.root:
        return None
    try:
        sha256 = check_file(found.path).sha256
    except OSError:
        return None  # whoever reads it says so
    run = artifact.run
    if found.path not in run.locks:
        run.lock_hashes[found.path] = sha256
    return ChoiceKey(
        lock=found.path,
        sha256=sha256,
        text=_key(settings, found, sha256),
        is_first=run.lock_hashes.get(found.path) == sha256,
        warnings=found.warnings,
    )


def _key(settings: Settings, found: Found, sha256: str) -> str:
    target = settings.target
    parts = (
        (_FORMAT, __version__, packaging.__version__),
        (found.path.name, sha256, repr(settings.project), settings.lock_is_fresh),
        (target.runtime.name, target.architecture.value, settings.contents.value, settings.main),
        (sorted(settings.extras), sorted(settings.groups), settings.local_dependencies.value),
    )
    return json.dumps(parts)


def keep_choice(
    artifact: ArtifactBuild, key: ChoiceKey, target_lock: TargetLock, selection: Selection
) -> None:
    """Note what was chosen from a lock.

    Nothing is noted if the lock has changed since it was hashed for the key, or if more decides
    than the key names.
    """
    lock = target_lock.lock
    if not key.is_first or not _is_self_contained(lock) or selection.folders or selection.commits:
        return
    with suppress(OSError, FetchError):  # a cache that cannot be written costs time only
        if check_file(key.lock).sha256 == key.sha256:
            note = _as_note(artifact, target_lock, selection)
            artifact.context.cache.keep_signed(_NOTES, key.text, json.dumps(note).encode())


def _is_self_contained(lock: Lock) -> bool:
    """Tell whether a lock is read without looking at other files, and says nothing of builds."""
    return (
        lock.kind in _SELF_CONTAINED
        and not lock.of_environment
        and not any(lock.policy.constraints.values())
        and all(
            package.directory is None or index == lock.project
            for index, package in enumerate(lock.packages)
        )
    )


def _as_note(
    artifact: ArtifactBuild, target_lock: TargetLock, selection: Selection
) -> dict[str, object]:
    from lambda_build_plugin.pipeline.dependencies import find_skipped

    lock = target_lock.lock
    left_out = (*target_lock.packages.left_out, *selection.left_out)
    return {
        "kind": lock.kind,
        "policy": _policy_key(artifact),
        "overridden": sorted(lock.overridden),
        "rewritten": sorted(lock.rewritten),
        "warnings": lock.warnings,
        "skipped": sorted(find_skipped(artifact.settings, lock)),
        "files": [(item.filename, item.file.digest) for item in selection.files],
        "left-out": sorted(left_out),
    }


def _policy_key(artifact: ArtifactBuild) -> str:
    """Hash the policy, because it may hold secrets of the user."""
    return hashlib.sha256(artifact.context.policy.key.encode()).hexdigest()


def get_noted_dependencies(
    artifact: ArtifactBuild, key: ChoiceKey
) -> tuple[ArtifactBuild, Dependencies] | None:
    """Get the dependencies by a choice and a plan that are noted.

    Returns:
        The build, with the policy of the lock, and the dependencies, whose wheels have not been
        hashed. None if something is not noted, or is not in the cache any more.

    Raises:
        SettingsError: A configuration file of uv or pip cannot be read.
    """
    content = artifact.context.cache.signed(_NOTES, key.text)
    if content is None:
        return None
    with artifact.clock.stage("lock"):
        note = json.loads(content)
        lock = NotedLock(artifact.settings, key, note)
        artifact = artifact.with_policy_of(lock)
        if note["policy"] != _policy_key(artifact):
            return None
    with artifact.clock.stage("select"):
        wheels = find_cached_wheels(artifact, note["files"])
        plan = None if wheels is None else find_plan(artifact, wheels)
    if wheels is None or plan is None:
        return None
    with artifact.clock.stage("fetch"):
        tell_of_cached(artifact, wheels)
    return artifact, Dependencies(
        lock=lock,
        wheels=wheels,
        left_out=tuple(LeftOut(*each) for each in note["left-out"]),
        warnings=(*note["warnings"], *key.warnings),
        skipped=frozenset(note["skipped"]),
        plan=plan,
    )
