"""The command `lambda-build invoke`: argv → an invocation on this machine → its answer."""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.config.settings import Host
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.invoke.answers import Result
    from lambda_build_plugin.invoke.arguments import Reader
    from lambda_build_plugin.invoke.invoke_api import Address
    from lambda_build_plugin.invoke.prepare import Prepared, Request

__all__ = ["parser", "run"]

_MOST_REPEATED = 1_000_000
_MOST_MEMORY = 32_768  # MB, with Lambda Managed Instances
_LONGEST = 900  # seconds
_HINT = "`lambda-build invoke --help` lists the options"

_DESCRIPTION = """\
Run a function on this machine as Lambda would, without Docker. The zip and its layers are
unpacked into read-only folders, and AWS's runtime interface client calls the handler in the
runtime's version of Python, with Lambda's environment variables and none of your own. A project
is built first. The answer is written to standard output, and the log to standard error."""

_EPILOG = """\
examples:
  lambda-build invoke --event '{"name": "world"}'
  lambda-build invoke dist/package.zip --handler app.handler --event event.json
  lambda-build invoke --listen 9000 --http

exit codes: 0 the function answered; 9 it failed; those of `lambda-build` if it cannot be built
or cannot run here"""


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    target: str
    event: str
    handler: str | None
    layers: list[str] | None
    artifact: str | None
    variables: list[str] | None
    env_file: str | None
    timeout: str
    memory: str
    repeat: str
    runtime: str | None
    architecture: str | None
    python: str | None
    sysroot: str | None
    pass_credentials: bool
    listen: str | None
    http: bool
    json: bool
    offline: bool
    cache_dir: str | None
    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("invoke", description=_DESCRIPTION, epilog=_EPILOG)
    made.add_argument(
        "target",
        nargs="?",
        default=".",
        metavar="ZIP|PROJECT_DIR",
        help="the zip of a function, or a project; default: the project in the current folder",
    )
    _add_function(made.add_argument_group("function"))
    _add_invocation(made.add_argument_group("invocation"))
    _add_machine(made.add_argument_group("machine"))
    made.add_argument("--json", action="store_true", help="print the results as JSON (schema 1)")
    add_verbosity(
        made,
        quiet="hide the log and all notes",
        verbose="show each step, and tracebacks of unexpected failures",
    )
    return made


def _add_function(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--handler", metavar="NAME", help="package.module.function; default: that of the project"
    )
    group.add_argument(
        "--layer",
        dest="layers",
        action="append",
        metavar="ZIP",
        help="the zip of a layer; may be repeated, in the order of the function's configuration",
    )
    group.add_argument("--artifact", metavar="NAME", help="which artifact of the project to run")
    group.add_argument("--runtime", metavar="NAME", help="such as python3.13")
    group.add_argument(
        "--arch", "--architecture", dest="architecture", metavar="NAME", help="x86_64 or arm64"
    )
    group.add_argument(
        "--env",
        dest="variables",
        action="append",
        metavar="KEY=VALUE",
        help="set an environment variable; may be repeated",
    )
    group.add_argument("--env-file", metavar="FILE", help="set those of a file of KEY=VALUE lines")
    group.add_argument("--timeout", default="3", metavar="SECONDS", help="default: 3, as on Lambda")
    group.add_argument(
        "--memory",
        default="128",
        metavar="MB",
        help="end the process when more is resident; default: 128, as on Lambda",
    )
    group.add_argument(
        "--pass-credentials",
        action="store_true",
        help="let the function see the AWS credentials and region of your environment",
    )


