"""A value is an ordinary dataclass, from its first instance on."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from lambda_build_plugin.values import dataclass

THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with a default, and with one that is made for each instance."""

    x: int
    y: int = 0
    tags: dict[str, str] = dataclasses.field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Named(Point):
    """A value that inherits fields."""

    name: str


def test_it_is_a_frozen_dataclass() -> None:
    """Fields, defaults, equality, hash, text and `replace` are those of a dataclass."""
    point = Point(x=1)

    assert point == Point(x=1, y=0, tags={"a": "b"}) != Point(x=2)
    assert hash(point) == hash(Point(x=1))
    assert repr(point) == "Point(x=1, y=0)"
    assert dataclasses.replace(point, y=5) == Point(x=1, y=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]


def test_fields_are_inherited() -> None:
    """Also if the class that has them has no instance of its own yet."""
    assert Named(x=1, name="a") == Named(x=1, y=0, name="a")


def test_threads_may_make_the_first_instances() -> None:
    """All of them get a complete class."""

    @dataclass(frozen=True, kw_only=True)
    class Fresh:
        number: int

    barrier = Barrier(THREADS)

    def make(number: int) -> Fresh:
        barrier.wait()
        return Fresh(number=number)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(make, range(THREADS)))

    assert found == [Fresh(number=number) for number in range(THREADS)]


def test_slots_are_refused() -> None:
    """They would need a new class, which is too late then."""
    with pytest.raises(TypeError, match="slots"):

        @dataclass(frozen=True, slots=True)
        class _Slotted:
            number: int
