"""The worker processes of a run: started, waited for, and ended."""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.projects.worker import SIGNALS, Built, News, Placed, work
from lambda_build_plugin.system.elsewhere import can_fork
from lambda_build_plugin.system.output import PlacedOutputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from typing_extensions import Self

    from lambda_build_plugin.projects.model import Part
    from lambda_build_plugin.projects.worker import Orders

__all__ = ["Pool", "Worker", "WorkerEndedError", "best_start_method"]

_PATIENCE = 0.5  # seconds that workers have to clean up


class WorkerEndedError(Exception):
    """A worker process has ended before its part was built."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(exit_code)
        self.how = f"with exit code {exit_code}"
        """Continues `the process was ended`."""
        if exit_code is not None and exit_code < 0:
            with suppress(ValueError):
                self.how = f"by the signal {signal.Signals(-exit_code).name}"


@dataclass(eq=False)
class Worker:
    """One process, and what it works on."""

    process: BaseProcess
    connection: Connection
    part: Part | None = None
    """What it builds; None if it waits for something to do."""

    last_project: int | None = None
    """The project that it knows already."""

    outputs: PlacedOutputs = field(default_factory=PlacedOutputs)
    """What it has prepared for this part."""

    reporter: Reporter = field(default_factory=Reporter)

    def build(self, part: Part) -> None:
        """Let it build a part.

        Raises:
            OSError: It has ended.
        """
        self.connection.send(part)
        self.part, self.last_project, self.outputs = part, part.project, PlacedOutputs()

    def hear(self) -> Built | None:
        """Take in one message; return it if it is the end of the build.

        Raises:
            WorkerEndedError: The process has ended before that.
        """
        try:
            message = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join()
            raise WorkerEndedError(self.process.exitcode) from error
        if isinstance(message, News):
            getattr(self.reporter, message.method)(*message.arguments, **message.options)
        elif isinstance(message, Placed):
            self.outputs = message.outputs
        elif isinstance(message, Built):
            return message
        return None

    def last_outputs(self) -> PlacedOutputs:
        """Read what it has said before it ended, and return what it has prepared."""
        with suppress(EOFError, OSError):
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, (Placed, Built)):
                    self.outputs = message.outputs
        return self.outputs


def best_start_method() -> str:
    """Choose how to start processes, see `multiprocessing`: a fork has all loaded at once."""
    return "fork" if can_fork() else "spawn"


class Pool:
    """The workers of a run, of which none outlives the `with` block."""

    def __init__(self, orders: Orders, *, method: str) -> None:
        """Start nothing yet.

        Args:
            orders: What the workers need to know; each gets a folder below that of the orders.
            method: How to start processes, see `multiprocessing`.
        """
        self._orders = orders
        self._context: Any = multiprocessing.get_context(method)  # its classes differ by system
        self._started = 0
        self.workers: list[Worker] = []
        self.unfinished: list[PlacedOutputs] = []
        """What workers had prepared when they were stopped."""

    def start(self) -> Worker:
        """Start one more worker.

        Raises:
            OSError: The system does not allow another process.
        """
        folder = self._orders.folder / f"worker-{self._started}"
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(theirs, replace(self._orders, folder=folder)), daemon=True
        )
        with _signals_held_back():
            process.start()
        theirs.close()
        self._started += 1
        worker = Worker(process, ours)
        self.workers.append(worker)
        return worker

    def forget(self, worker: Worker) -> None:
        """Take out a worker that has ended."""
        self.workers.remove(worker)
        worker.connection.close()

    def ready(self) -> Iterator[Worker]:
        """Wait until some workers that build have something to say; yield them, if any build."""
        busy = [worker for worker in self.workers if worker.part is not None]
        if not busy:  # `wait` would never return
            return
        ready = set(map(id, wait([worker.connection for worker in busy])))
        yield from (worker for worker in busy if id(worker.connection) in ready)

    def end_idle(self) -> None:
        """End the workers that wait, because nothing is left to do for them.

        The system frees their memory while the others still build.
        """
        for worker in self.workers:
            if worker.part is None:
                worker.process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all workers with their programs; those that build may clean up before."""
        deadline = time.monotonic() + _PATIENCE
        busy = [worker for worker in self.workers if worker.part is not None]
        for worker in busy:
            worker.process.terminate()
        for worker in busy:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            self.unfinished.append(worker.last_outputs())
            worker.connection.close()
        self.workers.clear()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let a new process set up its handlers before a signal reaches it; it ends this itself."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
