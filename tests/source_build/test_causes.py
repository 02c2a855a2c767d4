"""The reason of a failed build comes first, and what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_build_plugin.source_build.causes import find_cause, lacks_compiler
from lambda_build_plugin.source_build.errors import BackendError
from lambda_build_plugin.source_build.source import Source

_PSYCOPG = """\
running build_ext
Error: pg_config executable not found.

pg_config is required to build psycopg2 from source.  Please add the directory
containing pg_config to the $PATH or specify the full executable path with the
option:
    python setup.py build_ext --pg-config /path/to/pg_config build ...
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(_PSYCOPG, "it cannot find `pg_config`", id="pg_config"),
        pytest.param(
            "/bin/sh: 1: mysql_config: not found\nException: Can not find",
            "`mysql_config`",
            id="sh",
        ),
        pytest.param(
            "FileNotFoundError: [Errno 2] No such file or directory: 'gdal-config'",
            "`gdal-config`",
            id="Python",
        ),
        pytest.param(
            "Could not find gdal-config. Make sure you have installed the GDAL native library",
            "`gdal-config`",
            id="gdal",
        ),
        pytest.param(
            "_x.c:1:10: fatal error: Python.h: No such file or directory\n 1 | #include <Python.h>",
            "`Python.h`",
            id="gcc",
        ),
        pytest.param("x.c:1:10: fatal error: 'ffi.h' file not found", "`ffi.h`", id="clang"),
        pytest.param("/usr/bin/ld: cannot find -lz: No such file", "`z`", id="ld"),
        pytest.param(
            "ImportError: libpq.so.5: cannot open shared object file: No such file or directory",
            "`libpq.so.5`",
            id="library",
        ),
        pytest.param("Package cairo was not found in the pkg-config path", "`cairo`", id="pkg"),
        pytest.param("No package 'libvirt' found", "`libvirt`", id="pkg-config"),
        pytest.param(
            "-- Checking for module\nThe following required packages were not found:"
            "\n\n   - libuv>=1.0",
            "`libuv`",
            id="CMake's pkg-config",
        ),
        pytest.param(
            "../meson.build:3:28: ERROR: C shared or static library 'z' not found",
            "`z`",
            id="meson's library",
        ),
        pytest.param("ERROR: C header 'rpc/rpc.h' not found", "`rpc/rpc.h`", id="meson's header"),
        pytest.param(
            "WARNING: Found pkg-config '/a/pkg-config' but it is required: no\n"
            'ERROR: Dependency "cairo" not found, tried pkgconfig',
            "`cairo`",
            id="pkg-config itself",
        ),
        pytest.param("error: command 'gcc' failed: No such file or directory", "`gcc`", id="cc"),
        pytest.param(
            '../meson.build:3:9: ERROR: Dependency "cairo" not found, tried pkgconfig and cmake',
            "`cairo`",
            id="meson",
        ),
        pytest.param(
            "Trying pkg-config --exists mysqlclient\nCommand 'pkg-config --exists mysqlclient' "
            "returned non-zero exit status 1.",
            "`mysqlclient`",
            id="mysqlclient",
        ),
        pytest.param(
            "error[E0463]: can't find crate for `core`\n  |\n  = note: the `aarch64-unknown-linux-"
            "gnu` target may not be installed\n  = help: consider downloading the target",
            "no standard library for aarch64-unknown-linux-gnu",
            id="Rust target",
        ),
        pytest.param("error: can't find Rust compiler", "`Rust compiler`", id="Rust"),
        pytest.param(
            "ModuleNotFoundError: No module named 'numpy'", "its build imports `numpy`", id="module"
        ),
        pytest.param(
            "ModuleNotFoundError: No module named 'pkg_resources'", "setuptools 81", id="setuptools"
        ),
    ],
)
def test_causes(output: str, expected: str) -> None:
    """What is missing is found in the words of compilers, linkers and programs."""
    cause = find_cause(f"running build\n{output}\n", is_own=False)

    assert cause is not None
    assert expected in cause.text
    assert cause.hint


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(
            'error: target architecture aarch64 has no LLVM CPU feature named "avx2"',
            "it asks for `avx2`, which no processor of aarch64 has",
            id="instructions",
        ),
        pytest.param(
            "error: unknown CPU: 'haswell'",
            "it is to be compiled for `haswell`, which is not a processor of the target",
            id="processor",
        ),
        pytest.param(
            "zig does not compile what this compiler does: gfortran",
            "it calls `gfortran`, and zig compiles only C and C++",
            id="Fortran",
        ),
        pytest.param(
            "../meson.build:1:0: ERROR: Unknown compiler(s): [['/tmp/a/programs/gfortran']]",
            "it calls `gfortran`, and zig compiles only C and C++",
            id="meson's Fortran",
        ),
        pytest.param(
            "ld.lld: error: ./libtwo.a(two.o) is incompatible with aarch64linux",
            "it links `./libtwo.a`, which is for another machine than the target",
            id="library",
        ),
        pytest.param(
            "/bin/sh: 1: ./generate: Exec format error",
            "it runs a program that it has compiled",
            id="program",
        ),
        pytest.param(
            "ERROR: Can not run test applications in this cross environment.",
            "it runs a program that it has compiled",
            id="meson's program",
        ),
        pytest.param(
            "x.c:1:10: fatal error: 'ffi.h' file not found",
            "it cannot find `ffi.h`, and what this machine has installed is not the target's",
            id="header",
        ),
    ],
)
@pytest.mark.parametrize("is_own", [True, False])
def test_causes_of_cross_compiling(output: str, expected: str, is_own: bool) -> None:  # noqa: FBT001
    """What zig cannot compile for a target is named, and who has no lock is told of none."""
    cause = find_cause(output, is_own=is_own, is_cross=True)

    assert cause is not None
    assert expected in cause.text
    assert "`include-local`" in cause.hint
    assert ("lock a version" in cause.hint) is not is_own


