"""HTTP for the fetcher: retries, redirects, proxies, certificates, credentials by origin.

Redirects are followed here and not in urllib3, because each of them may lead to another
origin, which has other credentials. Only what urllib3 1.26 and 2 have in common is used.
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    HTTPError,
    InsecureRequestWarning,
    ProxyError,
    SSLError,
)

from lambda_build_plugin.fetch.errors import (
    AccessDeniedError,
    CertificatesError,
    HttpError,
    UnreachableError,
)
from lambda_build_plugin.urls import origin_of, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from typing_extensions import Self

    from lambda_build_plugin.fetch.sources import Sources, Tls

__all__ = ["HttpClient", "Response"]

_T = TypeVar("_T")

_ATTEMPTS = 4
_FIRST_PAUSE = 0.4  # seconds, doubled each time
_LONGEST_PAUSE = 60  # seconds; if a server asks for a longer pause, the request fails
_MOST_REDIRECTS = 10
_GZIP, _MOST_MEMBERS = 16 + zlib.MAX_WBITS, 100
_CONNECT_SECONDS, _READ_SECONDS = 15.0, 60.0
_CHUNK = 1 << 16  # bytes, each of which must arrive within the read time: about 1 KiB per second
_LARGEST_PAGE = 1 << 25  # bytes, decoded; the largest known pages have about 20 million
_DRAINED = 1 << 16  # bytes to read of a body that nobody needs, to use the connection again
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_DENIED = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _AgainError(Exception):
    """An attempt failed for a reason that may be gone at the next one."""

    def __init__(self, reason: str, *, pause: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause = pause
        """Seconds that the server asks to wait."""


class _Watch:
    """Close a connection if the next part of a response does not arrive in time.

    A socket's own timeout starts again with each byte, so that a server that sends one
    now and then could keep a build waiting for days.
    """

    def __init__(self, wire: object, seconds: float) -> None:
        self._wire = getattr(wire, "socket", wire)  # urllib3's TLS inside of TLS has one inside
        self._seconds = seconds
        self._over = threading.Event()
        self._until = time.monotonic() + seconds
        self.has_hung_up = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._over.set()
        if self.has_hung_up and kind is not None and issubclass(kind, (HTTPError, OSError)):
            raise self.error()

    def goes_on(self) -> None:
        """Restart the timeout, because another part has arrived."""
        self._until = time.monotonic() + self._seconds

    def error(self) -> _AgainError:
        return _AgainError("the response is too slow: less than 1 KiB per second")

    def _run(self) -> None:
        while not self._over.wait(max(0.0, self._until - time.monotonic())):
            if time.monotonic() >= self._until:
                self.has_hung_up = True
                if isinstance(self._wire, socket.socket):
                    with suppress(OSError):
                        # SSLSocket.shutdown would make a waiting read continue without encryption.
                        socket.socket.shutdown(self._wire, socket.SHUT_RDWR)
                return


_MOST_DIGITS = 15
"""Of a size that a server announces; Python refuses to read thousands of them."""


class Response:
    """A response whose body is being received."""

    def __init__(self, raw: urllib3.response.BaseHTTPResponse, url: str, watch: _Watch) -> None:
        self._raw = raw
        self._watch = watch
        self.url = url
        """The address after all redirects, without credentials."""

        self.content_type = raw.headers.get("Content-Type", "").lower()

        size = raw.headers.get("Content-Length", "")
        self.announced_size = int(size) if size.isdecimal() and len(size) <= _MOST_DIGITS else 0
        """Bytes of the body, as the server says; 0 if it does not."""

    def read(self) -> bytes:
        """Receive the whole body, and undo its content encoding.

        Raises:
            UnreachableError: The body is larger than any index page, or its encoding is
                not the one that was requested.
        """
        body = _Body(self._raw.headers.get("Content-Encoding", ""), self.url)
        for chunk in self.chunks():
            body.add(chunk)
        return body.whole()

    def chunks(self) -> Iterator[bytes]:
        """Receive the body as it was sent, piece by piece."""
        for chunk in self._raw.stream(_CHUNK, decode_content=False):
            self._watch.goes_on()
            yield chunk
        if self._watch.has_hung_up:
            raise self._watch.error()
        # urllib3 1.26 does not notice a truncated body.
        announced, received = self._raw.headers.get("Content-Length", ""), self._raw.tell()
        if announced.isdecimal() and received != int(announced):
            raise _AgainError(f"the response ended after {received} of {announced} bytes")


class _Body:
    """Collect a body and decode it, up to a limit.

    urllib3 before 2.6 decodes each chunk whole, and as many times as the response names an
    encoding, so that 64 KiB can become gigabytes.
    """

    def __init__(self, encoding: str, url: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise UnreachableError(url, "its response has an encoding that was not requested")
        self._url = url
        self._gzip = zlib.decompressobj(_GZIP) if "gzip" in encoding else None
        self._received = self._members = 0
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Decode the next bytes."""
        self._received += len(chunk)
        if self._gzip is None:
            self._content += chunk
        while self._gzip is not None and chunk:
            if self._gzip.eof:  # another member may follow (RFC 1952, 2.2), or padding
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                self._members += 1
                self._gzip = zlib.decompressobj(_GZIP)
            try:
                self._content += self._gzip.decompress(chunk, _LARGEST_PAGE + 1)
            except zlib.error as error:
                raise _AgainError("the response cannot be decompressed") from error
            self._check_size()
            chunk = self._gzip.unused_data
        self._check_size()

    def whole(self) -> bytes:
        """Return the body after its last byte."""
        if self._gzip is not None and self._received and not self._gzip.eof:
            raise _AgainError("the response ended in the middle of its gzip stream")
        return bytes(self._content)

    def _check_size(self) -> None:
        if self._members > _MOST_MEMBERS:
            raise UnreachableError(self._url, f"its response has over {_MOST_MEMBERS} gzip streams")
        if max(self._received, len(self._content)) > _LARGEST_PAGE:
            raise UnreachableError(self._url, f"its response exceeds {_LARGEST_PAGE:,} bytes")


