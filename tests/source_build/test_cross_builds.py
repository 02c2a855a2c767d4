"""What builds ask of compilers, CMake and meson, answered for another architecture by a real zig.

Each case is a project of its own with an extension module, in the way that its backend shows.
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from fakes.extensions import include_of
from fakes.projects import run_lambda_build
from fakes.zig import a_cache, zig_folder

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.source_build.context import BuildContext
from lambda_build_plugin.source_build.wheels import build_project
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.interpreters import Interpreter, find_interpreters
from lambda_build_plugin.wheel.symbols import read_symbols

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakes.projects import Run

# zig and the backends come from the package index.
pytestmark = [
    pytest.mark.index,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Python's headers for Linux"),
]

_OTHER, _MACHINE, _ELF_MACHINE = (
    ("arm64", "aarch64", "EM_AARCH64")
    if platform.machine() == "x86_64"
    else ("x86_64", "x86_64", "EM_X86_64")
)
_VERSION = "{}{}".format(*sys.version_info)
_NAME = f"_fast.cpython-{_VERSION}-{_MACHINE}-linux-gnu.so"

_PYPROJECT = """\
[build-system]
requires = {requires}
build-backend = "{backend}"

[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
"""
_SETUP = """\
from setuptools import Extension, setup

setup(packages=["app"], ext_modules=[Extension("app._fast", ["_fast.c"], {options})], {more})
"""
_C = """\
#include <Python.h>
{code}
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "_fast", NULL, -1, NULL}};

PyMODINIT_FUNC PyInit__fast(void) {{ {calls} return PyModule_Create(&module); }}
"""
_CPP = """\
#include <pybind11/pybind11.h>

PYBIND11_MODULE(_fast, module) { module.def("one", [] { return 1; }); }
"""
_CYTHON = """\
from Cython.Build import cythonize
from setuptools import Extension, setup

fast = Extension("app._fast", ["_fast.pyx"], language="c++")
setup(packages=["app"], ext_modules=cythonize([fast]))
"""
_HATCH_HOOK = """\
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension


class CustomHook(BuildHookInterface):
    def initialize(self, version, build_data):
        fast = Extension("app._fast", ["_fast.c"])
        command = Distribution({"name": "app", "ext_modules": [fast]}).get_command_obj("build_ext")
        command.inplace = True
        command.ensure_finalized()
        command.run()
        build_data.update(pure_python=False, infer_tag=True)
"""
_SUM = """\
int sum(int n) {
    int total = 0;
    #pragma omp parallel for reduction(+:total)
    for (int i = 0; i < n; i++) total += i;
    return total;
}
"""
_TWO = "int two(void) { return 2; }\n"
_ASSEMBLY = ".globl two\ntwo: ret\n"
_FORTRAN = "subroutine two\nend subroutine\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A project, and what is in its zip."""

    backend: str
    requires: tuple[str, ...]
    files: Mapping[str, str]
    modules: tuple[str, ...] = (_NAME,)
    """Names of the files with machine code."""

    variables: Mapping[str, str] = field(default_factory=dict)


def _setuptools(
    options: str = "", *, code: str = "", calls: str = "", more: str = "", **files: str
) -> Case:
    named = {name.replace("__", "."): text for name, text in files.items()}
    return Case(
        backend="setuptools.build_meta",
        requires=("setuptools>=61",),
        files={
            "setup.py": _SETUP.format(options=options, more=more),
            "_fast.c": _C.format(code=code, calls=calls),
            "app/__init__.py": "",
            **named,
        },
    )


