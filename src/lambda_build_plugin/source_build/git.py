"""A locked commit → a folder with its files, through the user's own git.

What was fetched once stays in the cache, one bare repository a commit, so that a second
build asks nobody. Such a repository is made beside its place and never changed, which is
why builds may share it without locks; its objects are hashed again each time they are used.

The user's ssh, credential helpers and `insteadOf` work as they do in a shell. Nothing asks,
no hook runs, and a login in a URL travels to git in the environment: git hands URLs on to
its helpers as arguments, which every user of the machine can list.
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
    "safe.bareRepository": "all",
    # The files of a commit are the same for everybody.
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
    # A server that sends less than a byte a second for a minute is away.
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}
"""What the user's own configuration of git may not decide."""

_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    # Empty, and not absent: git would turn to the next one.
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_ATTR_NOSYSTEM": "1",
    # Whether git-lfs is installed here is not to decide what is built: it never acts.
    "GIT_LFS_SKIP_SMUDGE": "1",
}

_OF_A_REPOSITORY = re.compile(
    "GIT_(?:DIR|WORK_TREE|IMPLICIT_WORK_TREE|COMMON_DIR|INDEX_FILE|OBJECT_DIRECTORY"
    "|ALTERNATE_OBJECT_DIRECTORIES|NAMESPACE|PREFIX|SHALLOW_FILE|GRAFT_FILE|REPLACE_REF_BASE"
    "|NO_REPLACE_OBJECTS|CEILING_DIRECTORIES|TEMPLATE_DIR|CONFIG|TRACE.*|CURL_VERBOSE)"
)
"""Variables of a repository that we may be started from (a hook's), and traces, which tell all."""

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
"""What a project mentions whose backend asks git for its version: tags and history."""

_DECLARATIONS = ("pyproject.toml", "setup.py", "setup.cfg")

_HTTP = frozenset({"http", "https"})
_LONGEST_SECONDS = 3600.0
_LAST_LINES = 20

_USERNAME, _PASSWORD = "LAMBDA_BUILD_GIT_USERNAME", "LAMBDA_BUILD_GIT_PASSWORD"
_HELPER = (
    "!f() { if test \"$1\" = get; then printf 'username=%s\\npassword=%s\\n' "
    f'"${_USERNAME}" "${_PASSWORD}"; fi; }}; f'
)
"""A credential helper that reads the environment; `printf` is the shell's own."""


class GitNotFoundError(FetchError):
    """There is no git on this machine."""

    def __init__(self, shown: str) -> None:
        super().__init__(
            "cannot find git",
            why=f"the lock names a commit of {shown}, and there is no `git` on the PATH",
            hint="install git",
        )


