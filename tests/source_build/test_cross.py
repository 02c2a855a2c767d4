"""C sources for another machine and an older glibc, compiled with a real zig."""

from __future__ import annotations

import ctypes
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from fakes.arm64 import arm64_python
from fakes.extensions import a_project_with_extension, include_of
from fakes.locks import CACHE
from fakes.projects import run_lambda_build
from fakes.zig import a_cache, zig_folder

from lambda_build_plugin.config.settings import CrossCompile
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.source_build.cross import (
    CrossCompiler,
    NoZigError,
    find_cross_compiler,
    remedy,
)
from lambda_build_plugin.source_build.cross_files import write_cross_files
from lambda_build_plugin.system.interpreters import Interpreter, find_interpreters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakes.projects import Run

# zig and setuptools come from the package index.
pytestmark = [
    pytest.mark.index,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Python's headers for Linux"),
]

_RUNTIME = "python{}.{}".format(*sys.version_info)
_OTHER = "arm64" if platform.machine() == "x86_64" else "x86_64"
_MACHINES = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}

_C = """\
#include <math.h>

#ifndef NDEBUG
#error "without the flags of CPython"
#endif

const char *where(void) { return __FILE__ " " __DATE__; }
double root(double value) { return sqrt(value); }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build has left."""

    name: str
    """The extension module's."""

    module: bytes
    report: dict[str, Any]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache for all tests but those that compare what two caches give."""
    return a_cache(tmp_path_factory.mktemp("cross") / "cache")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Built:
    """Build once for the other architecture, for all tests that look at the result."""
    folder = tmp_path_factory.mktemp("built")
    run = build(folder, environment(cache), "--runtime", _RUNTIME, "--arch", _OTHER)
    assert run.code == 0, run.errors
    report = json.loads(run.output)
    name, module = extension_in(report["artifact"])
    return Built(name=name, module=module, report=report)


def environment(cache: Path, *, has_zig: bool = True) -> Mapping[str, str]:
    """Give the developer's environment, with uv in reach, and zig if it is to be found."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    if has_zig:
        folders.insert(0, str(zig_folder()))
    path = os.pathsep.join(folders)
    return {**os.environ, "PATH": path, "LAMBDA_BUILD_CACHE_DIR": str(cache)}


def build(
    folder: Path, environ: Mapping[str, str], *arguments: str, libraries: tuple[str, ...] = ("m",)
) -> Run:
    """Build a project that needs an sdist with an extension in C."""
    options = f"libraries={list(libraries)}"
    project = a_project_with_extension(folder, options=options, code=_C)
    return run_lambda_build("--json", *arguments, cwd=project, environ=environ)


