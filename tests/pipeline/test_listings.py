"""What index pages may leave out or get wrong, seen from the console script."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex, Status
from fakes.wheels import a_wheel
from fakes.worlds import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.wheels import FakeWheel

MODULE = "demo/__init__.py"


def a_demo(tag: str, *, content: str | None = None, version: str = "1.0") -> FakeWheel:
    """Make a wheel whose module says which one it is."""
    return a_wheel("demo", version, tag=tag, files={MODULE: content or tag})


PURE = a_demo("py3-none-any")
NATIVE = a_demo("cp313-cp313-manylinux_2_17_x86_64")
OLDER = a_demo("cp312-cp312-manylinux_2_17_x86_64")
FOREIGN = a_demo("cp313-cp313-macosx_11_0_arm64")
ALL = (PURE, OLDER, NATIVE, FOREIGN)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project without a lock."""
    return World(tmp_path)


def pins(*files: FakeWheel, algorithm: str = "sha256") -> str:
    """Write a pin with the hashes of some files."""
    hashes = "".join(
        f" --hash={algorithm}:{hashlib.new(algorithm, file.content).hexdigest()}" for file in files
    )
    return f"demo==1.0{hashes}\n"


def fetched(index: FakeIndex) -> list[str]:
    """List the files that were asked for."""
    paths = [request.path for request in index.requests]
    return [path.removeprefix("/files/") for path in paths if path.startswith("/files/")]


def shipped(world: World) -> str:
    """Read which wheel is in the artifact."""
    return world.members()[MODULE].decode()


# --- digests that the page does not have ----------------------------------------------


@pytest.mark.parametrize("listed", [None, "md5", "sha1", "sha512"])
@pytest.mark.parametrize("form", ["html", "json"])
def test_page_without_the_locked_digests(world: World, form: str, listed: str | None) -> None:
    """The file that the target prefers is fetched, and is the one that was locked."""
    with FakeIndex(ALL, form=form, hashes=listed) as index:  # type: ignore[arg-type]
        world.lock(f"--index-url {index.url}\n{pins(*ALL)}", "requirements.txt")
        run = world.build()
        assert fetched(index) == [NATIVE.filename]
    assert (run.code, run.errors, shipped(world)) == (0, "", "cp313-cp313-manylinux_2_17_x86_64")


@pytest.mark.parametrize("algorithm", ["sha384", "sha512", "sha3_256", "sha3_512", "blake2b"])
@pytest.mark.parametrize("listed", [None, "sha256", "same"])
def test_lock_in_another_algorithm(world: World, algorithm: str, listed: str | None) -> None:
    """It does not matter in which algorithm the lock has its digests."""
    with FakeIndex(ALL, hashes=algorithm if listed == "same" else listed) as index:
        world.lock(
            f"--index-url {index.url}\n{pins(PURE, NATIVE, algorithm=algorithm)}",
            "requirements.txt",
        )
        run = world.build()
        assert fetched(index) == [NATIVE.filename]
        again = world.build("--offline")
    assert (run.code, run.errors, again.code) == (0, "", 0)
    assert shipped(world) == "cp313-cp313-manylinux_2_17_x86_64"


def test_pipfile_lock_and_a_page_without_digests(world: World) -> None:
    """A `Pipfile.lock` has digests alone as well."""
    with FakeIndex(ALL, hashes=None) as index:
        entry = {"version": "==1.0", "hashes": [f"sha256:{file.sha256}" for file in ALL]}
        sources = [{"name": "corp", "url": index.url, "verify_ssl": False}]
        lock = {"_meta": {"sources": sources, "pipfile-spec": 6}, "default": {"demo": entry}}
        world.lock(json.dumps(lock), "Pipfile.lock")
        run = world.build()
    assert (run.code, run.errors) == (0, "")
    assert shipped(world) == "cp313-cp313-manylinux_2_17_x86_64"


def test_file_that_is_not_locked_is_passed_over(world: World) -> None:
    """A better wheel that was uploaded after the lock was made does not ship."""
    with FakeIndex(ALL, hashes=None) as index:
        world.lock(f"--index-url {index.url}\n{pins(PURE, OLDER)}", "requirements.txt")
        run = world.build()
        assert fetched(index) == [NATIVE.filename, PURE.filename]
    assert (run.code, run.errors, shipped(world)) == (0, "", "py3-none-any")


def test_no_file_is_locked(world: World) -> None:
    """What was fetched in vain is named with its digest, and nothing ships."""
    with FakeIndex([NATIVE, PURE], hashes=None) as index:
        world.lock(f"--index-url {index.url}\n{pins(OLDER)}", "requirements.txt")
        run = world.build()
    assert run.code == 5
    assert run.errors.startswith(
        "error: cannot find the locked files of demo 1.0\n"
        f"  why: {index.url}: listed without digests\n"
        f"       {index.url}: {NATIVE.filename} is sha256:{NATIVE.sha256}\n"
        f"       {index.url}: {PURE.filename} is sha256:{PURE.sha256}\n"
    )
    assert world.left_behind() == []


