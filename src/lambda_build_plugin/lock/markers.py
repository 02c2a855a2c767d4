"""Markers of locks: PEP 508 plus the gates of PEP 751, on any packaging from 24.2.

PEP 751 adds `"name" in extras` and `"name" in dependency_groups`, which packaging
knows from 25.0 on only, and lets several extras be active at once, which its
`extra == "name"` does not. So both are answered here, for the active names, by a
constant that is true or false everywhere, and packaging evaluates the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.markers import InvalidMarker, Marker, UndefinedComparison
from packaging.utils import canonicalize_name

from lambda_build_plugin.errors import excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.utils import NormalizedName

__all__ = ["Activated", "LockMarker", "with_extras"]

_TRUE, _FALSE = 'python_version >= "0"', 'python_version < "0"'
_QUOTED = r"""(?P<quote>["'])(?P<name>[^"']*)(?P=quote)"""
_MEMBERSHIP = re.compile(
    _QUOTED + r"\s+(?P<negated>not\s+)?in\s+(?P<variable>extras|dependency_groups)\b"
)
_EXTRA_FIRST = re.compile(r"\bextra\s*(?P<operator>==|!=)\s*" + _QUOTED)
_EXTRA_LAST = re.compile(_QUOTED + r"\s*(?P<operator>==|!=)\s*extra\b")
_PROBE = {
    # Any environment will do: whether a comparison is defined does not hang on it.
    "implementation_name": "cpython",
    "implementation_version": "3.13.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "5.10",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated:
    """What the user asked for beside the main dependencies."""

    extras: frozenset[str] = frozenset()
    """Normalized; `package[extra]` for an extra of another package."""

    groups: frozenset[NormalizedName] = frozenset()


@dataclass(frozen=True, slots=True)
class LockMarker:
    """A marker as the lock has it."""

    text: str
    shown: str = field(default="", compare=False)
    """How the lock itself spells it, where a reader had to translate."""

    @classmethod
    def parse(cls, text: str) -> LockMarker:
        """Check that a marker is one and can be evaluated.

        Raises:
            ValueError: It is not one, or compares what has no order.
        """
        marker = cls(text)
        try:
            marker.holds(_PROBE, Activated())
        except InvalidMarker as error:
            raise ValueError(f"`{excerpt(text)}` is not a marker (PEP 508)") from error
        except RecursionError as error:
            raise ValueError(f"`{excerpt(text)}` is nested too deep") from error
        except (UndefinedComparison, ValueError) as error:
            # A version that is none, or a number with more digits than Python reads.
            raise ValueError(
                f"`{excerpt(text)}` compares values that cannot be compared (PEP 508)"
            ) from error
        return marker

    def __str__(self) -> str:
        return self.shown or self.text

    def holds(self, environment: Mapping[str, str], activated: Activated) -> bool:
        """Evaluate it for a target, all of whose eleven variables are given."""
        # packaging 24.2 fails on the empty version of a platform, later ones call it false.
        version = environment["platform_version"] or "0"
        return self.answered(activated).evaluate({**environment, "platform_version": version})

    def answered(self, activated: Activated) -> Marker:
        """Answer the gates alone: what is left hangs on the environment."""
        return _marker(_folded(self.text, activated))


@lru_cache(maxsize=4096)
def _marker(text: str) -> Marker:
    return Marker(text)


def _folded(text: str, activated: Activated) -> str:
    """Replace each gate by a constant that answers it."""

    def membership(match: re.Match[str]) -> str:
        active = activated.extras if match["variable"] == "extras" else activated.groups
        return _constant((canonicalize_name(match["name"]) in active) is not bool(match["negated"]))

    if "extra" not in text and "dependency_groups" not in text:
        return text
    return with_extras(_MEMBERSHIP.sub(membership, text), activated.extras)


def with_extras(text: str, extras: frozenset[str]) -> str:
    """Answer each `extra == "name"` of a marker's text for a given set of extras."""

    def comparison(match: re.Match[str]) -> str:
        active = canonicalize_name(match["name"]) in extras
        return _constant(active is (match["operator"] == "=="))

    return _EXTRA_LAST.sub(comparison, _EXTRA_FIRST.sub(comparison, text))


def _constant(value: bool) -> str:  # noqa: FBT001 - the answer itself
    return _TRUE if value else _FALSE
