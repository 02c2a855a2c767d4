from __future__ import annotations

import base64
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from fakes.git import FakeRepository, GitServer, noted_git

from lambda_build_plugin.fetch.errors import NotCachedError
from lambda_build_plugin.lock.model import LockedVcs
from lambda_build_plugin.source_build.git import (
    CommitGoneError,
    GitError,
    GitNotFoundError,
    UnusableVcsError,
    checked_out,
)
from lambda_build_plugin.source_build.unpack import NoSuchFolderError
from lambda_build_plugin.system.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

LOGIN = ("user", "t0ken/s3cr3t")
IN_A_URL = "user:t0ken%2Fs3cr3t"
SECRETS = ("t0ken", "s3cr3t")


class World:
    """A cache, a home, and folders for what is checked out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repositories = folder / "repositories"
        self.environ = {
            "HOME": str(folder / "home"),
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        self.count = 0
        (folder / "home").mkdir()

    def repository(self, name: str = "demo") -> FakeRepository:
        return FakeRepository(self.repositories / name)

    def configure(self, text: str) -> None:
        """Write the user's own configuration of git."""
        (self.folder / "home" / ".gitconfig").write_text(text, encoding="utf-8")

    def checked_out(
        self,
        url: str,
        commit: str,
        *,
        subdirectory: str | None = None,
        kind: str = "git",
        offline: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> Path:
        self.count += 1
        return checked_out(
            LockedVcs(kind=kind, url=url, commit=commit, subdirectory=subdirectory),
            self.folder / f"checkout{self.count}",
            environ={**self.environ, **(environ or {})},
            offline=offline,
            cache=Cache(self.folder / "cache"),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a world without repositories."""
    return World(tmp_path)


def files(folder: Path) -> dict[str, str]:
    """Get all files of a checkout but git's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".git") for part in path.parts)
    }


def everything_in(folder: Path) -> bytes:
    """Get names and contents of all files, one after another."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return b"\n".join(bytes(path) + path.read_bytes() for path in paths)


def failure(work: Callable[[], Any]) -> Any:
    """Get the error that some work ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the tests compare its type
        work()
    return caught.value


# --- the locked commit ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_commit", "smart"),
    [
        pytest.param(True, True, id="by its name"),
        pytest.param(False, True, id="the server refuses names"),
        pytest.param(False, False, id="the server knows files alone"),
    ],
)
def test_locked_commit_is_checked_out(world: World, *, by_commit: bool, smart: bool) -> None:
    """The files are those of the commit, though neither a branch nor a tag ends there."""
    repository = world.repository()
    commit = repository.commit({"a.py": "1", "lib/b.py": "1"})
    repository.commit({"a.py": "2", "later.py": "2"})
    with GitServer(world.repositories, by_commit=by_commit, smart=smart) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert files(folder) == {"a.py": "1", "lib/b.py": "1"}


def test_commit_comes_without_its_history(world: World) -> None:
    """Where the server gives a commit out by its name nothing else is fetched."""
    repository = world.repository()
    repository.commit({"large.py": "1" * 1000}, tag="v1")
    (repository.path / "large.py").unlink()
    commit = repository.commit({"a.py": "2"})
    with GitServer(world.repositories) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert FakeRepository(folder).run("rev-list", "--count", "--all") == "1"


@pytest.mark.parametrize("by_commit", [True, False])
@pytest.mark.parametrize(
    "declaration",
    [
        pytest.param('requires = ["setuptools-scm"]', id="setuptools-scm"),
        pytest.param('requires = ["hatch-vcs"]', id="hatch-vcs"),
        pytest.param("[tool.versioneer]", id="versioneer"),
        pytest.param('requires = ["poetry-dynamic-versioning"]', id="poetry-dynamic-versioning"),
        pytest.param('version = { source = "scm" }', id="pdm-backend"),
    ],
)
def test_tags_are_there_for_backends_that_count_from_them(
    world: World, declaration: str, *, by_commit: bool
) -> None:
    """A project whose version comes from git finds tags and history, on any server."""
    repository = world.repository()
    repository.commit({"pyproject.toml": declaration}, tag="v1.0")
    commit = repository.commit({"a.py": "2"})
    repository.commit({"a.py": "3"})
    with GitServer(world.repositories, by_commit=by_commit) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert FakeRepository(folder).run("describe", "--tags", "--dirty") == (f"v1.0-1-g{commit[:7]}")


