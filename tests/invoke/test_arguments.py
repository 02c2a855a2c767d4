"""What the user may get wrong, and what cannot run here: said before anything starts."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.artifacts import metadata
from fakes.elf import an_elf

from lambda_build_plugin.invoke.feasible import (
    InfeasibleError,
    Python,
    check_code,
    own_machine,
)
from lambda_build_plugin.invoke.unpacked import Facts
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.system.interpreters import Interpreter
from lambda_build_plugin.wheel.elf import Identity, Kind

if TYPE_CHECKING:
    from fakes.invoking import Workplace

APP = {"app.py": "def handler(event, context): return event\n"}


def test_all_mistakes_are_reported(bare_workplace: Workplace) -> None:
    """Each wrong value is named; values of variables are not, since they may be secrets."""
    run = bare_workplace.invoke(
        *("none.zip", "--event", "{", "--timeout", "x", "--memory", "0", "--repeat", "-1"),
        *("--env", "sesame", "--env", "AWS_LAMBDA_RUNTIME_API=sesame", "--layer", "."),
        *("--listen", "70000", "--env-file", "none", "-v"),
    )

    assert run.code == 2
    assert "sesame" not in run.errors
    for text in (
        "none.zip: file not found",
        "--event: is not JSON",
        "--timeout: is `x`: use a number above 0 and up to 900",
        "--memory: is `0`: use a whole number from 1 to 32768",
        "--repeat: is `-1`",
        "--env: is not of the form KEY=VALUE",
        "--env: `AWS_LAMBDA_RUNTIME_API` is set by Lambda itself and cannot be changed",
        "is a folder",
        "--listen: is `70000`: use a port such as 9000, or HOST:PORT",
        "--env-file: `none` cannot be read: No such file or directory",
    ):
        assert text in run.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--http", "--handler", "app.handler"), "--http: needs `--listen`"),
        ((), "nothing says which handler to call"),
        (("--event", "NaN"), "--event: is not JSON: `NaN` is not a JSON value"),
        (("--event", '{"a": Infinity}'), "--event: is not JSON: `Infinity` is not a JSON value"),
        (("--event", '"\udcff"'), "--event: is not JSON: 'utf-8' codec can't decode"),
        (("--env", "A=\udcff", "--event", "{"), "--event: is not JSON"),
        (("--artifact", "x"), "--artifact: is for a project, and a zip is one artifact"),
        (("--handler", "a.b", "--event", "none.json"), "there is no such file either"),
        (("--handler", "a.b", "--env", f"A={'x' * 5000}"), "Lambda accepts 4,096"),
        (
            ("--handler", "a.b", "--qemu-sysroot", "."),
            "--qemu-sysroot: needs `--python`, a Python inside that folder",
        ),
        (("--handler", "a.b", "--python", "none"), "does not run as a Python here"),
    ],
)
def test_mistakes(bare_workplace: Workplace, arguments: tuple[str, ...], message: str) -> None:
    """A mistake is explained, with exit code 2."""
    run = bare_workplace.invoke(bare_workplace.artifact(APP), *arguments)

    assert run.code == 2
    assert message in run.errors


def test_layer_is_no_function(bare_workplace: Workplace) -> None:
    """A layer is used with a function."""
    layer = bare_workplace.artifact({"python/a.py": ""})

    run = bare_workplace.invoke(layer, "--handler", "a.b")

    assert run.code == 2
    assert "is a layer, which has no handler" in run.errors


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_what_is_no_zip(bare_workplace: Workplace, content: bytes) -> None:
    """A file that is no zip cannot be unpacked."""
    path = bare_workplace.folder / "function.zip"
    path.write_bytes(content)

    run = bare_workplace.invoke(path, "--handler", "a.b")

    assert run.code == 8
    assert "cannot be read as a zip" in run.errors


def test_paths_that_leave_the_folder(bare_workplace: Workplace) -> None:
    """Nothing is written outside of the folder."""
    path = bare_workplace.artifact({**APP, "../../escaped.py": "x = 1\n"})

    run = bare_workplace.invoke(path, "--handler", "app.handler")

    assert run.code == 8
    assert "has a path that leaves the artifact" in run.errors
    assert not list(bare_workplace.folder.rglob("escaped.py"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, no machine code runs at all")
def test_machine_code_for_another_architecture(bare_workplace: Workplace) -> None:
    """The files are named, and both ways out."""
    other = "aarch64" if own_machine() == "x86_64" else "x86_64"
    path = bare_workplace.artifact({**APP, "pkg/_fast.so": an_elf(other)})

    run = bare_workplace.invoke(path, "--handler", "app.handler")

    assert run.code == 8
    assert "cannot run on this machine, which is" in run.errors
    assert "it contains machine code: `pkg/_fast.so`" in run.errors
    assert "--qemu-sysroot" in run.errors


def test_offline_without_the_runtime(bare_workplace: Workplace) -> None:
    """What is not in the cache is not fetched."""
    run = bare_workplace.invoke(bare_workplace.artifact(APP), "--handler", "app.handler")

    assert run.code == 5
    assert "AWS's runtime interface client (awslambdaric) is not in the cache" in run.errors
    assert "invoke the function once without `--offline`" in run.errors


def test_python_of_another_version(bare_workplace: Workplace) -> None:
    """`--python` has to be of the runtime's version."""
    path = bare_workplace.artifact({**APP, **metadata("demo")})

    run = bare_workplace.invoke(
        *(path, "--handler", "a.b", "--runtime", "python3.8", "--python", sys.executable)
    )

    assert run.code == 2
    assert "but python3.8 is CPython 3.8" in run.errors


# --- what the machine cannot run --------------------------------------------------------

TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.X86_64)
CODE = Facts(
    code={"pkg/_fast.so": Identity(kind=Kind.ELF, machine="x86_64", bits=64)},
    imported=frozenset(),
    modules=frozenset(),
)


def a_python(platform: str) -> Python:
    """Describe a Python of another system."""
    return Python(interpreter=replace(Interpreter.running(), platform=platform))


@pytest.mark.parametrize("platform", ["macosx-14.0-arm64", "macosx-10.9-x86_64", "win-amd64"])
def test_machine_code_on_another_system(platform: str) -> None:
    """Linux machine code runs on Linux only; functions without it run anywhere."""
    with pytest.raises(InfeasibleError) as caught:
        check_code(CODE, TARGET, a_python(platform))

    assert "which is not Linux" in caught.value.what
    assert "`pkg/_fast.so`" in caught.value.why
    assert "functions without machine code run here, too" in caught.value.hint
    assert check_code(replace(CODE, code={}), TARGET, a_python(platform)) == []


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (
            "2.99",
            "the glibc of this machine (2.99) is newer than that of python3.13 (2.34): "
            "code that needs it runs here, but fails on Lambda",
        ),
        ("2.5", "the glibc of this machine (2.5) is older than that of python3.13 (2.34)"),
    ],
)
def test_another_glibc_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, version: str, text: str
) -> None:
    """Both versions are named."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.confstr", lambda _: f"glibc {version}", raising=False)

    (warning,) = check_code(CODE, TARGET, a_python("linux-x86_64"))

    assert warning == text


def test_no_glibc_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alpine has another C library, in which the wheels of Lambda do not load."""
    monkeypatch.setattr("os.confstr", lambda _: None, raising=False)

    with pytest.raises(InfeasibleError, match="which has no glibc"):
        check_code(CODE, TARGET, a_python("linux-x86_64"))