def extension_in(artifact: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the extension module in a zip."""
    with zipfile.ZipFile(artifact) as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("_fast.")]
        return name, archive.read(name)


def test_an_extension_is_compiled_for_the_other_architecture(built: Built) -> None:
    """The module has the machine and the file name of the target."""
    assert ELFFile(io.BytesIO(built.module))["e_machine"] == _MACHINES[_OTHER]
    assert "aarch64-linux-gnu" in built.name or "x86_64-linux-gnu" in built.name
    assert platform.machine() not in built.name


def test_the_report_says_what_compiled_it(built: Built) -> None:
    """The entry of the package names zig."""
    (package,) = [each for each in built.report["packages"] if each["name"] == "fast"]

    assert package["compiled_by"].startswith("zig ")


def test_the_bytes_do_not_name_the_build(tmp_path: Path, built: Built) -> None:
    """Another folder, cache, clock and other flags give the same module."""
    folder = tmp_path / "a second folder"
    folder.mkdir()
    scratch = tmp_path / "scratch, spaced"
    scratch.mkdir()
    link = tmp_path / "link to scratch"
    link.symlink_to(scratch)
    own = environment(a_cache(tmp_path / "own cache"))
    (tmp_path / "include").mkdir()
    (tmp_path / "include/math.h").write_text("#error from this machine\n", encoding="utf-8")
    flags = {"CFLAGS": "-DUNKNOWN -g", "CPATH": str(tmp_path / "include")}
    environ = {**own, **flags, "TZ": "Asia/Tokyo", "TMPDIR": str(link)}

    run = build(folder, environ, "--runtime", _RUNTIME, "--arch", _OTHER)

    assert run.code == 0, run.errors
    _, module = extension_in(json.loads(run.output)["artifact"])
    assert module == built.module
    assert str(tmp_path).encode() not in module


def test_the_cache_does_not_grow_with_each_build(tmp_path: Path) -> None:
    """Only zig's own libraries are kept: what a build has compiled, no other finds."""
    zig = tmp_path / "zig"
    zig.mkdir()
    kept = []

    for number in ("1", "2"):
        own = tmp_path / number / "cache"  # which has no wheel, so that it is compiled again
        own.mkdir(parents=True)
        (own / "zig").symlink_to(zig)
        run = build(own.parent, environment(own), "--runtime", _RUNTIME, "--arch", _OTHER)
        assert run.code == 0, run.errors
        kept.append({path for path in zig.rglob("*") if path.is_file()})

    assert kept[0] == kept[1]


@pytest.mark.skipif(_OTHER != "arm64", reason="this machine runs it without qemu")
def test_an_extension_for_arm64_works(tmp_path: Path, built: Built) -> None:
    """The module gives the right answer in a Python for arm64, which qemu runs."""
    python = arm64_python("{}.{}".format(*sys.version_info))
    module = tmp_path / built.name
    module.write_bytes(built.module)
    code = (
        f"import ctypes; root = ctypes.PyDLL({str(module)!r}).root\n"
        "root.restype, root.argtypes = ctypes.c_double, [ctypes.c_double]\n"
        "print(root(6.25))"
    )

    ran = subprocess.run(
        [*python.command, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )

    assert (ran.stdout, ran.stderr) == ("2.5\n", "")


@pytest.mark.nightly
@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "aarch64"}, reason="not an architecture of Lambda"
)
def test_an_extension_for_this_machine_is_loaded(tmp_path: Path, cache: Path) -> None:
    """With `always`, zig compiles for this machine's own architecture, and the module works."""
    own = "x86_64" if platform.machine() == "x86_64" else "arm64"

    run = build(
        tmp_path,
        environment(cache),
        *("--runtime", _RUNTIME, "--arch", own, "--cross-compile", "always"),
    )

    assert run.code == 0, run.errors
    name, data = extension_in(json.loads(run.output)["artifact"])
    module = tmp_path / name
    module.write_bytes(data)
    library = ctypes.PyDLL(str(module))
    library.root.restype, library.root.argtypes = ctypes.c_double, [ctypes.c_double]
    assert library.root(6.25) == 2.5


def test_a_library_of_this_machine_is_not_linked(tmp_path: Path, cache: Path) -> None:
    """A library that only the system has cannot be had; the message names it and a way out."""
    run = build(
        tmp_path,
        environment(cache),
        *("--runtime", _RUNTIME, "--arch", _OTHER),
        libraries=("pq",),
    )

    assert run.code == 6
    assert "cannot find `pq`" in run.errors
    assert "`include-local`" in run.errors


def test_without_zig_the_extra_is_named(tmp_path: Path, cache: Path) -> None:
    """Where there is no zig, the error says what to install."""
    run = build(
        tmp_path, environment(cache, has_zig=False), "--runtime", _RUNTIME, "--arch", _OTHER
    )

    assert run.code == 6
    assert "install `lambda-build-plugin[cross]`" in run.errors


