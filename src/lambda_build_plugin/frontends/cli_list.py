"""The command `lambda-build list`: argv → what there is to build, for people and for CI."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.cli_parser import (
    add_folders,
    add_options,
    add_verbosity,
    make_parser,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.projects.listing import Listing
    from lambda_build_plugin.projects.model import Failure
    from lambda_build_plugin.projects.plan import Planned, Plans

__all__ = ["parser", "run"]

_DESCRIPTION = """\
List what `lambda-build` with the same folders and options would build, without building it:
folder, project, artifact and target, and with --json also the output, the lock, and the
folders and files that can change the artifact."""

_EPILOG = """\
--changed-since compares the files as they are, committed or not, with the commit at which REV
and HEAD diverged. For a lock, it compares what is selected for the artifact, not the text.

--shards balances the jobs by the sizes of the locked files. A file whose size is not in the lock
counts as 1 MB. The result depends on the lock alone, so it is the same on every machine.

If nothing has changed, the list is empty, and so is the matrix, which GitHub and GitLab refuse:
"Build in CI" in the documentation shows how to handle that.

exit codes: 0 done, also if nothing is listed; 2 settings or usage, or no such REV; 3 lock"""

_ENGINES = ("github", "gitlab")
_MOST_JOBS = {"github": 256, "gitlab": 200}
"""https://docs.github.com/actions/reference/limits, https://docs.gitlab.com/ci/yaml/"""

_NOT_HERE = frozenset({"html", "json", "report", "strict", "offline", "cache-dir", "jobs"})
"""Options of a build that change neither what is built nor where it goes."""


class _Arguments(argparse.Namespace):
    """The parsed arguments; those of `OPTIONS` are read by their key."""

    folders: list[str]
    workspace: bool
    json: bool
    matrix: str | None
    shards: str | None
    changed_since: str | None
    quiet: bool
    verbose: bool


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command."""
    made = make_parser("list", description=_DESCRIPTION, epilog=_EPILOG)
    made.add_argument("--json", action="store_true", help="print everything as JSON (schema 1)")
    made.add_argument(
        "--matrix",
        nargs="?",
        const=_ENGINES[0],
        metavar="{github,gitlab}",
        help="print the matrix of a CI service as one line of JSON; without a name, of github",
    )
    made.add_argument(
        "--changed-since", metavar="REV", help="list only what differs from a revision of git"
    )
    made.add_argument(
        "--shards", metavar="N", help="spread the projects over N jobs of about the same size"
    )
    add_options(made, without=_NOT_HERE)
    add_folders(made, "list", "default: the current folder; patterns such as 'functions/*' too")
    add_verbosity(made, quiet="print no warnings")
    return made


def run(found: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the list and return the exit code.

    Raises:
        LambdaBuildError: An option or a folder is wrong, or all projects have the same mistake.
    """
    from lambda_build_plugin.config.workspace import find_projects
    from lambda_build_plugin.frontends.cli_projects import MARKS
    from lambda_build_plugin.frontends.session import Session
    from lambda_build_plugin.projects.plan import plan_projects
    from lambda_build_plugin.projects.read import Request, read_projects

    arguments = _Arguments(**vars(found))
    shards = _checked(arguments)
    session = Session.of(vars(arguments), environ, quiet=arguments.quiet, verbose=arguments.verbose)
    host = session.host
    folders = find_projects(
        [host.cwd / folder for folder in arguments.folders],
        workspace=arguments.workspace,
        marks=MARKS,
    )
    request = Request(
        flags=session.flags(),
        host=host,
        artifacts=session.artifact_names,
        workers=1,
        verbose=session.verbose,
        checks_folders=False,
    )
    plans = plan_projects(read_projects(folders, request), verbose=session.verbose)
    if len(folders) == 1 and not arguments.workspace and not arguments.quiet:
        _suggest_workspace(folders[0])
    if plans.failures:
        return _fail(plans.failures)
    return _show(arguments, _listing(arguments, session, plans, shards))


