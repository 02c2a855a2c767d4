"""Foreign data becomes typed values at the door: TOML and JSON tables with their place.

Every getter knows where it stands (`uv.lock: package[3].wheels[0]`), so that a
mistake in a file of ten thousand lines is found at once. Behind this door
nothing takes a `dict[str, Any]`.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    Stamp: TypeAlias = tuple[int | str, ...]
    """What two versions of a file differ in."""

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Stamp",
    "Table",
    "TableError",
    "is_nested_deeply",
    "parse_toml",
    "read_toml",
    "stamp_of",
]

_T = TypeVar("_T")

_DEEP = 20
"""Parentheses inside each other; real markers have two or three."""

_KEPT = 128
"""Parsed files; a workspace may have as many members."""

_RECENT = 2_000_000_000  # nanoseconds; FAT knows times to two seconds, others more exactly

_NAMES = {str: "a string", bool: "true or false", int: "a whole number", list: "a list"}


class TableError(ValueError):
    """A value is missing or of another kind than its format says."""

    def __init__(self, at: str, problem: str) -> None:
        super().__init__(f"{at}: {problem}")
        self.at = at
        self.problem = problem


def is_nested_deeply(text: str) -> bool:
    """Whether a marker nests parentheses deeper than anybody writes them.

    It only explains why packaging refused a text: some versions run out of stack,
    others have a limit of their own, and our message is the same for both.
    """
    depth = deepest = 0
    for character in re.sub(r"'[^']*'|\"[^\"]*\"", "", text):
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest > _DEEP


def read_toml(path: Path) -> Table:
    """Read a TOML file into a table that knows its name.

    A file that is the same as when it was last read is not parsed again: every member of a
    workspace asks what is in the pyproject.toml of its root.

    Raises:
        TableError: The file is not UTF-8 or not TOML.
        OSError: It cannot be read.
    """
    return _read_toml(path, stamp_of(path))


@lru_cache(maxsize=_KEPT)
def _read_toml(path: Path, _stamp: Stamp) -> Table:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TableError(path.name, f"is not UTF-8 text ({error.reason})") from error
    return parse_toml(text, at=path.name)


def stamp_of(path: Path) -> Stamp:
    """Get what another version of a file would differ in, for what is kept while it is the same.

    Nobody can set the time of the last change back (`ctime`), as `touch -r` and `cp -p` do with
    the other one. A file that was written just now may be written again before its file system
    counts one more moment, so that its content has to tell.

    Raises:
        OSError: The file cannot be read.
    """
    status = path.stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    is_recent = time.time_ns() - max(times) < _RECENT
    content = hashlib.sha256(path.read_bytes()).hexdigest() if is_recent else ""
    return *times, status.st_size, status.st_ino, status.st_dev, content


def parse_toml(text: str, *, at: str) -> Table:
    """Read the text of a TOML file.

    Raises:
        TableError: It is not TOML.
    """
    try:
        return Table(tomllib.loads(text), at=at)
    except (ValueError, RecursionError) as error:
        # Beside its own error, the parser lets through what Python says of a number
        # with thousands of digits and of brackets nested by the hundred.
        raise TableError(at, f"is not TOML: {error}") from error


class Table:
    """A mapping from a file, with the place it came from."""

    __slots__ = ("_data", "at")

    def __init__(self, data: Mapping[str, Any], *, at: str) -> None:
        self._data = data
        self.at = at

    def __repr__(self) -> str:
        return f"Table({self._data!r}, at={self.at!r})"

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def place(self, key: str) -> str:
        """Name the place of a key, as a person would look for it."""
        separator = "." if ":" in self.at else ": "
        return f"{self.at}{separator}{key}"

    def text(self, key: str) -> str | None:
        """Get a string, or None where the key is absent."""
        return self._get(key, str)

    def required_text(self, key: str) -> str:
        """Get a string that the format requires."""
        value = self.text(key)
        if value is None:
            raise TableError(self.at, f"the required key `{key}` is missing")
        return value

    def flag(self, key: str) -> bool | None:
        """Get a boolean, or None where the key is absent."""
        return self._get(key, bool)

    def number(self, key: str) -> int | None:
        """Get a whole number, or None where the key is absent."""
        value = self._get(key, int)
        if isinstance(value, bool):
            raise TableError(self.place(key), "must be a whole number, not true or false")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Get a list of strings; empty where the key is absent."""
        value = self._get(key, list) or []
        if not all(isinstance(item, str) for item in value):
            raise TableError(self.place(key), "must be a list of strings")
        self._check_nul(key, *value)
        return tuple(value)

    def table(self, key: str) -> Table:
        """Get a table; empty where the key is absent."""
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise TableError(self.place(key), "must be a table")
        return Table(value, at=self.place(key))

    def tables(self, key: str) -> tuple[Table, ...]:
        """Get a list of tables; empty where the key is absent."""
        value = self._get(key, list) or []
        place = self.place(key)
        if not all(isinstance(item, dict) for item in value):
            raise TableError(place, "must be a list of tables")
        return tuple(Table(item, at=f"{place}[{index}]") for index, item in enumerate(value))

    def raw(self, key: str) -> object:
        """Get a value whose kind the caller has yet to tell."""
        return self._data.get(key)

    def whole(self) -> Mapping[str, object]:
        """Get everything, to be written elsewhere."""
        return self._data

    def _get(self, key: str, kind: type[_T]) -> _T | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, kind):
            raise TableError(self.place(key), f"must be {_NAMES[kind]}")
        if isinstance(value, str) and "\0" in value:
            self._check_nul(key, value)
        return value

    def _check_nul(self, key: str, *values: str) -> None:
        """Refuse what no name, path or address may hold, before the system does."""
        if any("\0" in value for value in values):
            raise TableError(self.place(key), "contains a NUL character")
