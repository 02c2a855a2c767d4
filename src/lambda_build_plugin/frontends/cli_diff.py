"""The sub-command `lambda-build diff`: argv → what is not the same in two zips."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parser", "run"]

_DIFFERENT = 1

_DESCRIPTION = """\
Compare two zips, whatever made them: packages and files that were added, removed or
changed (version, content, mode, compression, date, order), and why their sha256 differ."""

_EPILOG = "exit codes: 0 the same bytes; 1 not the same; 2 usage, or one cannot be read"


class _Arguments(argparse.Namespace):
    """What argparse finds."""

    before: str
    after: str
    json: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the sub-command."""
    made = argparse.ArgumentParser(
        prog="lambda-build diff",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("before", metavar="A.zip")
    made.add_argument("after", metavar="B.zip")
    made.add_argument("--json", action="store_true", help="print the difference as JSON (schema 1)")
    made.add_argument("-v", "--verbose", action="store_true", help="list all files")
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:  # noqa: ARG001 - the form of all
    """Show the difference and return the exit code.

    Raises:
        SettingsError: One of the zips cannot be read.
    """
    from lambda_build_plugin.commands.diff import as_json, as_text, compare
    from lambda_build_plugin.frontends.cli import written

    arguments = _Arguments(**vars(found))
    names = (arguments.before, arguments.after)
    difference = compare(Path(arguments.before), Path(arguments.after))
    text = (
        as_json(difference)
        if arguments.json
        else as_text(difference, names, verbose=arguments.verbose)
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return written(lambda: sys.stdout.write(text)) or (0 if difference["same"] else _DIFFERENT)
