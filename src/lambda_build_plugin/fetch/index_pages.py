"""Read the links of an index page: HTML (PEP 503) or JSON (PEP 691).

A page may list thousands of files where a build looks for one, so an HTML page is
parsed only as far as the file that is looked for, and not at all if the page does not
contain its digest. Other attributes of a link, such as `data-requires-python` and
`data-core-metadata` (PEP 658 and 714), do not matter for a file that is locked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from lambda_build_plugin.system.hashes import digest
from lambda_build_plugin.urls import filename_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.fetch.html_links import HtmlLinks
    from lambda_build_plugin.fetch.json_values import Items
    from lambda_build_plugin.system.hashes import Digest

__all__ = ["ACCEPT", "Link", "Page", "UnknownPageError"]

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)
"""The `Accept` header of a request for a page (PEP 691)."""

_MOST_FILES = 200_000
"""Files of one page, so that a hostile one cannot fill the memory; real pages have some 10,000."""

_NO_PAGE = "it is not an index page (PEP 691)"


class UnknownPageError(ValueError):
    """A page is not an index page, or its API version is not supported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One file that a page lists."""

    filename: str
    url: str
    """Absolute, without fragment."""

    digests: tuple[Digest, ...] = ()
    """What the page says about its content, in algorithms that can vouch for a file."""

    yanked: bool = False
    """Whether the index advises against the file (PEP 592)."""

    def digest_like(self, locked: Digest) -> Digest | None:
        """Return the digest in the algorithm of another one, if the page contains it."""
        algorithm = locked.partition(":")[0]
        return next((own for own in self.digests if own.partition(":")[0] == algorithm), None)


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
        self._anchors: HtmlLinks | None = None
        if "json" in content_type:
            self._unread = iter(_links_of_json(text, url))
        else:
            # Not loaded by a build that finds everything in the cache.
            from lambda_build_plugin.fetch.html_links import HtmlLinks

            self._anchors = HtmlLinks(text)
            self._unread = _links_of_html(self._anchors, url)
        self._read: list[Link] = []
        self._by_digest: dict[Digest, Link] = {}

    def by_digest(self, digest: Digest) -> Link | None:
        """Find the first link with a digest.

        Raises:
            UnknownPageError: The page lists too many files.
        """
        if (link := self._by_digest.get(digest)) is not None:
            return link
        value = digest.partition(":")[2]
        # Another spelling than these two is found by the name of the file.
        if self._anchors is not None and not any(
            self._anchors.may_contain(spelling) for spelling in (value, value.upper())
        ):
            return None
        return next((link for link in self._read_on() if digest in link.digests), None)

    def links(self) -> Iterator[Link]:
        """Yield every file of the page.

        Raises:
            UnknownPageError: The page lists too many files.
        """
        yield from list(self._read)
        yield from self._read_on()

    def _read_on(self) -> Iterator[Link]:
        """Yield the links that nobody has asked for yet, and remember them."""
        for link in self._unread:
            if len(self._read) >= _MOST_FILES:
                raise UnknownPageError(_too_many_files())
            self._read.append(link)
            for each in link.digests:
                self._by_digest.setdefault(each, link)
            yield link


def _links_of_html(anchors: HtmlLinks, url: str) -> Iterator[Link]:
    """Begin to read an HTML page (PEP 503), whose head may state a version (PEP 629)."""
    if anchors.repository_version is not None:
        _check_version(anchors.repository_version)
    base = _joined(url, anchors.base or "") or url
    is_local = _is_local(url)
    found = (_link_of_anchor(attributes, base, is_local=is_local) for attributes in anchors)
    return (link for link in found if link is not None)


def _link_of_anchor(attributes: Mapping[str, str], base: str, *, is_local: bool) -> Link | None:
    href, _, fragment = attributes.get("href", "").strip().partition("#")
    if not href:
        return None
    hashes = dict(item.partition("=")[::2] for item in fragment.split("&"))
    yanked = "data-yanked" in attributes
    return _link("", _joined(base, href), hashes, yanked=yanked, is_local=is_local)


def _links_of_json(text: str, url: str) -> list[Link]:
    """Parse a JSON page (PEP 691).

    All of it, because its version may be at the end.
    """
    from lambda_build_plugin.fetch.json_values import Items, read_members

    version: str | None = None
    links: list[Link] | None = None
    try:
        for name, value in read_members(text):
            if name == "meta":
                version = str(value["api-version"])
            elif name == "files":
                links = _links_of_entries(value, url) if isinstance(value, Items) else None
    except UnknownPageError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownPageError(_NO_PAGE) from error
    if version is None or links is None:
        raise UnknownPageError(_NO_PAGE)
    _check_version(version)
    return links


def _links_of_entries(entries: Items, url: str) -> list[Link]:
    is_local = _is_local(url)
    links: list[Link] = []
    for number, entry in enumerate(entries):
        if number >= _MOST_FILES:
            raise UnknownPageError(_too_many_files())
        link = _link_of_entry(entry, url, is_local=is_local)
        if link is not None:
            links.append(link)
    return links


def _link_of_entry(entry: Any, base: str, *, is_local: bool) -> Link | None:
    """Read one item of `files`; None if a required key is missing or has a wrong type."""
    try:
        location = entry["url"].partition("#")[0]
        filename = entry["filename"].strip()
        yanked = bool(entry.get("yanked"))
        hashes = entry.get("hashes")
    except (AttributeError, KeyError, TypeError):
        return None
    if not location:
        return None
    hashes = hashes if isinstance(hashes, dict) else {}
    return _link(filename, _joined(base, location), hashes, yanked=yanked, is_local=is_local)


def _link(
    filename: str, url: str, hashes: Mapping[str, Any], *, yanked: bool, is_local: bool
) -> Link | None:
    """Make a link; None if it does not lead to a file that the page may offer.

    One link that is broken must not hide the other files of its page. Only a page on this
    machine may refer to files on this machine: a server has no business with them.
    """
    try:
        filename = filename or filename_of(url)
        scheme, host, _ = origin_of(url)
    except ValueError:
        return None
    is_web = scheme in {"http", "https"} and bool(host)
    if not (is_web or (is_local and scheme == "file")):
        return None
    if not (filename and filename.isprintable() and url.isprintable()):
        return None
    return Link(filename=filename, url=url, digests=_digests(hashes), yanked=yanked)


def _digests(hashes: Mapping[str, Any]) -> tuple[Digest, ...]:
    """Read the hashes of a file; those that are weak, unknown or malformed say nothing."""
    found: list[Digest] = []
    for algorithm, value in hashes.items():
        try:
            each = digest(algorithm, value) if isinstance(value, str) else None
        except ValueError:
            continue
        if each is not None:
            found.append(each)
    return tuple(found)


def _is_local(url: str) -> bool:
    return url.startswith("file:")


def _check_version(version: str) -> None:
    if version.partition(".")[0] != "1":
        raise UnknownPageError(f"its API version is {version}, not 1.x")


def _too_many_files() -> str:
    return f"it lists more than {_MOST_FILES:,} files"


def _joined(base: str, location: str) -> str:
    """Resolve a reference; the result is empty if it cannot be resolved."""
    try:
        return urljoin(base, location)
    except ValueError:
        return ""
