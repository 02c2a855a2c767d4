"""What a requirements file says about builds from source.

https://pip.pypa.io/en/stable/cli/pip_install/#install-no-binary, and for the options of one
requirement https://pip.pypa.io/en/stable/reference/requirements-file-format/#per-requirement-options
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.build_policy import ALL, FormatRules
from lambda_build_plugin.lock.requirements_lines import bad_line

if TYPE_CHECKING:
    from lambda_build_plugin.lock.requirements_lines import Line

__all__ = ["IGNORED_OPTIONS", "FormatOptions", "split_build_options"]

IGNORED_OPTIONS = frozenset({"--build-option", "--global-option", "--install-option"})
"""Options of `setup.py`, which builds through PEP 517 do not have."""

_NONE = ":none:"
_BEGIN = re.compile(r"\s(?=-C|--(?:config-settings?|build-option|global-option|install-option)\b)")
_SHORT = re.compile(r"-C(?P<value>.+)")
_CONFIG = {"-C", "--config-setting", "--config-settings"}


@dataclass(slots=True)
class FormatOptions:
    """`--only-binary` and `--no-binary`, collected in the order of the file.

    As in pip, the later of two that name the same package wins.
    """

    only_binary: set[str] = field(default_factory=set)
    no_binary: set[str] = field(default_factory=set)

    def add_only_binary(self, value: str) -> None:
        """Add the value of `--only-binary`: names, `:all:` or `:none:`, with commas."""
        _add(value, self.only_binary, self.no_binary)

    def add_no_binary(self, value: str) -> None:
        """Add the value of `--no-binary`."""
        _add(value, self.no_binary, self.only_binary)

    def rules(self, origin: str) -> FormatRules:
        """Return the collected rules."""
        return FormatRules(
            origin=origin,
            only_binary=frozenset(self.only_binary),
            no_binary=frozenset(self.no_binary),
        )


def _add(value: str, target: set[str], other: set[str]) -> None:
    for item in map(str.strip, value.split(",")):
        if item == ALL:
            other.clear()
            target.clear()
            target.add(ALL)
        elif item == _NONE:
            target.clear()
        elif item:
            target.add(canonicalize_name(item))
            other.discard(canonicalize_name(item))


def split_build_options(line: Line, text: str) -> tuple[str, dict[str, str | list[str]]]:
    """Split a requirement from its `--config-settings KEY=VALUE` and older options.

    Returns:
        The requirement, and the settings by key. Options that have no meaning any more are
        among them with their own name.

    Raises:
        InvalidLockError: An option has no value.
    """
    found = _BEGIN.search(text)
    if found is None:
        return text, {}
    try:
        words = shlex.split(text[found.end() :])
    except ValueError as error:
        raise bad_line(line, f"{str(error).lower()} in its options") from error
    settings: dict[str, str | list[str]] = {}
    while words:
        name, value = _split(words.pop(0))
        if value is None:
            if not words:
                raise bad_line(line, f"the option `{name}` has no value")
            value = words.pop(0)
        if name in _CONFIG:
            key, equals, setting = value.partition("=")
            if not equals:
                raise bad_line(line, f"`{name}` has no `KEY=VALUE`")
            _add_setting(settings, key, setting)
        elif name in IGNORED_OPTIONS:
            settings[name] = value
        else:
            raise bad_line(line, f"unknown option `{line.shown(name)}`")
    return text[: found.start()].strip(), settings


def _split(word: str) -> tuple[str, str | None]:
    if (match := _SHORT.fullmatch(word)) is not None:
        return "-C", match["value"].removeprefix("=")
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _add_setting(settings: dict[str, str | list[str]], key: str, value: str) -> None:
    """Add a setting; a key that is given several times has a list of values, as in pip."""
    before = settings.get(key)
    if before is None:
        settings[key] = value
    else:
        settings[key] = [*(before if isinstance(before, list) else [before]), value]
