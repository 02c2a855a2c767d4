"""The stand-ins keep the promises that other tests rely on."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from fakes import forked
from fakes.index import CutShort, Drop, FakeIndex, Redirect, Replace, Slow, Status
from fakes.paths import without
from fakes.projects import a_project, quiet_environment
from fakes.wheels import a_wheel, an_sdist
from installer.sources import WheelFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.wheels import FakeSdist, FakeWheel

# Whatever proxy the environment names has no part in these tests.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str, **headers: str) -> bytes:
    request = urllib.request.Request(  # noqa: S310 - a url of the fake
        url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    with _OPENER.open(request, timeout=10) as response:
        content = response.read()
    assert isinstance(content, bytes)
    return content


def _status(url: str, **headers: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        _get(url, **headers)
    caught.value.close()
    return caught.value.code


def _zip(wheel: FakeWheel) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(wheel.content))


def _read(wheel: FakeWheel, name: str) -> str:
    with _zip(wheel) as archive:
        return archive.read(name).decode()


def _validate(wheel: FakeWheel) -> None:
    with _zip(wheel) as archive:
        # installer takes the names of the folders from that of the file.
        archive.filename = wheel.filename
        WheelFile(archive).validate_record()


# --- wheels and sdists ---


@pytest.mark.parametrize("make", [a_wheel, an_sdist])
def test_a_file_is_the_same_twice(
    make: Callable[[], FakeWheel | FakeSdist], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock leaves no trace."""
    before = make()
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)

    assert make() == before


def test_order_of_files_leaves_no_trace() -> None:
    """Files are sorted."""
    assert a_wheel(files={"a.py": "1", "b.py": "2"}) == a_wheel(files={"b.py": "2", "a.py": "1"})


@pytest.mark.parametrize(
    "wheel",
    [
        pytest.param(a_wheel(), id="default"),
        pytest.param(a_wheel("Some.Thing", "1!2.0+cpu", build="3"), id="odd name"),
        pytest.param(a_wheel(files={"a,b.py": b"x", "empty.py": b""}), id="comma"),
        pytest.param(a_wheel(entry_points="[console_scripts]\nx = demo:x\n"), id="entry points"),
        pytest.param(a_wheel(raw_members=[(zipfile.ZipInfo("raw.py"), b"x")]), id="raw member"),
        pytest.param(a_wheel(compression=zipfile.ZIP_STORED), id="stored"),
    ],
)
def test_record_is_valid(wheel: FakeWheel) -> None:
    """The installer finds nothing to object to in RECORD."""
    _validate(wheel)


def test_record_can_be_replaced() -> None:
    """A given RECORD is taken as it is, and the installer notices."""
    with pytest.raises(ValueError, match="METADATA"):
        _validate(a_wheel(record=b"demo-1.0.dist-info/RECORD,,\n"))


def test_wheel_filename_has_escaped_name_build_and_tag() -> None:
    """The filename follows the binary distribution format."""
    wheel = a_wheel("Some.Thing", "2.0", build="7", tag="cp312-abi3-any")

    assert wheel.filename == "some_thing-2.0-7-cp312-abi3-any.whl"
    assert wheel.project == "some-thing"


def test_wheel_expands_compressed_tags() -> None:
    """WHEEL has a line for each tag of the set, and the build."""
    wheel = a_wheel(tag="py2.py3-none-any", build="1", root_is_purelib=False)

    assert _read(wheel, "demo-1.0.dist-info/WHEEL").splitlines() == [
        "Wheel-Version: 1.0",
        "Generator: a_wheel (1.0)",
        "Root-Is-Purelib: false",
        "Tag: py2-none-any",
        "Tag: py3-none-any",
        "Build: 1",
    ]


def test_metadata_has_further_lines() -> None:
    """METADATA ends with the given header lines."""
    wheel = a_wheel(metadata=["Requires-Dist: other"])

    assert _read(wheel, "demo-1.0.dist-info/METADATA").splitlines() == [
        "Metadata-Version: 2.1",
        "Name: demo",
        "Version: 1.0",
        "Requires-Dist: other",
    ]


def test_given_file_replaces_generated_one() -> None:
    """A file in the folder of metadata wins over ours."""
    wheel = a_wheel(files={"demo-1.0.dist-info/WHEEL": "Wheel-Version: 9.0\n"})

    assert _read(wheel, "demo-1.0.dist-info/WHEEL") == "Wheel-Version: 9.0\n"


