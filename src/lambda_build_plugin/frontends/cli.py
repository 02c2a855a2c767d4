"""The command `lambda-build`: argv → `Settings` → build → text or JSON.

At module level it imports argparse and the list of options, and nothing of the core, so
that `--help` and `--version` answer immediately.
"""

from __future__ import annotations

import _thread  # `threading` would take time at every start
import argparse
import atexit
import gc
import importlib
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import (
    SUMMARIES,
    add_folders,
    add_root_options,
    make_parser,
)
from lambda_build_plugin.frontends.console import end_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType
    from typing import NoReturn, TextIO, TypeAlias

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.errors import LambdaBuildError
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.report import BuildReport

    _Run: TypeAlias = Callable[[argparse.Namespace, Mapping[str, str]], int]

__all__ = ["COMMANDS", "entry_point", "main", "make_root_parser", "print_error", "write_output"]

_UNWRITABLE = 7
_SIGNALLED = 128
"""The number of the signal is added, as shells do."""

_CLEANUP_SECONDS = 0.9
"""How long an interrupted build may clean up before the process ends anyway."""

COMMANDS = {
    "cache": "lambda_build_plugin.frontends.cli_cache",
    "diff": "lambda_build_plugin.frontends.cli_diff",
    "init": "lambda_build_plugin.frontends.cli_init",
    "inspect": "lambda_build_plugin.frontends.cli_inspect",
    "invoke": "lambda_build_plugin.frontends.cli_invoke",
    "list": "lambda_build_plugin.frontends.cli_list",
    "lock": "lambda_build_plugin.frontends.cli_lock",
    "terraform": "lambda_build_plugin.frontends.cli_terraform",
}
"""Commands by the first argument; a folder with such a name is spelled `./lock`.

Each module has a function `parser()`, whose options include those of `add_verbosity`, and a
function `run(arguments, environ)`.
"""

_TAKING_FOLDERS = frozenset({"list"})
"""Commands for any number of folders, which may stand between the options."""

_WILDCARDS = frozenset("*?[")

_DESCRIPTION = """\
Turn a locked Python project into an AWS Lambda zip: exactly the locked
dependencies, with the files that fit the runtime and architecture, from any host.

commands (`lambda-build COMMAND --help` explains each of them):"""

_EPILOG = """\
examples:
  lambda-build --runtime python3.13 --arch arm64
  lambda-build --exclude-preset tests --bytecode-only --handler app.main.handler
  lambda-build services/api services/jobs --report report.json

Options for target, contents and output can also be set in [tool.lambda-build] of
pyproject.toml, or in the environment as LAMBDA_BUILD_<KEY>, except for --json, --report,
--html and --sbom.
A flag wins over the environment, and the environment over the table.

exit codes: 0 done; 2 settings or usage; 3 lock; 4 no file for the target; 5 fetch;
6 building a source; 7 staging; 8 verification; 9 the invoked function failed;
130 interrupted (129, 143: by a signal); 1 an unexpected failure"""


class _Signalled(KeyboardInterrupt):
    """A signal asks the process to end; handled like Ctrl-C, which cleans up."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = _SIGNALLED + number


class _Arguments(argparse.Namespace):
    """The parsed arguments; those of `OPTIONS` are read by their key."""

    folders: list[str]
    print_completion: str | None
    workspace: bool
    fail_fast: bool
    quiet: bool
    verbose: bool


def entry_point() -> None:
    """Run the console script."""
    # The process ends with the build and makes hardly any cycles; collecting garbage
    # would take a tenth of the time.
    gc.disable()
    _open_standard_streams()
    handled = _handled_signals()
    try:
        try:
            _handle(handled)
            code = main(sys.argv[1:])
        finally:
            for each in handled:
                signal.signal(each, end_at_once)
    except KeyboardInterrupt as error:  # just before `main` expects it, or just after
        code = _interrupted(error)
    if code > _SIGNALLED:
        # A normal exit would wait for downloads that are no longer needed.
        os._exit(code)
    _end(code)


def _end(code: int) -> NoReturn:
    """End the process, and do not take apart first all that was loaded, which takes 10 ms.

    What somebody has left to the end, such as a build hook of the project, is done before.
    """
    threading = sys.modules.get("threading")  # only loaded if there are other threads
    if threading is None or sum(not each.daemon for each in threading.enumerate()) == 1:
        with suppress(Exception):  # whatever is wrong is told by a normal exit
            atexit._run_exitfuncs()  # noqa: SLF001 - as a normal exit does
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    # Python would look through all objects for garbage once more.
    gc.freeze()
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    """Run what the arguments ask for and return the exit code."""
    try:
        return _run_command(argv)
    except KeyboardInterrupt as error:
        return _interrupted(error)


def _interrupted(error: KeyboardInterrupt) -> int:
    print_error("interrupted")
    return error.exit_code if isinstance(error, _Signalled) else _SIGNALLED + signal.SIGINT


def _open_standard_streams() -> None:
    """Open streams that are closed, or else other files would get their descriptors."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, stream)


