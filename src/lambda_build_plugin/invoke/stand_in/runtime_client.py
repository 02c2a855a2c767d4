"""What `awslambdaric` sends its requests with, for systems that cannot load AWS's own.

AWS compiles its module `runtime_client` for Linux only. On other systems, such as macOS, the
rest of awslambdaric runs with this one. It has the functions that awslambdaric calls, and the
paths and headers of https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
It runs in the Python of the function, which may be older than what lambda-build needs.
"""

from __future__ import annotations

import http.client
import os

__all__ = ["initialize_client", "next", "post_error", "post_invocation_result"]

_API = "/2018-06-01/runtime/invocation"
_OK, _ACCEPTED = 200, 202

_user_agent = "aws-lambda-python"


def initialize_client(user_agent: str) -> None:
    """Remember how awslambdaric calls itself."""
    global _user_agent  # noqa: PLW0603 - as in the module that this one stands in for
    _user_agent = user_agent


def next() -> tuple[bytes, dict[str, str]]:  # noqa: A001 - awslambdaric calls it by this name
    """Wait for an event; return its bytes and the headers."""
    status, headers, body = _request("GET", "/next", None, {})
    if status != _OK:
        raise RuntimeError(f"Failed to get next. HTTP response code: {status}")
    return body, headers


def post_invocation_result(
    invoke_id: str,
    result: bytes,
    content_type: str,
    invocation_id: str | None = None,  # noqa: ARG001 - of functions with several at once
) -> None:
    """Send the answer of the handler."""
    _post(f"/{invoke_id}/response", result, {"Content-Type": content_type})


def post_error(
    invoke_id: str,
    error: str,
    xray_fault: str,
    invocation_id: str | None = None,  # noqa: ARG001 - of functions with several at once
) -> None:
    """Send the failure of the handler."""
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Function-Error-Type": "Unhandled",
        "Lambda-Runtime-Function-XRay-Error-Cause": xray_fault.encode().decode("latin-1"),
    }
    _post(f"/{invoke_id}/error", error.encode(), headers)


def _post(path: str, body: bytes, headers: dict[str, str]) -> None:
    status, _, _ = _request("POST", path, body, headers)
    if status != _ACCEPTED:
        raise RuntimeError(f"Failed to post invocation response. HTTP response code: {status}")


def _request(
    method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        connection.request(method, _API + path, body, {"User-Agent": _user_agent, **headers})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
