"""Sets of characters in patterns of `.gitignore` → regular expressions, as git reads them.

The rules are those of git's wildmatch with slashes as separators: `[!a-z]` and `[^a-z]` mean all
others, a backslash takes the next character as it is, `]` in the first place is a character,
`[:alpha:]` and its like are classes of ASCII (IEEE 1003.1, 9.3.5), and no set matches a slash.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["without_sets"]

_PRIVATE = 0xE000
"""Where the characters begin that have no meaning (the private use area of Unicode)."""

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r ",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}

_ITEM = re.compile(
    r"\[:(?P<kind>[a-z]*):\]|(?P<first>\\.|[^\\])(?:-(?P<last>\\.|[^\\\]]))?", re.DOTALL
)
"""One item of a set: a class, a range, or a character."""


def without_sets(pattern: str) -> tuple[str, Mapping[str, str]]:
    """Put a character that has no meaning in the place of each set.

    Returns:
        The pattern, and the regular expression that each of these characters stands for.

    Raises:
        ValueError: A set is never closed, or contains an unknown class: it matches nothing.
    """
    if "[" not in pattern:
        return pattern, {}
    unused = (char for number in count(_PRIVATE) if (char := chr(number)) not in pattern)
    sets: dict[str, str] = {}
    return "".join(_parts(pattern, unused, sets)), sets


def _parts(pattern: str, unused: Iterator[str], sets: dict[str, str]) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            yield pattern[at : at + 2]
            at += 2
            continue
        if char == "[":
            name = next(unused)
            at, sets[name] = _set_at(pattern, at)
            yield name
        else:
            yield char
            at += 1


def _set_at(pattern: str, start: int) -> tuple[int, str]:
    """Translate the set at a place, and give its end."""
    at = start + 1
    negation = "^" if pattern[at : at + 1] in {"!", "^"} else ""
    at += len(negation)
    items: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not items):
        found = _ITEM.match(pattern, at)
        if found is None:
            break
        items.append(_translated(found))
        at = found.end()
    if pattern[at : at + 1] != "]":
        raise ValueError("contains a `[` that is never closed")
    return at + 1, f"(?!/)[{negation}{''.join(items)}]"


def _translated(item: re.Match[str]) -> str:
    kind = item["kind"]
    if kind is not None:
        if kind not in _CLASSES:
            raise ValueError(f"contains the unknown class `[:{kind}:]`")
        return _CLASSES[kind]
    ends = (item["first"], item["last"])
    return "-".join(re.escape(end[-1]) for end in ends if end is not None)