class HttpClient:
    """Request URLs. Safe to use from several threads."""

    def __init__(
        self,
        sources: Sources,
        *,
        connections: int,
        sleep: Callable[[float], None] = time.sleep,
        read_seconds: float = _READ_SECONDS,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._connections = connections
        self._sleep = sleep
        self._note = note
        self._read_seconds = read_seconds
        self._timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds)
        self._managers: dict[tuple[str | None, Tls, bool | None], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def get(
        self, url: str, use: Callable[[Response], _T], *, headers: Mapping[str, str]
    ) -> _T | None:
        """Request a URL and pass the response to `use`; retry if that may help.

        Returns None if the server does not have it (404, 410). `use` is called again in
        each attempt that receives a body.

        Raises:
            FetchError: No attempt succeeded, or access is denied.
        """
        reason, asked_pause = "", 0
        for attempt in range(_ATTEMPTS):
            if attempt:
                pause = max(_FIRST_PAUSE * 2 ** (attempt - 1), asked_pause)
                self._note(f"retrying {redacted(url)} in {pause:g} s: {reason}")
                self._sleep(pause)
                asked_pause = 0
            try:
                with self._open(url, headers) as response:
                    return None if response is None else use(response)
            except _AgainError as error:
                reason, asked_pause = error.reason, error.pause
            except HTTPError as error:
                reason = _plain(error)
                if isinstance(error, SSLError) and not isinstance(_root(error), ssl.SSLEOFError):
                    raise UnreachableError(redacted(url), reason) from error
        raise UnreachableError(redacted(url), f"{reason} ({_ATTEMPTS} attempts)")

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            managers = list(self._managers.values())
            self._managers.clear()
        for manager in managers:
            manager.clear()

    @contextmanager
    def _open(self, url: str, headers: Mapping[str, str]) -> Iterator[Response | None]:
        url = _address(url)
        credentials = self._sources.credentials.with_login_of(url)
        encrypted = False
        for _ in range(_MOST_REDIRECTS):
            scheme = origin_of(url)[0]
            # A server that was reached over https must not get the client to send a login in clear.
            login = None if encrypted and scheme == "http" else credentials.of(url)
            encrypted |= scheme == "https"
            sent = dict(headers)
            if login is not None:
                sent["Authorization"] = _basic(login.username, login.password)
            raw = self._request(url, sent)
            with _Watch(getattr(raw.connection, "wire", None), self._read_seconds) as watch:
                if raw.status == HTTPStatus.OK:
                    try:
                        yield Response(raw, redacted(url), watch)
                    except BaseException:
                        raw.close()  # the rest of the body must not be read as the next response
                        raise
                    raw.release_conn()
                    return
                _finish(raw)
            location = raw.headers.get("Location")
            if raw.status in _GONE:
                yield None
                return
            if raw.status not in _REDIRECTS or not location:
                raise _failure(
                    raw.status,
                    url,
                    name=self._sources.name_of(url),
                    sent=login is not None,
                    pause=_pause(raw.headers),
                )
            url = _address(url, location)
        raise UnreachableError(redacted(url), f"more than {_MOST_REDIRECTS} redirects")

    def _request(self, url: str, headers: Mapping[str, str]) -> urllib3.response.BaseHTTPResponse:
        manager = self._manager_for(url)
        try:
            return manager.request(
                "GET",
                _without_userinfo(url),
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except ValueError as error:
            # urllib3 does not accept the URL; early versions of 1.26 also do not accept IP
            # addresses whose certificates must be checked.
            raise UnreachableError(redacted(url), str(error)) from error

    def _manager_for(self, url: str) -> urllib3.PoolManager:
        """Return the connection pool for the proxy and the certificates of a URL."""
        scheme, host, port = origin_of(url)
        if scheme not in {"http", "https"}:
            raise UnreachableError(redacted(url), f"`{scheme}:` URLs are not supported")
        proxies = self._sources.proxies
        proxy = proxies.get(scheme) or proxies.get("all")
        if proxy and proxy_bypass_environment(f"{host}:{port}", {"no": proxies.get("no", "")}):
            proxy = None
        tls, checked = self._sources.tls_of(url), None  # None: no certificates involved
        if scheme == "https" or (proxy or "").startswith("https:"):
            checked = not {host, f"{host}:{port}"} & tls.trusted_hosts
        key = (proxy, tls, checked)
        with self._lock:
            if key not in self._managers:
                self._managers[key] = self._manager(proxy, tls, checked=checked)
            return self._managers[key]

    def _manager(self, proxy: str | None, tls: Tls, *, checked: bool | None) -> urllib3.PoolManager:
        options = {"maxsize": self._connections, "timeout": self._timeout}
        if checked is not None:
            options["ssl_context"] = _context(tls, checked=checked)
        if checked is False:
            # The user has asked for this; a warning for each request would say nothing new.
            urllib3.disable_warnings(InsecureRequestWarning)
        if proxy is None:
            return self._watched(urllib3.PoolManager(**options))  # type: ignore[arg-type]
        url = _address(proxy if "://" in proxy else f"http://{proxy}")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            raise UnreachableError(redacted(url), f"`{parts.scheme}:` proxies are not supported")
        headers = {}
        if parts.username:
            login = _basic(unquote(parts.username), unquote(parts.password or ""))
            headers["Proxy-Authorization"] = login
        if parts.scheme == "https":
            options["proxy_ssl_context"] = options["ssl_context"]
        manager = urllib3.ProxyManager(redacted(url), proxy_headers=headers, **options)  # type: ignore[arg-type]
        return self._watched(manager)

    def _watched(self, manager: urllib3.PoolManager) -> urllib3.PoolManager:
        """Make connections limit the time for a response's headers, and expose their sockets."""
        seconds = self._read_seconds

        class Plain(_WatchedHead, HTTPConnection):
            head_seconds = seconds

        class Encrypted(_WatchedHead, HTTPSConnection):
            head_seconds = seconds

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Encrypted

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}
        return manager


def _finish(raw: urllib3.response.BaseHTTPResponse) -> None:
    """Keep the connection if the rest of a response is short, and close it if it is not.

    urllib3's `drain_conn` would read an endless body to its end, and keep it in memory.
    """
    try:
        rest = raw.read(_DRAINED, decode_content=False)
    except (HTTPError, OSError):
        rest = b""
        raw.close()
    if len(rest) >= _DRAINED:
        raw.close()
    raw.release_conn()


class _WatchedHead(HTTPConnection):
    """A connection that limits the time for the headers of a response."""

    head_seconds: float
    wire: object = None
    """The socket, also after the response has closed the connection and reset `sock`."""

    def getresponse(self) -> Any:
        self.wire = self.sock
        with _Watch(self.wire, self.head_seconds) as watch:
            answer = super().getresponse()
        if watch.has_hung_up:  # http.client does not notice truncated headers
            raise watch.error()
        return answer


def _context(tls: Tls, *, checked: bool) -> ssl.SSLContext:
    """Make the TLS context, with the user's certificates if configured, else the system's."""
    file, folder = tls.ca_file, tls.ca_folder
    if file and Path(file).is_dir():  # REQUESTS_CA_BUNDLE may be either
        file, folder = None, file
    with _readable(file or folder or "the system's store"):
        context = ssl.create_default_context(cafile=file, capath=folder)
    if not (file or folder or _system_has_certificates()):
        _add_certifi(context)
    if tls.client_certificate:
        with _readable(tls.client_certificate):
            context.load_cert_chain(tls.client_certificate, tls.client_key)
    if not checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # `ssl.SSLError` is one
        raise CertificatesError(path, error.strerror or str(error)) from error


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    return any(path and Path(path).exists() for path in (paths.cafile, paths.capath))


def _add_certifi(context: ssl.SSLContext) -> None:
    """Add certifi's certificates: a Python with its own OpenSSL may have none."""
    try:
        import certifi  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return
    context.load_verify_locations(cafile=certifi.where())


def _basic(username: str, password: str) -> str:
    """Encode the credentials of a request (RFC 7617); they may be any text."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def _pause(headers: Mapping[str, str]) -> int | None:
    """Read how many seconds the server asks to wait (RFC 9110, 10.2.3); None if it does not.

    A date is compared with the server's own date, since the clock here may be wrong.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdecimal():
        return int(asked[:9])
    try:
        pause = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError):  # not dates, or only one has a time zone
        return None
    return max(0, int(pause.total_seconds()))


