"""Check that a uv.lock still matches pyproject.toml.

uv stores the requirements it locked for (`[package.metadata] requires-dist`) in
its own spelling: markers are rewritten (`platform_system == "Windows"` becomes
`sys_platform == "win32"`). So requirements are compared by meaning: two markers are
equal if they agree in every environment that their values can tell apart. The source
of a requirement in `[tool.uv.sources]` is part of it, and wins over a URL that the
requirement itself names, as in uv.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin import urls
from lambda_build_plugin.config.project import group_names, group_requirements
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.marker_meaning import same_meaning

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["constraint_differences", "differences"]

_LOCAL = ("path", "directory", "editable", "virtual")
"""Keys of a locked requirement that is on this machine."""

_CONSTRAINTS = (
    ("build-constraint-dependencies", "build-constraints", False),
    ("constraint-dependencies", "constraints", True),
    ("override-dependencies", "overrides", True),
)
"""Keys of `[tool.uv]`, of `[manifest]`, and whether new ones count only for locked packages."""

_SUBDIRECTORY = "#subdirectory="


class _Requested(NamedTuple):
    """What identifies a requirement, apart from its marker."""

    name: NormalizedName
    extras: frozenset[NormalizedName]
    specifier: SpecifierSet | None
    """None if the source decides, and not the version."""

    source: str = ""
    """The commit or file that it names; empty if that is on this machine."""

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        address, mark, folder = self.source.partition(_SUBDIRECTORY)
        source = f" @ {urls.redacted(address)}{mark}{folder}" if self.source else ""
        return f"{self.name}{extras}{self.specifier or ''}{source}"

    @property
    def without_source(self) -> _Requested:
        """The same requirement without its source, for when that cannot be compared."""
        return self._replace(specifier=None, source="")


_Requirements = dict[_Requested, list[str]]
"""Each requirement with the markers of its lines; an empty marker always holds."""


def differences(
    project: Project, metadata: Table, lock: Table, *, inherited: Mapping[str, object] | None
) -> Sequence[str]:
    """List the requirements in which pyproject.toml and the lock differ.

    A project with dynamic dependencies cannot be compared, so no differences are
    reported; its dependency groups (PEP 735) are never dynamic.

    Args:
        project: What pyproject.toml asks for.
        metadata: The table `[package.metadata]` of the project's entry in the lock.
        lock: The whole lock.
        inherited: What `[tool.uv.sources]` of the workspace's root says, which counts for
            the names that the member's own table does not have; None if it is unknown.

    Raises:
        SettingsError: A dependency group is not written as PEP 735 says.
    """
    sources = _sources(project, inherited or {})
    requires_python = fields.specifier(lock, "requires-python") or SpecifierSet()
    found: list[str] = []
    for group, asked, locked in _lists(project, metadata):
        old_lines = list(map(_locked, locked))
        without_source = _conditional(sources)
        if inherited is None:
            without_source |= {old.name for old, _ in old_lines if old.specifier is None} - {
                *sources
            }
        new_lines = (_requested(each, gate, sources) for each, gate in asked)
        lines = _compared(
            _grouped(new_lines, without_source),
            _grouped(old_lines, without_source),
            requires_python,
        )
        found += [f"{line} (group `{group}`)" if group else line for line in lines]
    return found


def constraint_differences(
    tool: Table, lock: Table, packages: Collection[NormalizedName]
) -> Sequence[str]:
    """List the constraints and overrides in which `[tool.uv]` and the lock differ.

    A new constraint on a package that is not in the lock is none: uv does not lock again for it.

    Args:
        tool: `[tool.uv]` of the root of the workspace: uv does not heed that of its members.
        lock: The whole lock.
        packages: The names of all packages in it.
    """
    requires_python = fields.specifier(lock, "requires-python") or SpecifierSet()
    sources = {canonicalize_name(key) for key in tool.table("sources")}
    found: list[str] = []
    for key, manifest_key, counts_if_locked in _CONSTRAINTS:
        locked = list(map(_locked, lock.table("manifest").tables(manifest_key)))
        known = {*packages, *(each.name for each, _ in locked)}
        asked = (_requested(Requirement(text), "", {}) for text in tool.texts(key))
        counted = (each for each in asked if not counts_if_locked or each[0].name in known)
        lines = _compared(_grouped(counted, sources), _grouped(locked, sources), requires_python)
        found += [f"{line} (`{key}`)" for line in lines]
    return found


def _lists(
    project: Project, metadata: Table
) -> Iterator[tuple[str, Iterable[tuple[Requirement, str]], Sequence[Table]]]:
    """Yield what is compared: the dependencies with the extras, and each dependency group."""
    if project.dependencies is not None:
        yield "", _asked(project), metadata.tables("requires-dist")
    locked = metadata.table("requires-dev")
    by_name = {canonicalize_name(key): locked.tables(key) for key in locked}
    old_style = _old_development_dependencies(project)
    names = {*group_names(project), *by_name, *(["dev"] if old_style else [])}
    for name in sorted(map(canonicalize_name, names)):
        asked = group_requirements(project, name) if name in group_names(project) else ()
        asked += old_style if name == "dev" else ()
        yield name, ((each, "") for each in asked), by_name.get(name, ())


def _old_development_dependencies(project: Project) -> tuple[Requirement, ...]:
    """Get `[tool.uv] dev-dependencies`, which uv adds to the group `dev`."""
    texts = project.tool.table("uv").texts("dev-dependencies")
    return tuple(map(Requirement, texts))


def _asked(project: Project) -> Iterator[tuple[Requirement, str]]:
    yield from ((each, "") for each in project.dependencies or ())
    for extra, requirements in project.optional_dependencies.items():
        yield from ((each, f'extra == "{extra}"') for each in requirements)


def _compared(
    asked: _Requirements, locked: _Requirements, requires_python: SpecifierSet
) -> list[str]:
    return [
        *(f"- {_line(new, asked[new])}: not in the lock" for new in asked if new not in locked),
        *(f"- {_line(old, locked[old])}: only in the lock" for old in locked if old not in asked),
        *(
            f"- {both}: asked for as {_condition(asked[both])}, "
            f"locked as {_condition(locked[both])}"
            for both in asked
            if both in locked and not same_meaning(asked[both], locked[both], requires_python)
        ),
    ]


def _grouped(
    lines: Iterable[tuple[_Requested, str]], without_source: Collection[NormalizedName]
) -> _Requirements:
    found: defaultdict[_Requested, list[str]] = defaultdict(list)
    for asked, marker in lines:
        found[asked.without_source if asked.name in without_source else asked].append(marker)
    return dict(found)


def _locked(table: Table) -> tuple[_Requested, str]:
    """Read an item of `requires-dist` or `requires-dev`: a requirement with its marker."""
    name = canonicalize_name(table.required_text("name"))
    extras = frozenset(map(canonicalize_name, table.texts("extras")))
    git, url = table.text("git"), table.text("url")
    marker = fields.marker(table)
    condition = marker.text if marker else ""
    if git is not None:
        location, _, query = git.partition("?")
        source = _commit(location, dict(parse_qsl(query)))
        return _Requested(name, extras, None, source), condition
    if url is not None or any(key in table for key in _LOCAL):
        return _Requested(name, extras, None, _file(url or "")), condition
    specifier = fields.specifier(table, "specifier") or SpecifierSet()
    return _Requested(name, extras, specifier), condition


def _requested(
    requirement: Requirement, gate: str, sources: Mapping[NormalizedName, object]
) -> tuple[_Requested, str]:
    """Read a requirement of pyproject.toml with its marker, to which the gate is added."""
    name = canonicalize_name(requirement.name)
    extras = frozenset(map(canonicalize_name, requirement.extras))
    marker = f"({requirement.marker})" if requirement.marker else ""
    source = _source(requirement, sources.get(name))
    asked = (
        _Requested(name, extras, requirement.specifier)
        if source is None
        else _Requested(name, extras, None, source)
    )
    return asked, " and ".join(filter(None, (marker, gate)))


def _source(requirement: Requirement, table: object) -> str | None:
    """Give the source of a requirement in one spelling; None for an index."""
    if not isinstance(table, dict):
        return None if requirement.url is None else _direct(requirement.url)
    if "index" in table:
        return None
    if "git" in table:
        return _commit(str(table["git"]), table)
    return _file(str(table.get("url", "")))


def _sources(project: Project, inherited: Mapping[str, object]) -> Mapping[NormalizedName, object]:
    """Get `[tool.uv.sources]` by name, with what the root of the workspace adds."""
    own = project.tool.table("uv").table("sources")
    by_name = {canonicalize_name(key): value for key, value in inherited.items()}
    return {**by_name, **{canonicalize_name(key): own.raw(key) for key in own}}


def _conditional(sources: Mapping[NormalizedName, object]) -> set[NormalizedName]:
    """Name the requirements whose source depends on a marker, an extra or a group."""
    return {
        name
        for name, table in sources.items()
        if not isinstance(table, dict) or {"marker", "extra", "group"} & {*table}
    }


def _direct(url: str) -> str:
    """Give the URL of a requirement `name @ URL` (PEP 508) in one spelling."""
    if url.startswith("file:"):
        return ""
    if not url.startswith("git+"):
        return _file(url)
    location, _, fragment = url.removeprefix("git+").partition("#")
    path, at, reference = location.rpartition("@")
    if not at or "/" not in path.partition("://")[2]:
        path, reference = location, ""
    return _commit(path, {**dict(parse_qsl(fragment)), "rev": reference})


def _commit(url: str, options: Mapping[str, object]) -> str:
    """Give a commit in one spelling, without credentials: uv does not lock them."""
    reference = next((options[key] for key in ("rev", "tag", "branch") if options.get(key)), "")
    subdirectory = options.get("subdirectory")
    return (
        _file(url).removesuffix("/").removesuffix(".git")
        + (f"@{reference}" if reference else "")
        + (f"{_SUBDIRECTORY}{subdirectory}" if subdirectory else "")
    )


def _file(url: str) -> str:
    return unquote(urls.without_login(url).partition("#")[0])


def _line(asked: _Requested, markers: Iterable[str]) -> str:
    condition = _condition(markers)
    return str(asked) if condition == "always" else f"{asked} ({condition})"


def _condition(markers: Iterable[str]) -> str:
    listed = list(markers)
    return "always" if "" in listed else "`" + " or ".join(listed) + "`"
