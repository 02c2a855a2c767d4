from __future__ import annotations

import base64
import contextlib
import http.client
import socketserver
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme
from fakes.index import CutShort, Drip, Drop, FakeIndex, Longer, Redirect, Replace, Slow, Status
from fakes.wheels import a_wheel
from fakes.words import NO_FILE, REFUSED

import lambda_build_plugin.fetch.http as http_module
from lambda_build_plugin.fetch.errors import (
    AccessDeniedError,
    CertificatesError,
    HttpError,
    UnreachableError,
)
from lambda_build_plugin.fetch.http import HttpClient, Response
from lambda_build_plugin.fetch.sources import Credentials, Login, Sources, Tls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fakes.index import Fault

WHEEL = a_wheel()
PAUSES = [0.4, 0.8, 1.6]
AUTH = ("user", "wörd/s3cr3t")
BASIC = f"Basic {base64.b64encode(':'.join(AUTH).encode()).decode()}"


class Client:
    """An `HttpClient` that notes its pauses in place of making them."""

    def __init__(
        self,
        *logins: str,
        netrc: bool = False,
        tls: Tls | None = None,
        proxies: Mapping[str, str] | None = None,
        read_seconds: float = 5,
    ) -> None:
        login = Login(username=AUTH[0], password=AUTH[1])
        self.pauses: list[float] = []
        self.http = HttpClient(
            Sources(
                indexes=(),
                credentials=Credentials(
                    by_index=dict.fromkeys(logins, login),
                    by_host={"localhost": login, "127.0.0.1": login} if netrc else {},
                ),
                tls=tls or Tls(),
                proxies=proxies or {},
            ),
            connections=4,
            sleep=self.pauses.append,
            read_seconds=read_seconds,
        )

    def get(self, url: str) -> bytes | None:
        """Get content as it is sent, as for a file."""
        return self.http.get(url, lambda response: b"".join(response.chunks()), headers={})

    def read(self, url: str) -> bytes | None:
        """Get content that may be compressed on the way, as for a page."""
        return self.http.get(url, Response.read, headers={"Accept-Encoding": "gzip"})