def _suggest_workspace(folder: Path) -> None:
    """Say at the root of a workspace how its members are listed."""
    from lambda_build_plugin.config.workspace import workspace_hint
    from lambda_build_plugin.frontends.cli import print_error

    if suggestion := workspace_hint(folder):
        print_error(f"hint: list {suggestion}")


def _checked(arguments: _Arguments) -> int:
    """Check the options that only this command has, and return the number of shards.

    Returns:
        0 without `--shards`.

    Raises:
        SettingsError: An option is wrong.
    """
    from lambda_build_plugin.errors import SettingsError

    if arguments.matrix is not None and arguments.matrix not in _ENGINES:
        # `--matrix functions/a`: the next argument is a folder.
        named = [] if arguments.folders == ["."] else arguments.folders
        arguments.folders, arguments.matrix = [arguments.matrix, *named], _ENGINES[0]
    problems = []
    if arguments.json and arguments.matrix:
        problems.append("--json: does not go together with --matrix")
    text = arguments.shards
    if text is not None and not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        problems.append(f"--shards: `{text}` is not a number of jobs, such as 4")
    if problems:
        raise SettingsError(problems, hint="`lambda-build list --help` lists the options")
    return int(text[:9]) if text else 0


def _listing(arguments: _Arguments, session: Session, plans: Plans, shards: int) -> Listing:
    """Keep what has changed, and spread it."""
    from lambda_build_plugin.projects.listing import Listing
    from lambda_build_plugin.projects.shards import spread

    artifacts: Sequence[Planned] = plans.artifacts
    removed: Sequence[Path] = ()
    if arguments.changed_since is not None:
        artifacts, removed = _changed(arguments.changed_since, session, plans)
    return Listing(
        cwd=session.host.cwd,
        artifacts=artifacts,
        shards=spread(artifacts, shards) if shards else {},
        removed=removed,
    )


def _changed(
    since: str, session: Session, plans: Plans
) -> tuple[Sequence[Planned], Sequence[Path]]:
    """Keep what a change touches; also return the folders of removed projects."""
    from lambda_build_plugin.frontends.cli import print_error
    from lambda_build_plugin.projects.changes import Changes
    from lambda_build_plugin.system.repository import Repository

    # Not that of any project, which may be a submodule.
    folder = os.path.commonpath([each.project.folder.resolve() for each in plans.artifacts])
    repository = Repository.around(Path(folder), since, session.host.environ)
    changes = Changes(repository=repository, planner=plans.planner, paths=repository.changed())
    unseen = changes.unseen(plans.artifacts)
    if unseen and not session.quiet:
        for path in unseen:
            print_error(
                f"warning: {path} is outside of the repository {repository.root}: "
                "its changes are not seen"
            )
    return changes.touched(plans.artifacts), changes.removed()


def _show(arguments: _Arguments, listing: Listing) -> int:
    from lambda_build_plugin.frontends.cli import print_error, write_output

    if arguments.matrix is not None:
        text = listing.as_matrix(arguments.matrix)
        _check_jobs(arguments.matrix, listing)
    else:
        text = listing.as_json() if arguments.json else listing.as_text()
        if not text and not arguments.quiet:
            print_error("nothing to build")
    return write_output(lambda: sys.stdout.write(text))


def _check_jobs(engine: str, listing: Listing) -> None:
    """Check that a CI service can run so many jobs.

    Raises:
        SettingsError: There are too many.
    """
    from lambda_build_plugin.errors import SettingsError

    most, count = _MOST_JOBS[engine], listing.jobs
    if count > most:
        raise SettingsError(
            [f"--matrix: {count} jobs are more than the {most} that {engine} allows"],
            hint=f"spread the projects over fewer jobs with `--shards {most}` or less",
        )


def _fail(failures: Sequence[Failure]) -> int:
    """Tell what is wrong: a plan that silently lacks a project would be no plan."""
    from lambda_build_plugin.frontends.cli import print_error
    from lambda_build_plugin.projects.model import failure_texts

    for text in failure_texts(failures):
        print_error(text)
    return failures[0].exit_code
