"""Find in the output of a failed build why it failed, which is seldom on its last lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lambda_build_plugin.source_build.errors import NOT_COMPILED

__all__ = ["Cause", "find_cause", "lacks_compiler"]

_PACKAGES = {
    "ffi.h": "libffi-dev or libffi-devel",
    "krb5-config": "libkrb5-dev or krb5-devel",
    "libpq-fe.h": "libpq-dev or libpq-devel",
    "libxml/xmlversion.h": "libxml2-dev or libxml2-devel",
    "mysql_config": "default-libmysqlclient-dev or mariadb-connector-c-devel",
    "openssl/ssl.h": "libssl-dev or openssl-devel",
    "pg_config": "libpq-dev or libpq-devel",
    "pg_config.h": "libpq-dev or libpq-devel",
    "Python.h": "python3-dev or python3-devel",
    "xml2-config": "libxml2-dev or libxml2-devel",
    "xmlsec/xmlsec.h": "libxmlsec1-dev or xmlsec1-devel",
    "xslt-config": "libxslt1-dev or libxslt-devel",
}
"""System packages (Debian's and Amazon Linux's) with what many builds look for."""

_WHEELS = dict.fromkeys(("libpq-fe.h", "pg_config", "pg_config.h"), "psycopg2-binary")
"""Python packages that have wheels, in place of those that look for such a thing."""

_COMPILER = r"(?:[^'\n]*[/-])?(?:cc|gcc|clang|c\+\+|g\+\+|clang\+\+)"
_NO_COMPILER_HERE = re.compile(
    rf"command '{_COMPILER}' failed: No such file|unable to execute '{_COMPILER}'"
    rf"|No such file or directory: '{_COMPILER}'"
    r"|No CMAKE_C(?:XX)?_COMPILER could be found"
    r"|The CMAKE_C(?:XX)?_COMPILER:\s+\S+\s+is not a full path and was not found"
    r"|Unknown compiler\(s\): \[\['(?:cc|c\+\+|icc|icpc)'"
)
_MISSING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"fatal error: '?(?P<name>[\w/.+-]+\.h(?:pp|xx)?)'?(?::| file not found| No such file)",
        r"(?P<name>\b(?!pkg-|python)\w+[_-]config)\b"
        r"[^\n]{0,80}?(?:not found|No such file|is required)",
        r"(?:could not find|No such file or directory:) ['\"`]?(?P<name>\w+[_-]config)\b",
        r"(?P<name>\blib[\w.+-]+\.so[\w.]*): cannot open shared object file",
        r"cannot find -l(?P<name>[\w.+-]+)",
        r"unable to find (?:dynamic|static)? ?system library ['\"](?P<name>[\w.+-]+)",
        r"No package '(?P<name>[\w.+-]+)' found",
        r"Package '?(?P<name>[\w.+-]+)'?(?:, required by [^\n]{0,80}?,)? (?:was |is )?not found",
        r"Dependency ['\"]?(?P<name>[\w.+-]+)['\"]? not found",
        r"pkg-config --exists (?P<name>[\w.+-]+)' returned non-zero",
        r"(?-i:Could NOT find) (?P<name>\w+)",
        r"required packages were not found:\s+- (?P<name>[\w.+-]+)",
        r"shared or static library '(?P<name>[\w.+-]+)' not found",
        r"header '(?P<name>[\w/.+-]+)' not found",
        r"command '(?P<name>[^'\n]+)' failed: No such file",
        r"unable to execute '(?P<name>[^'\n]+)'",
        r"can't find (?P<name>Rust compiler)",
        r"(?P<name>cargo), the Rust package manager, is not installed",
        r"(?P<name>CMake) must be installed",
    )
)
_RUST_TARGET = re.compile(
    r"can't find crate for `(?:core|std)`[^`]{0,200}`(?P<target>\w+-[\w-]+)` target may not be"
)
_INSTRUCTIONS = re.compile(
    r"target architecture (?P<machine>\w+) has no LLVM CPU feature named ['\"](?P<name>[\w.-]+)"
    r"|unknown CPU: ['\"](?P<cpu>[\w.-]+)"
)
_RUNS_FOR_TARGET = re.compile(
    r"Exec format error|cannot execute binary file"
    r"|Can not run test applications in this cross environment"
    r"|cannot run C(?:\+\+)? compiled programs"
    r"|'make', '(?:check|test)'\]' returned non-zero"
)
_WRONG_LIBRARY = re.compile(r"error: (?P<name>[^\s:(]+)(?:\(\S+\))? is incompatible with \w")
_OTHER_LANGUAGE = re.compile(
    rf"{NOT_COMPILED}: (?P<name>\S+)|Unknown compiler\(s\): \[\['[^']*/(?P<asked>\w+)'\]\]"
)
_ELSEWHERE = (
    "build a wheel on a machine like the target and name it in `include-local`, or provide the "
    "package in a layer"
)
_MODULE = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '(?P<name>[\w.]+)'")
_NO_FILES = re.compile(
    r"No file/folder found for (?:package|module) \S+"
    r"|Unable to determine which files to ship inside the wheel"
    r"|Multiple top-level (?:packages|modules) discovered in a flat-layout"
    r"|Expected a Python module (?:at|directory at)"
)
_OLD_CMAKE = re.compile(
    r"Compatibility\s+with\s+CMake\s+<\s+(?P<version>[0-9.]+)\s+has\s+been\s+removed"
    r"|Policy\s+(?P<policy>CMP[0-9]+)\s+may\s+not\s+be\s+set\s+to\s+OLD\s+behavior\s+because"
)
"""CMake breaks its lines where they become too long."""

_PKG_RESOURCES = "pkg_resources"
_REMOVED_MODULES = {"imp": "3.12", "lib2to3": "3.13", "asynchat": "3.12", "cgi": "3.13"}
_REMOVED_HEADERS = {"longintrepr.h": "3.11"}
"""What old sources use, and the version of Python that does not have it any more."""

_FIRST_ERROR = re.compile(
    r"^\s*(?P<line>[^\s:]+:\d+(?::\d+)?: (?:fatal )?error: [^\n]{1,300})", re.MULTILINE
)
"""As compilers write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a build failed."""

    text: str
    hint: str = ""
    """How to fix it; empty if that depends."""


def find_cause(output: str, *, is_own: bool, is_cross: bool = False) -> Cause | None:
    """Find the cause in what a backend wrote.

    Args:
        output: All that it wrote.
        is_own: Whether the code is the user's own.
        is_cross: Whether it was compiled for another machine, whose libraries are not here.
    """
    return (
        (_without_code(output) if is_own else None)
        or _without_rust_target(output)
        or _for_older_cmake(output, is_own=is_own)
        or (_not_for_target(output, is_own=is_own) if is_cross else None)
        or _first_missing(output, is_own=is_own, is_cross=is_cross)
        or _without_compiler(output)
        or _missing_module(output)
        or _first_error(output)
    )


def lacks_compiler(output: str) -> bool:
    """Tell whether a build has failed since there is no compiler for C or C++ here."""
    return _NO_COMPILER_HERE.search(output) is not None


def _without_code(output: str) -> Cause | None:
    if not _NO_FILES.search(output):
        return None
    return Cause(
        text="it finds no code that it could package",
        hint='set `project = "source"` in [tool.lambda-build] to ship the files as they are, '
        "or tell the backend which folder contains the code (`packages`)",
    )


def _without_rust_target(output: str) -> Cause | None:
    match = _RUST_TARGET.search(output)
    if match is None:
        return None
    return Cause(
        text=f"rustc has no standard library for {match['target']}",
        hint=f"run `rustup target add {match['target']}`, or lock a version that has a wheel",
    )


def _for_older_cmake(output: str, *, is_own: bool) -> Cause | None:
    """Find what CMake 4 and later refuse: https://cmake.org/cmake/help/latest/release/4.0.html."""
    match = _OLD_CMAKE.search(output)
    if match is None:
        return None
    if policy := match["policy"]:
        return Cause(
            text=f"its CMakeLists.txt sets the policy {policy} to OLD, which this CMake refuses",
            hint=f"remove `cmake_policy(SET {policy} OLD)`"
            if is_own
            else _build_constraint("cmake<4"),
        )
    version = match["version"].rstrip(".")
    variable = f"CMAKE_POLICY_VERSION_MINIMUM={version}"
    return Cause(
        text=f"its CMakeLists.txt is for a CMake older than {version}, which this CMake refuses",
        hint=f"raise the version in `cmake_minimum_required` to {version} or later"
        if is_own
        else f"set `{variable}` in the environment, or for this package in "
        "[tool.uv.extra-build-variables], to try it all the same; or "
        f"{_build_constraint('cmake<4')}",
    )


