"""Poetry's version constraints: `^1.2`, `~1.2`, `1.*`, `>=1,<2 || ^3`.

A constraint can test versions. It can be written as a specifier (PEP 440), if that can
express it, and as the marker (PEP 508) that `python = "…"` stands for. The syntax:
https://python-poetry.org/docs/dependency-specification/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Constraint", "platform_marker"]

_SINGLE = re.compile(
    r"""
    \s*
    (?P<operator> \^ | ~=? | ===? | = | != | <=? | >=? )?
    \s*
    (?P<version> (?: [^\s,|^~=!<>] | !(?!=) )+ )  # an epoch has a `!`
    \s*,?\s*
    """,
    re.VERBOSE,
)
_OR = re.compile(r"\s*\|\|?\s*")
_ANY = re.compile(r"v?[*xX](?:\.[*xX])*")
_WILDCARD = re.compile(r"(?:\.\*)+$")
_PLATFORM = re.compile(r"(?P<operator>===?|=|!=)?\s*(?P<value>\S+)")
_SPELLINGS = {None: "==", "=": "==", "===": "=="}
_MINORS = range(40)
"""Minor versions of Python 3 that a range may distinguish."""


class _Comparison(NamedTuple):
    """One comparison as in PEP 440."""

    operator: str
    version: str

    def __str__(self) -> str:
        return f"{self.operator}{self.version}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint of Poetry: all comparisons of one of the alternatives must hold."""

    alternatives: tuple[tuple[_Comparison, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read a constraint.

        Raises:
            ValueError: The text is not a constraint.
        """
        try:
            return cls(tuple(tuple(_comparisons(part)) for part in _OR.split(text.strip())))
        except (InvalidVersion, _NotReadError) as error:
            raise ValueError(f"`{text}` is not a Poetry version constraint") from error

    def admits(self, version: Version) -> bool:
        """Tell whether a locked version satisfies it; pre-releases may, if they are in range."""
        return any(
            specifier.contains(version, prereleases=True) for specifier in self._specifiers()
        )

    @property
    def specifier(self) -> SpecifierSet | None:
        """The same as in PEP 440; None if there are alternatives, which it cannot express."""
        specifiers = list(self._specifiers())
        return specifiers[0] if len(specifiers) == 1 else None

    @property
    def requires_python(self) -> SpecifierSet | None:
        """The versions of Python that it admits, to the minor version; None if it admits none."""
        if self.specifier is not None:
            return self.specifier
        admitted = [
            minor
            for minor in _MINORS
            if self.admits(Version(f"3.{minor}.0")) or self.admits(Version(f"3.{minor}.99"))
        ]
        if not admitted:
            return None
        gaps = sorted({*range(admitted[0], admitted[-1])} - {*admitted})
        upper = [] if admitted[-1] == _MINORS[-1] else [f"<3.{admitted[-1] + 1}"]
        return SpecifierSet(
            ",".join((f">=3.{admitted[0]}", *upper, *(f"!=3.{minor}.*" for minor in gaps)))
        )

    @property
    def python_marker(self) -> str:
        """The marker that `python = "…"` stands for; empty if every Python is admitted."""
        parts = [
            " and ".join(_python_comparison(comparison) for comparison in alternative)
            for alternative in self.alternatives
        ]
        if "" in parts:
            return ""
        return parts[0] if len(parts) == 1 else " or ".join(f"({part})" for part in parts)

    def _specifiers(self) -> Iterator[SpecifierSet]:
        for alternative in self.alternatives:
            yield SpecifierSet(",".join(map(str, alternative)))


def platform_marker(text: str) -> str:
    """Turn `platform = "linux || darwin"` into a marker; empty if every platform is admitted.

    Raises:
        ValueError: The text is not a constraint.
    """
    if text.strip() == "*":
        return ""
    alternatives = []
    for part in _OR.split(text.strip()):
        matches = [_PLATFORM.fullmatch(single.strip()) for single in part.split(",")]
        comparisons = [
            f'sys_platform {"!=" if match["operator"] == "!=" else "=="} "{match["value"]}"'
            for match in matches
            if match is not None
        ]
        if len(comparisons) < len(matches):
            raise ValueError(f"`{text}` is not a Poetry platform constraint")
        alternatives.append(" and ".join(comparisons))
    return " or ".join(alternatives)


class _NotReadError(ValueError):
    """A part does not follow the syntax."""


def _comparisons(text: str) -> Iterator[_Comparison]:
    position, text = 0, text.rstrip(", ")
    while position < len(text):
        match = _SINGLE.match(text, position)
        if match is None:
            break
        yield from _single(match["operator"], match["version"])
        position = match.end()
    if position < len(text) or not text:
        raise _NotReadError


def _single(operator: str | None, text: str) -> Iterator[_Comparison]:
    if _ANY.fullmatch(text):
        return
    bare = _WILDCARD.sub("", text)
    wildcard = bare != text
    version = Version(bare)
    match operator:
        case "^" | "~" | "~=":
            yield _Comparison(">=", str(version))
            yield _Comparison("<", _upper(operator, version))
        case "<" | "<=" | ">" | ">=":
            yield _Comparison(operator, str(version))
        case _:
            spelling = _SPELLINGS.get(operator, operator or "")
            yield _Comparison(spelling, f"{version}.*" if wildcard else str(version))


def _upper(operator: str, version: Version) -> str:
    """Find the first release that the operator no longer admits."""
    release = version.release
    match operator:
        case "^":
            # The first number that is not zero must stay; if all are zero, the last one must.
            kept = next((i for i, number in enumerate(release) if number), len(release) - 1)
        case "~":
            kept = min(len(release) - 1, 1)
        case _:
            kept = max(len(release) - 2, 0)
    numbers = [*release[:kept], release[kept] + 1, *([0] if kept == 0 else [])]
    epoch = f"{version.epoch}!" if version.epoch else ""
    return epoch + ".".join(map(str, numbers))


def _python_comparison(comparison: _Comparison) -> str:
    operator, version = comparison
    if operator == "==" and version.count(".") == 1 and not version.endswith(".*"):
        version += ".*"  # `python = "3.11"` of a dependency means any 3.11 in Poetry
    return f'python_full_version {operator} "{version}"'
