"""A value is an ordinary dataclass, from its first instance on."""

from __future__ import annotations

import dataclasses
import pickle
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


def test_each_instance_has_its_own_default() -> None:
    """A factory is called for each instance that names no value."""
    assert Point(x=1).tags is not Point(x=1).tags
    assert Point(x=1).tags == {}


def test_it_can_be_sent_to_another_process() -> None:
    """Workers send values to the process that started them."""
    sent = pickle.dumps(Named(x=1, name="a"))

    assert pickle.loads(sent) == Named(x=1, name="a")  # noqa: S301 - made here


@pytest.mark.parametrize(
    ("arguments", "values", "message"),
    [
        ((), {"x": 1, "z": 2}, "unexpected arguments: z"),
        ((), {"y": 2}, "misses a required argument: x"),
        ((1,), {}, "takes 0 positional arguments"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[int, ...], values: dict[str, int], message: str
) -> None:
    """The error names what is wrong."""
    with pytest.raises(TypeError, match=message):
        Point(*arguments, **values)  # type: ignore[arg-type]


@dataclass()
class Counter:
    """A value that can change, with positional arguments and methods of its own."""

    start: int
    step: int = 1
    total: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        """Complete the fields."""
        self.total = self.start

    def __repr__(self) -> str:
        """Show the sum alone."""
        return str(self.total)


def test_fields_may_be_given_by_position() -> None:
    """Unless the decorator says `kw_only`; and none of them twice."""
    assert Counter(1, 2) == Counter(start=1, step=2) != Counter(1)
    with pytest.raises(TypeError, match="multiple values for: start"):
        Counter(1, start=2)  # type: ignore[misc]
    with pytest.raises(TypeError, match="misses a required argument: start"):
        Counter()  # type: ignore[call-arg]


def test_a_class_keeps_the_methods_that_it_writes() -> None:
    """They win over those of the decorator, and `__post_init__` is called."""
    assert repr(Counter(7)) == "7"


def test_what_can_change_cannot_be_hashed() -> None:
    """Only a frozen value has a hash, and only it refuses to be changed."""
    counter = Counter(1)
    counter.step = 5

    assert counter == Counter(1, 5)
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
    point = Point(x=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x


@dataclass(frozen=True)
class Odd:  # noqa: PLW1641 - the decorator makes it
    """A value that uses what few others do."""

    each: int
    self: int
    seen: list[int] = dataclasses.field(default_factory=list, hash=False)
    later: int = dataclasses.field(init=False)

    def __post_init__(self: Odd) -> None:
        """Set what has neither an argument nor a default."""
        object.__setattr__(self, "later", self.each + 1)

    def __eq__(self: Odd, other: object) -> bool:
        """Compare one field alone."""
        return isinstance(other, Odd) and self.each == other.each


def test_fields_may_have_any_name() -> None:
    """Also the names that the methods use for themselves."""
    odd = Odd(each=1, self=2)

    assert (odd.each, odd.self, odd.later) == (1, 2, 2)


def test_hash_is_the_one_that_dataclasses_make() -> None:
    """`field(hash=False)` takes a field out, and a class with its own `__eq__` has a hash too."""
    real = dataclasses.make_dataclass("Real", ["each", "self", "later"], frozen=True)

    assert hash(Odd(1, 2, [3])) == hash(real(1, 2, 2))


def test_values_of_two_classes_differ() -> None:
    """Equal fields are not enough."""
    assert Named(x=1, name="a") != Point(x=1)


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


@pytest.mark.parametrize("values", [{"x": 1}, {"x": 1, "scale": 2}], ids=["left out", "given"])
@pytest.mark.parametrize("kind", ["here", "inherited"])
def test_init_only_variables_are_refused(values: dict[str, int], kind: str) -> None:
    """Values that only `__post_init__` would get are refused, before one of them is lost."""

    @dataclass(frozen=True, kw_only=True)
    class Scaled:
        x: int
        scale: dataclasses.InitVar[int] = 1

        def __post_init__(self, scale: int = 3) -> None:
            object.__setattr__(self, "x", self.x * scale)

    @dataclass(frozen=True, kw_only=True)
    class Shifted(Scaled):
        by: int = 0

    made = Scaled if kind == "here" else Shifted
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Scaled cannot have an InitVar \(scale\)"):
            made(**values)
