"""A worker process: builds one part after the other, and moves nothing into place.

It gets a part of a project through its connection, tells how the build goes on, and at
the end sends the reports together with where the finished artifacts lie. The process that
has started it moves them. So a worker may be killed at any moment without leaving anything
half done, and what it has left is removed by the other process.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import traceback
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.config.settings import Contents, Form
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.pipeline.build import build_artifact, prepare
from lambda_build_plugin.pipeline.run import Run
from lambda_build_plugin.pipeline.unexpected import unexpected_error
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.projects.model import Failure
from lambda_build_plugin.system.leftovers import empty_folder
from lambda_build_plugin.system.output import Outputs
from lambda_build_plugin.system.sharing import SharedFolder
from lambda_build_plugin.urls import redacted_text
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path
    from types import FrameType

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.projects.model import Part, ProjectBuild
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.system.output import PlacedOutputs

__all__ = ["SIGNALS", "Built", "News", "Orders", "Placed", "work"]

SIGNALS = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that the process which starts the workers deals with for all of them."""

_BETWEEN_NEWS = 0.1  # seconds, between two messages about received bytes

_OBJECTS_BEFORE_COLLECTING = 500_000


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a worker needs to know."""

    projects: Sequence[ProjectBuild]
    folder: Path
    """For its temporary files; the process that has started it removes the folder."""

    shared: Path
    """The folder that it shares with the other workers."""

    hears: frozenset[str]
    """The methods of `Reporter` that somebody listens to."""

    verbose: bool
    is_among_others: bool
    """Whether the workers keep all processors busy."""


class News(NamedTuple):
    """A call of a method of `Reporter`."""

    method: str
    arguments: tuple[object, ...]
    options: dict[str, object]


class Placed(NamedTuple):
    """What has been prepared so far, to be removed if the worker ends unexpectedly."""

    outputs: PlacedOutputs


class Built(NamedTuple):
    """The end of the build of a part."""

    outcome: tuple[BuildReport, ...] | Failure
    outputs: PlacedOutputs
    failed: int = -1
    """The number of the artifact that failed; -1 if all of the project would fail so."""


def work(connection: Connection, orders: Orders) -> None:
    """Build the parts that come through the connection, until it is closed."""
    # What was loaded before is never collected; what builds leave is, but not all the time.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTING, 10, 10)
    gc.enable()
    try:
        _handle_signals()  # from here on, each moment may be the last one
        threading.Thread(target=_end_with_parent, daemon=True).start()
        orders.folder.mkdir()
        tempfile.tempdir = str(orders.folder)
        worker = _Worker(connection, orders)
        while True:
            connection.send(worker.build(connection.recv()))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(1)  # without waiting for downloads that are no longer needed


def _handle_signals() -> None:
    """Leave it to the first process what a signal for all of them means."""

    def end(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in SIGNALS - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _end_with_parent() -> None:
    """End this process, with its programs, after the one that has started it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
        os._exit(1)


class _Worker:
    """Builds parts of projects, and tells how it goes on."""

    def __init__(self, connection: Connection, orders: Orders) -> None:
        self._connection = connection
        self._orders = orders
        self._reporter = _Telling(self)
        self._sending = threading.Lock()
        self._current: _Current | None = None

    @property
    def hears(self) -> frozenset[str]:
        """The methods of `Reporter` that somebody listens to."""
        return self._orders.hears

    def tell(self, message: News | Placed) -> None:
        """Send a message, from any thread."""
        with self._sending:
            self._connection.send(message)

    def build(self, part: Part) -> Built:
        """Build a part; its artifacts stay where they have been written."""
        label = self._orders.projects[part.project].label
        outputs = Outputs(tell=lambda placed: self.tell(Placed(placed)))
        verbose, failed = self._orders.verbose, -1
        reports: list[BuildReport] = []
        try:
            current = self._current_of(part.project)
            current.run.outputs = outputs
            artifacts = current.prepared()
            for number in part.artifacts:
                failed = number
                if len(part.artifacts) > 1:
                    self._name(part, number)
                reports.append(build_artifact(current.run, artifacts, number))
        except LambdaBuildError as error:
            failure = Failure.of(error, label, verbose=verbose)
            return Built(failure, outputs.placed, failed)
        except Exception as error:  # noqa: BLE001 - other projects are built nevertheless
            shown = unexpected_error(error, verbose=verbose)
            trace = redacted_text("".join(traceback.format_exception(error))) if verbose else ""
            failure = Failure.of(shown, label, verbose=verbose, trace=trace)
            return Built(failure, outputs.placed, failed)
        return Built(tuple(reports), outputs.placed)

    def _name(self, part: Part, number: int) -> None:
        """Say which of several artifacts is being built from now on."""
        if "artifact" in self.hears:
            label = self._orders.projects[part.project].artifact_label(number)
            self.tell(News("artifact", (label,), {}))

    def _current_of(self, number: int) -> _Current:
        """Go on with the run of a project, or begin one and leave the last one behind."""
        current = self._current
        if current is None or current.number != number:
            folder = self._orders.folder / "run"
            folder.mkdir(exist_ok=True)
            empty_folder(folder)
            run = Run(
                folder=folder,
                scratch=self._orders.folder / "scratch",
                reporter=self._reporter,
                builder=None,
                outputs=Outputs(),
                shared=SharedFolder(self._orders.shared),
                is_among_others=self._orders.is_among_others,
            )
            project = self._orders.projects[number]
            current = self._current = _Current(number, project, run)
        return current


@dataclass()
class _Current:
    """The project of which a worker builds parts, and what they share."""

    number: int
    project: ProjectBuild
    run: Run
    _prepared: Sequence[Settings] = ()

    def prepared(self) -> Sequence[Settings]:
        """Get the artifacts of the project as they are to be built.

        Raises:
            LambdaBuildError: As `prepare`.
        """
        if not self._prepared:
            self._prepared = prepare(self.run, self.project.artifacts)
            if self.project.is_divided:
                for settings in self._prepared:
                    ships_project = settings.contents is not Contents.DEPENDENCIES
                    if ships_project and settings.form is Form.WHEEL:
                        target = settings.target
                        self.run.first_targets.setdefault(target.runtime, target)
        return self._prepared


@dataclass()
class _Telling(Reporter):
    """Sends what somebody listens to."""

    worker: _Worker
    _received: int = 0
    _sent_at: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def stage(self, name: str) -> None:
        self._tell("stage", name)

    def note(self, text: str) -> None:
        self._tell("note", text)

    def fetching(self, *, files: int) -> None:
        self._tell("fetching", files=files)

    def announced(self, size: int) -> None:
        self._tell("announced", size)

    def received(self, size: int) -> None:
        with self._counting:
            self._received += size
            now = time.monotonic()
            if now - self._sent_at < _BETWEEN_NEWS:
                return
            size, self._received, self._sent_at = self._received, 0, now
        self._tell("received", size)

    def fetched(self, filename: str, *, cached: bool) -> None:
        self._tell("fetched", filename, cached=cached)

    def building(self, name: str) -> None:
        self._tell("building", name)

    def built(self, name: str, *, seconds: float) -> None:
        self._tell("built", name, seconds=seconds)

    def _tell(self, method: str, *arguments: object, **options: object) -> None:
        if method in self.worker.hears:
            self.worker.tell(News(method, arguments, options))
