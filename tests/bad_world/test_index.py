"""Indexes that fail, stall or lie, seen from the console script.

`tests/fetch/` has the same and more one layer below: certificates, proxies, redirects,
logins, pauses. What is here is what a user sees in the end.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from fakes.index import CutShort, Drop, FakeIndex, Longer, Redirect, Replace, Status
from fakes.wheels import a_wheel
from fakes.words import REFUSED
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.index import Fault

WHEEL = a_wheel("pinned", "1.0")
MODULE = ("pinned/__init__.py", b'__version__ = "1.0"\n')


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project without a lock."""
    return World(tmp_path)


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Serve one wheel."""
    with FakeIndex([WHEEL]) as running:
        yield running


def assert_ships(world: World) -> None:
    """See that the artifact holds the wheel, and nothing else lies about."""
    assert MODULE in world.members().items()
    assert world.left_behind() == ["out/artifact.zip"]
    assert world.parts() == []


def assert_nothing(world: World) -> None:
    """See that nothing has been made."""
    assert (world.left_behind(), world.parts()) == ([], [])


# --- what may pass ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix",
    [
        pytest.param("/simple/pinned/", id="page", marks=pytest.mark.nightly),
        pytest.param(".whl", id="file"),
    ],
)
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Status(500)], id="500"),
        pytest.param([Status(429, {"Retry-After": "1"})], id="429-with-retry-after"),
        pytest.param([CutShort(20)], id="cut-short"),
        pytest.param([Longer(b"HTTP/1.1 200 OK\r\n\r\n")], id="longer-than-announced"),
        pytest.param([Drop(), CutShort(0)], id="two-in-a-row"),
    ],
)
def test_fault_that_passes(
    world: World, index: FakeIndex, suffix: str, faults: list[Fault]
) -> None:
    """A fault of the moment costs a moment, and nothing is wrong with the artifact."""
    world.require(WHEEL, index=index.url)
    index.fail(suffix, *faults)

    run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert_ships(world)


def test_pause_is_told(world: World, index: FakeIndex) -> None:
    """Whoever wants to see each step sees why nothing moves."""
    world.lock(pylock_of([WHEEL], index.files_url))
    index.fail(".whl", Status(429, {"Retry-After": "1"}))

    run = world.build("-v")

    note = f"retrying {index.file_url(WHEEL.filename)} in 1 s: the server responded with HTTP 429\n"
    assert (run.code, note in run.errors) == (0, True)


def test_large_page(world: World, index: FakeIndex) -> None:
    """One file is found on a page of 6 MB."""
    line = '<a href="../../files/other-{0}-py3-none-any.whl#sha256={0:064x}">other</a>\n'
    others = "".join(line.format(number) for number in range(50_000))
    right = f'<a href="../../files/{WHEEL.filename}#sha256={WHEEL.sha256}">it</a>\n'
    page = f"<!DOCTYPE html><html><body>{others}{right}</body></html>".encode()
    assert len(page) > 6_000_000
    world.require(WHEEL, index=index.url)
    index.fail("/simple/pinned/", Replace(page))

    run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert_ships(world)


@pytest.mark.parametrize("form", ["html", "json"])
def test_yanked_file(world: World, form: str) -> None:
    """A locked file that was yanked ships, and the report warns of it (PEP 592)."""
    with FakeIndex([WHEEL], form=form, yanked=[WHEEL.filename]) as index:  # type: ignore[arg-type]
        world.require(WHEEL, index=index.url)

        run = world.build()

        warning = (
            f"{WHEEL.filename} was yanked from {index.url} (PEP 592); it ships because it is locked"
        )
    assert (run.code, warning in run.output) == (0, True)
    assert_ships(world)


@pytest.mark.parametrize(
    ("locked", "served"),
    [
        pytest.param("Odd_Case", "odd.case", id="underscore"),
        pytest.param("ODD.CASE", "Odd-Case", id="capitals"),
        pytest.param("odd--_.case", "odd_case", id="many-separators"),
    ],
)
def test_name_with_odd_case(world: World, locked: str, served: str) -> None:
    """However a lock spells a name, the index is asked for the one that it has (PEP 503)."""
    wheel = a_wheel(served, "1.0")
    with FakeIndex([wheel]) as index:
        world.lock(
            f"--index-url {index.url}\n{locked}==1.0 --hash=sha256:{wheel.sha256}\n",
            "requirements.txt",
        )

        run = world.build()

        assert (run.code, run.errors) == (0, "")
        assert [request.path for request in index.requests] == [
            "/simple/odd-case/",
            f"/files/{wheel.filename}",
        ]


def test_credentials_stay_behind_when_sent_elsewhere(world: World) -> None:
    """A redirect to another host contains the file, and no login to that host."""
    with (
        FakeIndex([WHEEL]) as store,
        FakeIndex([WHEEL], auth=("user", "hidden-word")) as index,
    ):
        world.require(WHEEL, index=index.url_with_credentials)
        index.fail(".whl", Redirect(store.file_url(WHEEL.filename)))

        run = world.build("-v")

        assert [request.headers.get("authorization") for request in store.requests] == [None]
    assert (run.code, "hidden-word" in run.output + run.errors) == (0, False)
    assert_ships(world)


# --- what does not ------------------------------------------------------------------------

NETWORK = """\
hint: check the network, the proxy (HTTPS_PROXY, NO_PROXY) and the certificates (SSL_CERT_FILE); \
`--offline` uses only the cache
"""
LOGIN = """\
hint: credentials are taken from the index URL, UV_INDEX_<NAME>_USERNAME and _PASSWORD, \
POETRY_HTTP_BASIC_<NAME>_USERNAME and _PASSWORD for Poetry's sources, in Poetry itself also \
`poetry config http-basic.<name>`, in PDM `pdm config pypi.<name>.username`, or ~/.netrc, and \
sent to that server only
"""
LATER = "hint: try again later; if the file moved, lock again\n"
GONE = """\
hint: if it is on another index, add that index where your tool keeps its sources \
([[tool.poetry.source]], [[tool.pdm.source]], uv.toml, pip.conf, --extra-index-url in the \
requirements file); if it was deleted, lock again
"""
NO_PAGE = "it is not an index page (PEP 691)"
JSON = "application/vnd.pypi.simple.v1+json"


def assert_fails(world: World, message: str) -> None:
    """See that a build fails with the message and makes nothing."""
    run = world.build()

    assert (run.code, run.output, run.errors) == (5, "", message)
    assert_nothing(world)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(
            Status(401),
            "error: @PAGE@ refuses access (HTTP 401)\n"
            f"  why: no credentials are known for this server\n\n{LOGIN}",
            id="401",
        ),
        pytest.param(
            Status(403),
            "error: @PAGE@ refuses access (HTTP 403)\n"
            f"  why: no credentials are known for this server\n\n{LOGIN}",
            id="403",
        ),
        pytest.param(
            Status(404),
            f"error: cannot find pinned 1.0\n  why: @INDEX@: not listed\n\n{GONE}",
            id="404",
        ),
        pytest.param(
            Status(429),
            f"error: @PAGE@ responded with HTTP 429\n  why: Too Many Requests\n\n{LATER}",
            id="429",
        ),
        pytest.param(
            Status(429, {"Retry-After": "86400"}),
            f"error: @PAGE@ responded with HTTP 429\n  why: Too Many Requests\n\n{LATER}",
            id="429-until-tomorrow",
        ),
        pytest.param(
            Replace(b"<html><body>Sign in to the proxy of this hotel</body></html>"),
            f"error: cannot find pinned 1.0\n  why: @INDEX@: not listed\n\n{GONE}",
            id="html-that-is-no-index-page",
        ),
        pytest.param(
            Replace(b"\x00\xff\xfe" * 1000),
            f"error: cannot find pinned 1.0\n  why: @INDEX@: not listed\n\n{GONE}",
            id="bytes-of-no-meaning",
        ),
        pytest.param(
            Replace(b'{"meta": {"api-version": "2.0"}, "files": []}', JSON),
            f"error: cannot reach @INDEX@\n  why: its API version is 2.0, not 1.x\n\n{NETWORK}",
            id="json-of-an-unknown-version",
        ),
        pytest.param(
            Replace(b"[" * 100_000, JSON),
            f"error: cannot reach @INDEX@\n  why: {NO_PAGE}\n\n{NETWORK}",
            id="json-that-is-nested-too-deep",
        ),
        pytest.param(
            Replace(b'<meta name="pypi:repository-version" content="2.0">'),
            f"error: cannot reach @INDEX@\n  why: its API version is 2.0, not 1.x\n\n{NETWORK}",
            id="html-of-an-unknown-version",
        ),
    ],
)
def test_page_that_is_none(world: World, index: FakeIndex, fault: Fault, message: str) -> None:
    """What an index says in place of a page is told with its name, and a way on."""
    world.require(WHEEL, index=index.url)
    index.fail("/simple/pinned/", fault)

    page = f"{index.url}pinned/"
    assert_fails(world, message.replace("@PAGE@", page).replace("@INDEX@", index.url))


def unused_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_refused_connection(world: World) -> None:
    """An index that is not there is named, with the system's word for it."""
    url = f"http://127.0.0.1:{unused_port()}/simple/"
    world.require(WHEEL, index=url)

    why = f"{REFUSED} (4 attempts)"
    assert_fails(world, f"error: cannot reach {url}pinned/\n  why: {why}\n\n{NETWORK}")


