"""`lambda-build PROJECT_DIR...` and `--workspace`, or many artifacts: several processes."""

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
from lambda_build_plugin.projects.model import ProjectBuild, ProjectsReporter, failure_texts
from lambda_build_plugin.projects.read import Request, count_workers, read_projects, with_jobs
from lambda_build_plugin.projects.report import as_json, as_table, warning_lines
from lambda_build_plugin.report import as_text
from lambda_build_plugin.system.elsewhere import Elsewhere, can_fork
from lambda_build_plugin.system.processors import usable_processors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.projects.model import ProjectResult
    from lambda_build_plugin.report import BuildReport

__all__ = ["MARKS", "build_artifacts", "build_several"]

MARKS = ("pyproject.toml", "setup.py", "Pipfile", *DEFAULT_NAMES)
"""Files one of which makes a folder a project."""

_FEW = 3
"""Parts that one process builds as quickly, since it costs to start others."""


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
    workers = _jobs(session) or usable_processors()

    def read() -> list[ProjectBuild]:
        found = find_projects(folders, workspace=workspace, marks=MARKS)
        request = Request(
            flags=session.flags(),
            host=session.host,
            artifacts=session.artifact_names,
            workers=workers,
            verbose=session.verbose,
        )
        return read_projects(found, request)

    with Elsewhere(read, is_worth_it=workspace or len(folders) > _FEW) as reading:
        # To load all that builds need takes as long as to read the settings of many projects.
        from lambda_build_plugin.projects.build import build_projects, load_ahead

        if can_fork():  # processes that are started in another way load it again
            load_ahead()
        projects = reading.result()
        session.check_result_files([each for project in projects for each in project.artifacts])
        reporter = _reporter(session)
        with reporter.live():
            results = build_projects(
                projects,
                workers=count_workers(projects, workers),
                fail_fast=fail_fast,
                reporter=reporter,
                verbose=session.verbose,
            )
    code = _show(session, results, seconds=time.perf_counter() - begin)
    return next((result.failure.exit_code for result in results if result.failure), code)


def build_artifacts(
    session: Session, artifacts: Sequence[Settings], parts: Sequence[tuple[int, ...]]
) -> Sequence[BuildReport] | None:
    """Build the artifacts of one project in several processes, and show the progress.

    Args:
        session: The run.
        artifacts: In the order in which one process would build them.
        parts: What `parts_of` has returned for them.

    Returns:
        The reports of all artifacts; None, and nothing is built, if one process is enough.

    Raises:
        LambdaBuildError: With the reason and how to fix it. Nothing is left behind.
    """
    wanted = _jobs(session)
    workers = min(wanted or usable_processors(), len(parts))
    if workers == 1 or (wanted is None and len(parts) <= _FEW):
        return None
    project = ProjectBuild(
        label="",
        folder=artifacts[0].project.root,
        artifacts=with_jobs(artifacts, workers),
        parts=tuple(parts),
    )
    from lambda_build_plugin.projects.build import build_projects

    reporter = _reporter(session)
    with reporter.live():
        (result,) = build_projects(
            [project], workers=workers, reporter=reporter, verbose=session.verbose
        )
    if result.failure is not None:
        sys.stderr.write(result.failure.trace)
        raise result.failure.error()
    return result.reports


def _reporter(session: Session) -> ProjectsReporter:
    if session.quiet:
        return ProjectsReporter()
    live = moves(sys.stderr, session.host.environ)
    return ProjectsTerminal(sys.stderr, verbose=session.verbose, live=live)


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
    for line in failure_texts(each.failure for each in results if each.failure is not None):
        print_error(line)
    return code
