"""Lambda's words: the lines of its log, its errors, and what helps against them."""

from __future__ import annotations

import json
import re
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.errors import FunctionError, excerpt
from lambda_build_plugin.invoke.function import MAX_PAYLOAD
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from lambda_build_plugin.invoke.function import Function
    from lambda_build_plugin.invoke.runtime_api import Answer

__all__ = [
    "Failure",
    "Measured",
    "Result",
    "end_line",
    "explained",
    "failure_of",
    "killed_for_memory",
    "payload_of",
    "report_line",
    "runtime_exited",
    "start_line",
    "timed_out",
    "too_large",
]

_SIGNALS = {
    "SIGABRT": "aborted",
    "SIGBUS": "bus error",
    "SIGFPE": "floating point exception",
    "SIGILL": "illegal instruction",
    "SIGINT": "interrupt",
    "SIGKILL": "killed",
    "SIGSEGV": "segmentation fault",
    "SIGTERM": "terminated",
}
"""What Lambda calls signals."""

_MISSING_MODULE = re.compile(r"No module named '(?P<name>[^']+)'")
_MISSING_LIBRARY = re.compile(r"(?P<name>[\w.+-]+\.so[\w.]*): cannot open shared object file")
_OTHER_MACHINE = re.compile(r"invalid ELF header|wrong ELF class|Exec format error")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an invocation failed."""

    error_type: str
    """Such as `ValueError`, `Runtime.ImportModuleError` or `Sandbox.Timedout`."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What an invocation took."""

    duration: float = 0.0
    """Seconds from handing over the event to the answer."""

    init: float | None = None
    """Seconds until the function was ready for its first event; None for a warm one."""

    max_memory: int = 0
    """Bytes; 0 where the system does not tell."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One invocation."""

    request_id: str
    payload: bytes
    """The handler's answer, or the JSON of its failure."""

    failure: Failure | None
    measured: Measured
    log: bytes
    """The last bytes of the log, with Lambda's own lines."""


# --- the log ----------------------------------------------------------------------------


def start_line(request_id: str) -> str:
    """Write the line at the beginning of an invocation."""
    return f"START RequestId: {request_id} Version: $LATEST"


def end_line(request_id: str) -> str:
    """Write the line at the end of an invocation."""
    return f"END RequestId: {request_id}"


def report_line(
    request_id: str, measured: Measured, function: Function, failure: Failure | None
) -> str:
    """Write the line with the figures; without a billed duration, which only AWS knows."""
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {measured.duration * 1000:.2f} ms",
        f"Memory Size: {function.memory} MB",
    ]
    if measured.max_memory:
        parts.append(f"Max Memory Used: {-(-measured.max_memory // 1024**2)} MB")
    if measured.init is not None:
        parts.append(f"Init Duration: {measured.init * 1000:.2f} ms")
    if failure is not None and failure.error_type == "Sandbox.Timedout":
        parts.append("Status: timeout")
    elif failure is not None and failure.error_type.startswith(("Runtime.", "Function.")):
        parts += ["Status: error", f"Error Type: {failure.error_type}"]
    return "\t".join(parts)


# --- failures ---------------------------------------------------------------------------


def timed_out(request_id: str, seconds: float) -> Failure:
    """The function has not answered in time."""
    return Failure(
        error_type="Sandbox.Timedout",
        message=f"RequestId: {request_id} Error: Task timed out after {seconds:.2f} seconds",
    )


def runtime_exited(request_id: str, code: int) -> Failure:
    """The process has ended without an answer.

    Args:
        request_id: Of the invocation.
        code: The exit code, or the negative number of a signal.
    """
    if code == 0:
        text = "Runtime exited without providing a reason"
    elif code > 0:
        text = f"Runtime exited with error: exit status {code}"
    else:
        name = f"signal {-code}"
        with suppress(ValueError):
            name = signal.Signals(-code).name
        text = f"Runtime exited with error: signal: {_SIGNALS.get(name, name)}"
    return Failure(error_type="Runtime.ExitError", message=f"RequestId: {request_id} Error: {text}")


def killed_for_memory(request_id: str) -> Failure:
    """The process had more memory resident than the function is allowed to have."""
    return Failure(
        error_type="Runtime.OutOfMemory",
        message=f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
    )


def too_large(size: int) -> Failure:
    """The answer has too many bytes."""
    return Failure(
        error_type="Function.ResponseSizeTooLarge",
        message=f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
        f"({MAX_PAYLOAD} bytes).",
    )