def _cmake(
    *lines: str,
    versions: str = "3.18",
    languages: str = "C",
    requires: tuple[str, ...] = (),
    calls: str = "",
    modules: tuple[str, ...] = (_NAME,),
    **files: str,
) -> Case:
    head = (f"cmake_minimum_required(VERSION {versions})", f"project(app LANGUAGES {languages})")
    code = "int two(void);" if calls else ""
    return Case(
        backend="scikit_build_core.build",
        requires=("scikit-build-core", *requires),
        files={
            "CMakeLists.txt": "\n".join((*head, *lines, "")),
            "_fast.c": _C.format(code=code, calls=calls),
            "_fast.cpp": _CPP,
            "src/app/__init__.py": "",
            **{name.replace("__", "."): text for name, text in files.items()},
        },
        modules=modules,
    )


def _meson(
    *lines: str,
    languages: str = "'c'",
    requires: tuple[str, ...] = (),
    code: str = "",
    calls: str = "",
    modules: tuple[str, ...] = (_NAME,),
    **files: str,
) -> Case:
    head = (
        f"project('app', {languages}, version: '1.0')",
        "py = import('python').find_installation(pure: false)",
    )
    return Case(
        backend="mesonpy",
        requires=("meson-python", *requires),
        files={
            "meson.build": "\n".join((*head, *lines, "")),
            "_fast.c": _C.format(code=code, calls=calls),
            "_fast.cpp": _CPP,
            **{name.replace("__", "."): text for name, text in files.items()},
        },
        modules=modules,
    )


def _find(kind: str, components: str) -> str:
    return f"find_package({kind} REQUIRED COMPONENTS Interpreter {components})"


_MODULE = "Python_add_library(_fast MODULE WITH_SOABI _fast.c)"
_INSTALL = "install(TARGETS _fast DESTINATION app)"
_EXTENSION = "py.extension_module('_fast', '_fast.c', install: true"

