"""The Runtime API, as https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html has it."""

from __future__ import annotations

import importlib.util
import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from lambda_build_plugin.invoke.runtime_api import Event, RuntimeApi
from lambda_build_plugin.invoke.runtime_packages import STAND_IN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

_API = "/2018-06-01/runtime"


def an_event(request_id: str = "one", **fields: str) -> Event:
    """Make an event."""
    return Event(
        request_id=request_id,
        payload=b'{"a": 1}',
        deadline=1_542_409_706_888,
        function_arn="arn:aws:lambda:us-east-1:123456789012:function:demo",
        trace_id="Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        **fields,
    )


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    """Give the server."""
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def client(api: RuntimeApi) -> Iterator[HTTPConnection]:
    """Give a connection of a runtime."""
    connection = HTTPConnection(api.address, timeout=20)
    yield connection
    connection.close()


def ask(
    client: HTTPConnection, path: str, body: bytes | None = None, **headers: str
) -> tuple[HTTPResponse, Any]:
    """Send a request, a GET without a body, and read the reply."""
    client.request("GET" if body is None else "POST", f"{_API}{path}", body, headers)
    response = client.getresponse()
    return response, json.loads(response.read() or b"null")


def test_next_has_the_event_and_its_headers(api: RuntimeApi, client: HTTPConnection) -> None:
    """The reply to `next` is the event, with what the context is made of."""
    api.offer(an_event(client_context='{"custom": {}}'))

    response, body = ask(client, "/invocation/next")

    assert (response.status, body) == (200, {"a": 1})
    found = {
        name: value for name, value in response.getheaders() if name.startswith("Lambda-Runtime-")
    }
    assert found == {
        "Lambda-Runtime-Aws-Request-Id": "one",
        "Lambda-Runtime-Deadline-Ms": "1542409706888",
        "Lambda-Runtime-Invoked-Function-Arn": (
            "arn:aws:lambda:us-east-1:123456789012:function:demo"
        ),
        "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        "Lambda-Runtime-Client-Context": '{"custom": {}}',
    }


def test_next_has_no_client_context_without_one(api: RuntimeApi, client: HTTPConnection) -> None:
    """The header is there only if the client has sent something."""
    api.offer(an_event())

    response, _ = ask(client, "/invocation/next")

    assert response.getheader("Lambda-Runtime-Client-Context") is None


@pytest.mark.parametrize("kind", ["response", "error"])
def test_answers_are_accepted(api: RuntimeApi, client: HTTPConnection, kind: str) -> None:
    """An answer to the event in progress is accepted, and known then."""
    api.offer(an_event())
    ask(client, "/invocation/next")

    response, body = ask(client, f"/invocation/one/{kind}", b'{"x": 2}')

    assert (response.status, body) == (202, {"status": "OK"})
    assert api.wait_for_answer(10)
    assert api.answer
    assert (api.answer.kind, api.answer.body) == (kind, b'{"x": 2}')


def test_failed_initialization_is_accepted(api: RuntimeApi, client: HTTPConnection) -> None:
    """`init/error` needs no event, and ends the waiting for the runtime."""
    response, _ = ask(client, "/init/error", b'{"errorType": "Runtime.X"}')

    assert response.status == 202
    assert api.wait_until_idle(10)
    assert api.wait_for_answer(10)
    assert api.answer
    assert api.answer.kind == "init-error"


def test_answers_to_nothing_are_refused(api: RuntimeApi, client: HTTPConnection) -> None:
    """An answer to another request, or a second one, is a mistake of the runtime."""
    api.offer(an_event())
    ask(client, "/invocation/next")

    other, why = ask(client, "/invocation/two/response", b"1")
    first, _ = ask(client, "/invocation/one/response", b"1")
    second, _ = ask(client, "/invocation/one/response", b"2")

    assert (other.status, why["errorType"]) == (400, "InvalidRequestID")
    assert (first.status, second.status) == (202, 400)
    assert api.wait_for_answer(10)
    assert api.answer
    assert api.answer.body == b"1"


def test_large_answers_are_refused(api: RuntimeApi, client: HTTPConnection) -> None:
    """An answer of more than 6 MB gets status 413, and the size is known."""
    api.offer(an_event())
    ask(client, "/invocation/next")
    size = 6 * 1024 * 1024 + 1

    response, why = ask(client, "/invocation/one/response", b"1" * size)

    assert (response.status, why["errorType"]) == (413, "RequestEntityTooLarge")
    assert api.wait_for_answer(10)
    assert api.answer
    assert (api.answer.kind, api.answer.size) == ("too-large", size)


@pytest.mark.parametrize("body", [None, b"{}"])
def test_other_paths_are_not_found(client: HTTPConnection, body: bytes | None) -> None:
    """There is nothing else."""
    response, _ = ask(client, "/invocation/none", body)

    assert response.status == 404


def test_a_request_of_an_ended_process_gets_no_event(api: RuntimeApi) -> None:
    """What still waits for an event when its process has ended does not take that of the next."""
    ended, following = (HTTPConnection(api.address, timeout=20) for _ in range(2))
    ended.request("GET", f"{_API}/invocation/next")
    assert api.wait_until_idle(10)

    api.reset()
    api.offer(an_event("two"))
    response, _ = ask(following, "/invocation/next")

    assert response.getheader("Lambda-Runtime-Aws-Request-Id") == "two"
    ended.close()
    following.close()


# --- the client for systems that cannot load AWS's ------------------------------------


@pytest.fixture
def stand_in(api: RuntimeApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the module that stands in for `runtime_client`."""
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", api.address)
    spec = importlib.util.spec_from_file_location("runtime_client", STAND_IN / "runtime_client.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.initialize_client("aws-lambda-python/3")
    return module


def test_stand_in_gets_events_and_sends_answers(api: RuntimeApi, stand_in: Any) -> None:
    """It gives the event with its headers, and sends what the handler returned."""
    api.offer(an_event())

    body, headers = stand_in.next()
    stand_in.post_invocation_result("one", b"[1]", "application/json")

    assert (body, headers["Lambda-Runtime-Aws-Request-Id"]) == (b'{"a": 1}', "one")
    assert api.wait_for_answer(10)
    assert api.answer
    assert (api.answer.kind, api.answer.body) == ("response", b"[1]")


def test_stand_in_sends_errors(api: RuntimeApi, stand_in: Any) -> None:
    """It sends the error with its cause for X-Ray, in any characters."""
    api.offer(an_event())
    stand_in.next()

    stand_in.post_error("one", '{"errorType": "ü"}', '{"message": "ü"}')

    assert api.wait_for_answer(10)
    assert api.answer
    assert api.answer.body.decode() == '{"errorType": "ü"}'


def test_stand_in_raises_if_an_answer_is_refused(api: RuntimeApi, stand_in: Any) -> None:
    """Awslambdaric has to hear of it."""
    with pytest.raises(RuntimeError, match="400"):
        stand_in.post_invocation_result("one", b"1", "application/json")
