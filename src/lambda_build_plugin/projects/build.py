"""Build projects in worker processes; each has all of its artifacts or none.

This process gives out parts of projects, hears how they go on, and moves finished artifacts
into place. What a project's artifacts are does not depend on how many workers there are.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from dataclasses import field
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.projects.model import Failure, Part, ProjectResult, ProjectsReporter
from lambda_build_plugin.projects.pool import Pool, WorkerEndedError, best_start_method
from lambda_build_plugin.projects.worker import Built, Orders
from lambda_build_plugin.system.cache_use import using
from lambda_build_plugin.system.leftovers import sweep, temporary_folder
from lambda_build_plugin.system.output import OutputError, Outputs, PlacedOutputs, only_file
from lambda_build_plugin.system.processors import usable_processors
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.projects.model import ProjectBuild
    from lambda_build_plugin.projects.pool import Worker
    from lambda_build_plugin.report import BuildReport

__all__ = ["build_projects", "load_ahead"]

_NEEDED_LATER = (
    *("lock.read", "pipeline.dependencies", "pipeline.left_out", "pipeline.planned"),
    *("pipeline.target_lock", "source_build.unpack"),
)
"""Modules that nearly all builds of a run need."""


def build_projects(
    projects: Sequence[ProjectBuild],
    *,
    workers: int,
    fail_fast: bool = False,
    reporter: ProjectsReporter | None = None,
    verbose: bool = False,
    method: str | None = None,
) -> list[ProjectResult]:
    """Build projects, each as if it were built alone.

    Args:
        projects: What to build; those whose settings are wrong fail.
        workers: How many processes may build at once.
        fail_fast: Whether to stop at the first failure. Then exactly the projects before it are
            built, in the order given, however many workers there are.
        reporter: Is told how each of them goes on; by default nothing is shown.
        verbose: Whether messages of failures have all details.
        method: How to start processes, see `multiprocessing`; by default the fastest way.

    Returns:
        What has become of each project, in the order given.

    Raises:
        LambdaBuildError: No worker process can be started.
    """
    reporter = reporter or ProjectsReporter()
    settings = [each for project in projects for each in project.artifacts]
    caches = {each.host.cache_dir for each in settings}
    for cache in caches:
        sweep(cache)
    with (
        using(caches),
        temporary_folder(ignore_errors=True) as folder,
        _shared_folders(projects),
    ):
        orders = Orders(
            projects=projects,
            folder=Path(folder),
            shared=Path(folder, "shared"),
            hears=reporter.hears,
            verbose=verbose,
            is_among_others=workers >= usable_processors(),
        )
        run = _Run(
            projects,
            Pool(orders, method=method or best_start_method()),
            reporter,
            is_fail_fast=fail_fast,
        )
        return run.results(workers)


def load_ahead() -> None:
    """Load what a build loads only when it needs it, so that workers that are forked have it."""
    for name in _NEEDED_LATER:
        import_module(f"lambda_build_plugin.{name}")


@dataclass(kw_only=True)
class _Progress:
    """What has become of a project so far."""

    waiting: deque[Part]
    """The parts that nobody builds yet, in their order."""

    building: int = 0
    """The number of parts that are being built."""

    began_at: float = 0.0
    seconds: float = 0.0
    built: list[tuple[Part, Built]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing more of it will be built."""
        return not self.waiting and not self.building

    @property
    def first_failure(self) -> Failure | None:
        """The failure that one process would have stopped at."""
        failures = [(end.failed, end.outcome) for _, end in self.built]
        found = [(number, each) for number, each in failures if isinstance(each, Failure)]
        return min(found, key=itemgetter(0))[1] if found else None

    def begin(self) -> Part:
        """Take the next part."""
        self.began_at = self.began_at or time.perf_counter()
        self.building += 1
        return self.waiting.popleft()

    def end(self, part: Part, end: Built) -> None:
        """Note the end of a part; parts that come after a failure are not built any more."""
        self.built.append((part, end))
        self.building -= 1
        self.seconds = time.perf_counter() - self.began_at
        if isinstance(end.outcome, Failure):
            self.waiting = deque(each for each in self.waiting if each.artifacts[0] < end.failed)

    def reports(self) -> tuple[BuildReport, ...]:
        """Get the reports of all artifacts, in the order of the artifacts."""
        found: dict[int, BuildReport] = {}
        for part, end in self.built:
            if not isinstance(end.outcome, Failure):
                found.update(zip(part.artifacts, end.outcome, strict=True))
        return tuple(report for _, report in sorted(found.items(), key=itemgetter(0)))

    def outputs(self) -> PlacedOutputs:
        """Get what all parts have prepared, in the order of the artifacts."""
        built = sorted(self.built, key=lambda each: each[0].artifacts)
        ends = [end.outputs for _, end in built]
        return PlacedOutputs(
            results=tuple(result for each in ends for result in each.results),
            folders=tuple(folder for each in ends for folder in each.folders),
        )


