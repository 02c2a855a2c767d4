"""Find packages that another tool takes from elsewhere than uv would.

A project may say in the tables of its own tool where packages come from: a local folder, a
repository, or an index. uv does not read these tables. It would take a package of the same
name from its own index, which may be a stranger's, so `lambda-build lock` refuses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import group_names, group_requirements
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import LockError, SettingsError
from lambda_build_plugin.fetch.configuration import DEFAULT_INDEX
from lambda_build_plugin.fetch.raw_sources import RawSources
from lambda_build_plugin.fetch.sources import index_key
from lambda_build_plugin.fetch.uv_config import add_uv
from lambda_build_plugin.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Host, Settings
    from lambda_build_plugin.config.tables import Table

__all__ = ["Foreign", "ForeignSourceError", "check_sources"]

_ORIGINS = ("path", "file", "git", "hg", "svn", "url", "source", "index")
"""Keys of a dependency in a tool's own table that say where it comes from."""

_COMMANDS = {"poetry": "poetry lock", "pdm": "pdm lock", "rye": "rye lock"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """One thing that uv would not know."""

    tool: str
    line: str


class ForeignSourceError(LockError):
    """The project's own tool takes packages from elsewhere than uv would."""

    def __init__(self, project: Project, found: Sequence[Foreign]) -> None:
        self.project = project
        commands = [
            f"`{_COMMANDS[tool]}`"
            for tool in dict.fromkeys(item.tool for item in found)
            if tool in _COMMANDS
        ]
        own = (
            f"lock with {' or '.join(commands)}, whose lock is packaged as well; or "
            if commands
            else ""
        )
        super().__init__(
            f"`lambda-build lock` cannot lock {project.name}: uv would take packages from "
            "elsewhere than the project says",
            why=[f"- {item.line}" for item in found],
            hint=f"{own}configure the same for uv with [tool.uv.sources], [[tool.uv.index]] or "
            "`override-dependencies`",
        )


def check_sources(settings: Settings, *, extras: Iterable[str] | None) -> None:
    """Check that uv takes every package from where the project's own tool does.

    Args:
        settings: Name the project and the groups to lock.
        extras: The extras to lock; None for all.

    Raises:
        ForeignSourceError: It would take one from elsewhere.
        SettingsError: A table is not valid.
    """
    project = settings.project
    try:
        asked = _asked_names(settings, extras) - _known_to_uv(project)
        found = [
            *_in_poetry(project, asked, settings),
            *_in_pixi(project, asked),
            *_overridden_by_pdm(project),
            *_members(project, asked),
            *_indexes(settings),
        ]
    except TableError as error:
        raise SettingsError([str(error)], hint=f"fix {project.root / 'pyproject.toml'}") from error
    if found:
        raise ForeignSourceError(project, found)


def _asked_names(settings: Settings, extras: Iterable[str] | None) -> set[NormalizedName]:
    """List what is locked by name, so that an index decides what it is."""
    project = settings.project
    optional = project.optional_dependencies
    chosen = optional if extras is None else {*map(canonicalize_name, extras)} & {*optional}
    requirements = [
        *(project.dependencies or ()),
        *(each for extra in chosen for each in optional[extra]),
        *(
            each
            for group in sorted(settings.groups & group_names(project))
            for each in group_requirements(project, group)
        ),
    ]
    return {canonicalize_name(each.name) for each in requirements if each.url is None}


def _known_to_uv(project: Project) -> set[NormalizedName]:
    return {canonicalize_name(name) for name in project.tool.table("uv").table("sources")}


def _in_poetry(
    project: Project, asked: set[NormalizedName], settings: Settings
) -> Iterator[Foreign]:
    """Yield the dependencies for which Poetry's own tables name an origin.

    https://python-poetry.org/docs/dependency-specification/
    """
    poetry = project.tool.table("poetry")
    groups = poetry.table("group")
    tables = [
        poetry.table("dependencies"),
        *(
            groups.table(name).table("dependencies")
            for name in groups
            if canonicalize_name(name) in settings.groups
        ),
    ]
    for table in tables:
        # poetry-core writes its own dependencies into the metadata, except for their sources.
        dynamic = project.dependencies is None and table is tables[0]
        for name in table:
            origins = [*_origins(table, name)]
            if dynamic:
                origins = [(key, text) for key, text in origins if key == "source"]
            elif canonicalize_name(name) not in asked:
                continue
            for key, text in origins:
                if key != "source" or not _is_known(_poetry_source(poetry, text), settings):
                    yield Foreign(
                        tool="poetry",
                        line=f"{table.place(name)} names the {key} `{redacted(text)}`",
                    )


def _poetry_source(poetry: Table, name: str) -> str:
    for source in poetry.tables("source"):
        if source.text("name") == name:
            return source.text("url") or ""
    return DEFAULT_INDEX if name.lower() == "pypi" else ""


def _in_pixi(project: Project, asked: set[NormalizedName]) -> Iterator[Foreign]:
    """Yield the dependencies for which pixi's table names an origin.

    https://pixi.sh/latest/reference/pixi_manifest/#pypi-dependencies
    """
    table = project.tool.table("pixi").table("pypi-dependencies")
    for name in table:
        if canonicalize_name(name) in asked:
            for key, text in _origins(table, name):
                yield Foreign(
                    tool="pixi", line=f"{table.place(name)} names the {key} `{redacted(text)}`"
                )


def _origins(table: Table, name: str) -> Iterator[tuple[str, str]]:
    """Yield where a dependency comes from; there may be several for different markers."""
    value = table.raw(name)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield from ((key, str(item[key])) for key in _ORIGINS if key in item)


def _overridden_by_pdm(project: Project) -> Iterator[Foreign]:
    """Yield what PDM locks in place of what is asked for.

    https://pdm-project.org/latest/reference/pep621/#dependency-resolution
    """
    resolution = project.tool.table("pdm").table("resolution")
    for name in resolution.table("overrides"):
        place = resolution.table("overrides").place(name)
        yield Foreign(tool="pdm", line=f"{place} overrides what is asked for")
    for name in resolution.texts("excludes"):
        yield Foreign(tool="pdm", line=f"{resolution.place('excludes')} leaves out {name}")


def _members(project: Project, asked: set[NormalizedName]) -> Iterator[Foreign]:
    """Yield the members of a workspace that are asked for by name.

    uv refuses its own members without a source, so only those of other tools are searched.
    """
    for folder in (project.root, *project.root.parents):
        for tool, patterns in _workspaces(folder):
            for place, name in _projects(folder, patterns):
                if name in asked and place.resolve() != project.root:
                    yield Foreign(
                        tool=tool,
                        line=f"{name} is a member of the {tool} workspace in {folder}",
                    )
        if (folder / ".git").exists():
            return


def _workspaces(folder: Path) -> Iterator[tuple[str, Sequence[str]]]:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return
    tool = read_toml(path).table("tool")
    for name in ("pdm", "rye"):
        if "workspace" in tool.table(name):
            yield name, tool.table(name).table("workspace").texts("members") or ("*", "*/*")
    envs = tool.table("hatch").table("envs")
    for name in envs:
        members = envs.table(name).table("workspace").raw("members")
        if isinstance(members, list):
            yield (
                "hatch",
                [
                    str(item.get("path", "")) if isinstance(item, dict) else str(item)
                    for item in members
                ],
            )


def _projects(folder: Path, patterns: Iterable[str]) -> Iterator[tuple[Path, NormalizedName]]:
    """Yield the folders and names of the projects that patterns match."""
    for pattern in patterns:
        relative = pattern.strip("/")
        if not relative or pattern.startswith("/") or ".." in relative.split("/"):
            continue
        for path in sorted(folder.glob(f"{relative}/pyproject.toml")):
            data = read_toml(path)
            name = data.table("project").text("name") or data.table("tool").table("poetry").text(
                "name"
            )
            if name:
                yield path.parent, canonicalize_name(name)


def _indexes(settings: Settings) -> Iterator[Foreign]:
    """Yield the indexes in the tables of other tools that uv is not configured with."""
    tool = settings.project.tool
    for name, sources in (
        ("poetry", tool.table("poetry").tables("source")),
        ("pdm", tool.table("pdm").tables("source")),
        ("rye", tool.table("rye").tables("sources")),
    ):
        for source in sources:
            url = source.text("url") or (
                DEFAULT_INDEX if (source.text("name") or "").lower() == "pypi" else ""
            )
            # Poetry asks an explicit source only for dependencies that name it.
            if source.text("priority") != "explicit" and not _is_known(url, settings):
                yield Foreign(
                    tool=name,
                    line=f"{source.at} is the index `{redacted(url)}`, which uv does not use",
                )


def _is_known(url: str, settings: Settings) -> bool:
    environ = settings.host.environ
    filled = re.sub(r"\$\{(\w+)\}", lambda match: environ.get(match[1], match[0]), url)
    return _key(filled) in _uv_indexes(settings.host, settings.project.root)


def _uv_indexes(host: Host, root: Path) -> set[str]:
    """List the indexes that uv searches for every package."""
    raw = RawSources()
    add_uv(raw, host.environ, home=host.home, project=root, etc=Path("/etc"))
    defaults = raw.defaults[:1] or [DEFAULT_INDEX]
    return {_key(url) for url in (*defaults, *raw.extras, *raw.find_links)}


def _key(url: str) -> str:
    return index_key(url).rstrip("/")
