"""Does a uv.lock still answer what pyproject.toml asks for?

uv stores the requirements it locked for (`[package.metadata] requires-dist`), in
a spelling of its own: markers are rewritten (`platform_system == "Windows"` becomes
`sys_platform == "win32"`). So requirements are compared by meaning: two markers are
equal if they agree in every environment that their own values can tell apart. What
`[tool.uv.sources]` says of a requirement is part of it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote

from packaging.markers import Marker, UndefinedComparison
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin import urls
from lambda_build_plugin.lock import parts
from lambda_build_plugin.lock.markers import Activated, LockMarker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["differences", "same_meaning"]

_LOCAL = ("path", "directory", "editable", "virtual")
"""Keys of a locked requirement that lies on this machine."""

_SUBDIRECTORY = "#subdirectory="

_SYSTEMS = (
    # sys_platform, platform_system and os_name vary together, never alone.
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    {"sys_platform": "emscripten", "platform_system": "Emscripten", "os_name": "posix"},
    {"sys_platform": "aix", "platform_system": "AIX", "os_name": "posix"},
    {"sys_platform": "android", "platform_system": "Android", "os_name": "posix"},
)
_IMPLEMENTATIONS = (
    {"implementation_name": "cpython", "platform_python_implementation": "CPython"},
    {"implementation_name": "pypy", "platform_python_implementation": "PyPy"},
)
_MACHINES = ("x86_64", "aarch64", "arm64", "AMD64", "riscv64")
_MINORS = tuple(f"3.{minor}.{patch}" for minor in range(6, 19) for patch in (0, 9))
_VERSIONS = ("python_version", "python_full_version", "implementation_version")
_ALWAYS = "python_version >= '0'"
_MOST = 20_000
"""More environments than that are not tried: the markers count as different."""

_OPERATOR = r"\s*(?:[=<>!~]+|\bnot\s+in\b|\bin\b)\s*"
_COMPARISON = re.compile(
    rf"""\b(?P<first>[a-z_]+){_OPERATOR}(?:"(?P<last1>[^"]*)"|'(?P<last2>[^']*)')"""
    rf"""|(?:"(?P<first1>[^"]*)"|'(?P<first2>[^']*)'){_OPERATOR}(?P<last>[a-z_]+)\b"""
)


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
        parts.specifier(lock, "requires-python") or SpecifierSet(),
    )


