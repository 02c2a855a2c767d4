"""The processors that a process may use, by affinity and by the limit of a container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.system.processors import usable_processors

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("limit", "most"), [("100000 100000", 1), ("50000 100000", 1), ("250000 100000", 2)]
)
def test_limit_of_a_container(tmp_path: Path, limit: str, most: int) -> None:
    """A container with a limit has at least one processor, and no more than the machine."""
    (tmp_path / "cpu.max").write_text(f"{limit}\n")

    assert usable_processors(tmp_path / "cpu.max") == min(most, os.cpu_count() or 1)


@pytest.mark.parametrize("text", ["max 100000\n", "", None])
def test_no_limit(tmp_path: Path, text: str | None) -> None:
    """Without a limit, all processors count that the process may run on."""
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)

    assert 1 <= usable_processors(tmp_path / "cpu.max") <= (os.cpu_count() or 1)