def test_executable_gets_its_mode() -> None:
    """Named files are executable, the others are not."""
    with _zip(a_wheel(files={"a": "", "b": ""}, executable=["b"])) as archive:
        modes = {name: archive.getinfo(name).external_attr >> 16 for name in "ab"}

    assert modes == {"a": 0o100644, "b": 0o100755}


def test_raw_member_may_repeat_a_name() -> None:
    """Defects of archives can be made, and the caller's entry stays untouched."""
    entry = zipfile.ZipInfo("demo/__init__.py")
    with _zip(a_wheel(raw_members=[(entry, b"again")])) as archive:
        names = archive.namelist()

    assert names.count("demo/__init__.py") == 2
    assert entry.file_size == 0


def test_sdist_has_its_two_files() -> None:
    """A source distribution has PKG-INFO and pyproject.toml in its one folder."""
    sdist = an_sdist("Some.Thing", "2.0")
    with tarfile.open(fileobj=io.BytesIO(sdist.content)) as archive:
        names = archive.getnames()

    assert (sdist.filename, sdist.project) == ("some_thing-2.0.tar.gz", "some-thing")
    assert names == [
        "some_thing-2.0/PKG-INFO",
        "some_thing-2.0/pyproject.toml",
        "some_thing-2.0/some_thing/__init__.py",
    ]


def test_file_is_written_under_its_name(tmp_path: Path) -> None:
    """A folder that is absent is made."""
    wheel = a_wheel()
    path = wheel.write_to(tmp_path / "wheelhouse")

    assert path == tmp_path / "wheelhouse" / wheel.filename
    assert path.read_bytes() == wheel.content


# --- the index ---


@pytest.mark.parametrize("file", [a_wheel(), a_wheel(version="1.0+cpu"), an_sdist("Demo")])
def test_page_leads_to_the_file(file: FakeWheel | FakeSdist) -> None:
    """The link of a page is relative, states the digest and has the content."""
    with FakeIndex([file]) as index:
        page = index.url + "demo/"
        found = re.search('href="(.+)#sha256=(.+)"', _get(page).decode())
        assert found
        content = _get(urljoin(page, found[1]))

    assert found[1].startswith("../../files/")
    assert (found[2], content) == (file.sha256, file.content)


def test_json_page_leads_to_the_file() -> None:
    """A page of PEP 691 says the same."""
    wheel = a_wheel()
    with FakeIndex([wheel], form="json") as index:
        page = json.loads(_get(index.url + "demo/"))

    assert page == {
        "meta": {"api-version": "1.0"},
        "name": "demo",
        "files": [
            {
                "filename": wheel.filename,
                "url": f"../../files/{wheel.filename}",
                "hashes": {"sha256": wheel.sha256},
            }
        ],
    }


def test_html_page_can_lack_digests() -> None:
    """Without digests the links have no fragment."""
    with FakeIndex([a_wheel()], hashes=None) as index:
        assert b"sha256" not in _get(index.url + "demo/")


def test_json_page_can_lack_digests() -> None:
    """Without digests the table of hashes is empty."""
    with FakeIndex([a_wheel()], form="json", hashes=None) as index:
        assert json.loads(_get(index.url + "demo/"))["files"][0]["hashes"] == {}


def test_files_can_be_elsewhere() -> None:
    """The links of a page may lead to another server."""
    wheel = a_wheel()
    with (
        FakeIndex([wheel]) as elsewhere,
        FakeIndex([wheel], files_elsewhere=elsewhere.files_url) as index,
    ):
        page = _get(index.url + "demo/").decode()
        assert f'"{elsewhere.file_url(wheel.filename)}#sha256={wheel.sha256}"' in page


@pytest.mark.parametrize(
    "path", ["simple/other/", "simple/Some_Thing/", "simple/some-thing", "files/x.whl", ""]
)
def test_unknown_path_is_not_found(path: str) -> None:
    """Neither an unknown name nor one that is not normalized has a page."""
    with FakeIndex([a_wheel("Some_Thing")]) as index:
        assert _status(urljoin(index.url, f"/{path}")) == 404


def test_page_is_zipped_on_request() -> None:
    """A client that accepts gzip gets the same page in it."""
    with FakeIndex([a_wheel()]) as index:
        plain = _get(index.url + "demo/")
        zipped = _get(index.url + "demo/", Accept_Encoding="gzip, deflate")

    assert gzip.decompress(zipped) == plain


def test_file_is_never_zipped() -> None:
    """A file goes out as it is, whatever the client accepts."""
    wheel = a_wheel()
    with FakeIndex([wheel]) as index:
        assert _get(index.file_url(wheel.filename), Accept_Encoding="gzip") == wheel.content


