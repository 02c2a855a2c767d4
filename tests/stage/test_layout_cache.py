"""The layout of a wheel is found out once, and is the same each time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel

from lambda_build_plugin.stage.layout import lay_out
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.wheel.file import InvalidWheelError, Wheel

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
    return sorted((folder / "cache" / "layouts").glob("*.json"))


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


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"form": "0"}, id="another form"),
        pytest.param({"rows": "[]"}, id="other rows"),
        pytest.param({"dist-info": "other-1.0.dist-info"}, id="other metadata folder"),
        pytest.param({"sha256": ""}, id="no digest"),
    ],
)
def test_damaged_note(wheel: Wheel, cache: Cache, tmp_path: Path, change: dict[str, str]) -> None:
    """A note that is not what was written is made anew."""
    first = Layouts(cache).of(wheel)
    (note,) = noted(tmp_path)
    sound = note.read_text()
    note.write_text(json.dumps({**json.loads(sound), **change}))

    assert Layouts(cache).of(wheel) == first
    assert note.read_text() == sound


def test_cache_that_cannot_be_written(wheel: Wheel, tmp_path: Path) -> None:
    """Without a cache the wheel is laid out each time."""
    (tmp_path / "cache").write_text("")

    assert Layouts(Cache(tmp_path / "cache")).of(wheel) == lay_out(wheel)
