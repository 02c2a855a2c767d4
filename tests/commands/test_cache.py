"""`lambda-build cache`: where it is, how large it is, and less of it, while builds run or not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from fakes.git import FakeRepository
from fakes.index import Drip, FakeIndex
from fakes.projects import quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.projects import Run

ONE = a_wheel("one", "1.0", files={"one.py": "number = 1\n" * 100})
TWO = a_wheel("two", "1.0", files={"two.py": "number = 2\n" * 5000})
DAY = 24 * 60 * 60


@pytest.fixture(scope="module")
def index() -> Iterator[FakeIndex]:
    """Serve two wheels."""
    with FakeIndex([ONE, TWO]) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, index: FakeIndex) -> World:
    """Give a project that was built once, so that its cache is full."""
    world = World(tmp_path)
    world.lock(pylock_of([ONE, TWO], index.files_url))
    assert world.build().code == 0
    return world


def cache(world: World, *arguments: str) -> Run:
    """Run the command on the cache of a world."""
    return run_lambda_build("cache", *arguments, cwd=world.folder, environ=world.environ)


def place_of(world: World, sha256: str) -> Path:
    """Say where the cache keeps a file."""
    return world.cache / "files" / "sha256" / sha256[:2] / sha256


def age(path: Path, *, days: float) -> None:
    """Let a file look as if it had not been used for some days."""
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def contents(folder: Path) -> list[Path]:
    """List the files of a cache, without the two that are not in a folder."""
    return [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]


# --- where it is, and its size --------------------------------------------------------


def test_dir_is_that_of_a_build(world: World) -> None:
    """`dir` prints the folder that builds use, from the environment or the option."""
    assert cache(world, "dir").output == f"{world.cache}\n"
    assert cache(world, "dir", "--cache-dir", "other").output == f"{world.folder / 'other'}\n"


def test_size_counts_what_is_there(world: World) -> None:
    """`size` says how much there is, by kind; as JSON in bytes."""
    files = contents(world.cache)

    measured = json.loads(cache(world, "size", "--json").output)

    assert measured["files"] == len(files)
    assert measured["bytes"] == sum(path.stat().st_size for path in files)
    assert measured["kinds"]["files"] == {
        "files": 2,
        "bytes": len(ONE.content) + len(TWO.content),
    }
    assert cache(world, "size").output.splitlines()[0].split()[0] == "total"


def test_cache_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    """All actions work before the first build, and make nothing."""
    environ = quiet_environment(tmp_path / "home")

    runs = [
        run_lambda_build("cache", action, cwd=tmp_path, environ=environ)
        for action in ("dir", "size", "prune", "clear")
    ]

    assert [run.code for run in runs] == [0, 0, 0, 0]
    assert not (tmp_path / "home" / "cache").exists()


# --- pruning --------------------------------------------------------------------------


def test_prune_removes_what_was_not_used_for_long(world: World) -> None:
    """`--older-than` goes by the last use, and a later build fetches what it needs again."""
    age(place_of(world, ONE.sha256), days=31)
    sound = world.digest()

    run = cache(world, "prune", "--older-than", "30d")

    assert run.code == 0
    assert run.output.startswith("Removed 1 file,")
    assert not place_of(world, ONE.sha256).exists()
    assert place_of(world, TWO.sha256).exists()
    assert world.build().code == 0
    assert world.digest() == sound


@pytest.mark.parametrize("options", [(), ("--scripts",)], ids=["planned", "read"])
def test_a_build_notes_what_it_uses(world: World, options: tuple[str, ...]) -> None:
    """What a build has used is not old, whether it was hashed or copied by a plan."""
    for path in contents(world.cache):
        age(path, days=40)
    assert world.build("--offline", *options).code == 0

    cache(world, "prune")

    assert place_of(world, ONE.sha256).exists()
    assert world.build("--offline", *options).code == 0


def test_prune_without_options_keeps_thirty_days(world: World) -> None:
    """The default is said by --help."""
    age(place_of(world, ONE.sha256), days=29)
    age(place_of(world, TWO.sha256), days=31)

    cache(world, "prune")

    assert place_of(world, ONE.sha256).exists()
    assert not place_of(world, TWO.sha256).exists()


def test_max_size_removes_the_longest_unused_first(world: World) -> None:
    """The most recently used files stay, as many as fit."""
    age(place_of(world, ONE.sha256), days=2)
    total = sum(path.stat().st_size for path in contents(world.cache))

    run = cache(world, "prune", "--max-size", f"{total - 1}B")

    assert run.code == 0
    assert not place_of(world, ONE.sha256).exists()
    assert place_of(world, TWO.sha256).exists()


def test_limits_work_together(world: World) -> None:
    """What is old goes first, and then what is too much."""
    age(place_of(world, ONE.sha256), days=2)

    run = cache(world, "prune", "--older-than", "1d", "--max-size", "0B")

    assert f"Remaining in {world.cache}: 0 files" in run.output
    assert contents(world.cache) == []


def test_prune_removes_what_a_killed_build_has_left(world: World, index: FakeIndex) -> None:
    """An unfinished download and temporary folders go at once, not after a day."""
    cache(world, "clear")
    index.fail(ONE.filename, Drip(0.1))
    build = world.start()
    while not world.parts():
        assert build.poll() is None
    build.kill()
    build.communicate()
    assert os.listdir(world.temporary)  # noqa: PTH208 - names are enough

    run = cache(world, "prune")

    assert run.code == 0
    assert world.parts() == []
    assert os.listdir(world.temporary) == []  # noqa: PTH208


def test_prune_leaves_a_running_build_alone(world: World, index: FakeIndex) -> None:
    """Its download, its temporary folder and what it has used lately stay; clear is refused."""
    index.fail(ONE.filename, Drip(0.003))
    place_of(world, ONE.sha256).unlink()
    build = world.start()
    while not world.parts():
        assert build.poll() is None
    pruned, cleared = cache(world, "prune", "--max-size", "0"), cache(world, "clear")
    assert build.poll() is None
    output, errors = build.communicate(timeout=60)

    assert (build.returncode, errors) == (0, ""), output
    assert "Kept although it was to go" in pruned.output
    assert place_of(world, TWO.sha256).exists()
    assert cleared.code == 5
    assert "a build that runs uses it" in cleared.errors


def test_disk_without_locks(world: World) -> None:
    """Where nobody can tell whether a build runs, what was used in the last day stays."""
    (world.cache / "in-use.lock").unlink()
    (world.cache / "in-use.lock").mkdir()  # it cannot be locked
    age(place_of(world, ONE.sha256), days=2)

    run = cache(world, "prune", "--older-than", "0d", "--max-size", "0B")

    assert not place_of(world, ONE.sha256).exists()
    assert place_of(world, TWO.sha256).exists()
    assert "the file system has no locks that would tell" in run.output
    assert world.build().code == 0


def test_commits_are_pruned_as_a_whole(world: World) -> None:
    """The repository of a commit is one thing; its use counts, not the age of its files."""
    repository = FakeRepository(world.folder / "repository")
    locked = repository.commit({"pyproject.toml": '[project]\nname = "three"\nversion = "1"\n'})
    world.lock(
        'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "three"\n'
        f'vcs = {{ type = "git", url = "{repository.path.as_uri()}", commit-id = "{locked}" }}\n'
    )
    world.build()  # whatever becomes of it, the commit is fetched
    (kept,) = (world.cache / "git").iterdir()
    age(kept / "HEAD", days=90)

    cache(world, "prune")
    assert kept.is_dir()

    age(kept, days=90)
    cache(world, "prune")
    assert not kept.exists()


# --- clearing -------------------------------------------------------------------------


def test_clear_removes_everything(world: World) -> None:
    """Nothing but the lock and the marker is left."""
    run = cache(world, "clear")

    assert run.code == 0
    assert {path.name for path in world.cache.iterdir()} <= {"in-use.lock", "swept"}


@pytest.mark.parametrize("action", ["prune", "clear"])
def test_quiet_removes_in_silence(world: World, action: str) -> None:
    """A job that makes the cache smaller need not say so; what is asked for is still printed."""
    run = cache(world, action, "-q")

    assert (run.code, run.output, run.errors) == (0, "", "")
    assert cache(world, "dir", "-q").output == f"{world.cache}\n"
    assert cache(world, "size", "-q").output.startswith("total")


def test_only_files_of_the_cache_are_removed(world: World) -> None:
    """A folder that was named by mistake loses nothing: other files stay, deep down too."""
    others = [
        world.cache / "thesis.txt",
        world.cache / "files" / "photo.jpg",
        world.cache / "files" / "sha256" / "00" / "notes",
        world.cache / "documents" / ("a" * 64) / "letter.txt",
        world.cache / "layouts" / "mine.note",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        age(path, days=400)

    cache(world, "prune", "--max-size", "0B")
    cache(world, "clear")

    assert all(path.read_text() == "mine" for path in others)


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("prune", "--older-than", "30"), "`30` is not a time such as `12h`, `30d` or `2w`"),
        (("prune", "--older-than", "-1d"), "expected one argument"),
        (("prune", "--older-than", "1m"), "`1m` is not a time"),
        (("prune", "--max-size", "2"), "`2` is not a size such as `500MB` or `2GB`"),
        (("prune", "--max-size", "2 gigs"), "`2 gigs` is not a size"),
        (("clear", "--max-size", "2GB"), "--max-size: belongs to `lambda-build cache prune`"),
        (("prune", "--json"), "--json: belongs to `lambda-build cache size`"),
        (("shrink",), "invalid choice: 'shrink'"),
        ((), "the following arguments are required"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """A number without a unit, or an option of another action, removes nothing."""
    environ = quiet_environment(tmp_path / "home")

    run = run_lambda_build("cache", *arguments, cwd=tmp_path, environ=environ)

    assert run.code == 2
    assert told in run.errors


@pytest.mark.parametrize("action", ["size", "prune", "clear"])
def test_file_is_no_cache(tmp_path: Path, action: str) -> None:
    """Somebody who names a file by mistake is not told that it is empty."""
    (tmp_path / "notes").write_text("mine")

    run = run_lambda_build(
        "cache",
        *(action, "--cache-dir", "notes"),
        cwd=tmp_path,
        environ=quiet_environment(tmp_path / "home"),
    )

    assert (run.code, "is not a folder" in run.errors) == (2, True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)
@pytest.mark.parametrize("action", ["prune", "clear"])
def test_cache_of_another_user_is_refused(world: World, action: str) -> None:
    """Nobody cleans up for somebody else by mistake."""
    os.chown(world.cache, 12345, 12345)
    before = contents(world.cache)

    run = cache(world, action)

    assert run.code == 5
    assert "it belongs to another user" in run.errors
    assert contents(world.cache) == before


# --- many at once ---------------------------------------------------------------------

_MANY = """
import hashlib, os, pathlib, sys
from lambda_build_plugin.commands.caching import prune
from lambda_build_plugin import build, load_settings

project, folder, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
cache = pathlib.Path(os.environ["LAMBDA_BUILD_CACHE_DIR"])
for number in range(rounds):
    prune(cache, older_than=0, max_size=0)
    output = folder / f"{number}.zip"
    build(load_settings(project, runtime="python3.13", output=str(output)))
    print(hashlib.sha256(output.read_bytes()).hexdigest())
"""


def test_many_processes_write_and_prune_one_cache(world: World) -> None:
    """Processes that build and prune as fast as they can: each build is right."""
    cache(world, "clear")
    expected = hashlib.sha256(world.output.read_bytes()).hexdigest()
    environ = {**world.environ, "LAMBDA_BUILD_CONTENTS": "dependencies"}
    running = []
    for number in range(6):
        folder = world.folder / f"process-{number}"
        folder.mkdir()
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", _MANY, str(world.project), str(folder), "5"],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    results = [process.communicate(timeout=120) for process in running]

    assert [errors for _, errors in results] == [""] * 6
    assert {line for output, _ in results for line in output.split()} == {expected}
    assert all(len(output.split()) == 5 for output, _ in results)
    assert world.parts() == []
