"""Wheels that are examined while others arrive: with faults, and with faults on the way."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from fakes.elf import an_elf
from fakes.index import CutShort, FakeIndex, Replace, Slow, Status
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

from lambda_build_plugin.pipeline.examining import examining
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.wheel import integrity
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.wheels import FakeWheel

_ELF = an_elf("x86_64", needed=["libc.so.6"])
SOUND = a_wheel("sound", files={"sound/__init__.py": b"x = 1\n" * 500, "sound/_code.so": _ELF})
OTHER = a_wheel("other", files={"other/__init__.py": b"y = 2\n"})
LARGE = a_wheel("large", files={"large/data.bin": bytes(range(256)) * 8000})


def damaged() -> FakeWheel:
    """Make a wheel whose RECORD is wrong about one member."""
    content = b"z = 3\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"else").digest()).rstrip(b"=").decode()
    record = f"damaged/__init__.py,sha256={digest},{len(content)}\ndamaged-1.0.dist-info/RECORD,,\n"
    return a_wheel("damaged", files={"damaged/__init__.py": content}, record=record.encode())


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project without a lock."""
    return World(tmp_path)


def a_wheel_in(folder: Path, fake: FakeWheel) -> Wheel:
    """Write a wheel and describe it."""
    return Wheel.of(fake.write_to(folder), sha256=fake.sha256, source="wheel")


# --- what is noted ------------------------------------------------------------------------


@pytest.mark.parametrize("received", [None, SOUND.content, SOUND.content[:300], OTHER.content])
def test_notes(tmp_path: Path, received: bytes | None) -> None:
    """A sound wheel gets the same notes, whatever was received of it before."""
    wheel, cache = a_wheel_in(tmp_path, SOUND), Cache(tmp_path / "cache")
    with examining(cache) as examination:
        if received is not None:
            examination.receive(wheel.filename)(received)
        examination.take(wheel)

    assert integrity.is_noted(wheel, cache)
    assert Layouts(cache).is_noted(wheel)
    assert [*integrity.check([wheel], cache)[wheel.path]] == ["sound/_code.so"]


def test_damaged_wheel_gets_no_notes(tmp_path: Path) -> None:
    """The stage that needs it says what is wrong."""
    fake = damaged()
    wheel, cache = a_wheel_in(tmp_path, fake), Cache(tmp_path / "cache")
    with examining(cache) as examination:
        examination.receive(wheel.filename)(fake.content)
        examination.take(wheel)

    assert not integrity.is_noted(wheel, cache)
    assert not Layouts(cache).is_noted(wheel)


def test_changed_wheel_gets_no_notes(tmp_path: Path) -> None:
    """What was received is no proof for a file that is another one by now."""
    wheel, cache = a_wheel_in(tmp_path, SOUND), Cache(tmp_path / "cache")
    altered = SOUND.content.replace(b"sound/_code.so", b"sound/_evil.so")
    wheel.path.write_bytes(altered)
    with examining(cache) as examination:
        examination.receive(wheel.filename)(SOUND.content)
        examination.take(wheel)

    assert not integrity.is_noted(wheel, cache)
    assert not Layouts(cache).is_noted(wheel)


def test_last_attempt_counts(tmp_path: Path) -> None:
    """What an attempt received that broke off is forgotten."""
    wheel, cache = a_wheel_in(tmp_path, SOUND), Cache(tmp_path / "cache")
    with examining(cache) as examination:
        examination.receive(wheel.filename)(OTHER.content)
        examination.receive(wheel.filename)(SOUND.content)
        examination.take(wheel)

    assert integrity.is_noted(wheel, cache)


# --- seen by the user ---------------------------------------------------------------------


def test_download_that_breaks_off(world: World) -> None:
    """A wheel of which the first half came twice is whole in the zip."""
    with FakeIndex([SOUND, LARGE]) as index:
        world.lock(pylock_of([SOUND, LARGE], index.files_url))
        index.fail(LARGE.filename, CutShort(len(LARGE.content) // 2))
        run = world.build()

    assert (run.code, run.errors) == (0, "")
    assert world.members()["large/data.bin"] == bytes(range(256)) * 8000
    assert world.parts() == []


def test_altered_wheel(world: World) -> None:
    """Other bytes under the right name end the build, however sound they are."""
    altered = a_wheel("sound", files={"sound/__init__.py": b"import evil\n"})
    with FakeIndex([SOUND, OTHER]) as index:
        world.lock(pylock_of([SOUND, OTHER], index.files_url))
        index.fail(SOUND.filename, Replace(altered.content))
        run = world.build()

    assert run.errors.splitlines()[:4] == [
        f"error: {SOUND.filename} is not what was locked",
        f"  why: from {index.file_url(SOUND.filename)}",
        f"       locked:   sha256:{SOUND.sha256}",
        f"       received: sha256:{altered.sha256}",
    ]
    assert (world.left_behind(), world.parts()) == ([], [])
    assert [path.name for path in world.cache.glob("files/sha256/*/*")] == [OTHER.sha256]


def test_damaged_wheel_is_told_of(world: World) -> None:
    """A wheel that is locked but damaged is refused each time, with the same words."""
    fake = damaged()
    with FakeIndex([fake, SOUND]) as index:
        world.lock(pylock_of([fake, SOUND], index.files_url))
        cold, warm = world.build(), world.build()

    assert cold.code == warm.code != 0
    assert cold.errors == warm.errors
    assert cold.errors.startswith(f"error: {fake.filename} is damaged\n")
    assert (world.left_behind(), world.parts()) == ([], [])


def test_failed_download_while_others_are_examined(world: World) -> None:
    """One file that cannot be fetched ends the build with its own message."""
    with FakeIndex([SOUND, LARGE, OTHER]) as index:
        world.lock(pylock_of([SOUND, LARGE, OTHER], index.files_url))
        index.fail(OTHER.filename, Status(403))
        index.fail(LARGE.filename, Slow(0.2))
        run = world.build()

    assert run.errors.startswith("error: ")
    assert index.file_url(OTHER.filename) in run.errors
    assert "403" in run.errors
    assert (world.left_behind(), world.parts()) == ([], [])


def test_same_zip_with_and_without_network(world: World) -> None:
    """What was examined on the way ships as what was in the cache."""
    with FakeIndex([SOUND, LARGE, OTHER]) as index:
        world.lock(pylock_of([SOUND, LARGE, OTHER], index.files_url))
        assert world.build().code == 0
        cold = world.digest()
        for kind in ("checked", "layouts", "plans", "planned", "choices"):
            for note in world.cache.glob(f"{kind}/*.note"):
                note.unlink()
        assert world.build().code == 0

    assert world.digest() == cold


def test_memory(tmp_path: Path) -> None:
    """However many wheels arrive at the same time, hardly anything of them is in memory."""
    library = an_elf("x86_64") + bytes(range(256)) * 40_000
    fakes = [a_wheel(f"demo{number}", files={"demo.so": library}) for number in range(8)]
    pieces = [memoryview(fake.content) for fake in fakes]
    cache = Cache(tmp_path / "cache")
    wheels = [a_wheel_in(tmp_path, fake) for fake in fakes]
    tracemalloc.start()
    try:
        with examining(cache) as examination:
            hear = [examination.receive(wheel.filename) for wheel in wheels]
            for start in range(0, max(map(len, pieces)), 1 << 16):
                for each, piece in zip(hear, pieces, strict=True):
                    each(bytes(piece[start : start + (1 << 16)]))
            for wheel in wheels:
                examination.take(wheel)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert all(integrity.is_noted(wheel, cache) for wheel in wheels)
    assert peak < 30_000_000
