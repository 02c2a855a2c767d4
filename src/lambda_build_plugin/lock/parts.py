"""Parts that several formats share: names, versions, markers and files of a table."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import strongest
from lambda_build_plugin.tables import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Digest
    from lambda_build_plugin.project import Project
    from lambda_build_plugin.tables import Table

__all__ = [
    "Context",
    "digest_of",
    "filename_of",
    "is_project",
    "marker",
    "name",
    "names",
    "path_of",
    "sdist_suffixes",
    "specifier",
    "version",
]

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
    except InvalidVersion as error:
        raise TableError(table.place(key), f"`{text}` is no version (PEP 440)") from error


def specifier(table: Table, key: str) -> SpecifierSet | None:
    """Get a version specifier (PEP 440), or None where there is none."""
    text = table.text(key)
    if text is None:
        return None
    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise TableError(table.place(key), f"`{text}` is no version specifier") from error


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


def filename_of(location: str) -> str:
    """Get the file name at the end of a URL or path; only a URL is quoted."""
    if "://" not in location:
        return posixpath.basename(location)
    return unquote(posixpath.basename(urlsplit(location).path))


def path_of(url: str) -> Path:
    """Get the path that a `file:` URL names on this system."""
    # Loaded here because it brings http.client and ssl along, and file URLs are rare.
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(url).path))


def is_project(path: Path, project: Project) -> bool:
    """Tell whether a local source is the project that is being packaged."""
    return path.resolve() == project.root
