"""The table of options agrees with the code that reads their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.config.options import BY_KEY, KEYS, TABLE, Option
from lambda_build_plugin.config.settings import (
    DEFAULT_JOBS,
    Contents,
    Form,
    Layout,
    LocalDependencies,
    Preset,
)
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture

if TYPE_CHECKING:
    import enum


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("architecture", Architecture),
        ("layout", Layout),
        ("contents", Contents),
        ("project", Form),
        ("local-dependencies", LocalDependencies),
        ("exclude-presets", Preset),
    ],
)
def test_choices_are_those_that_are_read(key: str, kind: type[enum.Enum]) -> None:
    """The values that `--help` offers are the ones that a build accepts."""
    assert BY_KEY[key].choices == tuple(member.value for member in kind)


def test_the_range_of_runtimes_is_that_of_the_code() -> None:
    """`--help` names the oldest and the newest runtime."""
    first, last = next(iter(RUNTIMES)), next(reversed(RUNTIMES))

    assert f"{first} … {last}" in BY_KEY["runtime"].summary


def test_the_default_number_of_downloads_is_that_of_the_code() -> None:
    """`--help` names the default of `--jobs`."""
    assert BY_KEY["jobs"].default == str(DEFAULT_JOBS)


def test_keys_and_flags_are_unique() -> None:
    """No key and no flag stands for two settings."""
    names = [name for option in TABLE for name in option.names]

    assert len(BY_KEY) == len(TABLE)
    assert len(set(names)) == len(names)
    assert set(KEYS) < set(BY_KEY)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        pytest.param(
            Option("a", ("a",), "g", "A", "a thing", ("x", "y", "z"), "x", repeated=True),
            "a thing: x, y or z; default: x; may be repeated",
            id="everything",
        ),
        pytest.param(
            Option("a", ("a",), "g", None, "a switch", (), "false"), "a switch", id="bare"
        ),
    ],
)
def test_help_is_made_of_the_fields(option: Option, text: str) -> None:
    """The text of `--help` names the values, the default and whether it may be repeated."""
    assert option.help == text
