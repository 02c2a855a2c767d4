"""Lines as in `.gitignore` → `Pattern`: what they mean for the paths of an archive.

Each line is one value, so that the caller decides which of several wins and knows
which one it was. The language is that of gitignore(5), read by pathspec: a pattern
without a slash inside matches at every depth, one with a slash from the root, `**` any
folders, a slash at the end folders alone; what matches a folder matches all below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pattern", "parse_pattern"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line."""

    text: str
    """As it was written."""

    negated: bool
    """Whether it began with `!`."""

    _match: Callable[[str], object] = field(repr=False, compare=False)

    def matches(self, path: str) -> bool:
        """Tell whether a file is meant; its path has slashes and none in front."""
        return self._match(path) is not None


def parse_pattern(text: str) -> Pattern:
    """Read one line.

    Raises:
        ValueError: It can match nothing; the message reads on after the line's name.
    """
    from pathspec import GitIgnoreSpec  # costs as much as all else that reads settings

    negated = text.startswith("!")
    body = text.removeprefix("!")
    if not body.strip(" /"):
        raise ValueError("matches nothing")
    if text.startswith("#"):
        raise ValueError(f"is a comment: write `\\{text}` for a name that begins with `#`")
    if "\0" in body or "\n" in body:
        raise ValueError("contains a character that no path can have")
    if ".." in body.split("/") or "." in body.split("/"):
        raise ValueError("contains a part `.` or `..`, which no path in the archive has")
    try:
        patterns = tuple(GitIgnoreSpec.from_lines([text]).patterns)
    except (ValueError, re.error) as error:  # the latter of ranges such as `[z-a]`
        raise ValueError("is not a valid .gitignore pattern") from error
    if len(patterns) != 1 or patterns[0].include is None:
        raise ValueError("matches nothing")
    return Pattern(text, negated, patterns[0].match_file)
