"""Locked packages that do not ship."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["LeftOut"]


class LeftOut(NamedTuple):
    """A locked package that does not ship, and why."""

    name: str
    version: str
    reason: str
