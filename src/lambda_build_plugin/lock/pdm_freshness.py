"""Check that a lock made by PDM still matches pyproject.toml.

PDM locks a hash of the tables that affect resolution, or, if the project sets
`lock_inputs = true` in `[tool.pdm.resolution]` (from PDM 2.29), these inputs themselves.
The hash is computed as PDM computes it. The inputs are compared by meaning, because PDM
writes markers and ranges in its own spelling.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.lock.marker_meaning import same_meaning
from lambda_build_plugin.lock.pdm_groups import dev_dependencies, lines_by_group
from lambda_build_plugin.lock.unmet import asked_for, unmet, versions_by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.model import LockedPackage

__all__ = [
    "MORE_GROUPS",
    "NEWEST",
    "ONE_MORE_TARGET",
    "content_hash",
    "differences",
    "is_foreign",
    "is_workspace",
    "locked_project",
]

NEWEST = Version("4.5.1")
"""The newest version of `pdm.lock` that is known."""

MORE_GROUPS = "pdm lock -G :all"
"""The command that locks every group; `pdm lock` only updates the groups in the lock."""

ONE_MORE_TARGET = 'pdm lock --platform {platform} --python "{python}" --append'
"""The command that adds a target to a lock."""

_HASHED_WHOLE_RESOLUTION_FROM = Version("4.4.2")
_HASH_DIFFERS = ("- the content hash of pyproject.toml does not match the one in the lock",)
_PYTHONS = tuple(Version(f"3.{minor}.{patch}") for minor in range(6, 21) for patch in range(31))
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOGIN = ("username", "password")
_OPAQUE = "url-sha256:"
"""The prefix of what PDM stores for a requirement with a path or URL."""

_Requirements = dict[tuple["NormalizedName", frozenset[str]], list[str]]
"""Name and extras of each requirement, with the markers of all its lines."""


def is_foreign(project: Project) -> bool:
    """Tell whether PDM translates the project from another tool's tables before it hashes."""
    return "project" not in project.pyproject and bool({"poetry", "flit"} & set(project.tool))


def locked_project(folder: Path, project: Project) -> Project:
    """Get the project that a lock in a folder was made for.

    That is the root of the workspace that the given project is a member of, or itself.

    Raises:
        SettingsError: The project in the folder cannot be read.
        TableError: Its table of members is wrong.
    """
    if folder.resolve() == project.root or not (folder / "pyproject.toml").is_file():
        return project
    root = read_project(folder)
    members = _members(root.root, root.tool.table("pdm").table("workspace"))
    return root if any(root.root / member == project.root for member in members) else project


def is_workspace(folder: Path, project: Project) -> bool:
    """Tell whether a folder is the root of a PDM workspace with the project as a member."""
    try:
        return locked_project(folder, project) is not project
    except (LambdaBuildError, OSError, ValueError):
        return False


def differences(
    project: Project,
    locked: Table,
    *,
    locked_hash: str,
    packages: Sequence[LockedPackage],
    version: Version = NEWEST,
) -> Sequence[str]:
    """List the differences between pyproject.toml and a lock.

    Args:
        project: The project as it is now.
        locked: The table that contains `lock_inputs`, if there are any.
        locked_hash: The content hash, without its algorithm.
        packages: The locked packages.
        version: Of the lock's format, which tells how PDM hashed.
    """
    if "lock_inputs" in locked:
        inputs = locked.table("lock_inputs").table("project")
        return tuple(_input_differences(project, inputs, packages))
    # If the project asks for inputs, a lock without them is out of date for PDM.
    asks = project.tool.table("pdm").table("resolution").flag("lock_inputs")
    if not asks and locked_hash in _hashes(project, version):
        return ()
    groups = locked.texts("groups") or ("default",)
    return (*_changes(project, packages, groups), *_HASH_DIFFERS)


