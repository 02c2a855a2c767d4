"""An execution environment: the process of a function, which answers one event after another.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html describes its
life: it is initialized, invoked any number of times, and thrown away after a timeout or when
the process has ended.
"""

from __future__ import annotations

import codecs
import datetime
import errno
import os
import secrets
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.invoke import answers
from lambda_build_plugin.invoke.answers import Measured, Result
from lambda_build_plugin.invoke.process import FunctionProcess
from lambda_build_plugin.invoke.runtime_api import Event, RuntimeApi
from lambda_build_plugin.invoke.variables import function_variables, region_of
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from typing_extensions import Self

    from lambda_build_plugin.invoke.answers import Failure
    from lambda_build_plugin.invoke.feasible import Python
    from lambda_build_plugin.invoke.function import Function
    from lambda_build_plugin.invoke.variables import Places

__all__ = ["ExecutionEnvironment", "Log"]

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")

_INIT_LIMIT = 10.0
"""Seconds that Lambda gives a function to initialize, before it counts as an invocation."""

_TICK = 0.02  # seconds between two looks at memory, log and clock
_TAIL = 4096
"""Bytes of the log that the Invoke API returns."""

_ACCOUNT = "123456789012"


class Log:
    """Shows the log of a function, and keeps the end of it."""

    def __init__(self, show: Callable[[str], object]) -> None:
        """Begin without a line.

        Args:
            show: Writes a text somewhere; what the function wrote may end anywhere in a line.
        """
        self._show = show
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._tail = bytearray()
        self._ends_line = True

    def begin(self) -> None:
        """Forget what was kept: the log of another invocation begins."""
        self._tail.clear()

    def line(self, text: str) -> None:
        """Add a line of Lambda's own."""
        self.add((b"" if self._ends_line else b"\n") + text.encode() + b"\n")

    def add(self, written: bytes) -> None:
        """Add what the function wrote."""
        if not written:
            return
        # awslambdaric separates the lines of a traceback by carriage returns, so that
        # they are one event of CloudWatch; a terminal would overwrite them.
        text = written.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._ends_line = text.endswith(b"\n")
        self._tail += written
        del self._tail[: -2 * _TAIL]
        self._show(self._decoder.decode(text))

    @property
    def tail(self) -> bytes:
        """The last bytes since `begin`."""
        return bytes(self._tail[-_TAIL:])


