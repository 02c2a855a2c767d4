"""The command `lambda-build cache`: argv → where the cache is, its size, and less of it."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["parser", "run"]

_DESCRIPTION = """\
Show where the cache is and what is in it, or make it smaller.

  dir    print the folder
  size   show how much is in it
  prune  remove what killed builds have left behind, and what has not been used for 30 days \
(or what --older-than and --max-size say); builds may run at the same time
  clear  remove everything; refused while a build is running"""


_EPILOG = """\
exit codes: 0 done; 2 usage; 5 the cache cannot be changed

The folder comes from --cache-dir, then from LAMBDA_BUILD_CACHE_DIR, and is otherwise a folder of
the user. Only files that lambda-build has put there are counted and removed. 1 GB is 1024 MB, as
in all reports. The time of the last use is known to the hour."""

_ACTIONS = ("dir", "size", "prune", "clear")
_CHANGING = frozenset({"prune", "clear"})


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    action: str
    cache_dir: str | None
    older_than: str | None
    max_size: str | None
    json: bool
    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("cache", description=_DESCRIPTION, epilog=_EPILOG)
    made.add_argument("action", choices=_ACTIONS, metavar="{dir,size,prune,clear}")
    made.add_argument("--cache-dir", metavar="PATH", help="use another folder")
    made.add_argument(
        "--older-than",
        metavar="TIME",
        help="prune: remove what has not been used for this time, such as 12h, 30d or 2w",
    )
    made.add_argument(
        "--max-size",
        metavar="SIZE",
        help="prune: remove what has been unused for the longest time, until the rest is no "
        "larger than this, such as 500MB or 2GB",
    )
    made.add_argument("--json", action="store_true", help="size: print it as JSON (schema 1)")
    add_verbosity(
        made,
        quiet="prune, clear: print errors only",
        verbose="show tracebacks of unexpected failures",
    )
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Do what was asked for and return the exit code.

    Raises:
        LambdaBuildError: An option is wrong, or the cache cannot be changed.
    """
    from lambda_build_plugin.errors import SettingsError
    from lambda_build_plugin.frontends.cli import write_output
    from lambda_build_plugin.pipeline.host import read_host

    arguments = _Arguments(**vars(found))
    limits = _limits(arguments)
    cache = read_host(environ, arguments.cache_dir).cache_dir
    if cache.exists() and not cache.is_dir():
        raise SettingsError([f"the cache at {cache} is not a folder"], hint="name its folder")
    text = _done(arguments, cache, limits)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments.quiet and arguments.action in _CHANGING:
        return 0
    return write_output(lambda: sys.stdout.write(text))


def _done(arguments: _Arguments, cache: Path, limits: Mapping[str, int]) -> str:
    """Do what was asked for, and return what to print."""
    from lambda_build_plugin.commands.caching import DEFAULT_AGE, clear, measure, prune

    if arguments.action == "dir":
        return f"{cache}\n"
    if arguments.action == "size":
        measured = measure(cache)
        return measured.as_json() if arguments.json else measured.as_text()
    if arguments.action == "clear":
        return clear(cache).as_text()
    return prune(cache, **(limits or {"older_than": DEFAULT_AGE})).as_text()


def _limits(arguments: _Arguments) -> dict[str, int]:
    """Read the limits of `prune`.

    Raises:
        SettingsError: One is wrong, or an option does not belong to the action.
    """
    from lambda_build_plugin.config.units import read_duration, read_size
    from lambda_build_plugin.errors import SettingsError

    readers: dict[str, tuple[str | None, Callable[[str], int]]] = {
        "older_than": (arguments.older_than, read_duration),
        "max_size": (arguments.max_size, read_size),
    }
    limits, problems = {}, []
    for name, (text, read) in readers.items():
        option = f"--{name.replace('_', '-')}"
        if text is not None and arguments.action != "prune":
            problems.append(f"{option}: belongs to `lambda-build cache prune`")
        elif text is not None:
            try:
                limits[name] = read(text)
            except ValueError as error:
                problems.append(f"{option}: {error}")
    if arguments.json and arguments.action != "size":
        problems.append("--json: belongs to `lambda-build cache size`")
    if problems:
        raise SettingsError(problems, hint="`lambda-build cache --help` shows how to spell them")
    return limits
