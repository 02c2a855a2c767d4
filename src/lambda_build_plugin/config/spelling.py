"""Suggest the name that somebody probably meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["nearest", "wrong_value"]

_SYNONYMS = {
    # What Docker, uname and the platform tags of wheels call the two architectures.
    **dict.fromkeys(("aarch64", "arm", "arm64v8", "armv8", "graviton"), "arm64"),
    **dict.fromkeys(("amd64", "x64", "x86", "intel", "x8664"), "x86_64"),
}
"""Other names of a value, in lower case and without dashes, underscores and dots."""

_PYTHON = re.compile(r"(?:c?p(?:y(?:thon)?)?)?[-@ ]?(3)[._]?(\d{1,2})(?:\.\d+)?", re.IGNORECASE)
"""A version of Python: `3.13`, `py313`, `python313`, `cp313`, `3.13.1`."""


def nearest(text: str, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like a text; None if no name is like it.

    Args:
        text: What somebody wrote.
        known: The names to choose from.
        cutoff: How alike the two must be, from 0 to 1 (see `difflib`).
    """
    from difflib import get_close_matches

    synonym = _SYNONYMS.get(re.sub(r"[-_.]", "", text.lower()))
    if python := _PYTHON.fullmatch(text):
        synonym = "python{}.{}".format(*python.groups())
    if synonym in known:
        return synonym
    if python or sum(name.startswith(text) for name in known) > 1:
        return None  # another version is not a misspelt one, and `python3` may be any
    close = get_close_matches(text.lower(), known, n=1, cutoff=cutoff)
    return close[0] if close else None


def wrong_value(text: str, known: Collection[str]) -> str:
    """Say that a text is not one of a few names, and which one may be meant."""
    close = nearest(text, known)
    if close is not None:
        return f"is `{text}`; did you mean `{close}`?"
    return f"is `{text}`: use one of {', '.join(f'`{name}`' for name in known)}"
