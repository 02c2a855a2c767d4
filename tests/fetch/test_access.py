"""What a host says of its indexes counts for the origin of each, and for no other."""

from __future__ import annotations

import http.server
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from lambda_build_plugin.config.indexes import IndexAccess, IndexOptions
from lambda_build_plugin.fetch.configuration import HostIndexes, read_sources
from lambda_build_plugin.fetch.errors import UnreachableError
from lambda_build_plugin.fetch.http import HttpClient
from lambda_build_plugin.fetch.sources import Login

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lambda_build_plugin.fetch.sources import Sources

INDEX = "https://index.example/simple/"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make an authority that no system trusts."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Give the certificate of the authority as a file."""
    path = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[str]:
    """Serve over TLS with a certificate that nobody vouches for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.socket = context.wrap_socket(
            running.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield f"https://localhost:{running.server_port}/"
        running.shutdown()


def some_sources(
    folder: Path,
    *access: IndexAccess,
    environ: Mapping[str, str] | None = None,
    named: tuple[tuple[str, str], ...] = (),
) -> Sources:
    """Read sources where nothing but this is configured."""
    return read_sources(
        IndexOptions(named=named),
        environ={"UV_NO_CONFIG": "1", "XDG_CONFIG_DIRS": str(folder), **(environ or {})},
        home=folder,
        project=folder,
        host=HostIndexes(access=access),
    )


def what_comes(sources: Sources, url: str) -> bytes:
    """Get what lies behind a URL."""
    client = HttpClient(sources, connections=1, sleep=lambda _: None)
    return client.get(url, lambda response: response.read(), headers={}) or b""


def test_credentials_go_to_their_own_origin(tmp_path: Path) -> None:
    """Scheme, host and port have to be those of the index."""
    access = IndexAccess(url=INDEX, username="me", password="secret")
    credentials = some_sources(tmp_path, access).credentials

    asked = {
        url: credentials.of(url)
        for url in (
            "https://index.example/files/a.whl",
            "http://index.example/files/a.whl",
            "https://index.example:8443/files/a.whl",
            "https://files.example/a.whl",
        )
    }
    assert [url for url, login in asked.items() if login is not None] == [
        "https://index.example/files/a.whl"
    ]
    assert asked["https://index.example/files/a.whl"] == Login(username="me", password="secret")


def test_host_wins_over_what_is_configured_elsewhere(tmp_path: Path) -> None:
    """The host knows its index better than a variable does."""
    sources = some_sources(
        tmp_path,
        IndexAccess(url=INDEX, username="me", password="of the host"),
        environ={"UV_INDEX": "https://me:of-uv@index.example/simple/"},
    )

    assert sources.credentials.of(INDEX) == Login(username="me", password="of the host")


def test_named_indexes_have_poetrys_variables(tmp_path: Path) -> None:
    """A source of pyproject.toml has its credentials in POETRY_HTTP_BASIC_<NAME>."""
    sources = some_sources(
        tmp_path,
        named=(("in-house", INDEX), ("other", "https://other.example/simple/")),
        environ={
            "POETRY_HTTP_BASIC_IN_HOUSE_USERNAME": "me",
            "POETRY_HTTP_BASIC_IN_HOUSE_PASSWORD": "secret",
        },
    )

    assert sources.credentials.of(INDEX) == Login(username="me", password="secret")
    assert sources.credentials.of("https://other.example/simple/") is None


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    """Neither the host's words nor what is made of them shows a password."""
    access = IndexAccess(url=INDEX, username="me", password="secret")

    assert "secret" not in repr(access)
    assert "secret" not in repr(some_sources(tmp_path, access))


def test_certificate_of_an_index_is_the_hosts_to_name(
    server: str, ca_file: str, tmp_path: Path
) -> None:
    """Poetry's `cert` opens a server that the system does not trust."""
    access = IndexAccess(url=f"{server}simple/", ca_file=ca_file)

    assert what_comes(some_sources(tmp_path, access), server) == b"hello"


def test_certificate_of_an_index_may_go_unchecked(server: str, tmp_path: Path) -> None:
    """Poetry's `cert = false` opens it, too."""
    access = IndexAccess(url=f"{server}simple/", verify=False)

    assert what_comes(some_sources(tmp_path, access), server) == b"hello"


def test_client_certificate_of_an_index_is_shown_to_it(
    server: str, ca_file: str, tmp_path: Path
) -> None:
    """`client-cert` is loaded for that origin: one that is not there is an error."""
    missing = str(tmp_path / "missing.pem")
    access = IndexAccess(url=server, client_certificate=missing, ca_file=ca_file)

    with pytest.raises(Exception, match=r"missing\.pem"):
        what_comes(some_sources(tmp_path, access), server)


def test_certificate_counts_for_its_origin_alone(server: str, ca_file: str, tmp_path: Path) -> None:
    """What is trusted for one index is not trusted for another."""
    access = IndexAccess(url=INDEX, ca_file=ca_file, verify=False)

    with pytest.raises(UnreachableError, match="cannot reach https://localhost"):
        what_comes(some_sources(tmp_path, access), server)
