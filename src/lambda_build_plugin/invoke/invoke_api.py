"""Lambda's Invoke API over HTTP, for boto3 and the `aws` command, and function URLs beside it.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html describes requests and answers.
Events are handled one after the other, as one environment of Lambda would. Signatures are not
checked.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import queue
import re
import threading
import uuid
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.invoke.function import MAX_PAYLOAD
from lambda_build_plugin.invoke.function_url import HttpRequest, answer_of, event_of
from lambda_build_plugin.invoke.json_values import json_problem
from lambda_build_plugin.invoke.server import Conversation, Server
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lambda_build_plugin.invoke.answers import Result

__all__ = ["Address", "Listener", "listening"]

_PATH = re.compile(r"/2015-03-31/functions/[^/?]+/invocations(?:\?.*)?")
_APIS = re.compile(r"/\d{4}-\d{2}-\d{2}/")
_SILENCE = 30  # seconds for a client that stops in the middle of a request
_MOST_WAITING = 1000
"""Asynchronous events that wait; Lambda has no such limit, a laptop has."""

_MOST_ASYNCHRONOUS = 1024 * 1024
"""Bytes of an asynchronous event (the quota of Lambda)."""

_POLL = 0.05  # seconds until the server notices that it has to end
_NAMES = frozenset({"localhost", "localhost.localdomain"})


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 0

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host in _NAMES


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A server that is bound to its port."""

    url: str
    _server: _Server

    def serve(self) -> None:
        """Answer requests until an exception, such as Ctrl-C, ends it."""
        self._server.serve_forever(_POLL)


@contextmanager
def listening(
    address: Address, invoke: Callable[[bytes, str], Result], *, http: bool
) -> Iterator[Listener]:
    """Bind the port, and free it at the end of the `with` block.

    Args:
        address: Where to listen.
        invoke: Takes an event, which is JSON, and a client context.
        http: Whether all other paths are those of a function URL.

    Raises:
        SettingsError: The port is taken, or the address is not one of this machine.
    """
    try:
        server = _Server(address.host, address.port, _Conversation)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            [f"--listen: cannot listen on {address.host}:{address.port}: {reason}"],
            hint="choose another port; 0 takes any that is free",
        ) from error
    with server:
        server.is_loopback, server.http = address.is_loopback, http
        server.start(invoke)
        host = f"[{address.host}]" if ":" in address.host else address.host
        yield Listener(url=f"http://{host}:{server.server_port}", _server=server)


class _Server(Server):
    is_loopback: bool
    http: bool

    def start(self, invoke: Callable[[bytes, str], Result]) -> None:
        """Prepare for requests."""
        self._invoke = invoke
        self._one_at_a_time = threading.Lock()
        self._waiting: queue.Queue[tuple[bytes, str]] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._work, daemon=True).start()

    def invoke(self, payload: bytes, client_context: str) -> Result:
        """Invoke the function when it is free."""
        with self._one_at_a_time:
            return self._invoke(payload, client_context)

    def invoke_later(self, payload: bytes, client_context: str) -> None:
        """Invoke the function some time.

        Raises:
            queue.Full: Too many events are waiting.
        """
        self._waiting.put_nowait((payload, client_context))

    def _work(self) -> None:
        while True:
            payload, client_context = self._waiting.get()
            with suppress(OSError):
                self.invoke(payload, client_context)