@pytest.mark.parametrize("path", ["simple/demo/", "files/demo-1.0-py3-none-any.whl"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Basic d3Jvbmc6d3Jvbmc="}, id="wrong"),
    ],
)
def test_credentials_are_asked_for(path: str, headers: dict[str, str]) -> None:
    """Without the right credentials nothing is served."""
    with FakeIndex([a_wheel()], auth=("user", "secret")) as index:
        assert _status(urljoin(index.url, f"/{path}"), **headers) == 401


def test_credentials_open_the_index() -> None:
    """With the right credentials the file is served."""
    wheel = a_wheel()
    with FakeIndex([wheel], auth=("user", "secret")) as index:
        content = _get(index.file_url(wheel.filename), Authorization="Basic dXNlcjpzZWNyZXQ=")

    assert content == wheel.content


def test_credentials_are_quoted_in_the_url() -> None:
    """A password with reserved characters leaves the url legible."""
    with FakeIndex(auth=("user", "p@ss/word")) as index:
        assert index.url_with_credentials == f"http://user:p%40ss%2Fword@{index.netloc}/simple/"


def test_url_without_credentials_is_a_mistake() -> None:
    """An index that asks for nothing has no credentials to put in."""
    with FakeIndex() as index, pytest.raises(RuntimeError, match="no credentials"):
        _ = index.url_with_credentials


def test_address_before_the_block_is_a_mistake() -> None:
    """An index that does not serve has no address."""
    with pytest.raises(RuntimeError, match="`with` block"):
        _ = FakeIndex().url


def test_requests_are_recorded() -> None:
    """A request tells its method, path and headers, in lower case."""
    with FakeIndex([a_wheel()]) as index:
        _get(index.url + "demo/?x=1", X_Trace="Yes")
        (request,) = index.requests

    assert (request.method, request.path) == ("GET", "/simple/demo/?x=1")
    assert request.headers["x-trace"] == "Yes"


def test_connection_is_kept_alive() -> None:
    """Two requests, one of them without a body, go over one connection."""
    wheel = a_wheel()
    with FakeIndex([wheel]) as index:
        client = http.client.HTTPConnection(index.netloc, timeout=10)
        client.request("HEAD", f"/files/{wheel.filename}")
        head = client.getresponse()
        assert (head.read(), head.headers["Content-Length"]) == (b"", str(len(wheel.content)))
        socket = client.sock
        client.request("GET", f"/files/{wheel.filename}")
        assert client.getresponse().read() == wheel.content
        assert client.sock is socket
        client.close()


def test_end_does_not_wait_for_clients() -> None:
    """The block ends at once though a client keeps its connection open."""
    with FakeIndex([a_wheel()]) as index:
        client = http.client.HTTPConnection(index.netloc, timeout=10)
        client.request("GET", "/simple/demo/")
        client.getresponse().read()
        started = time.monotonic()
    elapsed = time.monotonic() - started
    left = client.sock.recv(1)
    client.close()

    assert elapsed < 1
    assert left == b""


# --- faults ---


def test_status_comes_with_headers_and_body() -> None:
    """A fault of status says all that the test told it to."""
    with FakeIndex() as index:
        index.fail("/x", Status(503, {"Retry-After": "1"}, b"later"))
        with pytest.raises(urllib.error.HTTPError) as caught:
            _get(urljoin(index.url, "/x"))
        with caught.value as answer:
            got = (answer.code, answer.headers["Retry-After"], answer.read())

    assert got == (503, "1", b"later")


def test_faults_are_used_up_in_order() -> None:
    """Each request takes one fault, and service is normal after the last."""
    wheel = a_wheel()
    with FakeIndex([wheel]) as index:
        url = index.file_url(wheel.filename)
        index.fail(".whl", Status(500))
        index.fail(".whl", Status(502))
        _get(index.url + "demo/")

        assert [_status(url), _status(url)] == [500, 502]
        assert _get(url) == wheel.content


def test_suffix_is_that_of_the_unquoted_path() -> None:
    """A filename is named as it is, even where the url has to quote it."""
    wheel = a_wheel(version="1.0+cpu")
    with FakeIndex([wheel]) as index:
        index.fail(wheel.filename, Status(500))
        assert _status(index.file_url(wheel.filename) + "?x=1") == 500


def test_cut_short_breaks_the_body() -> None:
    """The whole length is announced and only the beginning sent."""
    wheel = a_wheel()
    with FakeIndex([wheel]) as index:
        index.fail(".whl", CutShort(10))
        with pytest.raises(http.client.IncompleteRead) as caught:
            _get(index.file_url(wheel.filename))

    assert caught.value.partial == wheel.content[:10]
    assert caught.value.expected == len(wheel.content) - 10


