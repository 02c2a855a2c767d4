"""Stand in for AWS Lambda: unpack an artifact and send one event to its handler.

AWS's own runtime interface client (`awslambdaric`) loads and calls the handler;
`RuntimeApi` plays the service that the client asks for events. No container is
needed. The interpreter and the system libraries are this machine's, so neither
glibc's version nor a foreign architecture is put to the test.
"""

from __future__ import annotations

import json
import stat
import subprocess
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Invocation", "RuntimeApi", "invoke", "unpack"]

_API = "/2018-06-01/runtime"
_REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
_FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:test_function"
_POLL_SECONDS = 0.01

# What Lambda's own bootstrap does to `sys.path`: the code, then the layers, all of
# them site directories. The client comes last, so that it can hide nothing.
_BOOTSTRAP = """\
import sys

handler, client, *site_directories = sys.argv[1:]
sys.path[:0] = site_directories

import site

for directory in site_directories:
    site.addsitedir(directory)
sys.path.append(client)
sys.argv[:] = ["bootstrap", handler]

from awslambdaric.__main__ import main

main(sys.argv)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What one event led to."""

    result: object | None
    """The handler's answer, read back from JSON; bytes stay bytes."""

    error: Mapping[str, object] | None
    """`errorType`, `errorMessage` and what else Lambda tells of a failure; `None` for a success."""

    logs: str
    """What the function wrote to stdout and stderr."""


def invoke(
    handler: str,
    event: object,
    *,
    task: Path,
    opt: Path | None = None,
    python: Path,
    runtime: str,
    ric: Path,
    timeout: float = 30,
) -> Invocation:
    """Start the function as Lambda does, send it one event and end it.

    Args:
        handler: The function's `Handler` setting, such as `pkg/app.handler`.
        event: Any value that JSON can hold.
        task: The unpacked function, Lambda's `/var/task`.
        opt: The unpacked layers, Lambda's `/opt`.
        python: The interpreter; its own site-packages stay out of sight.
        runtime: Lambda's name for that interpreter, such as `python3.13`.
        ric: The folder in which `awslambdaric` is installed.
        timeout: Seconds until an unanswered event fails as on Lambda.
    """
    task = task.resolve()
    site_directories = [task]
    if opt is not None:
        layer = opt.resolve() / "python"
        site_directories += [layer / "lib" / runtime / "site-packages", layer]

    # Isolated (-I), or the interpreter would put the working directory on `sys.path`
    # itself; without `site` (-S), or its environment would hide missing dependencies.
    command: list[str | Path] = [python.absolute(), "-I", "-S", "-B", "-c", _BOOTSTRAP]
    command += [handler, ric.resolve(), *site_directories]
    deadline = time.monotonic() + timeout
    exit_status: int | None = None
    api = RuntimeApi(event, timeout=timeout)
    with tempfile.TemporaryFile() as output:
        with (
            api,
            subprocess.Popen(
                command,
                cwd=task,
                env=_environment(handler, task=task, runtime=runtime, api=api),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                while not api.answered.wait(_POLL_SECONDS):
                    exit_status = process.poll()
                    if exit_status is not None or time.monotonic() > deadline:
                        break
            finally:
                process.kill()
        output.seek(0)
        logs = output.read().decode(errors="replace")

    # Only now, with the server at rest, is an answer sure to have been noted.
    error = api.error
    if not api.answered.is_set():
        error = _unanswered(exit_status, timeout)
    return Invocation(result=api.result, error=error, logs=logs)


class RuntimeApi:
    """Offer one event over Lambda's runtime API and note what comes back.

    Whoever asks for a second event waits until the context ends, as in a function
    that has nothing to do.
    """

    def __init__(self, event: object, *, timeout: float = 30) -> None:
        self.answered = threading.Event()
        self.result: object | None = None
        self.error: Mapping[str, object] | None = None
        self._server = _Server(self, json.dumps(event).encode(), timeout)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[_POLL_SECONDS])

    @property
    def address(self) -> str:
        """Value of `AWS_LAMBDA_RUNTIME_API`."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # Threads that end with the server, rather than some time later. All are bounded.
    daemon_threads = False

    def __init__(self, api: RuntimeApi, event: bytes, timeout: float) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.api = api
        self.event = event
        self.seconds = timeout
        self.offered = threading.Lock()
        self.closing = threading.Event()


class _Conversation(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # for a client that falls silent in the middle of a request

    def do_GET(self) -> None:
        if self.path != f"{_API}/invocation/next":
            self._reply(HTTPStatus.NOT_FOUND)
        elif self.server.offered.acquire(blocking=False):
            deadline = int((time.time() + self.server.seconds) * 1000)
            self._reply(
                HTTPStatus.OK,
                self.server.event,
                {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": _REQUEST_ID,
                    "Lambda-Runtime-Deadline-Ms": str(deadline),
                    "Lambda-Runtime-Invoked-Function-Arn": _FUNCTION_ARN,
                    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
                },
            )
        else:
            self.server.closing.wait(self.server.seconds)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        api = self.server.api
        if self.path == f"{_API}/invocation/{_REQUEST_ID}/response":
            is_json = self.headers["Content-Type"] == "application/json"
            api.result = json.loads(body) if is_json else body
        elif self.path in {f"{_API}/invocation/{_REQUEST_ID}/error", f"{_API}/init/error"}:
            api.error = json.loads(body)
        else:
            self._reply(HTTPStatus.NOT_FOUND)
            return
        # The reply first: the client is killed as soon as its answer is known.
        self._reply(HTTPStatus.ACCEPTED)
        api.answered.set()

    def _reply(
        self, status: HTTPStatus, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response_only(status)  # `send_response` would write to the test's stderr
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _environment(handler: str, *, task: Path, runtime: str, api: RuntimeApi) -> dict[str, str]:
    return {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_NAME": "test_function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(task),
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "_HANDLER": handler,
    }


def _unanswered(exit_status: int | None, timeout: float) -> Mapping[str, object]:
    """Tell of a silent end in the words of the service."""
    if exit_status is None:
        message = f"Task timed out after {timeout:.2f} seconds"
        return {"errorType": "Sandbox.Timedout", "errorMessage": message}
    message = f"Runtime exited with exit status {exit_status}"
    return {"errorType": "Runtime.ExitError", "errorMessage": message}


def unpack(artifact: Path, folder: Path) -> Path:
    """Unpack a zip into a new or empty folder, with the modes that it states.

    `ZipFile.extractall` drops modes, and turns a symlink into a file.

    Raises:
        ValueError: An entry is neither file nor folder, or would leave the folder.
        FileExistsError: Two entries have one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    modes: dict[Path, int] = {}
    with zipfile.ZipFile(artifact) as archive:
        for entry in archive.infolist():
            place = folder.joinpath(*_parts(entry))
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG}:
                raise ValueError(f"{entry.filename}: mode {mode:o} is of another kind of file")
            if entry.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                # Lambda lends the mode where a folder has none.
                modes[place] = mode & 0o777 or 0o755
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("xb") as file:
                    file.write(archive.read(entry))
                modes[place] = mode & 0o777
    # In the end and from the leaves, or a read-only folder could not be filled.
    for place in sorted(modes, reverse=True):
        place.chmod(modes[place])
    return folder


def _parts(entry: zipfile.ZipInfo) -> list[str]:
    # `filename` has been tidied by zipfile; Lambda unpacks what is written.
    name = entry.orig_filename
    parts = name.removesuffix("/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or any(letter in name for letter in "\\:\0"):
        raise ValueError(f"{name!r}: not a plain relative path")
    return parts
