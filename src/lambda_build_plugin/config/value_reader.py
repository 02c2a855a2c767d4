"""Typed, checked values from several sources of settings, the strongest source first."""

from __future__ import annotations

import enum
import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from packaging.utils import canonicalize_name, is_normalized_name

from lambda_build_plugin.config.options import BY_KEY, KEYS
from lambda_build_plugin.config.patterns import is_ignored_line, parse_pattern
from lambda_build_plugin.config.spelling import nearest, wrong_value
from lambda_build_plugin.errors import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.sources import SettingsSource

__all__ = ["ValueReader"]

_E = TypeVar("_E", bound=enum.Enum)

_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
"""How booleans are written in the environment."""


class ValueReader:
    """Reads checked values from sources of settings, and collects the mistakes in them."""

    def __init__(self, layers: Sequence[SettingsSource]) -> None:
        self.problems: list[str] = []
        self._layers = [replace(layer, values=self._accepted(layer)) for layer in layers]

    def _accepted(self, layer: SettingsSource) -> Mapping[str, object]:
        """Keep the keys that are allowed in this source, and note the others as mistakes."""
        accepted: dict[str, object] = {}
        for key, value in layer.values.items():
            if problem := _misplaced(key, layer):
                self.problems.append(f"{layer.spell(key)}: {problem}")
            else:
                accepted[key] = value
        return accepted

    def problem(self, key: str, text: str) -> None:
        """Note a mistake in the value of a key."""
        self.problems.append(f"{self.origin(key)}: {text}")

    def origin(self, key: str) -> str:
        """Spell a key as the source that sets it does."""
        layer = self._first(key)
        return layer.spell(key) if layer else key

    def text(self, key: str) -> str | None:
        """Get a string that is not empty."""
        value = self._value(key)
        if value is None or (isinstance(value, str) and value):
            return value
        self.problem(key, "must be a string" if value != "" else "must not be empty")
        return None

    def choice(self, key: str, kind: type[_E]) -> _E | None:
        """Get a member of an enumeration."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return kind(text)
        except ValueError:
            self.problem(key, wrong_value(text, [member.value for member in kind]))
            return None

    def flag(self, key: str) -> bool:
        """Get a boolean; false if it is not set."""
        layer, value = self._first(key), self._value(key)
        word = _WORDS.get(value.lower()) if isinstance(value, str) else None
        in_file = layer is not None and layer.is_table
        if word is not None and not in_file:
            return word
        if value is None or isinstance(value, bool):
            return bool(value)
        self.problem(
            key, "must be true or false" + (", without quotes" if word is not None else "")
        )
        return False

    def number(self, key: str) -> int | None:
        """Get a whole number of at most nine digits."""
        value = self._value(key)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            return int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.problem(key, "must be a whole number")
        return None

    def choices(self, key: str, kind: type[_E]) -> tuple[_E, ...]:
        """Get members of an enumeration, each once, in its order."""
        wanted = [part for text in self.texts(key) for part in re.split(r"[,\s]+", text) if part]
        members = {member.value: member for member in kind}
        for text in wanted:
            if text not in members:
                close = nearest(text, members)
                advice = (
                    f"; did you mean `{close}`?" if close else f": use any of {quoted(members)}"
                )
                self.problem(key, f"contains `{text}`{advice}")
        return tuple(member for value, member in members.items() if value in wanted)

    def patterns(self, key: str) -> tuple[str, ...]:
        """Get .gitignore patterns, without comments and blank lines.

        In the environment, commas or line breaks separate them.
        """
        texts = tuple(text for text in self.texts(key) if not is_ignored_line(text))
        for text in texts:
            try:
                parse_pattern(text)
            except ValueError as error:
                self.problem(key, f"`{text}` {error}")
        return texts

    def texts(self, key: str) -> tuple[str, ...]:
        """Get strings; in the environment, commas or line breaks separate them."""
        value = self._value(key)
        if isinstance(value, str):
            return tuple(part for part in re.split(r"\s*[,\n]\s*", value) if part)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)) or not all(isinstance(i, str) for i in value):
            self.problem(key, "must be a list of strings")
            return ()
        return tuple(value)

    def names(self, key: str) -> frozenset[NormalizedName]:
        """Get normalized names; in the environment, commas or spaces separate them."""
        value = self._value(key)
        items = re.split(r"[,\s]+", value) if isinstance(value, str) else value
        if items is None:
            return frozenset()
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
            self.problem(key, "must be a list of names")
            return frozenset()
        for item in items:
            if item and not is_normalized_name(canonicalize_name(item)):
                self.problem(
                    key, f"contains `{item}`, which is not a name: versions come from the lock"
                )
        return frozenset(canonicalize_name(item) for item in items if item)

    def table(self, key: str) -> Mapping[str, object]:
        """Get a table; empty if it is not set."""
        value = self._value(key)
        if value is None or isinstance(value, dict):
            return value or {}
        self.problem(key, "must be a table")
        return {}

    def path(self, key: str) -> Path | None:
        """Get a path, relative to the folder of its source."""
        layer, text = self._first(key), self.text(key)
        if text and "\0" in text:
            self.problem(key, "contains a NUL byte")
            return None
        return layer.base / text if layer and text else None

    def paths(self, key: str) -> tuple[Path, ...]:
        """Get paths in order, without repetitions; the environment has one per line."""
        layer = self._first(key)
        items = self._lines(key, "must be a list of paths")
        return tuple(layer.base / item for item in items) if layer else ()

    def slashed_paths(self, key: str) -> tuple[tuple[Path, bool], ...]:
        """Get paths like `paths`, and for each whether it was written with a slash at its end."""
        layer = self._first(key)
        items = self._lines(key, "must be a list of paths")
        return tuple((layer.base / item, _has_slash(item)) for item in items) if layer else ()

    def _lines(self, key: str, expected: str) -> tuple[str, ...]:
        value = self._value(key)
        items = value.splitlines() if isinstance(value, str) else value
        if items is None:
            return ()
        if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
            self.problem(key, expected)
            return ()
        if any("\0" in item for item in items):
            self.problem(key, "contains a NUL byte")
            return ()
        return tuple(dict.fromkeys(item for item in items if item))

    def places(self, key: str, *, names: Collection[str]) -> tuple[str | Path, ...]:
        """Get known names, and paths for all other items; the environment has one per line."""
        layer = self._first(key)
        return tuple(
            item if item in names or layer is None else layer.base / item
            for item in self._lines(key, "must be a list of names and paths")
        )

    def is_folder(self, key: str) -> bool:
        """Tell whether a path ends with a slash."""
        value = self._value(key)
        return isinstance(value, str) and _has_slash(value)

    def _first(self, key: str) -> SettingsSource | None:
        return next((layer for layer in self._layers if layer.values.get(key) is not None), None)

    def _value(self, key: str) -> object:
        layer = self._first(key)
        return layer.values[key] if layer else None


def _has_slash(path: str) -> bool:
    return path.endswith(("/", "\\"))


def _misplaced(key: str, source: SettingsSource) -> str:
    """Say why a key cannot be set in this source; empty if it can."""
    option = BY_KEY.get(key)
    if option is None:
        return _unknown(key)
    instead = f"use the flag `--{option.names[0]}`" if option.names else "use a table in a file"
    if source.is_table and not option.in_table:
        return f"cannot be set in a table: {instead}"
    if source.is_environment and not option.in_environment:
        return f"cannot be set in the environment: {instead}"
    return ""


def _unknown(key: str) -> str:
    # 0.5 is as near as `arch` comes to `architecture`.
    close = nearest(key, KEYS, cutoff=0.5)
    return "is not a setting" + (f"; did you mean `{close}`?" if close else "")