def failure_of(answer: Answer) -> Failure | None:
    """Read the failure that awslambdaric has sent; None for a response."""
    if answer.kind == "response":
        return None
    if answer.kind == "too-large":
        return too_large(answer.size)
    document: Any = None
    with suppress(ValueError):
        document = json.loads(answer.body)
    fields = document if isinstance(document, dict) else {}
    return Failure(
        error_type=str(fields.get("errorType", "")) or "Runtime.Unknown",
        message=str(fields.get("errorMessage", "")),
    )


def payload_of(answer: Answer | None, failure: Failure | None) -> bytes:
    """Return what a client of Lambda gets: the answer, or a failure that Lambda has noticed."""
    if failure is None or (answer is not None and answer.kind != "too-large"):
        return answer.body if answer is not None else b""
    document = {"errorType": failure.error_type, "errorMessage": failure.message}
    return json.dumps(document, separators=(",", ":")).encode()


# --- what helps -------------------------------------------------------------------------


def explained(failure: Failure, function: Function, modules: Collection[str]) -> FunctionError:
    """Make the error that explains a failure to the user.

    Args:
        failure: Of an invocation.
        function: What was invoked.
        modules: The top-level modules that the artifact and its layers have.
    """
    return FunctionError(
        f"the function failed: {failure.error_type}",
        why=excerpt(failure.message) or "it gave no reason",
        hint=_remedy(failure, function, modules),
    )


def _remedy(failure: Failure, function: Function, modules: Collection[str]) -> str:
    kind, message = failure.error_type, failure.message
    if kind == "Runtime.ImportModuleError":
        return _import_remedy(message, function, modules)
    module, _, name = function.handler.rpartition(".")
    remedies = {
        "Runtime.HandlerNotFound": f"define `{name}` in the module `{module}`, or name another "
        "function with `handler`",
        "Runtime.MalformedHandlerName": "a handler is spelled `module.function`, or "
        "`package.module.function`",
        "Runtime.BuiltInModuleConflict": "give the module another name than one of Python itself",
        "Runtime.UserCodeSyntaxError": "the code is read by Python "
        f"{'.'.join(map(str, function.target.runtime.python))}: correct it, or build for a runtime "
        "that has this syntax",
        "Runtime.MarshalError": "return what JSON can contain: dict, list, str, numbers, bool and "
        "None",
        "Runtime.OutOfMemory": f"it may use {function.memory} MB: allow more with `--memory`, and "
        "in the function's configuration",
        "Sandbox.Timedout": f"allow more than {function.timeout:g} seconds with `--timeout`, and "
        "in the function's configuration",
        "Function.ResponseSizeTooLarge": "return less; a common way is to put the data into S3 and "
        "return a link to it",
        "Runtime.ExitError": "the process of the function has ended: by `sys.exit`, a signal, a "
        "crash in machine code, or what awslambdaric does not catch, such as an answer that UTF-8 "
        "cannot encode",
    }
    return remedies.get(kind, "the log above has the traceback")


def _import_remedy(message: str, function: Function, modules: Collection[str]) -> str:
    if match := _MISSING_MODULE.search(message):
        return _module_remedy(match["name"], function, modules)
    if match := _MISSING_LIBRARY.search(message):
        return (
            f"the library {match['name']} is neither in the artifact nor on this machine: put it "
            "into `lib/` of the artifact or of a layer, if Lambda does not have it either"
        )
    if _OTHER_MACHINE.search(message):
        return "the file is for another processor: build for the architecture of this machine"
    return "the module was found, but importing it failed: the log above has the traceback"


def _module_remedy(name: str, function: Function, modules: Collection[str]) -> str:
    top = name.partition(".")[0]
    handler = function.handler.rpartition(".")[0].replace("/", ".")
    is_handler = handler == name or handler.startswith(f"{name}.")
    if top in modules:
        return f"the artifact contains `{top}`, but not `{name}`" + (
            ": correct the handler" if is_handler else ": it may be another version than expected"
        )
    if is_handler:
        return (
            f"the handler is `{function.handler}`, but nothing in the artifact is called `{top}`: "
            "name another one with `--handler`"
        )
    return (
        f"`{top}` is neither in the artifact nor in its layers, so it is not in the lock, or it "
        "was left out: add the package that contains it to the dependencies, lock, and build again"
    )
