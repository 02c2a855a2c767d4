"""Temporary folders are removed, also if the removal is interrupted."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.system.leftovers import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable


def test_interrupted_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while a folder is being removed leaves nothing of it."""
    remove: Callable[..., None] = tempfile.TemporaryDirectory._rmtree  # type: ignore[attr-defined]  # noqa: SLF001
    calls: list[str] = []

    def interrupted(_: type, /, name: str, **options: bool) -> None:
        calls.append(name)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(name, **options)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "_rmtree", classmethod(interrupted))

    with pytest.raises(KeyboardInterrupt), temporary_folder() as name:
        Path(name, "file").touch()

    assert len(calls) == 2
    assert not Path(name).exists()