def _first_missing(output: str, *, is_own: bool, is_cross: bool) -> Cause | None:
    """Find the first thing that is missing: what else is missing is a consequence."""
    found = [match for pattern in _MISSING if (match := pattern.search(output))]
    if not found:
        return None
    name = min(found, key=lambda match: match.start())["name"]
    if name in _REMOVED_HEADERS:
        return _removed(f"it includes `{name}`", _REMOVED_HEADERS[name])
    return _missing_in_target(name, is_own=is_own) if is_cross else _missing(name)


def _without_compiler(output: str) -> Cause | None:
    if not lacks_compiler(output):
        return None
    return Cause(
        text="it cannot find a compiler for C or C++",
        hint="install one (gcc), or lock a version that has a wheel",
    )


def _missing_module(output: str) -> Cause | None:
    match = _MODULE.search(output)
    return _module(match["name"]) if match is not None else None


def _first_error(output: str) -> Cause | None:
    """Quote the first error of a compiler, which is far above the end of the output."""
    match = _FIRST_ERROR.search(output)
    return Cause(text=f"it does not compile: {match['line']}") if match is not None else None


def _removed(use: str, version: str) -> Cause:
    return Cause(
        text=f"{use}, which Python {version} and later do not have",
        hint="lock a version that supports this Python, or choose a runtime with an older one",
    )


