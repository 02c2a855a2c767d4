"""Typed fields that several lock formats share: names, versions, markers and files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import sdist_suffixes
from lambda_build_plugin.system.hashes import strongest
from lambda_build_plugin.urls import filename_of
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.model import LockedFile, LockedPackage
    from lambda_build_plugin.system.hashes import Digest

__all__ = [
    "Context",
    "digest_of",
    "filename",
    "is_archive",
    "is_project",
    "is_wheel",
    "marker",
    "name",
    "names",
    "parsed_marker",
    "project_index",
    "specifier",
    "version",
    "with_file",
]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a reader knows besides the lock itself."""

    project: Project
    environ: Mapping[str, str]
    """For `${VARIABLE}` in requirements files."""

    lock_is_fresh: bool = False
    """Whether the host has already checked the lock against pyproject.toml."""

    read_toml: Callable[[Path], Table] = read_toml
    """Reads the lock itself, if it is TOML."""


def name(table: Table, key: str = "name") -> NormalizedName:
    """Get a required package name, normalized (PEP 503)."""
    return canonicalize_name(table.required_text(key))


def names(table: Table, key: str) -> frozenset[NormalizedName]:
    """Get a list of names, normalized."""
    return frozenset(canonicalize_name(text) for text in table.texts(key))


def version(table: Table, key: str = "version") -> Version | None:
    """Get a version (PEP 440), or None if the key is missing."""
    text = table.text(key)
    if text is None:
        return None
    try:
        return Version(text)
    except ValueError as error:
        raise TableError(
            table.place(key), f"`{excerpt(text)}` is not a version (PEP 440)"
        ) from error


def specifier(table: Table, key: str) -> SpecifierSet | None:
    """Get a version specifier (PEP 440), or None if the key is missing."""
    text = table.text(key)
    if text is None:
        return None
    try:
        found = SpecifierSet(text)
        hash(found)  # parses the numbers, which may have too many digits
    except ValueError as error:
        raise TableError(
            table.place(key), f"`{excerpt(text)}` is not a version specifier"
        ) from error
    return found


def marker(table: Table, key: str = "marker") -> LockMarker | None:
    """Get a marker (PEP 508, PEP 751), or None if the key is missing."""
    text = table.text(key)
    return None if text is None else parsed_marker(text, table.place(key))


def parsed_marker(text: str, at: str) -> LockMarker:
    """Parse a marker (PEP 508, PEP 751) that stands at a place of a lock.

    Raises:
        TableError: It is not a marker.
    """
    try:
        return LockMarker.parse(text)
    except ValueError as error:
        raise TableError(at, str(error)) from error


def digest_of(table: Table, hashes: Mapping[str, str]) -> Digest | None:
    """Choose the strongest digest of a file."""
    try:
        return strongest(hashes)
    except ValueError as error:
        raise TableError(table.at, str(error)) from error


def filename(table: Table, location: str) -> str:
    """Get the file name at the end of a path or URL in a table."""
    try:
        return filename_of(location)
    except ValueError as error:
        raise TableError(table.at, str(error)) from error


def is_project(path: Path, project: Project) -> bool:
    """Tell whether a local source is the project that is being packaged."""
    return path == project.root or path.resolve() == project.root


def project_index(packages: Sequence[LockedPackage], project: Project) -> int | None:
    """Find the project itself among the locked packages, if a requirement leads back to it."""
    for index, package in enumerate(packages):
        if package.directory is not None and is_project(package.directory.path, project):
            return index
    return None


def is_wheel(file: LockedFile) -> bool:
    """Tell whether a locked file is a wheel, by its name."""
    return (file.filename or "").endswith(".whl")


def is_archive(name: str) -> bool:
    """Tell whether a path or URL is that of a wheel or an sdist, and not of a folder."""
    return name.endswith((".whl", *sdist_suffixes))


def with_file(package: LockedPackage, file: LockedFile) -> LockedPackage:
    """Lock a package as one file: a wheel, or an archive of its source."""
    if is_wheel(file):
        return replace(package, wheels=(file,))
    return replace(package, archive=file)
