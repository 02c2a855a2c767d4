"""What is run, and how Lambda would be configured for it."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.runtime.target import Target

__all__ = ["DEFAULT_MEMORY", "DEFAULT_TIMEOUT", "MAX_PAYLOAD", "Function"]

DEFAULT_MEMORY = 128  # MB
DEFAULT_TIMEOUT = 3.0  # seconds

MAX_PAYLOAD = 6 * 1024 * 1024
"""Bytes of an event and of an answer (the quota for synchronous invocations).

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""


@dataclass(frozen=True, kw_only=True)
class Function:
    """An artifact with the configuration that Lambda would have for it."""

    name: str
    artifact: Path
    layers: tuple[Path, ...] = ()
    """Their zips, in the order in which Lambda extracts them: the last one wins."""

    handler: str
    """Such as `package.module.function`."""

    target: Target
    memory: int = DEFAULT_MEMORY
    """Megabytes that the process may have resident."""

    timeout: float = DEFAULT_TIMEOUT
    """Seconds."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables of the user; they may contain secrets, so they are never shown."""
