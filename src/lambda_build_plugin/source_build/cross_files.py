"""Write the files with which build backends compile for another machine.

No backend has one switch for that, so each is told in the way that it knows:

- `cc`, `c++`, `ar` and their kind are small programs in a folder that comes first on PATH, and
  the variables CC, CXX and so on name them.
- `sysconfig` of the backend's Python answers as the target's Python would: setuptools, and all
  that asks Python about file names and flags, read them there.
- `configure` scripts read a file of defaults
  (https://www.gnu.org/software/autoconf/manual/autoconf-2.72/html_node/Site-Defaults.html),
- CMake reads a toolchain file (https://cmake.org/cmake/help/latest/manual/cmake-toolchains.7.html),
- meson a cross file (https://mesonbuild.com/Cross-compilation.html),
- and cargo variables with the linker of each target.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.source_build import zig_driver
from lambda_build_plugin.source_build.errors import NOT_COMPILED
from lambda_build_plugin.system.interpreters import without_python_variables
from lambda_build_plugin.system.processes import finished

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambda_build_plugin.source_build.cross import CrossCompiler
    from lambda_build_plugin.system.interpreters import Interpreter

__all__ = ["FLAG_VARIABLES", "CrossFiles", "write_cross_files"]

_PROGRAMS = {
    "cc": ("cc", "clang", "gcc"),
    "c++": ("c++", "clang++", "g++"),
    "ar": ("ar", "gcc-ar", "llvm-ar"),
    "ranlib": ("gcc-ranlib", "llvm-ranlib", "ranlib"),
}
"""The names under which builds look for each of zig's tools."""

_PROBE = """\
import json, sysconfig
names = ("include", "platinclude")
print(json.dumps({
    "folders": [sysconfig.get_path(name) for name in names]
    + [sysconfig.get_config_var(name) or "" for name in ("INCLUDEPY", "CONFINCLUDEPY")],
    "config": sysconfig.get_config_h_filename(),
    "multiarch": sysconfig.get_config_var("MULTIARCH") or "",
}))
"""
"""Asks a Python where its headers are."""

FLAG_VARIABLES = frozenset(
    {
        *("ARCHFLAGS", "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS"),
        # Clang reads these itself, and finds the headers and libraries of this machine.
        *("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH"),
        *("CCC_OVERRIDE_OPTIONS", "ZIG_LIB_DIR"),
        # `-C target-cpu=native` would be this machine's processor.
        *("CARGO_BUILD_RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS"),
        *("CMAKE_INCLUDE_PATH", "CMAKE_LIBRARY_PATH", "CMAKE_PREFIX_PATH"),
    }
)
"""Variables with flags and folders for the compilers of this machine, which are not passed on."""

_TARGETED = "_lambda_build_target"
"""The module that lets a backend's Python answer as the target's, and its `.pth` file."""

_SYSCONFIG_DATA = "_sysconfigdata_lambda_build"

_UNABLE = ("f77", "f95", "flang", "gfortran", "ifort", "ifx", "nvcc")
"""Compilers of languages that zig does not know; those of this machine are not for the target."""

_PKG_CONFIG = """\
case "$1" in
--version) echo 0.29.2 ;;
--atleast-pkgconfig-version*) ;;
*) for name; do :; done; echo "Package '${name%% *}' not found" >&2; exit 1 ;;
esac
"""
"""Knows no package: the libraries of this machine are not those of the target."""

_EMULATOR = "run-for-target"
"""Runs programs as they are. CMake 4.1 and later ask only what this runs about Python (policy
CMP0190), and the Python of the build does run here, and answers as the target's would. What a
build compiles and runs through it fails, and says why, unless the target is such a machine."""

_EMPTY_ARCHIVE = b"!<arch>\n"

_FLAGS = "-Wall -DNDEBUG -fwrapv -O3"
"""What CPython is compiled with, whatever the flags of the Python here are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFiles:
    """What a backend needs to compile for another machine."""

    variables: Mapping[str, str]
    programs: Path
    """The folder of the compilers, to be put first on PATH."""

    modules: Mapping[str, str]
    """Files for the site-packages of the backend's Python: their names and contents."""

    meson_arguments: tuple[str, ...]
    """Arguments of `meson setup`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Python:
    """What stands in for the files of the target's Python."""

    include: Path
    config: Path
    """The program `python3.X-config`."""

    library: Path
    soabi: str