_CASES = {
    "setuptools": _setuptools(),
    "setuptools, -march=native": _setuptools(
        "extra_compile_args=['-march=native', '-mtune=native', '-O3', '-flto']"
    ),
    "setuptools, libraries beside the module": _setuptools("runtime_library_dirs=['$ORIGIN/lib']"),
    "setuptools, a static library": _setuptools(
        code="int two(void);",
        calls="two();",
        more="libraries=[('two', {'sources': ['two.c']})]",
        two__c=_TWO,
    ),
    "setuptools, OpenMP": _setuptools(
        "extra_compile_args=['-fopenmp'], extra_link_args=['-fopenmp']",
        code=_SUM,
        calls="sum(3);",
    ),
    "setuptools, a standard of C++ for C": _setuptools("extra_compile_args=['-std=c++17']"),
    "setuptools, Cython and C++": Case(
        backend="setuptools.build_meta",
        requires=("setuptools>=61", "cython>=3"),
        files={
            "setup.py": _CYTHON,
            "_fast.pyx": "from libcpp.string cimport string\n\n"
            "def length(text):\n    cdef string kept = text\n    return kept.size()\n",
            "app/__init__.py": "",
        },
    ),
    "setuptools, cffi": Case(
        backend="setuptools.build_meta",
        requires=("setuptools>=61", "cffi>=1.15"),
        files={
            "setup.py": "from setuptools import setup\n\n"
            "setup(packages=['app'], cffi_modules=['build_fast.py:builder'])\n",
            "build_fast.py": "from cffi import FFI\n\nbuilder = FFI()\n"
            "builder.cdef('int two(void);')\n"
            f"builder.set_source('app._fast', {_TWO!r})\n",
            "app/__init__.py": "",
        },
        modules=("_fast.abi3.so",),
    ),
    "hatchling": Case(
        backend="hatchling.build",
        requires=("hatchling", "setuptools>=61"),
        files={
            "pyproject.toml": "[tool.hatch.build.targets.wheel.hooks.custom]\n"
            '[tool.hatch.build.targets.wheel]\npackages = ["app"]\nartifacts = ["app/*.so"]\n',
            "hatch_build.py": _HATCH_HOOK,
            "_fast.c": _C.format(code="", calls=""),
            "app/__init__.py": "",
        },
    ),
    "CMake": _cmake(_find("Python", "Development.Module"), _MODULE, _INSTALL),
    "CMake 4": _cmake(
        _find("Python", "Development.Module"), _MODULE, _INSTALL, requires=("cmake>=4", "ninja")
    ),
    # Policy CMP0190 is about Python in builds for other machines.
    "CMake 4 with its policies": _cmake(
        _find("Python", "Development"),
        _MODULE,
        _INSTALL,
        versions="3.18...4.1",
        requires=("cmake>=4.1", "ninja"),
    ),
    "CMake, Python3": _cmake(
        _find("Python3", "Development.Module"), _MODULE.replace("Python_", "Python3_"), _INSTALL
    ),
    "CMake, all of Python": _cmake(
        _find("Python", "Development"),
        _MODULE,
        "target_link_libraries(_fast PRIVATE Python::Python)",
        _INSTALL,
    ),
    "CMake, the stable ABI": _cmake(
        _find("Python", "Development.SABIModule"),
        "Python_add_library(_fast MODULE USE_SABI 3.10 WITH_SOABI _fast.c)",
        _INSTALL,
        modules=("_fast.abi3.so",),
    ),
    "CMake, PythonLibs": _cmake(
        "if(POLICY CMP0148)\ncmake_policy(SET CMP0148 OLD)\nendif()",
        "find_package(PythonInterp REQUIRED)",
        "find_package(PythonLibs REQUIRED)",
        "include_directories(${PYTHON_INCLUDE_DIRS})",
        "add_library(_fast MODULE _fast.c)",
        "target_link_libraries(_fast ${PYTHON_LIBRARIES})",
        'set_target_properties(_fast PROPERTIES PREFIX "")',
        _INSTALL,
        modules=("_fast.so",),
    ),
    "CMake, pybind11": _cmake(
        "set(PYBIND11_FINDPYTHON ON)",
        "find_package(pybind11 CONFIG REQUIRED)",
        "pybind11_add_module(_fast _fast.cpp)",
        _INSTALL,
        languages="CXX",
        requires=("pybind11",),
    ),
    "CMake, assembly": _cmake(
        _find("Python", "Development.Module"),
        _MODULE.replace("_fast.c", "_fast.c two.S"),
        _INSTALL,
        languages="C ASM",
        calls="two();",
        two__S=_ASSEMBLY,
    ),
    "CMake, a shared library": _cmake(
        _find("Python", "Development.Module"),
        "add_library(two SHARED two.c)",
        _MODULE,
        "target_link_libraries(_fast PRIVATE two)",
        "set_target_properties(_fast PROPERTIES INSTALL_RPATH $ORIGIN)",
        "install(TARGETS _fast two DESTINATION app)",
        calls="two();",
        modules=(_NAME, "libtwo.so"),
        two__c=_TWO,
    ),
    "meson": _meson(f"{_EXTENSION})"),
    "meson, the stable ABI": _meson(
        f"{_EXTENSION}, limited_api: '3.10')", modules=("_fast.abi3.so",)
    ),
    "meson, libraries of glibc": _meson(
        "needed = [dependency('threads'), dependency('dl')]",
        f"{_EXTENSION}, dependencies: needed)",
    ),
    "meson, numpy": _meson(
        f"{_EXTENSION}, dependencies: dependency('numpy'))",
        requires=("numpy",),
        code="#include <numpy/arrayobject.h>",
    ),
    "meson, pybind11": _meson(
        f"{_EXTENSION}, dependencies: dependency('pybind11'))".replace("_fast.c", "_fast.cpp"),
        languages="'cpp'",
        requires=("pybind11",),
    ),
    "meson, a shared library": _meson(
        "two = shared_library('two', 'two.c', install: true, install_dir: py.get_install_dir())",
        f"{_EXTENSION}, link_with: two, install_rpath: '$ORIGIN')",
        code="int two(void);",
        calls="two();",
        modules=(_NAME, "libtwo.so"),
        two__c=_TWO,
    ),
}
_EACH_TIME = {"setuptools, OpenMP", "CMake", "meson"}
"""What is built by `make test`; all others are built each night."""

