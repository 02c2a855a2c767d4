"""What the user writes on the command line → checked values; mistakes are collected."""

from __future__ import annotations

import math
import os
import re
from dataclasses import field
from typing import TYPE_CHECKING, BinaryIO

from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.invoke.function import MAX_PAYLOAD
from lambda_build_plugin.invoke.invoke_api import Address
from lambda_build_plugin.invoke.json_values import json_problem
from lambda_build_plugin.invoke.variables import MAX_SIZE, read_variables
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Reader", "file_problem"]

_ADDRESS = re.compile(r"(?:(?P<host>\[[^\]]+\]|[^:]+):)?(?P<port>\d{1,5})")
_HIGHEST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads values, and keeps what is wrong with them."""

    cwd: Path
    problems: list[str] = field(default_factory=list)

    def number(self, option: str, text: str, most: float) -> float:
        """Read a positive number."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= most:
            self.problems.append(
                f"{option}: is `{excerpt(text)}`: use a number above 0 and up to {most:g}"
            )
            return 1
        return value

    def whole_number(self, option: str, text: str, most: int) -> int:
        """Read a positive whole number."""
        if not re.fullmatch("[0-9]{1,9}", text) or not 0 < int(text) <= most:
            self.problems.append(
                f"{option}: is `{excerpt(text)}`: use a whole number from 1 to {most}"
            )
            return 1
        return int(text)

    def event(self, text: str, stdin: BinaryIO) -> bytes:
        """Read an event: JSON itself, `-` for standard input, or the name of a file."""
        origin = "--event"
        if text == "-":
            content = stdin.read()
        elif text.lstrip()[:1] in {"{", "[", '"'} or not self._is_file(text):
            content = text.encode("utf-8", "surrogateescape")
        else:
            origin = f"--event: {text}"
            content = self._content("--event", text)
        if len(content) > MAX_PAYLOAD:
            self.problems.append(
                f"{origin}: has {len(content):,} bytes, and Lambda accepts {MAX_PAYLOAD:,}"
            )
        if problem := json_problem(content):
            meant = "" if origin != "--event" or text == "-" else "; there is no such file either"
            self.problems.append(f"{origin}: is not JSON: {problem}{meant}")
        return content

    def address(self, text: str) -> Address:
        """Read `[HOST:]PORT`."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > _HIGHEST_PORT:
            self.problems.append(
                f"--listen: is `{excerpt(text)}`: use a port such as 9000, or HOST:PORT"
            )
            return Address()
        host = (match["host"] or Address().host).strip("[]")
        return Address(host=host, port=int(match["port"]))

    def variables(self, given: Sequence[str], file: str | None) -> dict[str, str]:
        """Read environment variables; those of the command line are stronger than the file's."""
        found: dict[str, str] = {}
        if file is not None:
            text = self._content("--env-file", file).decode("utf-8-sig", "replace")
            found = read_variables(
                text.splitlines(), origin=file, problems=self.problems, is_file=True
            )
        found |= read_variables(given, origin="--env", problems=self.problems, is_file=False)
        size = sum(len(os.fsencode(text)) for pair in found.items() for text in pair)
        if size > MAX_SIZE:
            self.problems.append(
                f"the environment variables have {size:,} bytes, and Lambda accepts {MAX_SIZE:,}"
            )
        return found

    def file(self, option: str, name: str) -> Path:
        """Check that a file is there."""
        path = self.cwd / name
        if problem := file_problem(path):
            self.problems.append(f"{option}{path}: {problem}")
        return path

    def _is_file(self, name: str) -> bool:
        try:
            return (self.cwd / name).is_file()
        except (OSError, ValueError):  # such as a name that is too long
            return False

    def _content(self, option: str, name: str) -> bytes:
        try:
            return (self.cwd / name).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.problems.append(f"{option}: `{name}` cannot be read: {reason}")
            return b"{}"


def file_problem(path: Path) -> str:
    """Say why a path cannot be read as a file; empty if it can."""
    try:
        if path.is_file():
            return ""
        return "is a folder" if path.is_dir() else "file not found"
    except (OSError, ValueError) as error:  # such as a name that is too long
        return getattr(error, "strerror", None) or str(error)