@contextlib.contextmanager
def a_client(*logins: str, **options: object) -> Iterator[Client]:
    """Make a client and end its connections."""
    client = Client(*logins, **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        client.http.close()


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Serve one wheel."""
    with FakeIndex([WHEEL]) as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    """Give a client that knows no logins."""
    with a_client() as made:
        yield made


def paths(index: FakeIndex) -> list[str]:
    """List what was asked for."""
    return [request.path for request in index.requests]


def authorizations(index: FakeIndex) -> list[str | None]:
    """List the logins that a server has seen."""
    return [request.headers.get("authorization") for request in index.requests]


# --- attempts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Drop(), id="dropped"),
        pytest.param(CutShort(0), id="cut-before-the-body"),
        pytest.param(CutShort(10), id="cut-in-the-body"),
        pytest.param(Status(500), id="500"),
        pytest.param(Status(503, body=b"x" * 100_000), id="503"),
    ],
)
def test_passing_fault_is_tried_again(index: FakeIndex, client: Client, fault: Fault) -> None:
    """What may pass is tried again, after pauses that grow, and then is as if nothing was."""
    index.fail(".whl", fault, fault, fault)
    found = client.get(index.file_url(WHEEL.filename))
    assert (found, client.pauses, len(index.requests)) == (WHEEL.content, PAUSES, 4)


def test_page_cut_short_is_tried_again(index: FakeIndex, client: Client) -> None:
    """Half a compressed page is not taken for a short one."""
    whole = client.read(f"{index.url}demo/")
    index.fail("/demo/", CutShort(60))
    assert (client.read(f"{index.url}demo/"), client.pauses) == (whole, PAUSES[:1])


def test_silent_server_is_tried_again(index: FakeIndex) -> None:
    """A server that says nothing for too long is asked once more."""
    index.fail(".whl", Slow(30))
    with a_client(read_seconds=0.2) as client:
        found = client.get(index.file_url(WHEEL.filename))
    assert (found, client.pauses) == (WHEEL.content, PAUSES[:1])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(Drop(), "", id="dropped"),
        pytest.param(Status(502), "the server responded with HTTP 502", id="502"),
    ],
)
def test_lasting_fault_is_one_error(
    index: FakeIndex, client: Client, fault: Fault, reason: str
) -> None:
    """After four attempts the last reason is told in plain words."""
    index.fail(".whl", *[fault] * 4)
    url = index.file_url(WHEEL.filename)
    with pytest.raises(UnreachableError) as caught:
        client.get(url)
    assert (caught.value.url, caught.value.reason[: len(reason)]) == (url, reason)
    assert (caught.value.reason[-13:], client.pauses) == (" (4 attempts)", PAUSES)


@pytest.mark.parametrize("head_too", [False, True], ids=["body", "head"])
def test_dripping_server_is_left(index: FakeIndex, *, head_too: bool) -> None:
    """A byte now and then is no answer: each piece of it has to come in time."""
    index.fail(".whl", *[Drip(0.1, head_too=head_too)] * 2)
    with a_client(read_seconds=1) as client:
        found = client.get(index.file_url(WHEEL.filename))
    assert (found, client.pauses) == (WHEEL.content, PAUSES[:2])


def test_dripping_server_is_one_error(index: FakeIndex) -> None:
    """Why the last attempt was given up is told."""
    index.fail(".whl", *[Drip(0.1)] * 4)
    with a_client(read_seconds=0.5) as client, pytest.raises(UnreachableError) as caught:
        client.get(index.file_url(WHEEL.filename))
    assert (
        caught.value.reason == "the response is too slow: less than 1 KiB per second (4 attempts)"
    )


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        pytest.param({"Retry-After": "7"}, 7, id="seconds"),
        pytest.param({"Retry-After": "0"}, PAUSES[0], id="at-once"),
        pytest.param(
            {
                "Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT",
                "Date": "Fri, 31 Dec 1999 23:59:50 GMT",
            },
            9,
            id="date",
        ),
    ],
)
def test_server_that_asks_for_a_pause_gets_it(
    index: FakeIndex, client: Client, code: int, headers: Mapping[str, str], pause: float
) -> None:
    """Retry-After is heeded, by the server's own clock (RFC 9110, 10.2.3)."""
    index.fail(".whl", Status(code, headers))
    found = client.get(index.file_url(WHEEL.filename))
    assert (found, client.pauses) == (WHEEL.content, [pause])


@pytest.mark.parametrize("asked", ["61", "9" * 5000, "soon", "-1"])
def test_pause_that_nobody_waits_for_is_refused(
    index: FakeIndex, client: Client, asked: str
) -> None:
    """Too long a pause, or none that can be read, ends a 429."""
    index.fail(".whl", Status(429, {"Retry-After": asked}))
    with pytest.raises(HttpError) as caught:
        client.get(index.file_url(WHEEL.filename))
    assert (caught.value.status, client.pauses) == (429, [])


def test_more_than_announced_is_cut(index: FakeIndex, client: Client) -> None:
    """What follows the announced body belongs to no answer, the next one neither."""
    index.fail(".whl", Longer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    url = index.file_url(WHEEL.filename)
    assert [client.get(url), client.get(url)] == [WHEEL.content] * 2


def test_page_that_inflates_without_end_is_left(
    index: FakeIndex, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is not read into memory further than any known one goes."""
    monkeypatch.setattr(http_module, "_LARGEST_PAGE", 1 << 20)
    index.fail("/simple/demo/", Replace(bytes(1 << 21)))
    with pytest.raises(UnreachableError) as caught:
        client.read(f"{index.url}demo/")
    assert caught.value.reason == "its response exceeds 1,048,576 bytes"


def test_server_that_is_not_there_is_one_error(client: Client) -> None:
    """The system's own words say why there is no connection."""
    with FakeIndex() as gone:
        url = gone.url
    with pytest.raises(UnreachableError) as caught:
        client.get(url)
    assert caught.value.reason == f"{REFUSED} (4 attempts)"


@pytest.mark.parametrize("code", [400, 418, 429])
def test_refusal_is_final(index: FakeIndex, client: Client, code: int) -> None:
    """A status of the 4xx kind is not tried again."""
    index.fail(".whl", Status(code))
    with pytest.raises(HttpError) as caught:
        client.get(index.file_url(WHEEL.filename))
    assert caught.value.why == http.client.responses[code]
    assert (caught.value.status, client.pauses, len(index.requests)) == (code, [], 1)


@pytest.mark.parametrize("code", [404, 410])
def test_absent_file_is_none(index: FakeIndex, client: Client, code: int) -> None:
    """A server that does not have it is no failure."""
    index.fail(".whl", Status(code))
    assert (client.get(index.file_url(WHEEL.filename)), client.pauses) == (None, [])


def test_odd_status_is_named(index: FakeIndex, client: Client) -> None:
    """A status that nobody has defined is an error like the others."""
    index.fail(".whl", Status(499))
    with pytest.raises(HttpError) as caught:
        client.get(index.file_url(WHEEL.filename))
    assert caught.value.why == "an unknown status"


def test_connection_serves_again_after_an_error(index: FakeIndex, client: Client) -> None:
    """What is left of a failed answer is not taken for the next one."""
    url = index.file_url(WHEEL.filename)
    for fault in (Status(400, body=b"no" * 50_000), Status(401, body=b"who"), Status(404)):
        index.fail(".whl", fault)
        with contextlib.suppress(HttpError, AccessDeniedError):
            client.get(url)
        assert client.get(url) == WHEEL.content


def test_unread_answer_is_not_used_again(index: FakeIndex, client: Client) -> None:
    """A caller that fails in the middle of a body spoils no other request."""

    def stumble(response: Response) -> None:
        next(response.chunks())
        raise RuntimeError

    url = index.file_url(WHEEL.filename)
    with pytest.raises(RuntimeError):
        client.http.get(url, stumble, headers={})
    assert client.get(url) == WHEEL.content


def test_threads_share_a_client(index: FakeIndex, client: Client) -> None:
    """Many threads may begin at once with a client that has not yet connected."""
    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(client.get, [index.file_url(WHEEL.filename)] * 64))
    assert found == {WHEEL.content}


# --- addresses and redirects ----------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("ftp://index.example/x", "`ftp:` URLs are not supported", id="k"),
        pytest.param("http://index.example:port/x", "it is not a valid URL: ", id="port"),
        pytest.param("http://[index.example/x", "it is not a valid URL: ", id="bracket"),
        pytest.param("http:///x", "", id="no-host"),
    ],
)
def test_address_that_is_none(client: Client, url: str, reason: str) -> None:
    """What cannot be asked is said at once."""
    with pytest.raises(UnreachableError) as caught:
        client.get(url)
    assert (caught.value.reason[: len(reason)], client.pauses) == (reason, [])


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_is_followed(index: FakeIndex, client: Client, code: int) -> None:
    """Each kind of redirect leads to the file, by a relative address too."""
    index.fail("/moved", Redirect(f"files/{WHEEL.filename}", code))
    assert client.get(f"http://{index.netloc}/moved") == WHEEL.content


