"""HTTP for the fetcher: retries, redirects, proxies, certificates, credentials by origin.

Redirects are followed here and not in urllib3, because each hop decides anew which
credentials its origin has. urllib3 1.26 and 2 behave the same for what is used.
"""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, SSLError

from lambda_build_plugin.fetch.failures import AccessDeniedError, HttpError, UnreachableError
from lambda_build_plugin.fetch.sources import origin_of, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lambda_build_plugin.fetch.sources import Sources, Tls

__all__ = ["HttpClient", "Response"]

_ATTEMPTS = 4
_FIRST_PAUSE = 0.4  # seconds, doubled each time
_MOST_REDIRECTS = 10
_CONNECT_SECONDS, _READ_SECONDS = 15.0, 60.0
_CHUNK = 1 << 17
_GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_DENIED = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class _AgainError(Exception):
    """One attempt failed in a way that another may not."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Response:
    """A body that is being received."""

    def __init__(self, raw: urllib3.response.BaseHTTPResponse, url: str) -> None:
        self._raw = raw
        self.url = url
        """Where it came from in the end, without credentials."""

        self.content_type = raw.headers.get("Content-Type", "").lower()

    def read(self) -> bytes:
        """Receive the whole body, content encoding undone."""
        return b"".join(self._chunks(decode=True))

    def chunks(self) -> Iterator[bytes]:
        """Receive the body as it is sent, piece by piece."""
        return self._chunks(decode=False)

    def _chunks(self, *, decode: bool) -> Iterator[bytes]:
        announced = self._raw.headers.get("Content-Length", "")
        received = 0
        for chunk in self._raw.stream(_CHUNK, decode_content=decode):
            received += len(chunk)
            yield chunk
        encoded = self._raw.headers.get("Content-Encoding", "identity") != "identity"
        if announced.isdecimal() and not (decode and encoded) and received != int(announced):
            raise _AgainError(f"the answer ends after {received} of {announced} bytes")


class HttpClient:
    """Gets what lies behind URLs. Safe to use from several threads."""

    def __init__(
        self,
        sources: Sources,
        *,
        connections: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sources = sources
        self._connections = connections
        self._sleep = sleep
        self._pools: dict[tuple[Tls, bool], _Pools] = {}

    def get(
        self, url: str, use: Callable[[Response], bytes | None], *, headers: Mapping[str, str]
    ) -> bytes | None:
        """Request a URL and hand the answer to `use`; again where that may help.

        None means that the server does not have it (404, 410). `use` is called anew
        for each attempt that gets as far as a body.

        Raises:
            FetchError: No attempt succeeded, or access is denied.
        """
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                with self._open(url, headers) as response:
                    return None if response is None else use(response)
            except _AgainError as error:
                reason = error.reason
            except SSLError as error:
                raise UnreachableError(redacted(url), _ssl_reason(error)) from error
            except HTTPError as error:
                reason = _plain(error)
        raise UnreachableError(redacted(url), f"{reason} ({_ATTEMPTS} attempts)")

    @contextmanager
    def _open(self, url: str, headers: Mapping[str, str]) -> Iterator[Response | None]:
        for _ in range(_MOST_REDIRECTS):
            login = self._sources.credentials.of(url)
            sent = dict(headers)
            if login is not None:
                sent.update(urllib3.make_headers(basic_auth=f"{login.username}:{login.password}"))
            raw = self._pool(url).request(
                "GET",
                _without_userinfo(url),
                headers=sent,
                preload_content=False,
                redirect=False,
                retries=False,
            )
            if raw.status == HTTPStatus.OK:
                try:
                    yield Response(raw, redacted(url))
                except BaseException:
                    raw.close()  # half a body must not be taken for the next answer
                    raise
                raw.release_conn()
                return
            location = raw.headers.get("Location")
            raw.drain_conn()
            raw.release_conn()
            if raw.status in _GONE:
                yield None
                return
            if raw.status not in _REDIRECTS or not location:
                raise _failure(raw.status, url, sent=login is not None)
            url = urljoin(url, location)
        raise UnreachableError(redacted(url), f"more than {_MOST_REDIRECTS} redirects")

    def _pool(self, url: str) -> urllib3.PoolManager:
        scheme, host, port = origin_of(url)
        if scheme not in {"http", "https"}:
            raise UnreachableError(
                redacted(url), f"addresses of the kind `{scheme}:` are not known"
            )
        tls = self._sources.tls_of(url)
        key = (tls, not {host, f"{host}:{port}"} & tls.trusted_hosts)
        if key not in self._pools:
            self._pools[key] = _Pools(_context(tls, checked=key[1]), self._connections)
        pools = self._pools[key]
        proxies = self._sources.proxies
        proxy = proxies.get(scheme) or proxies.get("all")
        if proxy is None or proxy_bypass_environment(host, {"no": proxies.get("no", "")}):
            return pools.direct
        return pools.through(proxy)


class _Pools:
    """Connections that share one TLS context."""

    def __init__(self, context: ssl.SSLContext, connections: int) -> None:
        self._options = {
            "maxsize": connections,
            "ssl_context": context,
            "timeout": urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        }
        self._proxied: dict[str, urllib3.PoolManager] = {}

    @cached_property
    def direct(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(**self._options)  # type: ignore[arg-type]

    def through(self, proxy: str) -> urllib3.PoolManager:
        if proxy not in self._proxied:
            url = proxy if "://" in proxy else f"http://{proxy}"
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"}:
                raise UnreachableError(
                    redacted(url), f"proxies of the kind `{parts.scheme}:` are not supported"
                )
            login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            self._proxied[proxy] = urllib3.ProxyManager(
                redacted(url),
                proxy_headers=urllib3.make_headers(proxy_basic_auth=login)
                if parts.username
                else None,
                **self._options,  # type: ignore[arg-type]
            )
        return self._proxied[proxy]


def _context(tls: Tls, *, checked: bool) -> ssl.SSLContext:
    """Make the TLS context: the user's certificates where named, else the system's."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file, capath=tls.ca_folder)
        if not (tls.ca_file or tls.ca_folder) and not _system_has_certificates():
            _add_certifi(context)
        if tls.client_certificate:
            context.load_cert_chain(tls.client_certificate)
    except (OSError, ssl.SSLError) as error:
        named = (
            tls.client_certificate or tls.ca_file or tls.ca_folder or "the system's certificates"
        )
        raise UnreachableError(named, f"the certificates cannot be read: {error}") from error
    if not checked:
        # The user has said so by name; a warning for each request tells nothing new.
        urllib3.disable_warnings(InsecureRequestWarning)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    return any(path and Path(path).exists() for path in (paths.cafile, paths.capath))


def _add_certifi(context: ssl.SSLContext) -> None:
    """Pythons that bring their own OpenSSL may know no certificates at all."""
    try:
        import certifi  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return
    context.load_verify_locations(cafile=certifi.where())


def _failure(status: int, url: str, *, sent: bool) -> Exception:
    """Tell what a status other than success means: an end, or another attempt."""
    if status in _DENIED:
        return AccessDeniedError(redacted(url), status, sent=sent)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _AgainError(f"the server answers with HTTP {status}")
    return HttpError(redacted(url), status)


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def _ssl_reason(error: Exception) -> str:
    return f"TLS: {_plain(error)}"


def _plain(error: Exception) -> str:
    """Get the words of the innermost cause, without addresses of objects."""
    cause: BaseException = error
    while isinstance(inner := getattr(cause, "reason", None), BaseException):
        cause = inner
    text = str(cause).rpartition(">: ")[2] or type(cause).__name__
    return text.strip("()'\" ")
