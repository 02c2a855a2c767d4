"""HTTP requests ↔ events and answers of a function URL (payload format 2.0).

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html describes both.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HttpAnswer", "HttpRequest", "answer_of", "event_of"]

_TEXT = re.compile(
    r"(?i)text/|application/(?:json|javascript|xml|x-www-form-urlencoded|[\w.+-]+\+(?:json|xml))"
)
"""Media types whose bodies are passed on as text."""

_OF_THE_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
_STATUS = range(100, 600)
_BAD_GATEWAY = 502


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request, as it was received."""

    method: str
    target: str
    """The path and the query."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    client: str
    """The address of the client."""

    request_id: str


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """What the client gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def event_of(request: HttpRequest) -> dict[str, Any]:
    """Write a request as the event that a function URL makes of it."""
    path, _, query = request.target.partition("?")
    headers = _joined((name.lower(), value) for name, value in request.headers)
    cookies = [each.strip() for each in headers.pop("cookie", "").split(";") if each.strip()]
    parameters = _joined(parse_qsl(query, keep_blank_values=True))
    now = time.time()
    host = headers.get("host", "")
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": unquote(path),
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if parameters:
        event["queryStringParameters"] = parameters
    if request.body:
        event["body"], event["isBase64Encoded"] = _text(request.body, headers)
    return event


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join the values of a name that is there several times."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _text(body: bytes, headers: dict[str, str]) -> tuple[str, bool]:
    """Write a body as text, or in base64."""
    if _TEXT.match(headers.get("content-type", "")):
        try:
            return body.decode("utf-8"), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def answer_of(payload: bytes, *, failed: bool) -> HttpAnswer:
    """Read the answer of a function as an HTTP response.

    An answer without `statusCode` is a body in JSON. What cannot be a response is a 502, as
    is a function that has failed.

    Args:
        payload: What the function returned.
        failed: Whether it has failed.
    """
    try:
        document = json.loads(payload) if not failed else None
    except ValueError:
        document = None
        failed = True
    if failed:
        return _bad_gateway()
    if not isinstance(document, dict) or "statusCode" not in document:
        body = document if isinstance(document, str) else json.dumps(document)
        headers = (("content-type", "application/json"),)
        return HttpAnswer(status=200, headers=headers, body=body.encode())
    try:
        return _response(document)
    except (AttributeError, TypeError, ValueError, binascii.Error):
        return _bad_gateway()


def _response(document: dict[str, Any]) -> HttpAnswer:
    status = int(document["statusCode"])
    if status not in _STATUS:
        raise ValueError(status)
    given = [(str(name), str(value)) for name, value in (document.get("headers") or {}).items()]
    if any(re.search(r"[\r\n\0]", text) for pair in given for text in pair):
        raise ValueError("a header would be several lines")
    headers = [pair for pair in given if pair[0].lower() not in _OF_THE_CONNECTION]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    cookies = (re.sub(r"[\r\n\0]", "", str(each)) for each in document.get("cookies") or ())
    headers += [("set-cookie", each) for each in cookies]
    body = document.get("body") or ""
    if not isinstance(body, str):
        body = json.dumps(body)
    content = base64.b64decode(body) if document.get("isBase64Encoded") else body.encode()
    return HttpAnswer(status=status, headers=tuple(headers), body=content)


def _bad_gateway() -> HttpAnswer:
    headers = (("content-type", "application/json"),)
    return HttpAnswer(status=_BAD_GATEWAY, headers=headers, body=b"Internal Server Error")
