"""Inputs that have fallen once are answered, and so are valid ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.run import CORPUS, search, time_limit
from fuzz.seeds import SEEDS
from fuzz.targets import TARGETS

FALLEN = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FALLEN)
def test_input_that_has_fallen(name: str) -> None:
    """What was a hang or an unexpected failure is a value or an error of ours."""
    target = Path(name).parent.as_posix()
    with time_limit():
        TARGETS[target]((CORPUS / name).read_bytes())


def test_corpus_is_there() -> None:
    """Control: the inputs are found, and each has a target."""
    assert {Path(name).parent.as_posix() for name in FALLEN} <= TARGETS.keys()
    assert len(FALLEN) > 10


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_valid_input(target: str) -> None:
    """Control: every parser has valid inputs, and reads them."""
    for content in SEEDS[target]:
        TARGETS[target](content)


def test_search_finds_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a parser that raises something else is found, with an input that shows it."""

    def fragile(content: bytes) -> None:
        if b"sha256=" not in content:
            raise KeyError(content)

    monkeypatch.setitem(TARGETS, "html-page", fragile)

    tried, failing = search("html-page", 60)

    assert tried > 0
    assert failing is not None
    assert b"sha256=" not in failing