def _changes(
    project: Project, packages: Sequence[LockedPackage], groups: Iterable[str]
) -> Iterator[str]:
    """Name what the locked groups ask for and the lock does not have."""
    lines = lines_by_group(project)
    resolution = project.tool.table("pdm").table("resolution")
    replaced = {*map(canonicalize_name, resolution.table("overrides"))}
    replaced |= {*map(canonicalize_name, resolution.texts("excludes"))}
    names = [name for name in map(canonicalize_name, groups) if name in lines]
    requirements = (_requirement(line) for name in names for line in lines[name])
    asked = [asked_for(requirement) for requirement in requirements if requirement is not None]
    asked = [each for each in asked if each.name not in replaced]
    yield from unmet(asked, versions_by_name(packages))


def content_hash(
    pyproject: Table, *, with_groups: bool = True, whole_resolution: bool = True
) -> str:
    """Compute the `content_hash` of PDM, as hexadecimal digits.

    PDM before 2.20 left `[dependency-groups]` out, and with locks before 4.4.2 it
    hashed the overrides of `[tool.pdm.resolution]` alone.
    """
    project, pdm = pyproject.table("project"), pyproject.table("tool").table("pdm")
    resolution = pdm.table("resolution")
    groups = dev_dependencies(pyproject) if with_groups else _value_or(pdm, "dev-dependencies", {})
    relevant = {
        "sources": _value_or(pdm, "source", []),
        "dependencies": _value_or(project, "dependencies", []),
        "dev-dependencies": groups,
        "optional-dependencies": _value_or(project, "optional-dependencies", {}),
        "requires-python": _value_or(project, "requires-python", ""),
    }
    if whole_resolution:
        relevant["resolution"] = _value_or(pdm, "resolution", {})
    else:
        relevant["overrides"] = _value_or(resolution, "overrides", {})
    # PDM cannot hash dates, so it never makes such a lock from a project with one.
    text = json.dumps(relevant, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _value_or(table: Table, key: str, otherwise: object) -> object:
    value = table.raw(key)
    return otherwise if value is None else value


def _hashes(project: Project, version: Version) -> Iterator[str]:
    """Compute the hash in each way that a PDM that writes this lock version may have."""
    pyproject = project.pyproject
    yield _hash_of_workspace(project)
    if version >= NEWEST or "dependency-groups" in pyproject:
        return
    yield content_hash(pyproject, with_groups=False)
    if version < _HASHED_WHOLE_RESOLUTION_FROM:
        yield content_hash(pyproject, with_groups=False, whole_resolution=False)


def _hash_of_workspace(project: Project) -> str:
    """Hash the members of a workspace along with its root."""
    own = content_hash(project.pyproject)
    workspace = project.tool.table("pdm").table("workspace")
    if not set(workspace):
        return own
    found = hashlib.sha256(own.encode())
    for member in sorted(_members(project.root, workspace)):
        pyproject = read_toml(project.root / member / "pyproject.toml")
        found.update(f"\0{member}\0{content_hash(pyproject)}".encode())
    return found.hexdigest()


def _members(root: Path, workspace: Table) -> set[str]:
    """Name the folders of a workspace's members, below its root."""
    return {
        folder.resolve().relative_to(root).as_posix()
        for pattern in workspace.texts("members")
        for folder in root.glob(pattern)
        if (folder / "pyproject.toml").is_file()
    }


# --- lock_inputs ----------------------------------------------------------------------


def _input_differences(
    project: Project, locked: Table, packages: Sequence[LockedPackage]
) -> Iterator[str]:
    pdm = project.tool.table("pdm")
    python = project.pyproject.table("project").text("requires-python") or ""
    if not _same_range(python, locked.text("requires-python") or ""):
        yield f"- requires-python: now {python or 'none'}"
    sources = [_source_input(source) for source in pdm.tables("source")]
    if sources != [_dict(source) for source in locked.tables("sources")]:
        yield "- [[tool.pdm.source]]"
    resolution = _dict(pdm.table("resolution"))
    resolution.pop("lock_inputs", None)
    if _as_locked(resolution) != _dict(locked.table("resolution")):
        yield "- [tool.pdm.resolution]"
    admitted = project.requires_python or SpecifierSet()
    now, then = lines_by_group(project), locked.table("groups")
    for name in sorted({*now, *map(canonicalize_name, then)}):
        if name not in now or name not in then:
            yield f"- group `{name}`: {'removed' if name not in now else 'added'}"
        elif not _same_requirements(now[name], then.texts(name), admitted):
            yield f"- group `{name}`: its requirements changed"
        else:
            yield from _unmatched(now[name], packages, pdm.table("resolution"))


def _same_range(one: str, other: str) -> bool:
    try:
        ours, theirs = SpecifierSet(one), SpecifierSet(other)
        return ours == theirs or all((each in ours) is (each in theirs) for each in _PYTHONS)
    except InvalidSpecifier:
        return False


def _same_requirements(now: Iterable[str], then: Iterable[str], admitted: SpecifierSet) -> bool:
    """Compare names, extras and markers; for paths and URLs PDM only keeps a digest."""
    (ours, our_places), (theirs, their_places) = _read_requirements(now), _read_requirements(then)
    return (
        our_places == their_places
        and ours.keys() == theirs.keys()
        and all(same_meaning(ours[key], theirs[key], admitted) for key in ours)
    )


def _read_requirements(lines: Iterable[str]) -> tuple[_Requirements, int]:
    """Read requirements, and count those with a path or URL."""
    asked: defaultdict[tuple[NormalizedName, frozenset[str]], list[str]] = defaultdict(list)
    places = 0
    for line in lines:
        requirement = None if line.startswith(_OPAQUE) else _requirement(line)
        if requirement is None:
            places += 1
            continue
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        asked[key].append(str(requirement.marker or ""))
    return dict(asked), places


def _requirement(line: str) -> Requirement | None:
    """Read a requirement from an index; None if it names a path or URL."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return None  # a path or URL, perhaps editable
    return None if requirement.url else requirement


def _unmatched(
    lines: Iterable[str], packages: Sequence[LockedPackage], resolution: Table
) -> Iterator[str]:
    """Find the requirements that no locked version satisfies."""
    replaced = set(map(canonicalize_name, resolution.table("overrides")))
    replaced |= set(map(canonicalize_name, resolution.texts("excludes")))
    for line in lines:
        requirement = _requirement(line)
        if requirement is None or (name := canonicalize_name(requirement.name)) in replaced:
            continue
        locked = [package.version for package in packages if package.name == name]
        if locked and not any(
            version is None or requirement.specifier.contains(version, prereleases=True)
            for version in locked
        ):
            yield f"- {name}{requirement.specifier}: the lock has {', '.join(map(str, locked))}"


def _source_input(source: Table) -> dict[str, object]:
    """Convert a source as PDM locks it: without its login, and with a digest of its URL."""
    found = {key: value for key, value in _dict(source).items() if key not in _LOGIN}
    if url := source.text("url"):
        found["url"] = _fingerprint(url)
    for key in ("include_packages", "exclude_packages"):
        if key in source:
            found[key] = sorted(source.texts(key))
    return {key: _as_locked(value) for key, value in found.items()}


def _dict(table: Table) -> dict[str, object]:
    return {key: table.raw(key) for key in table}


def _as_locked(value: object) -> object:
    """Replace dates by text and URLs by digests, at every level."""
    match value:
        case dict():
            return {key: _as_locked(item) for key, item in value.items()}
        case list():
            return [_as_locked(item) for item in value]
        case datetime.date() | datetime.time():
            return value.isoformat()
        case str() if _URL.search(value):
            return _fingerprint(value)
        case _:
            return value


def _fingerprint(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
