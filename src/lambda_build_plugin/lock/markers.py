"""Markers of locks: PEP 508 plus the `extras` and `dependency_groups` of PEP 751.

PEP 751 adds `"name" in extras` and `"name" in dependency_groups`, which packaging
supports only from 25.0 on, and lets several extras be active at once, which its
`extra == "name"` does not. So both are replaced here, according to the active names,
by a constant that is always true or always false; packaging evaluates the rest.
"""

from __future__ import annotations

import re
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.markers import InvalidMarker, Marker, UndefinedComparison
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.tables import is_nested_deeply
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.values import dataclass

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
    # Any environment will do: whether a comparison is defined does not depend on it.
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


@dataclass(frozen=True, kw_only=True)
class Activated:
    """The extras and groups that the user asked for besides the main dependencies."""

    extras: frozenset[str] = frozenset()
    """Normalized; `package[extra]` for an extra of another package."""

    groups: frozenset[NormalizedName] = frozenset()


@dataclass(frozen=True)
class LockMarker:
    """A marker as the lock has it."""

    text: str
    shown: str = field(default="", compare=False)
    """How the lock itself spells it, if a reader had to translate it."""

    @classmethod
    def parse(cls, text: str) -> LockMarker:
        """Parse a marker, and check that it can be evaluated.

        Raises:
            ValueError: It is not a marker, or compares values that cannot be compared.
        """
        marker = cls(text)
        try:
            marker.holds(_PROBE, Activated())
        except (InvalidMarker, RecursionError) as error:
            if isinstance(error, RecursionError) or is_nested_deeply(text):
                raise ValueError(f"`{excerpt(text)}` is nested too deep") from error
            raise ValueError(f"`{excerpt(text)}` is not a marker (PEP 508)") from error
        except (UndefinedComparison, ValueError) as error:
            # An invalid version, or a number with more digits than Python reads.
            raise ValueError(
                f"`{excerpt(text)}` compares values that cannot be compared (PEP 508)"
            ) from error
        return marker

    def __str__(self) -> str:
        return self.shown or self.text

    def holds(self, environment: Mapping[str, str], activated: Activated) -> bool:
        """Evaluate it for a target, whose eleven variables must all be given."""
        # packaging 24.2 fails on the empty version of a platform, later ones call it false.
        version = environment["platform_version"] or "0"
        return self.answered(activated).evaluate({**environment, "platform_version": version})

    def answered(self, activated: Activated) -> Marker:
        """Replace extras and groups, so that only the environment is left to decide."""
        return _marker(_folded(self.text, activated))


@lru_cache(maxsize=4096)
def _marker(text: str) -> Marker:
    return Marker(text)


def _folded(text: str, activated: Activated) -> str:
    """Replace each test of extras or groups by a constant."""

    def membership(match: re.Match[str]) -> str:
        active = activated.extras if match["variable"] == "extras" else activated.groups
        return _constant((canonicalize_name(match["name"]) in active) is not bool(match["negated"]))

    if "extra" not in text and "dependency_groups" not in text:
        return text
    return with_extras(_MEMBERSHIP.sub(membership, text), activated.extras)


def with_extras(text: str, extras: frozenset[str]) -> str:
    """Replace each `extra == "name"` in a marker by a constant, for a given set of extras."""

    def comparison(match: re.Match[str]) -> str:
        active = canonicalize_name(match["name"]) in extras
        return _constant(active is (match["operator"] == "=="))

    return _EXTRA_LAST.sub(comparison, _EXTRA_FIRST.sub(comparison, text))


def _constant(value: bool) -> str:  # noqa: FBT001 - the answer itself
    return _TRUE if value else _FALSE
