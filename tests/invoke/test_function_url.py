"""Requests and answers of function URLs, payload format 2.0."""

from __future__ import annotations

import json

import pytest

from lambda_build_plugin.invoke.function_url import HttpAnswer, HttpRequest, answer_of, event_of

_JSON = (("content-type", "application/json"),)


def a_request(
    target: str = "/", *headers: tuple[str, str], method: str = "GET", body: bytes = b""
) -> HttpRequest:
    """Make a request."""
    return HttpRequest(
        method=method,
        target=target,
        headers=headers,
        body=body,
        client="127.0.0.1",
        request_id="one",
    )


def test_event_of_a_request() -> None:
    """Names are lower-case, repeated ones are joined, cookies stand apart."""
    event = event_of(
        a_request(
            "/my%20path?q=1&q=2&e=&u=%C3%BC",
            ("Host", "localhost:9000"),
            ("Accept", "a"),
            ("accept", "b"),
            ("Cookie", "x=1; y=2"),
            ("User-Agent", "test"),
        )
    )

    assert (event["version"], event["rawPath"]) == ("2.0", "/my path")
    assert event["rawQueryString"] == "q=1&q=2&e=&u=%C3%BC"
    assert event["queryStringParameters"] == {"q": "1,2", "e": "", "u": "ü"}
    assert event["headers"] == {"host": "localhost:9000", "accept": "a,b", "user-agent": "test"}
    assert event["cookies"] == ["x=1", "y=2"]
    assert event["requestContext"]["http"] == {
        "method": "GET",
        "path": "/my path",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert "body" not in event


@pytest.mark.parametrize(
    ("media_type", "body", "expected"),
    [
        ("application/json; charset=utf-8", '"ü"'.encode(), ('"ü"', False)),
        ("application/problem+json", b"{}", ("{}", False)),
        ("text/plain", b"\xff", ("/w==", True)),
        ("image/png", b"\x89P", ("iVA=", True)),
        ("", b"x", ("eA==", True)),
    ],
)
def test_bodies_are_text_or_base64(media_type: str, body: bytes, expected: object) -> None:
    """The media type decides, unless the bytes are no text."""
    event = event_of(a_request("/", ("Content-Type", media_type), method="POST", body=body))

    assert (event["body"], event["isBase64Encoded"]) == expected


def test_response_of_an_answer() -> None:
    """Status, headers, cookies and body come from the answer."""
    answer = {
        "statusCode": 201,
        "headers": {"Content-Type": "text/html", "X-A": 1, "Content-Length": "5"},
        "cookies": ["a=1", "b=2"],
        "body": "PGI+",
        "isBase64Encoded": True,
    }

    assert answer_of(json.dumps(answer).encode(), failed=False) == HttpAnswer(
        status=201,
        headers=(
            ("Content-Type", "text/html"),
            ("X-A", "1"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ),
        body=b"<b>",
    )


@pytest.mark.parametrize(
    ("payload", "body"), [(b'{"a":1}', b'{"a": 1}'), (b'"text"', b"text"), (b"null", b"null")]
)
def test_answer_without_a_status_is_a_body(payload: bytes, body: bytes) -> None:
    """What is no response is the body of one."""
    assert answer_of(payload, failed=False) == HttpAnswer(status=200, headers=_JSON, body=body)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"statusCode": "x"}',
        b'{"statusCode": 99}',
        b'{"statusCode": 200, "headers": 5}',
        b'{"statusCode": 200, "headers": {"a": "b\\r\\nc: d"}}',
        b'{"statusCode": 200, "body": "PGI", "isBase64Encoded": true}',
        b"<p>",
    ],
)
def test_answers_that_are_no_responses(payload: bytes) -> None:
    """What cannot be sent is a bad gateway, as on Lambda."""
    assert answer_of(payload, failed=False).status == 502


def test_failed_function_is_a_bad_gateway() -> None:
    """The client learns nothing about the failure."""
    answer = answer_of(b'{"errorMessage": "sesame"}', failed=True)

    assert (answer.status, answer.body) == (502, b"Internal Server Error")
