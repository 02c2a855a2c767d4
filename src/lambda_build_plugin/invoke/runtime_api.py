"""Lambda's Runtime API: the HTTP server that a function asks for events and sends answers to.

Paths, headers and status codes are those of
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. It serves one event at a time
on 127.0.0.1, to one process.
"""

from __future__ import annotations

import json
import re
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from lambda_build_plugin.invoke.function import MAX_PAYLOAD
from lambda_build_plugin.invoke.server import Conversation, Server
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from io import BufferedIOBase

    from typing_extensions import Self

__all__ = ["Answer", "Event", "RuntimeApi"]

_API = "/2018-06-01/runtime"
_ANSWERS = re.compile(rf"{_API}/invocation/(?P<id>[^/]+)/(?P<kind>response|error)")
_POLL = 0.05  # seconds until the server notices that it has to end
_SILENCE = 30  # seconds for a client that stops in the middle of a request
_MOST_READ = 64 * MAX_PAYLOAD
"""Bytes of a body that are read at all, to reply that it is too large."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event, with what its headers say."""

    request_id: str
    payload: bytes
    deadline: int
    """Milliseconds since 1970."""

    function_arn: str
    trace_id: str
    client_context: str = ""
    """JSON, or nothing."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the reply to `next`."""
        context = {"Lambda-Runtime-Client-Context": self.client_context}
        return {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
            **(context if self.client_context else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the function has sent."""

    kind: str
    """`response`, `error` or `init-error`; or `too-large` for a response that is not taken."""

    body: bytes
    size: int
    """Bytes of the body, which is empty if it is too large."""

    content_type: str = ""


class RuntimeApi:
    """The server, from the beginning to the end of a `with` block."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._event: Event | None = None
        """What the next request for an event gets."""

        self._in_progress: Event | None = None
        """What the function works on."""

        self._answer: Answer | None = None
        self._is_idle = False
        self._generation = 0
        """How many processes were served; a request of an earlier one gets no event."""

        self._server = _Server("127.0.0.1", 0, _Conversation)
        self._server.api = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[_POLL], daemon=True
        )

    @property
    def address(self) -> str:
        """The value of `AWS_LAMBDA_RUNTIME_API`."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._generation += 1
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- for the environment ----------------------------------------------------------

    def reset(self) -> None:
        """Forget the process that was served: a new one begins."""
        with self._changed:
            self._event = self._in_progress = self._answer = None
            self._is_idle = False
            self._generation += 1
            self._changed.notify_all()

    def offer(self, event: Event) -> None:
        """Give an event to the function, which asks for it or will do so."""
        with self._changed:
            self._event, self._answer = event, None
            self._is_idle = False
            self._changed.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until the function asks for an event, or reports that it cannot start."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_idle or bool(self._answer), seconds)

    def wait_for_answer(self, seconds: float) -> bool:
        """Wait until the function has answered."""
        with self._changed:
            return self._changed.wait_for(lambda: self._answer is not None, seconds)

    @property
    def answer(self) -> Answer | None:
        """What the function has sent since the last event was offered."""
        with self._changed:
            return self._answer

    # --- for the function -------------------------------------------------------------

    def take(self) -> Event | None:
        """Wait for an event; None if there will be none."""
        with self._changed:
            served = self._generation
            self._is_idle = True
            self._in_progress = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._event is not None or self._generation != served)
            if self._generation != served:
                return None
            event, self._event = self._event, None
            self._in_progress = event
            return event

    def is_expected(self, request_id: str) -> bool:
        """Tell whether an answer to a request is outstanding."""
        with self._changed:
            current = self._in_progress
            return current is not None and current.request_id == request_id and not self._answer

    def note(self, answer: Answer) -> None:
        """Keep what the function has sent."""
        with self._changed:
            self._answer = answer
            self._changed.notify_all()


class _Server(Server):
    api: RuntimeApi


class _ShortLines:
    """A request whose lines end where `http.server` would refuse them as too long.

    awslambdaric sends the cause of a failure as a header of up to a megabyte, which a deep
    recursion needs. Nothing reads it here.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def readline(self, limit: int = -1) -> bytes:
        """Read a line, and skip the rest of one that is too long."""
        line = rest = self._file.readline(limit)
        while 0 < limit <= len(rest) and not rest.endswith(b"\n"):
            rest = self._file.readline(limit)
        return line if line is rest else line[: limit - 3] + b"\r\n"


class _Conversation(Conversation):
    server: _Server
    timeout = None  # `next` may take as long as nothing is invoked

    def setup(self) -> None:
        """Prepare for headers that are longer than `http.server` accepts."""
        super().setup()
        self.rfile = cast("BufferedIOBase", _ShortLines(self.rfile))

    def do_GET(self) -> None:  # noqa: N802 - `http.server` looks it up
        if self.path != f"{_API}/invocation/next":
            self._reply_error(HTTPStatus.NOT_FOUND, "NotFound", "there is no such path")
            return
        event = self.server.api.take()
        if event is None:
            self.close_connection = True
        else:
            self.reply(HTTPStatus.OK, event.payload, event.headers.items())

    def do_POST(self) -> None:  # noqa: N802 - `http.server` looks it up
        body, size = self._body()
        api, match = self.server.api, _ANSWERS.fullmatch(self.path)
        content_type = self.headers.get("Content-Type", "")
        if self.path == f"{_API}/init/error":
            answer = Answer(kind="init-error", body=body, size=size, content_type=content_type)
        elif match is None:
            self._reply_error(HTTPStatus.NOT_FOUND, "NotFound", "there is no such path")
            return
        elif not api.is_expected(match["id"]):
            self._reply_error(HTTPStatus.BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
            return
        elif size > MAX_PAYLOAD:
            api.note(Answer(kind="too-large", body=b"", size=size))
            text = f"Exceeded maximum allowed payload size ({MAX_PAYLOAD} bytes)."
            self._reply_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", text)
            return
        else:
            answer = Answer(kind=match["kind"], body=body, size=size, content_type=content_type)
        # The reply first: the process may be ended as soon as its answer is known.
        self.reply(HTTPStatus.ACCEPTED, b'{"status":"OK"}\n')
        api.note(answer)

    def _body(self) -> tuple[bytes, int]:
        """Read the body, unless it is much too large, and return its size as well."""
        self.connection.settimeout(_SILENCE)
        try:
            size = int(self.headers.get("Content-Length", 0))
            if size > _MOST_READ:
                self.close_connection = True
                return b"", size
            return self.rfile.read(size), size
        finally:
            self.connection.settimeout(None)

    def _reply_error(self, status: HTTPStatus, error_type: str, message: str) -> None:
        document = {"errorMessage": message, "errorType": error_type}
        headers = {"Content-Type": "application/json"}
        self.reply(status, json.dumps(document).encode(), headers.items())
