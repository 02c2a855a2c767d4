"""URLs: what may be shown of them, whose credentials they carry, and which file they name.

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

# A scheme begins where letters do: tried at each letter, a long line would take minutes.
_URL = re.compile(r"(?<![a-z])[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?\S*", re.IGNORECASE)
"""A URL in a text; what stands before an `@` counts, whatever characters it holds."""

_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]
"""Scheme, host and port: what credentials belong to."""


def filename_of(location: str) -> str:
    """Get the file name at the end of a URL or path; only a URL is quoted.

    Raises:
        ValueError: It is no URL.
    """
    if "://" not in location:
        return posixpath.basename(location)
    return unquote(posixpath.basename(_path_in(location)))


def path_of(url: str) -> Path:
    """Get the path that a `file:` URL names on this system.

    Raises:
        ValueError: It is no URL.
    """
    # Loaded here because it brings http.client and ssl along, and file URLs are rare.
    from urllib.request import url2pathname

    return Path(url2pathname(_path_in(url)))


def _path_in(url: str) -> str:
    """Get the path of a URL, still quoted."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise ValueError(f"`{excerpt(redacted(url))}` is no URL: {error}") from error
    if "\0" in unquote(path):
        raise ValueError(f"`{excerpt(redacted(url))}` holds a NUL character")
    return path


def redacted(url: str) -> str:
    """Take credentials, query and fragment out of a URL, for messages."""
    if "://" not in url:
        return url  # a path
    return re.split("[?#]", without_login(url))[0]


def redacted_text(text: str) -> str:
    """Do the same with each URL in a text."""
    return _URL.sub(lambda match: redacted(match[0]), text)


def without_logins(text: str) -> str:
    """Take the credentials out of each web address in a text, and keep all else.

    The user of `ssh://git@…` is no secret, and part of the address.
    """
    return _URL.sub(
        lambda match: without_login(match[0]) if match[0].lower().startswith("http") else match[0],
        text,
    )


def without_login(url: str) -> str:
    """Take the credentials out of a URL, up to the last `@` before the path."""
    scheme, separator, rest = url.partition("://")
    authority = re.split("[/?#]", rest)[0]
    if "@" in authority:
        rest = rest[authority.rindex("@") + 1 :]
    elif re.search(r":(?!\d*$)", authority.rpartition("]")[2]):
        # No port, so it is a password that should be quoted: it holds a `/`, `?` or `#`.
        rest = rest.rpartition("@")[2]
    return f"{scheme}{separator}{rest}"


def origin_of(url: str) -> Origin:
    """Get scheme, host and port of a URL."""
    parts = urlsplit(url)
    return (
        parts.scheme.lower(),
        (parts.hostname or "").lower(),
        parts.port or _PORTS.get(parts.scheme.lower(), 0),
    )