_FAILURES = {
    "a symbol of no library": (
        _setuptools(code="int nowhere(void);", calls="nowhere();"),
        "lacks `nowhere`, which none of its libraries has",
    ),
    "OpenMP's header": (_setuptools(code="#include <omp.h>"), "it cannot find `omp.h`"),
    "a header": (_setuptools(code="#include <zlib.h>"), "it cannot find `zlib.h`"),
    "a library": (_setuptools("libraries=['z']"), "it cannot find `z`"),
    "CMake, a library": (
        _cmake("find_package(ZLIB REQUIRED)"),
        "it cannot find `ZLIB`",
    ),
    "CMake, a program for the target": (
        _cmake(
            _find("Python", "Development.Module"),
            "add_executable(generate generate.c)",
            "add_custom_command(OUTPUT two.c COMMAND generate > two.c)",
            _MODULE.replace("_fast.c", "_fast.c ${CMAKE_CURRENT_BINARY_DIR}/two.c"),
            generate__c="int main(void) { return 0; }\n",
        ),
        "it runs a program that it has compiled",
    ),
    "CMake, Fortran": (
        _cmake(
            _find("Python", "Development.Module"),
            _MODULE.replace("_fast.c", "_fast.c two.f90"),
            languages="C Fortran",
            two__f90=_FORTRAN,
        ),
        "it calls `gfortran`, and zig compiles only C and C++",
    ),
    "meson, a package": (_meson("dependency('cairo')"), "it cannot find `cairo`"),
    "meson, a library": (
        _meson("meson.get_compiler('c').find_library('z')"),
        "it cannot find `z`",
    ),
    "meson, Fortran": (
        _meson(languages="'c', 'fortran'"),
        "it calls `gfortran`, and zig compiles only C and C++",
    ),
    "meson, a program for the target": (
        _meson("meson.get_compiler('c').run('int main(void) { return 0; }')"),
        "it runs a program that it has compiled",
    ),
}


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the developer's environment with zig and uv in reach."""
    folders = (str(zig_folder()), str(Path(sys.executable).parent), os.environ["PATH"])
    cache = a_cache(tmp_path_factory.mktemp("cross-builds") / "cache")
    path = os.pathsep.join(folders)
    return {**os.environ, "PATH": path, "LAMBDA_BUILD_CACHE_DIR": str(cache)}


def _write(case: Case, project: Path) -> Path:
    head = _PYPROJECT.format(requires=json.dumps(case.requires), backend=case.backend)
    tail = case.files.get("pyproject.toml", "")
    own = {"pyproject.toml": head + tail, "requirements.txt": ""}
    for name, text in {**case.files, **own}.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return project


def _build(case: Case, folder: Path, environ: Mapping[str, str]) -> Run:
    project = _write(case, folder / "my app")
    runtime = "python{}.{}".format(*sys.version_info)
    return run_lambda_build(
        *("--json", "--contents", "project", "--runtime", runtime, "--arch", _OTHER),
        cwd=project,
        environ=environ,
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in _EACH_TIME else pytest.mark.nightly)
        for name in _CASES
    ],
)
def test_build_for_the_other_architecture(
    tmp_path: Path, environ: dict[str, str], name: str
) -> None:
    """The files have the target's machine and file names, and lack nothing but Python."""
    case = _CASES[name]

    run = _build(case, tmp_path, environ)

    assert run.code == 0, run.errors
    with zipfile.ZipFile(json.loads(run.output)["artifact"]) as archive:
        files = {
            Path(each).name: archive.read(each) for each in archive.namelist() if ".so" in each
        }
    assert sorted(files) == sorted(case.modules)
    defined = frozenset().union(*(read_symbols(data).defined for data in files.values()))
    for data in files.values():
        assert ELFFile(io.BytesIO(data))["e_machine"] == _ELF_MACHINE
        lacking = read_symbols(data).lacking - defined
        assert {each for each in lacking if not each.startswith(("Py", "_Py"))} == set()
        assert str(tmp_path).encode() not in data