def test_sub_directory_is_the_project(world: World) -> None:
    """A repository of several projects yields the one that is locked."""
    commit = world.repository().commit({"one/a.py": "1", "two/b.py": "2"})
    with GitServer(world.repositories) as server:
        folder = world.checked_out(server.url("demo"), commit, subdirectory="two")
    assert files(folder) == {"b.py": "2"}


@pytest.mark.parametrize(
    "subdirectory",
    [
        pytest.param("absent", id="absent"),
        pytest.param("..", id="above"),
        pytest.param("/", id="absolute"),
        pytest.param("link", id="link"),
        pytest.param("a.py", id="file"),
    ],
)
def test_sub_directory_lies_in_the_commit(world: World, subdirectory: str) -> None:
    """A sub-directory that is none, or leads out of the checkout, is refused."""
    repository = world.repository()
    (repository.path / "link").symlink_to("..")
    commit = repository.commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        url = server.url("demo")
        error = failure(lambda: world.checked_out(url, commit, subdirectory=subdirectory))
    assert (type(error), error.what) == (
        NoSuchFolderError,
        f"commit {commit} of {url} has no folder `{subdirectory}`",
    )


def test_repository_may_be_a_folder(world: World) -> None:
    """A path serves as well as a URL, as in pylock.toml."""
    repository = world.repository()
    commit = repository.commit({"a.py": "1"})
    repository.commit({"a.py": "2"})
    folder = world.checked_out(str(repository.path), commit)
    assert files(folder) == {"a.py": "1"}


def test_absent_commit_is_told(world: World) -> None:
    """A commit that was rewritten away is an error of its own."""
    world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        url = server.url("demo")
        error = failure(lambda: world.checked_out(url, "0" * 39 + "1"))
    assert (type(error), error.what) == (
        CommitGoneError,
        f"{url} has no commit {'0' * 39}1",
    )


def test_failure_leaves_nothing_in_the_cache(world: World) -> None:
    """What could not be fetched is not taken for a repository the next time."""
    world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        url = server.url("demo")
        failure(lambda: world.checked_out(url, "1" * 40))
    assert list((world.folder / "cache" / "git").iterdir()) == []


# --- submodules -----------------------------------------------------------------------


def with_submodules(world: World, base: str) -> str:
    """Make three repositories, each with the next one inside; get the first one's commit."""
    inner = world.repository("inner").commit({"c.py": "3"})
    middle, outer = world.repository("middle"), world.repository("outer")
    commit = middle.commit({"b.py": "2"}, submodules={"deep": ("../../inner/.git", inner)})
    middle.commit({"b.py": "later"})
    return outer.commit({"a.py": "1"}, submodules={"lib/middle": (base, commit)})


@pytest.mark.parametrize("by_commit", [True, False])
def test_submodules_are_checked_out(world: World, *, by_commit: bool) -> None:
    """Submodules come at their commits, relative addresses and those within others too."""
    with GitServer(world.repositories, by_commit=by_commit) as server:
        commit = with_submodules(world, server.url("middle"))
        folder = world.checked_out(server.url("outer"), commit)
    assert files(folder) == {"a.py": "1", "lib/middle/b.py": "2", "lib/middle/deep/c.py": "3"}


def test_submodules_build_offline_once_warm(world: World) -> None:
    """Submodules are kept like the commit that wants them."""
    with GitServer(world.repositories) as server:
        url = server.url("outer")
        commit = with_submodules(world, server.url("middle"))
        first = world.checked_out(url, commit)
    assert files(world.checked_out(url, commit, offline=True)) == files(first)


def test_login_serves_submodules_of_the_same_server(world: World) -> None:
    """Submodules of a private repository are private as well."""
    with GitServer(world.repositories, auth=LOGIN) as server:
        commit = with_submodules(world, server.url("middle"))
        folder = world.checked_out(server.url("outer", IN_A_URL), commit)
    assert files(folder / "lib/middle/deep") == {"c.py": "3"}


