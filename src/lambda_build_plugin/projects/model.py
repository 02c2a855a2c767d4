"""What is known about each project of a run, before and after it is built."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.report import error_report
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.report import BuildReport, ErrorReport

__all__ = [
    "Failure",
    "Part",
    "ProjectBuild",
    "ProjectResult",
    "ProjectsReporter",
    "failure_texts",
]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a project was not built, in a form that passes from one process to another."""

    report: ErrorReport
    label: str
    """What messages call the project; empty if it is the only one."""

    message: str
    """The whole message for people, without the name of the project."""

    why: tuple[str, ...]
    """The lines of the reason."""

    trace: str = ""
    """The traceback of a failure that nobody foresaw, if the user wants it."""

    @classmethod
    def of(cls, error: LambdaBuildError, label: str, *, verbose: bool, trace: str = "") -> Failure:
        """Describe an error.

        Args:
            error: What has happened.
            label: What messages call the project; empty if it is the only one.
            verbose: Whether people see all lines of long lists.
            trace: A traceback to show before it.
        """
        return cls(
            report=error_report(error),
            label=label,
            message=error.text(verbose=verbose).removeprefix("error: "),
            why=error.why_lines,
            trace=trace,
        )

    @property
    def exit_code(self) -> int:
        """The code that the command ends with if this project is built alone."""
        return self.report["exit_code"]

    def error(self) -> LambdaBuildError:
        """Make an error of the same branch, to be raised where one project is built."""
        branch = next(each for each in _BRANCHES if each.exit_code == self.exit_code)
        error = branch.__new__(branch)
        what, hint = self.report["what"], self.report["hint"]
        LambdaBuildError.__init__(error, what, why=self.why, hint=hint)
        return error


def failure_texts(failures: Iterable[Failure]) -> list[str]:
    """Write each message once, with the names of all projects that have failed with it."""
    labels: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for each in failures:
        labels[each.trace, each.message].append(each.label)
    return [
        f"{trace}error: {', '.join(names)}: {message}" for (trace, message), names in labels.items()
    ]


_BRANCHES: tuple[type[LambdaBuildError], ...] = (
    LambdaBuildError,
    *LambdaBuildError.__subclasses__(),
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some artifacts of a project, which one process builds."""

    project: int
    """The place of the project in the run."""

    artifacts: tuple[int, ...]
    """Their places among the artifacts of the project."""


@dataclass(frozen=True, kw_only=True)
class ProjectBuild:
    """One project of a run."""

    label: str
    """What messages and the table call it: its name, or its folder where that is not clear."""

    folder: Path
    artifacts: tuple[Settings, ...] = ()
    """In the order in which they are built; empty if its settings are wrong."""

    parts: tuple[tuple[int, ...], ...] = ()
    """The numbers of the artifacts of each part (see `parts`); by default there is one part."""

    failure: Failure | None = None
    """What is wrong with its settings."""

    @property
    def is_divided(self) -> bool:
        """Whether several processes may build it."""
        return len(self.parts) > 1

    def artifact_label(self, number: int) -> str:
        """Name one of several artifacts, by its place among those of the project."""
        settings = self.artifacts[number]
        return " ".join(filter(None, (self.label, settings.artifact, str(settings.target))))


@dataclass(frozen=True, kw_only=True)
class ProjectResult:
    """What has become of a project."""

    project: ProjectBuild
    reports: tuple[BuildReport, ...] = ()
    failure: Failure | None = None
    """Without reports and without a failure, it was not built because another one failed."""

    seconds: float = 0.0
    """From the beginning of its build to the end."""


class ProjectsReporter:
    """Hear how several projects are built, and stay silent."""

    hears: frozenset[str] = frozenset()
    """The methods of `Reporter` that the reporters of single projects are called with."""

    def waiting(self, projects: Sequence[ProjectBuild]) -> None:
        """Hear of all projects that are to be built."""

    def started(self, project: ProjectBuild, part: Part) -> Reporter:
        """Hear that the build of a part begins, and say who hears how it goes on."""
        del project, part
        return Reporter()

    def built(self, project: ProjectBuild, part: Part) -> None:
        """Hear that the build of a part is over."""

    def ended(self, result: ProjectResult) -> None:
        """Hear what has become of a project."""

    @contextmanager
    def live(self) -> Iterator[None]:
        """Surround the run, so that a display can be cleared whatever happens."""
        yield
