"""What became of several projects, as one JSON document and as a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypedDict

from lambda_build_plugin.errors import printable
from lambda_build_plugin.report import SCHEMA, STATES, ErrorReport, json_text
from lambda_build_plugin.runtime.limits import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.projects.model import ProjectResult
    from lambda_build_plugin.report import BuildReport

__all__ = [
    "BuiltProject",
    "FailedProject",
    "ProjectsReport",
    "as_json",
    "as_table",
    "warning_lines",
]


class BuiltProject(TypedDict):
    """One project that was built."""

    project: str
    folder: str
    """Absolute."""

    artifacts: list[BuildReport]
    """In the order in which they were built."""

    seconds: float


class FailedProject(ErrorReport):
    """One project that was not built, and why: as if it were built alone."""

    project: str
    folder: str
    """Absolute."""


class ProjectsReport(TypedDict):
    """Schema 1, for a run that builds several projects. All lists are in the order given."""

    schema: int
    projects: list[BuiltProject]
    failures: list[FailedProject]
    not_built: list[str]
    """Projects that were not tried, or not kept, because another one failed (`--fail-fast`)."""


def as_json(results: Sequence[ProjectResult]) -> str:
    """Write the reports and the failures of one run for machines."""
    return json_text(
        ProjectsReport(
            schema=SCHEMA,
            projects=[_project(result) for result in results if result.reports],
            failures=[
                FailedProject(
                    project=result.project.label,
                    folder=str(result.project.folder),
                    **result.failure.report,
                )
                for result in results
                if result.failure is not None
            ],
            not_built=[result.project.label for result in results if _is_not_built(result)],
        )
    )


def _project(result: ProjectResult) -> BuiltProject:
    return BuiltProject(
        project=result.project.label,
        folder=str(result.project.folder),
        artifacts=list(result.reports),
        seconds=round(result.seconds, 4),
    )


def _is_not_built(result: ProjectResult) -> bool:
    return not result.reports and result.failure is None


def as_table(results: Sequence[ProjectResult], *, seconds: float) -> str:
    """Write a line for each artifact, and how many there are.

    Args:
        results: What became of the projects.
        seconds: How long all of it took.
    """
    reports = [report for result in results for report in result.reports]
    lines = []
    if reports:
        has_names = any(report["name"] for report in reports)
        rows = [["project", "artifact", "target", "unzipped", "zipped", "zip", "seconds"]]
        rows += [row for result in results for row in _rows(result)]
        if not has_names:
            rows = [row[:1] + row[2:] for row in rows]
        lines += [*_aligned(rows), ""]
    return printable("\n".join([*lines, _total(results, reports, seconds)])) + "\n"


def _rows(result: ProjectResult) -> Iterator[list[str]]:
    for report in result.reports:
        yield [
            result.project.label,
            report["name"] or "",
            f"{report['runtime']} {report['architecture']}",
            size_text(report["size"]["unzipped"]),
            size_text(report["size"]["zipped"]),
            STATES[report["changed"]],
            f"{sum(report['seconds'].values()):.2f}",
        ]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Write rows in columns; sizes and times are flush with the right."""
    titles = rows[0]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    for row in rows:
        cells = (
            cell.rjust(width) if title in {"unzipped", "zipped", "seconds"} else cell.ljust(width)
            for cell, width, title in zip(row, widths, titles, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _total(results: Sequence[ProjectResult], reports: Sequence[BuildReport], seconds: float) -> str:
    built = sum(bool(result.reports) for result in results)
    failed = [result.project.label for result in results if result.failure is not None]
    states = Counter(STATES[report["changed"]] for report in reports)
    parts = [f"built {built} of {_counted(len(results), 'project')}"]
    if reports:
        told = ", ".join(f"{states[state]} {state}" for state in STATES.values() if states[state])
        parts.append(f"{_counted(len(reports), 'zip')} ({told})")
    if failed:
        parts.append(f"{len(failed)} failed ({', '.join(failed)})")
    if not_built := sum(map(_is_not_built, results)):
        parts.append(f"{not_built} not built because of that")
    return f"{', '.join(parts)}, in {seconds:.2f} s"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def warning_lines(results: Sequence[ProjectResult]) -> str:
    """Write each warning once, with the projects that it is about."""
    projects: dict[str, dict[str, None]] = {}
    for result in results:
        for report in result.reports:
            for warning in report["warnings"]:
                projects.setdefault(warning, {})[result.project.label] = None
    lines = (
        f"warning: {_listed(list(labels))}: {warning}\n" for warning, labels in projects.items()
    )
    return printable("".join(lines))


def _listed(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more"
