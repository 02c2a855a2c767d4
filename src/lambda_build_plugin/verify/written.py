"""Read the finished zip again and compare it with the tree that it was written from."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.archive import END_SIZE
from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.verify.findings import MOST_LISTED
from lambda_build_plugin.wheel.file import is_version
from lambda_build_plugin.wheel.metadata import headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["ArtifactError", "check_archive", "check_directory", "read_again"]


class ArtifactError(VerificationError):
    """What was written is not what was intended: a bug of this tool, or a fault of the disk."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            "the artifact is not what should have been built",
            why=problem,
            hint="build again; if it happens again, report it to lambda-build-plugin",
        )


@contextmanager
def read_again(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open what was just written.

    Raises:
        ArtifactError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, OSError) as error:
        raise ArtifactError(f"it cannot be read back: {error}") from error


def check_directory(written: Written) -> None:
    """Compare the directory of a zip on the disk with the one that was written.

    Raises:
        ArtifactError: It differs, or cannot be read.
    """
    size = len(written.directory)
    try:
        with written.path.open("rb") as file:
            file.seek(-size - END_SIZE, os.SEEK_END)
            found = file.read(size)
    except OSError as error:
        raise ArtifactError(f"it cannot be read back: {error}") from error
    if found != written.directory:
        raise ArtifactError("its directory is not the one that was written")


def check_archive(tree: StagedTree, archive: zipfile.ZipFile) -> None:
    """Compare the written zip with the tree and the lock.

    Raises:
        ArtifactError: Something is missing, duplicated, or different.
    """
    _check_members(tree, archive)
    for problem in _metadata_problems(tree, archive):
        raise ArtifactError(problem)


def _check_members(tree: StagedTree, archive: zipfile.ZipFile) -> None:
    found = [(info.filename, info.file_size) for info in archive.infolist()]
    wanted = [(entry.path, entry.size) for entry in tree.entries]
    if found != wanted:
        odd = sorted(set(found) ^ set(wanted))[:MOST_LISTED]
        raise ArtifactError(f"its members differ from the tree: {odd or 'their order'}")


def _metadata_problems(tree: StagedTree, archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield differences between the metadata folders and the chosen wheels.

    An additional name, version or folder means that something else ships than what was locked (core
    metadata: packaging.python.org/specifications/core-metadata/).
    """
    chosen = {dist.wheel.name: dist.wheel.version for dist in tree.distributions}
    bare = {dist.wheel.name for dist in tree.distributions if not dist.has_metadata}
    own = {f"{tree.prefix}{dist.dist_info}/METADATA" for dist in tree.distributions}
    # Files in the project's own folder, or from a hook, are there because the user wants them.
    by_hand = {entry.path for entry in tree.entries if isinstance(entry.data, Path)} - own
    seen: Counter[str] = Counter()
    for name in archive.namelist():
        folder, slash, file = name.removeprefix(tree.prefix).partition("/")
        if not (slash and file == "METADATA" and folder.endswith(".dist-info")):
            continue
        if name in by_hand:
            continue
        found = headers(archive.read(name))
        package = canonicalize_name(found.get("name", ""))
        seen[package] += 1
        if package not in chosen:
            yield f"{folder} belongs to `{package}`, which was not selected"
        elif not is_version(found.get("version", ""), chosen[package]):
            yield (
                f"{folder} says it is {package} {found.get('version')}, "
                f"but {chosen[package]} was selected"
            )
    yield from (
        f"`{name}` has no METADATA" for name in chosen if not seen[name] and name not in bare
    )
    yield from (f"`{name}` is present {count} times" for name, count in seen.items() if count > 1)