def write_cross_files(
    compiler: CrossCompiler, interpreter: Interpreter, folder: Path, hidden: Sequence[Path]
) -> CrossFiles:
    """Write the files for one build.

    Args:
        compiler: What compiles, and for what.
        interpreter: The Python that runs the backend, whose headers are used.
        folder: Where to write, for this build alone, beside the environment of its backend.
        hidden: Folders whose names must not get into the result.

    Raises:
        OSError: They cannot be written.
    """
    headers = _headers(interpreter, folder / "include")
    plan = {
        "zig": str(compiler.zig),
        "target": compiler.triple,
        "cpu": compiler.cpu,
        "headers": headers,
        "hidden": [str(path) for path in (*hidden, folder)],
    }
    plan_file = folder / "plan.json"
    plan_file.write_text(json.dumps(plan), encoding="utf-8")
    programs = _write_programs(folder / "programs", interpreter, plan_file)
    toolchain, cross_file = folder / "toolchain.cmake", folder / "cross.ini"
    soabi = _soabi(compiler, interpreter)
    python = _Python(
        include=folder / "include",
        config=_write_python_config(programs, compiler, interpreter, soabi),
        library=folder / f"lib{_name(interpreter)}.a",
        soabi=soabi,
    )
    # Modules get Python's functions from the process that loads them, so this is all they link.
    python.library.write_bytes(_EMPTY_ARCHIVE)
    toolchain.write_text(_cmake(compiler, programs, python, folder.parent), encoding="utf-8")
    cross_file.write_text(_meson(compiler, programs), encoding="utf-8")
    site = folder / "config.site"
    site.write_text(_config_site(compiler), encoding="utf-8")
    return CrossFiles(
        variables={
            **_variables(compiler, programs, toolchain),
            "CONFIG_SITE": str(site),
            # What is compiled for one build has its folder among the options, so that no other
            # finds it: only zig's own libraries are kept.
            "ZIG_LOCAL_CACHE_DIR": str(folder / "objects"),
        },
        programs=programs,
        modules=_modules(compiler, programs, folder / "include", soabi),
        meson_arguments=(f"--cross-file={cross_file}",),
    )


def _headers(interpreter: Interpreter, folder: Path) -> dict[str, str]:
    """Copy the headers of a Python; return the folders that they stand for.

    Debian has a `pyconfig.h` for each architecture, and one that includes that of the target's,
    which need not be installed here.
    """
    command = [str(interpreter.path), "-I", "-S", "-c", _PROBE]
    answer = finished(command, environ=without_python_variables(os.environ))
    folder.mkdir()
    try:
        found = json.loads(answer.stdout)
        # Debian links packages' headers here, which may be gone.
        shutil.copytree(
            found["folders"][0], folder, ignore_dangling_symlinks=True, dirs_exist_ok=True
        )
        shutil.copyfile(_config(Path(found["config"]), found["multiarch"]), folder / "pyconfig.h")
    except (OSError, ValueError, shutil.Error):
        return {}  # there are none here: the compiler says that Python.h is missing
    return {os.path.normpath(name): str(folder) for name in found["folders"] if name}


def _config(path: Path, multiarch: str) -> Path:
    """Return the `pyconfig.h` that says something itself."""
    own = path.parent.parent / multiarch / path.parent.name / path.name
    return own if multiarch and own.is_file() else path


def _write_programs(folder: Path, interpreter: Interpreter, plan: Path) -> Path:
    folder.mkdir()
    driver = str(Path(zig_driver.__file__))
    for tool, names in _PROGRAMS.items():
        command = shlex.join([str(interpreter.path), "-I", "-S", driver, str(plan), tool])
        for name in names:
            _write_script(folder / name, f'exec {command} "$@"\n')
    for name in _UNABLE:
        _write_script(folder / name, f'echo "{NOT_COMPILED}: $(basename "$0")" >&2\nexit 1\n')
    _write_script(folder / "pkg-config", _PKG_CONFIG)
    _write_script(folder / _EMULATOR, 'exec "$@"\n')
    return folder


def _write_python_config(
    folder: Path, compiler: CrossCompiler, interpreter: Interpreter, soabi: str
) -> Path:
    """Write the program that CMake and configure scripts ask about the target's Python.

    That of the Python here would answer for this machine.
    """
    root = folder.parent
    answers = {
        "--abiflags": "",
        "--cflags": f"-I{root / 'include'}",
        "--configdir": str(root / f"{compiler.machine}-linux-gnu"),
        "--exec-prefix": str(root),
        "--extension-suffix": f".{soabi}.so",
        "--includes": f"-I{root / 'include'}",
        "--prefix": str(root),
    }
    cases = "".join(f"{name}) echo {shlex.quote(text)} ;;\n" for name, text in answers.items())
    script = f'for option in "$@"; do\ncase "$option" in\n{cases}esac\ndone\n'
    for name in ("python", "python3", _name(interpreter)):
        _write_script(folder / f"{name}-config", script)
    return folder / f"{_name(interpreter)}-config"


