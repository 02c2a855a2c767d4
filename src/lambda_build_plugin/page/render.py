"""Views → one HTML file that needs nothing else.

What the views say is data in it, never markup: JSON in a block that the browser does not run, and
that the script of the page shows as text. The page may run its own script and style alone, by
their digests (Content Security Policy, https://www.w3.org/TR/CSP3/), and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.page.views import View

__all__ = ["render"]

_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(views: Sequence[View]) -> str:
    """Write the page; the same views give the same text, which is ASCII but for the frame."""
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        policy="; ".join(
            (
                "default-src 'none'",
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        style=style,
        script=script,
        data=_as_data(views),
    )


def _as_data(views: Sequence[View]) -> str:
    """Write JSON that cannot end its block: everything beyond ASCII is escaped anyway."""
    text = json.dumps(views, separators=(",", ":"), sort_keys=True, ensure_ascii=True)
    return text.translate(_ESCAPES)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
