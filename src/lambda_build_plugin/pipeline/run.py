"""What the artifacts of one run have in common: each thing is done once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lambda_build_plugin.selection.provided import read_artifact
from lambda_build_plugin.source_build.wheels import build_project

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from lambda_build_plugin.config.settings import Command, Settings
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.progress import Clock, Reporter
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.selection.provided import Provider
    from lambda_build_plugin.source_build.context import BuildContext
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["ProjectWheel", "Run"]


@dataclass(slots=True)
class Run:
    """One run, and what it has done so far."""

    folder: Path
    """For what lasts until all artifacts are written."""

    reporter: Reporter
    builder: Callable[[Path], object] | None
    places: ExitStack
    """Moves all artifacts in at its end, or none."""

    locks: dict[Path, Lock] = field(default_factory=dict)
    wheels: dict[Target, Wheel] = field(default_factory=dict)
    """Of the project."""

    built: dict[tuple[str, Target], Provider] = field(default_factory=dict)
    """By name and target."""

    hooks: set[tuple[Command, ...]] = field(default_factory=set)
    """Commands before the build that have run."""

    def artifacts(self, settings: Settings) -> list[Provider]:
        """Get the artifacts that provide for another one."""
        return [
            self.built[item, settings.target]
            if isinstance(item, str)
            else read_artifact(item, settings.target)
            for item in settings.provided_by
        ]

    def wheel_for(self, target: Target) -> Wheel | None:
        """Get the project's wheel if it is built: one for any machine serves all of its Python."""
        for other, wheel in self.wheels.items():
            if other == target or (
                other.runtime == target.runtime and wheel.filename.endswith("-any.whl")
            ):
                return wheel
        return None


@dataclass(slots=True)
class ProjectWheel:
    """The project's wheel, built when it is first asked for."""

    settings: Settings
    run: Run
    context: BuildContext
    clock: Clock

    def wheel(self) -> Wheel:
        """Give the wheel.

        Raises:
            SourceBuildError: It cannot be built.
        """
        run, target = self.run, self.settings.target
        built = run.wheel_for(target)
        if built is None:
            with self.clock.stage("build"):
                built = build_project(self.settings.project, self.context, builder=run.builder)
            run.wheels[target] = built
        return built