def test_without_any_compiler_the_extra_is_named(tmp_path: Path, cache: Path) -> None:
    """In a slim image there is no compiler at all; zig would compile, too."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "uv"):
        program = shutil.which(name, path=environment(cache)["PATH"])
        assert program is not None
        (programs / name).symlink_to(program)
    environ = {**environment(cache, has_zig=False), "PATH": str(programs)}
    environ = {name: environ[name] for name in environ if name not in {"CC", "CXX"}}

    run = build(tmp_path, environ, "--runtime", _RUNTIME, "--arch", _OTHER)

    assert run.code == 6
    assert "install `lambda-build-plugin[cross]`, to compile C and C++" in run.errors


def test_never_compiles_as_before(tmp_path: Path, cache: Path) -> None:
    """With `never`, zig is not used although it is there."""
    run = build(
        tmp_path,
        environment(cache),
        *("--runtime", _RUNTIME, "--arch", _OTHER, "--cross-compile", "never"),
    )

    assert run.code == 6
    assert "zig" not in run.errors.partition("hint:")[0]


def test_always_needs_zig(tmp_path: Path, cache: Path) -> None:
    """With `always`, a missing zig is a mistake in the settings."""
    run = build(
        tmp_path,
        environment(cache, has_zig=False),
        *("--runtime", _RUNTIME, "--arch", _OTHER, "--cross-compile", "always"),
    )

    assert run.code == 2
    assert "neither installed nor on PATH" in run.errors


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("echo 0.9.1", "is zig 0.9.1, and 0.13 or newer is needed", id="old"),
        pytest.param(
            "echo wrong >&2; exit 1", "does not say its version, but `wrong`", id="broken"
        ),
        pytest.param(
            "echo I am not zig", "does not say its version, but `I am not zig`", id="other"
        ),
    ],
)
def test_an_unusable_zig_is_named(tmp_path: Path, script: str, expected: str) -> None:
    """With `always` it is an error, and otherwise the hint says why it was not used."""
    program = a_program(tmp_path / "bin", "zig", script)
    environ = {"PATH": str(program.parent)}
    target = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.ARM64)
    here = replace(Interpreter.running(), version="3.11.4", platform="linux-x86_64")

    with pytest.raises(NoZigError) as caught:
        find_cross_compiler(
            CrossCompile.ALWAYS, target, here, environ=environ, cache_dir=tmp_path / "cache"
        )
    found = find_cross_compiler(
        CrossCompile.AUTO, target, here, environ=environ, cache_dir=tmp_path / "cache"
    )

    assert f"{program} {expected}" in str(caught.value)
    assert found is None
    assert f"{program} {expected}" in remedy(CrossCompile.AUTO, target, here, environ=environ)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    """A file for another machine, for example, is found on PATH and does not start."""
    program = a_program(tmp_path / "bin", "zig", "")
    program.write_bytes(b"\x7fELF")
    target = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.ARM64)
    here = replace(Interpreter.running(), version="3.11.4", platform="linux-x86_64")

    said = remedy(CrossCompile.AUTO, target, here, environ={"PATH": str(program.parent)})

    assert f"{program} cannot be started" in said


def test_a_usable_zig_further_on_path_is_taken(tmp_path: Path) -> None:
    """A zig that is too old does not hide one that is not."""
    a_program(tmp_path / "old", "zig", "echo 0.11.0")
    new = a_program(tmp_path / "new", "zig", "echo 0.14.0-dev.1+0dd0c9620")
    target = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.ARM64)
    here = replace(Interpreter.running(), version="3.11.4", platform="linux-x86_64")
    path = os.pathsep.join((str(tmp_path / "old"), str(new.parent)))

    found = find_cross_compiler(
        CrossCompile.ALWAYS, target, here, environ={"PATH": path}, cache_dir=tmp_path / "cache"
    )

    assert found is not None
    assert (found.zig, found.version) == (new, "0.14.0-dev.1+0dd0c9620")


def test_the_zig_of_the_extra_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the package `ziglang` contains comes before what PATH leads to."""
    other = a_program(tmp_path / "bin", "zig", "echo 0.14.0")
    monkeypatch.delitem(sys.modules, "ziglang")  # which conftest.py hides
    monkeypatch.syspath_prepend(zig_folder().parent)
    target = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.ARM64)
    here = replace(Interpreter.running(), version="3.11.4", platform="linux-x86_64")

    found = find_cross_compiler(
        CrossCompile.AUTO,
        target,
        here,
        environ={"PATH": str(other.parent)},
        cache_dir=tmp_path / "cache",
    )

    assert found is not None
    assert found.zig == zig_folder() / "zig"


