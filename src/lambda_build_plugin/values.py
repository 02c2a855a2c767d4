"""Dataclasses that cost nothing until they are used.

`dataclasses.dataclass` compiles half a dozen methods for each class, which takes half a
millisecond. A build loads more than a hundred of such classes and makes instances of a few, so
that most of the time at the start would be spent for nothing. The decorator here is the same
one, applied when the first instance is made.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from collections.abc import Callable

    # So that type checkers know what the decorator does.
    from dataclasses import dataclass
else:

    def dataclass(**options: bool) -> Callable[[type], type]:
        """Make a class a dataclass when it is used; `slots` would need another class then."""
        if "slots" in options:
            raise TypeError("a class gets its slots when it is made")

        def prepare(cls: type) -> type:
            def new(each: type, *_: object, **__: object) -> object:
                if cls in _PENDING:
                    _complete(cls)
                return object.__new__(each)

            _PENDING[cls] = options
            cls.__new__ = new
            return cls

        return prepare


_PENDING: dict[type, dict[str, bool]] = {}
"""The options of classes of which there is no instance yet."""

_LOCK = threading.Lock()


def _complete(cls: type) -> None:
    """Make a class, and the classes it inherits from, what the decorator promises."""
    with _LOCK:
        for each in reversed(cls.__mro__):
            if each in _PENDING:
                dataclasses.dataclass(**_PENDING[each])(each)
                # Only now, because other threads wait for the lock until it is done.
                del _PENDING[each]