def test_response_knows_where_it_came_from(index: FakeIndex, client: Client) -> None:
    """Links of a page are relative to where the redirects have led, without secrets."""
    index.fail("/moved", Redirect(f"{index.url}demo/?token=t#f"))
    url = client.http.get(f"http://u:p@{index.netloc}/moved", lambda it: it.url, headers={})
    assert url == f"{index.url}demo/"


def test_redirects_in_a_circle_end(index: FakeIndex, client: Client) -> None:
    """A server that sends the client around is left after ten hops."""
    index.fail("/moved", *[Redirect("/moved")] * 20)
    with pytest.raises(UnreachableError) as caught:
        client.get(f"http://{index.netloc}/moved")
    assert (caught.value.reason, len(index.requests)) == ("more than 10 redirects", 10)


@pytest.mark.parametrize("to", ["http://[broken", "http://host:port/", "file:///etc/passwd"])
def test_redirect_to_nowhere_is_one_error(index: FakeIndex, client: Client, to: str) -> None:
    """A server cannot send the client to what is no web address."""
    index.fail("/moved", Redirect(to))
    with pytest.raises(UnreachableError):
        client.get(f"http://{index.netloc}/moved")
    assert paths(index) == ["/moved"]


# --- credentials ----------------------------------------------------------------------


def test_login_is_sent_to_its_origin() -> None:
    """The login of an origin opens it, whatever letters it has."""
    with FakeIndex([WHEEL], auth=AUTH) as index, a_client(index.url) as client:
        assert client.get(index.file_url(WHEEL.filename)) == WHEEL.content


def test_login_in_the_url_itself_is_sent() -> None:
    """A locked URL may have its own login, which does not stay in the address."""
    with FakeIndex([WHEEL], auth=AUTH) as index, a_client() as client:
        url = index.url_with_credentials.replace("/simple/", f"/files/{WHEEL.filename}")
        assert client.get(url) == WHEEL.content
        assert paths(index) == [f"/files/{WHEEL.filename}"]


def test_redirect_to_the_same_origin_keeps_the_login() -> None:
    """Within one server the login goes along."""
    with FakeIndex([WHEEL], auth=AUTH) as index, a_client(index.url) as client:
        index.fail("/moved", Redirect(index.file_url(WHEEL.filename)))
        assert client.get(f"http://{index.netloc}/moved") == WHEEL.content


