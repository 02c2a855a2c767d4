"""Progress of several projects or artifacts: a line for each that is being built, on a terminal."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.errors import printable
from lambda_build_plugin.frontends.terminal import Progress, TerminalReporter, labelled
from lambda_build_plugin.projects.model import ProjectsReporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.projects.model import Part, ProjectBuild, ProjectResult

__all__ = ["ProjectsTerminal"]

_UP_AND_CLEAR = "\x1b[{lines}A\r\x1b[J"

_STEPS = frozenset({"stage", "building", "fetching", "fetched", "announced", "received"})


class ProjectsTerminal(ProjectsReporter):
    """Show below each other what is being built, and how many projects wait.

    Without a terminal, only what single builds write is written. Since lines of several projects
    are mixed, each begins with the project's name, and with the artifact's if there are several.
    """

    def __init__(self, stream: TextIO, *, verbose: bool, live: bool) -> None:
        self._stream = Progress(stream)
        self._file = stream
        self._verbose = verbose
        self._is_live = live
        self._lines: dict[str, str] = {}
        """What is shown for each part that is being built."""
        self._waiting: list[str] = []
        self._total = self._done = self._failed = self._shown = 0
        self._counts_parts = False
        """Whether there is only one project, so that its artifacts are counted."""
        self.hears = frozenset({"built"}) | (_STEPS if self._is_live else frozenset())
        if verbose:
            self.hears |= {"artifact", "note", "fetched"}

    def waiting(self, projects: Sequence[ProjectBuild]) -> None:
        """Remember the names of everything that is counted."""
        self._counts_parts = len(projects) == 1 and projects[0].is_divided
        self._waiting = (
            [_name(projects[0], part) for part in projects[0].parts]
            if self._counts_parts
            else [project.label for project in projects]
        )
        self._total = len(self._waiting)

    def started(self, project: ProjectBuild, part: Part) -> Reporter:
        """Give the part a line of its own."""
        name = _name(project, part.artifacts)
        with suppress(ValueError):  # another part of the project came first
            self._waiting.remove(name if self._counts_parts else project.label)
        self.show(name, "…")
        return _Line(self, name, self._file, verbose=self._verbose)

    def built(self, project: ProjectBuild, part: Part) -> None:
        """Take away the line of the part."""
        self._lines.pop(_name(project, part.artifacts), None)
        self._done += self._counts_parts
        self._draw()

    def ended(self, result: ProjectResult) -> None:
        """Count the project; a failure is told at once, in a line."""
        label = result.project.label
        self._done += not self._counts_parts
        self._total += result.project.failure is not None  # it has never waited
        if result.failure is not None:
            self._failed += not self._counts_parts
            if self._is_live and label:
                self.write(f"{label} failed: {result.failure.report['what']}")
        self._draw()

    def show(self, label: str, step: str) -> None:
        """Show what a project has come to."""
        self._lines[label] = step
        self._draw()

    def write(self, text: str) -> None:
        """Write a line that stays."""
        self._clear()
        self._stream.write(f"{printable(text)}\n")
        self._draw()
        self._stream.flush()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Clear the lines at the end, also after a failure."""
        try:
            yield
        finally:
            self._clear()
            self._stream.flush()

    def _clear(self) -> None:
        if self._shown:
            self._stream.write(_UP_AND_CLEAR.format(lines=self._shown))
            self._shown = 0

    def _draw(self) -> None:
        if not self._is_live:
            return
        width, height = shutil.get_terminal_size()
        lines = [f"{label}: {step}" for label, step in self._lines.items()][: height - 2]
        lines.append(self._summary())
        self._clear()
        self._stream.write("".join(f"{printable(line)[: width - 1]}\n" for line in lines))
        self._shown = len(lines)
        self._stream.flush()

    def _summary(self) -> str:
        things = "artifacts" if self._counts_parts else "projects"
        parts = [f"{self._done} of {self._total} {things} done"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._waiting:
            parts.append(f"{len(self._waiting)} waiting: {', '.join(self._waiting)}")
        return ", ".join(parts)


def _name(project: ProjectBuild, artifacts: Sequence[int]) -> str:
    """Name a part of a project: by the project, and by its first artifact if there are others."""
    return project.artifact_label(artifacts[0]) if project.is_divided else project.label


class _Line(TerminalReporter):
    """Shows the steps of one part in its line."""

    def __init__(
        self, terminal: ProjectsTerminal, label: str, stream: TextIO, *, verbose: bool
    ) -> None:
        super().__init__(stream, verbose=verbose, live=True)
        self._terminal = terminal
        self._label = label

    def _line(self, text: str) -> None:
        self._terminal.write(labelled(self._artifact or self._label, text))

    def _draw(self, text: str) -> None:
        self._terminal.show(self._label, text)
