"""Parts that several formats share: names, versions, markers and files of a table."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import strongest
from lambda_build_plugin.tables import TableError, excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Digest
    from lambda_build_plugin.project import Project
    from lambda_build_plugin.tables import Table

__all__ = [
    "Context",
    "digest_of",
    "filename",
    "filename_of",
    "is_project",
    "marker",
    "name",
    "names",
    "path_of",
    "redacted",
    "redacted_text",
    "sdist_suffixes",
    "specifier",
    "version",
    "without_login",
    "without_logins",
]

# A scheme begins where letters do: tried at each letter, a long line would take minutes.
_URL = re.compile(r"(?<![a-z])[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?\S*", re.IGNORECASE)
"""A URL in a text; what stands before an `@` counts, whatever characters it holds."""

sdist_suffixes = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a reader may know beside the lock itself."""

    project: Project
    environ: Mapping[str, str]
    """For `${VARIABLE}` in requirements files."""

    lock_is_fresh: bool = False
    """Whether the host has already held the lock against pyproject.toml, by its own means."""


def name(table: Table, key: str = "name") -> NormalizedName:
    """Get a required package name, normalized (PEP 503)."""
    return canonicalize_name(table.required_text(key))


def names(table: Table, key: str) -> frozenset[NormalizedName]:
    """Get a list of names, normalized."""
    return frozenset(canonicalize_name(text) for text in table.texts(key))


def version(table: Table, key: str = "version") -> Version | None:
    """Get a version (PEP 440), or None where there is none."""
    text = table.text(key)
    if text is None:
        return None
    try:
        return Version(text)
    except ValueError as error:
        raise TableError(table.place(key), f"`{excerpt(text)}` is no version (PEP 440)") from error


def specifier(table: Table, key: str) -> SpecifierSet | None:
    """Get a version specifier (PEP 440), or None where there is none."""
    text = table.text(key)
    if text is None:
        return None
    try:
        found = SpecifierSet(text)
        hash(found)  # only now are numbers read, which may have too many digits
    except ValueError as error:
        raise TableError(table.place(key), f"`{excerpt(text)}` is no version specifier") from error
    return found


def marker(table: Table, key: str = "marker") -> LockMarker | None:
    """Get a marker (PEP 508, PEP 751), or None where there is none."""
    text = table.text(key)
    if text is None:
        return None
    try:
        return LockMarker.parse(text)
    except ValueError as error:
        raise TableError(table.place(key), str(error)) from error


def digest_of(table: Table, hashes: Mapping[str, str]) -> Digest | None:
    """Choose the digest that vouches for the file of a table."""
    try:
        return strongest(hashes)
    except ValueError as error:
        raise TableError(table.at, str(error)) from error


def filename(table: Table, location: str) -> str:
    """Get the file name of a location that a table holds."""
    try:
        return filename_of(location)
    except ValueError as error:
        raise TableError(table.at, str(error)) from error


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


def is_project(path: Path, project: Project) -> bool:
    """Tell whether a local source is the project that is being packaged."""
    return path.resolve() == project.root