def test_login_is_not_given_to_another_server(world: World) -> None:
    """The server of a submodule does not hear the login of the repository's."""
    (world.folder / "others").mkdir()
    other = FakeRepository(world.folder / "others" / "lib").commit({"b.py": "2"})
    with (
        GitServer(world.repositories, auth=LOGIN) as server,
        GitServer(world.folder / "others", auth=LOGIN) as elsewhere,
    ):
        url = elsewhere.url("lib")
        commit = world.repository().commit({}, submodules={"lib": (url, other)})
        error = failure(lambda: world.checked_out(server.url("demo", IN_A_URL), commit))
        assert (type(error), error.what) == (GitError, f"git cannot check out {url}")
        assert elsewhere.requests == []


def test_submodule_that_is_not_wanted_stays_away(world: World) -> None:
    """`update = none` says that a submodule is not needed."""
    repository = world.repository()
    repository.run("config", "--file=.gitmodules", "submodule.lib.update", "none")
    commit = repository.commit({"a.py": "1"}, submodules={"lib": ("../absent", "1" * 40)})
    with GitServer(world.repositories) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert files(folder) == {"a.py": "1"}


@pytest.mark.parametrize("form", ["path", "file URL", "above"])
def test_submodule_on_this_machine(world: World, form: str) -> None:
    """A repository of a server does not decide which folders of this machine are read."""
    secret = world.repository("secret")
    inside = secret.commit({"secret.py": "1"})
    place = {"path": str(secret.path), "file URL": secret.path.as_uri(), "above": "/../secret"}
    commit = world.repository().commit({}, submodules={"lib": (place[form], inside)})
    with GitServer(world.repositories) as server:
        error = failure(lambda: world.checked_out(server.url("demo"), commit))
    assert (type(error), "its submodule `lib` is a folder of this machine" in error.why) == (
        GitError,
        True,
    )


def test_submodule_of_a_repository_on_this_machine(world: World) -> None:
    """A repository of this machine may have submodules there."""
    inner = world.repository("inner")
    inside = inner.commit({"b.py": "2"})
    outer = world.repository()
    commit = outer.commit({"a.py": "1"}, submodules={"lib": (str(inner.path), inside)})
    folder = world.checked_out(outer.path.as_uri(), commit)
    assert files(folder) == {"a.py": "1", "lib/b.py": "2"}


@pytest.mark.parametrize(
    "url", ["fd::17", "ext::sh -c true", "FD::17", "tar://x/y", "transport::address"]
)
def test_transport_that_runs_a_program(world: World, url: str) -> None:
    """Of the transports of git only those that reach a server, or a folder, are used."""
    error = failure(lambda: world.checked_out(url, "1" * 40))
    assert type(error) is UnusableVcsError


# --- the cache ------------------------------------------------------------------------


@pytest.mark.parametrize("by_commit", [True, False])
@pytest.mark.parametrize("asks_git", [True, False])
def test_second_build_asks_nobody(world: World, *, by_commit: bool, asks_git: bool) -> None:
    """A commit that was fetched once is there for good, and offline."""
    repository = world.repository()
    commit = repository.commit({"setup.py": "versioneer" if asks_git else ""})
    repository.commit({"a.py": "2"})
    with GitServer(world.repositories, by_commit=by_commit) as server:
        url = server.url("demo")
        world.checked_out(url, commit)
        asked = len(server.requests)
        again = world.checked_out(url, commit)
        assert len(server.requests) == asked
    assert files(world.checked_out(url, commit, offline=True)) == files(again)


def test_offline_without_the_commit_is_told(world: World) -> None:
    """Offline, a commit that was never fetched is not asked for."""
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        url = server.url("demo")
        error = failure(lambda: world.checked_out(url, commit, offline=True))
        assert (type(error), error.what) == (
            NotCachedError,
            f"commit {commit} of {url} is not in the cache",
        )
        assert server.requests == []


