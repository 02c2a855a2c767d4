"""Machines that stop, fill up or are odd, seen from the console script.

Signals are in `tests/frontends/test_signals.py`; what standard output and error can do
is there as well.
"""

from __future__ import annotations

import datetime
import os
import random
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.disks import read_only, small_disk
from fakes.index import FakeIndex, Slow
from fakes.wheels import a_wheel
from fakes.words import NO_SPACE
from fakes.worlds import World, pylock_of

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.read_settings import read_settings
from lambda_build_plugin.config.settings import Host
from lambda_build_plugin.config.sources import environment_source
from lambda_build_plugin.pipeline.build import build
from lambda_build_plugin.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOISE = random.Random(8).randbytes(400_000)  # noqa: S311 - bytes that cannot be compressed
LARGE = a_wheel("large", "1.0", files={"large/noise.bin": NOISE})
SMALL = a_wheel("small", "1.0")
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
SMALL_DISK = 128 << 10  # bytes
STEP = 0.04  # seconds between the moments at which builds are killed
MOST_KILLED = 60


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Serve a small and a large wheel."""
    with FakeIndex([SMALL, LARGE]) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, index: FakeIndex) -> World:
    """Give a project that locks both."""
    world = World(tmp_path)
    world.lock(pylock_of([LARGE, SMALL], index.files_url))
    return world


# --- killed -------------------------------------------------------------------------------


def test_killed_at_any_moment(world: World, index: FakeIndex) -> None:
    """After kill -9 the old artifact is whole, and the next build is as if nothing was."""
    world.environ["LAMBDA_BUILD_CONTENTS"] = "all"
    assert world.build().code == 0
    right = world.digest()
    old = EMPTY_ZIP
    killed = 0
    for moment in range(MOST_KILLED):
        for file in world.cache.rglob("*.whl" if moment % 2 else "*"):
            file.unlink() if file.is_file() else None
        world.output.write_bytes(old)
        # Of some moments the fetch is one, however fast the machine is.
        index.fail(LARGE.filename, *([Slow(0.3)] if moment % 3 == 0 else []))
        process = world.start()
        time.sleep(moment * STEP)
        process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        killed += 1
        assert world.output.read_bytes() == old or world.digest() == right

    assert (world.build().code, world.digest()) == (0, right)
    assert killed > 3


# --- full ---------------------------------------------------------------------------------


def test_full_cache(world: World, tmp_path: Path) -> None:
    """A cache that is full is one error, and works again once there is room."""
    with small_disk(tmp_path / "disk", size=SMALL_DISK) as disk:
        run = world.build("--cache-dir", disk)

        assert (run.code, run.output) == (5, "")
        assert run.errors == (
            f"error: cannot write the cache at {disk}\n"
            f"  why: {NO_SPACE}\n\n"
            "hint: free space or set another folder with `--cache-dir`\n"
        )
        assert list(disk.rglob(".part-*")) == []
        assert world.left_behind() == []
    assert world.build().code == 0


def test_full_output(world: World, tmp_path: Path) -> None:
    """Where the artifact has no room the older one stays."""
    with small_disk(tmp_path / "disk", size=SMALL_DISK) as disk:
        old = disk / "artifact.zip"
        old.write_bytes(EMPTY_ZIP)

        run = world.build("--output", old)

        assert (run.code, run.output) == (7, "")
        assert run.errors.startswith(f"error: cannot write {old}\n  why: {NO_SPACE}\n")
        assert "hint: make room there" in run.errors
        assert [path.name for path in disk.iterdir()] == ["artifact.zip"]
        assert old.read_bytes() == EMPTY_ZIP


def test_full_temporary_folder(world: World, tmp_path: Path) -> None:
    """A build of the project that has no room is one error, too."""
    world.environ["LAMBDA_BUILD_CONTENTS"] = "project"
    (world.project / "src" / "demo" / "noise.bin").write_bytes(NOISE)
    with small_disk(tmp_path / "disk", size=SMALL_DISK) as disk:
        world.environ["TMPDIR"] = str(disk)

        run = world.build()

        assert (run.code, run.output, "Traceback" in run.errors) == (6, "", False)
        assert NO_SPACE in run.errors
        assert list(disk.iterdir()) == []
        assert world.left_behind() == []


# --- removed ------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="the hook is a line for a POSIX shell")
@pytest.mark.parametrize("bytecode", [True, False])
@pytest.mark.parametrize("warm", [True, False])
def test_cache_removed_during_the_build(world: World, *, bytecode: bool, warm: bool) -> None:
    """A cache that somebody clears in the meantime is one error, and the next build works."""
    options = ["--bytecode"] if bytecode else []
    world.environ["LAMBDA_BUILD_RUNTIME"] = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if warm:
        assert world.build(*options).code == 0
        world.output.unlink()
    with (world.project / "pyproject.toml").open("a") as file:
        file.write('[tool.lambda-build.hooks]\nafter-stage = ["$REMOVE"]\n')
    world.environ["REMOVE"] = f"rm -rf {world.cache}"
    run = world.build(*options)

    assert (run.code, run.output) == (7, "")
    assert run.errors.startswith(f"error: cannot read {world.cache}")
    assert "why: the file was there a moment ago" in run.errors
    assert world.left_behind() == []
    world.environ["REMOVE"] = "true"
    assert world.build(*options).code == 0


# --- may only be read ---------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True], ids=["empty", "half-full"])
def test_read_only_cache(world: World, index: FakeIndex, *, warm: bool) -> None:
    """A cache that may only be read serves what it has; the rest is fetched, with a warning."""
    world.cache.mkdir()
    if warm:
        world.lock(pylock_of([SMALL], index.files_url))
        assert world.build().code == 0
        world.output.unlink()
        world.lock(pylock_of([LARGE, SMALL], index.files_url))
    before = sorted(world.cache.rglob("*"))
    asked = len(index.requests)
    with read_only(world.cache):
        run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert f"warning: the cache at {world.cache} cannot be written (" in run.output
    assert len(index.requests) - asked == (1 if warm else 2)
    assert sorted(world.cache.rglob("*")) == before
    assert world.left_behind() == ["out/artifact.zip"]


def a_file(folder: Path) -> Path:
    """Put a file where a folder should be."""
    (folder / "file").write_text("")
    return folder / "file"


def a_circle(folder: Path) -> Path:
    """Make a link that leads to itself."""
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle"


def a_lost_link(folder: Path) -> Path:
    """Make a link that leads nowhere."""
    (folder / "lost").symlink_to(folder / "nothing" / "here")
    return folder / "lost"


NO_PLACES = [
    pytest.param(lambda _: Path(os.devnull), id="device"),
    pytest.param(a_file, id="file"),
    pytest.param(a_circle, id="circle"),
    pytest.param(a_lost_link, id="lost-link"),
    pytest.param(lambda folder: folder / ("x" * 300), id="long-name"),
    pytest.param(lambda _: Path("/proc/nothing"), id="virtual-disk"),
]


@pytest.mark.parametrize("place", NO_PLACES)
@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_cache_that_nobody_chose_cannot_be_made(
    world: World, index: FakeIndex, place: Callable[[Path], Path], variable: str
) -> None:
    """Without a place for the default cache, a build goes on without one, and warns."""
    del world.environ["LAMBDA_BUILD_CACHE_DIR"]
    del world.environ["XDG_CACHE_HOME"]
    parent = place(world.folder)
    world.environ[variable] = str(parent)
    world.lock(pylock_of([SMALL], index.files_url))

    run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert f"warning: the cache at {parent}/" in run.output
    assert "missing files are fetched again for each build" in run.output
    assert world.left_behind() == ["out/artifact.zip"]


def test_default_cache_on_a_read_only_disk(world: World, index: FakeIndex) -> None:
    """A home folder that cannot be written has no place for a cache."""
    del world.environ["LAMBDA_BUILD_CACHE_DIR"]
    home = world.folder / "home"
    home.mkdir()
    world.environ |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    world.lock(pylock_of([SMALL], index.files_url))
    with read_only(home):
        run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert f"warning: the cache at {home}/cache/lambda-build cannot be written (" in run.output


def test_chosen_cache_that_cannot_be_made(world: World, index: FakeIndex) -> None:
    """A folder that somebody chose is not ignored."""
    world.lock(pylock_of([SMALL], index.files_url))
    chosen = a_file(world.folder) / "cache"

    run = world.build("--cache-dir", chosen)

    assert run.code == 5
    assert run.errors.startswith(f"error: cannot write the cache at {chosen}\n")


# --- together -----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 8])
def test_builds_at_once(world: World, count: int) -> None:
    """Builds that share an empty cache and an output do not disturb each other."""
    with ThreadPoolExecutor(count) as threads:
        runs = list(threads.map(lambda _: world.build(), range(count)))

    assert [(run.code, run.errors) for run in runs] == [(0, "")] * count
    together = world.digest()
    assert (world.left_behind(), world.parts()) == (["out/artifact.zip"], [])
    assert (world.build("--offline").code, world.digest()) == (0, together)


# --- clocks -------------------------------------------------------------------------------

FIRST, LAST = 0, 4_354_819_199  # 1970-01-01, 2107-12-31


@pytest.mark.parametrize(
    "moment", [FIRST, LAST, LAST + 10**9, -1], ids=["1970", "2107", "2139", "1969"]
)
def test_dates_of_files(world: World, moment: int) -> None:
    """Files from the ends of time ship like any others, and their dates leave no trace."""
    world.environ["LAMBDA_BUILD_CONTENTS"] = "all"
    assert world.build().code == 0
    right = world.digest()
    for path in [world.project, *world.project.rglob("*"), *world.cache.rglob("*")]:
        os.utime(path, (moment, moment))

    run = world.build()

    assert (run.code, run.errors, world.digest()) == (0, "", right)


@pytest.mark.parametrize(
    ("epoch", "date"),
    [
        pytest.param(FIRST, (1980, 1, 1, 0, 0, 0), id="1970"),
        pytest.param(LAST, (2107, 12, 31, 23, 59, 58), id="2107"),
        pytest.param(LAST + 10**9, (2107, 12, 31, 23, 59, 58), id="far-away"),
    ],
)
def test_source_date_epoch(world: World, epoch: int, date: tuple[int, ...]) -> None:
    """A date that a zip cannot hold becomes the nearest one that it can."""
    world.environ["SOURCE_DATE_EPOCH"] = str(epoch)

    run = world.build()

    assert (run.code, run.errors) == (0, "")
    with zipfile.ZipFile(world.output) as archive:
        assert {info.date_time for info in archive.infolist()} == {date}


@pytest.mark.parametrize("year", [1970, 2107])
def test_clock_of_the_machine(world: World, year: int) -> None:
    """A machine that is mistaken about the year builds the same bytes."""
    project = read_project(world.project)
    host = Host(
        cwd=world.project,
        home=world.folder,
        cache_dir=world.cache,
        today=datetime.date(2025, 1, 1),
        environ=world.environ,
    )
    settings = read_settings(project, [environment_source(host)], host)
    right = build(settings, Reporter())["sha256"]
    mistaken = replace(host, today=datetime.date(year, 1, 1))

    result = build(replace(settings, host=mistaken), Reporter())

    assert result["sha256"] == right


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("my project", id="spaces"),
        pytest.param("projekt-äöß-计划-🚀", id="unicode"),
        pytest.param("a'b\"c $(x);&%41", id="shell"),
        pytest.param("/".join(["n" * 200] * 3), id="long"),
    ],
)
def test_name_of_the_folder(tmp_path: Path, index: FakeIndex, name: str) -> None:
    """However the folder is called, the bytes are the same."""
    plain, odd = World(tmp_path / "plain", name="p"), World(tmp_path / "odd", name=name)
    for world in (plain, odd):
        world.environ["LAMBDA_BUILD_CONTENTS"] = "all"
        world.lock(pylock_of([SMALL], index.files_url))
    odd.output = odd.project / "out put" / "artifact-ü.zip"
    odd.environ["LAMBDA_BUILD_OUTPUT"] = str(odd.output)

    runs = [world.build() for world in (plain, odd)]

    assert [(run.code, run.errors) for run in runs] == [(0, ""), (0, "")]
    assert plain.digest() == odd.digest()


def test_names_in_a_wheel(world: World) -> None:
    """Names with spaces, any letters, and of 200 characters and more ship as they are."""
    files = {
        "odd/with a space.txt": b"1",
        "odd/ünïcödé-计划-🚀.txt": b"2",
        f"odd/{'d' * 100}/{'f' * 200}.txt": b"3",
    }
    wheel = a_wheel("odd", "1.0", files=files)
    with FakeIndex([wheel]) as index:
        world.lock(pylock_of([wheel], index.files_url))
        unpacked = world.folder / "tree"

        run = world.build("--unpacked", unpacked)

    assert (run.code, run.errors) == (0, "")
    assert files.items() <= world.members().items()
    assert {name: (unpacked / name).read_bytes() for name in files} == files


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param(f"odd/{'x' * 256}", "has 256 bytes", id="ascii"),
        pytest.param(f"odd/{'计' * 86}.py", "has 261 bytes", id="bytes, not letters"),
        pytest.param(f"{'d' * 256}/x.py", "has 256 bytes", id="folder"),
        pytest.param("/".join(["d" * 200] * 21), "its path has 4,220 bytes", id="path"),
    ],
)
def test_names_that_linux_does_not_have(world: World, name: str, problem: str) -> None:
    """A file that Lambda could not unpack is refused, unless it is left out."""
    wheel = a_wheel("odd", "1.0", files={name: b"1", "odd/__init__.py": b""})
    with FakeIndex([wheel]) as index:
        world.lock(pylock_of([wheel], index.files_url))

        run = world.build()
        without = world.build("--exclude", f"{name[:8]}*")

    assert (run.code, run.output) == (7, "")
    assert run.errors.startswith("error: a file of odd has a name that is too long for Linux\n")
    assert problem in run.errors
    assert (without.code, without.errors) == (0, "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("place", ["include-local", "find-links", "lock", "provided-by"])
def test_pipe_in_place_of_a_wheel(world: World, place: str) -> None:
    """A pipe that nobody writes to is refused: it would be waited for without end."""
    pipe = world.folder / SMALL.filename
    os.mkfifo(pipe)
    options: list[str | Path] = []
    if place == "find-links":
        line = f"--no-index\n--find-links {world.folder}\nsmall==1.0 --hash=sha256:"
        world.lock(f"{line}{SMALL.sha256}\n", "requirements.txt")
        options += ["--lock", "requirements.txt"]
    elif place == "lock":
        world.lock(pylock_of([SMALL], "").replace('url = "', f'path = "{world.folder}/'))
    else:
        options += [f"--{place}", pipe]

    process = world.start(*options)
    output, errors = process.communicate(timeout=60)

    assert process.returncode not in {0, 1}
    assert output == ""
    reason = "not a regular file" if place != "find-links" else "cannot find small"
    assert reason in errors


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_pipe_beside_a_wheel(world: World) -> None:
    """A pipe in a folder of wheels does not hide the wheels."""
    folder = world.folder / "wheels"
    SMALL.write_to(folder)
    os.mkfifo(folder / "small-1.0-2-py3-none-any.whl")
    line = f"--no-index\n--find-links {folder}\nsmall==1.0 --hash=sha256:"
    world.lock(f"{line}{SMALL.sha256}\n", "requirements.txt")

    process = world.start("--lock", "requirements.txt")
    _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")


def test_no_home(world: World) -> None:
    """A user without HOME needs none, where the cache is named."""
    del world.environ["HOME"]
    world.environ["NETRC"] = os.devnull

    run = world.build()

    assert (run.code, run.errors) == (0, "")
