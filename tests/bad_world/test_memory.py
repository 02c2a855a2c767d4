"""Responses that are small on the wire and large in memory, or never end."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex, Redirect, Status
from fakes.projects import Run
from fakes.wheels import a_wheel
from fakes.worlds import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEEL = a_wheel("pinned", "1.0")
LARGEST_PAGE = 1 << 25
MOST_MEMORY = 450  # MiB, of which Python and this package need about 50
# `ru_maxrss` would be that of the process of the tests, where it was larger before the fork.
MEASURED = """\
import atexit, re
def peak():
    with open("/proc/self/status") as status:
        print(int(re.search(r"VmHWM:\\s*([0-9]+) kB", status.read())[1]) // 1024)
atexit.register(peak)
from lambda_build_plugin.frontends.cli import entry_point
entry_point()
"""
HTML = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
JSON = {**HTML, "Content-Type": "application/vnd.pypi.simple.v1+json"}
START = '{"meta": {"api-version": "1.0"}, "files": ['


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project without a lock."""
    return World(tmp_path)


def build(world: World) -> tuple[Run, int]:
    """Build, and measure the memory in MiB."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, "--quiet"],
        cwd=world.project,
        env=world.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Run(code=run.returncode, output="", errors=run.stderr), int(run.stdout)


def filled(start: str, unit: str, end: str = "") -> bytes:
    """Make a page of nearly the largest size."""
    count = (LARGEST_PAGE - len(start) - len(end)) // len(unit)
    return (start + unit * count + end).encode()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in other units")
@pytest.mark.parametrize(
    ("kind", "start", "unit", "end"),
    [
        pytest.param(JSON, START, "[],", "0]}", id="json-lists", marks=pytest.mark.nightly),
        pytest.param(JSON, START, "{},", "0]}", id="json-objects"),
        pytest.param(JSON, START, '"e",', "0]}", id="json-strings", marks=pytest.mark.nightly),
        pytest.param(JSON, START, "1.5,", "0]}", id="json-numbers", marks=pytest.mark.nightly),
        pytest.param(JSON, f"{START}[", "[],", "0]]}", id="json-one-item"),
        pytest.param(
            JSON, '{"versions": [', "1,", "0]}", id="json-versions", marks=pytest.mark.nightly
        ),
        pytest.param(JSON, "{", '"x":1,', '"y":1}', id="json-members", marks=pytest.mark.nightly),
        pytest.param(
            JSON, '{"versions": [[', "[],", "0]]}", id="json-one-version", marks=pytest.mark.nightly
        ),
        pytest.param(
            JSON, '{"x": {"x": [', "[],", "0]}}", id="json-one-member", marks=pytest.mark.nightly
        ),
        pytest.param(JSON, START, '{"url":"a","filename":"b"},', "0]}", id="json-files"),
        pytest.param(HTML, "", "<a href=x>", "", id="html-anchors"),
        pytest.param(HTML, "<a ", "b ", ">", id="html-attributes"),
        pytest.param(HTML, "<a ", "b ", "", id="html-unfinished", marks=pytest.mark.nightly),
        pytest.param(HTML, "", "&#233;", "", id="html-references", marks=pytest.mark.nightly),
    ],
)
def test_page_is_not_multiplied(
    world: World, kind: dict[str, str], start: str, unit: str, end: str
) -> None:
    """A page of 30 MB takes a few times its size, whatever it contains."""
    body = gzip.compress(filled(start, unit, end), 1)
    with FakeIndex([WHEEL]) as index:
        world.require(WHEEL, index=index.url)
        index.fail("/pinned/", Status(200, kind, body))
        run, memory = build(world)
        assert (run.code, index.url in run.errors) == (5, True)
    assert memory < MOST_MEMORY


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in other units")
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip, gzip"])
def test_compressed_page_is_decoded_up_to_the_limit(world: World, encoding: str) -> None:
    """A gigabyte of nothing is given up after the first 32 MB."""
    body = gzip.compress(bytes(1 << 26)) * 16
    for _ in encoding.split(",")[1:]:
        body = gzip.compress(body)
    with FakeIndex([WHEEL]) as index:
        world.require(WHEEL, index=index.url)
        index.fail("/pinned/", Status(200, {**HTML, "Content-Encoding": encoding}, body))
        run, memory = build(world)
        assert run.errors.startswith(f"error: cannot reach {index.url}")
    told = "exceeds 33,554,432 bytes" if encoding == "gzip" else "has an encoding that was not"
    assert (run.code, told in run.errors) == (5, True)
    assert memory < MOST_MEMORY


def test_large_page_is_read(world: World) -> None:
    """The largest page that exists is read as any other, in several gzip streams."""
    entry = f'<a href="x-1.0.zip#sha256={"0" * 64}" title="{"x" * 900}">x</a><br>\n'
    link = f'<a href="../../files/{WHEEL.filename}#sha256={WHEEL.sha256}">x</a>\n'
    page = (entry * 20_000 + link).encode()
    half = len(page) // 2
    body = gzip.compress(page[:half], 1) + gzip.compress(page[half:], 1) + bytes(100)
    with FakeIndex([WHEEL]) as index:
        world.require(WHEEL, index=index.url)
        index.fail("/pinned/", Status(200, HTML, body))
        assert world.build().code == 0


@contextmanager
def endless(head: str) -> Iterator[str]:
    """Respond to every request with a head and a body without an end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=respond, args=(connection,), daemon=True).start()

    def respond(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode())
            for _ in range(32_000):  # two gigabytes
                connection.sendall(bytes(65536))

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in other units")
@pytest.mark.parametrize("status", ["404 Not Found", "302 Found", "403 Forbidden", "418 Teapot"])
def test_endless_body_that_nobody_needs(world: World, status: str) -> None:
    """The body of a redirect or an error is not received, and the connection is closed."""
    with FakeIndex([WHEEL]) as index:
        location = f"Location: {index.url}pinned/\r\n" if status.startswith("302") else ""
        with endless(f"{status}\r\n{location}Content-Type: text/plain") as url:
            world.require(WHEEL, index=f"{url}simple/")
            run, memory = build(world)
    assert run.code == (0 if location else 5)
    assert memory < MOST_MEMORY


def test_connection_is_kept_where_the_rest_is_short(world: World) -> None:
    """A redirect with a short body costs no new connection."""
    with FakeIndex([WHEEL]) as index:
        world.require(WHEEL, index=index.url)
        index.fail("/pinned/", Redirect(f"{index.url}pinned/", 301))
        assert world.build().code == 0
        assert [request.path for request in index.requests][:2] == ["/simple/pinned/"] * 2
