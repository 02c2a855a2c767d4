"""Does a uv.lock still answer what pyproject.toml asks for?

uv stores the requirements it locked for (`[package.metadata] requires-dist`), in
a spelling of its own: markers are rewritten (`platform_system == "Windows"` becomes
`sys_platform == "win32"`). So requirements are compared by meaning: two markers are
equal if they agree in every environment that their own values can tell apart. What
`[tool.uv.sources]` says of a requirement is part of it.
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
"""Keys of a locked requirement that lies on this machine."""

_SUBDIRECTORY = "#subdirectory="


class _Asked(NamedTuple):
    """What identifies a requirement, apart from its marker."""

    name: NormalizedName
    extras: frozenset[NormalizedName]
    specifier: SpecifierSet | None
    """None where a source decides, not the version."""

    source: str = ""
    """The commit or file that it names; empty where that lies on this machine."""

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        address, mark, folder = self.source.partition(_SUBDIRECTORY)
        source = f" @ {urls.redacted(address)}{mark}{folder}" if self.source else ""
        return f"{self.name}{extras}{self.specifier or ''}{source}"

    @property
    def vague(self) -> _Asked:
        """The same without the source, where that cannot be compared."""
        return self._replace(specifier=None, source="")


_Requirements = dict[_Asked, list[str]]
"""Each requirement with the markers of the lines that ask for it; empty: always."""


def differences(project: Project, metadata: Table, lock: Table, *, inherits: bool) -> Sequence[str]:
    """List the requirements in which pyproject.toml and the lock differ.

    A project whose dependencies are dynamic cannot be compared and is taken as it is.
    One that `inherits` may have sources of the workspace's root, which are not known here.
    """
    if project.dependencies is None:
        return ()
    locked = list(_locked(metadata))
    asked = list(_asked(project))
    vague = _conditional_sources(project)
    if inherits:
        own = {new.name for new, _ in asked if new.specifier is None}
        vague |= {old.name for old, _ in locked if old.specifier is None} - own
    return _compared(
        _gathered(asked, vague),
        _gathered(locked, vague),
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


def _gathered(
    lines: Iterable[tuple[_Asked, str]], vague: Collection[NormalizedName]
) -> _Requirements:
    found: defaultdict[_Asked, list[str]] = defaultdict(list)
    for asked, marker in lines:
        found[asked.vague if asked.name in vague else asked].append(marker)
    return dict(found)


def _locked(metadata: Table) -> Iterator[tuple[_Asked, str]]:
    """Read `requires-dist`: each requirement with its marker."""
    for table in metadata.tables("requires-dist"):
        name = canonicalize_name(table.required_text("name"))
        extras = frozenset(map(canonicalize_name, table.texts("extras")))
        git, url = table.text("git"), table.text("url")
        marker = fields.marker(table)
        condition = marker.text if marker else ""
        if git is not None:
            location, _, query = git.partition("?")
            yield _Asked(name, extras, None, _commit(location, dict(parse_qsl(query)))), condition
        elif url is not None or any(key in table for key in _LOCAL):
            yield _Asked(name, extras, None, _file(url or "")), condition
        else:
            specifier = fields.specifier(table, "specifier") or SpecifierSet()
            yield _Asked(name, extras, specifier), condition


def _asked(project: Project) -> Iterator[tuple[_Asked, str]]:
    """Read pyproject.toml: each requirement with its marker."""
    sources = project.tool.table("uv").table("sources")
    by_name = {canonicalize_name(key): sources.raw(key) for key in sources}

    def read(requirement: Requirement, gate: str) -> tuple[_Asked, str]:
        name = canonicalize_name(requirement.name)
        extras = frozenset(map(canonicalize_name, requirement.extras))
        marker = f"({requirement.marker})" if requirement.marker else ""
        source = _source(requirement, by_name.get(name))
        asked = (
            _Asked(name, extras, requirement.specifier)
            if source is None
            else _Asked(name, extras, None, source)
        )
        return asked, " and ".join(filter(None, (marker, gate)))

    yield from (read(requirement, "") for requirement in project.dependencies or ())
    for extra, requirements in project.optional_dependencies.items():
        yield from (read(requirement, f'extra == "{extra}"') for requirement in requirements)


def _source(requirement: Requirement, table: object) -> str | None:
    """Spell where a requirement comes from; None for an index."""
    if requirement.url is not None:
        return _direct(requirement.url)
    if not isinstance(table, dict) or "index" in table:
        return None
    if "git" in table:
        return _commit(str(table["git"]), table)
    return _file(str(table.get("url", "")))


def _conditional_sources(project: Project) -> set[NormalizedName]:
    """Name the requirements whose source hangs on a marker, an extra or a group."""
    sources = project.tool.table("uv").table("sources")
    return {
        canonicalize_name(key)
        for key in sources
        if not isinstance(table := sources.raw(key), dict)
        or any(condition in table for condition in ("marker", "extra", "group"))
    }


def _direct(url: str) -> str:
    """Spell the URL of a requirement `name @ URL` (PEP 508)."""
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
    """Spell a commit; uv writes no credentials into the lock."""
    reference = next((options[key] for key in ("rev", "tag", "branch") if options.get(key)), "")
    subdirectory = options.get("subdirectory")
    return (
        _file(url).removesuffix("/").removesuffix(".git")
        + (f"@{reference}" if reference else "")
        + (f"{_SUBDIRECTORY}{subdirectory}" if subdirectory else "")
    )


def _file(url: str) -> str:
    return unquote(urls.without_login(url).partition("#")[0])


def _line(asked: _Asked, markers: Iterable[str]) -> str:
    condition = _condition(markers)
    return str(asked) if condition == "always" else f"{asked} ({condition})"


def _condition(markers: Iterable[str]) -> str:
    listed = list(markers)
    return "always" if "" in listed else "`" + " or ".join(listed) + "`"
