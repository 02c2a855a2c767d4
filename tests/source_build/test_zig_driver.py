"""What zig is passed in place of the arguments that a build wrote for gcc or clang."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.source_build.zig_driver import compiler_arguments, reads_input

if TYPE_CHECKING:
    from pathlib import Path

PLAN = {
    "target": "aarch64-linux-gnu.2.34",
    "cpu": "neoverse_n1",
    "headers": {"/usr/include/python3.13": "/build/include"},
    "hidden": ["/build"],
}


def translated(*arguments: str, tool: str = "cc") -> list[str]:
    """Translate the arguments of a compilation, without what is added to each."""
    first = ["-target", "aarch64-linux-gnu.2.34", "-mcpu=neoverse_n1"]
    last = ["-g0", "-fno-sanitize=undefined", "-Wno-date-time", "-ffile-prefix-map=/build=."]
    found = compiler_arguments(("-c", *arguments), PLAN, tool=tool)
    assert found[: len(first)] == first
    assert found[-len(last) :] == last
    return found[len(first) + 1 : -len(last)]


@pytest.mark.parametrize(
    "argument",
    [
        "-march=native",
        "-mtune=native",
        "-mcpu=cortex-a72",
        "-march=armv8-a+crc",
        "-flto=auto",
        "-fuse-ld=gold",
        "-static-libgcc",
        "-Wl,-Bsymbolic-functions",
        "-Wl,--exclude-libs,ALL",
        "-Wl,--exclude-libs=ALL",
        "-Wl,-rpath,/opt/python/lib",
        "-Wl,-rpath=/opt/python/lib",
        "-Wl,-R/opt/python/lib",
        "-Wl,-rpath-link,/opt/python/lib",
        "-isystem/usr/include",
        "-idirafter/usr/lib/include",
        "-iquote/usr/local/include",
        "-L/usr/lib64",
        "--sysroot=/",
        "-R/opt/python/lib",
        "-fopenmp",
        "-fopenmp=libomp",
        "-fcf-protection=full",
        "-fipa-pta",
        "-mfpu=neon",
        "-fno-gnu-unique",
        "-lstdc++fs",
        "-Wl,-Map=app.map",
        "-Wl,-Map,app.map",
        "-Wl,--icf=all",
        "-Wl,--dynamic-list=exports",
        "-Wl,--no-relax,--stats,-t",
        "-Wl,-plugin-opt=O3",
    ],
)
def test_options_of_this_machine_are_left_out(argument: str) -> None:
    """What zig refuses, or what would name this machine or its processor, is left out."""
    assert translated(argument, "x.c") == ["x.c"]


@pytest.mark.parametrize(
    "argument",
    [
        "-O2",
        "-DNAME=1",
        "-I/project/include",
        "-Iinclude",
        "-L/project/lib",
        "-lm",
        "-msse4.2",
        "-pthread",
        "-std=c++17",
        "-Wl,-rpath,$ORIGIN/../lib",
        "-Wl,-rpath,${ORIGIN}/../lib",
        "-isystemvendor",
        "-idirafterinclude",
        "-iquotesrc",
        "-Wl,--version-script=exports.map",
    ],
)
def test_options_of_the_project_are_kept(argument: str) -> None:
    """What the project asks for is passed on as it is."""
    assert translated(argument) == [argument]


@pytest.mark.parametrize("option", ["-isystem", "-idirafter", "-iquote"])
def test_the_order_of_headers_is_kept(option: str) -> None:
    """A folder for `#include "string.h"` must not take the place of the system's headers."""
    assert translated(option, "src", "x.c") == [f"{option}src", "x.c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-Wl,-rpath", "-Wl,$ORIGIN/lib"],
        ["-Wl,-R$ORIGIN/lib"],
        ["-Wl,-R", "-Wl,$ORIGIN/lib"],
        ["-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/lib"],
        ["-R$ORIGIN/lib"],
        ["-R", "$ORIGIN/lib"],
        ["-Wl,-rpath,$ORIGIN/lib:/opt/python/lib"],
    ],
)
def test_folders_beside_the_module_are_kept(arguments: list[str]) -> None:
    """Libraries beside the module are found, however the option is written; others are not."""
    assert translated(*arguments, "x.c") == ["-Wl,-rpath,$ORIGIN/lib", "x.c"]


@pytest.mark.parametrize(
    "path",
    ["/usr/lib/x86_64-linux-gnu/libpq.so", "/usr/lib64/libpq.so.5.2", "/usr/local/lib/libpq.a"],
)
def test_libraries_of_the_system_are_not_linked_by_their_path(path: str) -> None:
    """The target's is found if it is one of glibc's, and zig says otherwise that it is missing."""
    assert translated("x.o", path) == ["x.o", "-lpq"]


def test_a_standard_is_kept_if_the_language_is_said() -> None:
    """The ending `.c` does not count then."""
    said = ["-x", "c++", "-std=c++17", "x.c"]

    assert translated(*said) == [*said, "-U_LAMBDA_BUILD_cxx"]


