"""Caches that others write to, and files that change while a build runs."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

from lambda_build_plugin.commands.api import load_settings
from lambda_build_plugin.pipeline.build import build_all
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.note_key import read_key
from lambda_build_plugin.wheel.file import ChangedArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.wheels import FakeWheel

ONE = a_wheel("one", "1.0", files={"one.py": "number = 1\n" * 100, "one.txt": "1"})
TWO = a_wheel("two", "1.0", files={"two.py": "number = 2\n" * 100, "two.txt": "2"})
CHANGED = a_wheel("one", "1.0", files={"one.py": "number = 7\n" * 100, "one.txt": "7"})

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Serve two wheels."""
    with FakeIndex([ONE, TWO]) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, index: FakeIndex) -> World:
    """Give a project that locks both."""
    world = World(tmp_path)
    world.lock(pylock_of([ONE, TWO], index.files_url))
    return world


def cache_of(world: World, *, key: bytes = b"") -> Cache:
    """Open the cache of a world as its user, or as somebody with another key."""
    state = world.folder / "home" / "state" / "lambda-build"
    return Cache(world.cache, key=key or read_key(state, cache=world.cache))


# --- forged notes -------------------------------------------------------------------------


def forged_layouts(world: World, fake: FakeWheel) -> dict[str, str]:
    """Take the layout of a wheel, and give its module the place of another one."""
    note = cache_of(world).note("layouts", f"{fake.sha256}\n{fake.filename}")
    assert note is not None
    rows = json.loads(note["rows"])
    rows[0][0] = "../../escaped.py"
    return {**note, "rows": json.dumps(rows)}


def test_forged_layout(world: World) -> None:
    """Whoever writes a note about a wheel decides nothing about what ships."""
    assert world.build().code == 0
    sound = world.digest()
    key = f"{ONE.sha256}\n{ONE.filename}"
    forged = forged_layouts(world, ONE)
    cache_of(world, key=b"somebody else's").keep_note("layouts", key, forged)
    shutil.rmtree(world.cache / "plans")  # they would make layouts unnecessary

    assert world.build().code == 0
    assert world.digest() == sound

    shutil.rmtree(world.cache / "plans")
    cache_of(world).keep_note("layouts", key, forged)  # signed by the user it would count
    world.build()
    assert world.digest() != sound


def test_forged_names(world: World, index: FakeIndex) -> None:
    """Which file has a digest is not believed either: the index is asked again."""
    world.require(ONE, index=index.url)
    (world.project / "pylock.toml").unlink()
    assert world.build().code == 0
    notes = sorted((world.cache / "file-names").iterdir())
    assert len(notes) == 1
    notes[0].write_bytes(bytes(32) + json.dumps({f"sha256:{ONE.sha256}": TWO.filename}).encode())
    asked = len(index.requests)

    assert world.build().code == 0

    assert "one.py" in world.members()
    assert len(index.requests) > asked


def test_cache_of_somebody_with_another_key(world: World) -> None:
    """Files of a cache that another user has filled are used; its notes are made anew."""
    theirs = {**world.environ, "XDG_STATE_HOME": str(world.folder / "their-state")}
    mine, world.environ = world.environ, theirs
    assert world.build().code == 0
    sound, notes = world.digest(), {path: path.read_bytes() for path in world.cache.rglob("*.note")}
    world.environ = mine

    assert world.build("--offline").code == 0

    assert world.digest() == sound
    assert {path.parent.name for path in notes} == {"checked", "layouts", "plans"}
    assert all(path.read_bytes() != content for path, content in notes.items())


# --- of another user ----------------------------------------------------------------------


@as_root
def test_cache_of_another_user(world: World, index: FakeIndex) -> None:
    """Nothing is written to it; its files are used, and that is told."""
    assert world.build().code == 0
    sound, asked = world.digest(), len(index.requests)
    os.chown(world.cache, 12345, 12345)
    before = {path: path.stat().st_mtime_ns for path in world.cache.rglob("*")}

    run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert f"warning: the cache at {world.cache} belongs to another user" in run.output
    assert (world.digest(), len(index.requests)) == (sound, asked)
    assert {path: path.stat().st_mtime_ns for path in world.cache.rglob("*")} == before
    assert world.left_behind() == ["out/artifact.zip"]


# --- files that change --------------------------------------------------------------------


class Meddler(Reporter):
    """Somebody who writes another file in the place of one when a stage begins."""

    def __init__(self, path: Path, content: bytes, stage: str) -> None:
        self.path, self.content, self.at = path, content, stage

    def stage(self, name: str) -> None:
        """Write it, once."""
        if name == self.at:
            self.at = ""
            self.path.write_bytes(self.content)


@pytest.mark.parametrize("stage", ["stage", "archive"])
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("kind", ["cached", "include-local"])
def test_wheel_that_changes(world: World, stage: str, kind: str, *, warm: bool) -> None:
    """A wheel that is not what was hashed any more never ships, whenever it changes."""
    local = ONE.write_to(world.folder)
    if kind == "include-local":
        world.lock(pylock_of([TWO], world.project.as_uri() + "/"))
        TWO.write_to(world.project)
    settings = load_settings(
        world.project,
        environ=world.environ,
        include_local=[str(local)] if kind == "include-local" else None,
    )
    if warm or kind == "cached":
        build_all([settings])
        world.output.unlink()
    if not warm:
        for note in world.cache.rglob("*.note"):
            note.unlink()
    path = local if kind == "include-local" else cached(world, ONE)
    before = path.read_bytes()

    meddler = Meddler(path, CHANGED.content, stage)
    if warm and kind == "cached":  # copied by a plan, which notices it, and fetched again
        build_all([settings], meddler)
        assert world.members()["one.py"] == b"number = 1\n" * 100
        assert path.read_bytes() == before
        return
    with pytest.raises(ChangedArchiveError) as caught:
        build_all([settings], meddler)

    assert caught.value.what == f"{ONE.filename} has changed during the build"
    assert list(world.output.parent.iterdir()) == []

    # And nothing that was read meanwhile is believed by the next build.
    path.write_bytes(before)
    build_all([settings])
    assert world.members()["one.py"] == b"number = 1\n" * 100


def cached(world: World, fake: FakeWheel) -> Path:
    """Say where a wheel lies in the cache."""
    return world.cache / "files" / "sha256" / fake.sha256[:2] / fake.sha256
