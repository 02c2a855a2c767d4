"""Patterns as in a `.gitignore`.

Each line becomes a value of its own, so the caller can decide which of several patterns
wins, and can say which one it was. The syntax is that of gitignore(5), and pathspec reads
it: a pattern without a slash in it matches at every depth, one with a slash matches from
the root; `**` matches any folders, and a slash at the end matches folders only. A pattern
that matches a folder also matches everything below it.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.config.pattern_sets import without_sets
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pathspec import GitIgnoreSpec

__all__ = ["Pattern", "is_ignored_line", "make_spec", "parse_pattern"]

_STAR = "[^/]*"
"""How pathspec translates `*` to a regular expression."""

_MATCHES_SLASH = re.compile(r"\(\?:")
"""Part of such an expression that could match a slash: what `**` becomes."""

_ONLY_STARS = re.compile(r"(^!?|/)\*{3,}(?=/|$)")
"""Three or more stars between slashes, which mean the same as two."""

_MOST_SLOW_PARTS = 3
"""With more of them in one pattern, matching a single path could take minutes."""


@dataclass(frozen=True)
class Pattern:
    """One line of a list of patterns."""

    text: str
    """As it was written."""

    negated: bool
    """Whether it began with `!`."""

    _match: Callable[[str], object] = field(repr=False, compare=False)

    def matches(self, path: str) -> bool:
        """Tell whether the pattern matches the path of a file, relative and with slashes."""
        return self._match(path) is not None


def is_ignored_line(text: str) -> bool:
    """Tell whether a line is blank or a comment, so that `.gitignore` would ignore it."""
    return not text.strip() or text.startswith("#")


def parse_pattern(text: str) -> Pattern:
    """Read one line.

    Raises:
        ValueError: It can match nothing; the message continues a sentence about the line.
    """
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
    if body.count("**") > _MOST_SLOW_PARTS:
        raise ValueError(f"contains `**` more than {_MOST_SLOW_PARTS} times")
    try:
        with warnings.catch_warnings():
            # `re` tells programmers that sets such as `[[a]` might mean something else one day.
            warnings.simplefilter("ignore", FutureWarning)
            patterns = tuple(make_spec([text]).patterns)
            expression = patterns[0].regex.pattern if patterns and patterns[0].regex else ""
            faster = _without_backtracking(expression)
            search = re.compile(faster).search
    except (ValueError, re.error) as error:  # the second one for ranges such as `[z-a]`
        raise ValueError("is not a valid .gitignore pattern") from error
    if len(patterns) != 1 or patterns[0].include is None:
        raise ValueError("matches nothing")
    matches = patterns[0].match_file if faster == expression else search
    return Pattern(text, negated, matches)


def make_spec(lines: Iterable[str]) -> GitIgnoreSpec:
    """Read patterns as git does, of which the last that matches a path decides.

    pathspec lets sets such as `[!a]` match a slash, and knows neither the classes nor the escapes
    in them. So sets are translated here, and pathspec sees one character in the place of each.

    Raises:
        ValueError: A line is not a pattern.
    """
    from pathspec import GitIgnoreSpec  # costs as much as all else that reads settings

    lines = list(lines)
    if not any("[" in line or "***" in line or line.startswith(" ") for line in lines):
        return GitIgnoreSpec.from_lines(lines)
    patterns = []
    for line in lines:
        # Versions of pathspec before 1.0 ignore a space at the beginning.
        escaped = f"\\{line}" if line.startswith(" ") and line.strip() else line
        text, sets = without_sets(_ONLY_STARS.sub(r"\1**", escaped))
        for pattern in GitIgnoreSpec.from_lines([text]).patterns:
            if sets and pattern.regex is not None:
                expression = "".join(sets.get(char, char) for char in pattern.regex.pattern)
                patterns.append(type(pattern)(_compiled(expression), pattern.include))
            else:
                patterns.append(pattern)
    return GitIgnoreSpec(patterns)


def _compiled(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:  # of a range from the end to the beginning
        raise ValueError(str(error)) from error


def _without_backtracking(expression: str) -> str:
    """Rewrite the regular expression of a pattern so that `*` takes linear time.

    Otherwise, `*a*a*a*b` would try every way to divide a name among its stars. Between two
    stars, the first place that fits is as good as any later one, because the second star
    matches whatever follows. A lookahead with a reference to it is never tried again; the
    atomic groups of Python 3.11 would do the same. Parts that could match a slash, `**`,
    are left as they are.
    """
    first, *parts = expression.split(_STAR)
    if not parts:
        return expression
    *between, last = parts
    pieces = [
        f"{_STAR}{part}"
        if _MATCHES_SLASH.search(part)
        else f"(?=(?P<star{number}>[^/]*?{part}))(?P=star{number})"
        for number, part in enumerate(between)
    ]
    return "".join((first, *pieces, _STAR, last))