@dataclass(kw_only=True)
class ExecutionEnvironment:
    """Starts the process when it is needed, and ends it at the end of the `with` block."""

    function: Function
    python: Python
    places: Places
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    log: Log
    _api: RuntimeApi = field(default_factory=RuntimeApi, init=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _process: FunctionProcess | None = field(default=None, init=False)
    _written: BinaryIO | None = field(default=None, init=False)
    """The file that the process writes its log to, opened for reading."""

    _peak: int = field(default=0, init=False)
    _is_closed: bool = field(default=False, init=False)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._api)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        try:
            self._end()
        finally:
            self._stack.close()

    def invoke(self, payload: bytes, *, client_context: str = "") -> Result:
        """Send an event to the function and wait for its answer.

        Args:
            payload: JSON.
            client_context: JSON that the client of the function adds, or nothing.

        Raises:
            OSError: The process cannot be started.
        """
        self.log.begin()
        request_id = str(uuid.uuid4())
        init, failure = None, None
        if self._process is None or self._process.exit_code() is not None:
            begin = time.monotonic()
            failure = self._initialize(request_id)
            init = time.monotonic() - begin
        self.log.line(answers.start_line(request_id))
        begin = time.monotonic()
        if failure is None and (init is None or self._api.answer is None):
            self._api.offer(self._event(request_id, payload, client_context))
            failure = self._wait(
                request_id, begin + self.function.timeout, self._api.wait_for_answer
            )
        duration = time.monotonic() - begin
        measured = Measured(duration=duration, init=init, max_memory=self._max_memory())
        answer = self._api.answer if failure is None else None
        if answer is not None:
            failure = answers.failure_of(answer)
        if answer is None or answer.kind in {"init-error", "too-large"}:
            self._end()
        self._report(request_id, measured, failure)
        return Result(
            request_id=request_id,
            payload=answers.payload_of(answer, failure),
            failure=failure,
            measured=measured,
            log=self.log.tail,
        )

    def _report(self, request_id: str, measured: Measured, failure: Failure | None) -> None:
        self._read_log()
        if failure is not None and failure.message.startswith(f"RequestId: {request_id} "):
            if failure.error_type == "Sandbox.Timedout":
                moment = datetime.datetime.now(tz=datetime.timezone.utc)
                text = failure.message.partition("Error: ")[2]
                self.log.line(f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {text}")
            else:
                self.log.line(failure.message)
                self.log.line(failure.error_type)
        self.log.line(answers.end_line(request_id))
        self.log.line(answers.report_line(request_id, measured, self.function, failure))

    # --- the process ------------------------------------------------------------------

    def _initialize(self, request_id: str) -> Failure | None:
        """Start the process, and wait until it asks for an event or reports a failure.

        If that takes longer than ten seconds, Lambda starts again and counts it as a part of
        the invocation; here it may go on for as long as an invocation may take.
        """
        self._end()
        self._api.reset()
        self._peak = 0
        self.log.line(f"INIT_START Runtime Version: python:{self.python.interpreter.version}")
        deadline = time.monotonic() + max(_INIT_LIMIT, self.function.timeout)
        self._start()
        return self._wait(request_id, deadline, self._api.wait_until_idle)

    def _start(self) -> None:
        if self._is_closed:  # a thread with another request was waiting
            raise OSError(errno.ESHUTDOWN, "the environment has ended")
        places, function = self.places, self.function
        today = datetime.datetime.now(tz=datetime.timezone.utc)
        stream = f"{today:%Y/%m/%d}/[$LATEST]{secrets.token_hex(16)}"
        variables = function_variables(
            function,
            places,
            api=self._api.address,
            log_stream=stream,
            credentials=self.credentials,
        )
        folders = places.site_folders(function.target.runtime.python, function.variables)
        command = [
            *self.python.command,
            *("-S", "-s", "-B", "-X", "utf8", str(_BOOTSTRAP), function.handler),
            os.pathsep.join(map(str, folders)),
            os.pathsep.join(map(str, places.runtime)),
        ]
        if sys.platform == "win32":
            variables["SYSTEMROOT"] = os.environ.get("SYSTEMROOT", "")  # sockets need it
        scratch = places.task.parent
        path = scratch / "log"
        # Into a file: what was written before an answer is there when the answer is.
        with path.open("wb") as writing:
            self._written = path.open("rb")
            self._process = FunctionProcess(
                command,
                cwd=places.task,
                environ=variables,
                marker=stream,
                log=writing,
                scratch=scratch,
            )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()
            self._read_log()
        if self._written is not None:
            self._written.close()
            self._written = None

    def _read_log(self) -> None:
        if self._written is not None:
            self.log.add(self._written.read())

    # --- waiting ----------------------------------------------------------------------

    def _wait(
        self, request_id: str, deadline: float, arrived: Callable[[float], bool]
    ) -> Failure | None:
        """Wait for the function, and watch over its memory, its time, and its end."""
        process = self._process
        assert process is not None  # noqa: S101 - it was started before
        while True:
            if arrived(min(_TICK, max(0.0, deadline - time.monotonic()))):
                return None
            self._read_log()
            code = process.exit_code()
            if code is not None and not arrived(0):
                return answers.runtime_exited(request_id, code)
            if process.resident() > self.function.memory * 1024**2:
                self._peak = process.peak()
                return answers.killed_for_memory(request_id)
            if time.monotonic() >= deadline:
                return answers.timed_out(request_id, self.function.timeout)

    def _max_memory(self) -> int:
        process = self._process
        self._peak = max(self._peak, process.peak() if process is not None else 0)
        return self._peak

    def _event(self, request_id: str, payload: bytes, client_context: str) -> Event:
        region = region_of(self.function, self.credentials)
        trace = f"{int(time.time()):08x}-{secrets.token_hex(12)}"
        return Event(
            request_id=request_id,
            payload=payload,
            deadline=int((time.time() + self.function.timeout) * 1000),
            function_arn=f"arn:aws:lambda:{region}:{_ACCOUNT}:function:{self.function.name}",
            trace_id=f"Root=1-{trace};Parent={secrets.token_hex(8)};Sampled=0",
            client_context=client_context,
        )