@pytest.mark.parametrize(
    "output",
    [
        "error: [Errno 2] No such file or directory: 'gcc'",
        "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
        "CMake Error: No CMAKE_CXX_COMPILER could be found.",
        "  The CMAKE_C_COMPILER:\n\n    gcc\n\n  is not a full path and was not found in the PATH.",
        "meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]",
    ],
)
def test_no_compiler(output: str) -> None:
    """Where there is no compiler at all, zig would be one."""
    assert lacks_compiler(output)
    assert find_cause(output, is_own=True) is not None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("a.cc:1:12: fatal error: 'longintrepr.h' file not found", "Python 3.11 and later"),
        ("ModuleNotFoundError: No module named 'lib2to3'", "Python 3.13 and later"),
    ],
)
def test_what_newer_pythons_do_not_have(output: str, expected: str) -> None:
    """A source for an older Python needs another version or runtime, and no package."""
    cause = find_cause(output, is_own=False)

    assert cause is not None
    assert expected in cause.text
    assert cause.hint.startswith("lock a version that supports this Python")


_OLD_CMAKE = """\
CMake Error at CMakeLists.txt:1 (cmake_minimum_required):
  Compatibility with CMake < 3.5 has been removed from CMake.

  Update the VERSION argument <min> value.  Or, use the <min>...<max> syntax
  to tell CMake that the project requires at least <min> but has been updated
  to work with policies introduced by <max> or earlier.

-- Configuring incomplete, errors occurred!
"""
_OLD_POLICY = """\
CMake Error at CMakeLists.txt:3 (cmake_policy):
  Policy CMP0054 may not be set to OLD behavior because this version of CMake
  no longer supports it.  The policy was introduced in CMake version 3.1.0,
  and use of NEW behavior is now required.
"""