def _missing(name: str) -> Cause:
    package = _PACKAGES.get(name)
    hint = f"install {package}" if package else f"install what contains `{name}`"
    wheel = _WHEELS.get(name)
    more = f"use {wheel}, which has wheels" if wheel else "lock a version that has a wheel"
    return Cause(text=f"it cannot find `{name}`", hint=f"{hint}, or {more}")


def _not_for_target(output: str, *, is_own: bool) -> Cause | None:
    """Find what zig cannot compile for a target."""
    if match := _OTHER_LANGUAGE.search(output):
        text = f"it calls `{match['name'] or match['asked']}`, and zig compiles only C and C++"
        return Cause(text=text, hint=_another_way(is_own=is_own))
    if match := _WRONG_LIBRARY.search(output):
        text = f"it links `{match['name']}`, which is for another machine than the target"
        return Cause(text=text, hint=_another_way(is_own=is_own))
    if _RUNS_FOR_TARGET.search(output):
        text = "it runs a program that it has compiled, which is for another machine than this one"
        return Cause(text=text, hint=_another_way(is_own=is_own))
    if match := _INSTRUCTIONS.search(output):
        if match["cpu"]:
            text = (
                f"it is to be compiled for `{match['cpu']}`, which is not a processor of the target"
            )
        else:
            text = f"it asks for `{match['name']}`, which no processor of {match['machine']} has"
        first = "choose the compiler's options by `platform.machine()`" if is_own else ""
        return Cause(text=text, hint=_another_way(first, is_own=is_own))
    return None


def _another_way(first: str = "", *, is_own: bool) -> str:
    """List what helps where nothing can be compiled here."""
    others = first or ("" if is_own else "lock a version that has a wheel")
    return f"{others}, {_ELSEWHERE}" if others else _ELSEWHERE


def _missing_in_target(name: str, *, is_own: bool) -> Cause:
    """Explain that a library of this machine would not be the target's."""
    if name == "Python.h":
        return _missing(name)
    wheel = _WHEELS.get(name)
    if name.endswith("Rust compiler") or name == "cargo":
        return _missing(name)
    first = f"use {wheel}, which has wheels" if wheel else ""
    return Cause(
        text=f"it cannot find `{name}`, and what this machine has installed is not the target's",
        hint=_another_way(first, is_own=is_own),
    )


def _module(name: str) -> Cause:
    if name in _REMOVED_MODULES:
        return _removed(f"its build imports `{name}`", _REMOVED_MODULES[name])
    text = f"its build imports `{name}`, which is not among its build requirements"
    if name == _PKG_RESOURCES:
        return Cause(
            text=f"its build imports `{name}`, which setuptools 81 and later may not have",
            hint=_build_constraint("setuptools<81"),
        )
    return Cause(
        text=text,
        hint="add it in [tool.uv.extra-build-dependencies], or lock a version that has a wheel",
    )


def _build_constraint(requirement: str) -> str:
    """Say how to hold a build requirement of somebody else's source to older versions."""
    return (
        f'write `build-constraint-dependencies = ["{requirement}"]` in [tool.uv], or name '
        f"a file with `{requirement}` in UV_BUILD_CONSTRAINT or PIP_BUILD_CONSTRAINT"
    )
