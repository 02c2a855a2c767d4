"""No password is seen anywhere, whatever way it came and however the build ends.

Each test spreads passwords, builds as loudly as possible, and looks for them in all that
a build says and leaves: output, errors, report, artifact, cache, temporary files, and the
arguments of all processes that it starts.
"""

from __future__ import annotations

import sys
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.git import FakeRepository, GitServer
from fakes.index import FakeIndex, Replace, Status
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.index import Fault

SECRET = "s3cr3t-w0rd"
WHEEL = a_wheel("pinned", "1.0")
AUTH = ("user", SECRET)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OWN_BACKEND = """\
[build-system]
requires = ["helper==1.0"]
build-backend = "backend"
backend-path = ["."]

[project]
name = "demo"
version = "1.0"
"""
HELPER = """\
import pathlib, subprocess, sys, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)"], check=True)
    name = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        archive.writestr("demo.py", "")
        archive.writestr("demo-1.0.dist-info/METADATA",
                         "Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n")
        archive.writestr("demo-1.0.dist-info/WHEEL",
                         "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return name
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project without a lock."""
    return World(tmp_path)


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Serve one wheel to those who know the password."""
    with FakeIndex([WHEEL], auth=AUTH) as running:
        yield running


class Watch:
    """Looks for the password in the arguments of processes while a build runs."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.seen = 0
        self._over = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look again and again."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    arguments = file.read_bytes()
                except OSError:  # it has just ended
                    continue
                self.seen += 1
                if SECRET.encode() in arguments:
                    self.found.append(arguments.decode(errors="replace"))


def traces(world: World, *more: str) -> list[str]:
    """List where the password is, apart from what the test itself has written."""
    own = {"pyproject.toml", "pylock.toml", "requirements.txt", "uv.lock", ".netrc"}
    found = [text for text in more if SECRET in text]
    for path in world.folder.rglob("*"):
        if SECRET in path.name:
            found.append(str(path))
        if not path.is_file() or path.name in own:
            continue
        content = path.read_bytes()
        if SECRET.encode() in content:
            found.append(str(path))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                found += [
                    f"{path}: {name}"
                    for name in archive.namelist()
                    if SECRET.encode() in archive.read(name)
                ]
    return found


