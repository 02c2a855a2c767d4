"""What git says about the repository around a folder: what has changed, and what was before."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.system.processes import finished

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

__all__ = ["Repository"]

_LINK = "120000"
"""The mode of a symbolic link, https://git-scm.com/docs/git-fast-import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository, compared with one of its commits."""

    root: Path
    """Absolute, without symbolic links."""

    base: str
    """The commit that the files are compared with."""

    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def around(cls, folder: Path, since: str, environ: Mapping[str, str]) -> Repository:
        """Find the repository of a folder, and where a revision and the files have parted.

        Args:
            folder: A folder in the repository.
            since: A revision, such as a branch, a tag or a commit. What it alone has, for
                example because a branch has gone on meanwhile, is no change.
            environ: The environment of this process.

        Raises:
            SettingsError: There is no git or no repository, or the revision does not exist.
        """
        # Variables such as GIT_DIR, which git sets for its hooks, would name another repository.
        own = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        top = _run(folder, own, "rev-parse", "--show-toplevel")
        if top.returncode:
            raise SettingsError(
                [f"--changed-since: {folder} is not in a git repository: {_said(top)}"],
                hint="leave --changed-since out to list everything",
            )
        root = Path(top.stdout.rstrip("\n")).resolve()
        # An option would be a revision that begins with a dash.
        found = _run(root, own, "rev-parse", "--verify", "--end-of-options", f"{since}^{{commit}}")
        if found.returncode:
            raise SettingsError(
                [f"--changed-since: {root} has no revision `{since}`"],
                hint="check its name, or fetch it with `git fetch origin`; a CI service may have "
                "cloned only the newest commit (`fetch-depth: 0` for actions/checkout, "
                "`GIT_DEPTH: 0` for GitLab)",
            )
        commit = found.stdout.strip().splitlines()[-1]
        parted = _run(root, own, "merge-base", commit, "HEAD")
        if parted.returncode:
            raise SettingsError(
                [f"--changed-since: `{since}` and the files here have no commit in common"],
                hint="fetch the whole history with `git fetch --unshallow` (`fetch-depth: 0` for "
                "actions/checkout, `GIT_DEPTH: 0` for GitLab)",
            )
        return cls(root=root, base=parted.stdout.strip(), environ=own)

    def changed(self) -> frozenset[Path]:
        """List what was changed, added or removed: committed or not, and untracked.

        What is renamed was removed at one path and added at the other. Ignored files are not
        listed. Behind a symbolic link, files are listed at both paths.

        Raises:
            SettingsError: Git fails.
        """
        # The user's configuration may hide what has changed in submodules.
        options = ("--name-only", "--no-renames", "--ignore-submodules=none", "-z")
        names = {
            *self._listed("diff", *options, self.base),
            *self._listed("ls-files", "--others", "--exclude-standard", "-z"),
        }
        changed = {self.root / name for name in names}
        for link, target in self._links():
            changed |= {
                link / path.relative_to(target)
                for path in changed
                if path == target or target in path.parents
            }
        return frozenset(changed)

    def before(self, path: Path) -> str | None:
        """Read a file as it was; None if it did not exist."""
        try:
            name = path.relative_to(self.root).as_posix()
        except ValueError:
            return None
        ran = _run(self.root, self.environ, "show", f"{self.base}:{name}")
        return ran.stdout if ran.returncode == 0 else None

    def _links(self) -> Iterator[tuple[Path, Path]]:
        """Yield the symbolic links with what they point to."""
        for entry in self._listed("ls-files", "--stage", "-z"):
            mode, _, name = entry.partition("\t")
            if mode.startswith(_LINK):
                link = self.root / name
                yield link, Path(os.path.realpath(link))  # `resolve` fails on links in a circle

    def _listed(self, *arguments: str) -> list[str]:
        ran = _run(self.root, self.environ, *arguments)
        if ran.returncode:
            raise SettingsError(
                [f"--changed-since: `git {arguments[0]}` fails: {_said(ran)}"],
                hint=f"run `git status` in {self.root} to see what is wrong",
            )
        return [name for name in ran.stdout.split("\0") if name]


def _run(
    folder: Path, environ: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    try:
        return finished(
            ("git", "-c", "core.fsmonitor=false", *arguments), cwd=folder, environ=environ
        )
    except OSError as error:
        raise SettingsError(
            [f"--changed-since: git cannot be started: {error.strerror}"],
            hint="install git, or leave --changed-since out to list everything",
        ) from error


def _said(ran: subprocess.CompletedProcess[str]) -> str:
    lines = ran.stderr.strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else f"exit code {ran.returncode}"
