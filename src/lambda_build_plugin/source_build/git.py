"""Check out a locked commit with the user's own git.

What was fetched stays in the cache, in one bare repository per commit, so that the next
build needs no network. Such a repository is moved into place when it is complete and never
changed afterwards, so that builds can share it without locks. git verifies the hashes of
its objects each time they are used.

The user's ssh, credential helpers and `insteadOf` work as they do in a shell. There are no
prompts and no hooks, and a login in a URL is passed to git in the environment, because git
passes URLs to its helpers as arguments, which every user of the machine can see. URLs that
are rewritten by the user's own `insteadOf` may show there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from lambda_build_plugin.errors import FetchError, excerpt
from lambda_build_plugin.fetch.errors import NotCachedError
from lambda_build_plugin.source_build.unpack import project_below
from lambda_build_plugin.system.cache import CacheError
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.urls import redacted, redacted_text, without_login

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lambda_build_plugin.lock.model import LockedVcs
    from lambda_build_plugin.system.cache import Cache

__all__ = [
    "CommitGoneError",
    "GitError",
    "GitNotFoundError",
    "UnusableVcsError",
    "checked_out",
]

_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "protocol.ext.allow": "never",
    "protocol.fd.allow": "never",
    "safe.bareRepository": "all",
    # The files of a commit must be the same on every machine.
    "core.autocrlf": "false",
    "core.eol": "lf",
    "core.attributesFile": os.devnull,
    "fetch.prune": "false",
    "fetch.pruneTags": "false",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "init.defaultBranch": "locked",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # Give up on a server that sends less than one byte per second for a minute.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}
"""Settings that the user's own configuration of git must not change."""

_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    # Empty and not absent, because git would use the next one.
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_ATTR_NOSYSTEM": "1",
    # What is built must not depend on whether git-lfs is installed, so it is never used.
    "GIT_LFS_SKIP_SMUDGE": "1",
}

_OF_A_REPOSITORY = re.compile(
    "GIT_(?:DIR|WORK_TREE|IMPLICIT_WORK_TREE|COMMON_DIR|INDEX_FILE|OBJECT_DIRECTORY"
    "|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|PREFIX|SHALLOW_FILE|GRAFT_FILE|REPLACE_REF_BASE"
    "|NO_REPLACE_OBJECTS|CEILING_DIRECTORIES|TEMPLATE_DIR|CONFIG|TRACE.*|CURL_VERBOSE)"
)
"""Variables of a surrounding repository (set in its hooks), and traces, which show logins."""

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256_LENGTH = 64

_REF = "refs/heads/locked"
_TAGS = "+refs/tags/*:refs/tags/*"
_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"

_ASKS_GIT = re.compile(
    rb"\b(?:scm|vcs|versioneer|dunamai|pbr)\b|[-_]scm\b|versioning"
    rb"|git[-_. ]?describe|['\"]git['\"]",
    re.IGNORECASE,
)
"""Words in projects whose backends derive the version from git's tags and history."""

_DECLARATIONS = ("pyproject.toml", "setup.py", "setup.cfg")

