"""The console script `lambda-build`: argv → `Settings` → build → text or JSON.

At module level it imports argparse and nothing of the core, so that `--help` and
`--version` answer at once.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.frontends.terminal import TerminalReporter
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.settings import Host, Layer

__all__ = ["entry_point", "main"]

_INTERRUPTED = 130

_DESCRIPTION = """\
Turn a locked Python project into an AWS Lambda zip: exactly the locked
dependencies, in the files that fit the runtime and architecture, from any host."""

_EPILOG = """\
Every option can also stand in [tool.lambda-build] of pyproject.toml or in the
environment as LAMBDA_BUILD_<KEY>; a flag wins over the environment, that over the table.

exit codes: 0 done; 2 settings or usage; 3 lock; 4 no file for the target; 5 fetch;
6 building a source; 7 staging; 8 verification; 130 interrupted"""

_FLAGS = {"architecture": "--arch", "extras": "--extra", "groups": "--group"}
"""How a key is spelled as a flag, where that is not `--key`."""


class _Arguments(argparse.Namespace):
    """What argparse finds, typed."""

    project: str
    runtime: str | None
    architecture: str | None
    layout: str | None
    layer_prefix: str | None
    contents: str | None
    extras: list[str] | None
    groups: list[str] | None
    handler: str | None
    lock: str | None
    output: str | None
    unpacked: str | None
    strict: bool | None
    offline: bool | None
    jobs: str | None
    cache_dir: str | None
    json: bool
    report: str | None
    quiet: bool
    verbose: bool


def entry_point() -> None:
    """Run the console script."""
    # The process ends with the build and makes hardly any cycles: collecting them
    # would cost a tenth of the run.
    gc.disable()
    sys.exit(main(sys.argv[1:]))


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
    _add_target(parser.add_argument_group("target"))
    _add_contents(parser.add_argument_group("contents"))
    _add_output(parser.add_argument_group("output"))
    _add_network(parser.add_argument_group("files and network"))
    return parser


def _add_target(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--runtime",
        metavar="NAME",
        help="python3.10 … python3.14; default: .python-version, else the newest that "
        "requires-python admits",
    )
    group.add_argument(
        "--arch",
        "--architecture",
        dest="architecture",
        metavar="NAME",
        help="x86_64 (default) or arm64",
    )
    group.add_argument("--layout", metavar="NAME", help="function (default) or layer")
    group.add_argument(
        "--layer-prefix",
        metavar="PATH",
        help="python (default) or python/lib/python3.X/site-packages",
    )
    group.add_argument(
        "--handler",
        metavar="NAME",
        help="package.module.function: fail if its module is not in the artifact",
    )


def _add_contents(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--contents", metavar="WHAT", help="all (default), dependencies or project")
    group.add_argument(
        "--extra",
        dest="extras",
        action="append",
        metavar="NAME",
        help="add an extra of the project; may be repeated",
    )
    group.add_argument(
        "--group",
        dest="groups",
        action="append",
        metavar="NAME",
        help="add a dependency group; may be repeated",
    )
    group.add_argument(
        "--lock",
        metavar="FILE",
        help="default: the first of pylock.lambda.toml, pylock.toml, uv.lock, "
        "requirements.lock, requirements.txt",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="the zip; a name ending in / is a folder for the default name; default: "
        "dist/{name}-{version}-{layout}-{runtime}-{architecture}.zip",
    )
    group.add_argument(
        "--unpacked", metavar="DIR", help="also write the files into this empty or new folder"
    )
    group.add_argument(
        "--strict", action="store_const", const=True, help="treat warnings as errors"
    )
    group.add_argument("--json", action="store_true", help="print the report as JSON (schema 1)")
    group.add_argument("--report", metavar="FILE", help="write the JSON report to a file")
    group.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="say each step")


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--offline", action="store_const", const=True, help="use the cache alone")
    group.add_argument("--cache-dir", metavar="DIR", help="where fetched files are kept")
    group.add_argument("--jobs", metavar="N", help="files to fetch at once; default: 8")


def _run(arguments: _Arguments, environ: Mapping[str, str]) -> int:
    from lambda_build_plugin.build import build
    from lambda_build_plugin.frontends.terminal import TerminalReporter
    from lambda_build_plugin.project import read_project
    from lambda_build_plugin.settings import environment_layer, read_settings, table_layer

    host = _host(arguments, environ)
    project = read_project(host.cwd / arguments.project)
    layers = [_flags(arguments, host), environment_layer(host), table_layer(project)]
    settings = read_settings(project, layers, host)
    reporter = _reporter(arguments, sys.stderr, TerminalReporter)
    with reporter.live():
        result = build(settings, reporter)
    _show(result, arguments, host)
    return 0


def _host(arguments: _Arguments, environ: Mapping[str, str]) -> Host:
    """Gather what the core may know of the machine; the one place that looks."""
    import datetime
    from pathlib import Path

    from lambda_build_plugin.settings import Host

    cwd = Path.cwd()
    named = arguments.cache_dir or environ.get("LAMBDA_BUILD_CACHE_DIR")
    if named:
        cache_dir = cwd / named
    else:
        from platformdirs import user_cache_path

        cache_dir = user_cache_path("lambda-build", appauthor=False)
    return Host(
        cwd=cwd,
        home=Path.home(),
        cache_dir=cache_dir,
        today=datetime.datetime.now(tz=datetime.timezone.utc).date(),
        environ=dict(environ),
    )


def _flags(arguments: _Arguments, host: Host) -> Layer:
    from lambda_build_plugin.settings import KEYS, Layer

    return Layer(
        values={key: getattr(arguments, key.replace("-", "_")) for key in KEYS},
        spell=lambda key: _FLAGS.get(key, f"--{key}"),
        base=host.cwd,
    )


def _reporter(arguments: _Arguments, stream: TextIO, terminal: type[TerminalReporter]) -> Reporter:
    from lambda_build_plugin.progress import Reporter

    if arguments.quiet:
        return Reporter()
    return terminal(stream, verbose=arguments.verbose, live=stream.isatty())


def _show(result: BuildReport, arguments: _Arguments, host: Host) -> None:
    from lambda_build_plugin.report import as_json, as_text

    if arguments.report:
        _write_report(host.cwd / arguments.report, as_json(result))
    if arguments.quiet:
        return
    if arguments.json:
        for warning in result["warnings"]:
            print(f"warning: {warning}", file=sys.stderr)
        text = as_json(result)
    else:
        text = as_text(result, verbose=arguments.verbose)
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_report(path: Path, text: str) -> None:
    from lambda_build_plugin.archive import moved_in

    with moved_in(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
