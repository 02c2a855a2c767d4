"""Projects → what there is to build, and from what, without building it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.pipeline.default_runtime import with_default_runtimes
from lambda_build_plugin.pipeline.run import settings_policy
from lambda_build_plugin.pipeline.target_lock import target_lock_of
from lambda_build_plugin.projects.inputs import inputs_of
from lambda_build_plugin.projects.model import Failure
from lambda_build_plugin.projects.selected import Selected, selected_from
from lambda_build_plugin.source_build.policy import read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lambda_build_plugin.config.build_policy import BuildPolicy
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.projects.inputs import Inputs
    from lambda_build_plugin.projects.model import ProjectBuild

__all__ = ["Planned", "Planner", "Plans", "plan_projects"]

_SIZE_OF_A_PROJECT = 1024 * 1024
"""Bytes that the code of a project counts for, and the start of its build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One artifact that a build would make."""

    project: ProjectBuild
    settings: Settings
    lock: TargetLock | None
    inputs: Inputs
    """Without the lock."""

    selected: Selected
    """From the lock, with relative paths from the lock's folder."""

    providers: tuple[Planned, ...] = ()
    """Artifacts of the same project that have to be known for this one (`provided-by`)."""

    @property
    def all_inputs(self) -> Inputs:
        """What can change it, also because it changes what others provide."""
        return self.inputs.joined(provider.all_inputs for provider in self.providers)

    @property
    def size(self) -> int:
        """Bytes that the artifact counts for when work is spread."""
        return _SIZE_OF_A_PROJECT + self.selected.size

    @property
    def output(self) -> Path:
        """The path of the zip."""
        return self.settings.zip_path(self.settings.project.version)


@dataclass(slots=True, kw_only=True)
class Plans:
    """The artifacts of several projects, and the projects for which there is no plan."""

    planner: Planner
    artifacts: list[Planned] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def plan_projects(projects: Sequence[ProjectBuild], *, verbose: bool = False) -> Plans:
    """Find what projects build, and from what.

    Args:
        projects: The projects; what is wrong with the settings or the lock of one is in the
            failures.
        verbose: Whether messages of failures have all details.
    """
    planner = Planner(folders=[project.folder for project in projects])
    plans = Plans(planner=planner)
    for project in projects:
        if project.failure is not None:
            plans.failures.append(project.failure)
            continue
        try:
            plans.artifacts += planner.planned(project)
        except LambdaBuildError as error:
            plans.failures.append(Failure.of(error, project.label, verbose=verbose))
    return plans


@dataclass(slots=True, kw_only=True)
class Planner:
    """What the plans of several projects have in common."""

    folders: Sequence[Path]
    policies: dict[tuple[Path, Path], BuildPolicy] = field(default_factory=dict)

    def planned(self, project: ProjectBuild) -> list[Planned]:
        """Plan the artifacts of a project, in the order in which they are built."""
        locks: dict[Path, Lock] = {}
        found: list[Planned] = []
        for settings in with_default_runtimes(project.artifacts, locks):
            lock = target_lock_of(settings, locks)
            planned = Planned(
                project=project,
                settings=settings,
                lock=lock,
                inputs=inputs_of(settings, lock, self.folders),
                selected=self._selected(lock, settings),
                providers=tuple(each for each in found if _provides(each.settings, settings)),
            )
            found.append(planned)
        return found

    def _selected(self, lock: TargetLock | None, settings: Settings) -> Selected:
        """Describe what is selected from a lock."""
        if lock is None:
            return Selected()
        return selected_from(lock, settings, self.policy(lock, settings), root=lock.path.parent)

    def policy(self, lock: TargetLock, settings: Settings) -> BuildPolicy:
        """Read what may be built from source; it is the same for all artifacts of a project."""
        host, place = settings.host, (settings.project.root, lock.path)
        if place not in self.policies:
            self.policies[place] = read_policy(
                settings.project, lock.lock, environ=host.environ, home=host.home
            )
        return settings_policy(settings).joined(self.policies[place])


def _provides(provider: Settings, settings: Settings) -> bool:
    return provider.artifact in settings.provided_by and provider.target == settings.target
