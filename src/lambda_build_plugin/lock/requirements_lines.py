"""The lines of a requirements file, and the options in them.

https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import codecs
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin import urls
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.lock.errors import InvalidLockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["HASH", "LARGEST", "Line", "bad_line", "bad_url", "options", "read_lines"]

LARGEST = 16_000_000
"""Bytes that are read of a requirements file; real ones have at most a few million."""

HASH = re.compile(r"""\s--hash(?:=|\s+)["']?(?P<hash>[^\s"']+)["']?""")
"""One `--hash` of a requirement."""

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_EDITABLE = re.compile(
    r"""(?:-e\s*|--editable(?:\s+|\s*=\s*))(?P<quote>["']?)(?P<value>.+)(?P=quote)"""
)
_SHORT_OPTION = re.compile(r"(?P<name>-[a-z])(?P<value>[^\s-].*)")
_VALUED = {
    "--constraint",
    "--editable",
    "--extra-index-url",
    "--find-links",
    "--index-url",
    "--requirement",
    # These do not change what is locked.
    "--all-releases",
    "--no-binary",
    "--only-binary",
    "--only-final",
    "--trusted-host",
    "--use-feature",
}
_FLAGS = {"--no-index", "--pre", "--prefer-binary", "--require-hashes"}
_SHORT = {
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "-r": "--requirement",
    "--pypi-url": "--index-url",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One logical line, with continuations joined and comments removed."""

    path: Path
    number: int
    raw: str
    text: str
    """With variables filled in; messages must not show their values."""

    @property
    def at(self) -> str:
        """Say where the line stands, for messages."""
        return f"{self.path.name}, line {self.number}"

    def __str__(self) -> str:
        """Give the line as it is in the file, without hashes and passwords."""
        return excerpt(urls.redacted_text(HASH.sub("", self.raw)))

    def shown(self, part: str) -> str:
        """Give a part of the line, or the whole line if a variable filled in the part."""
        return excerpt(urls.redacted_text(part)) if part in self.raw else str(self)


def read_lines(path: Path, environ: Mapping[str, str]) -> Iterator[Line]:
    """Yield the logical lines of one file, with variables filled in.

    Raises:
        InvalidLockError: The file cannot be read, or is not UTF-8 text.
    """
    try:
        if path.exists() and not path.is_file():
            raise InvalidLockError(
                path, f"{path} is not a regular file", hint="name a requirements file"
            )
        text = _decode(_read_bytes(path))
    except OSError as error:
        raise InvalidLockError(
            path, f"cannot read {path}: {error.strerror}", hint="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidLockError(path, "it is not UTF-8 text", hint="save it as UTF-8") from error
    for number, joined in _join_lines(text):
        stripped = _COMMENT.sub("", joined).strip()
        if stripped:
            line = Line(path=path, number=number, raw=stripped, text=_fill_in(stripped, environ))
            if "\0" in stripped:
                raise bad_line(line, "contains a NUL character")
            yield line


def _fill_in(text: str, environ: Mapping[str, str]) -> str:
    """Fill in `${VARIABLE}`; unset ones stay as they are, as in pip."""
    return _VARIABLE.sub(lambda match: environ.get(match[1]) or match[0], text)


def _read_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InvalidLockError(
            path,
            f"{path} is larger than {LARGEST // 1_000_000} MB",
            hint="check that it is a requirements file, and shorten it",
        )
    return data


def _decode(data: bytes) -> str:
    """Decode a file as pip does: as UTF-8, unless it begins with the BOM of UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _join_lines(text: str) -> Iterator[tuple[int, str]]:
    """Join lines that end in a backslash; a comment line ends them, as in pip."""
    parts_of_line: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if not parts_of_line:
            first = number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            parts_of_line.append(line.rstrip("\\"))
            continue
        parts_of_line.append(f" {line}" if is_comment else line)
        yield first, "".join(parts_of_line)
        parts_of_line = []
    if parts_of_line:
        yield first, "".join(parts_of_line)


def options(line: Line) -> Iterator[tuple[str, str]]:
    """Yield the options of a line, each with its long name and its value."""
    if match := _EDITABLE.fullmatch(line.text):
        yield "--editable", match["value"]
        return
    try:
        words = shlex.split(line.text)
    except ValueError as error:
        raise bad_line(line, f"{str(error).lower()} in its options") from error
    while words:
        name, value = _split_option(words.pop(0))
        if name in _FLAGS and value is None:
            yield name, ""
        elif name not in _VALUED:
            raise bad_line(line, f"unknown option `{line.shown(name)}`")
        elif value is None and not words:
            raise bad_line(line, f"the option `{name}` has no value")
        else:
            yield name, words.pop(0) if value is None else value


def _split_option(word: str) -> tuple[str, str | None]:
    if match := _SHORT_OPTION.fullmatch(word):
        return _SHORT.get(match["name"], word), match["value"]
    name, equals, value = word.partition("=")
    return _SHORT.get(name, name), value if equals else None


def bad_line(line: Line, problem: str) -> InvalidLockError:
    """Make the error for a line that cannot be read."""
    return InvalidLockError(
        line.path,
        f"line {line.number}: {problem}",
        hint="fix the line, or report a bug if pip accepts it",
    )


def bad_url(line: Line, url: str, error: ValueError) -> InvalidLockError:
    """Make the error for a URL that is not one; the value of a variable is not shown."""
    return bad_line(
        line, str(error) if url in line.raw else f"`{line}` does not contain a valid URL"
    )