def test_a_file_of_c_is_cxx_for_the_compiler_of_cxx() -> None:
    """`c++ x.c` compiles C++, as `g++ x.c` does, and links other files as what they are."""
    found = translated("-std=c++17", "-std=c11", "x.c", "-o", "y.c", "z.o", tool="c++")

    as_cxx = ["-x", "c++", "x.c", "-x", "none"]
    assert found == ["-std=c++17", *as_cxx, "-o", "y.c", "z.o", "-U_LAMBDA_BUILD_cxx_none"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["x.cc"],
        ["-include", "x.c", "x.cc"],
        ["-MF", "x.c", "-MT", "x.i", "x.cc"],
        ["-DFILE=x.c", "-D", "FILE=x.c", "x.cc"],
        ["-Xclang", "x.c", "x.o"],
    ],
)
def test_what_is_no_source_of_c_is_left_as_it_is(arguments: list[str]) -> None:
    """Values of options are not compiled, whatever they end with."""
    assert translated(*arguments, tool="c++") == arguments


def test_a_said_language_counts_for_the_compiler_of_cxx() -> None:
    """What `-x` says is stronger than the name of the compiler."""
    assert translated("-xc", "x.c", tool="c++") == ["-xc", "x.c", "-U_LAMBDA_BUILD_c"]


def test_a_verbose_link_names_no_build() -> None:
    """`-v` shows what is called, and links as it does without it."""
    assert compiler_arguments(["-v", "-shared", "x.o"], PLAN)[-2:] == ["-s", "-Wl,--build-id=none"]


@pytest.mark.parametrize("option", ["-I", "-L"])
@pytest.mark.parametrize("joined", [True, False])
def test_folders_of_the_system_are_left_out(option: str, joined: bool) -> None:  # noqa: FBT001
    """Libraries and headers that are installed here are not those of the target."""
    folder = "/usr/include/postgresql" if option == "-I" else "/usr/lib/x86_64-linux-gnu"
    arguments = [f"{option}{folder}"] if joined else [option, folder]

    assert translated(*arguments, "x.c") == ["x.c"]


def test_headers_of_python_are_replaced() -> None:
    """Python's headers are taken from the copy whose configuration is for the target."""
    assert translated("-I/usr/include/python3.13") == ["-I/build/include"]


def test_options_that_zig_spells_otherwise() -> None:
    """`-u` with a value of its own would be taken for a file, and `-h` for a call for help."""
    assert translated("-u", "start", "-Wl,-h,libapp.so") == [
        "-Wl,-u,start",
        "-Wl,-soname,libapp.so",
    ]


def test_branch_protection_of_x86_64_is_kept() -> None:
    """What only one of the architectures has is left out for the other alone."""
    plan = {**PLAN, "target": "x86_64-linux-gnu.2.34", "cpu": "x86_64"}

    assert "-fcf-protection" in compiler_arguments(["-c", "-fcf-protection", "x.c"], plan)


def test_files_of_arguments_are_read(tmp_path: Path) -> None:
    """Builds write long commands into a file, whose arguments are translated as well."""
    file = tmp_path / "arguments.rsp"
    file.write_text('-march=native -I/usr/include "-DNAME=a b" x.c', encoding="utf-8")

    assert translated(f"@{file}") == ["-DNAME=a b", "x.c"]


@pytest.mark.parametrize(
    "question", ["-dumpmachine", "-dumpversion", "-print-file-name=libc.a", "-v", "--version"]
)
def test_questions_are_answered_by_clang(question: str) -> None:
    """Its options name neither the version of glibc nor the processor."""
    assert compiler_arguments([question], PLAN) == ["-target", "aarch64-linux-gnu", question]


def test_instruction_set_of_x86_64_is_spelled_for_zig() -> None:
    """A project that chooses an instruction set gets it, instead of the default."""
    plan = {**PLAN, "target": "x86_64-linux-gnu.2.34", "cpu": "x86_64"}

    found = compiler_arguments(["-c", "-march=x86-64-v3", "x.c"], plan)

    assert "-march=x86_64_v3" in found
    assert "-mcpu=x86_64" not in found


def test_a_linked_module_names_no_build() -> None:
    """Symbols for a debugger and an identifier of the build are left out when linking."""
    found = compiler_arguments(["-shared", "x.o", "-o", "x.so"], PLAN)

    assert found[-2:] == ["-s", "-Wl,--build-id=none"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-E", "-"], True),
        (["-", "-o", "x.o"], True),
        (["-E", "x.cpp", "-o", "-"], False),
        (["-E", "x.cpp"], False),
    ],
)
def test_only_source_code_from_standard_input_needs_a_language(
    arguments: list[str],
    expected: bool,  # noqa: FBT001
) -> None:
    """A file that is preprocessed to standard output keeps the language of its ending."""
    assert reads_input(arguments) is expected
