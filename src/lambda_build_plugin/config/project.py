"""pyproject.toml and its neighbours → `Project`: what is to be packaged.

Reads the standard tables (PEP 518, 621, 735) and, where a tool keeps the same
fact in a table of its own, that one. Executes nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.tables import Table, TableError, is_nested_deeply, read_toml
from lambda_build_plugin.errors import SettingsError, excerpt
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from packaging.utils import NormalizedName

__all__ = [
    "BuildSystem",
    "Project",
    "group_names",
    "group_requirements",
    "metadata_requirements",
    "named_requirements",
    "read_project",
]

_NAMELESS = re.compile(r"[a-z]+(?:\+[a-z]+)?://")
"""A requirement that begins with its URL."""

_PINNED = re.compile(
    r"""
    (?: c?python [-@]? )?  # uv's request for CPython: cpython-3.12, cpython@3.12, python3.12
    (3\.\d+)
    (?: \.\d+ )?
    (?: (?:a|b|rc)\d+ )?
    (?: t | [-+/].* )?     # 3.13t, 3.13+freethreaded, 3.14-dev, a platform, pyenv's 3.12/envs/x
    """,
    re.VERBOSE,
)

_WORKSPACE_LOCKS = ("uv.lock", "pdm.lock", "requirements.lock")
"""Locks at the root of a workspace that also serve its members (uv, PDM, rye)."""

_KEPT = 128
"""Files whose content was read; a workspace may have as many members."""


@dataclass(frozen=True, kw_only=True)
class BuildSystem:
    """The `[build-system]` table, with the defaults of PEP 517 filled in."""

    backend: str
    requires: tuple[str, ...]
    has_backend_path: bool = False


_LEGACY = BuildSystem(backend="setuptools.build_meta:__legacy__", requires=("setuptools>=40.8",))


@dataclass(frozen=True, kw_only=True)
class Project:
    """One project folder."""

    root: Path
    """Absolute."""

    name: NormalizedName
    """From the metadata, else the folder's."""

    version: str | None = None
    """Normalized (PEP 440); None where it is dynamic."""

    requires_python: SpecifierSet | None = None
    requires_python_key: str = "requires-python"
    """Where that is written, for messages."""

    dependencies: tuple[Requirement, ...] | None = ()
    """None where only the build backend could tell them, or those of the extras."""

    optional_dependencies: Mapping[NormalizedName, tuple[Requirement, ...]] = field(
        default_factory=dict
    )
    is_package: bool = True
    """Whether a wheel can be built of it."""

    build_system: BuildSystem = _LEGACY
    pyproject: Table = field(default_factory=lambda: Table({}, at="pyproject.toml"))
    tool: Table = field(default_factory=lambda: Table({}, at="pyproject.toml: tool"))
    pinned_python: str | None = None
    """The first version that the nearest `.python-version` names, such as `3.13`."""

    pinned_in: str | None = None
    """The path of that file from the project's folder, such as `../.python-version`."""

    @property
    def needs_no_lock(self) -> bool:
        """Whether nothing at all could be locked for it."""
        return self.dependencies == () and not self.optional_dependencies


def read_project(root: Path) -> Project:
    """Read the project in a folder; a folder without pyproject.toml is one too.

    Raises:
        SettingsError: The folder or its pyproject.toml cannot be read.
    """
    try:
        if not root.is_dir():
            raise SettingsError([f"{root} is not a folder"], hint="name the project's folder")
        return _read(root.resolve())
    except TableError as error:
        file = error.at.partition(":")[0]
        raise SettingsError([str(error)], hint=f"fix {root / file}") from error
    except OSError as error:
        raise SettingsError(
            [f"cannot read {error.filename or root}: {error.strerror}"],
            hint="name another folder, or check its permissions",
        ) from error


def metadata_requirements(project: Project) -> tuple[Requirement, ...]:
    """Write the requirements of the project as core metadata has them: extras are markers."""
    optional = (
        Requirement(f"{_unmarked(requirement)} ; {_in_extra(requirement, extra)}")
        for extra, requirements in project.optional_dependencies.items()
        for requirement in requirements
    )
    return (*(project.dependencies or ()), *optional)