def test_a_link_to_zig_is_not_followed(tmp_path: Path) -> None:
    """Links of snap and mise lead to a program that is zig only by the name it is called by."""
    script = '[ "$(basename "$0")" = zig ] && echo 0.14.0 || echo 2026.11.0'
    manager = a_program(tmp_path / "manager", "mise", script)
    link = tmp_path / "bin" / "zig"
    link.parent.mkdir()
    link.symlink_to(manager)
    target = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.ARM64)
    here = replace(Interpreter.running(), version="3.11.4", platform="linux-x86_64")
    environ = {"PATH": str(link.parent)}

    found = find_cross_compiler(
        CrossCompile.ALWAYS, target, here, environ=environ, cache_dir=tmp_path / "cache"
    )

    assert found is not None
    assert (found.zig, found.version) == (link, "0.14.0")


def test_a_link_to_headers_that_are_gone_is_left_out(tmp_path: Path) -> None:
    """Packages of Debian link their headers beside Python's; those of Python are found still."""
    include = tmp_path / "python3.11"
    include.mkdir()
    for name in ("Python.h", "pyconfig.h"):
        (include / name).touch()
    (include / "numpy").symlink_to(tmp_path / "removed")
    answer = {"folders": [str(include)], "config": str(include / "pyconfig.h"), "multiarch": ""}
    python = a_program(tmp_path / "bin", "python3.11", f"echo '{json.dumps(answer)}'")
    here = replace(Interpreter.running(), path=python, version="3.11.4", platform="linux-x86_64")
    compiler = CrossCompiler(
        zig=tmp_path / "zig",
        version="0.14.0",
        triple="aarch64-linux-gnu.2.26",
        machine="aarch64",
        cpu="neoverse_n1",
        cache=tmp_path / "cache",
    )
    folder = tmp_path / "cross"
    folder.mkdir()

    write_cross_files(compiler, here, folder, hidden=())

    assert json.loads((folder / "plan.json").read_text("utf-8"))["headers"] == {
        str(include): str(folder / "include")
    }


def a_program(folder: Path, name: str, script: str) -> Path:
    """Write a shell script that can be started by its name."""
    folder.mkdir(parents=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_where_the_python_is_missing_it_is_named() -> None:
    """Without a Python of the target's version no headers are there; the hint says so."""
    here = replace(Interpreter.running(), version="3.9.1", platform="linux-x86_64")
    target = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)

    said = remedy(CrossCompile.AUTO, target, here, environ={"PATH": os.devnull})

    assert said.startswith(
        "get CPython 3.13 with `uv python install 3.13` and install `lambda-build-plugin[cross]`"
    )


