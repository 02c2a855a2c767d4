"""Tell by their names which files belong to a version of a package, and what they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from lambda_build_plugin.lock.model import sdist_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lambda_build_plugin.lock.model import LockedFile, LockedPackage

__all__ = ["is_of", "with_files"]


def is_of(
    filename: str, package: LockedPackage, *, local: bool = False, any_version: bool = False
) -> bool:
    """Check whether a file belongs to a package at its version, or also a local version of it."""
    suffix = _suffix(filename)
    try:
        if filename.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(filename)
        elif suffix is not None:
            # The parser knows only the two kinds that may still be uploaded (PEP 527).
            name, version = parse_sdist_filename(f"{filename.removesuffix(suffix)}.tar.gz")
        else:
            return False
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):  # or too many digits
        return False
    if name != canonicalize_name(package.name):
        return False
    return (
        any_version
        or version == package.version
        or (local and version.public == str(package.version))
    )


def with_files(package: LockedPackage, files: Iterable[LockedFile]) -> LockedPackage:
    """Replace what is known only by digest or version with files that have names."""
    files = list(files)
    # Old versions also have eggs, installers, and archives with compiled code.
    sdists = [
        file
        for file in files
        if _suffix(file.filename or "") and is_of(file.filename or "", package)
    ]
    return replace(
        package,
        wheels=tuple(file for file in files if (file.filename or "").endswith(".whl")),
        sdist=min(sdists, key=_preference, default=None),
        unnamed=(),
        unhashed=False,
    )


def _preference(sdist: LockedFile) -> tuple[int, str]:
    """Order the archives of a version by kind, whatever their order on the page."""
    filename = sdist.filename or ""
    return sdist_suffixes.index(_suffix(filename) or ""), filename


def _suffix(filename: str) -> str | None:
    """Return the suffix of a source archive; None for any other file."""
    return next((suffix for suffix in sdist_suffixes if filename.endswith(suffix)), None)
