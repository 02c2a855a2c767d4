"""The handler is found as the runtime finds it, without running anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.artifacts import an_artifact

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.verify.findings import Findings
from lambda_build_plugin.verify.handler import (
    BuiltInHandlerError,
    HandlerError,
    MalformedHandlerError,
    UndefinedHandlerError,
    check_handler,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.X86_64)
HANDLER = "def handler(event, context): ...\n"


def check(
    handler: str, files: Mapping[str, str], layer: Mapping[str, str] | None = None
) -> Findings:
    """Check a handler of a function of such files, and of a layer."""
    beside = [an_artifact(layer, roots=("python/",))] if layer else []
    return check_handler(an_artifact(files), handler, TARGET, beside=beside)


@pytest.mark.parametrize(
    ("handler", "path"),
    [
        pytest.param("app.handler", "app.py", id="module"),
        pytest.param("pkg.app.handler", "pkg/app.py", id="module in a package"),
        pytest.param("pkg/app.handler", "pkg/app.py", id="module by its path"),
        pytest.param("pkg.handler", "pkg/__init__.py", id="package"),
    ],
)
def test_handler(handler: str, path: str) -> None:
    """A handler whose module is there passes, wherever the import system looks."""
    assert check(handler, {path: HANDLER}) == Findings()


@pytest.mark.parametrize(
    ("handler", "path"),
    [
        pytest.param("pkg.handler", "pkg/__init__.pyc", id="package of bytecode alone"),
        pytest.param("app.handler", "app.pyc", id="bytecode alone"),
        pytest.param("app.handler", "app.cpython-313-x86_64-linux-gnu.so", id="extension"),
        pytest.param("app.handler", "app.abi3.so", id="extension with a stable ABI"),
    ],
)
def test_module_without_source(handler: str, path: str) -> None:
    """A module that is there without its source may define the name: a warning."""
    assert check(handler, {path: HANDLER}) == Findings(
        warnings=(
            f"cannot tell whether the handler `{handler}` is defined in `{path}`: its source "
            "does not ship",
        )
    )


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("pkg/application.py", id="longer name"),
        pytest.param("other/pkg/app.py", id="deeper"),
        pytest.param("pkg/app/data.txt", id="folder"),
        pytest.param("pkg/app.txt", id="no code"),
    ],
)
def test_missing_handler(path: str) -> None:
    """A handler whose module is not there is an error that says what was looked for."""
    (error,) = check("pkg.app.handler", {path: HANDLER}).errors

    assert (type(error), error.what, error.why) == (
        HandlerError,
        "the handler `pkg.app.handler` is not in the artifact",
        "none of these files exists: pkg/app.py, pkg/app/__init__.py, pkg/app.pyc",
    )


def test_handler_in_a_layer() -> None:
    """The module may come from a layer, below its `python` folder."""
    assert check("app.handler", {"a.txt": ""}, {"python/app.py": HANDLER}) == Findings()


def test_function_comes_before_its_layers() -> None:
    """What the function itself has of that name is what the runtime imports."""
    found = check("app.handler", {"app.py": ""}, {"python/app.py": HANDLER})

    assert [type(error) for error in found.errors] == [UndefinedHandlerError]


@pytest.mark.parametrize("handler", ["app", "./app.handler", ".app", "app.", "a b.handler", ""])
def test_malformed_handler(handler: str) -> None:
    """What the runtime cannot split into module and name is told as such."""
    found = check(handler, {"app.py": HANDLER})

    assert [type(error) for error in found.errors] == [MalformedHandlerError]


@pytest.mark.parametrize("handler", ["time.handler", "sys/app.handler"])
def test_built_in_module(handler: str) -> None:
    """No file can answer for a module that is linked into Python."""
    found = check(handler, {"time.py": HANDLER, "sys/app.py": HANDLER})

    assert [type(error) for error in found.errors] == [BuiltInHandlerError]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("async def handler(event, context): ...", id="coroutine"),
        pytest.param("class handler: ...", id="class"),
        pytest.param("handler = print", id="assignment"),
        pytest.param("handler: object = print", id="annotated assignment"),
        pytest.param("a, (b, *handler) = 1, (2, 3)", id="unpacking"),
        pytest.param("if (handler := print): ...", id="walrus"),
        pytest.param("[handler := x for x in [print]]", id="walrus in a comprehension"),
        pytest.param("import handler", id="import"),
        pytest.param("import handler.deep", id="import of a submodule"),
        pytest.param("import a as handler", id="import under a name"),
        pytest.param("from a import handler", id="import from"),
        pytest.param("from a import b as handler", id="import from under a name"),
        pytest.param("try:\n    from a import handler\nexcept ImportError: ...", id="try"),
        pytest.param("try: ...\nexcept ImportError:\n    def handler(): ...", id="except"),
        pytest.param("if a:\n    def handler(): ...", id="if"),
        pytest.param("for handler in a: ...", id="for"),
        pytest.param("with a as handler: ...", id="with"),
        pytest.param("match a:\n    case handler: ...", id="match"),
        pytest.param("def make():\n    global handler\n    handler = 1\nmake()", id="global"),
        pytest.param("x = '\\d'\ndef handler(): ...", id="text that Python warns of"),
    ],
)
def test_ways_to_define(source: str) -> None:
    """Whatever binds the name in the module defines the handler."""
    assert check("app.handler", {"app.py": source}) == Findings()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("", id="nothing"),
        pytest.param("def handle(event, context): ...", id="another name"),
        pytest.param("def make():\n    handler = 1", id="in a function"),
        pytest.param("class App:\n    def handler(self): ...", id="in a class"),
        pytest.param("handler: object", id="annotation alone"),
        pytest.param("print(handler)", id="use"),
        pytest.param("import a.handler", id="submodule of another"),
        pytest.param("from handler import a", id="module of that name"),
        pytest.param("[1 for handler in a]", id="variable of a comprehension"),
        pytest.param("a.handler = 1", id="attribute"),
    ],
)
def test_undefined_handler(source: str) -> None:
    """A name that nothing in the module binds is an error."""
    (error,) = check("app.handler", {"app.py": source}).errors

    assert (type(error), error.why) == (
        UndefinedHandlerError,
        "nothing in `app.py` defines `handler`: the runtime answers Runtime.HandlerNotFound",
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param("from a import *", "the module defines names at run time", id="import of all"),
        pytest.param(
            "def __getattr__(name): ...", "the module defines names at run time", id="PEP 562"
        ),
        pytest.param(
            "globals()['handler'] = 1", "the module defines names at run time", id="globals"
        ),
        pytest.param("exec('handler = 1')", "the module defines names at run time", id="exec"),
        pytest.param(
            "import sys\nsys.modules[__name__] = 1",
            "the module defines names at run time",
            id="modules",
        ),
        pytest.param("def handler(", "this Python cannot parse it", id="syntax"),
        pytest.param("a\0", "this Python cannot parse it", id="NUL byte"),
        pytest.param("(" * 5000, "this Python cannot parse it", id="nesting"),
    ],
)
def test_cannot_be_told(source: str, reason: str) -> None:
    """What the text of a module does not tell is a warning, not a failure."""
    found = check("app.handler", {"app.py": source})

    assert found == Findings(
        warnings=(
            f"cannot tell whether the handler `app.handler` is defined in `app.py`: {reason}",
        )
    )


def meant(handler: str, files: dict[str, str]) -> str:
    """Check a handler of files that are all the project's, and get the hint."""
    artifact = an_artifact(files)
    artifact = replace(artifact, own=frozenset(artifact.sizes))
    (error,) = check_handler(artifact, handler, TARGET).errors
    return error.hint


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        ("app.handler", "my_project.app.handler"),
        ("src.my_project.app.handler", "my_project.app.handler"),
        ("src/my_project/app.handler", "my_project.app.handler"),
        ("other.app.handler", "my_project.app.handler"),
        ("my_projct.app.handler", "my_project.app.handler"),
        ("my_project.handler", "my_project.app.handler"),
        ("app.main", None),
        ("gone.handler", None),
    ],
)
def test_module_that_was_meant(handler: str, found: str | None) -> None:
    """A module elsewhere that defines the name is suggested."""
    hint = meant(handler, {"my_project/__init__.py": "", "my_project/app.py": HANDLER})

    if found:
        assert hint == f"`{found}` exists: did you mean that?"
    else:
        assert "did you mean" not in hint


@pytest.mark.parametrize(
    ("handler", "source", "found"),
    [
        ("app.hander", HANDLER, "app.handler"),
        ("app.main", HANDLER, "app.handler"),
        ("app.main", "def handler(event, context): ...\ndef other(a): ...", "app.handler"),
        ("app.main", "def other(a): ...", None),
    ],
)
def test_function_that_was_meant(handler: str, source: str, found: str | None) -> None:
    """A function of a similar name is suggested, or the one that takes an event."""
    hint = meant(handler, {"app.py": source})

    assert hint == (
        f"`{found}` exists: did you mean that?"
        if found
        else "check the setting `handler` (--handler): `package.module.function`"
    )


@pytest.mark.parametrize("handler", ["my_project.app:handler", "my_project.app.py:handler"])
def test_colon_in_a_handler(handler: str) -> None:
    """The form of entry points is not that of Lambda."""
    assert meant(handler, {}) == "write a dot instead of the colon: `my_project.app.handler`"
