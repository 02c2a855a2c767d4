"""The command `lambda-build lock`: argv → a lock for all Lambda targets."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import add_project, add_verbosity, make_parser

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parser", "run"]

_DESCRIPTION = """\
Lock the dependencies in pyproject.toml for every Lambda runtime that requires-python
admits, on both architectures, and write pylock.lambda.toml (PEP 751). The resolver is uv,
which must be installed, with the indexes that it is configured to use."""


class _Arguments(argparse.Namespace):
    """The parsed arguments."""

    project: str
    extras: list[str] | None
    groups: list[str] | None
    output: str | None
    upgrade: bool
    offline: bool
    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("lock", description=_DESCRIPTION)
    add_project(made, "project")
    made.add_argument(
        "--extra",
        dest="extras",
        action="append",
        metavar="NAME",
        help="lock only this extra; may be repeated; default: all",
    )
    made.add_argument(
        "--group",
        dest="groups",
        action="append",
        metavar="NAME",
        help="also lock a dependency group; may be repeated; default: `groups` in "
        "[tool.lambda-build]",
    )
    made.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="pylock.toml or pylock.NAME.toml; default: pylock.lambda.toml in the project",
    )
    made.add_argument(
        "-U", "--upgrade", action="store_true", help="ignore the versions in an existing lock"
    )
    made.add_argument("--offline", action="store_true", help="use only uv's cache")
    add_verbosity(made)
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Write the lock and return the exit code.

    Raises:
        LambdaBuildError: With the reason and how to fix it.
    """
    from lambda_build_plugin.commands.locking import DEFAULT_NAME, write_lock
    from lambda_build_plugin.config.artifacts import read_artifacts
    from lambda_build_plugin.config.project import read_project
    from lambda_build_plugin.config.sources import environment_source, table_source
    from lambda_build_plugin.errors import SettingsError, cut
    from lambda_build_plugin.frontends.session import Session

    arguments = _Arguments(**vars(found))
    given = {"groups": arguments.groups, "offline": arguments.offline or None}
    session = Session.of(given, environ, quiet=arguments.quiet, verbose=False)
    host = session.host
    project = read_project(host.cwd / arguments.project)
    sources = [session.flags(), environment_source(host), table_source(project)]
    artifacts = read_artifacts(project, sources, host)
    # One lock serves all artifacts.
    groups = frozenset(group for each in artifacts for group in each.groups)
    settings = replace(artifacts[0], groups=groups)
    output = host.cwd / arguments.output if arguments.output else project.root / DEFAULT_NAME
    if not (output.name == "pylock.toml" or fnmatch(output.name, "pylock.?*.toml")):
        raise SettingsError(
            [f"--output: `{output.name}` is not a file name for such a lock (PEP 751)"],
            hint="name it pylock.toml or pylock.NAME.toml",
        )
    locked = write_lock(
        settings,
        output,
        extras=arguments.extras,
        upgrade=arguments.upgrade,
        also=[each.target.runtime for each in artifacts],
    )
    if not arguments.quiet:
        for line in cut(
            [f"warning: {text}" for text in locked.warnings], verbose=arguments.verbose
        ):
            print(line, file=sys.stderr)
        plural = "" if locked.packages == 1 else "s"
        print(
            f"Locked {locked.packages} package{plural} for {', '.join(locked.runtimes)} "
            f"on x86_64 and arm64: {locked.path}"
        )
    return 0
