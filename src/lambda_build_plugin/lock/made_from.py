"""What `lambda-build lock` made a lock from, so that a build can tell if it is out of date.

The lock records the requirements and the settings that affected its resolution, in its
table `[tool.lambda-build.made-from]` (PEP 751 reserves `[tool]` for such notes). A build
records them again from pyproject.toml and compares the two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import group_names, group_requirements
from lambda_build_plugin.urls import without_logins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["MadeFrom", "differences", "read_record", "record"]

_TABLE = "tool.lambda-build.made-from"

_UV_KEYS = (
    *("conflicts", "constraint-dependencies", "dependency-metadata", "environments"),
    *("exclude-dependencies", "exclude-newer", "exclude-newer-package", "fork-strategy"),
    *("index", "index-strategy", "index-url", "extra-index-url", "find-links", "no-index"),
    *("no-sources", "override-dependencies", "pip", "prerelease", "required-environments"),
    *("resolution", "sources"),
)
"""The keys of `[tool.uv]` that affect what `uv pip compile` locks, or where it comes from.

https://docs.astral.sh/uv/reference/settings/
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrom:
    """The part of a pyproject.toml that affects a lock."""

    requires_python: str
    """Empty if the project has none."""

    dependencies: tuple[str, ...] | None
    """Sorted requirements; None if only the build backend knows them."""

    every_extra: bool
    """Whether all extras were locked, also those that are added later."""

    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uv: Mapping[str, str] = field(default_factory=dict)
    """The digest of each key of `[tool.uv]`, whose values may be long or secret."""

    def as_toml(self) -> str:
        """Write the table that is added to the lock."""
        lines = [f"[{_TABLE}]", f"requires-python = {_toml(self.requires_python)}"]
        if self.dependencies is not None:
            lines.append(f"dependencies = {_toml(self.dependencies)}")
        lines.append(f"every-extra = {_toml(self.every_extra)}")
        for name, values in (("extras", self.extras), ("groups", self.groups), ("uv", self.uv)):
            if values:
                lines += ["", f"[{_TABLE}.{name}]"]
                lines += [f"{_toml(key)} = {_toml(values[key])}" for key in sorted(values)]
        return "\n".join(lines) + "\n"

    @property
    def command(self) -> str:
        """The command that makes such a lock again."""
        extras = "" if self.every_extra else "".join(f" --extra {name}" for name in self.extras)
        return f"lambda-build lock{extras}{''.join(f' --group {name}' for name in self.groups)}"


def record(
    project: Project, *, extras: Iterable[str] | None, groups: Iterable[NormalizedName]
) -> MadeFrom:
    """Record what a lock of the project is made from.

    Args:
        project: The project to lock.
        extras: The extras to lock; None for all.
        groups: The dependency groups to lock. Unknown ones are not recorded.

    Raises:
        SettingsError: A dependency group is not valid.
    """
    optional = project.optional_dependencies
    chosen = sorted(optional if extras is None else {*map(canonicalize_name, extras)} & {*optional})
    existing = group_names(project)
    uv = project.tool.raw("uv")
    return MadeFrom(
        requires_python=str(project.requires_python or ""),
        dependencies=None if project.dependencies is None else _lines(project.dependencies),
        every_extra=extras is None,
        extras={extra: _lines(optional[extra]) for extra in chosen},
        groups={
            group: _lines(group_requirements(project, group))
            for group in sorted({*groups} & existing)
        },
        uv={key: _digest(uv[key]) for key in _UV_KEYS if isinstance(uv, Mapping) and key in uv},
    )


def read_record(data: Table) -> MadeFrom | None:
    """Read the record of a lock; None if it has none.

    Raises:
        TableError: A value in it has the wrong type.
    """
    tool = data.table("tool").table("lambda-build")
    if "made-from" not in tool:
        return None
    table = tool.table("made-from")
    extras, groups, uv = (table.table(key) for key in ("extras", "groups", "uv"))
    return MadeFrom(
        requires_python=table.text("requires-python") or "",
        dependencies=table.texts("dependencies") if "dependencies" in table else None,
        every_extra=table.flag("every-extra") or False,
        extras={key: extras.texts(key) for key in extras},
        groups={key: groups.texts(key) for key in groups},
        uv={key: uv.text(key) or "" for key in uv},
    )


def differences(locked: MadeFrom, project: Project) -> list[str]:
    """List what has changed in pyproject.toml since a lock was made.

    Raises:
        SettingsError: A dependency group is not valid.
    """
    now = record(
        project,
        extras=None if locked.every_extra else locked.extras,
        groups=[canonicalize_name(group) for group in locked.groups],
    )
    return [
        *_changed_python(locked, now),
        *_changed_lines("", locked.dependencies, now.dependencies),
        *_changed_tables("extra", locked.extras, now.extras),
        *_changed_tables("group", locked.groups, now.groups),
        *(
            f"- [tool.uv] {key} has changed"
            for key in _UV_KEYS
            if locked.uv.get(key) != now.uv.get(key)
        ),
    ]


def _changed_python(locked: MadeFrom, now: MadeFrom) -> Iterator[str]:
    if locked.requires_python != now.requires_python:
        before, after = (
            f"`{text}`" if text else "none"
            for text in (locked.requires_python, now.requires_python)
        )
        yield f"- requires-python: is {after}, locked for {before}"


def _changed_tables(
    kind: str, locked: Mapping[str, tuple[str, ...]], now: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    for name in sorted({*locked, *now}):
        where = f" ({kind} `{name}`)"
        if name not in now:
            yield f"- the {kind} `{name}`: only in the lock"
        elif name not in locked and not now[name]:
            yield f"- the {kind} `{name}`: not in the lock"
        else:
            yield from _changed_lines(where, locked.get(name, ()), now[name])


def _changed_lines(
    where: str, locked: tuple[str, ...] | None, now: tuple[str, ...] | None
) -> Iterator[str]:
    if locked is None or now is None:
        if locked is not now:
            yield "- dependencies: are dynamic in only one of the two"
        return
    yield from (f"- {line}{where}: not in the lock" for line in now if line not in locked)
    yield from (f"- {line}{where}: only in the lock" for line in locked if line not in now)


def _lines(requirements: Iterable[Requirement]) -> tuple[str, ...]:
    """Write requirements in one spelling, without logins, so that they can be compared."""
    return tuple(sorted({without_logins(_spelled(requirement)) for requirement in requirements}))


def _spelled(requirement: Requirement) -> str:
    copy = Requirement(str(requirement))
    copy.name = canonicalize_name(copy.name)
    return str(copy)


def _digest(value: object) -> str:
    """Digest a TOML value; dates are written as text."""
    text = without_logins(json.dumps(value, sort_keys=True, default=str))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _toml(value: object) -> str:
    """Write a string, a list of strings or a boolean; JSON writes them as TOML does."""
    return json.dumps(value, ensure_ascii=False)
