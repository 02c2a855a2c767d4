"""Read the links of an HTML index page (PEP 503) with `html.parser`.

A page comes from a server that may be broken or hostile, so that reading it must take
time in proportion to its size, whatever it contains. Two things ensure that:

* `HTMLParser.close` is never called. It looks for the end of each unfinished comment or
  tag again from the next one on, which is quadratic (CVE-2025-6069). What is unfinished
  at the end of a page is no link anyway, neither for a browser.
* The parser looks at an unfinished tag from its start whenever more text arrives, so each
  piece is at least as long as what is still unfinished.

Nor may it take much more memory than the page: a tag with a million attributes would, and
is skipped.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["HtmlLinks"]

_PIECE = 1 << 16
"""Characters to parse before the links among them are handed on."""

_LONGEST_TAG = 1 << 18
"""Characters of a tag; each of its attributes becomes several objects."""

# `int` takes quadratic time for such numbers, or refuses them. None is a character.
_ENDLESS_REFERENCE = re.compile(r"&#[0-9]{10,}")
_REPLACEMENT_CHARACTER = "\ufffd"


class HtmlLinks:
    """Parse a page piece by piece, as far as its links are asked for."""

    def __init__(self, text: str) -> None:
        """Parse the first piece of a page, which contains its head."""
        self._text = _ENDLESS_REFERENCE.sub(_REPLACEMENT_CHARACTER, text) if "&#" in text else text
        self._position = self._unread_from = 0
        self._parser = _Parser()
        self._feed()

    @property
    def base(self) -> str | None:
        """The address in `<base href>`, if there is one in the first piece."""
        return self._parser.base

    @property
    def repository_version(self) -> str | None:
        """The API version that the page states (PEP 629)."""
        return self._parser.repository_version

    def may_contain(self, text: str) -> bool:
        """Search what was not handed on yet for a text, without parsing it."""
        return self._text.find(text, self._unread_from) >= 0

    def __iter__(self) -> Iterator[Mapping[str, str]]:
        """Yield the attributes of each `<a>`, once; names are in lower case."""
        while True:
            anchors, self._parser.anchors = self._parser.anchors, []
            yield from anchors
            if self._position >= len(self._text):
                return
            self._feed()

    def _feed(self) -> None:
        self._unread_from = self._position - len(self._parser.rawdata)
        end = self._position + max(_PIECE, len(self._parser.rawdata))
        self._parser.feed(self._text[self._position : end])
        self._position = end
        if len(self._parser.rawdata) > _LONGEST_TAG and not self._parser.rawdata.startswith("<!"):
            self._parser.rawdata = ""  # what follows is read as text, up to the next tag


class _Parser(HTMLParser):
    """Collect the tags that matter on an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: list[dict[str, str]] = []
        self.base: str | None = None
        self.repository_version: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"a", "base", "meta"}:
            return
        # The first of several attributes with the same name counts, as in browsers.
        attributes = {name: value or "" for name, value in reversed(attrs)}
        if tag == "a":
            self.anchors.append(attributes)
        elif tag == "base":
            if self.base is None:
                self.base = attributes.get("href")
        elif attributes.get("name", "").lower() == "pypi:repository-version":
            self.repository_version = attributes.get("content", "")

    def parse_marked_section(self, i: int, report: bool = True) -> int:  # noqa: FBT001, FBT002
        """Read `<![...]>` as a comment, as browsers do.

        The parsers of older Pythons raise `AssertionError` for names that they do not know.
        """
        return self.parse_bogus_comment(i, report)
