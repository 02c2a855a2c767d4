"""The layout of a wheel is found out once, and is the same each time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel

from lambda_build_plugin.stage.layout import lay_out
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.wheel.file import ChangedArchiveError, InvalidWheelError, Wheel

if TYPE_CHECKING:
    from pathlib import Path

FAKE = a_wheel(
    "demo",
    "1.0",
    files={
        "demo/a.py": "a = 1\n",
        "demo/run": "#!/bin/sh\n",
        "demo-1.0.data/purelib/b.py": "b = 1\n",
        "demo-1.0.data/data/etc/c": "c",
        "demo/ü\t.txt": "odd",
    },
)


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    """Give a wheel with a file of each kind."""
    return Wheel.of(FAKE.write_to(tmp_path), sha256=FAKE.sha256, source="wheel")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Give an empty cache."""
    return Cache(tmp_path / "cache")


def noted(folder: Path) -> list[Path]:
    """List the notes of a cache."""
    return sorted((folder / "cache" / "layouts").glob("*.note"))


def test_second_layout_is_the_first(wheel: Wheel, cache: Cache) -> None:
    """What is remembered is what was found, for the place where the wheel lies now."""
    assert Layouts(cache).of(wheel) == lay_out(wheel)

    moved = replace(wheel, path=wheel.path.rename(wheel.path.with_suffix(".moved")))
    assert Layouts(cache).of(moved) == lay_out(moved)


def test_wheel_is_not_opened_again(wheel: Wheel, cache: Cache) -> None:
    """The second time nothing of the wheel is read: its digest vouches for it."""
    first = Layouts(cache).of(wheel)
    wheel.path.unlink()

    assert Layouts(cache).of(wheel) == first


@pytest.mark.parametrize("prefix", ["", "python/"])
def test_tree_is_the_same(wheel: Wheel, cache: Cache, prefix: str) -> None:
    """A tree of remembered layouts is that of new ones, whatever it lies under."""
    Layouts(cache).of(wheel)

    tree = stage([wheel], prefix=prefix, layout_of=Layouts(cache).of)

    assert tree == stage([wheel], prefix=prefix)


def test_same_bytes_under_another_name(wheel: Wheel, cache: Cache) -> None:
    """What a file is called is part of what is checked."""
    Layouts(cache).of(wheel)
    other = Wheel.of(
        wheel.path,
        sha256=wheel.sha256,
        source="wheel",
        filename="other-1.0-py3-none-any.whl",
    )

    with pytest.raises(InvalidWheelError):
        Layouts(cache).of(other)


def test_own_wheel_is_not_noted(wheel: Wheel, cache: Cache, tmp_path: Path) -> None:
    """A wheel that was just built is another one the next time."""
    Layouts(cache).of(replace(wheel, source="local"))

    assert noted(tmp_path) == []


def test_note_of_another_form(wheel: Wheel, cache: Cache, tmp_path: Path) -> None:
    """A note of another version of this module is made anew."""
    first = Layouts(cache).of(wheel)
    (note,) = noted(tmp_path)
    key = f"{wheel.sha256}\n{wheel.filename}"
    kept = cache.note("layouts", key)
    assert kept is not None
    sound = note.read_bytes()
    cache.keep_note("layouts", key, {**kept, "form": "0"})

    assert Layouts(cache).of(wheel) == first
    assert note.read_bytes() == sound


def test_forged_note(wheel: Wheel, cache: Cache, tmp_path: Path) -> None:
    """A note of somebody else, who cannot sign as the user, says nothing of where files lie."""
    first = Layouts(cache).of(wheel)
    key = f"{wheel.sha256}\n{wheel.filename}"
    kept = cache.note("layouts", key)
    assert kept is not None
    rows = kept["rows"].replace("demo/a.py", "../../escaped.py", 1)
    Cache(tmp_path / "cache", key=b"another's").keep_note("layouts", key, {**kept, "rows": rows})

    assert Layouts(cache).of(wheel) == first
    assert cache.note("layouts", key) == kept


def test_wheel_that_has_changed(wheel: Wheel, cache: Cache, tmp_path: Path) -> None:
    """What was read of a file that is another one by now is not noted."""
    wheel.path.write_bytes(a_wheel("demo", "1.0").content)

    with pytest.raises(ChangedArchiveError):
        Layouts(cache).of(wheel)

    assert noted(tmp_path) == []


def test_cache_that_cannot_be_written(wheel: Wheel, tmp_path: Path) -> None:
    """Without a cache the wheel is laid out each time."""
    (tmp_path / "cache").write_text("")

    assert Layouts(Cache(tmp_path / "cache")).of(wheel) == lay_out(wheel)
