"""What the readers of both versions of `poetry.lock` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.poetry_constraint import Constraint
from lambda_build_plugin.config.tables import TableError

if TYPE_CHECKING:
    from lambda_build_plugin.config.tables import Table

__all__ = ["DEV", "MAIN", "constraint"]

MAIN, DEV = canonicalize_name("main"), canonicalize_name("dev")
"""The groups that Poetry itself names."""


def constraint(table: Table, key: str) -> Constraint:
    """Get a constraint in Poetry's language; a missing one admits every version.

    Raises:
        TableError: It is not a constraint.
    """
    try:
        return Constraint.parse(table.text(key) or "*")
    except ValueError as error:
        raise TableError(table.place(key), str(error)) from error