class _Run:
    """The projects that wait, are built, wait for others to be moved, and are done."""

    def __init__(
        self,
        projects: Sequence[ProjectBuild],
        pool: Pool,
        reporter: ProjectsReporter,
        *,
        is_fail_fast: bool,
    ) -> None:
        self._projects = projects
        self._pool = pool
        self._reporter = reporter
        self._is_fail_fast = is_fail_fast
        self._progress = [
            _Progress(waiting=deque(_parts(number, project)))
            for number, project in enumerate(projects)
        ]
        self._results: dict[int, ProjectResult] = {}
        self._claims: dict[str | tuple[int, int], str] = {}
        """By the real path of a zip, and by its file, the project that it belongs to."""

    def results(self, workers: int) -> list[ProjectResult]:
        """Build everything."""
        self._reporter.waiting([each for each in self._projects if each.failure is None])
        try:
            with self._pool:
                self._settle()
                while not self._is_over():
                    self._give_out(workers)
                    if not any(progress.waiting for progress in self._progress):
                        self._pool.end_idle()
                    self._settle()  # while the workers go on
                    for worker in self._pool.ready():
                        self._hear(worker)
                    if self._is_fail_fast:  # before anything else is begun
                        self._settle()
        finally:
            for outputs in self._pool.unfinished:
                _remove(outputs)
            for number, progress in enumerate(self._progress):
                if number not in self._results:
                    _remove(progress.outputs())
        nothing = (ProjectResult(project=project) for project in self._projects)
        return [self._results.get(number, each) for number, each in enumerate(nothing)]

    def _is_over(self) -> bool:
        if self._is_fail_fast and any(each.failure for each in self._results.values()):
            return True
        return len(self._results) == len(self._projects)

    def _give_out(self, most: int) -> None:
        """Give parts that wait to workers that do not build."""
        while any(progress.waiting for progress in self._progress):
            worker = self._free_worker(most)
            if worker is None:
                return
            progress = self._next_for(worker)
            try:
                worker.build(progress.waiting[0])
            except OSError:  # it was killed while it waited
                self._pool.forget(worker)
                continue
            part = progress.begin()
            worker.reporter = self._reporter.started(self._projects[part.project], part)

    def _next_for(self, worker: Worker) -> _Progress:
        """Choose a project for a worker.

        It goes on with what it knows already, or begins the next project, since the parts of
        one have much in common. Only when all have begun, it helps another worker.
        """
        waiting = [progress for progress in self._progress if progress.waiting]
        if worker.last_project is not None:
            last = self._progress[worker.last_project]
            if last.waiting:
                return last
        untouched = (each for each in waiting if not each.began_at)
        return next(untouched, waiting[0])

    def _free_worker(self, most: int) -> Worker | None:
        """Get a worker that waits, or a new one.

        Raises:
            LambdaBuildError: There is none, and none can be started.
        """
        workers = self._pool.workers
        free = next((worker for worker in workers if worker.part is None), None)
        if free is not None or len(workers) >= most:
            return free
        try:
            return self._pool.start()
        except OSError as error:
            if workers:  # there is no room for more
                return None
            raise LambdaBuildError(
                "cannot start a process to build with",
                why=error.strerror or str(error),
                hint="end other processes, or build the projects one by one",
            ) from error

    def _hear(self, worker: Worker) -> None:
        part = worker.part
        if part is None:
            return
        try:
            end = worker.hear()
        except WorkerEndedError as ended:
            project = self._projects[part.project]
            first = project.artifacts[part.artifacts[0]]
            start = f"{first.label}: " if project.is_divided else ""  # else the project's label
            error = LambdaBuildError(
                f"{start}the process that built it was ended {ended.how}",
                why="something outside of lambda-build has ended it, such as the system when "
                "memory is short; nothing of the project is left",
                hint="build it again, with fewer processes at once if memory is short: `--jobs 1`",
            )
            failure = Failure.of(error, project.label, verbose=False)
            end = Built(failure, worker.outputs, part.artifacts[0])
            self._pool.forget(worker)
        if end is not None:
            self._progress[part.project].end(part, end)
            self._reporter.built(self._projects[part.project], part)
            worker.part, worker.outputs = None, PlacedOutputs()

    def _settle(self) -> None:
        """Move what is built: at once, or in the order given if the first failure ends it."""
        for number, progress in enumerate(self._progress):
            if number not in self._results:
                if progress.is_over:
                    self._finish(number)
                elif self._is_fail_fast:
                    return
            if self._is_over():
                return

    def _finish(self, number: int) -> None:
        """Move the artifacts of a project, or remove what a failure has left."""
        project, progress = self._projects[number], self._progress[number]
        outputs = progress.outputs()
        failure = project.failure or progress.first_failure
        if failure is not None:
            _remove(outputs)
        else:
            failure = self._moved(project.label, outputs)
        result = ProjectResult(
            project=project,
            reports=() if failure else progress.reports(),
            failure=failure,
            seconds=progress.seconds,
        )
        self._results[number] = result
        self._reporter.ended(result)

    def _moved(self, label: str, outputs: PlacedOutputs) -> Failure | None:
        """Move the artifacts of a project into place, or say why that is not possible."""
        places = [os.path.realpath(path) for path, _, _ in outputs.results]
        try:
            with Outputs(outputs):
                # Only known now: a version of the backend's, or two spellings of one path.
                for place in places:
                    if owner := self._claims.get(place) or self._owner(Path(place)):
                        raise SamePlaceError(Path(place), owner)
        except OutputError as error:
            return Failure.of(error, label, verbose=False)
        self._claims.update(dict.fromkeys(places, label))
        files = (only_file(Path(place)) for place in places)
        self._claims.update({file: label for file in files if file is not None})
        return None

    def _owner(self, place: Path) -> str | None:
        """Find the project of this run that a file at a place belongs to."""
        file = only_file(place)
        return None if file is None else self._claims.get(file)


