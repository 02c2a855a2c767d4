"""The console script `lambda-build`: argv → `Settings` → build → text or JSON.

At module level it imports argparse and the list of options, nothing of the core, so
that `--help` and `--version` answer at once.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType
    from typing import TextIO, TypeAlias

    _Run: TypeAlias = Callable[[argparse.Namespace, Mapping[str, str]], int]

__all__ = ["entry_point", "main", "written"]

_UNEXPECTED = 1
_UNWRITABLE = 7
_SIGNALLED = 128
"""With the number of the signal added, as shells have it."""

_COMMANDS = {
    "diff": "lambda_build_plugin.frontends.cli_diff",
    "inspect": "lambda_build_plugin.frontends.cli_inspect",
    "lock": "lambda_build_plugin.frontends.cli_lock",
}
"""Sub-commands by the first argument; a folder of that name is `./lock`.

Each module has a `parser()`, with a switch `verbose` among its options, and a
`run(arguments, environ)`, as this one has them for the command without a name.
"""

_DESCRIPTION = """\
Turn a locked Python project into an AWS Lambda zip: exactly the locked
dependencies, in the files that fit the runtime and architecture, from any host."""

_EPILOG = """\
commands: `lambda-build lock` makes a lock for all Lambda targets; `lambda-build inspect ZIP`
checks any zip as a build checks its own; `lambda-build diff A.zip B.zip` tells what is
not the same in two artifacts.

Options of target, contents and output (but --json and --report) can also stand in
[tool.lambda-build] of pyproject.toml or in the environment as LAMBDA_BUILD_<KEY>;
a flag wins over the environment, that over the table.

exit codes: 0 done; 2 settings or usage; 3 lock; 4 no file for the target; 5 fetch;
6 building a source; 7 staging; 8 verification; 130 interrupted (129, 143: by a signal);
1 a failure that nobody foresaw"""


class _Signalled(KeyboardInterrupt):
    """A signal asks to end; takes the way of Ctrl-C, which cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = _SIGNALLED + number


class _Arguments(argparse.Namespace):
    """What argparse finds; the options of `OPTIONS` are read by their key."""

    folder: str
    quiet: bool
    verbose: bool


def entry_point() -> None:
    """Run the console script."""
    # The process ends with the build and makes hardly any cycles: collecting them
    # would cost a tenth of the run.
    gc.disable()
    _open_standard_streams()
    _heed_signals()
    code = main(sys.argv[1:])
    if code > _SIGNALLED:
        # At a normal end the interpreter would wait for downloads that nobody wants.
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Build what the arguments ask for and return the exit code."""
    try:
        return _answered(argv)
    except KeyboardInterrupt as error:
        _say("interrupted")
        return error.exit_code if isinstance(error, _Signalled) else _SIGNALLED + signal.SIGINT


def _open_standard_streams() -> None:
    """Open streams that were closed at the start: other files would get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, stream)


def _heed_signals() -> None:
    """Clean up before the end also when it is asked for by SIGTERM or a lost terminal."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    asked = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if not asked:  # a second one would stop the cleaning
            asked = True
            raise _Signalled(number)

    for each in numbers:
        if signal.getsignal(each) is signal.SIG_DFL:  # `nohup` has SIGHUP ignored
            signal.signal(each, end)


def _answered(argv: Sequence[str]) -> int:
    parser, run, rest = _command(argv)
    try:
        arguments = parser.parse_args(rest)
    except SystemExit:
        if code := written(sys.stdout.flush):
            return code
        raise
    from lambda_build_plugin.errors import LambdaBuildError

    try:
        return run(arguments, os.environ)
    except LambdaBuildError as error:
        _say(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last net: no traceback unless asked for
        _say(_unexpected(error, verbose=arguments.verbose))
        return _UNEXPECTED


def _command(argv: Sequence[str]) -> tuple[argparse.ArgumentParser, _Run, Sequence[str]]:
    """Choose what to do by the first argument, and give the arguments that are left for it."""
    if not argv or argv[0] not in _COMMANDS:
        return _parser(), _run, argv
    module = importlib.import_module(_COMMANDS[argv[0]])
    return module.parser(), module.run, argv[1:]


def _unexpected(error: Exception, *, verbose: bool) -> str:
    """Describe a failure that the core has no words for."""
    import traceback

    from lambda_build_plugin.errors import LambdaBuildError
    from lambda_build_plugin.urls import redacted_text

    text = ": ".join(part for part in (type(error).__name__, str(error)) if part)
    shown = LambdaBuildError(
        f"unexpected failure: {text}",
        why="this is a mistake of lambda-build: it should have said what is wrong, and did not",
        hint="report it with the traceback" + ("" if verbose else ", which `-v` prints"),
    )
    trace = "".join(traceback.format_exception(error)) if verbose else ""
    return redacted_text(f"{trace}{shown}")


def _say(text: str) -> None:
    """Write to standard error, as far as somebody listens."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _lead_to_nowhere(sys.stderr)


def written(write: Callable[[], object]) -> int:
    """Write to standard output, and tell by an exit code how that went."""
    try:
        write()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the report has gone; the artifact is there.
        _lead_to_nowhere(sys.stdout)
    except OSError as error:
        _lead_to_nowhere(sys.stdout)
        _say(f"error: standard output cannot be written: {error.strerror}")
        return _UNWRITABLE
    return 0


def _lead_to_nowhere(stream: TextIO) -> None:
    """Let what a stream still holds vanish: at the end it would be written again, and fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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
        "folder", nargs="?", default=".", metavar="PROJECT_DIR", help="default: this folder"
    )
    _add_options(parser)
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print errors only (and what --json asks for)"
    )
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


def _run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from lambda_build_plugin.config.artifacts import read_artifacts
    from lambda_build_plugin.config.project import read_project
    from lambda_build_plugin.config.sources import environment_source, table_source
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.pipeline.build import build_all

    arguments = _Arguments(**vars(found))
    session = Session.of(vars(arguments), environ, quiet=arguments.quiet, verbose=arguments.verbose)
    host = session.host
    project = read_project(host.cwd / arguments.folder)
    layers = [session.flags(), environment_source(host), table_source(project)]
    artifacts = read_artifacts(project, layers, host, wanted=session.wanted)
    session.check_places(artifacts)
    reporter = session.reporter(sys.stderr)
    with reporter.live():
        results = build_all(artifacts, reporter)
    return written(lambda: session.show(results, sys.stdout, sys.stderr))