def test_on_other_systems_zig_is_no_remedy() -> None:
    """What would not be used is not recommended."""
    here = replace(Interpreter.running(), platform="macosx-14.0-arm64")
    target = Target(runtime=RUNTIMES[_RUNTIME], architecture=Architecture.X86_64)

    assert remedy(CrossCompile.AUTO, target, here, environ={"PATH": os.devnull}) == ""


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param("cc x.c", "c++ x.c", {"in_c": False, "_Z6in_cxxv": True}, id="c++"),
        pytest.param("c++ x.c", "cc x.c", {"in_c": True, "_Z6in_cxxv": False}, id="cc"),
        pytest.param("cc x.c", "cc -x c++ x.c", {"in_c": False, "_Z6in_cxxv": True}, id="-x c++"),
        pytest.param("cc -xc++ x.c", "cc -xc x.c", {"in_c": True, "_Z6in_cxxv": False}, id="-xc"),
    ],
)
def test_the_language_is_that_of_gcc(
    tmp_path: Path, first: str, second: str, expected: dict[str, bool]
) -> None:
    """It follows the compiler's name and `-x`, also if zig has compiled the file before."""
    compiler = CrossCompiler(
        zig=zig_folder() / "zig",
        version="0.14.0",
        triple="aarch64-linux-gnu.2.34",
        machine="aarch64",
        cpu="neoverse_n1",
        cache=tmp_path / "cache",
    )
    files = write_cross_files(compiler, Interpreter.running(), tmp_path, hidden=())
    code = "#ifdef __cplusplus\nint in_cxx() { return 1; }\n#else\nint in_c;\n#endif\n"
    (tmp_path / "x.c").write_text(code, encoding="utf-8")

    for command in (first, second):
        program, *arguments = command.split()
        subprocess.run(
            [files.programs / program, "-c", *arguments, "-o", "x.o"],
            cwd=tmp_path,
            env={**environment(tmp_path / "unused"), **files.variables},
            check=True,
        )

    table = ELFFile(io.BytesIO((tmp_path / "x.o").read_bytes())).get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    names = {symbol.name for symbol in table.iter_symbols()}
    assert {name: name in names for name in expected} == expected


@pytest.mark.skipif(shutil.which("autoconf") is None, reason="needs autoconf")
def test_configure_scripts_run_nothing_that_they_compile(tmp_path: Path) -> None:
    """They are not told of the target, and would try to run what is compiled for it."""
    target = Target(runtime=RUNTIMES[_RUNTIME], architecture=Architecture(_OTHER))
    environ = environment(tmp_path / "cache")
    compiler = find_cross_compiler(
        CrossCompile.ALWAYS,
        target,
        Interpreter.running(),
        environ=environ,
        cache_dir=CACHE / "zig",
    )
    assert compiler is not None
    files = write_cross_files(compiler, Interpreter.running(), tmp_path, hidden=())
    (tmp_path / "configure.ac").write_text(
        "AC_INIT([app], [1.0])\nAC_PROG_CC\nAC_CHECK_FUNCS([reallocarray])\n"
        "AC_CHECK_SIZEOF([long])\nAC_OUTPUT\n",
        encoding="utf-8",
    )
    subprocess.run(["autoconf"], cwd=tmp_path, check=True)

    ran = subprocess.run(
        ["sh", "./configure"],
        cwd=tmp_path,
        env={**environ, **files.variables},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "checking whether we are cross compiling... yes" in ran.stdout
    assert "checking size of long... 8" in ran.stdout
    defined = (tmp_path / "config.log").read_text(encoding="utf-8")
    has = RUNTIMES[_RUNTIME].glibc >= (2, 26)
    assert ("#define HAVE_REALLOCARRAY 1" in defined) is has


def test_all_pythons_of_a_version_give_the_same_headers(tmp_path: Path) -> None:
    """Debian's, which keeps them in several folders, pyenv's and uv's lead to the same code."""
    target = Target(runtime=RUNTIMES[_RUNTIME], architecture=Architecture.ARM64)
    environ = environment(tmp_path / "cache")
    objects = []
    for number, python in enumerate(
        find_interpreters(sys.version_info[:2], environ=environ, home=Path.home())
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        compiler = find_cross_compiler(
            CrossCompile.ALWAYS,
            target,
            python,
            environ=environ,
            cache_dir=CACHE / "zig" / "headers",
        )
        if compiler is None or not (include_of(python) / "Python.h").is_file():
            continue
        files = write_cross_files(compiler, python, folder, hidden=(tmp_path,))
        source, made = folder / "_fast.c", folder / "_fast.o"
        source.write_text(_C, encoding="utf-8")
        include = f"-I{include_of(python)}"
        subprocess.run(
            [files.programs / "cc", "-DNDEBUG", include, "-c", source, "-o", made],
            env={**environ, **files.variables},
            check=True,
        )
        objects.append(made.read_bytes())

    assert objects
    assert set(objects) == {objects[0]}