def _unmarked(requirement: Requirement) -> Requirement:
    copy = Requirement(str(requirement))
    copy.marker = None
    return copy


def _in_extra(requirement: Requirement, extra: str) -> str:
    gate = f'extra == "{extra}"'
    return f"({requirement.marker}) and {gate}" if requirement.marker else gate


def group_names(project: Project) -> frozenset[NormalizedName]:
    """List the dependency groups of the project (PEP 735)."""
    return frozenset(map(canonicalize_name, project.pyproject.table("dependency-groups")))


def group_requirements(project: Project, group: NormalizedName) -> tuple[Requirement, ...]:
    """Get what a dependency group asks for, with the groups that it includes (PEP 735).

    Raises:
        SettingsError: The group is not written as the PEP says.
    """
    try:
        return tuple(_of_group(project.pyproject.table("dependency-groups"), group, ()))
    except TableError as error:
        raise SettingsError([str(error)], hint=f"fix {project.root / 'pyproject.toml'}") from error


def named_requirements(
    project: Project, groups: Collection[NormalizedName], *, main: bool
) -> Iterator[Requirement]:
    """Yield what groups ask for, and what tables of hosts' own do, these without versions.

    Those tables have languages of their own (`[tool.poetry.dependencies]`), of which the
    names and extras are all that is read.

    Raises:
        SettingsError: A group is not written as PEP 735 says.
    """
    standard = group_names(project)
    for group in sorted(groups):
        if group in standard:
            yield from group_requirements(project, group)
    try:
        yield from _of_hosts(project.tool, groups, main=main)
    except TableError as error:
        raise SettingsError([str(error)], hint=f"fix {project.root / 'pyproject.toml'}") from error


def _of_hosts(
    tool: Table, groups: Collection[NormalizedName], *, main: bool
) -> Iterator[Requirement]:
    poetry, pdm = tool.table("poetry"), tool.table("pdm").table("dev-dependencies")
    of_groups = poetry.table("group")
    tables = [of_groups.table(key).table("dependencies") for key in of_groups if _in(key, groups)]
    for table in (poetry.table("dependencies"), *tables) if main else tables:
        for name in table:
            if name != "python":
                yield Requirement(f"{canonicalize_name(name)}[{','.join(_extras(table, name))}]")
    for key in pdm:
        if _in(key, groups):
            lines = [line for line in pdm.texts(key) if not line.startswith("-")]
            yield from _requirements(Table({key: lines}, at=pdm.at), key)


def _in(name: str, names: Collection[NormalizedName]) -> bool:
    return canonicalize_name(name) in names


def _extras(table: Table, name: str) -> Iterator[str]:
    """Yield the extras of a dependency in Poetry's table; there may be several constraints."""
    value = table.raw(name)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield from Table(item, at=table.place(name)).texts("extras")


def _of_group(groups: Table, group: str, above: tuple[str, ...]) -> Iterator[Requirement]:
    """Yield the requirements of a group and of the groups that it includes.

    Not by the library `dependency-groups`: its errors do not say where in the file a mistake
    is, and it lets through what `packaging` raises of overlong numbers and deep markers.
    """
    name = canonicalize_name(group)
    spellings = [key for key in groups if canonicalize_name(key) == name]
    if not spellings or name in above:
        problem = "includes itself" if name in above else "is included, but does not exist"
        raise TableError(groups.place(group), problem)
    spelled, *others = spellings
    if others:
        raise TableError(groups.place(spelled), f"is the same group as `{others[0]}`")
    items = groups.raw(spelled)
    if not isinstance(items, list):
        raise TableError(groups.place(spelled), "must be a list")
    for index, item in enumerate(items):
        if isinstance(item, dict):
            included = Table(item, at=f"{groups.place(spelled)}[{index}]")
            if unknown := sorted({*item} - {"include-group"}):
                raise TableError(included.place(unknown[0]), "is not known here: see PEP 735")
            yield from _of_group(groups, included.required_text("include-group"), (*above, name))
        else:
            yield from _requirements(Table({spelled: [item]}, at=groups.at), spelled)


