"""Colours for people: on a terminal that shows them, and nowhere else.

The texts themselves have none, so that they are the same in a log, a file and a message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["coloured", "shows_colours"]

_RESET = "\x1b[0m"
_BOLD, _RED, _YELLOW, _GREEN, _CYAN = "\x1b[1m", "\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[36m"

_STYLES = {
    "Built": f"{_BOLD}{_GREEN}",
    "Left out": _BOLD,
    "Excluded": _BOLD,
    "Layer files": _BOLD,
    "Largest folders": _BOLD,
    "Could be smaller": f"{_BOLD}{_CYAN}",
    "error:": _RED,
    "warning:": _YELLOW,
    "why:": _BOLD,
    "hint:": _CYAN,
}
"""How the words are shown that begin a line."""

_WORDS = re.compile(rf"^(?:{'|'.join(_STYLES)})", re.MULTILINE)


def shows_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether to write colours to a stream.

    `NO_COLOR` (https://no-color.org) and then `FORCE_COLOR` (https://force-color.org) decide
    if they are not empty, as in Python itself.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


def coloured(text: str) -> str:
    """Colour the words with which the parts of a report or a message begin."""
    return _WORDS.sub(lambda match: f"{_STYLES[match[0]]}{match[0]}{_RESET}", text)
