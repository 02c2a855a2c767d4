"""Source code → whether a version of Python can compile it, and its syntax tree.

The running Python parses with the grammar of the target (`feature_version` of `ast.parse`), and
compiles, which finds what a grammar does not: `return` outside of a function, or a misplaced
`await`. Nothing is run. If the running Python is older than the target and rejects a module, the
module may still be right: then the problem is not `certain`.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import warnings
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LARGEST_SOURCE", "ParsedSource", "SyntaxProblem", "parse_source"]

LARGEST_SOURCE = 1 << 24  # bytes

_NEW_F_STRINGS = (3, 12)
"""Since this version, an f-string may contain its own quotes, comments and backslashes
(PEP 701). `feature_version` does not tell."""

_STARRED_ANNOTATIONS = (3, 11)
"""Since this version, `*args` may be annotated with `*Ts` (PEP 646)."""

_WRONG_IN_ALL = re.compile(
    r"'(return|yield|yield from|await|async with|async for|break|continue)' outside .*"
    r"|'(break|continue)' not .*|.* null bytes"
)
"""CPython's messages about code that no version allows."""

# Tokens that the tokenizer has since it knows PEP 701.
_F_STRING_START = getattr(tokenize, "FSTRING_START", -1)
_F_STRING_MIDDLE = getattr(tokenize, "FSTRING_MIDDLE", -1)
_F_STRING_END = getattr(tokenize, "FSTRING_END", -1)

_F_STRING = re.compile(rb"""(?i)\b(?:f|fr|rf)["']""")


@dataclass(frozen=True, kw_only=True)
class SyntaxProblem:
    """Why a module cannot be compiled."""

    text: str
    line: int | None = None
    certain: bool = True
    """False if only a Python that is older than the target says so."""


class ParsedSource(NamedTuple):
    """The result of parsing a module with the running Python."""

    tree: ast.Module | None = None
    """None if it cannot be parsed."""

    problem: SyntaxProblem | None = None


def parse_source(source: bytes, python: tuple[int, int], *, compiles: bool = True) -> ParsedSource:
    """Parse a module as a version of Python would.

    Args:
        source: The content of the file; it may declare its encoding (PEP 263).
        python: The major and minor version.
        compiles: Whether to compile it as well, for errors that parsing does not find; this doubles
            the time.
    """
    is_older = sys.version_info[:2] < python
    tree = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, feature_version=None if is_older else python)
            if compiles:
                compile(tree, "<module>", "exec", dont_inherit=True)
    except SyntaxError as error:
        certain = not is_older or _is_wrong_in_all(error)
        problem = SyntaxProblem(text=error.msg, line=error.lineno, certain=certain)
        return ParsedSource(tree=tree, problem=problem)
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        text = str(error) or f"it is too deeply nested ({type(error).__name__})"
        certain = _WRONG_IN_ALL.fullmatch(text) is not None
        return ParsedSource(tree=tree, problem=SyntaxProblem(text=text, certain=certain))
    return ParsedSource(tree=tree, problem=next(_newer_syntax(tree, source, python), None))


def _is_wrong_in_all(error: SyntaxError) -> bool:
    """Check whether code that one version rejects is an error in every version of Python."""
    return isinstance(error, IndentationError) or bool(_WRONG_IN_ALL.fullmatch(error.msg))


def _newer_syntax(
    tree: ast.Module, source: bytes, python: tuple[int, int]
) -> Iterator[SyntaxProblem]:
    """Yield what is too new for a version but is not found by `feature_version`."""
    if python < _STARRED_ANNOTATIONS <= sys.version_info[:2] and b"*" in source:
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Starred):
                yield SyntaxProblem(
                    text="starred annotations are only supported in Python 3.11 and newer",
                    line=node.lineno,
                )
    if python < _NEW_F_STRINGS <= sys.version_info[:2] and _F_STRING.search(source):
        for line, what in _newer_f_strings(source):
            yield SyntaxProblem(
                text=f"{what} in an f-string is only supported in Python 3.12 and newer", line=line
            )


def _newer_f_strings(source: bytes) -> Iterator[tuple[int, str]]:
    """Yield the line and kind of everything that an f-string could not contain before Python 3.12.

    https://docs.python.org/3/whatsnew/3.12.html#pep-701-syntactic-formalization-of-f-strings
    """
    quotes: list[str] = []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == _F_STRING_END:
            quotes.pop()
            continue
        in_expression = len(quotes) > 1 or (quotes and token.type != _F_STRING_MIDDLE)
        if in_expression and (what := _newer_in_expression(token, quotes)):
            yield token.start[0], what
        if token.type == _F_STRING_START:
            quotes.append(token.string.lstrip("fFrR"))


def _newer_in_expression(token: tokenize.TokenInfo, quotes: list[str]) -> str:
    """Say what in a token could not be in an expression; `quotes` are those around it."""
    if token.type == tokenize.COMMENT:
        return "a comment"
    if token.type == tokenize.NL and len(quotes[0]) == 1:
        return "a line break in an expression"
    if "\\" in token.string:
        return "a backslash in an expression"
    is_string = token.type in {_F_STRING_START, _F_STRING_MIDDLE, tokenize.STRING}
    if is_string and any(quote in token.string for quote in quotes):
        return "a string with the same quotes"
    return ""
