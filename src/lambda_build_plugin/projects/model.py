"""What is known about each project of a run, before and after it is built."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.report import error_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.errors import LambdaBuildError
    from lambda_build_plugin.report import BuildReport, ErrorReport

__all__ = ["Failure", "ProjectBuild", "ProjectResult", "ProjectsReporter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a project was not built, in a form that passes from one process to another."""

    report: ErrorReport
    text: str
    """The whole message for people, with the name of the project."""

    @classmethod
    def of(cls, error: LambdaBuildError, label: str, *, verbose: bool, trace: str = "") -> Failure:
        """Describe an error.

        Args:
            error: What has happened.
            label: What messages call the project.
            verbose: Whether people see all lines of long lists.
            trace: A traceback to show before it.
        """
        text = error.text(verbose=verbose).removeprefix("error: ")
        return cls(report=error_report(error), text=f"{trace}error: {label}: {text}")

    @property
    def exit_code(self) -> int:
        """The code that the command ends with if this project is built alone."""
        return self.report["exit_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectBuild:
    """One project of a run."""

    label: str
    """What messages and the table call it: its name, or its folder where that is not clear."""

    folder: Path
    artifacts: tuple[Settings, ...] = ()
    """In the order in which they are built; empty if its settings are wrong."""

    failure: Failure | None = None
    """What is wrong with its settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectResult:
    """What has become of a project."""

    project: ProjectBuild
    reports: tuple[BuildReport, ...] = ()
    failure: Failure | None = None
    """Without reports and without a failure, it was not built because another one failed."""

    seconds: float = 0.0
    """How long a worker had it."""


class ProjectsReporter:
    """Hear how several projects are built, and stay silent."""

    hears: frozenset[str] = frozenset()
    """The methods of `Reporter` that the reporters of single projects are called with."""

    def waiting(self, projects: Sequence[ProjectBuild]) -> None:
        """Hear of all projects that are to be built."""

    def started(self, project: ProjectBuild) -> Reporter:
        """Hear that the build of a project begins, and say who hears how it goes on."""
        del project
        return Reporter()

    def ended(self, result: ProjectResult) -> None:
        """Hear what has become of a project."""

    @contextmanager
    def live(self) -> Iterator[None]:
        """Surround the run, so that a display can be cleared whatever happens."""
        yield
