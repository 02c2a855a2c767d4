"""The source code that a wheel is built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.source_build.errors import NotAPackageError, UnreadableSourceError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.model import LockedPackage

__all__ = ["Source", "foreign_source", "local_source", "of_project"]

_LEGACY = "setuptools.build_meta:__legacy__"  # PEP 517: the default


@dataclass(frozen=True, kw_only=True)
class Source:
    """A folder of source code with a build backend."""

    name: str
    """What messages call it: `demo` or `demo 1.0`."""

    package: str
    """Normalized name of the package, for settings that are about it."""

    root: Path
    backend: str
    """As in `build-backend`, for messages."""

    kind: str
    """`local`, `sdist` or `vcs`, as in the report."""

    project: Project | None = None
    """The project in the folder if it is the user's own, else None.

    Only the user's own code may be built in this process; all other is isolated.
    """


def of_project(project: Project) -> Source:
    """Make a source of a project that has been read.

    Raises:
        NotAPackageError: The project is not a package.
    """
    if not project.is_package:
        raise NotAPackageError(project)
    return _of_folder(project)


def _of_folder(project: Project) -> Source:
    return Source(
        name=project.name,
        package=canonicalize_name(project.name),
        root=project.root,
        backend=project.build_system.backend,
        kind="local",
        project=project,
    )


def local_source(name: str, folder: Path) -> Source:
    """Make a source of one of the user's folders, such as a path dependency.

    A folder without a `[build-system]` is built with setuptools (PEP 517), as pip, Poetry
    and uv do.

    Raises:
        SourceBuildError: It does not exist, cannot be read, or contains nothing to build.
    """
    try:
        project = read_project(folder)
    except LambdaBuildError as error:
        raise UnreadableSourceError(name, folder, error.why) from error
    if not any((folder / file).is_file() for file in ("pyproject.toml", "setup.py")):
        problem = "it is not a package: it has neither a pyproject.toml nor a setup.py"
        raise UnreadableSourceError(name, folder, problem)
    return _of_folder(project)


def foreign_source(package: LockedPackage, folder: Path, kind: str) -> Source:
    """Make a source of an unpacked archive or a checked out commit.

    Only the name of the backend is read from its pyproject.toml; `build` checks the rest.
    """
    return Source(
        name=str(package),
        package=package.name,
        root=folder,
        backend=_backend(folder / "pyproject.toml"),
        kind=kind,
    )


def _backend(pyproject: Path) -> str:
    try:
        return read_toml(pyproject).table("build-system").text("build-backend") or _LEGACY
    except (TableError, OSError):
        return _LEGACY