def _parts(number: int, project: ProjectBuild) -> Iterator[Part]:
    """Yield the parts of a project; none if its settings are wrong."""
    if project.failure is None:
        for artifacts in project.parts or (tuple(range(len(project.artifacts))),):
            yield Part(project=number, artifacts=artifacts)


class SamePlaceError(OutputError):
    """Another project of the run has written to the same path."""

    def __init__(self, path: Path, other: str) -> None:
        super().__init__(
            path,
            f"it is the artifact of {other}, which was built in the same run",
            hint="give the projects different names, versions or folders for their artifacts",
        )


def _remove(outputs: PlacedOutputs) -> None:
    """Remove what was prepared, and nothing that was there before."""
    Outputs(outputs).abandon()


@contextmanager
def _shared_folders(projects: Sequence[ProjectBuild]) -> Iterator[None]:
    """Create folders that several parts write to, and remove those that stay empty.

    If a worker did that, it could remove the folder at the moment when another one needs it.
    """
    wanted = Counter(
        folder
        for number, project in enumerate(projects)
        for part in _parts(number, project)
        for folder in {_folder(project.artifacts[each]) for each in part.artifacts}
    )
    created: list[Path] = []
    for folder in (each for each, count in wanted.items() if count > 1):
        missing = [each for each in (*reversed(folder.parents), folder) if not each.exists()]
        with suppress(OSError):  # each project will say what is wrong
            for each in missing:
                each.mkdir()
                created.append(each)
    try:
        yield
    finally:
        for each in reversed(created):
            with suppress(OSError):
                each.rmdir()


def _folder(settings: Settings) -> Path:
    return settings.zip_path(settings.project.version).parent.resolve()
