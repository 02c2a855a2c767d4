"""Describe a failure that the core has no message for, as if it had one."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback

from lambda_build_plugin.errors import LambdaBuildError, StageError
from lambda_build_plugin.urls import redacted_text

__all__ = ["unexpected_error", "unexpected_text"]

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def unexpected_error(error: BaseException, *, verbose: bool) -> LambdaBuildError:
    """Make an error with a reason and a hint of an exception that nobody foresaw.

    A full disk may be met wherever something is written; that is no bug.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        place = error.filename or f"a temporary file in {tempfile.gettempdir()}"
        return StageError(
            f"{error.strerror}: {place} cannot be written",
            why="the disk is full, or the user has used up the quota",
            hint="make room there, or name a folder on another disk for temporary files with the "
            f"environment variable {'TMP' if os.name == 'nt' else 'TMPDIR'}",
        )
    text = ": ".join(part for part in (type(error).__name__, str(error)) if part)
    return LambdaBuildError(
        redacted_text(f"unexpected failure: {text}"),
        why="this is a bug in lambda-build, which should have explained what is wrong",
        hint="please report it with the traceback" + ("" if verbose else ", which `-v` prints"),
    )


def unexpected_text(error: BaseException, *, verbose: bool) -> str:
    """Write the message; `verbose` puts the traceback in front."""
    trace = "".join(traceback.format_exception(error)) if verbose else ""
    return redacted_text(f"{trace}{unexpected_error(error, verbose=verbose)}")
