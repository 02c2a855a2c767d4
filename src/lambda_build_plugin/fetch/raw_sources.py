"""The indexes as they are configured, before `configuration` merges them into `Sources`."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.fetch.sources import Login

__all__ = ["RawSources", "is_file", "is_true"]

_TRUE = {"1", "true", "yes", "on", "y", "t"}


@dataclass()
class RawSources:
    """What all configuration says about indexes; what comes first in a list has priority.

    The URLs may still contain passwords, which is why this value has no `repr`.
    """

    defaults: list[str] = field(default_factory=list)
    """Indexes that replace the default one; uv and pip use one each."""

    extras: list[str] = field(default_factory=list)
    """Indexes to use in addition to the default one."""

    explicit: list[str] = field(default_factory=list)
    """Indexes that serve only the packages that are locked to them."""

    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    is_uv: bool = False
    """Whether uv is configured with an index, so that its rule for several indexes counts."""

    index_strategy: str | None = None
    """uv's setting of that name: whether the first index decides, or all are searched."""

    logins: dict[str, Login] = field(default_factory=dict)
    """By URL without a login (`sources.index_key`)."""

    names: dict[str, str] = field(default_factory=dict)
    """What the user calls an index, by the same key."""

    ca_file: str | None = None
    client_certificate: str | None = None
    trusted_hosts: set[str] = field(default_factory=set)
    proxy: str | None = None

    __repr__ = object.__repr__


def is_true(text: str | None) -> bool:
    """Read a flag from a variable or a configuration file."""
    return (text or "").lower() in _TRUE


def is_file(path: Path) -> bool:
    """Check whether a configuration file exists; in a folder that cannot be entered, none does."""
    try:
        return path.is_file()
    except OSError:  # too long a name, no permission
        return False