def _handled_signals() -> Sequence[int]:
    """List the signals that end the process: Ctrl-C, SIGTERM, and that of a lost terminal."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # `nohup` ignores SIGHUP, and a shell ignores SIGINT for a job in the background.
    taken = {signal.SIG_DFL, signal.default_int_handler, end_at_once}
    return [each for each in numbers if signal.getsignal(each) in taken]


def _handle(numbers: Sequence[int]) -> None:
    """Clean up when one of these signals ends the process, but not for long."""
    is_ending = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal is_ending
        if not is_ending:  # a second signal would interrupt the cleanup
            is_ending = True
            # The exception may be lost (in a callback, for example), or the cleanup may wait
            # for something that never comes.
            _thread.start_new_thread(_end_soon, (number,))
            raise _Signalled(number)

    for each in numbers:
        signal.signal(each, end)


def _end_soon(number: int) -> None:
    time.sleep(_CLEANUP_SECONDS)
    print_error("interrupted")
    os._exit(_SIGNALLED + number)


def _run_command(argv: Sequence[str]) -> int:
    parser, run, rest = _command(argv)
    try:
        # With options between the folders, which only the command without a name has.
        arguments, unknown = (
            parser.parse_known_intermixed_args(rest)
            if run is _run or argv[0] in _TAKING_FOLDERS
            else parser.parse_known_args(rest)
        )
    except SystemExit:
        if code := write_output(sys.stdout.flush):
            return code
        raise
    from lambda_build_plugin.errors import LambdaBuildError

    try:
        _check_usage(argv, unknown, parser)
        return run(arguments, os.environ)
    except LambdaBuildError as error:
        print_error(error.text(verbose=arguments.verbose))
        return _answered(error, arguments)
    except Exception as error:  # noqa: BLE001 - a traceback is shown only with `-v`
        from lambda_build_plugin.pipeline.unexpected import unexpected_error, unexpected_text

        print_error(unexpected_text(error, verbose=arguments.verbose))
        return _answered(unexpected_error(error, verbose=arguments.verbose), arguments)


def _answered(error: LambdaBuildError, arguments: argparse.Namespace) -> int:
    """Write a failure for machines, too, if they asked for a document; return the exit code."""
    options = vars(arguments)
    if options.get("json") or options.get("report"):
        from lambda_build_plugin.frontends.session import write_failure

        write_output(lambda: write_failure(error, options, cwd=Path(), output=sys.stdout))
    return error.exit_code


def _command(argv: Sequence[str]) -> tuple[argparse.ArgumentParser, _Run, Sequence[str]]:
    """Choose the command by the first argument, and return its parser, function and arguments."""
    if not argv or argv[0] not in COMMANDS:
        return make_root_parser(), _run, argv
    module = importlib.import_module(COMMANDS[argv[0]])
    return module.parser(), module.run, argv[1:]


def _check_usage(
    argv: Sequence[str], unknown: Sequence[str], parser: argparse.ArgumentParser
) -> None:
    """Check for a command or an option that does not exist.

    Raises:
        SettingsError: It says what may be meant.
    """
    word = argv[0] if argv and argv[0] not in COMMANDS else ""
    if unknown or (word.isascii() and word.isalpha()):
        from lambda_build_plugin.frontends.cli_usage import check_command, check_options

        if word.isascii() and word.isalpha():
            check_command(word, COMMANDS)
        check_options(unknown, parser)


def print_error(text: str) -> None:
    """Write to standard error, if it can still be written."""
    from lambda_build_plugin.frontends.colour import coloured, shows_colours

    try:
        if shows_colours(sys.stderr, os.environ):
            text = coloured(text)
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def write_output(write: Callable[[], object]) -> int:
    """Write to standard output and return an exit code."""
    try:
        write()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the report has gone away, but the artifact is built.
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        print_error(f"error: cannot write to standard output: {error.strerror}")
        return _UNWRITABLE
    return 0


def _discard(stream: TextIO) -> None:
    """Discard buffered output, which would otherwise be written at exit and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def make_root_parser() -> argparse.ArgumentParser:
    """Make the parser of `lambda-build` without a command."""
    commands = "\n".join(f"  {name:<9}  {text}" for name, text in SUMMARIES.items())
    parser = make_parser(
        usage="%(prog)s [options] [PROJECT_DIR ...]\n       %(prog)s COMMAND [options]",
        description=f"{_DESCRIPTION}\n{commands}",
        epilog=_EPILOG,
    )
    add_root_options(parser)
    several = add_folders(
        parser, "build", "default: the current folder; several projects are built in one run"
    )
    several.add_argument(
        "--fail-fast",
        action="store_true",
        help="stop at the first project that fails; default: build all others",
    )
    return parser


