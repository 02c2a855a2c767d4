"""Results of invocations as data, for `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from lambda_build_plugin.invoke.json_values import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.invoke.answers import Result
    from lambda_build_plugin.invoke.prepare import Prepared

__all__ = ["InvocationReport", "InvocationsReport", "as_report"]

SCHEMA = 1


class InvocationReport(TypedDict):
    """One invocation; times are milliseconds."""

    request_id: str
    answer: object
    """What the handler returned, or the error document; text if it is not JSON."""

    error_type: str | None
    """None if the function has answered."""

    error_message: str | None
    duration: float
    init_duration: float | None
    """None for a warm invocation."""

    max_memory_used: int | None
    """Bytes; None where the system does not tell."""


class InvocationsReport(TypedDict):
    """Schema 1."""

    schema: int
    artifact: str
    layers: list[str]
    handler: str
    runtime: str
    architecture: str
    python: str
    """The program that ran the function, and its version."""

    invocations: list[InvocationReport]
    warnings: list[str]


def as_report(ready: Prepared, results: Sequence[Result]) -> InvocationsReport:
    """Describe what was invoked, and each result."""
    function, python = ready.function, ready.python
    return InvocationsReport(
        schema=SCHEMA,
        artifact=str(function.artifact),
        layers=[str(layer) for layer in function.layers],
        handler=function.handler,
        runtime=function.target.runtime.name,
        architecture=function.target.architecture.value,
        python=f"{python.interpreter.path} ({python.interpreter.version})",
        invocations=[_invocation(result) for result in results],
        warnings=list(ready.warnings),
    )


def _invocation(result: Result) -> InvocationReport:
    failure, measured = result.failure, result.measured
    return InvocationReport(
        request_id=result.request_id,
        answer=_value(result.payload),
        error_type=failure.error_type if failure else None,
        error_message=failure.message if failure else None,
        duration=round(measured.duration * 1000, 3),
        init_duration=None if measured.init is None else round(measured.init * 1000, 3),
        max_memory_used=measured.max_memory or None,
    )


def _value(payload: bytes) -> object:
    try:
        return read_json(payload)
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "backslashreplace")