def _compared(
    asked: _Requirements, locked: _Requirements, requires_python: SpecifierSet
) -> list[str]:
    return [
        *(f"- {_line(new, asked[new])}: not in the lock" for new in asked if new not in locked),
        *(f"- {_line(old, locked[old])}: in the lock only" for old in locked if old not in asked),
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
        marker = parts.marker(table)
        condition = marker.text if marker else ""
        if git is not None:
            location, _, query = git.partition("?")
            yield _Asked(name, extras, None, _commit(location, dict(parse_qsl(query)))), condition
        elif url is not None or any(key in table for key in _LOCAL):
            yield _Asked(name, extras, None, _file(url or "")), condition
        else:
            specifier = parts.specifier(table, "specifier") or SpecifierSet()
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


def same_meaning(one: Sequence[str], other: Sequence[str], requires_python: SpecifierSet) -> bool:
    """Tell whether two lists of alternative markers hold in the same environments.

    Only versions that `requires_python` admits count, because uv leaves out of a
    marker what it already says.
    """
    if {*one} == {*other}:
        return True
    try:
        ours, theirs = {*map(_normalized, one)}, {*map(_normalized, other)}
        return ours == theirs or _agree(ours, theirs, requires_python)
    except (UndefinedComparison, ValueError, RecursionError):
        return False  # compares what has no order or is no marker, and the texts differ


def _normalized(text: str) -> str:
    """Spell a marker as packaging does, whatever quotes and parentheses it has."""
    return str(Marker(text)) if text else ""


def _agree(one: Collection[str], other: Collection[str], requires_python: SpecifierSet) -> bool:
    """Tell whether two lists of alternatives answer alike wherever they could differ."""
    compared = _compared_in((*one, *other))
    environments = _environments(compared, requires_python)
    if environments is None:
        return False
    for activated in _activations(compared.values):
        ours, theirs = _parsed(one, activated), _parsed(other, activated)
        if any(_holds(ours, each) is not _holds(theirs, each) for each in environments):
            return False
    return True


def _parsed(alternatives: Iterable[str], activated: Activated) -> list[Marker]:
    return [LockMarker(text or _ALWAYS).answered(activated) for text in alternatives]


def _holds(alternatives: Iterable[Marker], environment: _Environment) -> bool:
    return any(marker.evaluate(environment) for marker in alternatives)


_Environment = dict[str, str]
_Values = dict[str, set[str]]
"""What markers compare each variable with."""


class _Compared(NamedTuple):
    """What a list of markers compares."""

    comparisons: frozenset[tuple[str, str]]
    """Each with its variable."""

    values: _Values


def _compared_in(markers: Iterable[str]) -> _Compared:
    comparisons: set[tuple[str, str]] = set()
    found: defaultdict[str, set[str]] = defaultdict(set)
    for match in _COMPARISON.finditer(" ".join(markers)):
        variable = match["first"] or match["last"]
        texts = (match["last1"], match["last2"], match["first1"], match["first2"])
        value = next(text for text in texts if text is not None)
        comparisons.add((variable, match[0]))
        found[variable] |= {value, *re.split(r"[\s,|]+", value)}  # `in` takes a list
    return _Compared(frozenset(comparisons), dict(found))


def _environments(
    compared: _Compared, requires_python: SpecifierSet
) -> Sequence[_Environment] | None:
    """List the environments that the markers can tell apart; None where there are too many.

    What varies together is a group of rows. Of the rows for which each comparison has
    the same answer one will do, so the product stays small.
    """
    values = compared.values
    groups = (
        _rows(_SYSTEMS, values),
        _rows(_IMPLEMENTATIONS, values),
        _singles("platform_machine", _MACHINES, values),
        _pythons(values, requires_python),
        _singles("platform_release", ("5.10",), values),
        _singles("platform_version", ("0",), values),
    )
    told_apart = [_told_apart(rows, compared.comparisons) for rows in groups]
    if math.prod(map(len, told_apart)) > _MOST:
        return None
    return [
        {key: value for row in rows for key, value in row.items()}
        for rows in itertools.product(*told_apart)
    ]


def _told_apart(
    rows: Sequence[_Environment], comparisons: Iterable[tuple[str, str]]
) -> list[_Environment]:
    """Keep one row of those that answer alike to each comparison of their variables."""
    markers = [Marker(text) for variable, text in sorted(comparisons) if variable in rows[0]]
    kept: dict[tuple[bool, ...], _Environment] = {}
    for row in rows:
        kept.setdefault(tuple(marker.evaluate(row) for marker in markers), row)
    return list(kept.values())


def _singles(variable: str, known: Iterable[str], values: _Values) -> list[_Environment]:
    """Get a row for each value of a variable that varies alone."""
    return [{variable: value} for value in sorted({*known, *values.get(variable, ())} - {""})]


def _pythons(values: _Values, requires_python: SpecifierSet) -> list[_Environment]:
    """Get a row for each version of Python that is admitted."""
    mentioned = {value for variable in _VERSIONS for value in values.get(variable, ())}
    versions = [
        version
        for version in sorted({*_MINORS, *_neighbours(mentioned)}, key=Version)
        if requires_python.contains(version)
    ] or ["3.13.0"]
    return [
        {
            "implementation_version": version,
            "python_full_version": version,
            "python_version": ".".join(version.split(".")[:2]),
        }
        for version in versions
    ]


def _rows(known: Sequence[dict[str, str]], values: _Values) -> list[dict[str, str]]:
    """Get the known rows, and one for each value that is in none of them."""
    variables = list(known[0])
    there = {value for row in known for value in row.values()}
    mentioned = {value for variable in variables for value in values.get(variable, ())}
    return [*known, *(dict.fromkeys(variables, value) for value in sorted(mentioned - there))]


def _neighbours(values: Iterable[str]) -> Iterator[str]:
    """Yield each mentioned Python version with the patches around it."""
    for value in values:
        try:
            release = Version(value.removesuffix(".*")).release
        except InvalidVersion:
            continue
        if release[:1] != (3,) or len(release) == 1:
            continue
        major, minor, patch = (*release, 0)[:3]
        yield from (f"{major}.{minor}.{near}" for near in (max(patch - 1, 0), patch, patch + 1))


def _activations(values: _Values) -> Iterator[Activated]:
    names = sorted(canonicalize_name(name) for name in values.get("extra", ()))
    yield Activated()
    yield from (Activated(extras=frozenset({name})) for name in names)
    yield Activated(extras=frozenset(names))
