"""Read a large JSON document value by value, so that it is never in memory as objects.

Objects take many times the space of their text: a megabyte of `[[],[],…` becomes 30, and
an index page that is a few hundred kilobytes on the wire would fill the memory of a small
machine. Only one value at a time is decoded here, and its length is limited.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Items", "read_members"]

_WINDOW = 1 << 20
"""Characters that one value may have; a real file of an index page has about 500."""

_MOST_ELEMENTS = 250_000
"""Items that one list may have, and members an object at the top."""

_BLANKS = re.compile(r"[ \t\n\r]*")  # RFC 8259, 2

# `int` takes quadratic time for endless digits in older Pythons.
_decode = json.JSONDecoder(parse_int=float).raw_decode


class Items:
    """The items of a list in a document, decoded one by one while they are iterated."""

    def __init__(self, values: Iterator[Any]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return self._values


def read_members(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each member of the object in a document.

    A value that is a list comes as `Items`, which can be iterated until the next member is
    asked for.

    Raises:
        ValueError: The text is not an object in JSON (RFC 8259), or a value is too long.
        RecursionError: A value is nested too deeply.
    """
    scanner = _Scanner(text)
    scanner.expect("{")
    for _ in scanner.separated("}"):
        name = scanner.value()
        scanner.expect(":")
        if scanner.peek() != "[":
            yield str(name), scanner.value()
            continue
        scanner.expect("[")
        items = (scanner.value() for _ in scanner.separated("]"))
        yield str(name), Items(items)
        deque(items, maxlen=0)
    if scanner.peek():
        raise ValueError("there is something after its end")


class _Scanner:
    """Goes through a document, and decodes values in a window that moves along."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._start = 0
        self._window = text[:_WINDOW]

    def peek(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        match = _BLANKS.match(self._text, self._position)
        self._position = match.end() if match else self._position
        return self._text[self._position : self._position + 1]

    def expect(self, characters: str) -> str:
        """Consume the next character, which must be one of these."""
        found = self.peek()
        if not found or found not in characters:
            raise ValueError(f"one of `{characters}` is missing at {self._position}")
        self._position += 1
        return found

    def separated(self, end: str) -> Iterator[None]:
        """Yield before each element of a list or an object, and consume what is between them."""
        if self.peek() == end:
            self.expect(end)
            return
        for _ in range(_MOST_ELEMENTS):
            yield
            if self.expect(f",{end}") == end:
                return
        raise ValueError(f"there are more than {_MOST_ELEMENTS} elements")

    def value(self) -> Any:
        """Decode the next value."""
        self.peek()
        try:
            return self._decoded()
        except ValueError:
            if self._start == self._position:
                raise
        # It may only be cut off by the end of the window.
        self._start = self._position
        self._window = self._text[self._start : self._start + _WINDOW]
        return self._decoded()

    def _decoded(self) -> Any:
        value, end = _decode(self._window, self._position - self._start)
        if end == len(self._window) and self._start + end < len(self._text):
            raise ValueError("the window may end in the middle of a number")
        self._position = self._start + end
        return value