def _add_invocation(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--event",
        default="{}",
        metavar="EVENT",
        help="JSON, the name of a file, or - for standard input; default: {}",
    )
    group.add_argument(
        "--repeat", default="1", metavar="N", help="send the event N times to one environment"
    )
    group.add_argument(
        "--listen",
        metavar="[HOST:]PORT",
        help="serve Lambda's Invoke API instead, until Ctrl-C; HOST is 127.0.0.1 by default",
    )
    group.add_argument(
        "--http", action="store_true", help="with --listen: also serve it as a function URL"
    )


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--python", metavar="PROGRAM", help="the Python that runs the function")
    group.add_argument(
        "--qemu-sysroot",
        dest="sysroot",
        metavar="DIR",
        help="run that Python with qemu-user and the libraries of this folder",
    )
    group.add_argument(
        "--offline", action="store_true", help="use only what is in the cache; fetch nothing"
    )
    group.add_argument("--cache-dir", metavar="DIR", help="folder of the cache")


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Invoke the function, or listen, and return the exit code.

    Raises:
        LambdaBuildError: An argument is wrong, or the function cannot run here.
    """
    from lambda_build_plugin.errors import SettingsError
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.invoke.arguments import Reader
    from lambda_build_plugin.invoke.environment import Log
    from lambda_build_plugin.invoke.prepare import prepared

    arguments = _Arguments(**vars(found))
    options = {
        "cache-dir": arguments.cache_dir,
        "offline": arguments.offline or None,
        "runtime": [arguments.runtime] if arguments.runtime else None,
        "architecture": [arguments.architecture] if arguments.architecture else None,
        "artifact": [arguments.artifact] if arguments.artifact else None,
    }
    session = Session.of(options, environ, quiet=arguments.quiet, verbose=arguments.verbose)
    reader = Reader(cwd=session.host.cwd)
    event = reader.event(arguments.event, sys.stdin.buffer)
    repeat = reader.whole_number("--repeat", arguments.repeat, _MOST_REPEATED)
    address = None if arguments.listen is None else reader.address(arguments.listen)
    if arguments.http and address is None:
        reader.problems.append("--http: needs `--listen`")
    request = _request(arguments, session, reader)
    if reader.problems:
        raise SettingsError(reader.problems, hint=_HINT)
    artifact = _artifact(arguments, session, request)
    log = Log(_silent if arguments.quiet else _show)
    with prepared(artifact, session.host, log) as ready:
        for warning in ready.warnings:
            log.line(f"warning: {warning}")
        if address is not None:
            return _listen(ready, address, arguments)
        return _invoke(ready, event, repeat, as_json=arguments.json)


def _request(arguments: _Arguments, session: Session, reader: Reader) -> Request:
    """Read what is the same for a zip and for a project."""
    from lambda_build_plugin.invoke.prepare import Request
    from lambda_build_plugin.invoke.variables import credentials_in

    host = session.host
    passes = arguments.pass_credentials
    target = host.cwd / arguments.target
    return Request(
        artifact=target if target.is_dir() else reader.file("", arguments.target),
        layers=tuple(reader.file("--layer: ", each) for each in arguments.layers or ()),
        handler=arguments.handler,
        memory=reader.whole_number("--memory", arguments.memory, _MOST_MEMORY),
        timeout=reader.number("--timeout", arguments.timeout, _LONGEST),
        variables=reader.variables(arguments.variables or (), arguments.env_file),
        credentials=credentials_in(host.environ, host.home) if passes else {},
        python=_program(arguments.python, host) if arguments.python else None,
        sysroot=host.cwd / arguments.sysroot if arguments.sysroot else None,
        offline=arguments.offline,
    )


def _program(name: str, host: Host) -> Path:
    """Find a program by its path, or on PATH, as a shell does."""
    found = None if "/" in name else shutil.which(name, path=host.environ.get("PATH"))
    return host.cwd / (found or name)


def _artifact(arguments: _Arguments, session: Session, request: Request) -> Request:
    """Build the artifact if a project was named, and complete the request.

    Raises:
        LambdaBuildError: The build fails, or nothing says what the handler is.
    """
    from lambda_build_plugin.errors import SettingsError

    if request.artifact.is_dir():
        request = _built(arguments, session, request)
    else:
        request = _as_it_is(arguments, request)
    if request.handler is None:
        raise SettingsError(
            ["nothing says which handler to call"],
            hint="name it with `--handler package.module.function`, or as `handler` in "
            "[tool.lambda-build]",
        )
    return request


def _built(arguments: _Arguments, session: Session, request: Request) -> Request:
    from lambda_build_plugin.config.artifacts import read_artifacts
    from lambda_build_plugin.config.project import read_project
    from lambda_build_plugin.config.sources import environment_source, table_source
    from lambda_build_plugin.invoke.project import build_function

    host = session.host
    project = read_project(request.artifact)
    sources = [session.flags(), environment_source(host), table_source(project)]
    artifacts = read_artifacts(project, sources, host, wanted=session.artifact_names)
    reporter = session.reporter(sys.stderr, several=len(artifacts) > 1)
    with reporter.live():
        built = build_function(artifacts, arguments.artifact, reporter)
    if not session.quiet:
        _show("".join(f"warning: {each}\n" for each in dict.fromkeys(built.warnings)))
    return replace(
        request,
        name=built.name,
        artifact=built.artifact,
        layers=(*built.layers, *request.layers),
        handler=request.handler or built.handler,
        runtime=built.runtime,
        architecture=built.architecture,
    )


def _as_it_is(arguments: _Arguments, request: Request) -> Request:
    """Take a zip as it is.

    Raises:
        SettingsError: The runtime or the architecture is unknown.
    """
    from lambda_build_plugin.config.spelling import wrong_value
    from lambda_build_plugin.errors import SettingsError
    from lambda_build_plugin.runtime.target import RUNTIMES, Architecture

    architectures = {each.value: each for each in Architecture}
    runtime, architecture = arguments.runtime, arguments.architecture
    problems = []
    if runtime is not None and runtime not in RUNTIMES:
        problems.append(f"--runtime: {wrong_value(runtime, RUNTIMES)}")
    if architecture is not None and architecture not in architectures:
        problems.append(f"--arch: {wrong_value(architecture, architectures)}")
    if arguments.artifact is not None:
        problems.append("--artifact: is for a project, and a zip is one artifact")
    if problems:
        raise SettingsError(problems, hint=_HINT)
    return replace(
        request,
        name=request.artifact.stem,
        runtime=RUNTIMES[runtime] if runtime else None,
        architecture=architectures[architecture] if architecture else None,
    )


def _invoke(ready: Prepared, event: bytes, repeat: int, *, as_json: bool) -> int:
    """Send the event, as often as wanted, and return the exit code.

    A failure of the function is part of the document of `--json`, so it is not raised.
    """
    from lambda_build_plugin.frontends.cli import print_error, write_output
    from lambda_build_plugin.invoke.answers import explained
    from lambda_build_plugin.invoke.results import as_report
    from lambda_build_plugin.report import json_text

    results = []
    for _ in range(repeat):
        result = ready.environment.invoke(event)
        results.append(result)
        if not as_json and (code := write_output(partial(_write_payload, result.payload))):
            return code
    if as_json:
        text = json_text(as_report(ready, results))
        if code := write_output(lambda: sys.stdout.write(text)):
            return code
    for result in results:
        if result.failure is not None:
            error = explained(result.failure, ready.function, ready.facts.modules)
            print_error(str(error))
            return error.exit_code
    return 0


def _listen(ready: Prepared, address: Address, arguments: _Arguments) -> int:
    """Serve the Invoke API until a signal ends the program.

    Raises:
        SettingsError: The port cannot be used.
    """
    from lambda_build_plugin.invoke.invoke_api import listening

    def invoke(payload: bytes, client_context: str) -> Result:
        return ready.environment.invoke(payload, client_context=client_context)

    with listening(address, invoke, http=arguments.http) as listener:
        if not address.is_loopback and not arguments.quiet:
            _show("warning: other machines can reach this port and invoke the function\n")
        if not arguments.quiet:
            name = ready.function.name
            _show(f"listening on {listener.url} for invocations of `{name}`; Ctrl-C ends it\n")
        listener.serve()
    return 0


def _write_payload(payload: bytes) -> None:
    """Write an answer as it is, which may be binary, and end its line."""
    sys.stdout.flush()
    sys.stdout.buffer.write(payload + b"\n")
    sys.stdout.buffer.flush()


def _show(text: str) -> None:
    """Write to standard error, as long as somebody reads it."""
    encoding = sys.stderr.encoding or "utf-8"
    with suppress(OSError):
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stderr.flush()


def _silent(_: str) -> None:
    """Show nothing."""