def test_damaged_cache_is_filled_anew(world: World) -> None:
    """Objects are hashed when they are used, and what is not right is fetched again."""
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        url = server.url("demo")
        world.checked_out(url, commit)
        for path in (world.folder / "cache" / "git").rglob("*"):
            if "objects" in path.parts and path.is_file():
                path.chmod(0o644)
                path.write_bytes(path.read_bytes()[:-30] + b"?" * 30)
        assert files(world.checked_out(url, commit)) == {"a.py": "1"}
    assert files(world.checked_out(url, commit, offline=True)) == {"a.py": "1"}


# --- logins ---------------------------------------------------------------------------


@pytest.mark.parametrize("by_commit", [True, False])
def test_login_of_the_url_lets_in(world: World, *, by_commit: bool) -> None:
    """User and password in the URL, quoted as in every URL, are what the server hears."""
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=LOGIN, by_commit=by_commit) as server:
        folder = world.checked_out(server.url("demo", IN_A_URL), commit)
    assert files(folder) == {"a.py": "1"}


def test_name_alone_may_be_a_token(world: World) -> None:
    """A URL with a token and no password logs in as forges want it, with an empty one."""
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=("t0ken", "")) as server:
        folder = world.checked_out(server.url("demo", "t0ken"), commit)
    assert files(folder) == {"a.py": "1"}


def a_helper(folder: Path, reply: str) -> str:
    """Write a credential helper that notes what it is told, and the settings that name it."""
    path = folder / "helper"
    path.write_text(
        f"#!/bin/sh\ncat >> '{folder / 'told'}'\necho $1 >> '{folder / 'told'}'\n"
        f"test $1 = get && printf '{reply}'\n"
    )
    path.chmod(0o755)
    return f"[credential]\n\thelper = {path}\n"


def test_helper_of_the_user_knows_the_password_of_a_name(world: World) -> None:
    """A name in the URL and a credential helper go together."""
    world.configure(a_helper(world.folder, "password=t0ken/s3cr3t\\n"))
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=LOGIN) as server:
        folder = world.checked_out(server.url("demo", "user"), commit)
    assert files(folder) == {"a.py": "1"}
    assert "username=user" in (world.folder / "told").read_text()


def test_helper_of_the_user_lets_in(world: World) -> None:
    """Without a login in the URL the user's git knows what to do."""
    world.configure(a_helper(world.folder, "username=user\\npassword=t0ken/s3cr3t\\n"))
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=LOGIN) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert files(folder) == {"a.py": "1"}


def test_login_of_the_url_is_told_to_no_helper(world: World) -> None:
    """The user's credential helper, which keeps what it hears, does not hear of a token."""
    world.configure(a_helper(world.folder, ""))
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=LOGIN) as server:
        world.checked_out(server.url("demo", IN_A_URL), commit)
    assert not (world.folder / "told").exists()


def test_netrc_lets_in(world: World) -> None:
    """`~/.netrc` is read by git itself."""
    (world.folder / "home" / ".netrc").write_text(
        "machine 127.0.0.1 login user password t0ken/s3cr3t\n"
    )
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=LOGIN) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert files(folder) == {"a.py": "1"}


def test_address_is_rewritten_as_the_user_has_it(world: World) -> None:
    """`insteadOf` leads to where the user's git would go."""
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        world.configure(f'[url "http://{server.netloc}/"]\n\tinsteadOf = https://git.example/a/\n')
        folder = world.checked_out("https://git.example/a/demo/.git", commit)
    assert files(folder) == {"a.py": "1"}


@pytest.mark.parametrize("by_commit", [True, False])
@pytest.mark.parametrize(
    ("auth", "login"),
    [
        pytest.param(LOGIN, IN_A_URL, id="password"),
        pytest.param(("t0ken", ""), "t0ken", id="token alone"),
    ],
)
def test_login_is_in_no_argument(
    world: World, auth: tuple[str, str], login: str, *, by_commit: bool
) -> None:
    """Neither git nor the helpers that it starts have the login among their arguments."""
    log, variables = noted_git(world.folder / "noted")
    commit = world.repository().commit({"setup.py": "versioneer"}, tag="v1")
    with GitServer(world.repositories, auth=auth, by_commit=by_commit) as server:
        world.checked_out(server.url("demo", login), commit, environ=variables)
        url = server.url("demo")
    calls = log.read_text(encoding="utf-8")
    assert f"git-remote-http {url} {url}" in calls
    assert [secret for secret in (*SECRETS, encoded(auth)) if secret in calls] == []


