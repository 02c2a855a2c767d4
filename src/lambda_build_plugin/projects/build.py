"""Build several projects in worker processes; each has all of its artifacts or none.

This process gives out the projects, hears how they go on, and moves finished artifacts into
place. What a project's artifacts are does not depend on how many workers there are.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.projects.model import Failure, ProjectResult, ProjectsReporter
from lambda_build_plugin.projects.pool import Pool, WorkerEndedError, best_start_method
from lambda_build_plugin.projects.worker import Built, Orders
from lambda_build_plugin.system.cache_use import using
from lambda_build_plugin.system.leftovers import sweep, temporary_folder
from lambda_build_plugin.system.output import OutputError, Outputs, PlacedOutputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.projects.model import ProjectBuild
    from lambda_build_plugin.projects.pool import Worker

__all__ = ["build_projects"]


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
        )
        run = _Run(
            projects,
            Pool(orders, method=method or best_start_method()),
            reporter,
            is_fail_fast=fail_fast,
        )
        return run.results(workers)


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
        self._waiting = deque(range(len(projects)))
        self._built: dict[int, tuple[Built, float]] = {}
        """Those that are not moved yet, with the time that they took."""
        self._results: dict[int, ProjectResult] = {}
        self._claims: dict[str, str] = {}
        """By the real path of a zip, the project that it belongs to."""

    def results(self, workers: int) -> list[ProjectResult]:
        """Build everything."""
        self._reporter.waiting([each for each in self._projects if each.failure is None])
        try:
            with self._pool:
                while not self._is_over():
                    self._give_out(workers)
                    if self._building():
                        for worker in self._pool.ready():
                            self._hear(worker)
                    self._settle()
        finally:
            for outputs in self._pool.unfinished:
                _remove(outputs)
            for built, _ in self._built.values():
                _remove(built.outputs)
        nothing = (ProjectResult(project=project) for project in self._projects)
        return [self._results.get(number, each) for number, each in enumerate(nothing)]

    def _is_over(self) -> bool:
        if self._is_fail_fast and any(each.failure for each in self._results.values()):
            return True
        return len(self._results) == len(self._projects)

    def _building(self) -> list[Worker]:
        return [worker for worker in self._pool.workers if worker.project is not None]

    def _give_out(self, most: int) -> None:
        """Give projects that wait to workers that do not build; those with mistakes fail."""
        while self._waiting:
            number = self._waiting[0]
            if (failure := self._projects[number].failure) is not None:
                self._built[number] = (Built(failure, PlacedOutputs()), 0.0)
            elif not self._is_given(number, most):
                return
            self._waiting.popleft()

    def _is_given(self, number: int, most: int) -> bool:
        """Find or start a worker for a project; false if all are at work."""
        while (worker := self._free_worker(most)) is not None:
            try:
                worker.build(number)
            except OSError:  # it was killed while it waited
                self._pool.forget(worker)
                continue
            worker.reporter = self._reporter.started(self._projects[number])
            return True
        return False

    def _free_worker(self, most: int) -> Worker | None:
        """Get a worker that waits, or a new one.

        Raises:
            LambdaBuildError: There is none, and none can be started.
        """
        workers = self._pool.workers
        free = next((worker for worker in workers if worker.project is None), None)
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
        number = worker.project
        if number is None:
            return
        try:
            built = worker.hear()
        except WorkerEndedError as ended:
            error = LambdaBuildError(
                f"the process that built it was ended {ended.how}",
                why="something outside of lambda-build has ended it, such as the system when "
                "memory is short; nothing of the project is left",
                hint="build it again, with fewer processes at once if memory is short: `--jobs 1`",
            )
            failure = Failure.of(error, self._projects[number].label, verbose=False)
            built = Built(failure, worker.outputs)
            self._pool.forget(worker)
        if built is not None:
            self._built[number] = (built, time.perf_counter() - worker.started_at)
            worker.project, worker.outputs = None, PlacedOutputs()

    def _settle(self) -> None:
        """Move what is built: at once, or in the order given if the first failure ends it."""
        if not self._is_fail_fast:
            for number in list(self._built):
                self._finish(number)
            return
        while (number := len(self._results)) in self._built and not self._is_over():
            self._finish(number)

    def _finish(self, number: int) -> None:
        """Move the artifacts of a project, or remove what a failure has left."""
        built, seconds = self._built[number]
        project, outcome = self._projects[number], built.outcome
        if isinstance(outcome, Failure):
            _remove(built.outputs)
        else:
            outcome = self._moved(project.label, built.outputs) or outcome
        del self._built[number]
        if isinstance(outcome, Failure):
            result = ProjectResult(project=project, failure=outcome, seconds=seconds)
        else:
            result = ProjectResult(project=project, reports=outcome, seconds=seconds)
        self._results[number] = result
        self._reporter.ended(result)

    def _moved(self, label: str, outputs: PlacedOutputs) -> Failure | None:
        """Move the artifacts of a project into place, or say why that is not possible."""
        places = [os.path.realpath(path) for path, _, _ in outputs.results]
        try:
            with Outputs(outputs):
                for place in places:
                    if place in self._claims:  # only known now, as a version of the backend's
                        raise SamePlaceError(Path(place), self._claims[place])
        except OutputError as error:
            return Failure.of(error, label, verbose=False)
        self._claims.update(dict.fromkeys(places, label))
        return None


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
    """Create folders that several projects write to, and remove those that stay empty.

    If a worker did that, it could remove the folder at the moment when another one needs it.
    """
    wanted = Counter(
        folder
        for project in projects
        for folder in {
            each.zip_path(each.project.version).parent.resolve() for each in project.artifacts
        }
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