class _Conversation(Conversation):
    server: _Server
    timeout = _SILENCE

    def do_POST(self) -> None:  # noqa: N802 - `http.server` looks it up
        body = self._body()
        if body is None or not self._is_for_us():
            return
        if _PATH.fullmatch(self.path):
            self._answer_invocation(body)
        else:
            self._answer_other(body)

    def _answer_any(self) -> None:
        body = self._body()
        if body is not None and self._is_for_us():
            self._answer_other(body)

    # `http.server` looks methods up by these names.
    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer_any  # noqa: N815

    # --- the Invoke API ---------------------------------------------------------------

    def _answer_invocation(self, body: bytes) -> None:
        kind = self.headers.get("X-Amz-Invocation-Type") or "RequestResponse"
        payload = body or b"{}"
        if "Origin" in self.headers:  # any page that is open in a browser could do that
            self._refuse(HTTPStatus.FORBIDDEN, "AccessDeniedException", "browsers may not invoke")
        elif kind not in {"RequestResponse", "Event", "DryRun"}:
            text = f"Unknown invocation type {kind!r}"
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidParameterValueException", text)
        elif len(payload) > (_MOST_ASYNCHRONOUS if kind == "Event" else MAX_PAYLOAD):
            text = f"{len(payload)} byte payload is too large for the {kind} invocation type"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestTooLargeException", text)
        elif problem := json_problem(payload):
            text = f"Could not parse request body into json: {problem}"
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestContentException", text)
        elif (context := self._client_context()) is None:
            text = "Client context must be a valid Base64-encoded JSON object"
            self._refuse(HTTPStatus.BAD_REQUEST, "InvalidRequestContentException", text)
        elif kind == "DryRun":
            self.reply(HTTPStatus.NO_CONTENT, b"", self._ids(str(uuid.uuid4())))
        elif kind == "Event":
            self._accept(payload, context)
        else:
            self._invoke(payload, context)

    def _invoke(self, payload: bytes, context: str) -> None:
        result = self.server.invoke(payload, context)
        headers = [
            ("Content-Type", "application/json"),
            ("X-Amz-Executed-Version", "$LATEST"),
            *self._ids(result.request_id),
        ]
        if result.failure is not None:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        if self.headers.get("X-Amz-Log-Type") == "Tail":
            headers.append(("X-Amz-Log-Result", base64.b64encode(result.log).decode()))
        self.reply(HTTPStatus.OK, result.payload, headers)

    def _accept(self, payload: bytes, context: str) -> None:
        try:
            self.server.invoke_later(payload, context)
        except queue.Full:
            text = "Too many events are waiting"
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequestsException", text)
        else:
            self.reply(HTTPStatus.ACCEPTED, b"", self._ids(str(uuid.uuid4())))

    def _client_context(self) -> str | None:
        """Decode the client context; None if it is none."""
        try:
            text = base64.b64decode(self.headers.get("X-Amz-Client-Context", ""), validate=True)
            return json.dumps(json.loads(text)) if text else ""
        except (ValueError, binascii.Error):
            return None

    # --- function URLs ----------------------------------------------------------------

    def _answer_other(self, body: bytes) -> None:
        if not self.server.http or _APIS.match(self.path):
            text = f"There is nothing at {self.command} {self.path.partition('?')[0]}"
            self._refuse(HTTPStatus.NOT_FOUND, "ResourceNotFoundException", text)
            return
        request = HttpRequest(
            method=self.command,
            target=self.path,
            headers=tuple(self.headers.items()),
            body=body,
            client=self.client_address[0],
            request_id=str(uuid.uuid4()),
        )
        result = self.server.invoke(json.dumps(event_of(request)).encode(), "")
        answer = answer_of(result.payload, failed=result.failure is not None)
        # `http.server` writes headers in Latin-1.
        headers = [(name, value.encode().decode("latin-1")) for name, value in answer.headers]
        self.reply(answer.status, answer.body, headers)

    # --- HTTP -------------------------------------------------------------------------

    def _is_for_us(self) -> bool:
        """Check the name that the client knows us by.

        A page on the web can have its own name lead to this machine (DNS rebinding), and
        would then count as a page of this server.
        """
        name = re.sub(r":\d+$", "", self.headers.get("Host", ""))
        try:
            is_address = bool(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            is_address = False
        if not self.server.is_loopback or is_address or name in _NAMES | {""}:
            return True
        text = "The name of the host is not that of this machine"
        self._refuse(HTTPStatus.FORBIDDEN, "AccessDeniedException", text)
        return False

    def _body(self) -> bytes | None:
        """Read the body; None if that is refused, or if the client went away before its end."""
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            text = "The request needs a Content-Length"
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "InvalidRequestContentException", text)
            return None
        text = self.headers.get("Content-Length", "0")
        size = int(text) if text.isascii() and text.isdecimal() else -1
        if 0 <= size <= 2 * MAX_PAYLOAD:
            body = self.rfile.read(size)
            if len(body) == size:
                return body
            self.close_connection = True  # nobody is there to read a reply
            return None
        self.close_connection = True
        message = f"Request must be smaller than {MAX_PAYLOAD} bytes for the Invoke operation"
        self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestTooLargeException", message)
        return None

    def _ids(self, request_id: str) -> list[tuple[str, str]]:
        return [("X-Amzn-RequestId", request_id)]

    def _refuse(self, status: HTTPStatus, error_type: str, message: str) -> None:
        """Reply as AWS's services do to what they do not accept."""
        body = json.dumps({"Type": "User", "Message": message, "message": message}).encode()
        headers = [("Content-Type", "application/json"), ("X-Amzn-ErrorType", error_type)]
        self.reply(status, body, [*headers, *self._ids(str(uuid.uuid4()))])