def test_name_without_address(world: World) -> None:
    """A host that no name server knows is named (RFC 2606 keeps `.invalid` free)."""
    world.require(WHEEL, index="https://index.invalid/simple/")

    run = world.build()

    first, why, _, hint, _ = run.errors.split("\n")
    assert (run.code, first) == (5, "error: cannot reach https://index.invalid/simple/pinned/")
    assert why.endswith("(4 attempts)")
    assert hint == NETWORK.rstrip()
    assert_nothing(world)


def test_no_tls(world: World, index: FakeIndex) -> None:
    """A server that does not speak TLS is not asked in clear instead."""
    # By name: early versions of urllib3 1.26 take no IP address for TLS.
    url = index.url.replace("http://127.0.0.1", "https://localhost")
    world.require(WHEEL, index=url)

    run = world.build()

    first, why, _, hint, _ = run.errors.split("\n")
    assert (run.code, first) == (5, f"error: cannot reach {url}pinned/")
    assert why.startswith("  why: TLS: ")
    assert hint == NETWORK.rstrip()
    assert_nothing(world)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>Not today</html>", id="a-page"),
        pytest.param(a_wheel("pinned", "1.0", files={"evil.py": "x"}).content, id="other-wheel"),
    ],
)
def test_file_that_is_another(world: World, index: FakeIndex, content: bytes) -> None:
    """What is not the locked file is asked for once, told, and not kept."""
    world.lock(pylock_of([WHEEL], index.files_url))
    index.fail(".whl", Replace(content))

    run = world.build()

    assert (run.code, run.errors.splitlines()[0]) == (
        5,
        f"error: {WHEEL.filename} is not what was locked",
    )
    assert len(index.requests) == 1
    assert [path.name for path in world.cache.rglob("*.*")] == ["in-use.lock"]
    assert_nothing(world)


def test_redirects_without_end(world: World, index: FakeIndex) -> None:
    """A server that sends the client around is left."""
    world.lock(pylock_of([WHEEL], index.files_url))
    url = index.file_url(WHEEL.filename)
    index.fail(".whl", *[Redirect(url)] * 50)

    assert_fails(world, f"error: cannot reach {url}\n  why: more than 10 redirects\n\n{NETWORK}")
