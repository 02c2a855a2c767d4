"""Index pages → links: PEP 503 (HTML) and PEP 691 (JSON).

Most builds look for one file on a page that lists thousands, so the page is not
parsed as HTML: links are found by the digest they carry, else one pattern walks
the anchors. A page that is neither kind holds no links.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from lambda_build_plugin.lock.parts import filename_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ACCEPT", "Link", "Page", "UnknownPageError"]

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)
"""The `Accept` header of a request for a page (PEP 691)."""

_ANCHOR = re.compile(r"<a\s([^>]*)>", re.IGNORECASE)
_HREF = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
_BASE = re.compile(r"<base\s[^>]*?href\s*=\s*[\"']([^\"']+)", re.IGNORECASE)
_SHA256_DIGITS = 64


class UnknownPageError(ValueError):
    """A page is of a kind or version that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One file that a page offers."""

    filename: str
    url: str
    """Absolute, without fragment."""

    sha256: str | None
    """Hexadecimal, where the page says so."""

    yanked: bool = False


class Page:
    """One page of an index, parsed as little as possible."""

    def __init__(self, body: bytes, *, url: str, content_type: str) -> None:
        """Take a page as it was received.

        Raises:
            UnknownPageError: JSON that is none, or of another API version than 1.x.
        """
        self._url = url
        self._text = body.decode("utf-8", errors="replace")
        self._files = self._json_files() if "json" in content_type else None
        base = _BASE.search(self._text, 0, 4096) if self._files is None else None
        self._base = urljoin(url, base[1]) if base else url

    def by_sha256(self, sha256: str) -> Link | None:
        """Find the link that carries a digest."""
        if self._files is not None:
            return next((link for link in self.links() if link.sha256 == sha256), None)
        position = self._text.find(sha256)
        while position != -1:
            start = self._text.rfind("<", 0, position)
            match = _ANCHOR.match(self._text, start) if start != -1 else None
            link = self._link(match) if match else None
            if link is not None and link.sha256 == sha256:
                return link
            position = self._text.find(sha256, position + _SHA256_DIGITS)
        return None

    def links(self) -> Iterator[Link]:
        """Yield every file of the page."""
        if self._files is not None:
            yield from self._files
            return
        for match in _ANCHOR.finditer(self._text):
            link = self._link(match)
            if link is not None:
                yield link

    def _link(self, anchor: re.Match[str]) -> Link | None:
        match = _HREF.search(anchor[1])
        if match is None:
            return None
        href = html.unescape(match[1] or match[2] or match[3] or "")
        location, _, fragment = href.partition("#")
        filename = filename_of(location)
        if not filename:
            return None
        digests = dict(item.partition("=")[::2] for item in fragment.split("&"))
        return Link(
            filename=filename,
            url=urljoin(self._base, location),
            sha256=digests.get("sha256", "").lower() or None,
            yanked="data-yanked" in anchor[1],
        )

    def _json_files(self) -> list[Link]:
        try:
            data = json.loads(self._text)
            version = str(data["meta"]["api-version"])
            if version.partition(".")[0] != "1":
                raise UnknownPageError(f"its API version is {version}, not 1.x")
            return [
                Link(
                    filename=file["filename"],
                    url=urljoin(self._url, file["url"]).partition("#")[0],
                    sha256=(file.get("hashes") or {}).get("sha256"),
                    yanked=bool(file.get("yanked")),
                )
                for file in data["files"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, UnknownPageError):
                raise
            raise UnknownPageError("it is no index page (PEP 691)") from error
