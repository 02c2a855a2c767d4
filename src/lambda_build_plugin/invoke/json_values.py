"""Events and answers as JSON values (RFC 8259), which Python's `json` reads more loosely."""

from __future__ import annotations

import json
from typing import NoReturn

__all__ = ["json_problem", "read_json"]


def read_json(content: bytes) -> object:
    """Read a JSON text.

    Raises:
        ValueError: It is not JSON. `NaN` and `Infinity` are not, though Python writes them.
        RecursionError: It is nested too deeply.
    """
    return json.loads(content, parse_constant=_refuse)


def json_problem(content: bytes) -> str:
    """Say why a text is not JSON; empty if it is."""
    try:
        read_json(content)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"`{name}` is not a JSON value")