def _read(root: Path) -> Project:
    path = root / "pyproject.toml"
    if path.is_file():
        return _from_pyproject(root, read_toml(path))
    pinned_python, pinned_in = _pinned_python(root)
    return Project(
        root=root,
        name=canonicalize_name(root.name or "root"),
        dependencies=None,
        requires_python=_pipfile_python(root / "Pipfile"),
        requires_python_key="python_version of the Pipfile",
        is_package=(root / "setup.py").is_file(),
        pinned_python=pinned_python,
        pinned_in=pinned_in,
    )


def _from_pyproject(root: Path, data: Table) -> Project:
    is_package = _is_package(data, legacy=_is_legacy_package(root))
    pinned_python, pinned_in = _pinned_python(root)
    return replace(
        _declared(data),
        root=root,
        name=_name(data) or canonicalize_name(root.name or "root"),
        is_package=is_package,
        pinned_python=pinned_python,
        pinned_in=pinned_in,
    )


@lru_cache(maxsize=_KEPT)
def _declared(data: Table) -> Project:
    """Read what does not depend on the folder.

    A local library is read for each project of a run that needs it, and `read_toml` returns the
    same table as long as the file is the same.
    """
    project = data.table("project")
    optional = project.table("optional-dependencies")
    return Project(
        root=Path(),
        name=canonicalize_name("unknown"),
        version=_version(data),
        requires_python=_requires_python(project)
        or _poetry_python(data.table("tool").table("poetry").table("dependencies")),
        requires_python_key="requires-python"
        if "requires-python" in project
        else "python of [tool.poetry.dependencies]",
        dependencies=_dependencies(data),
        optional_dependencies={
            canonicalize_name(extra): _requirements(optional, extra) for extra in optional
        },
        build_system=_build_system(data),
        pyproject=data,
        tool=data.table("tool"),
    )


def _name(data: Table) -> NormalizedName | None:
    """Get the declared name. It becomes part of a path, so it must be valid.

    PDM and Poetry accept any text as the name of a project that is not packaged, also an
    empty one. Such a name is not used.
    """
    for table in (data.table("project"), data.table("tool").table("poetry")):
        if (text := table.text("name")) is not None:
            try:
                return canonicalize_name(text, validate=True)
            except InvalidName as error:
                if _is_never_packaged(data.table("tool")):
                    return None
                raise TableError(
                    table.place("name"), f"`{text}` is not a valid name (PEP 508)"
                ) from error
    return None


def _version(data: Table) -> str | None:
    for table in (data.table("project"), data.table("tool").table("poetry")):
        if (text := table.text("version")) is not None:
            try:
                return str(Version(text))
            except ValueError as error:
                raise TableError(
                    table.place("version"), f"`{excerpt(text)}` is not a valid version (PEP 440)"
                ) from error
    return None


def _dependencies(data: Table) -> tuple[Requirement, ...] | None:
    """Get the requirements of the project, or None where they stand nowhere to be read.

    They may be dynamic, in setup.py or setup.cfg, or in Poetry's own table, whose
    language is another one.
    """
    project, tool = data.table("project"), data.table("tool")
    listed = _requirements(project, "dependencies")
    if {"dependencies", "optional-dependencies"} & set(project.texts("dynamic")):
        return None
    if "project" not in data and "poetry" not in tool:
        return None
    if not listed and set(tool.table("poetry").table("dependencies")) - {"python"}:
        return None
    return listed


def _is_legacy_package(root: Path) -> bool:
    """Tell whether setuptools' old files make a package; many a setup.cfg is for linters."""
    if (root / "setup.py").is_file():
        return True
    configuration = root / "setup.cfg"
    return configuration.is_file() and bool(
        re.search(
            r"^\[metadata\]",
            configuration.read_text(encoding="utf-8", errors="replace"),
            re.MULTILINE,
        )
    )


