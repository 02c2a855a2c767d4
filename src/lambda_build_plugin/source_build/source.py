"""What a wheel is to be made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.source_build.errors import NotAPackageError, UnreadableSourceError

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.config.project import Project

__all__ = ["Source", "local_source", "of_project", "strange_source"]

_LEGACY = "setuptools.build_meta:__legacy__"  # PEP 517: where nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A folder of source code with a build backend."""

    name: str
    """How messages call it: `demo`, or `demo 1.0`."""

    root: Path
    backend: str
    """As in `build-backend`, for messages."""

    kind: str
    """`local`, `sdist` or `vcs`, as in the report."""

    project: Project | None = None
    """What the folder says of itself; None for what comes from elsewhere.

    Code of the user's own may be built in this process; a stranger's only in isolation.
    """


def of_project(project: Project) -> Source:
    """Make a source of a folder that has been read.

    Raises:
        NotAPackageError: No wheel can be built of it.
    """
    if not project.is_package:
        raise NotAPackageError(project)
    return _of_folder(project)


def _of_folder(project: Project) -> Source:
    return Source(
        name=project.name,
        root=project.root,
        backend=project.build_system.backend,
        kind="local",
        project=project,
    )


def local_source(name: str, folder: Path) -> Source:
    """Make a source of a folder of the user's, such as a path dependency.

    Whoever names a folder takes it for a package: without a `[build-system]` it is one of
    setuptools, for pip, Poetry and uv (PEP 517).

    Raises:
        SourceBuildError: It is not there, not readable, or holds nothing to build.
    """
    try:
        project = read_project(folder)
    except LambdaBuildError as error:
        raise UnreadableSourceError(name, folder, error.why) from error
    if not any((folder / file).is_file() for file in ("pyproject.toml", "setup.py")):
        problem = "it is not a package: it has neither a pyproject.toml nor a setup.py"
        raise UnreadableSourceError(name, folder, problem)
    return _of_folder(project)


def strange_source(name: str, folder: Path, kind: str) -> Source:
    """Make a source of what was unpacked or checked out.

    Its pyproject.toml is read for the backend's name alone; `build` checks the rest.
    """
    return Source(name=name, root=folder, backend=_backend(folder / "pyproject.toml"), kind=kind)


def _backend(pyproject: Path) -> str:
    try:
        return read_toml(pyproject).table("build-system").text("build-backend") or _LEGACY
    except (TableError, OSError):
        return _LEGACY
