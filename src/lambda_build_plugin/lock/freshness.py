"""Does a uv.lock still answer what pyproject.toml asks for?

uv stores the requirements it locked for (`[package.metadata] requires-dist`), in
a spelling of its own: markers are rewritten (`platform_system == "Windows"` becomes
`sys_platform == "win32"`). So requirements are compared by meaning: two markers are
equal if they agree in every environment that their own values can tell apart.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.lock.markers import Activated, LockMarker
from lambda_build_plugin.tables import TableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from lambda_build_plugin.project import Project
    from lambda_build_plugin.tables import Table

__all__ = ["differences", "same_meaning"]

_ELSEWHERE = ("git", "url", "path", "directory", "editable", "virtual")
"""Keys of a locked requirement whose source decides, not its version."""

_SYSTEMS = (
    # sys_platform, platform_system and os_name vary together, never alone.
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    {"sys_platform": "emscripten", "platform_system": "Emscripten", "os_name": "posix"},
)
_IMPLEMENTATIONS = (
    {"implementation_name": "cpython", "platform_python_implementation": "CPython"},
    {"implementation_name": "pypy", "platform_python_implementation": "PyPy"},
)
_MACHINES = ("x86_64", "aarch64", "arm64", "AMD64", "riscv64")
_MINORS = tuple(f"3.{minor}.{patch}" for minor in range(6, 19) for patch in (0, 9))
_QUOTED = re.compile(r"""["']([^"']*)["']""")


class _Asked(NamedTuple):
    """What identifies a requirement, apart from its marker."""

    name: NormalizedName
    extras: frozenset[NormalizedName]
    specifier: SpecifierSet | None
    """None where a source decides."""

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier or ''}"


_Requirements = dict[_Asked, list[str]]
"""Each requirement with the markers of the lines that ask for it; empty: always."""


def differences(project: Project, metadata: Table, lock: Table) -> Sequence[str]:
    """List the requirements in which pyproject.toml and the lock differ.

    A project whose dependencies are dynamic cannot be compared and is taken as it is.
    """
    if project.dependencies is None:
        return ()
    locked = _locked(metadata)
    sourced = {asked.name for asked in locked if asked.specifier is None}
    asked = _asked(project, sourced)
    admitted = SpecifierSet(lock.text("requires-python") or "")
    return [
        *(f"- {_line(new, asked[new])}: not in the lock" for new in asked if new not in locked),
        *(f"- {_line(old, locked[old])}: in the lock only" for old in locked if old not in asked),
        *(
            f"- {both}: asked for as {_condition(asked[both])}, "
            f"locked as {_condition(locked[both])}"
            for both in asked
            if both in locked and not same_meaning(asked[both], locked[both], admitted)
        ),
    ]


def _locked(metadata: Table) -> _Requirements:
    found: defaultdict[_Asked, list[str]] = defaultdict(list)
    for table in metadata.tables("requires-dist"):
        sourced = any(key in table for key in _ELSEWHERE)
        try:
            specifier = None if sourced else SpecifierSet(table.text("specifier") or "")
        except InvalidSpecifier as error:
            raise TableError(table.place("specifier"), str(error)) from error
        asked = _Asked(
            canonicalize_name(table.required_text("name")),
            frozenset(map(canonicalize_name, table.texts("extras"))),
            specifier,
        )
        found[asked].append(table.text("marker") or "")
    return dict(found)


def _asked(project: Project, sourced: set[NormalizedName]) -> _Requirements:
    found: defaultdict[_Asked, list[str]] = defaultdict(list)

    def add(requirement: Requirement, gate: str) -> None:
        name = canonicalize_name(requirement.name)
        decided = requirement.url is not None or name in sourced
        asked = _Asked(
            name,
            frozenset(map(canonicalize_name, requirement.extras)),
            None if decided else requirement.specifier,
        )
        marker = f"({requirement.marker})" if requirement.marker else ""
        found[asked].append(" and ".join(filter(None, (marker, gate))))

    for requirement in project.dependencies or ():
        add(requirement, "")
    for extra, requirements in project.optional_dependencies.items():
        for requirement in requirements:
            add(requirement, f'extra == "{extra}"')
    return dict(found)


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
    one, other = sorted(set(one)), sorted(set(other))
    if one == other:
        return True
    text = " ".join((*one, *other))
    return all(
        _holds(one, environment, activated) == _holds(other, environment, activated)
        for environment in _environments(text, requires_python)
        for activated in _activations(text)
    )


def _holds(
    alternatives: Iterable[str], environment: Mapping[str, str], activated: Activated
) -> bool:
    return any(not text or LockMarker(text).holds(environment, activated) for text in alternatives)


def _environments(text: str, requires_python: SpecifierSet) -> Iterator[dict[str, str]]:
    """Yield the environments that the values in the markers can tell apart."""
    mentioned = _QUOTED.findall(text)
    systems: Sequence[dict[str, str]] = _SYSTEMS
    implementations: Sequence[dict[str, str]] = _IMPLEMENTATIONS
    machines: Sequence[str] = sorted({*_MACHINES, *mentioned})
    if not re.search(r"\b(sys_platform|platform_system|os_name)\b", text):
        systems = systems[:1]
    if "implementation" not in text:
        implementations = implementations[:1]
    if "platform_machine" not in text:
        machines = machines[:1]
    versions = [
        version
        for version in sorted({*_MINORS, *_neighbours(mentioned)}, key=Version)
        if requires_python.contains(version)
    ] or ["3.13.0"]
    if "python_" not in text:
        versions = versions[-1:]
    for system, implementation, machine, version in itertools.product(
        systems, implementations, machines, versions
    ):
        yield {
            **system,
            **implementation,
            "implementation_version": version,
            "platform_machine": machine,
            "platform_release": "5.10",
            "platform_version": "",
            "python_full_version": version,
            "python_version": ".".join(version.split(".")[:2]),
        }


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


def _activations(text: str) -> Iterator[Activated]:
    yield Activated()
    if "extra" in text:
        for name in sorted(set(_QUOTED.findall(text))):
            yield Activated(extras=frozenset({canonicalize_name(name)}))
