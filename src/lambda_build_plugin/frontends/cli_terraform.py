"""The command `lambda-build terraform`: the program of an `external` data source."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parser", "run"]

_FAILED = 1

_DESCRIPTION = """\
Build for the `external` data source of Terraform and OpenTofu: read a JSON object of strings
from standard input, and write one to standard output.

The query may contain `project` (a folder), `artifact`, and any setting of
[tool.lambda-build], with `_` for `-` (the setting `project` is spelled `project_as`).
The result has `filename`, `source_code_hash`, `sha256`, `runtime`, `architecture`,
`handler` and `size`."""

_EPILOG = """\
  data "external" "api" {
    program = ["lambda-build", "terraform"]
    query   = { project = "../api", runtime = "python3.13", architecture = "arm64" }
  }

exit codes: 0 done; 1 an error, which is on standard error"""


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("terraform", description=_DESCRIPTION, epilog=_EPILOG)
    add_verbosity(made)
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Answer the query and return the exit code."""
    from lambda_build_plugin.commands.terraform import answer, read_query
    from lambda_build_plugin.errors import LambdaBuildError
    from lambda_build_plugin.frontends.cli import write_output

    arguments = _Arguments(**vars(found))
    try:
        data = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
        warn = _hide if arguments.quiet else _warn
        result = answer(read_query(data.decode("utf-8", "replace")), environ, warn)
    except LambdaBuildError as error:
        print(error.text(verbose=arguments.verbose), file=sys.stderr)
        return _FAILED
    return write_output(lambda: print(json.dumps(result)))


def _hide(_: str) -> None:
    """Say nothing."""


def _warn(warning: str) -> None:
    """Keep standard output to the answer; Terraform has this in its log (`TF_LOG`)."""
    print(f"warning: {warning}", file=sys.stderr)
