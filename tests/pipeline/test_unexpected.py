"""Failures without a message of their own."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest
from fakes.words import NO_SPACE

from lambda_build_plugin.errors import LambdaBuildError, StageError
from lambda_build_plugin.pipeline.unexpected import unexpected_error


@pytest.mark.parametrize(
    ("name", "place"),
    [(None, f"a temporary file in {tempfile.gettempdir()}"), ("/tmp/x", "/tmp/x")],  # noqa: S108 - not used
)
def test_full_disk(name: str | None, place: str) -> None:
    """A disk that fills up while something else than a result is written is no bug."""
    failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    error = unexpected_error(failure, verbose=False)

    assert isinstance(error, StageError)
    assert error.what == f"{NO_SPACE}: {place} cannot be written"
    assert "TMP" in error.hint


def test_bug() -> None:
    """Everything else is one."""
    error = unexpected_error(OSError(errno.EIO, "an error"), verbose=False)

    assert type(error) is LambdaBuildError
    assert error.why.startswith("this is a bug")
