"""Serve wheels and sdists as a package index would, on the loopback interface.

In go the files and, path by path, the faults that a test wants to see; out
come pages of the simple repository API (PEP 503 and PEP 691) and the files.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import functools
import gzip
import hashlib
import html
import json
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self, override

    from fakes.wheels import FakeSdist, FakeWheel
else:
    _Method = TypeVar("_Method")

    def override(method: _Method) -> _Method:
        """Stand in for `typing.override`, which came with Python 3.12."""
        return method


__all__ = [
    "CutShort",
    "Drip",
    "Drop",
    "FakeIndex",
    "Fault",
    "Longer",
    "Redirect",
    "Replace",
    "Request",
    "Slow",
    "Status",
]

_BINARY = "application/octet-stream"
_PAGE_TYPES = {
    "html": "text/html; charset=utf-8",
    "json": "application/vnd.pypi.simple.v1+json",
}


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status in place of the file."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class CutShort:
    """Announce the whole length, send so many bytes, and close the connection."""

    keep: int

    def applied(self, answer: _Answer) -> _Answer:
        """Let the connection break."""
        return replace(answer, keep=self.keep)


@dataclass(frozen=True, slots=True)
class Drip:
    """Send one byte at a time with a pause after each, as long as somebody listens."""

    seconds: float
    head_too: bool = False
    """Whether the head of the answer comes so slowly as well."""

    def applied(self, answer: _Answer) -> _Answer:
        """Let the answer come slowly."""
        return replace(answer, drip=self)


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Longer:
    """Announce the length of the file and send more."""

    extra: bytes

    def applied(self, answer: _Answer) -> _Answer:
        """Let something follow the body."""
        return replace(answer, extra=self.extra)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the client to another url."""

    to: str
    code: int = 302


@dataclass(frozen=True, slots=True)
class Replace:
    """Serve other content under the name."""

    content: bytes
    content_type: str | None = None
    """In place of the normal one."""

    def applied(self, answer: _Answer) -> _Answer:
        """Put the other content in the place of the right one."""
        if self.content_type is None:
            return replace(answer, body=self.content)
        return replace(answer, body=self.content, headers={"Content-Type": self.content_type})


@dataclass(frozen=True, slots=True)
class Slow:
    """Wait before the service, which is then the normal one."""

    seconds: float