def _write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(0o755)


def _variables(compiler: CrossCompiler, programs: Path, toolchain: Path) -> dict[str, str]:
    def program(name: str) -> str:
        return shlex.quote(str(programs / name))

    rust = f"{compiler.machine}-unknown-linux-gnu"
    linker = f"CARGO_TARGET_{rust.upper().replace('-', '_')}_LINKER"
    return {
        "CC": program("cc"),
        "CXX": program("c++"),
        "CPP": f"{program('cc')} -E",
        "LDSHARED": f"{program('cc')} -shared",
        "LDCXXSHARED": f"{program('c++')} -shared",
        "AR": program("ar"),
        "RANLIB": program("ranlib"),
        "_PYTHON_HOST_PLATFORM": f"linux-{compiler.machine}",
        "_PYTHON_SYSCONFIGDATA_NAME": _SYSCONFIG_DATA,
        "CMAKE_TOOLCHAIN_FILE": str(toolchain),
        "PKG_CONFIG": program("pkg-config"),
        "CARGO_BUILD_TARGET": rust,
        linker: str(programs / "cc"),
        "ZIG_GLOBAL_CACHE_DIR": str(compiler.cache),
        # `__DATE__` and archives have a date; 1980 is the first that a zip can have.
        "SOURCE_DATE_EPOCH": "315532800",
        "ZERO_AR_DATE": "1",
    }


# --- Python ---------------------------------------------------------------------------


def _name(interpreter: Interpreter) -> str:
    """Return what programs and libraries of a Python are called: `python3.13`."""
    return "python{}.{}".format(*interpreter.version.split("."))


def _soabi(compiler: CrossCompiler, interpreter: Interpreter) -> str:
    """Return what the file names of the target's extension modules contain (PEP 3149)."""
    major, minor = interpreter.version.split(".")[:2]
    return f"cpython-{major}{minor}-{compiler.machine}-linux-gnu"


def _modules(compiler: CrossCompiler, programs: Path, include: Path, soabi: str) -> dict[str, str]:
    cc, cxx = (shlex.quote(str(programs / name)) for name in ("cc", "c++"))
    values = {
        "AR": shlex.quote(str(programs / "ar")),
        "ARFLAGS": "rcs",
        **dict.fromkeys(("BASECFLAGS", "CONFIGURE_CFLAGS", "CONFIGURE_CPPFLAGS"), ""),
        **dict.fromkeys(("CONFIGURE_LDFLAGS", "CPPFLAGS", "LDFLAGS", "PY_CPPFLAGS"), ""),
        **dict.fromkeys(("PY_LDFLAGS", "CFLAGSFORSHARED", "EXTRA_CFLAGS", "LIBDIR"), ""),
        "BLDSHARED": f"{cc} -shared",
        "CC": cc,
        "CCSHARED": "-fPIC",
        "CFLAGS": _FLAGS,
        "CXX": cxx,
        "EXT_SUFFIX": f".{soabi}.so",
        "HOST_GNU_TYPE": f"{compiler.machine}-unknown-linux-gnu",
        "INCLUDEPY": str(include),
        "CONFINCLUDEPY": str(include),
        "LDCXXSHARED": f"{cxx} -shared",
        "LDSHARED": f"{cc} -shared",
        "LINKCC": cc,
        "MULTIARCH": f"{compiler.machine}-linux-gnu",
        "OPT": _FLAGS,
        "PY_CFLAGS": _FLAGS,
        "Py_ENABLE_SHARED": 0,
        "RANLIB": shlex.quote(str(programs / "ranlib")),
        "SHLIB_SUFFIX": ".so",
        "SOABI": soabi,
    }
    return {
        f"{_SYSCONFIG_DATA}.py": _SYSCONFIG_DATA_CODE.format(values=values),
        f"{_TARGETED}.py": _TARGETED_CODE.format(machine=compiler.machine),
        f"{_TARGETED}.pth": f"import {_TARGETED}\n",
    }


_SYSCONFIG_DATA_CODE = '''\
"""What `sysconfig` knows of the target\'s Python: that of this one, with some values changed."""

import importlib
import sys

_own = "_sysconfigdata_{{}}_{{}}_{{}}".format(
    getattr(sys, "abiflags", ""), sys.platform, getattr(sys.implementation, "_multiarch", "")
)
build_time_vars = dict(importlib.import_module(_own).build_time_vars)
build_time_vars.update({values!r})
'''
"""Source: `sysconfig` loads the module that `_PYTHON_SYSCONFIGDATA_NAME` names."""

