"""The command `lambda-build diff`: argv → the differences between two zips."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import add_page, add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parser", "run"]

_DIFFERENT = 1

_DESCRIPTION = """\
Compare two zips, whatever tool made them: show packages and files that were added, removed
or changed (version, content, mode, compression, date, order), and why their sha256 differ."""

_EPILOG = "exit codes: 0 identical; 1 different; 2 usage, or a zip cannot be read"


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    before: str
    after: str
    json: bool
    html: str | None
    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("diff", description=_DESCRIPTION, epilog=_EPILOG)
    made.add_argument("before", metavar="A.zip")
    made.add_argument("after", metavar="B.zip")
    made.add_argument("--json", action="store_true", help="print the difference as JSON (schema 1)")
    add_page(made, "what grew and what shrank")
    add_verbosity(
        made,
        quiet="print errors only (and the difference of --json); the exit code says whether "
        "there is one",
        verbose="list all files, and show tracebacks of unexpected failures",
    )
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:  # noqa: ARG001 - all commands have it
    """Show the difference and return the exit code.

    Raises:
        LambdaBuildError: One of the zips cannot be read, or the page cannot be written.
    """
    from lambda_build_plugin.commands.diff import as_json, as_text, compare
    from lambda_build_plugin.frontends.cli import write_output

    arguments = _Arguments(**vars(found))
    names = (arguments.before, arguments.after)
    before, after = Path(arguments.before), Path(arguments.after)
    if arguments.html is not None:
        from lambda_build_plugin.frontends.result_files import check_page

        check_page(Path(arguments.html))
    difference = compare(before, after)
    if arguments.html is not None:
        from lambda_build_plugin.frontends.result_files import write_page
        from lambda_build_plugin.page.views import of_diff

        write_page(Path(arguments.html), [of_diff(before, after, difference)])
    if arguments.json:
        text = as_json(difference)
    elif arguments.quiet:
        text = ""
    else:
        text = as_text(difference, names, verbose=arguments.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return write_output(lambda: sys.stdout.write(text)) or (0 if difference["same"] else _DIFFERENT)
