"""The results of the checks: failures, which end a build, and warnings, which do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = [
    "MOST_LISTED",
    "Findings",
    "SeveralFailuresError",
    "StrictError",
    "listed",
    "raised",
    "together",
]

MOST_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What one check has found."""

    errors: tuple[VerificationError, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What may well be intended; shown only with `--verbose`."""


class SeveralFailuresError(VerificationError):
    """More than one check has failed; lists all failures."""

    def __init__(self, errors: Sequence[VerificationError]) -> None:
        self.errors = tuple(errors)
        super().__init__(
            f"the artifact fails {len(errors)} checks",
            why="\n".join(f"{error.what}:\n{error.why}" for error in errors),
            hint="\n".join(dict.fromkeys(error.hint for error in errors)),
        )

    def why_shown(self, *, verbose: bool) -> str:
        """Write the reason of each failure; `verbose` also shows the ends of long lists."""
        return "\n".join(
            f"{error.what}:\n{error.why_shown(verbose=verbose)}" for error in self.errors
        )


def together(*findings: Findings) -> Findings:
    """Combine the findings of several checks."""
    return Findings(
        errors=tuple(error for each in findings for error in each.errors),
        warnings=tuple(warning for each in findings for warning in each.warnings),
        notes=tuple(note for each in findings for note in each.notes),
    )


def raised(findings: Findings) -> tuple[str, ...]:
    """Return the warnings if nothing has failed.

    Raises:
        VerificationError: Something has failed; the only failure, or all of them in one.
    """
    if len(findings.errors) > 1:
        raise SeveralFailuresError(findings.errors)
    for error in findings.errors:
        raise error
    return findings.warnings


def listed(items: Sequence[str], most: int = 3) -> str:
    """Name the first few of several things, and say how many more there are."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


class StrictError(VerificationError):
    """There are warnings, and `strict` makes them errors."""

    def __init__(self, warnings: Sequence[str]) -> None:
        self.warnings = tuple(warnings)
        super().__init__(
            "there are warnings, and the build is strict",
            why=[f"- {warning}" for warning in warnings],
            hint="fix them, or build without `strict`",
        )