def encoded(auth: tuple[str, str]) -> str:
    """Spell a login as it goes over the wire."""
    return base64.b64encode(":".join(auth).encode()).decode("ascii")


def test_login_stays_nowhere(world: World) -> None:
    """Neither the checkout nor the cache has the login, in a name or a content."""
    with GitServer(world.repositories, auth=LOGIN) as server:
        commit = with_submodules(world, server.url("middle"))
        world.checked_out(server.url("outer", IN_A_URL), commit)
    stored = everything_in(world.folder / "cache") + everything_in(world.folder / "checkout1")
    assert [secret for secret in (*SECRETS, encoded(LOGIN)) if secret.encode() in stored] == []


@pytest.mark.parametrize(
    ("login", "variables"),
    [
        pytest.param(IN_A_URL, {}, id="password"),
        pytest.param("t0ken-s3cr3t", {}, id="token alone"),
        pytest.param(
            IN_A_URL,
            {"GIT_TRACE": "1", "GIT_TRACE_CURL": "1", "GIT_TRACE_REDACT": "0"},
            id="git tells all",
        ),
    ],
)
def test_login_is_in_no_error(world: World, login: str, variables: Mapping[str, str]) -> None:
    """A server that does not accept a login is named without it."""
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories, auth=("other", "x")) as server:
        url = server.url("demo", login)
        error = failure(lambda: world.checked_out(url, commit, environ=variables))
        assert (type(error), error.what) == (GitError, f"git cannot check out {server.url('demo')}")
        assert server.url("demo").removesuffix("/") in error.why
    assert [secret for secret in SECRETS if secret in str(error)] == []


def test_login_is_in_no_representation() -> None:
    """A value of the model that is shown does not show the login."""
    vcs = LockedVcs(kind="git", url=f"https://{IN_A_URL}@git.example/a", commit="1" * 40)
    assert [secret for secret in SECRETS if secret in repr(vcs)] == []


def test_nobody_is_asked_for_a_login(world: World) -> None:
    """Where a login is missing, no program of the user's is started to ask for it."""
    asked = world.folder / "asked"
    program = world.folder / "ask"
    program.write_text(f"#!/bin/sh\ntouch '{asked}'\necho user\n")
    program.chmod(0o755)
    world.configure(f"[core]\n\taskPass = {program}\n")
    commit = world.repository().commit({"a.py": "1"})
    ask = {"GIT_ASKPASS": str(program), "SSH_ASKPASS": str(program), "DISPLAY": ":0"}
    with GitServer(world.repositories, auth=LOGIN) as server:
        error = failure(lambda: world.checked_out(server.url("demo"), commit, environ=ask))
    assert (type(error), asked.exists()) == (GitError, False)


@pytest.mark.parametrize(
    ("variables", "configuration", "program"),
    [
        pytest.param({}, "", "ssh -o BatchMode=yes -o ConnectTimeout=30", id="ours"),
        pytest.param({"GIT_SSH_COMMAND": "mine"}, "", "mine", id="variable"),
        pytest.param({}, "[core]\n\tsshCommand = mine\n", "mine", id="configuration"),
    ],
)
def test_ssh_is_the_users_and_does_not_ask(
    world: World, variables: Mapping[str, str], configuration: str, program: str
) -> None:
    """The user's way to call ssh is kept, the plain one asks nothing; neither gets a password."""
    programs = world.folder / "programs"
    programs.mkdir()
    for name in ("ssh", "mine"):
        path = programs / name
        path.write_text(f"#!/bin/sh\necho {name} $* >> '{world.folder / 'called'}'\nexit 1\n")
        path.chmod(0o755)
    world.configure(f"{configuration}[ssh]\n\tvariant = simple\n")
    path_variable = f"{programs}{os.pathsep}{world.environ['PATH']}"
    url = "ssh://git:t0ken@git.example/a/demo.git"
    error = failure(
        lambda: world.checked_out(url, "1" * 40, environ={**variables, "PATH": path_variable})
    )
    calls = (world.folder / "called").read_text().splitlines()
    assert type(error) is GitError
    assert set(calls) == {f"{program} git@git.example git-upload-pack '/a/demo.git'"}


