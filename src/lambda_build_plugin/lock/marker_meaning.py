"""Compare markers by meaning, in every environment that they can tell apart."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from packaging.markers import Marker, UndefinedComparison
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.lock.markers import Activated, LockMarker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from packaging.specifiers import SpecifierSet


__all__ = ["same_meaning"]

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

_MOST_ENVIRONMENTS = 20_000
"""With more environments than this, markers count as different."""

_OPERATOR = r"\s*(?:[=<>!~]+|\bnot\s+in\b|\bin\b)\s*"

_COMPARISON = re.compile(
    rf"""\b(?P<first>[a-z_]+){_OPERATOR}(?:"(?P<last1>[^"]*)"|'(?P<last2>[^']*)')"""
    rf"""|(?:"(?P<first1>[^"]*)"|'(?P<first2>[^']*)'){_OPERATOR}(?P<last>[a-z_]+)\b"""
)

_Environment = dict[str, str]

_Values = dict[str, set[str]]
"""The values that markers compare each variable with."""


def same_meaning(one: Sequence[str], other: Sequence[str], requires_python: SpecifierSet) -> bool:
    """Tell whether two lists of alternative markers hold in the same environments.

    Only versions that `requires_python` admits count, because uv omits from a marker
    what `requires_python` already says.
    """
    if {*one} == {*other}:
        return True
    try:
        ours, theirs = {*map(_normalized, one)}, {*map(_normalized, other)}
        return ours == theirs or _agree(ours, theirs, requires_python)
    except (UndefinedComparison, ValueError, RecursionError):
        return False  # not comparable or not a marker, and the texts differ


def _normalized(text: str) -> str:
    """Normalize the quotes and parentheses of a marker, as packaging does."""
    return str(Marker(text)) if text else ""


def _agree(one: Collection[str], other: Collection[str], requires_python: SpecifierSet) -> bool:
    """Tell whether two lists of alternatives agree wherever they could differ."""
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


class _Compared(NamedTuple):
    """The comparisons in a list of markers."""

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
    """List the environments that the markers can tell apart; None if there are too many.

    Variables that vary together form a group of rows. One row is enough for all rows
    that give the same result in each comparison, so the product stays small.
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
    distinct = [_distinct_rows(rows, compared.comparisons) for rows in groups]
    if math.prod(map(len, distinct)) > _MOST_ENVIRONMENTS:
        return None
    return [
        {key: value for row in rows for key, value in row.items()}
        for rows in itertools.product(*distinct)
    ]


def _distinct_rows(
    rows: Sequence[_Environment], comparisons: Iterable[tuple[str, str]]
) -> list[_Environment]:
    """Keep one of the rows that give the same result in each comparison."""
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
    """Get the known rows, and one for each value that none of them has."""
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
