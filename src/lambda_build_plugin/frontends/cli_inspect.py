"""The command `lambda-build inspect`: argv → checks of any zip → text or JSON."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lambda_build_plugin.frontends.cli_parser import add_page, add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")

__all__ = ["parser", "run"]

_FAILED = 8

_DESCRIPTION = """\
Check the zip of a function or a layer, whatever tool made it: size, members and modes,
requirements, machine code, handler, and names that break imports. Every build checks its
own zip in the same way."""

_EPILOG = """\
exit codes: 0 no check fails (there may be warnings); 2 usage; 8 a check fails, or there is
a warning with --strict"""


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    zip: str
    runtime: str | None
    architecture: str | None
    handler: str | None
    layers: list[str] | None
    json: bool
    html: str | None
    strict: bool
    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("inspect", description=_DESCRIPTION, epilog=_EPILOG)
    made.add_argument("zip", metavar="ZIP")
    made.add_argument("--runtime", metavar="NAME", help="default: guessed from the contents")
    made.add_argument(
        "--arch",
        "--architecture",
        dest="architecture",
        metavar="NAME",
        help="x86_64 or arm64; default: guessed from the contents",
    )
    made.add_argument("--handler", metavar="NAME", help="package.module.function")
    made.add_argument(
        "--layer",
        dest="layers",
        action="append",
        metavar="ZIP",
        help="the zip of a layer that the function uses; may be repeated",
    )
    made.add_argument("--json", action="store_true", help="print the report as JSON (schema 1)")
    add_page(made, "what fills the zip")
    made.add_argument("--strict", action="store_true", help="treat warnings as errors")
    add_verbosity(made, quiet="print only checks that fail (and the report of --json)")
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show the report and return the exit code.

    Raises:
        LambdaBuildError: An argument is wrong, or a file is not a zip.
    """
    from lambda_build_plugin.commands.inspection import (
        as_json,
        as_text,
        failing_text,
        inspect,
    )
    from lambda_build_plugin.config.spelling import wrong_value
    from lambda_build_plugin.errors import SettingsError
    from lambda_build_plugin.frontends.cli import write_output
    from lambda_build_plugin.pipeline.host import read_machine
    from lambda_build_plugin.runtime.target import RUNTIMES, Architecture

    arguments = _Arguments(**vars(found))
    problems: list[str] = []

    def chosen(option: str, value: str | None, known: Mapping[str, _T]) -> _T | None:
        if value is None or value in known:
            return None if value is None else known[value]
        problems.append(f"{option}: {wrong_value(value, known)}")
        return None

    runtime = chosen("--runtime", arguments.runtime, RUNTIMES)
    architecture = chosen(
        "--arch", arguments.architecture, {each.value: each for each in Architecture}
    )
    layers = [Path(layer) for layer in arguments.layers or ()]
    problems += [
        f"{path}: {problem}"
        for path in (Path(arguments.zip), *layers)
        if (problem := _problem(path))
    ]
    if problems:
        raise SettingsError(problems, hint="`lambda-build inspect --help` lists the options")
    if arguments.html is not None:
        from lambda_build_plugin.frontends.result_files import check_page

        check_page(Path(arguments.html))
    report = inspect(
        Path(arguments.zip),
        runtime=runtime,
        architecture=architecture,
        handler=arguments.handler,
        layers=layers,
        machine=read_machine(environ),
    )
    if arguments.html is not None:
        from lambda_build_plugin.frontends.result_files import write_page
        from lambda_build_plugin.page.views import of_inspection

        write_page(Path(arguments.html), [of_inspection(report, layers=layers, cwd=Path.cwd())])
    if arguments.json:
        text = as_json(report)
    elif arguments.quiet:
        text = failing_text(report, strict=arguments.strict, verbose=arguments.verbose)
    else:
        text = as_text(report, verbose=arguments.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    fails = report["failures"] or (arguments.strict and report["warnings"])
    return write_output(lambda: sys.stdout.write(text)) or (_FAILED if fails else 0)


def _problem(path: Path) -> str:
    """Say why a path cannot be read as a file; empty if it can."""
    try:
        if path.is_file():
            return ""
        return "is a folder: name a zip" if path.is_dir() else "file not found"
    except OSError as error:  # such as a name that is too long
        return error.strerror or str(error)
