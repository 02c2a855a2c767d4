"""Define every failure that a user can meet: what happened, why, and how to fix it.

::

    LambdaBuildError
    ├── SettingsError        2   settings and usage
    ├── LockError            3   finding, reading and trusting a lock
    ├── SelectionError       4   no file for the target
    ├── FetchError           5   indexes, downloads, digests, the cache
    ├── SourceBuildError     6   building the project and other sources
    ├── StageError           7   wheels into the tree, the tree to its destination
    ├── VerificationError    8   the finished artifact breaks a rule
    └── FunctionError        9   the invoked function failed

Each branch has one exit code; its subclasses live beside the stage that raises them.
"""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "FetchError",
    "FunctionError",
    "LambdaBuildError",
    "LockError",
    "SelectionError",
    "SettingsError",
    "SourceBuildError",
    "StageError",
    "VerificationError",
    "cut",
    "excerpt",
    "printable",
    "quoted",
]

_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}

_LONGEST = 200

_MOST_LINES = 10
"""Lines of a list that are shown without `-v`."""


def printable(text: str) -> str:
    """Escape control characters, which names in wheels and the output of backends may contain."""
    return text.translate(_CONTROLS)


def quoted(names: Iterable[object], separator: str = ", ", *, most: int | None = None) -> str:
    """Write names in a message: in backticks, one after the other.

    Args:
        names: What to write.
        separator: What to write between two of them.
        most: How many are named before the rest of them is only counted; None for all.
    """
    listed = list(names)
    rest = 0 if most is None else max(len(listed) - most, 0)
    shown = separator.join(f"`{name}`" for name in listed[: len(listed) - rest])
    return shown + (f" and {rest} more" if rest else "")


def cut(lines: Sequence[str], *, verbose: bool) -> list[str]:
    """Shorten a long list for people, unless they want to see all of it.

    Args:
        lines: The items of the list, one a line.
        verbose: Whether to keep them all.
    """
    rest = len(lines) - _MOST_LINES
    if verbose or rest <= 0:
        return list(lines)
    return [*lines[:_MOST_LINES], f"and {rest} more, `-v` lists all"]


class LambdaBuildError(Exception):
    """A failure with its reason and a hint on how to fix it; never shown as a traceback.

    A reason that is given as several lines is a list, of which only the beginning is shown
    unless the user asks for all of it. `why` has all lines.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "unexpected"
    """The branch of the tree, for machines."""

    def __init__(self, what: str, *, why: str | Sequence[str], hint: str) -> None:
        super().__init__(what)
        self.what = what
        self._lines = (why,) if isinstance(why, str) else tuple(why)
        self.why = "\n".join(self._lines)
        self.hint = hint

    def __str__(self) -> str:
        return self.text(verbose=False)

    def text(self, *, verbose: bool) -> str:
        """Write the message; `verbose` also shows the end of long lists."""
        parts = [f"error: {_indented(self.what, 7)}"]
        if self.why != self.what:
            parts.append(f"  why: {_indented(self.why_shown(verbose=verbose), 7)}")
        return printable("\n".join((*parts, "", f"hint: {_indented(self.hint, 6)}")))

    @property
    def why_lines(self) -> tuple[str, ...]:
        """The reason as it was given, or in one piece if somebody has added to it."""
        return self._lines if self.why == "\n".join(self._lines) else (self.why,)

    def why_shown(self, *, verbose: bool) -> str:
        """Write the reason; `verbose` also shows the end of a long list."""
        return "\n".join(cut(self.why_lines, verbose=verbose))


class SettingsError(LambdaBuildError):
    """Settings or usage are wrong; reports all mistakes at once, or the only one directly."""

    exit_code = 2
    kind = "settings"

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            self.problems[0] if count == 1 else f"the settings contain {count} mistakes",
            why=self.problems,
            hint=hint or "`lambda-build --help` lists the options and their values",
        )


class LockError(LambdaBuildError):
    """A lock is missing, unreadable, out of date, or unusable for the target."""

    exit_code = 3
    kind = "lock"


class SelectionError(LambdaBuildError):
    """A locked package offers no file that the target can load."""

    exit_code = 4
    kind = "selection"


class FetchError(LambdaBuildError):
    """A locked file could not be fetched, or is not the file that was locked."""

    exit_code = 5
    kind = "fetch"


class SourceBuildError(LambdaBuildError):
    """The project or another source could not be built for the target."""

    exit_code = 6
    kind = "source-build"


class StageError(LambdaBuildError):
    """A wheel cannot be unpacked into the tree, or the result cannot be written."""

    exit_code = 7
    kind = "stage"


class VerificationError(LambdaBuildError):
    """The finished artifact breaks a rule of Lambda or of the lock."""

    exit_code = 8
    kind = "verification"


class FunctionError(LambdaBuildError):
    """A function that was invoked has failed, as it would on Lambda."""

    exit_code = 9


def _indented(text: str, width: int) -> str:
    margin = " " * width
    return indent(text, margin).removeprefix(margin)


def excerpt(text: str) -> str:
    """Shorten a long text that is quoted in a message."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
