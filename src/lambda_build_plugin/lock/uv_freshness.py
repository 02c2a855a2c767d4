"""Check that a uv.lock still matches pyproject.toml.

uv stores the requirements it locked for (`[package.metadata] requires-dist`) in
its own spelling: markers are rewritten (`platform_system == "Windows"` becomes
`sys_platform == "win32"`). So requirements are compared by meaning: two markers are
equal if they agree in every environment that their values can tell apart. The source
of a requirement in `[tool.uv.sources]` is part of it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin import urls
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.marker_meaning import same_meaning

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["differences"]

_LOCAL = ("path", "directory", "editable", "virtual")
"""Keys of a locked requirement that is on this machine."""

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


def differences(project: Project, metadata: Table, lock: Table, *, inherits: bool) -> Sequence[str]:
    """List the requirements in which pyproject.toml and the lock differ.

    A project with dynamic dependencies cannot be compared, so no differences are
    reported. A project that `inherits` may have sources from the root of its workspace,
    which are not known here.
    """
    if project.dependencies is None:
        return ()
    locked = list(_locked(metadata))
    asked = list(_requested(project))
    without_source = _conditional_sources(project)
    if inherits:
        own = {new.name for new, _ in asked if new.specifier is None}
        without_source |= {old.name for old, _ in locked if old.specifier is None} - own
    return _compared(
        _grouped(asked, without_source),
        _grouped(locked, without_source),
        fields.specifier(lock, "requires-python") or SpecifierSet(),
    )


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


def _locked(metadata: Table) -> Iterator[tuple[_Requested, str]]:
    """Read `requires-dist`: each requirement with its marker."""
    for table in metadata.tables("requires-dist"):
        name = canonicalize_name(table.required_text("name"))
        extras = frozenset(map(canonicalize_name, table.texts("extras")))
        git, url = table.text("git"), table.text("url")
        marker = fields.marker(table)
        condition = marker.text if marker else ""
        if git is not None:
            location, _, query = git.partition("?")
            yield (
                _Requested(name, extras, None, _commit(location, dict(parse_qsl(query)))),
                condition,
            )
        elif url is not None or any(key in table for key in _LOCAL):
            yield _Requested(name, extras, None, _file(url or "")), condition
        else:
            specifier = fields.specifier(table, "specifier") or SpecifierSet()
            yield _Requested(name, extras, specifier), condition


def _requested(project: Project) -> Iterator[tuple[_Requested, str]]:
    """Read pyproject.toml: each requirement with its marker."""
    sources = project.tool.table("uv").table("sources")
    by_name = {canonicalize_name(key): sources.raw(key) for key in sources}

    def read(requirement: Requirement, gate: str) -> tuple[_Requested, str]:
        name = canonicalize_name(requirement.name)
        extras = frozenset(map(canonicalize_name, requirement.extras))
        marker = f"({requirement.marker})" if requirement.marker else ""
        source = _source(requirement, by_name.get(name))
        asked = (
            _Requested(name, extras, requirement.specifier)
            if source is None
            else _Requested(name, extras, None, source)
        )
        return asked, " and ".join(filter(None, (marker, gate)))

    yield from (read(requirement, "") for requirement in project.dependencies or ())
    for extra, requirements in project.optional_dependencies.items():
        yield from (read(requirement, f'extra == "{extra}"') for requirement in requirements)


def _source(requirement: Requirement, table: object) -> str | None:
    """Give the source of a requirement in one spelling; None for an index."""
    if requirement.url is not None:
        return _direct(requirement.url)
    if not isinstance(table, dict) or "index" in table:
        return None
    if "git" in table:
        return _commit(str(table["git"]), table)
    return _file(str(table.get("url", "")))


def _conditional_sources(project: Project) -> set[NormalizedName]:
    """Name the requirements whose source depends on a marker, an extra or a group."""
    sources = project.tool.table("uv").table("sources")
    return {
        canonicalize_name(key)
        for key in sources
        if not isinstance(table := sources.raw(key), dict)
        or any(condition in table for condition in ("marker", "extra", "group"))
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