_TARGETED_CODE = '''\
"""Let the programs of a backend see the architecture of the target, but no installer."""

import os

if os.environ.get("_PYTHON_SYSCONFIGDATA_NAME") == "_sysconfigdata_lambda_build":
    _own = os.uname()

    def uname():
        return os.uname_result((*_own[:4], {machine!r}))

    os.uname = uname
'''


# --- CMake, meson and configure scripts -----------------------------------------------


def _cmake(compiler: CrossCompiler, programs: Path, python: _Python, scratch: Path) -> str:
    # `Python_SOABI` is overwritten when CMake compiles for another machine. What it then asks,
    # if it finds it, is this program; the variables with its path are not documented (the second
    # is that of CMake 4).
    artifacts = {
        "INCLUDE_DIR": python.include,
        "LIBRARY": python.library,
        "SOABI": python.soabi,
    }
    lines = [
        "set(CMAKE_SYSTEM_NAME Linux)",
        f"set(CMAKE_SYSTEM_PROCESSOR {compiler.machine})",
        f'set(CMAKE_C_COMPILER "{programs / "cc"}")',
        f'set(CMAKE_CXX_COMPILER "{programs / "c++"}")',
        f'set(CMAKE_Fortran_COMPILER "{programs / "gfortran"}")',
        f'set(CMAKE_CROSSCOMPILING_EMULATOR "{programs / _EMULATOR}")',
        *(
            f'set(CMAKE_{language}{name} "{programs / tool}" CACHE FILEPATH "" FORCE)'
            for language in ("", "C_COMPILER_", "CXX_COMPILER_")
            for name, tool in (("AR", "ar"), ("RANLIB", "ranlib"))
        ),
        # Otherwise the folders of libraries are changed while installing, and we allow few of them.
        "set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)",
        # Programs come from this machine, libraries and headers from the build requirements.
        "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)",
        "set(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH FALSE)",
        "set(CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH TRUE)",
        # Packages are also searched beside PATH's folders of programs, such as /usr/bin.
        'string(REPLACE ":" ";" _lambda_build_path "$ENV{PATH}")',
        "foreach(_lambda_build_folder IN LISTS _lambda_build_path)",
        f'  string(FIND "${{_lambda_build_folder}}/" "{scratch}/" _lambda_build_place)',
        "  if(NOT _lambda_build_place EQUAL 0)",
        '    get_filename_component(_lambda_build_prefix "${_lambda_build_folder}" DIRECTORY)',
        '    list(APPEND CMAKE_SYSTEM_IGNORE_PREFIX_PATH "${_lambda_build_prefix}")',
        "  endif()",
        "endforeach()",
        *(
            f'set({name}_{key} "{value}" CACHE STRING "" FORCE)'
            for name in ("Python", "Python3", "PYTHON")
            for key, value in artifacts.items()
        ),
        *(
            f'set(_{name}_{key} "{python.config}" CACHE INTERNAL "")'
            for name in ("Python", "Python3")
            for key in ("CONFIG", "CONFIG_LAUNCHER")
        ),
    ]
    return "\n".join((*lines, ""))


def _config_site(compiler: CrossCompiler) -> str:
    """Let `configure` scripts know that what they compile does not run here.

    They learn it from `--host`, which build scripts for the same machine do not pass. What they
    would try out, and then assume the worst of, is what glibc does.
    """
    if os.uname().machine == compiler.machine:
        return ""
    return f"""\
if test -z "$host_alias"; then
    host_alias={compiler.machine}-linux-gnu
    cross_compiling=yes
    ac_cv_func_malloc_0_nonnull=yes
    ac_cv_func_realloc_0_nonnull=yes
fi
"""


def _meson(compiler: CrossCompiler, programs: Path) -> str:
    here = os.uname().machine == compiler.machine
    long_double = "IEEE_QUAD_LE" if compiler.machine == "aarch64" else "INTEL_EXTENDED_16_BYTES_LE"
    return f"""\
[binaries]
c = '{programs / "cc"}'
cpp = '{programs / "c++"}'
ar = '{programs / "ar"}'
ranlib = '{programs / "ranlib"}'
fortran = '{programs / "gfortran"}'
pkg-config = '{programs / "pkg-config"}'
numpy-config = 'numpy-config'
pybind11-config = 'pybind11-config'

[host_machine]
system = 'linux'
cpu_family = '{compiler.machine}'
cpu = '{compiler.machine}'
endian = 'little'

[properties]
needs_exe_wrapper = {"false" if here else "true"}
longdouble_format = '{long_double}'
"""
