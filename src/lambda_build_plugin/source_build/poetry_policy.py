"""Poetry's constraints on build requirements: `[tool.poetry.build-constraints]`.

https://python-poetry.org/docs/pyproject/#build-constraints
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.poetry_constraint import Constraint, platform_marker
from lambda_build_plugin.config.tables import Table, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["build_constraints"]

_READ = frozenset({"version", "python", "platform", "markers"})


def build_constraints(table: Table) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Turn the table into constraints (PEP 508) by package.

    Returns:
        The constraints, and warnings of those that PEP 508 cannot express.

    Raises:
        TableError: A value has a wrong type, or is not a constraint.
    """
    found: dict[str, tuple[str, ...]] = {}
    warnings: list[str] = []
    for package in table:
        constraints: list[str] = []
        entries = table.table(package)
        for name in entries:
            for entry in _entries(entries, name):
                if text := _requirement(name, entry):
                    constraints.append(text)
                else:
                    warnings.append(f"{entry.at} is ignored: it is not a range of versions")
        found[canonicalize_name(package)] = tuple(constraints)
    return found, tuple(warnings)


def _entries(table: Table, name: str) -> Iterator[Table]:
    """Yield what is said about one requirement: a version, a table, or a list of these."""
    value = table.raw(name)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            yield Table({"version": item}, at=table.place(name))
        elif isinstance(item, dict):
            yield Table(item, at=table.place(name))
        else:
            raise TableError(table.place(name), "must be a version constraint or a table")


def _requirement(name: str, entry: Table) -> str | None:
    """Return a constraint as a requirement (PEP 508); None if that cannot say the same."""
    if set(entry) - _READ:
        return None
    try:
        specifier = Constraint.parse(entry.text("version") or "*").specifier
        python, platform = entry.text("python"), entry.text("platform")
        markers = (
            entry.text("markers"),
            Constraint.parse(python).python_marker if python else "",
            platform_marker(platform) if platform else "",
        )
    except ValueError as error:
        if isinstance(error, TableError):
            raise
        raise TableError(entry.at, str(error)) from error
    if specifier is None:
        return None
    marker = " and ".join(f"({text})" for text in markers if text)
    return f"{name}{specifier}" + (f" ; {marker}" if marker else "")