def test_drop_closes_the_connection() -> None:
    """The client sees the end of the connection in place of an answer."""
    with FakeIndex([a_wheel()]) as index:
        index.fail("demo/", Drop())
        with pytest.raises(http.client.RemoteDisconnected):
            _get(index.url + "demo/")


def test_redirect_leads_to_another_server() -> None:
    """A client that follows gets the content from there."""
    wheel = a_wheel()
    with FakeIndex([wheel]) as elsewhere, FakeIndex() as index:
        index.fail("/x", Redirect(elsewhere.file_url(wheel.filename), code=307))
        assert _get(urljoin(index.url, "/x")) == wheel.content


@pytest.mark.parametrize("path", ["simple/demo/", "files/demo-1.0-py3-none-any.whl"])
def test_replace_serves_other_content(path: str) -> None:
    """The name stays and the content is another."""
    with FakeIndex([a_wheel()]) as index:
        index.fail(path, Replace(b"other"))
        assert _get(urljoin(index.url, f"/{path}")) == b"other"


def test_replace_asks_for_credentials() -> None:
    """Other content is no way around the authentication."""
    with FakeIndex([a_wheel()], auth=("user", "secret")) as index:
        index.fail("demo/", Replace(b"other"))
        assert _status(index.url + "demo/") == 401


def test_slow_serves_after_a_while() -> None:
    """The content is the normal one, only late."""
    wheel = a_wheel()
    with FakeIndex([wheel]) as index:
        index.fail(".whl", Slow(0.1))
        started = time.monotonic()
        content = _get(index.file_url(wheel.filename))

    assert time.monotonic() - started >= 0.1
    assert content == wheel.content


def test_end_does_not_wait_for_the_slow() -> None:
    """The block ends at once though an answer is still held back."""
    with FakeIndex([a_wheel()]) as index:
        index.fail("demo/", Slow(60))
        client = http.client.HTTPConnection(index.netloc, timeout=10)
        client.request("GET", "/simple/demo/")
        while not index.requests:
            time.sleep(0.01)
        started = time.monotonic()
    client.close()

    assert time.monotonic() - started < 1


# --- processes that are forked --------------------------------------------------------

_FORKED = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each run is started")


@_FORKED
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--version"], id="output"),
        pytest.param(["--runtime", "nope"], id="mistake"),
        pytest.param(["--runtime", "python3.13", "--quiet"], id="build"),
    ],
)
def test_forked_run_is_as_a_started_one(tmp_path: Path, words: list[str]) -> None:
    """Exit code and streams are those of a process that has imported everything itself."""
    project = a_project(tmp_path / "project")
    (project / "requirements.txt").touch()
    environ = quiet_environment(tmp_path / "home")
    code = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"

    run = forked.run(*words, cwd=project, environ=environ, timeout=60)

    started = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (
        started.returncode,
        started.stdout,
        started.stderr,
    )


@_FORKED
def test_forked_run_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """Each has the environment that it is given, and no other."""
    project = a_project(tmp_path / "project")
    environ = quiet_environment(tmp_path / "home")

    (project / "requirements.txt").touch()

    codes = [
        forked.run(cwd=project, environ={**environ, **more}, timeout=60).returncode
        for more in ({"LAMBDA_BUILD_RUNTIME": "nope"}, {"LAMBDA_BUILD_RUNTIME": "python3.13"}, {})
    ]

    assert codes == [2, 0, 0]


@_FORKED
def test_forked_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """The test fails then, and the ones after it have a new process to be forked from."""
    environ = quiet_environment(tmp_path / "home")

    with pytest.raises(subprocess.TimeoutExpired):
        forked.run("--version", cwd=tmp_path, environ=environ, timeout=0)

    assert forked.run("--version", cwd=tmp_path, environ=environ, timeout=60).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="links to programs")
def test_path_without_a_program(tmp_path: Path) -> None:
    """What is beside the program is found, and so is what is in other folders."""
    for name in ("one/zig", "one/git", "two/uv"):
        program = tmp_path / name
        program.parent.mkdir(exist_ok=True)
        program.touch(mode=0o755)
    path = os.pathsep.join((str(tmp_path / "one"), str(tmp_path / "two")))

    changed, made = without("zig", path)

    found = [shutil.which(name, path=changed) for name in ("zig", "git", "uv")]
    assert found == [None, str(made[0] / "git"), str(tmp_path / "two" / "uv")]
    shutil.rmtree(made[0])
