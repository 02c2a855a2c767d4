"""`lambda-build PROJECT_DIR...` and `--workspace`: several projects in one run."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lambda_build_plugin.config.sources import environment_source
from lambda_build_plugin.config.value_reader import ValueReader
from lambda_build_plugin.config.workspace import find_projects
from lambda_build_plugin.frontends.cli import print_error, write_output
from lambda_build_plugin.frontends.session import Shown
from lambda_build_plugin.frontends.terminal import moves
from lambda_build_plugin.frontends.terminal_projects import ProjectsTerminal
from lambda_build_plugin.lock.formats import DEFAULT_NAMES
from lambda_build_plugin.projects.build import build_projects
from lambda_build_plugin.projects.model import ProjectsReporter
from lambda_build_plugin.projects.read import Request, read_projects
from lambda_build_plugin.projects.report import as_json, as_table, warning_lines
from lambda_build_plugin.report import as_text
from lambda_build_plugin.system.processors import usable_processors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.projects.model import ProjectResult

__all__ = ["MARKS", "build_several"]

MARKS = ("pyproject.toml", "setup.py", "Pipfile", *DEFAULT_NAMES)
"""Files one of which makes a folder a project."""


def build_several(
    session: Session, folders: Sequence[Path], *, workspace: bool, fail_fast: bool
) -> int:
    """Build projects, show the progress and the result, and return the exit code.

    Args:
        session: The run.
        folders: What was named on the command line.
        workspace: Whether the only folder stands for all members of its workspace.
        fail_fast: Whether to stop at the first failure.

    Raises:
        LambdaBuildError: Something is wrong with all projects; nothing was built.
    """
    begin = time.perf_counter()
    found = find_projects(folders, workspace=workspace, marks=MARKS)
    workers = min(_jobs(session) or usable_processors(), len(found))
    request = Request(
        flags=session.flags(),
        host=session.host,
        artifacts=session.artifact_names,
        workers=workers,
        verbose=session.verbose,
    )
    projects = read_projects(found, request)
    session.check_result_files([each for project in projects for each in project.artifacts])
    reporter = (
        ProjectsReporter()
        if session.quiet
        else ProjectsTerminal(
            sys.stderr,
            verbose=session.verbose,
            live=moves(sys.stderr, session.host.environ),
        )
    )
    with reporter.live():
        results = build_projects(
            projects,
            workers=workers,
            fail_fast=fail_fast,
            reporter=reporter,
            verbose=session.verbose,
        )
    code = _show(session, results, seconds=time.perf_counter() - begin)
    return next((result.failure.exit_code for result in results if result.failure), code)


def _jobs(session: Session) -> int | None:
    """Get how many processes the user wants; other mistakes are told for each project."""
    sources = [session.flags(), environment_source(session.host)]
    jobs = ValueReader(sources).number("jobs")
    return max(1, jobs) if jobs is not None else None


def _show(session: Session, results: Sequence[ProjectResult], *, seconds: float) -> int:
    """Write what has become of the projects; failures go to standard error."""
    warnings = warning_lines(results)
    built = {each.project.label: each.reports for each in results}
    reports = [report for result in results for report in result.reports]

    def text() -> str:
        details = [as_text(report, verbose=True) for report in reports] if session.verbose else []
        return "\n".join([*details, f"{warnings}{as_table(results, seconds=seconds)}"])

    shown = Shown(
        document=lambda: as_json(results),
        text=text,
        warnings=warnings,
        page=(lambda: session.page(built)) if reports else None,
        sbom=(lambda: session.sbom(reports)) if reports else None,
    )
    code = write_output(lambda: session.write(shown, sys.stdout, sys.stderr))
    for result in results:
        if result.failure is not None:
            print_error(result.failure.text)
    return code
