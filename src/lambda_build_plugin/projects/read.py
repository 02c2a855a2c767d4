"""Folders → the projects of a run with their settings, before anything is built.

The settings of a project are those that it would have alone. If they are wrong, that project
fails and the others are built. What concerns several projects is an error for all: two that
would write to the same path, and a mistake that all of them have, such as a wrong flag.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.sources import environment_source, table_source
from lambda_build_plugin.errors import LambdaBuildError, SettingsError
from lambda_build_plugin.pipeline.outputs import check_folders
from lambda_build_plugin.projects.model import Failure, ProjectBuild
from lambda_build_plugin.projects.parts import parts_of
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from lambda_build_plugin.config.settings import Host, Settings
    from lambda_build_plugin.config.sources import SettingsSource

    _Owners: TypeAlias = dict[str, dict[str, None]]

__all__ = ["Request", "count_workers", "read_projects", "with_jobs"]

_FILES_AT_ONCE = 16
"""Downloads of all workers together, where each of them may also have two."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a frontend wants of all projects alike."""

    flags: SettingsSource
    host: Host
    artifacts: Sequence[str]
    """Names of the artifacts to build; empty to build all."""

    workers: int
    """How many processes may build at once."""

    verbose: bool
    checks_folders: bool = True
    """Whether anything is to be written to the folders of the outputs."""


def count_workers(projects: Sequence[ProjectBuild], most: int) -> int:
    """Count how many processes can work on projects at once, at least one and at most so many."""
    parts = sum(len(project.parts) for project in projects if project.failure is None)
    return max(1, min(most, parts))


def read_projects(folders: Sequence[Path], request: Request) -> list[ProjectBuild]:
    """Read the settings of projects.

    Args:
        folders: Their folders, in the order in which they are built.
        request: What is wanted of all of them.

    Raises:
        SettingsError: Two projects would write to the same path.
        LambdaBuildError: All projects have the same mistake.
    """
    found = [_read(folder, request) for folder in folders]
    errors = [each.error for each in found if each.error is not None]
    if len(errors) == len(found) and len({str(error) for error in errors}) == 1:
        raise errors[0]
    names = Counter(each.name for each in found)
    places = [_shown(folder, request.host.cwd) for folder in folders]
    projects = []
    for folder, place, each in zip(folders, places, found, strict=True):
        is_clear = names[each.name] == 1 and (each.name == place or each.name not in places)
        label = each.name if each.name and is_clear else place
        failure = None
        if each.error is not None:
            failure = Failure.of(each.error, label, verbose=request.verbose)
        projects.append(
            ProjectBuild(
                label=label,
                folder=folder,
                artifacts=each.artifacts,
                parts=tuple(parts_of(each.artifacts)),
                failure=failure,
            )
        )
    _check_places(projects)
    workers = count_workers(projects, request.workers)
    return [replace(each, artifacts=with_jobs(each.artifacts, workers)) for each in projects]


def with_jobs(artifacts: Sequence[Settings], workers: int) -> tuple[Settings, ...]:
    """Give each of several processes its part of the network: `jobs` is their number then."""
    jobs = max(2, _FILES_AT_ONCE // workers)
    return tuple(replace(settings, jobs=jobs) for settings in artifacts)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What one project's files say, or what is wrong with them."""

    name: str = ""
    """Empty if nothing could be read."""

    artifacts: tuple[Settings, ...] = ()
    error: LambdaBuildError | None = None


def _read(folder: Path, request: Request) -> _Found:
    """Read the settings of one project, as if it were the only one."""
    host, name = request.host, ""
    try:
        project = read_project(folder)
        name = project.name
        sources = [request.flags, environment_source(host), table_source(project)]
        artifacts = read_artifacts(project, sources, host, wanted=request.artifacts)
        if request.checks_folders:
            check_folders(artifacts)
    except LambdaBuildError as error:
        return _Found(name=name, error=error)
    return _Found(name=name, artifacts=artifacts)


def _shown(folder: Path, cwd: Path) -> str:
    try:
        return folder.relative_to(cwd).as_posix()
    except ValueError:
        return str(folder)


def _check_places(projects: Sequence[ProjectBuild]) -> None:
    """Check that no two projects would be written to one place, or one inside of the other.

    Artifacts of one project have been compared when its settings were read.

    Raises:
        SettingsError: It names all such places, and the projects.
    """
    zips = _owners((project, _zip_path(each)) for project in projects for each in project.artifacts)
    folders = _owners(
        (project, each.unpacked)
        for project in projects
        for each in project.artifacts
        if each.unpacked is not None
    )
    for owners, hint in (
        (
            zips,
            "end `--output` with `/` to write a zip for each project into that folder, or give "
            "the projects different names or outputs",
        ),
        (folders, "leave out `unpacked`, or set another folder for each project"),
    ):
        shared = {place: labels for place, labels in owners.items() if len(labels) > 1}
        if shared:
            raise SettingsError(
                [
                    f"{place} would be written by {' and by '.join(labels)}"
                    for place, labels in shared.items()
                ],
                hint=hint,
            )
    if meeting := list(_meeting(zips, folders)):
        raise SettingsError(
            meeting, hint="set another `output` or `unpacked` for one of the projects"
        )


def _meeting(zips: _Owners, folders: _Owners) -> Iterator[str]:
    """Yield where the outputs of two projects would meet, or one be inside of the other."""
    owners = {place: zips.get(place, {}) | folders.get(place, {}) for place in zips | folders}
    for place, labels in owners.items():
        if len(labels) > 1:
            yield f"{place} would be written by {' and by '.join(labels)}"
        for outer in filter(owners.__contains__, _folders_above(place)):
            for label, other in itertools.product(labels, owners[outer]):
                if label != other:
                    yield f"{place} would be written by {label}, inside of what {other} writes"


def _folders_above(place: str) -> Iterator[str]:
    """Yield the folder of a place, the folder of that one, and so on."""
    while (folder := os.path.dirname(place)) != place:  # noqa: PTH120 - many places
        yield folder
        place = folder


def _owners(claims: Iterable[tuple[ProjectBuild, Path]]) -> _Owners:
    """Gather by real path which projects want it."""
    owners: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for project, path in claims:
        owners[os.path.realpath(path)][project.label] = None
    return dict(owners)


def _zip_path(settings: Settings) -> Path:
    return settings.zip_path(settings.project.version)
