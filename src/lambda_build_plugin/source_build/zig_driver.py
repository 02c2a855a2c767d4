"""Stand in for a compiler: run zig with arguments that were written for gcc or clang.

This file is a program, which build backends start as `cc`, `c++`, `ar` and the like. It runs
by its path in whatever Python runs the backend, so it imports nothing but the standard
library, and nothing imports it but its tests.

It adds the target, and removes what would let this machine into the result: its libraries,
its headers, its processor, and the paths of the build.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys

if __name__ != "__main__":
    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["compiler_arguments", "reads_input"]

_DROPPED = (
    "-mtune=",  # it changes no instruction set
    "-mcpu=",  # ours is given
    "-flto",  # of another compiler's objects, or slower for no gain in an extension module
    "-ffat-lto-objects",
    "-fno-lto",
    # Neither zig nor the runtime has its library, and `-shared` would not notice. Without the
    # option, compilers ignore what is written for OpenMP, and the code runs on one thread.
    "-fopenmp",
    "-fuse-ld=",
    "-specs=",
    "-static-libgcc",  # zig links neither libgcc nor libstdc++
    "-static-libstdc++",
    "-lstdc++fs",  # part of the C++ library that zig links
    "-fsanitize=",
    # Of gcc alone, or of another architecture's compiler; none changes what the code means.
    *(
        "-fconcepts",
        "-fgnu-unique",
        "-fno-gnu-unique",
        "-fgraphite",
        "-fipa-",
        "-floop-",
        "-fprofile-partial-training",
        "-fwhole-program",
    ),
    *("-mabi=lp64", "-mfpu=", "-mindirect-branch", "-mtls-dialect="),
)
"""Options that are left out, by their beginnings."""

_DROPPED_FOR = {"aarch64": ("-fcf-protection",), "x86_64": ("-mno-outline-atomics",)}
"""The same for one architecture, whose compilers refuse what others have."""

_DROPPED_OF_LINKER = (
    "-Bsymbolic-functions",
    "-O",
    "--build-id",
    "--copy-dt-needed-entries",
    "--dynamic-list",
    "--exclude-libs",
    "--gdb-index",
    "--icf",
    "--no-copy-dt-needed-entries",
    "--no-keep-memory",
    "--no-relax",
    "--no-rosegment",
    "--no-warn-mismatch",
    "--pop-state",
    "--push-state",
    "--reduce-memory-overheads",
    "--relax",
    "--sort-common",
    "--stats",
    "--threads",
    "--trace",
    "--warn-common",
    "-Map",
    "-fuse-ld",
    "-plugin",
)
"""The same for the linker; zig refuses most of them, and none of them is needed."""

_WITH_VALUE = frozenset({"--dynamic-list", "--exclude-libs", "-Map", "-plugin"})
"""Those of them whose value may be the next argument."""

_INCLUDES = ("-I", "-isystem", "-idirafter", "-iquote")
"""Options with a folder of headers. They differ in when it is searched, so each is kept."""

_ROOTS = ("--sysroot", "-isysroot")
"""Options with the root of another system, which zig has of its own."""

_SYSTEM_FOLDERS = (
    *("/usr/include", "/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64"),
    *("/usr/local/include", "/usr/local/lib", "/usr/local/lib64"),
)
_LIBRARY = re.compile(r".*/lib(?P<name>[^/]+?)\.(?:a|so[.0-9]*)")
_ORIGIN = ("$ORIGIN", "${ORIGIN}")
_RPATH = frozenset({"-R", "-rpath", "--rpath"})
_C_ENDINGS = (".c", ".i")
_CXX_ENDINGS = frozenset({".C", ".CPP", ".c++", ".cc", ".cp", ".cpp", ".cxx"})
_VALUE_IS_NEXT = frozenset(
    {
        *("-D", "-L", "-MF", "-MQ", "-MT", "-T", "-U", "-Xassembler", "-Xclang", "-Xlinker"),
        *("-Xpreprocessor", "-e", "-imacros", "-include", "-l", "-o", "-u", "-z"),
        *_INCLUDES,
        *_ROOTS,
    }
)
"""Options whose value is an argument of its own, and never a file to compile."""

_NO_LINKING = frozenset({"-c", "-E", "-S", "-M", "-MM", "-fsyntax-only", "--version"})
_QUESTIONS = ("-dumpm", "-dumpv", "-print-", "--print-")
"""How options begin that ask the compiler about itself."""


def compiler_arguments(
    arguments: Sequence[str], plan: Mapping[str, object], *, tool: str = "cc"
) -> list[str]:
    """Translate the arguments of a C or C++ compiler.

    Args:
        arguments: Those after the program's name.
        plan: What `cross_files` has written for this build: `target` and `cpu` as zig names
            them, `headers` with the folders of Python's headers and those to use in their
            place, and `hidden`, the folders whose names must not get into the result.
        tool: The compiler that was called: `cc` or `c++`.
    """
    headers: Mapping[str, str] = plan["headers"]  # type: ignore[assignment]
    hidden: Sequence[str] = plan["hidden"]  # type: ignore[assignment]
    arguments = list(_expanded(arguments))
    target = str(plan["target"])
    asks_version = {"-v", "--version"}.issuperset(arguments)
    if asks_version or any(argument.startswith(_QUESTIONS) for argument in arguments):
        # clang answers them itself, which knows neither the version of glibc nor our processor.
        return ["-target", target.partition(".")[0], *arguments]
    machine = target.partition("-")[0]
    dropped = (*_DROPPED_FOR.get(machine, ()), *_standards_of_others(arguments, tool))
    if tool == "c++":
        arguments = list(_with_c_as_cxx(arguments))
    kept = [
        argument
        for argument in _kept(_joined(arguments), headers)
        if not argument.startswith(dropped)
    ]
    added = ["-target", target]
    if not any(argument.startswith("-march=") for argument in kept):
        added += [f"-mcpu={plan['cpu']}"]
    last = ["-g0", "-fno-sanitize=undefined", "-Wno-date-time"]
    last += [f"-ffile-prefix-map={folder}=." for folder in hidden]
    if not _NO_LINKING.intersection(arguments):
        last += ["-s", "-Wl,--build-id=none"]
    return [*added, *kept, *_languages(kept), *last]


def _expanded(arguments: Iterable[str]) -> Iterator[str]:
    """Read the files of arguments (`@FILE`) that builds write when a command is too long."""
    for argument in arguments:
        if argument.startswith("@") and os.path.isfile(argument[1:]):  # noqa: PTH113
            # Names of files need not be text.
            with open(argument[1:], encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
                yield from _expanded(shlex.split(file.read()))
        else:
            yield argument


def _with_c_as_cxx(arguments: Sequence[str]) -> Iterator[str]:
    """Say of files that end like C that they are C++, which zig does not assume.

    `g++` does, unless `-x` says otherwise: https://gcc.gnu.org/onlinedocs/gcc/Invoking-G_002b_002b.html
    """
    if any(argument.startswith("-x") for argument in arguments):
        yield from arguments
        return
    option = ""
    for argument in arguments:
        is_file = not argument.startswith("-") and option not in _VALUE_IS_NEXT
        if is_file and argument.endswith(_C_ENDINGS):
            yield from ("-x", "c++", argument, "-x", "none")
        else:
            yield argument
        option = argument


def _languages(arguments: Sequence[str]) -> Iterator[str]:
    """Let zig's cache tell apart what `-x` says of a file.

    zig 0.17 takes an object that was compiled as C for the same file as C++, and the other way
    round. Options with names of macros are part of what it looks for; this one has no effect.
    """
    following = ("", *arguments)
    said = [
        argument if option == "-x" else argument[2:]
        for option, argument in zip(following, arguments)  # noqa: B905 - not in Python 3.9
        if option == "-x" or (argument.startswith("-x") and argument != "-x")
    ]
    if said:
        name = "_".join(said).replace("+", "x").replace("-", "_")
        yield f"-U_LAMBDA_BUILD_{name}"


def _standards_of_others(arguments: Sequence[str], tool: str) -> Iterator[str]:
    """Name the options with a standard of C++ if C is compiled, and the other way round.

    Extensions with sources in both languages have such options, and gcc only warns of them. What
    `-x` says of the language counts, and not how the names of files end.
    """
    if any(argument.startswith("-x") for argument in arguments):
        return
    endings = {os.path.splitext(argument)[1] for argument in arguments}  # noqa: PTH122
    if tool == "c++" and endings.intersection(_C_ENDINGS):
        endings = endings.difference(_C_ENDINGS) | {".cc"}
    standards = {argument for argument in arguments if argument.startswith("-std=")}
    of_cxx = {argument for argument in standards if "++" in argument}
    if ".c" in endings and not _CXX_ENDINGS & endings:
        yield from of_cxx
    elif _CXX_ENDINGS & endings and ".c" not in endings:
        yield from standards - of_cxx


def _joined(arguments: Sequence[str]) -> Iterator[str]:
    """Join options with values that are arguments of their own: `-I` `/usr/include`.

    Those for the linker are joined if they follow each other, as one may be the value of the
    other: `-Wl,-rpath` `-Wl,$ORIGIN`.
    """
    linker = ["-Wl"]
    rest = iter(arguments)
    for argument in rest:
        if argument.startswith("-Wl,"):
            linker += argument.split(",")[1:]
            continue
        if argument == "-Xlinker":
            linker.append(next(rest, ""))
            continue
        if argument.startswith("-R"):
            linker += ["-rpath", argument[2:] or next(rest, "")]
            continue
        if linker[1:]:
            yield ",".join(linker)
            linker = ["-Wl"]
        if argument in {*_INCLUDES, "-L"}:
            yield argument + next(rest, "")
        elif argument in _ROOTS:
            next(rest, "")
        elif argument == "-u":  # whose value zig takes for a file
            yield f"-Wl,-u,{next(rest, '')}"
        else:
            yield argument
    if linker[1:]:
        yield ",".join(linker)


def _kept(arguments: Iterator[str], headers: Mapping[str, str]) -> Iterator[str]:
    for argument in arguments:
        if argument.startswith("-Wl,"):
            yield from _kept_of_linker(argument.split(",")[1:])
        elif argument.startswith(_INCLUDES):
            yield from _kept_folder(argument, headers)
        elif argument.startswith("-march="):
            # zig spells the names of processors with underscores, and those of Arm otherwise.
            name = argument.partition("=")[2]
            if name != "native" and not name.startswith("armv"):
                yield f"-march={name.replace('-', '_')}"
        elif argument.startswith("-L") and _is_of_system(argument[2:]):
            continue
        elif _is_of_system(argument) and (library := _LIBRARY.fullmatch(argument)):
            # zig has those of glibc for the target, and says of others that it cannot find them.
            yield f"-l{library['name']}"
        elif not argument.startswith((*_DROPPED, *_ROOTS)):
            yield argument


def _kept_folder(argument: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Keep a folder of headers, unless this machine has installed what is in it."""
    option = next(option for option in _INCLUDES if argument.startswith(option))
    folder = argument[len(option) :]
    if folder and os.path.normpath(folder) in headers:
        yield option + headers[os.path.normpath(folder)]
    elif not _is_of_system(folder):
        yield argument