_HTTP = frozenset({"http", "https"})
_TRANSPORT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9+.-]*)(?:::|://)")
_TRANSPORTS = frozenset(
    {*_HTTP, "codecommit", "file", "ftp", "ftps", "git", "git+ssh", "ssh", "ssh+git"}
)
"""What URLs may begin with; others run a program (`ext`), or wait for ever (`fd`)."""

_SSH = re.compile(r"(?![A-Za-z]:[\\/])[^/]+:(?!:).*", re.DOTALL)
"""The short form of an ssh URL, `git@server:path`, which git tells from a path like this."""

_LONGEST_SECONDS = 3600.0
_LAST_LINES = 20

_USERNAME, _PASSWORD = "LAMBDA_BUILD_GIT_USERNAME", "LAMBDA_BUILD_GIT_PASSWORD"
_HELPER = (
    "!f() { if test \"$1\" = get; then printf 'username=%s\\npassword=%s\\n' "
    f'"${_USERNAME}" "${_PASSWORD}"; fi; }}; f'
)
"""A credential helper that reads the environment; `printf` is built into the shell."""


class GitNotFoundError(FetchError):
    """There is no git on this machine."""

    def __init__(self, shown: str) -> None:
        super().__init__(
            "cannot find git",
            why=f"the lock names a commit of {shown}, and there is no `git` on the PATH",
            hint="install git",
        )


class UnusableVcsError(FetchError):
    """A locked commit cannot be requested from git."""

    def __init__(self, shown: str, problem: str, *, hint: str) -> None:
        self.problem = problem
        super().__init__(f"cannot check out {shown}", why=problem, hint=hint)


class CommitGoneError(FetchError):
    """A repository no longer has the locked commit."""

    def __init__(self, shown: str, commit: str) -> None:
        self.commit = commit
        super().__init__(
            f"{shown} has no commit {commit}",
            why="no branch or tag contains it, and the server does not serve it by its hash",
            hint="a branch was rewritten, or the commit was never pushed: push it, or lock again",
        )


class GitError(FetchError):
    """Git failed."""

    def __init__(self, shown: str, output: str) -> None:
        self.output = output
        super().__init__(
            f"git cannot check out {shown}",
            why=output or "git wrote no output",
            hint="try `git ls-remote` with this URL; git must log in without asking: "
            "through an ssh agent, a credential helper, ~/.netrc, or a token that the URL takes "
            "from an environment variable",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Login:
    """The user name and password in a URL."""

    username: str = field(repr=False)
    password: str | None = field(repr=False)
    """None if the URL has only a name, which is a hint for a helper, or a token."""

    @property
    def secrets(self) -> frozenset[str]:
        """What must not be shown, in each spelling that may occur."""
        secret = self.username if self.password is None else self.password
        return frozenset({secret, quote(secret, safe="")} - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """A repository to fetch from."""

    url: str
    """Without a login, except the user name of ssh."""

    logins: Mapping[str, _Login] = field(repr=False)
    """By origin; submodules on the same server use the login of their repository."""

    @property
    def shown(self) -> str:
        return redacted(self.url)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        scheme, separator, _ = self.url.partition("://")
        if separator:
            return scheme.lower() == "file"
        return "::" not in self.url and _SSH.fullmatch(self.url) is None

    @property
    def origin(self) -> str:
        return "/".join(self.url.split("/", 3)[:3])

    @property
    def login(self) -> _Login | None:
        return self.logins.get(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoginMethod:
    """How one run of git is to log in."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables, which contain the secrets."""

    settings: tuple[tuple[str, str], ...] = ()
    """Options of the command, which every user of the machine can see."""


def checked_out(
    vcs: LockedVcs,
    folder: Path,
    *,
    environ: Mapping[str, str],
    offline: bool,
    cache: Cache,
) -> Path:
    """Check out the locked commit with its submodules, and return the project in it.

    The folder is a repository (`.git`), because some backends take versions or lists of
    files from git. If the project seems to use one of these, the repository has the
    history and the tags, else this one commit. It contains no login.

    Args:
        vcs: The commit; only git is supported.
        folder: An empty folder for the files; created if it does not exist.
        environ: The user's environment variables.
        offline: Whether to use only the cache.
        cache: Where repositories are kept.

    Raises:
        FetchError: There is no git, the server does not respond or does not have the
            commit, or the build is offline and the cache does not have it.
        SourceBuildError: The commit has no such subdirectory.
    """
    shown = redacted(vcs.url)
    commit = vcs.commit.lower()
    _check(vcs, shown)
    executable = shutil.which("git", path=environ.get("PATH"))
    if executable is None:
        raise GitNotFoundError(shown)
    folder.mkdir(parents=True, exist_ok=True)
    git = _Git(executable, environ, sha256=len(commit) == _SHA256_LENGTH)
    checkouts = _Checkouts(git, cache, offline=offline)
    repository = _repository(vcs.url, {})
    checkouts.lay_out(repository, commit, folder)
    project = project_below(folder, vcs.subdirectory, what=f"commit {commit} of {shown}")
    if _asks_git(project):
        checkouts.add_history(repository, commit, folder)
    return project


def _check(vcs: LockedVcs, shown: str) -> None:
    if vcs.kind != "git":
        raise UnusableVcsError(
            shown,
            f"it is a `{vcs.kind}` repository, and only git is supported",
            hint="build a wheel from that commit, and lock the wheel",
        )
    if _COMMIT.fullmatch(vcs.commit.lower()) is None:
        raise UnusableVcsError(
            shown,
            f"`{excerpt(vcs.commit)}` is not a commit: what it names may change",
            hint="lock again; a commit has 40 hexadecimal digits",
        )


def _repository(url: str, logins: Mapping[str, _Login]) -> _Repository:
    """Separate the login from the URL of a repository.

    Raises:
        UnusableVcsError: git would read it as an option or run a program for it, or it has
            control characters.
    """
    if url.startswith("-") or not url.isprintable() or not url:
        raise UnusableVcsError(
            redacted(url), "it is not the URL of a repository", hint="fix the URL and lock again"
        )
    if (match := _TRANSPORT.match(url)) and match["name"].lower() not in _TRANSPORTS:
        raise UnusableVcsError(
            redacted(url),
            f"`{match['name']}` is not a way to fetch from a server that is supported",
            hint="use a URL that begins with https:// or ssh://, and lock again",
        )
    bare = without_login(url)
    scheme, separator, rest = url.partition("://")
    if not separator or bare == url:
        return _Repository(url=url, logins=logins)
    username, colon, password = rest[: len(url) - len(bare) - 1].partition(":")
    if scheme.lower() not in _HTTP:
        # For ssh the name is part of the address, and a password has no use.
        return _Repository(url=f"{scheme}://{username}@{bare.partition('://')[2]}", logins=logins)
    login = _Login(username=unquote(username), password=unquote(password) if colon else None)
    if not f"{login.username}{login.password}".isprintable():
        raise UnusableVcsError(
            redacted(url), "its login contains control characters", hint="fix the login in the URL"
        )
    repository = _Repository(url=bare, logins={})
    return _Repository(url=bare, logins={**logins, repository.origin: login})


def _asks_git(project: Path) -> bool:
    """Check whether a project's declarations mention a tool that asks git for a version."""
    return any(
        path.is_file() and _ASKS_GIT.search(path.read_bytes()) is not None
        for path in (project / name for name in _DECLARATIONS)
    )


class _Git:
    """Run git in the same way on every machine, except for how servers are reached."""

    def __init__(self, executable: str, environ: Mapping[str, str], *, sha256: bool) -> None:
        kept = {
            name: value
            for name, value in environ.items()
            if _OF_A_REPOSITORY.fullmatch(name) is None
        }
        self._executable = executable
        self._environ = {
            **kept,
            **_ENVIRONMENT,
            "GIT_DEFAULT_HASH": "sha256" if sha256 else "sha1",
        }
        if {"GIT_SSH", "GIT_SSH_COMMAND"}.isdisjoint(environ) and not self._has_ssh_command():
            self._environ["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes -o ConnectTimeout=30"

    def run(
        self,
        *arguments: str,
        cwd: Path,
        method: _LoginMethod | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run git until it ends, whatever its exit code is."""
        method = method or _LoginMethod()
        pairs = (*_SETTINGS.items(), *method.settings)
        options = [part for key, value in pairs for part in ("-c", f"{key}={value}")]
        command = (self._executable, *options, *arguments)
        environ = {**self._environ, **method.variables}
        try:
            return finished(command, cwd=cwd, environ=environ, timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            late = f"it did not finish within {_LONGEST_SECONDS:.0f} seconds"
            return subprocess.CompletedProcess(command, 1, "", late)
        except OSError as error:
            message = error.strerror or str(error)
            return subprocess.CompletedProcess(command, 1, "", message)

    def as_variables(self, key: str, value: str) -> dict[str, str]:
        """Return the variables for a setting, which other users cannot see (git 2.31)."""
        text = self._environ.get("GIT_CONFIG_COUNT", "")
        count = int(text) if text.isdecimal() else 0
        return {
            "GIT_CONFIG_COUNT": str(count + 1),
            f"GIT_CONFIG_KEY_{count}": key,
            f"GIT_CONFIG_VALUE_{count}": value,
        }

    def _has_ssh_command(self) -> bool:
        found = self.run("config", "--get", "core.sshCommand", cwd=Path(tempfile.gettempdir()))
        return bool(found.stdout.strip())


class _Checkouts:
    """Check out commits, each from a bare repository in the cache."""

    def __init__(self, git: _Git, cache: Cache, *, offline: bool) -> None:
        self._git = git
        self._cache = cache
        self._offline = offline

    def lay_out(self, repository: _Repository, commit: str, folder: Path) -> None:
        """Write the files of a commit and its submodules into an empty folder."""
        self._must(repository, "init", "--quiet", "--template=", cwd=folder)
        # Relative URLs of submodules are resolved against it.
        self._must(repository, "config", "remote.origin.url", repository.url, cwd=folder)
        self._bring(repository, commit, folder, with_history=False)
        self._must(repository, "checkout", "--quiet", "--detach", commit, "--", cwd=folder)
        modules = folder / ".gitmodules"
        if modules.is_file() and not modules.is_symlink():
            self._lay_out_submodules(repository, folder)

    def add_history(self, repository: _Repository, commit: str, folder: Path) -> None:
        """Add the history of a commit, and the tags."""
        self._bring(repository, commit, folder, with_history=True)

    def _bring(
        self, repository: _Repository, commit: str, folder: Path, *, with_history: bool
    ) -> None:
        """Fetch from the cache into a checkout; what is damaged there is fetched again."""
        kept = self._kept(repository, commit, with_history=with_history)
        if kept is not None:
            if self._copied(kept, folder, with_history=with_history).returncode == 0:
                return
            shutil.rmtree(kept, ignore_errors=True)
        if self._offline:
            raise NotCachedError(f"commit {commit} of {repository.shown}")
        kept = self._keep(repository, commit, with_history=with_history)
        result = self._copied(kept, folder, with_history=with_history)
        if result.returncode:
            raise self._failed(repository, result)

    def _copied(
        self, kept: Path, folder: Path, *, with_history: bool
    ) -> subprocess.CompletedProcess[str]:
        """Copy objects from the cache; git verifies the hash of each one."""
        refs = [f"+{_REF}:refs/remotes/origin/locked"]
        if not with_history:
            return self._fetch(folder, str(kept), refs, ["--depth=1"])
        # A checkout of the very first commit is not shallow.
        is_shallow = (folder / ".git" / "shallow").is_file()
        return self._fetch(folder, str(kept), [*refs, _TAGS], ["--unshallow"] if is_shallow else [])

    # --- submodules -------------------------------------------------------------------

    def _lay_out_submodules(self, repository: _Repository, folder: Path) -> None:
        """Check out what `git submodule update --init --recursive` would."""
        # It makes relative URLs absolute, and rejects malicious names.
        self._must(repository, "submodule", "--quiet", "init", cwd=folder)
        listed = self._must(repository, "ls-files", "--stage", "-z", cwd=folder)
        commits = {
            path: stage.split()[1]
            for stage, _, path in (line.partition("\t") for line in listed.split("\0"))
            if stage.startswith("160000 ")
        }
        paths = self._submodules(repository, folder, "path", "--file=.gitmodules")
        urls = self._submodules(repository, folder, "url", "--local")
        updates = self._submodules(repository, folder, "update", "--file=.gitmodules")
        for name, path in sorted(paths.items()):
            if path in commits and name in urls and updates.get(name) != "none":
                below = folder / path
                if not below.resolve().is_relative_to(folder.resolve()) or not below.is_dir():
                    raise GitError(
                        repository.shown, f"its submodule `{path}` leads out of the repository"
                    )
                submodule = _repository(urls[name], repository.logins)
                if submodule.is_local and not repository.is_local:
                    raise GitError(
                        repository.shown,
                        f"its submodule `{path}` is a folder of this machine: {submodule.shown}",
                    )
                self.lay_out(submodule, commits[path], below)

    def _submodules(
        self, repository: _Repository, folder: Path, key: str, where: str
    ) -> dict[str, str]:
        """Return one setting of each submodule, by the submodule's name."""
        pattern = rf"^submodule\..*\.{key}$"
        found = self._git.run("config", where, "-z", "--get-regexp", pattern, cwd=folder)
        if found.returncode > 1:  # 1: there are no submodules
            raise self._failed(repository, found)
        pairs = (item.partition("\n") for item in found.stdout.split("\0") if item)
        return {
            name.removeprefix("submodule.").removesuffix(f".{key}"): value
            for name, _, value in pairs
        }

    # --- the cache --------------------------------------------------------------------

    def _place(self, repository: _Repository, commit: str, *, with_history: bool) -> Path:
        kind = "history" if with_history else "commit"
        return self._cache.folder("git", f"{repository.url}\n{commit}\n{kind}")

    def _kept(self, repository: _Repository, commit: str, *, with_history: bool) -> Path | None:
        kinds = (True,) if with_history else (False, True)
        places = (self._place(repository, commit, with_history=kind) for kind in kinds)
        return next((place for place in places if place.is_dir()), None)

    def _keep(self, repository: _Repository, commit: str, *, with_history: bool) -> Path:
        """Fetch a commit into its own repository in the cache."""
        parent = self._place(repository, commit, with_history=with_history).parent
        with _cache_folder(parent) as temporary:
            self._must(repository, "init", "--quiet", "--bare", "--template=", cwd=temporary)
            has_history = self._fetched(repository, commit, temporary, with_history=with_history)
            # It contains the URL of the server, which is not needed any more.
            (temporary / "FETCH_HEAD").unlink(missing_ok=True)
            place = self._place(repository, commit, with_history=has_history)
            try:
                temporary.rename(place)
            except OSError:
                if not place.is_dir():  # else another build was faster
                    raise
        return place

    # --- the server -------------------------------------------------------------------

    def _fetched(
        self, repository: _Repository, commit: str, folder: Path, *, with_history: bool
    ) -> bool:
        """Fetch a commit as `refs/heads/locked`; return whether its history was fetched too.

        It is requested by its hash first, which is fast if the server allows it (protocol
        2, or `uploadpack.allowReachableSHA1InWant`), else with all branches and tags.
        """
        wanted = f"+{commit}:{_REF}"
        refs, options = ([wanted, _TAGS], []) if with_history else ([wanted], ["--depth=1"])
        failures: list[GitError] = []
        for method in _login_methods(repository, self._git):
            if self._fetch(folder, repository.url, refs, options, method).returncode == 0:
                return with_history
            everything = self._fetch(folder, repository.url, [_BRANCHES, _TAGS], [], method)
            if everything.returncode == 0:
                if self._git.run("update-ref", _REF, commit, cwd=folder).returncode:
                    raise CommitGoneError(repository.shown, commit)
                return True
            failures.append(self._failed(repository, everything))
        raise failures[-1]

    def _fetch(
        self,
        folder: Path,
        url: str,
        refs: Sequence[str],
        options: Sequence[str],
        method: _LoginMethod | None = None,
    ) -> subprocess.CompletedProcess[str]:
        command = ("fetch", "--quiet", "--no-tags", *options, "--", url, *refs)
        return self._git.run(*command, cwd=folder, method=method)

    def _must(self, repository: _Repository, *arguments: str, cwd: Path) -> str:
        """Run a git command that has to succeed, and return what it prints."""
        result = self._git.run(*arguments, cwd=cwd)
        if result.returncode:
            raise self._failed(repository, result)
        return result.stdout

    def _failed(
        self, repository: _Repository, result: subprocess.CompletedProcess[str]
    ) -> GitError:
        """Make the error for a failed command, with the end of its output, without secrets."""
        message = redacted_text((result.stdout + result.stderr).strip())
        for login in repository.logins.values():
            for secret in login.secrets:
                message = message.replace(secret, "****")
        return GitError(repository.shown, "\n".join(message.splitlines()[-_LAST_LINES:]))


def _login_methods(repository: _Repository, git: _Git) -> Iterator[_LoginMethod]:
    """Yield the ways to pass git the login for a repository; the first one that works counts."""
    login = repository.login
    if login is None:
        yield _LoginMethod()
        return
    if login.password is None:
        # If there is only a name, the user's helpers may know the password.
        key = f"credential.{repository.origin}.username"
        yield _LoginMethod(variables=git.as_variables(key, login.username))
    key = f"credential.{repository.origin}.helper"
    yield _LoginMethod(
        variables={_USERNAME: login.username, _PASSWORD: login.password or ""},
        # The empty one first, so that no other helper is asked or told to store the login.
        settings=((key, ""), (key, _HELPER)),
    )


@contextmanager
def _cache_folder(parent: Path) -> Iterator[Path]:
    """Make an empty folder in the cache, which is removed at the end unless it was moved."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=".part-"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise CacheError(str(parent.parent), error.strerror or str(error)) from error