def test_no_file_loads(world: World) -> None:
    """Files that the target cannot load are not fetched, and that is the reason."""
    with FakeIndex([FOREIGN], hashes=None) as index:
        world.lock(f"--index-url {index.url}\n{pins(FOREIGN)}", "requirements.txt")
        run = world.build()
        assert (run.code, fetched(index)) == (4, [])
    assert "offered: cp313-cp313-macosx_11_0_arm64" in run.errors


def test_other_digest_is_still_told(world: World) -> None:
    """A page whose digests can be compared is believed, and nothing is fetched."""
    with FakeIndex([NATIVE]) as index:
        world.lock(f"--index-url {index.url}\n{pins(PURE)}", "requirements.txt")
        run = world.build()
        assert (run.code, fetched(index)) == (5, [])
    assert f"{index.url}: listed with other digests" in run.errors


def test_target_has_its_own_memory(world: World) -> None:
    """What had to be fetched for one target says nothing about another."""
    arm = a_demo("cp313-cp313-manylinux_2_17_aarch64")
    with FakeIndex([NATIVE, arm], hashes=None) as index:
        world.lock(f"--index-url {index.url}\n{pins(NATIVE, arm)}", "requirements.txt")
        codes = [world.build("--arch", arch).code for arch in ("x86_64", "arm64", "x86_64")]
        assert (codes, fetched(index)) == ([0, 0, 0], [NATIVE.filename, arm.filename])
    assert shipped(world) == "cp313-cp313-manylinux_2_17_x86_64"


@contextmanager
def listing(folder: Path) -> Iterator[str]:
    """Serve a folder as `python -m http.server` does."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@pytest.mark.parametrize("hashed", [True, False])
def test_listing_of_a_plain_web_server(world: World, *, hashed: bool) -> None:
    """A folder that `python -m http.server` shows serves as `--find-links`."""
    folder = world.folder / "wheels"
    for file in ALL:
        file.write_to(folder)
    with listing(folder) as url:
        pin = pins(*ALL) if hashed else "demo==1.0\n"
        world.lock(f"--no-index\n--find-links {url}\n{pin}", "requirements.txt")
        run = world.build()
    assert (run.code, shipped(world)) == (0, "cp313-cp313-manylinux_2_17_x86_64")


def test_simple_index_of_a_plain_web_server(world: World) -> None:
    """A mirror that is nothing but folders serves as an index."""
    for file in ALL:
        file.write_to(world.folder / "mirror" / "demo")
    with listing(world.folder / "mirror") as url:
        world.lock(f"--index-url {url}\n{pins(*ALL)}", "requirements.txt")
        run = world.build()
    assert (run.code, shipped(world)) == (0, "cp313-cp313-manylinux_2_17_x86_64")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_folder_is_hashed_as_the_lock_needs(world: World, algorithm: str) -> None:
    """Files of a wheelhouse are compared, whatever the algorithm of the lock."""
    for file in (PURE, NATIVE):
        file.write_to(world.folder / "wheels")
    pin = pins(PURE, algorithm=algorithm)
    world.lock(f"--no-index\n--find-links {world.folder / 'wheels'}\n{pin}", "requirements.txt")
    assert (world.build().code, shipped(world)) == (0, "py3-none-any")


# --- pins without hashes --------------------------------------------------------------


def test_pins_merge_all_indexes_as_pip_does(world: World) -> None:
    """The best wheel ships, wherever it is, and a warning tells about the several indexes."""
    with FakeIndex([OLDER]) as extra, FakeIndex([NATIVE]) as main:
        world.lock(
            f"--index-url {main.url}\n--extra-index-url {extra.url}\ndemo==1.0\n",
            "requirements.txt",
        )
        run = world.build()
        both = f"{extra.url}, {main.url}"
    assert (run.code, shipped(world)) == (0, "cp313-cp313-manylinux_2_17_x86_64")
    assert f"demo 1.0 is pinned without hashes, and 2 indexes have it: {both};" in run.output


def test_folder_does_not_hide_the_index(world: World) -> None:
    """A `--find-links` folder adds files, and its own file of the same name wins."""
    OLDER.write_to(world.folder / "wheels")
    local = a_demo("py3-none-any", content="from the folder")
    local.write_to(world.folder / "wheels")
    find_links = f"--find-links {world.folder / 'wheels'}\n"
    with FakeIndex([NATIVE, PURE]) as index:
        world.lock(f"--index-url {index.url}\n{find_links}demo==1.0\n", "requirements.txt")
        assert (world.build().code, shipped(world)) == (0, "cp313-cp313-manylinux_2_17_x86_64")
    with FakeIndex([PURE]) as index:
        world.lock(f"--index-url {index.url}\n{find_links}demo==1.0\n", "requirements.txt")
        assert (world.build().code, shipped(world)) == (0, "from the folder")


UV_HEADER = "# This file was autogenerated by uv via the following command:\n#    uv pip compile\n"


@pytest.mark.parametrize("version", ["1.0", "0.9"])
def test_first_index_decides_as_in_uv(world: World, version: str) -> None:
    """A lock of uv means the first index that has the package, and the message says so."""
    private = a_demo("cp312-cp312-manylinux_2_17_x86_64", version=version)
    with FakeIndex([private]) as extra, FakeIndex([NATIVE]) as main:
        options = f"--index-url {main.url}\n--extra-index-url {extra.url}\n"
        world.lock(f"{UV_HEADER}{options}demo==1.0\n", "requirements.txt")
        run = world.build()
        assert main.requests == []
        listed = "1 file of demo 1.0" if version == "1.0" else "only other versions"
        assert f"{extra.url}: {listed}\n" in run.errors
        assert f"{main.url}: not searched, because uv takes a package from" in run.errors
    assert run.code == (4 if version == "1.0" else 5)


@pytest.mark.parametrize(
    ("strategy", "code"),
    [("first-index", 4), ("unsafe-first-match", 0), ("unsafe-best-match", 0)],
)
def test_index_strategy_of_uv_is_read(world: World, strategy: str, code: int) -> None:
    """Indexes that uv is configured with follow uv's rule, unless its user turned it off."""
    with FakeIndex([OLDER]) as extra, FakeIndex([NATIVE]) as main:
        world.environ |= {
            "UV_INDEX": extra.url,
            "UV_DEFAULT_INDEX": main.url,
            "UV_INDEX_STRATEGY": strategy,
        }
        world.lock("demo==1.0\n", "requirements.txt")
        assert world.build().code == code


