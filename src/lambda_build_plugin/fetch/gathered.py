"""What the configuration of all tools says about indexes, before it is merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lambda_build_plugin.fetch.sources import TRUE

if TYPE_CHECKING:
    from lambda_build_plugin.fetch.sources import Login

__all__ = ["Gathered", "is_true"]


@dataclass(slots=True, repr=False)
class Gathered:
    """What the configuration says, the strongest layer first; URLs still hold passwords."""

    defaults: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    explicit: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    logins: dict[str, Login] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    client_certificate: str | None = None
    trusted_hosts: set[str] = field(default_factory=set)
    proxy: str | None = None


def is_true(text: str | None) -> bool:
    """Read a flag of the environment or of a configuration file."""
    return (text or "").lower() in TRUE