def _kept_of_linker(parts: Sequence[str]) -> Iterator[str]:
    """Keep the options of the linker that zig understands; folders only beside the module."""
    kept: list[str] = []
    rest = iter(parts)
    for part in rest:
        name, equals, value = part.partition("=")
        if name in _RPATH:
            kept += _kept_rpath(value if equals else next(rest, ""))
        elif part.startswith("-R"):
            kept += _kept_rpath(part[2:])
        elif name in {"-rpath-link", "--rpath-link"}:
            if not equals:
                next(rest, "")
        elif name == "-h":  # which zig does not know
            kept += ["-soname", next(rest, "")]
        elif name == "-t" or name.startswith(_DROPPED_OF_LINKER):
            if name in _WITH_VALUE and not equals:
                next(rest, "")
        else:
            kept.append(part)
    if kept:
        yield ",".join(("-Wl", *kept))


def _kept_rpath(folders: str) -> list[str]:
    """Keep the folders that are found from the module's own; others name this machine."""
    kept = [folder for folder in folders.split(":") if folder.startswith(_ORIGIN)]
    return ["-rpath", ":".join(kept)] if kept else []


def _is_of_system(folder: str) -> bool:
    """Tell whether a folder contains what this machine has installed."""
    path = os.path.normpath(folder)
    return any(path == place or path.startswith(f"{place}/") for place in _SYSTEM_FOLDERS)


def reads_input(arguments: Sequence[str]) -> bool:
    """Tell whether source code comes from standard input; `-o -` is about the output."""
    before = ("", *arguments)
    return any(
        argument == "-" and option not in {"-o", "-MF"}
        for option, argument in zip(before, arguments)  # noqa: B905 - Python 3.9 has no `strict`
    )


def _main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - starts with each file
        plan = json.load(file)
    tool, arguments = sys.argv[2], sys.argv[3:]
    if tool in {"cc", "c++"}:
        arguments = compiler_arguments(arguments, plan, tool=tool)
        if reads_input(arguments) and "-x" not in arguments:
            # zig does not assume a language for what it reads from standard input.
            arguments = ["-x", "c" if tool == "cc" else "c++", *arguments]
    os.execv(plan["zig"], [plan["zig"], tool, *arguments])  # noqa: S606 - by its path


if __name__ == "__main__":
    _main()
