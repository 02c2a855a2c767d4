"""What the readers of both versions of `poetry.lock` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.poetry_constraint import Constraint
from lambda_build_plugin.config.tables import TableError

if TYPE_CHECKING:
    from lambda_build_plugin.config.tables import Table

__all__ = ["DEV", "MAIN", "constraint", "parsed"]

MAIN, DEV = canonicalize_name("main"), canonicalize_name("dev")
"""The groups that Poetry itself names."""


def constraint(table: Table, key: str) -> Constraint:
    """Get a constraint in Poetry's language; a missing one admits every version.

    Raises:
        TableError: It is not a constraint.
    """
    return parsed(table.text(key) or "*", table.place(key))


def parsed(text: str, at: str) -> Constraint:
    """Parse a constraint that stands at a place of a file.

    Raises:
        TableError: It is not a constraint.
    """
    try:
        return Constraint.parse(text)
    except ValueError as error:
        raise TableError(at, str(error)) from error
