"""Dataclasses that cost little until they are used, and little when they are.

`dataclasses.dataclass` compiles half a dozen methods for each class, which takes half a
millisecond. A build loads more than a hundred of such classes and makes a few instances of every
second one, so that most of the time at the start would be spent for nothing. The decorator here
waits for the first instance of a class, and then gives it methods that go through the list of
its fields, which `dataclasses` has collected, instead of compiled ones.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    # So that type checkers know what the decorator does.
    from dataclasses import dataclass
    from typing import Any, NoReturn
else:

    def dataclass(*, frozen: bool = False, kw_only: bool = False) -> Callable[[type], type]:
        """Make a class a dataclass when it is used; it knows no other options, and no `InitVar`."""

        def prepare(cls: type) -> type:
            def new(each: type, /, *_: object, **__: object) -> object:
                if cls in _PENDING:
                    _complete(cls)
                return object.__new__(each)

            _PENDING[cls] = {"frozen": frozen, "kw_only": kw_only}
            cls.__new__ = new
            return cls

        return prepare


_PENDING: dict[type, Mapping[str, bool]] = {}
"""The options of classes of which there is no instance yet."""

_LOCK = threading.Lock()


def _complete(cls: type) -> None:
    """Make a class, and the classes it inherits from, what the decorator promises."""
    with _LOCK:
        for each in reversed(cls.__mro__):
            if each in _PENDING:
                _make_dataclass(each, **_PENDING[each])
                # Only now, because other threads wait for the lock until it is done.
                del _PENDING[each]


def _make_dataclass(cls: type, *, frozen: bool, kw_only: bool) -> None:
    """Let `dataclasses` collect the fields of a class, and add what it would compile."""
    dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    fields = dataclasses.fields(cls)
    _refuse_init_only(cls)
    compared = [field.name for field in fields if field.compare]
    hashed = [field.name for field in fields if _is_hashed(field)]
    methods: dict[str, Any] = {
        "__init__": _init_for(cls, fields),
        "__repr__": _repr_for([field.name for field in fields if field.repr]),
        "__eq__": _eq_for(compared),
        "__hash__": _hash_for(hashed) if frozen else None,
    }
    if frozen:
        methods |= {"__setattr__": _refuse_change, "__delattr__": _refuse_change}
    for name, method in methods.items():
        # What the class writes itself stays. With its own `__eq__`, Python has set its `__hash__`
        # to None.
        if vars(cls).get(name) is None:
            setattr(cls, name, method)


def _refuse_init_only(cls: type) -> None:
    """Refuse a class with an `InitVar`, which its `__post_init__` would never get.

    Raises:
        TypeError: It names the fields, at every attempt to make an instance.
    """
    kind = dataclasses._FIELD_INITVAR  # type: ignore[attr-defined] # noqa: SLF001 - `fields` omits them
    everything = vars(cls)["__dataclass_fields__"].values()
    if names := [each.name for each in everything if each._field_type is kind]:  # noqa: SLF001
        raise TypeError(
            f"{cls.__name__} cannot have an InitVar ({', '.join(names)}): "
            "use `dataclasses.dataclass`, or a class method that makes the instance"
        )


def _is_hashed(field: dataclasses.Field[Any]) -> bool:
    return field.compare if field.hash is None else field.hash


def _init_for(cls: type, fields: Sequence[dataclasses.Field[Any]]) -> Callable[..., None]:
    """Make the method that takes the arguments, or the defaults, as values of the fields."""
    expected = {field.name for field in fields if field.init}
    positional = [field.name for field in fields if field.init and not field.kw_only]
    has_more = hasattr(cls, "__post_init__")
    put = object.__setattr__  # a frozen instance refuses its own

    def init(self: Any, /, *arguments: object, **values: object) -> None:
        if arguments:
            values = _named(cls, positional, arguments, values)
        if not values.keys() <= expected:
            unknown = ", ".join(sorted(values.keys() - expected))
            raise TypeError(f"{cls.__name__} got unexpected arguments: {unknown}")
        for field in fields:
            name = field.name
            if name in values:
                put(self, name, values[name])
            elif field.init or _has_default(field):  # others are set by `__post_init__`
                put(self, name, _default(cls, field))
        if has_more:
            self.__post_init__()

    return init


def _named(
    cls: type, names: Sequence[str], arguments: Sequence[object], values: Mapping[str, object]
) -> dict[str, object]:
    """Add positional arguments to those that were given by name."""
    if len(arguments) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} positional arguments at most")
    found = dict(zip(names, arguments, strict=False))
    if not found.keys().isdisjoint(values):
        twice = ", ".join(sorted(found.keys() & values.keys()))
        raise TypeError(f"{cls.__name__} got multiple values for: {twice}")
    return {**found, **values}


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _default(cls: type, field: dataclasses.Field[Any]) -> object:
    """Get the default of a field that was not given."""
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise TypeError(f"{cls.__name__} misses a required argument: {field.name}")


def _repr_for(names: Sequence[str]) -> Callable[[object], str]:
    def represent(self: object) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({values})"

    return represent


def _eq_for(names: Sequence[str]) -> Callable[[object, object], Any]:
    def is_equal(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in names)

    return is_equal


def _hash_for(names: Sequence[str]) -> Callable[[object], int]:
    def make_hash(self: object) -> int:
        return hash(tuple([getattr(self, name) for name in names]))

    return make_hash


def _refuse_change(self: object, name: str, *_: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot change the field {name!r} of a {type(self)}")
