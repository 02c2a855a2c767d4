"""The console script `lambda-build`: it takes signals before the command is loaded.

Loading the command takes as long as some people need to press Ctrl-C, and until it handles
signals itself, Python would answer with a traceback of half-loaded modules.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["end_at_once", "entry_point"]

_SIGNALLED = 128
"""The number of the signal is added, as shells do."""


def entry_point() -> None:
    """Run the console script."""
    # A shell ignores SIGINT for a job in the background, and that is left as it is.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)
    from lambda_build_plugin.frontends import cli

    cli.entry_point()


def end_at_once(number: int, _: object) -> None:
    """End the process on a signal, at a time when there is nothing to clean up.

    An exception could be raised in a function of the import system that discards it.
    """
    try:
        if sys.stderr is not None:  # else the descriptor may be that of another file
            os.write(2, b"interrupted\n")
    finally:
        os._exit(_SIGNALLED + number)