def _is_package(data: Table, *, legacy: bool) -> bool:
    """Tell whether the project's own tool would build a wheel of it.

    Each tool has a switch. Without one, a `[build-system]` makes a package, as in uv:
    the fallback of setuptools would package whatever is in the folder.
    """
    tool = data.table("tool")
    declared = "name" in data.table("project") or "name" in tool.table("poetry")
    if _is_never_packaged(tool):
        return False
    return "build-system" in data or legacy or (declared and True in _switches(tool))


def _is_never_packaged(tool: Table) -> bool:
    """Tell whether the project's tool is told not to build a wheel of it."""
    return False in _switches(tool) or bool(tool.table("rye").flag("virtual"))


def _switches(tool: Table) -> tuple[bool | None, ...]:
    return (
        tool.table("uv").flag("package"),
        tool.table("pdm").flag("distribution"),
        tool.table("poetry").flag("package-mode"),
    )


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
        found = SpecifierSet(text) if text else None
        hash(found)  # only now are numbers read, which may have too many digits
    except ValueError as error:
        raise TableError(
            project.place("requires-python"),
            f"`{excerpt(text or '')}` is not a valid version specifier (PEP 440)",
        ) from error
    return found


def _poetry_python(dependencies: Table) -> SpecifierSet | None:
    """Read the Python that a project asks for in Poetry's own table."""
    text = dependencies.text("python")
    from lambda_build_plugin.config.poetry_constraint import Constraint  # for Poetry alone

    try:
        return Constraint.parse(text).requires_python if text else None
    except ValueError as error:
        raise TableError(dependencies.place("python"), str(error)) from error


def _pipfile_python(path: Path) -> SpecifierSet | None:
    """Read the one Python that pipenv resolves for."""
    if not path.is_file():
        return None
    requires = read_toml(path).table("requires")
    text = requires.text("python_version")
    try:
        return SpecifierSet(f"=={text}.*") if text else None
    except ValueError as error:
        raise TableError(
            requires.place("python_version"),
            f"`{excerpt(text or '')}` is not a valid version (PEP 440)",
        ) from error


def _requirements(table: Table, key: str) -> tuple[Requirement, ...]:
    texts = table.texts(key)
    try:
        found = tuple(map(Requirement, texts))
        for requirement in found:
            hash(requirement)  # only now are numbers read, which may have too many digits
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError) or any(map(is_nested_deeply, texts)):
            raise TableError(table.place(key), "a marker in it is nested too deep") from error
        nameless = next((text for text in texts if _NAMELESS.match(text)), None)
        if nameless is not None:
            scheme = nameless.partition("://")[0]  # the rest may contain a login
            problem = f"a URL needs the name of the package in front: `name @ {scheme}://…`"
            raise TableError(table.place(key), problem) from error
        raise TableError(table.place(key), str(error).partition("\n")[0]) from error
    return found


def _pinned_python(root: Path) -> tuple[str | None, str | None]:
    """Find the nearest `.python-version` that names a version of CPython.

    uv and pyenv search the folders above a project, too. Here, the search ends at the top of
    the repository, or without one at the lock of a workspace, because what is above belongs
    to somebody else.

    Returns:
        The version, and the path of the file from the project's folder.
    """
    for steps, folder in enumerate(_folders_up(root)):
        if version := _pinned_in(folder / ".python-version"):
            return version, "../" * steps + ".python-version"
    return None, None


def _folders_up(root: Path) -> tuple[Path, ...]:
    folders = (root, *root.parents)
    for names in ((".git",), _WORKSPACE_LOCKS):
        for steps, folder in enumerate(folders, 1):
            if any(os.path.exists(f"{folder}{os.sep}{name}") for name in names):  # noqa: PTH110 - many folders
                return folders[:steps]
    return (root,)


def _pinned_in(path: Path) -> str | None:
    """Read the first CPython version of a `.python-version` (pyenv, uv, rye).

    Versions of other interpreters and ranges are ignored.
    """
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        word = line.strip().partition(" ")[0]
        if match := _PINNED.fullmatch(word):
            return match[1]
    return None
