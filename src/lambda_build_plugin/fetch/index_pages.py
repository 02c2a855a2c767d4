"""Index pages → links: PEP 503 (HTML) and PEP 691 (JSON).

Most builds look for one file on a page that lists thousands, so the page is not
parsed as HTML: a link is found by the digest it carries, else one pattern walks
the anchors. A page that is neither kind holds no links.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from lambda_build_plugin.urls import filename_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ACCEPT", "Link", "Page", "UnknownPageError"]

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)
"""The `Accept` header of a request for a page (PEP 691)."""

# A quoted value may hold any letter, `>` too: `data-requires-python=">=3.8"`.
_INSIDE = r"""[^"'>]*(?:(?:"[^"]*"|'[^']*')[^"'>]*)*"""
_ANCHOR = re.compile(rf"<a\s({_INSIDE})>", re.IGNORECASE)
_BASE = re.compile(rf"<base\s({_INSIDE})>", re.IGNORECASE)
_META = re.compile(rf"<meta\s({_INSIDE})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""", re.IGNORECASE
)
_HEAD = 4096
"""How many letters of an HTML page to search for `<base>` and `<meta>`."""

_LONGEST_TAG = 1 << 14


class UnknownPageError(ValueError):
    """A page is of a kind or version that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One file that a page offers."""

    filename: str
    url: str
    """Absolute, without fragment."""

    sha256: str | None
    """Hexadecimal in lower case, where the page says so."""

    yanked: bool = False


class Page:
    """One page of an index, parsed as little as possible."""

    def __init__(self, body: bytes, *, url: str, content_type: str) -> None:
        """Take a page as it was received.

        Raises:
            UnknownPageError: JSON that is none, or another API version than 1.x.
        """
        self._base = url
        self._text = body.decode("utf-8", errors="replace")
        self._entries: list[Any] | None = None
        if "json" in content_type:
            self._entries, self._text = _entries(self._text), ""
        else:
            _check_version(self._text)
            if base := _BASE.search(self._text, 0, _HEAD):
                self._base = _joined(url, _attributes(base[1]).get("href", ""))

    def by_sha256(self, sha256: str) -> Link | None:
        """Find the link that carries a digest, given in lower case."""
        if self._entries is not None:
            carriers = (entry for entry in self._entries if _sha256_of(entry) == sha256)
            found = map(self._link_of_entry, carriers)
            return next((link for link in found if link is not None), None)
        for spelling in (sha256, sha256.upper()):
            position = self._text.find(spelling)
            while position != -1:
                link = self._link_around(position)
                # The digest may be one of the metadata file (PEP 658), or of no link.
                if link is not None and link.sha256 == sha256:
                    return link
                position = self._text.find(spelling, position + len(spelling))
        return None

    def links(self) -> Iterator[Link]:
        """Yield every file of the page."""
        if self._entries is not None:
            found = map(self._link_of_entry, self._entries)
        else:
            found = map(self._link_of_anchor, _ANCHOR.finditer(self._text))
        return (link for link in found if link is not None)

    def _link_around(self, position: int) -> Link | None:
        first = max(0, position - _LONGEST_TAG)
        start = max(self._text.rfind(begin, first, position) for begin in ("<a", "<A"))
        match = _ANCHOR.match(self._text, start) if start != -1 else None
        return self._link_of_anchor(match) if match else None

    def _link_of_anchor(self, anchor: re.Match[str]) -> Link | None:
        attributes = _attributes(anchor[1])
        href, _, fragment = attributes.get("href", "").strip().partition("#")
        digests = dict(item.partition("=")[::2] for item in fragment.split("&"))
        return self._link(href, sha256=digests.get("sha256"), yanked="data-yanked" in attributes)

    def _link_of_entry(self, entry: Any) -> Link | None:
        """Read a file's table; None where it is none."""
        try:
            return self._link(
                entry["url"].partition("#")[0],
                filename=entry["filename"].strip(),
                sha256=_sha256_of(entry),
                yanked=bool(entry.get("yanked")),
            )
        except (AttributeError, KeyError, TypeError):
            return None

    def _link(
        self, location: str, *, filename: str | None = None, sha256: str | None, yanked: bool
    ) -> Link | None:
        url = _joined(self._base, location) if location else ""
        name = filename or filename_of(url)
        if not url or not name:
            return None
        digest = sha256.lower() if sha256 else None
        return Link(filename=name, url=url, sha256=digest, yanked=yanked)


def _sha256_of(entry: Any) -> str | None:
    """Get the digest of a file's table, in lower case."""
    try:
        found = entry["hashes"]["sha256"]
    except (KeyError, TypeError):
        return None
    return found.lower() if isinstance(found, str) else None


def _entries(text: str) -> list[Any]:
    """Get the files of a JSON page (PEP 691)."""
    try:
        data = json.loads(text)
        version, files = str(data["meta"]["api-version"]), data["files"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownPageError("it is no index page (PEP 691)") from error
    _check_major(version)
    if not isinstance(files, list):
        raise UnknownPageError("it is no index page (PEP 691)")
    return files


def _check_version(text: str) -> None:
    """Check the version that an HTML page may state (PEP 629)."""
    for meta in _META.finditer(text, 0, _HEAD):
        attributes = _attributes(meta[1])
        if attributes.get("name", "").lower() == "pypi:repository-version":
            _check_major(attributes.get("content", ""))


def _check_major(version: str) -> None:
    if version.partition(".")[0] != "1":
        raise UnknownPageError(f"its API version is {version}, not 1.x")


def _attributes(text: str) -> dict[str, str]:
    """Take the inside of a tag apart; of a repeated attribute the first counts."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        value = match[2] or match[3] or match[4] or ""
        found.setdefault(match["name"].lower(), html.unescape(value))
    return found


def _joined(base: str, location: str) -> str:
    """Resolve a reference; what cannot be resolved is no address."""
    try:
        return urljoin(base, location)
    except ValueError:
        return ""
