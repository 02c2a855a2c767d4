"""Repositories that a test makes, and a server for them on the loopback interface.

The server runs git's own `http-backend`, and may ask for a login, speak the old protocol
(which gives out only what branches and tags name), or be one that knows files alone.
"""

from __future__ import annotations

import base64
import functools
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self, override
else:
    _Method = TypeVar("_Method")

    def override(method: _Method) -> _Method:
        """Stand in for `typing.override`, which came with Python 3.12."""
        return method


__all__ = ["FakeRepository", "GitServer", "noted_git"]

_ENVIRON = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example",
    "GIT_AUTHOR_DATE": "1600000000 +0000",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example",
    "GIT_COMMITTER_DATE": "1600000000 +0000",
}


_SHIM = """\
#!/bin/sh
printf '%s\\n' "$0 $*" >> '{log}'
exec '{real}' "$@"
"""


class FakeRepository:
    """A repository with a working tree, made by a test."""

    def __init__(self, path: Path) -> None:
        """Open a repository, which is made if absent."""
        self.path = path
        if not path.is_dir():
            path.mkdir(parents=True)
            self.run("init", "--quiet", "--initial-branch=main", "--template=")

    def run(self, *arguments: str) -> str:
        """Run git in it and get what it prints, without the last line break."""
        result = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.path,
            env=_ENVIRON,
            check=True,
            capture_output=True,
            text=True,
        )
        return result.stdout.rstrip("\n")

    def commit(
        self,
        files: Mapping[str, str] | None = None,
        *,
        tag: str | None = None,
        submodules: Mapping[str, tuple[str, str]] | None = None,
    ) -> str:
        """Write files, commit everything, and get the commit.

        Args:
            files: Contents by path.
            tag: A name for the commit.
            submodules: URL and commit by path.
        """
        for name, content in (files or {}).items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        for name, (url, commit) in (submodules or {}).items():
            self.run("config", "--file=.gitmodules", f"submodule.{name}.path", name)
            self.run("config", "--file=.gitmodules", f"submodule.{name}.url", url)
            self.run("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}")
            (self.path / name).mkdir(parents=True, exist_ok=True)
        self.run("add", "--all")
        self.run("commit", "--quiet", "--allow-empty", "--message=change")
        if tag is not None:
            self.run("tag", tag)
        return self.run("rev-parse", "HEAD")


class GitServer:
    """Serve the repositories below a folder over HTTP, inside a `with` block."""

    def __init__(
        self,
        root: Path,
        *,
        auth: tuple[str, str] | None = None,
        by_commit: bool = True,
        smart: bool = True,
    ) -> None:
        """Prepare a server.

        Args:
            root: A folder of working trees, as `FakeRepository` makes them.
            auth: User and password to ask for.
            by_commit: Give out a commit by its name, though no branch or tag has it.
            smart: Speak the protocol of git; else hand out files.
        """
        self._root = root
        self._auth = auth
        self._by_commit = by_commit
        self._smart = smart
        self._server: ThreadingHTTPServer | None = None
        self.requests: list[str] = []
        """Method, path and query of each request that was let in."""

    def __enter__(self) -> Self:
        if not self._smart:
            for path in sorted(self._root.iterdir()):
                subprocess.run(["git", "update-server-info"], cwd=path, env=_ENVIRON, check=True)
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(_Handler, self._respond)
        )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def netloc(self) -> str:
        """Host and port, as in a URL."""
        if self._server is None:
            raise RuntimeError("the server has an address only inside its `with` block")
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, repository: str, login: str = "") -> str:
        """Spell the URL of a repository, with what is to stand before an `@`."""
        return f"http://{f'{login}@' if login else ''}{self.netloc}/{quote(repository)}/.git"

    def _respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        if not self._admits(headers):
            return _Answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"who is there?")
        self.requests.append(f"{method} {path}")
        parts = urlsplit(path)
        environ = {
            **_ENVIRON,
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query if self._smart else "",
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
            # Under protocol 2 any commit may be asked for by its name.
            "GIT_PROTOCOL": headers.get("git-protocol", "") if self._by_commit else "",
        }
        result = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            input=body,
            env=environ,
            capture_output=True,
            check=True,
        )
        head, _, content = result.stdout.partition(b"\r\n\r\n")
        fields = [line.partition(": ")[::2] for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        return _Answer(
            int(status.split()[0]), [item for item in fields if item[0] != "Status"], content
        )

    def _admits(self, headers: Mapping[str, str]) -> bool:
        if self._auth is None:
            return True
        expected = base64.b64encode(":".join(self._auth).encode()).decode("ascii")
        return headers.get("authorization") == f"Basic {expected}"


class _Answer:
    """What goes back over the wire."""

    def __init__(self, code: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.code, self.headers, self.body = code, headers, body


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the server."""

    def __init__(self, respond: Callable[..., _Answer], *arguments: Any) -> None:
        # The constructor of the base class already serves the connection.
        self._respond = respond
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Send what git answers."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        answer = self._respond(self.command, self.path, headers, body)
        self.send_response(answer.code)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_GET  # noqa: N815 - http.server looks for this name

    @override
    def log_message(self, *_: Any) -> None:
        """Say nothing: `requests` tells more."""


def noted_git(folder: Path) -> tuple[Path, dict[str, str]]:
    """Put git and its helpers behind programs that note what they are called with.

    Returns:
        The file of the notes, a line a call, and the variables that lead to the programs.
    """
    log, programs, helpers = folder / "arguments", folder / "programs", folder / "helpers"
    git = shutil.which("git")
    assert git is not None, "needs git"
    place = Path(_output(git, "--exec-path"))
    programs.mkdir(parents=True)
    helpers.mkdir()
    log.touch()
    real = {helpers / path.name: path for path in place.iterdir()}
    noted = {name: real.pop(helpers / name) for name in ("git-remote-http", "git-remote-https")}
    real.pop(helpers / "git", None)
    for link, path in real.items():
        link.symlink_to(path)
    shims = {helpers / name: path for name, path in noted.items()}
    for shim, path in {**shims, helpers / "git": Path(git), programs / "git": Path(git)}.items():
        shim.write_text(_SHIM.format(log=log, real=path), encoding="utf-8")
        shim.chmod(0o755)
    path_variable = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return log, {"PATH": path_variable, "GIT_EXEC_PATH": str(helpers)}


def _output(*command: str) -> str:
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return result.stdout.strip()