Fault: TypeAlias = Status | CutShort | Drip | Drop | Longer | Redirect | Replace | Slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the index received it."""

    method: str
    path: str
    """The target of the request line, still quoted and with its query."""

    headers: Mapping[str, str]
    """By lower-case name; of a repeated header the last."""


class FakeIndex:
    """A package index that serves inside a `with` block.

    Args:
        files: What the index offers.
        form: The form of its pages, whatever the client accepts.
        auth: User and password, asked for by HTTP basic authentication.
        hashes: The algorithm of the digests on the pages; None for pages without digests.
        files_elsewhere: The folder that the pages link to, in place of the index's
            own: an absolute url, such as the `files_url` of another index.
        yanked: Names of files that the pages call yanked (PEP 592).
    """

    def __init__(
        self,
        files: Iterable[FakeWheel | FakeSdist] = (),
        *,
        form: Literal["html", "json"] = "html",
        auth: tuple[str, str] | None = None,
        hashes: str | None = "sha256",
        files_elsewhere: str | None = None,
        yanked: Collection[str] = (),
    ) -> None:
        self._files = {file.filename: file for file in files}
        self._form = form
        self._auth = auth
        self._hashes = hashes
        self._yanked = frozenset(yanked)
        self._files_base = "../../files/"
        if files_elsewhere is not None:
            self._files_base = files_elsewhere.rstrip("/") + "/"
        self._faults: dict[str, collections.deque[Fault]] = {}
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), functools.partial(_Handler, self._respond))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._closing.set()
            self._server.shutdown()
            self._server.hang_up()
            self._server.server_close()

    @property
    def netloc(self) -> str:
        """Host and port, as in a url."""
        if self._server is None:
            raise RuntimeError("the index has an address only inside its `with` block")
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The root of the simple API, with a slash at the end."""
        return f"http://{self.netloc}/simple/"

    @property
    def url_with_credentials(self) -> str:
        """The same, with user and password in it."""
        if self._auth is None:
            raise RuntimeError("the index asks for no credentials")
        user, password = (quote(part, safe="") for part in self._auth)
        return f"http://{user}:{password}@{self.netloc}/simple/"

    @property
    def files_url(self) -> str:
        """The folder of the files, with a slash at the end."""
        return f"http://{self.netloc}/files/"

    def file_url(self, filename: str) -> str:
        """Spell the url of a file, without a digest."""
        return self.files_url + quote(filename)

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._requests)

    def fail(self, path_suffix: str, *responses: Fault) -> None:
        """Answer the next requests with faults, one each, then normally again.

        They are used up by requests whose unquoted path, without its query, ends
        with the suffix; even by one that lacks the credentials.
        """
        with self._lock:
            self._faults.setdefault(path_suffix, collections.deque()).extend(responses)

    def _respond(self, request: Request) -> _Answer | None:
        """Answer a request; `None` closes the connection."""
        path = unquote(urlsplit(request.path).path)
        fault = self._noted(request, path)
        match fault:
            case Drop():
                return None
            case Status():
                return _Answer(fault.code, fault.headers, fault.body)
            case Redirect():
                return _Answer(fault.code, {"Location": fault.to})
            case Slow():
                # The end of the `with` block does not wait for the rest.
                self._closing.wait(fault.seconds)
        answer = self._served(request, path)
        if isinstance(fault, Replace) and answer.code == HTTPStatus.OK:
            answer = fault.applied(answer)
        if path.startswith("/simple/") and "gzip" in request.headers.get("accept-encoding", ""):
            answer = answer.zipped()
        return fault.applied(answer) if isinstance(fault, CutShort | Drip | Longer) else answer

    def _noted(self, request: Request, path: str) -> Fault | None:
        """Record the request and take the fault that it meets."""
        with self._lock:
            self._requests.append(request)
            for suffix, faults in self._faults.items():
                if faults and path.endswith(suffix):
                    return faults.popleft()
        return None

    def _served(self, request: Request, path: str) -> _Answer:
        """Answer as an index without faults."""
        if not self._admits(request):
            return _Answer(401, {"WWW-Authenticate": 'Basic realm="index"'}, b"who is there?")
        file = self._files.get(path.removeprefix("/files/"))
        if file is not None and path.startswith("/files/"):
            return _Answer(200, {"Content-Type": _BINARY}, file.content)
        page = re.fullmatch("/simple/([^/]+)/", path)
        offered = [file for file in self._files.values() if page and file.project == page[1]]
        if page and offered:
            text = self._html(page[1], offered) if self._form == "html" else self._json(*offered)
            return _Answer(200, {"Content-Type": _PAGE_TYPES[self._form]}, text.encode())
        return _Answer(404, {"Content-Type": "text/plain"}, b"not here")

    def _admits(self, request: Request) -> bool:
        if self._auth is None:
            return True
        expected = base64.b64encode(":".join(self._auth).encode()).decode("ascii")
        return request.headers.get("authorization") == f"Basic {expected}"

    def _html(self, project: str, files: Iterable[FakeWheel | FakeSdist]) -> str:
        """Write a page of PEP 503."""
        links = "".join(
            f'    <a href="{html.escape(self._link(file))}"{self._yank(file)}>'
            f"{html.escape(file.filename)}</a><br>\n"
            for file in files
        )
        return (
            "<!DOCTYPE html>\n<html>\n"
            f"  <head><title>Links for {html.escape(project)}</title></head>\n"
            f"  <body>\n{links}  </body>\n</html>\n"
        )

    def _link(self, file: FakeWheel | FakeSdist) -> str:
        fragment = "".join(f"#{name}={value}" for name, value in self._digests(file).items())
        return self._files_base + quote(file.filename) + fragment

    def _digests(self, file: FakeWheel | FakeSdist) -> dict[str, str]:
        if self._hashes is None:
            return {}
        return {self._hashes: hashlib.new(self._hashes, file.content).hexdigest()}

    def _yank(self, file: FakeWheel | FakeSdist) -> str:
        return ' data-yanked="broken"' if file.filename in self._yanked else ""

    def _json(self, *files: FakeWheel | FakeSdist) -> str:
        """Write a page of PEP 691."""
        page = {
            "meta": {"api-version": "1.0"},
            "name": files[0].project,
            "files": [
                {
                    "filename": file.filename,
                    "url": self._files_base + quote(file.filename),
                    "hashes": self._digests(file),
                    **({"yanked": True} if file.filename in self._yanked else {}),
                }
                for file in files
            ],
        }
        return json.dumps(page)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What goes back over the wire."""

    code: int
    headers: Mapping[str, str]
    body: bytes = b""
    keep: int | None = None
    """How many bytes of the body to send before the connection breaks."""

    extra: bytes = b""
    """What follows the body that was announced."""

    drip: Drip | None = None

    def zipped(self) -> _Answer:
        """Encode the body as a client asked for it."""
        headers = {**self.headers, "Content-Encoding": "gzip"}
        return replace(self, headers=headers, body=gzip.compress(self.body, mtime=0))


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the index."""

    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes; the second would wait for the client.
    disable_nagle_algorithm = True

    def __init__(self, respond: Callable[[Request], _Answer | None], *arguments: Any) -> None:
        # The constructor of the base class already serves the connection.
        self._respond = respond
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Send what the index answers."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self._respond(Request(method=self.command, path=self.path, headers=headers))
        if answer is None:
            self.close_connection = True
            return
        if answer.drip is not None:
            self._drip(answer, answer.drip)
            return
        if "Date" in answer.headers:  # else the server tells its own
            self.send_response_only(answer.code)
        else:
            self.send_response(answer.code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.keep] + answer.extra)
        if answer.keep is not None:
            self.close_connection = True

    def _drip(self, answer: _Answer, drip: Drip) -> None:
        """Send byte by byte until the client has gone, or all is sent."""
        self.close_connection = True
        head = f"HTTP/1.1 {answer.code} OK\r\nContent-Length: {len(answer.body)}\r\n\r\n".encode()
        if not drip.head_too:
            self.wfile.write(head)
            head = b""
        with contextlib.suppress(ConnectionError):
            for byte in head + answer.body:
                self.wfile.write(bytes((byte,)))
                time.sleep(drip.seconds)

    do_HEAD = do_GET  # noqa: N815 - http.server looks for this name

    @override
    def log_message(self, *_: Any) -> None:
        """Say nothing: `requests` tells more."""


class _Server(ThreadingHTTPServer):
    """A server that can close the connections its clients keep alive."""

    # Clients may well open more than five connections at once.
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(*arguments)

    def hang_up(self) -> None:
        """End all connections; their threads close them."""
        with self._open_lock:
            for connection in self._open:
                # It may just have ended from the other side.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    @override
    def close_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().close_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that leaves early is no mistake of the test; all else is.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
