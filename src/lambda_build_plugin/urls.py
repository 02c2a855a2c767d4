"""Handle URLs: remove credentials, compare origins, and get the file that a URL names.

Whatever is printed, logged or written to a report passes through here first, so that no
password or token leaves the process that way.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lambda_build_plugin.errors import excerpt

__all__ = [
    "Origin",
    "filename_of",
    "origin_of",
    "path_of",
    "redacted",
    "redacted_text",
    "without_login",
    "without_logins",
]

_LOGIN = r"(?:[^/?#]*@|[^/?#\s:@]+:(?!\d*(?:[/?#\s]|$))\S{0,512}@)?"
"""What stands before an `@`, whatever characters it contains; without an `@` before the path,
a colon that begins no port begins a password that should be quoted. Its length is limited so
that the time stays linear in the length of the text."""

_URL = re.compile(rf"://{_LOGIN}(?:[^\s:?#]|:(?!//))*(?:[?#]\S*)?")
"""A URL in a text, from the end of its scheme on. It ends where the next one begins, because
a list may have no spaces. No scheme is searched for: a long line would take minutes."""

_URL_AND_QUERY = re.compile(rf"://{_LOGIN}(?:[^\s:]|:(?!//))*")
"""The same, with a query that may contain further URLs."""

_WEB = ("http", "https")

_PORTS = {"http": 80, "https": 443}

_PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?/[\w./+!~-]*", re.ASCII)
"""A URL without a login, a query, a fragment or anything quoted."""

Origin = tuple[str, str, int]
"""Scheme, host and port: what credentials belong to."""


def filename_of(location: str) -> str:
    """Return the file name at the end of a URL or path; only that of a URL is unquoted.

    Raises:
        ValueError: The URL is not valid.
    """
    if "://" not in location:
        return posixpath.basename(location)
    if _PLAIN.fullmatch(location):  # as nearly all of the thousands in a lock are
        return location.rpartition("/")[2]
    return unquote(posixpath.basename(_path_in(location)))


def path_of(url: str) -> Path:
    """Return the path that a `file:` URL names on this system.

    Raises:
        ValueError: The URL is not valid.
    """
    # Imported here because it loads http.client and ssl, and file URLs are rare.
    from urllib.request import url2pathname

    return Path(url2pathname(_path_in(url)))


def _path_in(url: str) -> str:
    """Return the path of a URL, still quoted."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise ValueError(f"`{excerpt(redacted(url))}` is not a URL: {error}") from error
    if "\0" in unquote(path):
        raise ValueError(f"`{excerpt(redacted(url))}` contains a NUL character")
    return path


def redacted(url: str) -> str:
    """Remove credentials, query and fragment from a URL, for messages."""
    if "://" not in url:
        return url  # a path
    scheme, separator, rest = _without_query(url).partition("://")
    return f"{scheme}{separator}{redacted_text(rest)}"  # a proxy's path may contain a URL


def redacted_text(text: str) -> str:
    """Remove credentials, query and fragment from each URL in a text."""
    return _URL.sub(lambda match: _without_query(match[0]), text)


def _without_query(url: str) -> str:
    return re.split("[?#]", without_login(url))[0]


def without_logins(text: str) -> str:
    """Remove the credentials from each web address in a text, and keep everything else.

    The user of `ssh://git@…` is not a secret, and is part of the address.
    """

    def replaced(match: re.Match[str]) -> str:
        before = text[max(match.start() - len("https"), 0) : match.start()]
        return without_login(match[0]) if before.lower().endswith(_WEB) else match[0]

    return _URL_AND_QUERY.sub(replaced, text)


def without_login(url: str) -> str:
    """Remove the credentials from a URL, up to the last `@` before the path."""
    scheme, separator, rest = url.partition("://")
    authority = re.split("[/?#]", rest)[0]
    if "@" in authority:
        rest = rest[authority.rindex("@") + 1 :]
    elif re.search(r":(?!\d*$)", authority.rpartition("]")[2]):
        # Not a port, so it is a password with a `/`, `?` or `#` that should have been quoted.
        rest = rest.rpartition("@")[2]
    return f"{scheme}{separator}{rest}"


def origin_of(url: str) -> Origin:
    """Return the scheme, host and port of a URL, with the default port filled in.

    Raises:
        ValueError: The URL is not valid.
    """
    parts = urlsplit(url)
    return (
        parts.scheme.lower(),
        (parts.hostname or "").lower(),
        parts.port or _PORTS.get(parts.scheme.lower(), 0),
    )
