"""pyproject.toml and its neighbours → `Project`: what is to be packaged.

Reads the standard tables (PEP 518, 621, 735) and, where a tool keeps the same
fact in a table of its own, that one. Executes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.poetry_constraint import Constraint
from lambda_build_plugin.tables import Table, TableError, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

__all__ = ["BuildSystem", "Project", "read_project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSystem:
    """The `[build-system]` table, with the defaults of PEP 517 filled in."""

    backend: str
    requires: tuple[str, ...]
    has_backend_path: bool = False


_LEGACY = BuildSystem(backend="setuptools.build_meta:__legacy__", requires=("setuptools>=40.8",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One project folder."""

    root: Path
    """Absolute."""

    name: NormalizedName
    """From the metadata, else the folder's."""

    version: str | None = None
    """None where it is dynamic."""

    requires_python: SpecifierSet | None = None
    dependencies: tuple[Requirement, ...] | None = ()
    """None where the build backend computes them."""

    optional_dependencies: Mapping[NormalizedName, tuple[Requirement, ...]] = field(
        default_factory=dict
    )
    is_package: bool = True
    """Whether a wheel can be built of it."""

    build_system: BuildSystem = _LEGACY
    pyproject: Table = field(default_factory=lambda: Table({}, at="pyproject.toml"))
    tool: Table = field(default_factory=lambda: Table({}, at="pyproject.toml: tool"))
    pinned_python: str | None = None
    """The first version that `.python-version` names, such as `3.13`."""

    @property
    def needs_no_lock(self) -> bool:
        """Whether nothing at all could be locked for it."""
        return (
            self.dependencies == ()
            and not self.optional_dependencies
            and set(self.tool.table("poetry").table("dependencies")) <= {"python"}
        )


def read_project(root: Path) -> Project:
    """Read the project in a folder; a folder without pyproject.toml is one too.

    Raises:
        SettingsError: The folder or its pyproject.toml cannot be read.
    """
    if not root.is_dir():
        raise SettingsError([f"{root} is not a folder"], hint="name the project's folder")
    root = root.resolve()
    pinned = _pinned_python(root)
    path = root / "pyproject.toml"
    legacy = any((root / name).is_file() for name in ("setup.py", "setup.cfg"))
    if not path.is_file():
        return Project(
            root=root,
            name=canonicalize_name(root.name or "root"),
            dependencies=None,
            is_package=legacy,
            pinned_python=pinned,
        )
    try:
        return _from_pyproject(root, read_toml(path), legacy=legacy, pinned=pinned)
    except TableError as error:
        raise SettingsError([str(error)], hint=f"mend {path}") from error
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}"]) from error


def _from_pyproject(root: Path, data: Table, *, legacy: bool, pinned: str | None) -> Project:
    project, tool = data.table("project"), data.table("tool")
    poetry = tool.table("poetry")
    dynamic = project.texts("dynamic")
    declared = project.text("name") or poetry.text("name")
    optional = project.table("optional-dependencies")
    return Project(
        root=root,
        name=canonicalize_name(declared or root.name or "root"),
        version=project.text("version") or poetry.text("version"),
        requires_python=_requires_python(project) or _poetry_python(poetry.table("dependencies")),
        dependencies=(
            None if "dependencies" in dynamic else _requirements(project, "dependencies")
        ),
        optional_dependencies={
            canonicalize_name(extra): _requirements(optional, extra) for extra in optional
        },
        is_package=_is_package(data, declared=declared is not None, legacy=legacy),
        build_system=_build_system(data),
        pyproject=data,
        tool=tool,
        pinned_python=pinned,
    )


def _is_package(data: Table, *, declared: bool, legacy: bool) -> bool:
    """Tell whether the project is one of which its own tool would build a wheel.

    Each tool has a switch; without one, a `[build-system]` makes a package, as
    uv has it: setuptools' fallback would sweep up whatever lies in the folder.
    """
    tool = data.table("tool")
    switches = (
        tool.table("uv").flag("package"),
        tool.table("pdm").flag("distribution"),
        tool.table("poetry").flag("package-mode"),
    )
    if False in switches:
        return False
    return "build-system" in data or legacy or (declared and True in switches)


def _build_system(data: Table) -> BuildSystem:
    if "build-system" not in data:
        return _LEGACY
    table = data.table("build-system")
    return BuildSystem(
        backend=table.text("build-backend") or _LEGACY.backend,
        requires=table.texts("requires"),
        has_backend_path="backend-path" in table,
    )


def _requires_python(project: Table) -> SpecifierSet | None:
    text = project.text("requires-python")
    try:
        return SpecifierSet(text) if text else None
    except InvalidSpecifier as error:
        raise TableError(project.place("requires-python"), str(error)) from error


def _poetry_python(dependencies: Table) -> SpecifierSet | None:
    """Read the Python that a project asks for in Poetry's own table."""
    text = dependencies.text("python")
    try:
        return Constraint.parse(text).requires_python if text else None
    except ValueError as error:
        raise TableError(dependencies.place("python"), str(error)) from error


def _requirements(table: Table, key: str) -> tuple[Requirement, ...]:
    try:
        return tuple(Requirement(text) for text in table.texts(key))
    except InvalidRequirement as error:
        raise TableError(table.place(key), str(error).partition("\n")[0]) from error


def _pinned_python(root: Path) -> str | None:
    """Read the first CPython version of `.python-version` (pyenv, uv, rye)."""
    path = root / ".python-version"
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := re.match(r"\s*(?:cpython[-@])?(3\.\d+)(?:\.\d+)?(?:[+-].*)?\s*$", line):
            return match[1]
    return None