@pytest.mark.parametrize(
    ("output", "text", "of_others", "of_own"),
    [
        pytest.param(
            _OLD_CMAKE,
            "its CMakeLists.txt is for a CMake older than 3.5, which this CMake refuses",
            "set `CMAKE_POLICY_VERSION_MINIMUM=3.5` in the environment, or for this package in "
            "[tool.uv.extra-build-variables]",
            "raise the version in `cmake_minimum_required` to 3.5 or later",
            id="version",
        ),
        pytest.param(
            _OLD_POLICY,
            "its CMakeLists.txt sets the policy CMP0054 to OLD, which this CMake refuses",
            'write `build-constraint-dependencies = ["cmake<4"]` in [tool.uv]',
            "remove `cmake_policy(SET CMP0054 OLD)`",
            id="policy",
        ),
    ],
)
def test_what_newer_cmakes_refuse(output: str, text: str, of_others: str, of_own: str) -> None:
    """Who cannot change the source is told of a variable and of an older CMake."""
    others = find_cause(f"{output}Could NOT find OpenSSL\n", is_own=False, is_cross=True)
    own = find_cause(output, is_own=True)

    assert others is not None
    assert others.text == text
    assert others.hint.startswith(of_others)
    assert "`cmake<4`" in others.hint
    assert own is not None
    assert (own.text, own.hint) == (text, of_own)


def test_a_warning_of_cmake_is_no_cause() -> None:
    """What a later CMake will refuse does not make the build fail."""
    output = (
        "  Compatibility with CMake < 3.10 will be removed from a future version of\n  CMake.\n"
    )

    assert find_cause(output, is_own=False) is None


def test_first_error_of_a_compiler_is_quoted() -> None:
    """What a compiler says is far above the end of the output."""
    output = "gcc -c a.c\na.c:3:5: error: unknown type name 'word'\n" + "noise\n" * 100

    cause = find_cause(output, is_own=False)

    assert cause is not None
    assert cause.text == "it does not compile: a.c:3:5: error: unknown type name 'word'"


@pytest.mark.parametrize(
    "output",
    [
        "",
        "could not find the way",
        "Found package foo",
        "Package six found",
        "error: stuck",
        "pg_config found",
    ],
)
def test_no_cause(output: str) -> None:
    """What is not known is not guessed."""
    assert find_cause(output, is_own=False) is None


def test_first_cause_counts() -> None:
    """What fails first makes the rest fail."""
    output = "fatal error: a.h: No such file or directory\nPackage b was not found"
    cause = find_cause(output, is_own=False)
    assert cause is not None
    assert cause.text == "it cannot find `a.h`"


def test_cause_comes_first_in_the_error() -> None:
    """Of what a build wrote, the error has the cause and a few lines."""
    output = _PSYCOPG + "noise\n" * 100

    error = BackendError(a_source("sdist"), "setuptools.build_meta", output)

    assert error.why.splitlines()[0] == "it cannot find `pg_config`"
    assert len(error.why.splitlines()) < 20
    assert (
        error.hint == "install libpq-dev or libpq-devel, or use psycopg2-binary, which has wheels"
    )


@pytest.mark.parametrize(
    "output",
    [
        "ValueError: No file/folder found for package app",
        "ValueError: Unable to determine which files to ship inside the wheel using the following",
        "error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].",
        "Expected a Python module at: `src/app/__init__.py`",
    ],
)
def test_backend_that_finds_no_code(output: str) -> None:
    """Who has no package learns that the files can ship as they are."""
    error = BackendError(a_source("local"), "poetry.core.masonry.api", output)

    assert error.why.splitlines()[0] == "it finds no code that it could package"
    assert error.hint.startswith('set `project = "source"` in [tool.lambda-build]')


def a_source(kind: str) -> Source:
    """Make a source of a kind; nothing is built of it."""
    return Source(name="app", package="app", root=Path("app"), backend="backend", kind=kind)