# --- what does not run, and what is refused -------------------------------------------


def test_neither_hooks_nor_templates_run(world: World) -> None:
    """What the user's git would do at each checkout does not happen here."""
    ran, hooks = world.folder / "ran", world.folder / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{ran}'\n")
        (hooks / name).chmod(0o755)
    world.configure(f"[init]\n\ttemplateDir = {hooks.parent}\n[core]\n\thooksPath = {hooks}\n")
    commit = world.repository().commit({"a.py": "1"})
    with GitServer(world.repositories) as server:
        world.checked_out(
            server.url("demo"), commit, environ={"GIT_TEMPLATE_DIR": str(hooks.parent)}
        )
    assert not ran.exists()


def test_lines_end_as_in_the_commit(world: World) -> None:
    """Neither the user's line ends nor the user's attributes change a file."""
    attributes = world.folder / "attributes"
    attributes.write_text("* text eol=crlf\n")
    world.configure(f"[core]\n\tautocrlf = true\n\teol = crlf\n\tattributesFile = {attributes}\n")
    commit = world.repository().commit({"a.py": "1\n2\n"})
    with GitServer(world.repositories) as server:
        folder = world.checked_out(server.url("demo"), commit)
    assert (folder / "a.py").read_bytes() == b"1\n2\n"


def test_hook_of_git_may_start_a_build(world: World) -> None:
    """The variables with which git starts a hook lead no git of ours to that repository."""
    repository = world.repository()
    commit = repository.commit({"a.py": "1"})
    away = {
        "GIT_DIR": str(world.folder / "absent"),
        "GIT_INDEX_FILE": str(world.folder / "index"),
        "GIT_WORK_TREE": str(world.folder),
    }
    with GitServer(world.repositories) as server:
        folder = world.checked_out(server.url("demo"), commit, environ=away)
    assert files(folder) == {"a.py": "1"}
    assert not (world.folder / "index").exists()


@pytest.mark.parametrize(
    ("url", "kind", "commit", "problem"),
    [
        pytest.param(
            "--upload-pack=touch ran",
            "git",
            "1" * 40,
            "it is not the URL of a repository",
            id="option",
        ),
        pytest.param("", "git", "1" * 40, "it is not the URL of a repository", id="empty"),
        pytest.param(
            "https://a:b%0Ac@git.example/a",
            "git",
            "1" * 40,
            "its login contains control characters",
            id="line break",
        ),
        pytest.param(
            "https://git.example/a",
            "git",
            "main",
            "`main` is not a commit: what it names may change",
            id="branch",
        ),
        pytest.param(
            "https://git.example/a",
            "git",
            "--detach",
            "`--detach` is not a commit: what it names may change",
            id="commit like an option",
        ),
        pytest.param(
            "https://hg.example/a",
            "hg",
            "1" * 40,
            "it is a `hg` repository, and only git is supported",
            id="another kind",
        ),
    ],
)
def test_unusable_item_is_refused(
    world: World, url: str, kind: str, commit: str, problem: str
) -> None:
    """What git would misunderstand does not reach it."""
    error = failure(lambda: world.checked_out(url, commit, kind=kind))
    assert (type(error), error.problem) == (UnusableVcsError, problem)


def test_address_that_is_a_command_is_refused(world: World) -> None:
    """`ext::` would run what follows, even where the user's git allows it."""
    world.configure('[protocol "ext"]\n\tallow = always\n')
    ran = world.folder / "ran"
    error = failure(lambda: world.checked_out(f"ext::touch {ran}", "1" * 40))
    assert (type(error), ran.exists()) == (UnusableVcsError, False)


def test_absent_git_is_told(world: World) -> None:
    """Without git there is no checkout, and it is said what to install."""
    error = failure(
        lambda: world.checked_out(
            "https://git.example/a", "1" * 40, environ={"PATH": str(world.folder)}
        )
    )
    assert (type(error), error.what, error.hint) == (
        GitNotFoundError,
        "cannot find git",
        "install git",
    )
