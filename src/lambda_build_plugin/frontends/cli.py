"""The console script `lambda-build`: argv → `Settings` → build → text or JSON.

At module level it imports argparse and the list of options, nothing of the core, so
that `--help` and `--version` answer at once.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["entry_point", "main"]

_INTERRUPTED = 130

_DESCRIPTION = """\
Turn a locked Python project into an AWS Lambda zip: exactly the locked
dependencies, in the files that fit the runtime and architecture, from any host."""

_EPILOG = """\
Options of target, contents and output (but --json and --report) can also stand in
[tool.lambda-build] of pyproject.toml or in the environment as LAMBDA_BUILD_<KEY>;
a flag wins over the environment, that over the table.

exit codes: 0 done; 2 settings or usage; 3 lock; 4 no file for the target; 5 fetch;
6 building a source; 7 staging; 8 verification; 130 interrupted"""


class _Arguments(argparse.Namespace):
    """What argparse finds; the options of `OPTIONS` are read by their key."""

    project: str
    quiet: bool
    verbose: bool


def entry_point() -> None:
    """Run the console script."""
    # The process ends with the build and makes hardly any cycles: collecting them
    # would cost a tenth of the run.
    gc.disable()
    code = main(sys.argv[1:])
    if code == _INTERRUPTED:
        # At a normal end the interpreter would wait for downloads that nobody wants.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Build what the arguments ask for and return the exit code."""
    arguments = _parser().parse_args(argv, namespace=_Arguments())
    from lambda_build_plugin.errors import LambdaBuildError

    try:
        return _run(arguments, os.environ)
    except LambdaBuildError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the report has gone; the artifact is there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    from lambda_build_plugin import __version__

    parser = argparse.ArgumentParser(
        prog="lambda-build",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lambda-build {__version__}")
    parser.add_argument(
        "project", nargs="?", default=".", metavar="PROJECT_DIR", help="default: this folder"
    )
    _add_options(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("-v", "--verbose", action="store_true", help="say each step")
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in OPTIONS:
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        names = tuple(f"{'-' * min(len(name), 2)}{name}" for name in option.names)
        group = groups[option.group]
        if option.metavar is None:
            group.add_argument(
                *names, dest=option.key, action="store_const", const=True, help=option.help
            )
        else:
            group.add_argument(
                *names,
                dest=option.key,
                action="append" if option.repeated else "store",
                metavar=option.metavar,
                help=option.help,
            )


def _run(arguments: _Arguments, environ: Mapping[str, str]) -> int:
    from lambda_build_plugin.build import build
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.project import read_project
    from lambda_build_plugin.settings import environment_layer, read_settings, table_layer

    session = Session.of(vars(arguments), environ, quiet=arguments.quiet, verbose=arguments.verbose)
    host = session.host
    project = read_project(host.cwd / arguments.project)
    layers = [session.flags(), environment_layer(host), table_layer(project)]
    settings = read_settings(project, layers, host)
    session.check_places(settings)
    reporter = session.reporter(sys.stderr)
    with reporter.live():
        result = build(settings, reporter)
    session.show(result, sys.stdout, sys.stderr)
    return 0