def _print_completion(shell: str) -> int:
    from lambda_build_plugin.frontends.cli_completion import completion_script

    script = completion_script(shell, COMMANDS)
    return write_output(lambda: sys.stdout.write(script))


def _run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    arguments = _Arguments(**vars(found))
    if arguments.print_completion is not None:
        return _print_completion(arguments.print_completion)
    from lambda_build_plugin.frontends.session import Session

    session = Session.of(vars(arguments), environ, quiet=arguments.quiet, verbose=arguments.verbose)
    host = session.host
    folders = [host.cwd / folder for folder in arguments.folders]
    if len(folders) > 1 or arguments.workspace or _is_pattern(arguments.folders[0]):
        from lambda_build_plugin.frontends.cli_projects import build_several

        return build_several(
            session, folders, workspace=arguments.workspace, fail_fast=arguments.fail_fast
        )
    with _suggesting_workspace(folders[0]):
        results = _build_project(session, folders[0])
    return write_output(lambda: session.show(results, sys.stdout, sys.stderr))


@contextmanager
def _suggesting_workspace(folder: Path) -> Iterator[None]:
    """Say of a root that cannot be built itself how its members are built."""
    from lambda_build_plugin.errors import LockError, SourceBuildError, StageError

    try:
        yield
    except (LockError, SourceBuildError, StageError) as error:
        from lambda_build_plugin.config.workspace import workspace_hint

        if suggestion := workspace_hint(folder):
            error.hint = f"build {suggestion}\nto build the root itself: {error.hint}"
        raise


def _build_project(session: Session, folder: Path) -> Sequence[BuildReport]:
    """Build the only project, and show the progress."""
    from lambda_build_plugin.config.artifacts import read_artifacts
    from lambda_build_plugin.config.project import read_project
    from lambda_build_plugin.config.sources import environment_source, table_source
    from lambda_build_plugin.pipeline.build import build_all

    host = session.host
    project = read_project(folder)
    sources = [session.flags(), environment_source(host), table_source(project)]
    artifacts = read_artifacts(project, sources, host, wanted=session.artifact_names)
    session.check_result_files(artifacts)
    if (results := _build_in_processes(session, artifacts)) is not None:
        return results
    reporter = session.reporter(sys.stderr, several=len(artifacts) > 1)
    with reporter.live():
        return build_all(artifacts, reporter)


def _build_in_processes(
    session: Session, artifacts: Sequence[Settings]
) -> Sequence[BuildReport] | None:
    """Build many artifacts in several processes; None if one process is enough."""
    if len(artifacts) == 1:
        return None
    from lambda_build_plugin.projects.parts import parts_of

    parts = parts_of(artifacts)
    if len(parts) == 1:
        return None
    # Not loaded for a single artifact.
    from lambda_build_plugin.frontends.cli_projects import build_artifacts

    return build_artifacts(session, artifacts, parts)


def _is_pattern(folder: str) -> bool:
    """Tell whether an argument is a pattern that the shell has left, such as `functions/*`."""
    return not _WILDCARDS.isdisjoint(folder) and not os.path.lexists(folder)
