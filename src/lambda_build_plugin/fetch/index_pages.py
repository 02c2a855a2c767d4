"""Read the links of an index page: HTML (PEP 503) or JSON (PEP 691).

A page may list thousands of files where a build looks for one, so an HTML page is
parsed only as far as the file that is looked for, and not at all if the page does not
contain its digest. Other attributes of a link, such as `data-requires-python` and
`data-core-metadata` (PEP 658 and 714), do not matter for a file that is locked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from lambda_build_plugin.urls import filename_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ACCEPT", "Link", "Page", "UnknownPageError"]

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)
"""The `Accept` header of a request for a page (PEP 691)."""


class UnknownPageError(ValueError):
    """A page is not an index page, or its API version is not supported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One file that a page lists."""

    filename: str
    url: str
    """Absolute, without fragment."""

    sha256: str | None
    """Hexadecimal in lower case, if the page contains it."""

    yanked: bool = False
    """Whether the index advises against the file (PEP 592)."""


class Page:
    """The links of one page, parsed only as far as they are asked for."""

    def __init__(self, body: bytes, *, url: str, content_type: str) -> None:
        """Begin to parse a page.

        Args:
            body: The page as it was received, any content encoding undone.
            url: The address it was received from, against which links are resolved.
            content_type: The response header in lower case; tells JSON from HTML.

        Raises:
            UnknownPageError: The JSON is not an index page, or the API version of the
                page is not 1.x.
        """
        text = body.decode("utf-8", errors="replace")
        self._html: str | None = None
        if "json" in content_type:
            self._unread = _links_of_json(text, url)
        else:
            self._html = text
            self._unread = _links_of_html(text, url)
        self._read: list[Link] = []
        self._by_sha256: dict[str, Link] = {}

    def by_sha256(self, sha256: str) -> Link | None:
        """Find the first link with a digest, which is given in lower case."""
        if (link := self._by_sha256.get(sha256)) is not None:
            return link
        # Another spelling than these two is found by the name of the file.
        if self._html is not None and not (sha256 in self._html or sha256.upper() in self._html):
            return None
        return next((link for link in self._read_on() if link.sha256 == sha256), None)

    def links(self) -> Iterator[Link]:
        """Yield every file of the page."""
        yield from list(self._read)
        yield from self._read_on()

    def _read_on(self) -> Iterator[Link]:
        """Yield the links that nobody has asked for yet, and remember them."""
        for link in self._unread:
            self._read.append(link)
            if link.sha256 is not None:
                self._by_sha256.setdefault(link.sha256, link)
            yield link


def _links_of_html(text: str, url: str) -> Iterator[Link]:
    """Begin to parse an HTML page (PEP 503), whose head may state a version (PEP 629)."""
    # Not loaded by a build that finds everything in the cache.
    from lambda_build_plugin.fetch.html_links import HtmlLinks

    anchors = HtmlLinks(text)
    if anchors.repository_version is not None:
        _check_version(anchors.repository_version)
    base = _joined(url, anchors.base or "")
    found = (_link_of_anchor(attributes, base) for attributes in anchors)
    return (link for link in found if link is not None)


def _link_of_anchor(attributes: Mapping[str, str], base: str) -> Link | None:
    href, _, fragment = attributes.get("href", "").strip().partition("#")
    digests = dict(item.partition("=")[::2] for item in fragment.split("&"))
    url = _joined(base, href) if href else ""
    return _link(filename_of(url), url, digests.get("sha256"), yanked="data-yanked" in attributes)


def _links_of_json(text: str, url: str) -> Iterator[Link]:
    """Parse a JSON page (PEP 691)."""
    try:
        data = json.loads(text)
        version, files = str(data["meta"]["api-version"]), data["files"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownPageError("it is not an index page (PEP 691)") from error
    _check_version(version)
    if not isinstance(files, list):
        raise UnknownPageError("it is not an index page (PEP 691)")
    found = (_link_of_entry(entry, url) for entry in files)
    return (link for link in found if link is not None)


def _link_of_entry(entry: Any, base: str) -> Link | None:
    """Read one item of `files`; None if a required key is missing or has a wrong type."""
    try:
        location = entry["url"].partition("#")[0]
        filename = entry["filename"].strip()
        yanked = bool(entry.get("yanked"))
    except (AttributeError, KeyError, TypeError):
        return None
    url = _joined(base, location) if location else ""
    return _link(filename or filename_of(url), url, _sha256_of(entry), yanked=yanked)


def _sha256_of(entry: Any) -> str | None:
    try:
        found = entry["hashes"]["sha256"]
    except (KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _link(filename: str, url: str, sha256: str | None, *, yanked: bool) -> Link | None:
    """Make a link; None for an anchor that does not lead to a file."""
    if not url or not filename:
        return None
    return Link(
        filename=filename, url=url, sha256=sha256.lower() if sha256 else None, yanked=yanked
    )


def _check_version(version: str) -> None:
    if version.partition(".")[0] != "1":
        raise UnknownPageError(f"its API version is {version}, not 1.x")


def _joined(base: str, location: str) -> str:
    """Resolve a reference; the result is empty if it cannot be resolved."""
    try:
        return urljoin(base, location)
    except ValueError:
        return ""
