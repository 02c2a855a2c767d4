"""`lambda-build invoke --listen`: Lambda's Invoke API and function URLs, for real clients."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from fakes.invoking import Workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse
    from pathlib import Path

pytestmark = pytest.mark.index

INVOKE = "/2015-03-31/functions/demo/invocations"
CODE = """\
import os
seen = []
def handler(event, context):
    print("got", event)
    seen.append(event)
    if event == "fail":
        raise ValueError("asked to")
    if event == "exit":
        os._exit(2)
    if isinstance(event, dict) and "rawPath" in event:
        return {"statusCode": 201, "headers": {"X-Path": event["rawPath"]}, "body": "hello"}
    custom = context.client_context and context.client_context.custom
    return {"event": event, "seen": len(seen), "custom": custom}
"""


class Client:
    """Sends one request after the other."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.url = f"http://{host}:{port}"
        self.connection = HTTPConnection(host, port, timeout=60)

    def ask(
        self, path: str, body: bytes | None = None, method: str = "POST", **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        """Send a request; `_` in names of headers stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, named)
        response = self.connection.getresponse()
        return response, response.read()


@contextmanager
def listening(
    workplace: Workplace, artifact: Path, *options: str
) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    """Serve the handler of a module `app`; give a client, and the process of the command."""
    arguments = ("--handler", "app.handler", "--timeout", "60", "--listen", "0", *options)
    with workplace.started(artifact, *arguments) as process:
        assert process.stderr
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.match(r"listening on http://([\d.]+):(\d+) ", line):
                client = Client(found[1], int(found[2]))
                try:
                    yield client, process
                finally:
                    client.connection.close()
                return
        pytest.fail("".join(lines))


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, runtime_variables: dict[str, str]
) -> Iterator[Client]:
    """Give a client of a function that listens, for all tests of this module."""
    workplace = Workplace(folder=tmp_path_factory.mktemp("listening"), runtime=runtime_variables)
    artifact = workplace.artifact({"app.py": CODE})
    with listening(workplace, artifact, "--http") as (client, _):
        yield client


# --- the Invoke API ---------------------------------------------------------------------


def test_invocation(client: Client) -> None:
    """The answer comes with the headers of the API."""
    response, body = client.ask(INVOKE, b'{"a": "\xc3\xbc"}')

    assert (response.status, json.loads(body)["event"]) == (200, {"a": "ü"})
    assert response.getheader("X-Amz-Executed-Version") == "$LATEST"
    assert response.getheader("X-Amz-Function-Error") is None
    assert response.getheader("X-Amz-Log-Result") is None
    assert response.getheader("X-Amzn-RequestId")


def test_log_tail_and_client_context(client: Client) -> None:
    """The end of the log and the client context are passed on, as they are asked for."""
    context = base64.b64encode(b'{"custom": {"x": 1}}').decode()

    response, body = client.ask(INVOKE, b"[1]", X_Amz_Log_Type="Tail", X_Amz_Client_Context=context)
    log = base64.b64decode(response.getheader("X-Amz-Log-Result", "")).decode()

    assert json.loads(body)["custom"] == {"x": 1}
    assert re.fullmatch(
        r"START RequestId: (\S+) .*\ngot \[1\]\nEND RequestId: \1\nREPORT .*\n", log
    )


@pytest.mark.parametrize(
    ("event", "kind"), [(b'"fail"', "ValueError"), (b'"exit"', "Runtime.ExitError")]
)
def test_failed_function(client: Client, event: bytes, kind: str) -> None:
    """A failure has status 200 and a header; the next invocation works again."""
    response, body = client.ask(INVOKE, event)
    following, _ = client.ask(INVOKE, b"1")

    assert (response.status, response.getheader("X-Amz-Function-Error")) == (200, "Unhandled")
    assert json.loads(body)["errorType"] == kind
    assert (following.status, following.getheader("X-Amz-Function-Error")) == (200, None)


def test_asynchronous_and_dry(client: Client) -> None:
    """`Event` is accepted and handled later, `DryRun` handles nothing."""
    _, before = client.ask(INVOKE, b"1")

    accepted, nothing = client.ask(INVOKE, b"2", X_Amz_Invocation_Type="Event")
    dry, _ = client.ask(INVOKE, b"3", X_Amz_Invocation_Type="DryRun")
    seen = 0
    for _ in range(20):  # the event waits for the function as all others do
        seen = json.loads(client.ask(INVOKE, b"4")[1])["seen"]
        if seen > json.loads(before)["seen"] + 1:
            break

    assert (accepted.status, nothing, dry.status) == (202, b"", 204)
    assert seen >= json.loads(before)["seen"] + 2


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "kind"),
    [
        (INVOKE, b"{", {}, 400, "InvalidRequestContentException"),
        (INVOKE, b"NaN", {}, 400, "InvalidRequestContentException"),
        (INVOKE, b"{}", {"X_Amz_Client_Context": "%"}, 400, "InvalidRequestContentException"),
        (INVOKE, b"{}", {"X_Amz_Invocation_Type": "X"}, 400, "InvalidParameterValueException"),
        (INVOKE, b"1" * (6 * 1024 * 1024 + 1), {}, 413, "RequestTooLargeException"),
        ("/2015-03-31/functions", b"{}", {}, 404, "ResourceNotFoundException"),
        (INVOKE, b"{}", {"Origin": "http://web.example"}, 403, "AccessDeniedException"),
        (INVOKE, b"{}", {"Host": "web.example"}, 403, "AccessDeniedException"),
    ],
)
def test_refused_requests(
    client: Client, path: str, body: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    """What Lambda does not accept gets its errors, and pages on the web get nothing at all."""
    response, _ = client.ask(path, body, **headers)

    assert (response.status, response.getheader("X-Amzn-ErrorType")) == (status, kind)


@pytest.mark.parametrize("path", [INVOKE, "/my/path"])
def test_client_that_goes_away_in_a_request(client: Client, path: str) -> None:
    """A part of a body is no event, though it may be JSON."""
    with socket.create_connection((client.connection.host, client.connection.port), 30) as raw:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
        raw.sendall(head.encode() + b"[1]")
        raw.shutdown(socket.SHUT_WR)

        assert raw.recv(100) == b""


def test_function_url(client: Client) -> None:
    """Other paths are those of a function URL."""
    response, body = client.ask("/my/path?x=1", None, method="GET")

    assert (response.status, body) == (201, b"hello")
    assert response.getheader("X-Path") == "/my/path"


# --- the address ------------------------------------------------------------------------


def test_port_in_use(workplace: Workplace) -> None:
    """A port that is taken is a mistake of the user's."""
    artifact = workplace.artifact({"app.py": CODE})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        run = workplace.invoke(artifact, "--handler", "app.handler", "--listen", port)

    assert run.code == 2
    assert f"--listen: cannot listen on 127.0.0.1:{port}: Address already in use" in run.errors


def test_interruption_frees_the_port(workplace: Workplace) -> None:
    """Ctrl-C ends the server and the function."""
    artifact = workplace.artifact({"app.py": CODE})
    with listening(workplace, artifact) as (client, process):
        assert client.host == "127.0.0.1"
        assert client.ask(INVOKE, b"1")[0].status == 200
        assert client.ask("/", None, method="GET")[0].status == 404  # without `--http`

        process.send_signal(signal.SIGINT)

        assert process.wait(30) == 130
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((client.host, client.port), timeout=10)
    assert list(workplace.temporary.iterdir()) == []


# --- real clients, real functions -------------------------------------------------------

BOTO3 = """\
import json, sys
import boto3
from botocore.config import Config
client = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="us-east-1",
    aws_access_key_id="x", aws_secret_access_key="x", config=Config(retries={"max_attempts": 0}))
answer = client.invoke(FunctionName="demo", Payload=b'{"x": 1}', LogType="Tail",
    ClientContext="eyJjdXN0b20iOiB7InkiOiAyfX0=")
failed = client.invoke(FunctionName="arn:aws:lambda:us-east-1:1:function:demo", Payload=b'"fail"')
event = client.invoke(FunctionName="demo", Payload=b"1", InvocationType="Event")
try:
    client.invoke(FunctionName="demo", Payload=b"{")
except client.exceptions.InvalidRequestContentException as error:
    refused = error.response["Error"]["Message"]
print(json.dumps([
    json.load(answer["Payload"])["custom"], "LogResult" in answer, answer["ExecutedVersion"],
    failed["FunctionError"], json.load(failed["Payload"])["errorType"], event["StatusCode"],
    refused[:20],
]))
"""


def run_python(packages: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with the packages of a folder, and no configuration of AWS."""
    environ = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(folder),
        "PATH": os.defpath,
        "PYTHONPATH": str(packages),
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_boto3(client: Client, function_packages: Path, tmp_path: Path) -> None:
    """boto3 with an `endpoint_url` gets answers, failures and errors."""
    result = run_python(function_packages, "-c", BOTO3, client.url, folder=tmp_path)

    assert json.loads(result.stdout or "null") == [
        *({"y": 2}, True, "$LATEST", "Unhandled", "ValueError", 202),
        "Could not parse requ",
    ], result.stderr


def test_aws_command(client: Client, function_packages: Path, tmp_path: Path) -> None:
    """The `aws` command writes the answer into a file, and shows what came with it."""
    program = function_packages / "bin" / "aws"
    options = ("--function-name", "demo", "--payload", '{"x": 1}', "out.json")
    result = run_python(
        function_packages,
        *(str(program), "lambda", "invoke", "--endpoint-url", client.url, *options),
        folder=tmp_path,
    )

    assert json.loads(result.stdout or "null") == {
        "StatusCode": 200,
        "ExecutedVersion": "$LATEST",
    }, result.stderr
    assert json.loads((tmp_path / "out.json").read_text())["event"] == {"x": 1}


FASTAPI = """\
from fastapi import FastAPI, Response
from mangum import Mangum
from pydantic import BaseModel

class Item(BaseModel):
    name: str

app = FastAPI()

@app.get("/hello/{name}")
def hello(name: str, times: int = 1) -> dict[str, str]:
    return {"greeting": f"hello {name}" * times}

@app.post("/items", status_code=201)
def create(item: Item, response: Response) -> Item:
    response.set_cookie("last", item.name)
    return item

handler = Mangum(app)
"""

POWERTOOLS = """\
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver

logger, metrics, app = Logger(service="demo"), Metrics(namespace="n", service="demo"), None
app = LambdaFunctionUrlResolver()

@app.get("/hello")
def hello():
    return {"hello": "powertools"}

@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    logger.info("handling")
    return app.resolve(event, context) if "rawPath" in event else {"id": context.aws_request_id}
"""


def with_packages(workplace: Workplace, packages: Path, code: str, *names: str) -> Path:
    """Write a zip of a module `app` and of some packages of a folder."""
    files: dict[str, str | bytes] = {"app.py": code}
    for path in sorted(packages.rglob("*")):
        name = path.relative_to(packages).as_posix()
        if path.is_file() and name.split("/")[0].split("-")[0] in names and ".pyc" not in name:
            files[name] = path.read_bytes()
    return workplace.artifact(files)


def request(client: Client, method: str, path: str, body: object = None) -> tuple[int, Any, Any]:
    """Send JSON and receive JSON."""
    content = None if body is None else json.dumps(body).encode()
    response, answer = client.ask(path, content, method, Content_Type="application/json")
    return response.status, json.loads(answer), response.getheader("set-cookie")


def test_fastapi_through_mangum(workplace: Workplace, function_packages: Path) -> None:
    """A web application behind a function URL answers a client of HTTP."""
    names = (
        *("fastapi", "mangum", "pydantic", "pydantic_core", "starlette", "anyio", "idna"),
        *("typing_extensions.py", "typing_inspection", "annotated_types", "annotated_doc"),
        *("exceptiongroup", "opentelemetry"),
    )
    artifact = with_packages(workplace, function_packages, FASTAPI, *names)
    with listening(workplace, artifact, "--http", "--memory", "256") as (client, _):
        greeted = request(client, "GET", "/hello/you?times=2")
        created = request(client, "POST", "/items", {"name": "x"})
        wrong = request(client, "POST", "/items", {})

    assert greeted == (200, {"greeting": "hello youhello you"}, None)
    assert created[:2] == (201, {"name": "x"})
    assert created[2].startswith("last=x;")
    assert wrong[0] == 422


def test_powertools(workplace: Workplace, function_packages: Path) -> None:
    """A function with Powertools logs JSON and finds its context."""
    names = ("aws_lambda_powertools", "jmespath", "typing_extensions.py")
    artifact = with_packages(workplace, function_packages, POWERTOOLS, *names)

    run = workplace.invoke(artifact, "--handler", "app.handler", "--timeout", "60")
    logged = [json.loads(line) for line in run.errors.splitlines() if line.startswith("{")]

    assert run.code == 0, run.errors
    assert json.loads(run.output)["id"] == logged[0]["function_request_id"]
    assert [each.get("message") for each in logged] == ["handling", None, None][: len(logged)]
    assert any("_aws" in each for each in logged)