def test_traces_are_found(world: World) -> None:
    """Control: a password is found in words, names, files and members."""
    (world.folder / f"{SECRET}.txt").touch()
    (world.cache / "notes").mkdir(parents=True)
    (world.cache / "notes" / "one.json").write_text(f'{{"{SECRET}": ""}}')
    with zipfile.ZipFile(world.output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("direct_url.json", SECRET * 50)

    found = traces(world, f"get {SECRET}")

    assert len(found) == 4


def by_lock(world: World, index: FakeIndex) -> None:
    """Write the password into the lock's index URL."""
    world.require(WHEEL, index=index.url_with_credentials)


def by_locked_url(world: World, index: FakeIndex) -> None:
    """Write the password into the address of the file itself."""
    files = index.files_url.replace("//", f"//{AUTH[0]}:{AUTH[1]}@")
    world.lock(pylock_of([WHEEL], files))


def by_environment(world: World, index: FakeIndex) -> None:
    """Write the password into the variables of uv."""
    world.require(WHEEL, index=index.url)
    world.environ |= {
        "UV_INDEX": f"own={index.url}",
        "UV_INDEX_OWN_USERNAME": AUTH[0],
        "UV_INDEX_OWN_PASSWORD": SECRET,
    }


def by_pip(world: World, index: FakeIndex) -> None:
    """Write the password into the variable of pip."""
    world.lock(f"pinned==1.0 --hash=sha256:{WHEEL.sha256}\n", "requirements.txt")
    world.environ["PIP_INDEX_URL"] = index.url_with_credentials


def by_variable_of_the_lock(world: World, index: FakeIndex) -> None:
    """Let the lock name a variable that has the password."""
    world.require(WHEEL, index=index.url.replace("//", "//user:${WORD}@"))
    world.environ["WORD"] = SECRET


def by_netrc(world: World, index: FakeIndex) -> None:
    """Write the password into ~/.netrc, which serves an index that is configured."""
    world.lock(f"pinned==1.0 --hash=sha256:{WHEEL.sha256}\n", "requirements.txt")
    world.environ["PIP_INDEX_URL"] = index.url
    netrc = Path(world.environ["HOME"], ".netrc")
    netrc.parent.mkdir()
    netrc.write_text(f"machine 127.0.0.1 login user password {SECRET}\n")
    netrc.chmod(0o600)


WAYS = [by_lock, by_locked_url, by_environment, by_pip, by_variable_of_the_lock, by_netrc]
FAULTS = [
    pytest.param([], 0, id="none"),
    pytest.param([Status(403)], 5, id="denied"),
    pytest.param([Replace(b"another")], 5, id="another-file"),
    pytest.param([Status(404)], 5, id="gone"),
]


@pytest.mark.parametrize(("faults", "code"), FAULTS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_password_of_an_index(
    world: World, index: FakeIndex, way: object, faults: list[Fault], code: int
) -> None:
    """The password of an index opens it, and is told to nobody else."""
    assert callable(way)
    way(world, index)
    index.fail(WHEEL.filename, *faults)
    report = world.folder / "report.json"

    run = world.build("-v", "--report", report, "--unpacked", world.folder / "tree")

    assert run.code == code
    assert traces(world, run.output, run.errors) == []


@pytest.mark.parametrize("verbose", [(), ("-v",)], ids=["normal", "verbose"])
@pytest.mark.parametrize(
    "line",
    [
        f"pinned @ git+https://user:{SECRET}@host.example/pinned.git@{COMMIT}",
        f"git+https://{SECRET}@host.example/pinned.git@{COMMIT}#egg=pinned",
        f"git+ssh://git:{SECRET}@host.example/pinned.git#egg=pinned",
        f"pinned @ https://host.example/pinned-1.0.tar.gz?token={SECRET}",
        f"pinned @ https://user:{SECRET}/x@host.example/pinned-1.0.tar.gz",
        f"--index-url https://user:{SECRET}@[broken/",
        f"--extra-index-url https://{SECRET}@127.0.0.1:1/simple/\npinned>=1",
        f"-r https://user:{SECRET}@host.example/requirements.txt",
    ],
)
def test_password_in_a_line(world: World, line: str, verbose: tuple[str, ...]) -> None:
    """A line that cannot be served is told without the password that it holds."""
    world.lock(f"{line}\n", "requirements.txt")

    run = world.build("--offline", *verbose)

    assert run.code > 1
    assert traces(world, run.output, run.errors) == []


def test_password_in_uv_lock(world: World) -> None:
    """So is a source of uv.lock."""
    world.lock(
        'version = 1\nrequires-python = ">=3.10"\n\n[[package]]\nname = "demo"\nversion = "1.0"\n'
        'source = { editable = "." }\ndependencies = [{ name = "pinned" }]\n\n'
        '[package.metadata]\nrequires-dist = [{ name = "pinned" }]\n\n'
        '[[package]]\nname = "pinned"\nversion = "1.0"\n'
        f'source = {{ git = "https://user:{SECRET}@host.example/p.git?rev=1#{COMMIT}" }}\n',
        "uv.lock",
    )
    pyproject = world.project / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace("dependencies = []", 'dependencies = ["pinned"]')
    )

    run = world.build("-v", "--offline")

    assert run.code > 1
    assert traces(world, run.output, run.errors) == []


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the arguments of processes")
@pytest.mark.parametrize("word", [SECRET, "guessed"], ids=["built", "refused"])
def test_password_of_a_repository(world: World, word: str) -> None:
    """A login in a git URL opens the repository, and is told to nobody else."""
    repository = FakeRepository(world.folder / "repositories" / "pinned")
    files = {
        "pyproject.toml": OWN_BACKEND.replace('"demo"', '"pinned"').replace('"helper==1.0"', ""),
        "backend.py": HELPER.replace("demo", "pinned"),
    }
    commit = repository.commit(files)
    watch = Watch()
    report = world.folder / "report.json"
    with (
        GitServer(repository.path.parent, auth=(AUTH[0], word)) as server,
        watch.running(),
    ):
        url = server.url("pinned", f"{AUTH[0]}:{SECRET}")
        world.lock(f"pinned @ git+{url}@{commit}\n", "requirements.txt")

        run = world.build("-v", "--report", report, "--unpacked", world.folder / "tree")

    assert (run.code, bool(server.requests)) == ((0, True) if word == SECRET else (5, False))
    assert traces(world, run.output, run.errors) == []
    assert (watch.found, watch.seen > 0) == ([], True)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the arguments of processes")
@pytest.mark.parametrize("serves", [True, False], ids=["built", "refused"])
def test_password_of_a_build(world: World, *, serves: bool) -> None:
    """An isolated build gets the password by the environment, and no process as an argument."""
    helper = a_wheel("helper", "1.0", files={"helper.py": HELPER})
    world.environ["LAMBDA_BUILD_CONTENTS"] = "project"
    (world.project / "pyproject.toml").write_text(OWN_BACKEND)
    (world.project / "backend.py").write_text("from helper import build_wheel\n")
    watch = Watch()
    with FakeIndex([helper], auth=AUTH) as index, watch.running():
        if not serves:
            index.fail(helper.filename, *[Status(403)] * 10)
        url = index.url_with_credentials
        world.environ |= {
            "PIP_INDEX_URL": url,
            "UV_DEFAULT_INDEX": url,
            "UV_CACHE_DIR": str(world.folder / "uv"),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

        run = world.build("-v", "--report", world.folder / "report.json")

    assert (run.code, run.errors if serves and run.code else "") == (0 if serves else 6, "")
    assert traces(world, run.output, run.errors) == []
    assert (watch.found, watch.seen > 0) == ([], True)
