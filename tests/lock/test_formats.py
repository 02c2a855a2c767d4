"""The table of lock formats, and the places that are made from it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.lock.formats import DEFAULT_NAMES, FORMATS, format_of


@pytest.mark.parametrize("name", FORMATS)
def test_reader_exists(name: str) -> None:
    """The reader of each row, which is loaded late, can be loaded."""
    row = FORMATS[name]

    for target in filter(None, (row.reader, row.workspace)):
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("name", DEFAULT_NAMES)
def test_default_names_lead_to_their_format(name: str) -> None:
    """A lock that the search finds is read as the format that searched for it."""
    found = format_of(Path(name))

    assert found is not None
    assert name in found.default_names


def test_help_lists_the_search_order() -> None:
    """`--lock` describes what is searched for, in order."""
    help_text = next(option.help for option in OPTIONS if option.key == "lock")

    assert help_text.endswith(f"default: the first of {', '.join(DEFAULT_NAMES)}")