@pytest.mark.parametrize("in_url", [False, True], ids=["configured", "in-the-url"])
def test_redirect_to_another_origin_drops_the_login(*, in_url: bool) -> None:
    """Another server, though on the same host, never sees the login."""
    with (
        FakeIndex(auth=AUTH) as index,
        FakeIndex([WHEEL]) as other,
        a_client(*([] if in_url else [index.url])) as client,
    ):
        index.fail("/moved", Redirect(other.file_url(WHEEL.filename)))
        url = index.url_with_credentials if in_url else index.url
        assert client.get(url.replace("/simple/", "/moved")) == WHEEL.content
        assert (authorizations(index), authorizations(other)) == ([BASIC], [None])


def test_redirect_cannot_bring_a_login() -> None:
    """What a server writes into an address is not sent as a login."""
    with FakeIndex([WHEEL]) as index, a_client() as client:
        index.fail("/moved", Redirect(f"http://me:word@{index.netloc}/files/{WHEEL.filename}"))
        assert client.get(f"http://{index.netloc}/moved") == WHEEL.content
        assert authorizations(index) == [None, None]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        pytest.param(True, "the server did not accept the credentials", id="wrong"),
        pytest.param(False, "no credentials are known for this server", id="none"),
    ],
)
def test_denied_access_is_one_error(*, known: bool, why: str) -> None:
    """401 says whether a login was sent, and never which."""
    with (
        FakeIndex(auth=("user", "another")) as index,
        a_client(*([index.url] if known else [])) as client,
    ):
        with pytest.raises(AccessDeniedError) as caught:
            client.get(index.url)
        assert (caught.value.url, caught.value.status, caught.value.why) == (index.url, 401, why)
        assert (AUTH[1] in str(caught.value), len(index.requests)) == (False, 1)


# --- TLS ------------------------------------------------------------------------------


class _TlsServer(socketserver.ThreadingTCPServer):
    """Answers over TLS: with a redirect where one is given, else with a greeting."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: trustme.LeafCert, redirect: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _TlsHandler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.redirect = redirect
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not like the certificate leaves in the handshake."""


class _TlsHandler(BaseHTTPRequestHandler):
    server: _TlsServer

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers.get("Authorization"))
        self.send_response_only(302 if self.server.redirect else 200)
        self.send_header("Location", self.server.redirect or "")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")