def test_packages_of_this_machine_are_not_found(tmp_path: Path, environ: dict[str, str]) -> None:
    """CMake searches packages beside each folder of PATH, but these are not for the target."""
    package = tmp_path / "prefix/lib/cmake/Here/HereConfig.cmake"
    package.parent.mkdir(parents=True)
    package.write_text("message(FATAL_ERROR of-this-machine)\n", encoding="utf-8")
    programs = tmp_path / "prefix/bin"
    programs.mkdir()
    path = os.pathsep.join((str(programs), environ["PATH"]))
    case = _cmake(
        _find("Python", "Development.Module"), "find_package(Here CONFIG)", _MODULE, _INSTALL
    )

    run = _build(case, tmp_path, {**environ, "PATH": path})

    assert run.code == 0, run.errors


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "a symbol of no library" else pytest.mark.nightly)
        for name in _FAILURES
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, environ: dict[str, str], name: str) -> None:
    """What cannot be built says why in its first line, and what else there is."""
    case, expected = _FAILURES[name]

    run = _build(case, tmp_path, environ)

    assert run.code == 6
    assert expected in run.errors
    assert "`include-local`" in run.errors
    assert not (tmp_path / "my app" / "dist").exists()


@pytest.mark.nightly
def test_what_is_for_an_older_cmake(tmp_path: Path, environ: dict[str, str]) -> None:
    """The variable that CMake itself names reaches it; without it, the error says what to do."""
    case = _cmake(
        _find("Python", "Development.Module"),
        _MODULE,
        _INSTALL,
        versions="2.8",
        requires=("cmake>=4", "ninja"),
    )

    refused = _build(case, tmp_path / "refused", environ)
    built = _build(case, tmp_path / "built", {**environ, "CMAKE_POLICY_VERSION_MINIMUM": "3.18"})

    assert refused.code == 6
    assert "its CMakeLists.txt is for a CMake older than 3.5" in refused.errors
    assert "raise the version in `cmake_minimum_required`" in refused.errors
    assert built.code == 0, built.errors


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name",
    [
        "setuptools, a static library",
        "setuptools, Cython and C++",
        "setuptools, cffi",
        "hatchling",
        "CMake, pybind11",
        "CMake 4 with its policies",
        "CMake, a shared library",
        "meson, pybind11",
        "meson, a shared library",
    ],
)
def test_folders_and_pythons_leave_no_trace(
    tmp_path: Path, environ: dict[str, str], name: str
) -> None:
    """Debian's Python and pyenv's, each in a folder of its own, give the same wheel."""
    python = sys.version_info[:2]
    found = find_interpreters(python, environ=environ, home=Path.home())
    pythons = [Interpreter.running(), *(each for each in found if each.loads_like(python))]
    wheels = []
    for number, each in enumerate({each.path.resolve(): each for each in pythons}.values()):
        if not (include_of(each) / "Python.h").is_file():
            continue
        for folder in ("one", "another, and longer"):
            place = tmp_path / f"{number} {folder}"
            project = read_project(_write(_CASES[name], place / "app"))
            context = BuildContext(
                target=Target(
                    runtime=RUNTIMES["python{}.{}".format(*python)],
                    architecture=Architecture(_OTHER),
                ),
                folder=place,
                cache=Cache(Path(environ["LAMBDA_BUILD_CACHE_DIR"])),
                home=Path.home(),
                environ=environ,
                offline=False,
                reporter=Reporter(),
            )
            context.__dict__["interpreter"] = each  # in place of the one that would be found
            wheels.append(Path(build_project(project, context).path).read_bytes())

    assert len(wheels) > 1
    assert set(wheels) == {wheels[0]}