def _failure(status: int, url: str, *, name: str, sent: bool, pause: int | None) -> Exception:
    """Make the error for a status other than success, which may ask for another attempt."""
    if status == HTTPStatus.TOO_MANY_REQUESTS and pause is not None and pause <= _LONGEST_PAUSE:
        return _AgainError(f"the server responded with HTTP {status}", pause=pause)
    if status in _DENIED:
        return AccessDeniedError(redacted(url), status, name=name, sent=sent)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        pause = pause if pause is not None and pause <= _LONGEST_PAUSE else 0
        return _AgainError(f"the server responded with HTTP {status}", pause=pause)
    return HttpError(redacted(url), status)


def _address(url: str, location: str = "") -> str:
    """Resolve a reference from a server or a page against its own address."""
    try:
        joined = urljoin(url, location)
        origin_of(joined)
    except ValueError as error:
        raise UnreachableError(
            redacted(location or url), f"it is not a valid URL: {error}"
        ) from error
    return joined


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _plain(error: Exception) -> str:
    """Return the system's own message for a failed connection."""
    cause = _root(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"its certificate is not trusted: {cause.verify_message}"
    else:
        text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
    kind = "TLS: " if isinstance(cause, ssl.SSLError) else ""
    proxy = "the proxy: " if isinstance(error, ProxyError) else ""
    return f"{proxy}{kind}{text or type(cause).__name__}"


def _root(error: BaseException) -> BaseException:
    """Find the system's error that urllib3's errors wrap."""
    while not isinstance(error, OSError):
        inner = [getattr(error, "reason", None), *error.args, error.__cause__, error.__context__]
        found = next((item for item in inner if isinstance(item, BaseException)), None)
        if found is None:
            break
        error = found
    return error
