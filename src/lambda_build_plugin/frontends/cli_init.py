"""The command `lambda-build init`: argv → the table `[tool.lambda-build]` of a project."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import add_project, add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.commands.init import Initialized

__all__ = ["parser", "run"]

_DESCRIPTION = """\
Write [tool.lambda-build] into pyproject.toml, with the runtime, the architecture and the
handler. What you do not name is looked for in the project. An existing table is not changed."""


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    project: str
    runtime: str | None
    architecture: str | None
    handler: str | None
    quiet: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("init", description=_DESCRIPTION)
    add_project(made, "project")
    made.add_argument(
        "--runtime",
        metavar="NAME",
        help="default: what a template of SAM, the Serverless Framework or Terraform names, else "
        "what .python-version names, else the newest that requires-python admits and that the "
        "lock has wheels for",
    )
    made.add_argument(
        "--arch",
        "--architecture",
        dest="architecture",
        metavar="NAME",
        help="x86_64 or arm64; default: what such a template names, else x86_64",
    )
    made.add_argument(
        "--handler",
        metavar="NAME",
        help="default: a function `lambda_handler` or `handler` of the project",
    )
    add_verbosity(made, verbose="show tracebacks of unexpected failures")
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Write the table and return the exit code.

    Raises:
        LambdaBuildError: With the reason and how to fix it.
    """
    from lambda_build_plugin.commands.init import write_table
    from lambda_build_plugin.config.project import read_project
    from lambda_build_plugin.config.read_settings import read_settings
    from lambda_build_plugin.frontends.cli import write_output
    from lambda_build_plugin.frontends.session import Session

    arguments = _Arguments(**vars(found))
    given = {key: getattr(arguments, key) for key in ("runtime", "architecture", "handler")}
    session = Session.of(given, environ, quiet=arguments.quiet, verbose=False)
    project = read_project(session.host.cwd / arguments.project)
    settings = read_settings(project, [session.flags()], session.host)
    written = write_table(settings, named={key for key in given if given[key]})
    text = "" if arguments.quiet else _as_text(written)
    return write_output(lambda: sys.stdout.write(text))


def _as_text(written: Initialized) -> str:
    others = ", ".join(written.other_handlers)
    handler = (
        f"{written.handler}{f' (or {others}?)' if others else ''}"
        if written.handler
        else "none found: fill in its name"
    )
    return (
        f"Wrote [tool.lambda-build] to {written.path}\n\n"
        f"  runtime       {written.runtime} ({written.runtime_reason})\n"
        f"  architecture  {written.architecture} ({written.architecture_reason})\n"
        f"  handler       {handler}\n"
    )