# --- links that lead nowhere ----------------------------------------------------------

BROKEN = [
    pytest.param("demo%00-1.0-py3-none-any.whl", id="nul"),
    pytest.param("http://[broken/demo-1.0-py3-none-any.whl", id="broken-ipv6"),
    pytest.param("http://[::1/demo-1.0-py3-none-any.whl", id="unclosed-ipv6"),
    pytest.param("http://host:99999999/demo-1.0-py3-none-any.whl", id="port"),
    pytest.param("http://host:a/demo-1.0-py3-none-any.whl", id="no-port"),
    pytest.param("https:///demo-1.0-py3-none-any.whl", id="no-host"),
    pytest.param("demo-1.0%0a-py3-none-any.whl", id="newline"),
    pytest.param("demo-1.0%1b[31m-py3-none-any.whl", id="escape"),
    pytest.param("data:,demo-1.0-py3-none-any.whl", id="data"),
    pytest.param("ftp://host/demo-1.0-py3-none-any.whl", id="ftp"),
    pytest.param("demo-" + "9" * 5000 + "-py3-none-any.whl", id="endless-version"),
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("form", ["html", "json"])
def test_broken_link_hides_no_file(world: World, broken: str, form: str, *, hashed: bool) -> None:
    """A link that leads nowhere is skipped, and so is nothing else of its page."""
    with FakeIndex([PURE]) as index:
        url = index.file_url(PURE.filename)
        if form == "html":
            text = f'<a href="{broken}">x</a>\n<a href="{url}">x</a>\n<a href="{broken}">x</a>'
            kind = "text/html"
        else:
            files = [{"filename": "", "url": each, "hashes": {}} for each in (broken, url, broken)]
            text = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": files})
            kind = "application/vnd.pypi.simple.v1+json"
        index.fail("/demo/", Status(200, {"Content-Type": kind}, text.encode()))
        pin = pins(PURE) if hashed else "demo==1.0\n"
        world.lock(f"--index-url {index.url}\n{pin}", "requirements.txt")
        run = world.build()
    assert (run.code, run.errors, shipped(world)) == (0, "", "py3-none-any")


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("base", ["", '<base href="file:///">'])
def test_server_may_not_name_files_of_this_machine(
    world: World, base: str, *, hashed: bool
) -> None:
    """A wheel on this machine does not ship because the page of a server names it."""
    path = NATIVE.write_to(world.folder / "secret")
    link = path.as_uri().removeprefix("file:///" if base else "")
    page = f"{base}<a href='{link}'>x</a>".encode()
    with FakeIndex([PURE]) as index:
        index.fail("/demo/", Status(200, {"Content-Type": "text/html"}, page))
        pin = pins(NATIVE) if hashed else "demo==1.0\n"
        world.lock(f"--index-url {index.url}\n{pin}", "requirements.txt")
        run = world.build()
        assert (run.code, f"{index.url}: not listed" in run.errors) == (5, True)
    assert world.left_behind() == []


def test_page_on_this_machine_may_name_its_files(world: World) -> None:
    """An index of files has links to files."""
    path = NATIVE.write_to(world.folder / "elsewhere")
    page = world.folder / "mirror" / "demo" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<a href='{path.as_uri()}'>x</a>")
    mirror = page.parent.parent.as_uri()
    world.lock(f"--index-url {mirror}\ndemo==1.0\n", "requirements.txt")
    assert (world.build().code, shipped(world)) == (0, "cp313-cp313-manylinux_2_17_x86_64")