class UnusableVcsError(FetchError):
    """A locked commit is one that cannot be asked for."""

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
    """What a URL holds before its host."""

    username: str = field(repr=False)
    password: str | None = field(repr=False)
    """None where the URL has a name alone: a hint for a helper, or a token."""

    @property
    def secrets(self) -> frozenset[str]:
        """What must not be shown, in each spelling."""
        secret = self.username if self.password is None else self.password
        return frozenset({secret, quote(secret, safe="")} - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """A repository to fetch from."""

    url: str
    """Without a login, except the user name of ssh."""

    logins: Mapping[str, _Login] = field(repr=False)
    """By origin; that of a repository serves its submodules on the same server."""

    @property
    def shown(self) -> str:
        return redacted(self.url)

    @property
    def origin(self) -> str:
        return "/".join(self.url.split("/", 3)[:3])

    @property
    def login(self) -> _Login | None:
        return self.logins.get(self.origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WayIn:
    """How one run of git is to log in."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Here the secrets are."""

    settings: tuple[tuple[str, str], ...] = ()
    """These are seen by every user of the machine."""


def checked_out(
    vcs: LockedVcs,
    folder: Path,
    *,
    environ: Mapping[str, str],
    offline: bool,
    cache: Cache,
) -> Path:
    """Check the locked commit out, with its submodules, and get the project in it.

    The folder is a repository of its own (`.git`), as backends that take versions or file
    lists from git want it; where the project looks like one of these it has the history
    and the tags, else this one commit. No login is in it.

    Args:
        vcs: The commit; only git is known.
        folder: Where to; empty, made if absent.
        environ: The user's variables.
        offline: Take what the cache has, and ask nobody.
        cache: Where repositories are kept.

    Raises:
        FetchError: There is no git, the server or the commit is not to be had, or offline
            the cache does not have it.
        SourceBuildError: The commit has no such sub-directory.
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
    """Take the login out of the URL of a repository.

    Raises:
        UnusableVcsError: It would be an option to git, or breaks lines.
    """
    if url.startswith("-") or not url.isprintable() or not url:
        raise UnusableVcsError(
            redacted(url), "it is not the URL of a repository", hint="fix the URL and lock again"
        )
    bare = without_login(url)
    scheme, separator, rest = url.partition("://")
    if not separator or bare == url:
        return _Repository(url=url, logins=logins)
    username, colon, password = rest[: len(url) - len(bare) - 1].partition(":")
    if scheme.lower() not in _HTTP:
        # To ssh the name is part of the address, and a password is none of its business.
        return _Repository(url=f"{scheme}://{username}@{bare.partition('://')[2]}", logins=logins)
    login = _Login(username=unquote(username), password=unquote(password) if colon else None)
    if not f"{login.username}{login.password}".isprintable():
        raise UnusableVcsError(
            redacted(url), "its login contains control characters", hint="fix the login in the URL"
        )
    repository = _Repository(url=bare, logins={})
    return _Repository(url=bare, logins={**logins, repository.origin: login})


def _asks_git(project: Path) -> bool:
    """Tell whether a project's declarations mention what asks git for a version."""
    return any(
        path.is_file() and _ASKS_GIT.search(path.read_bytes()) is not None
        for path in (project / name for name in _DECLARATIONS)
    )


class _Git:
    """Runs git, the same on every machine but for how to reach servers."""

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
        way: _WayIn | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run git to its end, whatever its exit code."""
        way = way or _WayIn()
        pairs = (*_SETTINGS.items(), *way.settings)
        options = [part for key, value in pairs for part in ("-c", f"{key}={value}")]
        command = (self._executable, *options, *arguments)
        environ = {**self._environ, **way.variables}
        try:
            return finished(command, cwd=cwd, environ=environ, timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            late = f"it did not finish within {_LONGEST_SECONDS:.0f} seconds"
            return subprocess.CompletedProcess(command, 1, "", late)
        except OSError as error:
            said = error.strerror or str(error)
            return subprocess.CompletedProcess(command, 1, "", said)

    def as_variables(self, key: str, value: str) -> dict[str, str]:
        """Spell a setting as variables, which other users do not see (git 2.31)."""
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
    """Lays commits out, each from a bare repository in the cache."""

    def __init__(self, git: _Git, cache: Cache, *, offline: bool) -> None:
        self._git = git
        self._cache = cache
        self._offline = offline

    def lay_out(self, repository: _Repository, commit: str, folder: Path) -> None:
        """Write the files of a commit and of its submodules into an empty folder."""
        self._must(repository, "init", "--quiet", "--template=", cwd=folder)
        # Relative addresses of submodules start from it.
        self._must(repository, "config", "remote.origin.url", repository.url, cwd=folder)
        self._bring(repository, commit, folder, with_history=False)
        self._must(repository, "checkout", "--quiet", "--detach", commit, "--", cwd=folder)
        modules = folder / ".gitmodules"
        if modules.is_file() and not modules.is_symlink():
            self._lay_out_submodules(repository, folder)

    def add_history(self, repository: _Repository, commit: str, folder: Path) -> None:
        """Add what came before a commit, and the tags."""
        self._bring(repository, commit, folder, with_history=True)

    def _bring(
        self, repository: _Repository, commit: str, folder: Path, *, with_history: bool
    ) -> None:
        """Fetch from the cache into a checkout; what is damaged there is fetched anew."""
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
        """Copy objects from the cache; git hashes each of them on the way."""
        refs = [f"+{_REF}:refs/remotes/origin/locked"]
        if not with_history:
            return self._fetch(folder, str(kept), refs, ["--depth=1"])
        # A checkout of the first commit of all is not shallow.
        is_shallow = (folder / ".git" / "shallow").is_file()
        return self._fetch(folder, str(kept), [*refs, _TAGS], ["--unshallow"] if is_shallow else [])

    # --- submodules -------------------------------------------------------------------

    def _lay_out_submodules(self, repository: _Repository, folder: Path) -> None:
        """Check out what `git submodule update --init --recursive` would."""
        # It makes relative addresses absolute, and refuses names that are traps.
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
                self.lay_out(submodule, commits[path], below)

    def _submodules(
        self, repository: _Repository, folder: Path, key: str, where: str
    ) -> dict[str, str]:
        """Get one setting of each submodule by its name."""
        pattern = rf"^submodule\..*\.{key}$"
        found = self._git.run("config", where, "-z", "--get-regexp", pattern, cwd=folder)
        if found.returncode > 1:  # 1: there are none
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
        """Fetch a commit into a repository of its own in the cache."""
        parent = self._place(repository, commit, with_history=with_history).parent
        with _cache_folder(parent) as temporary:
            self._must(repository, "init", "--quiet", "--bare", "--template=", cwd=temporary)
            has_history = self._fetched(repository, commit, temporary, with_history=with_history)
            # It names the server, which does not matter any more.
            (temporary / "FETCH_HEAD").unlink(missing_ok=True)
            place = self._place(repository, commit, with_history=has_history)
            try:
                temporary.rename(place)
            except OSError:
                if not place.is_dir():  # or another build has been quicker
                    raise
        return place

    # --- the server -------------------------------------------------------------------

    def _fetched(
        self, repository: _Repository, commit: str, folder: Path, *, with_history: bool
    ) -> bool:
        """Fetch a commit as `refs/heads/locked`, and tell whether its history came along.

        By its name first, which is quick where the server agrees to that (protocol 2, or
        `uploadpack.allowReachableSHA1InWant`); else through all branches and tags.
        """
        wanted = f"+{commit}:{_REF}"
        refs, options = ([wanted, _TAGS], []) if with_history else ([wanted], ["--depth=1"])
        failures: list[GitError] = []
        for way in _ways_in(repository, self._git):
            if self._fetch(folder, repository.url, refs, options, way).returncode == 0:
                return with_history
            everything = self._fetch(folder, repository.url, [_BRANCHES, _TAGS], [], way)
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
        way: _WayIn | None = None,
    ) -> subprocess.CompletedProcess[str]:
        command = ("fetch", "--quiet", "--no-tags", *options, "--", url, *refs)
        return self._git.run(*command, cwd=folder, way=way)

    def _must(self, repository: _Repository, *arguments: str, cwd: Path) -> str:
        """Run git where it has to succeed, and get what it prints."""
        result = self._git.run(*arguments, cwd=cwd)
        if result.returncode:
            raise self._failed(repository, result)
        return result.stdout

    def _failed(
        self, repository: _Repository, result: subprocess.CompletedProcess[str]
    ) -> GitError:
        """Make the error of a failed command: the end of what git said, without secrets."""
        said = redacted_text((result.stdout + result.stderr).strip())
        for login in repository.logins.values():
            for secret in login.secrets:
                said = said.replace(secret, "****")
        return GitError(repository.shown, "\n".join(said.splitlines()[-_LAST_LINES:]))


def _ways_in(repository: _Repository, git: _Git) -> Iterator[_WayIn]:
    """Yield the ways to give git the login for a repository, the first that does counts."""
    login = repository.login
    if login is None:
        yield _WayIn()
        return
    if login.password is None:
        # With a name alone the user's helpers may know the password.
        key = f"credential.{repository.origin}.username"
        yield _WayIn(variables=git.as_variables(key, login.username))
    key = f"credential.{repository.origin}.helper"
    yield _WayIn(
        variables={_USERNAME: login.username, _PASSWORD: login.password or ""},
        # The empty one first: no other helper is asked, nor told to keep the login.
        settings=((key, ""), (key, _HELPER)),
    )


@contextmanager
def _cache_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder in the cache, removed at the end unless it was moved away."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix=".part-"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise CacheError(str(parent.parent), error.strerror or str(error)) from error