@contextlib.contextmanager
def a_tls_server(authority: trustme.CA, *, redirect: str | None = None) -> Iterator[_TlsServer]:
    """Serve over TLS, with a certificate of an authority that nobody knows."""
    with _TlsServer(authority.issue_cert("localhost"), redirect) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make an authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    """Give the certificate of the authority as a file."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_own_certificates_are_trusted(authority: trustme.CA, ca_file: Path) -> None:
    """The authority that the user names vouches for its servers."""
    with a_tls_server(authority) as server, a_client(tls=Tls(ca_file=str(ca_file))) as client:
        assert client.get(server.url) == b"hello"


def test_unknown_certificate_is_one_error(authority: trustme.CA) -> None:
    """A server that the system does not trust is not tried again, and the reason is told."""
    with a_tls_server(authority) as server, a_client() as client:
        with pytest.raises(UnreachableError) as caught:
            client.get(server.url)
        assert (caught.value.url, client.pauses, server.authorizations) == (server.url, [], [])
    assert caught.value.reason == (
        "TLS: its certificate is not trusted: unable to get local issuer certificate"
    )


@pytest.mark.parametrize("with_port", [False, True])
def test_trusted_host_is_not_checked(authority: trustme.CA, *, with_port: bool) -> None:
    """The user may do without the check for one host, or one port of it."""
    with a_tls_server(authority) as server:
        host = f"localhost:{server.server_address[1]}" if with_port else "localhost"
        with a_client(tls=Tls(trusted_hosts=frozenset({host}))) as client:
            assert client.get(server.url) == b"hello"


def test_certificates_may_be_a_folder(authority: trustme.CA, tmp_path: Path) -> None:
    """REQUESTS_CA_BUNDLE names a file or a folder; neither is a crash."""
    with (
        a_tls_server(authority) as server,
        a_client(tls=Tls(ca_file=str(tmp_path))) as client,
        pytest.raises(UnreachableError) as caught,
    ):
        client.get(server.url)
    assert caught.value.reason.startswith("TLS: its certificate is not trusted")


@pytest.mark.parametrize("key", ["ca_file", "client_certificate"])
def test_absent_certificates_are_one_error(tmp_path: Path, key: str) -> None:
    """A file of certificates that is not there is named, and nobody is asked."""
    path = str(tmp_path / "absent.pem")
    tls = Tls(ca_file=path) if key == "ca_file" else Tls(client_certificate=path)
    with a_client(tls=tls) as client, pytest.raises(CertificatesError) as caught:
        client.get("https://127.0.0.1:1/")
    assert (caught.value.path, caught.value.reason) == (path, NO_FILE)


def test_broken_certificates_are_one_error(tmp_path: Path) -> None:
    """A file that holds no certificates is named."""
    path = tmp_path / "broken.pem"
    path.write_text("no certificate")
    with a_client(tls=Tls(ca_file=str(path))) as client, pytest.raises(CertificatesError) as caught:
        client.get("https://127.0.0.1:1/")
    assert caught.value.what == f"cannot read the certificates in {path}"


def test_login_does_not_leave_tls(authority: trustme.CA, ca_file: Path) -> None:
    """A redirect from https to http goes on without a login, even where the user has one."""
    with (
        FakeIndex([WHEEL]) as index,
        a_tls_server(authority, redirect=index.file_url(WHEEL.filename)) as server,
        a_client(index.url, netrc=True, tls=Tls(ca_file=str(ca_file))) as client,
    ):
        assert client.get(server.url) == WHEEL.content
        assert (server.authorizations, authorizations(index)) == ([BASIC], [None])


# --- proxies --------------------------------------------------------------------------


class _Proxy(socketserver.ThreadingTCPServer):
    """Forwards plain requests, and notes what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.asked: list[tuple[str, str | None]] = []

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _ProxyHandler(BaseHTTPRequestHandler):
    server: _Proxy

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization")))
        parts = urlsplit(self.path)
        connection = http.client.HTTPConnection(parts.netloc, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            content = answer.read()
        self.send_response_only(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def proxy() -> Iterator[_Proxy]:
    """Run a proxy."""
    with _Proxy() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("proxies", "login"),
    [
        pytest.param({"http": "http://{proxy}"}, None, id="by-scheme"),
        pytest.param({"all": "{proxy}"}, None, id="for-all-without-a-scheme"),
        pytest.param({"http": "http://user:w%C3%B6rd%2Fs3cr3t@{proxy}/"}, BASIC, id="login"),
    ],
)
def test_proxy_is_used(
    index: FakeIndex, proxy: _Proxy, proxies: dict[str, str], login: str | None
) -> None:
    """Requests go through the proxy, with its own login where it has one."""
    url = index.file_url(WHEEL.filename)
    named = {scheme: text.format(proxy=proxy.netloc) for scheme, text in proxies.items()}
    with a_client(proxies=named) as client:
        assert (client.get(url), proxy.asked) == (WHEEL.content, [(url, login)])


@pytest.mark.parametrize(
    ("no", "is_used"),
    [
        pytest.param("127.0.0.1", False, id="host"),
        pytest.param("other.example, {index}", False, id="host-and-port"),
        pytest.param("*", False, id="all"),
        pytest.param("127.0.0.1:1,other.example", True, id="others"),
    ],
)
def test_no_proxy_is_obeyed(index: FakeIndex, proxy: _Proxy, no: str, *, is_used: bool) -> None:
    """Hosts that need no proxy are asked directly."""
    proxies = {"all": f"http://{proxy.netloc}", "no": no.format(index=index.netloc)}
    with a_client(proxies=proxies) as client:
        assert client.get(index.file_url(WHEEL.filename)) == WHEEL.content
    assert bool(proxy.asked) == is_used


def test_absent_proxy_is_named(index: FakeIndex) -> None:
    """It is said that the proxy is out of reach, not the index, and without its login."""
    with FakeIndex() as gone:
        proxies = {"http": f"http://user:s3cr3t@{gone.netloc}"}
    with a_client(proxies=proxies) as client, pytest.raises(UnreachableError) as caught:
        client.get(index.url)
    assert caught.value.reason == f"the proxy: {REFUSED} (4 attempts)"
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        pytest.param(
            "socks5://user:s3cr3t@127.0.0.1:1",
            "`socks5:` proxies are not supported",
            id="socks",
        ),
        pytest.param("http://user:s3cr3t@127.0.0.1:port", "it is not a valid URL: ", id="port"),
    ],
)
def test_unusable_proxy_is_one_error(index: FakeIndex, proxy: str, reason: str) -> None:
    """A proxy that cannot be used is told without its login, and not gone around."""
    with a_client(proxies={"all": proxy}) as client, pytest.raises(UnreachableError) as caught:
        client.get(index.url)
    assert caught.value.reason.startswith(reason)
    assert ("s3cr3t" in str(caught.value), client.pauses, index.requests) == (False, [], [])
