"""C sources for another machine and an older glibc, compiled with a real zig."""

from __future__ import annotations

import ctypes
import io
import json
import os
import platform
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from fakes.hosts import host
from fakes.projects import a_project, run_lambda_build
from fakes.wheels import an_sdist

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

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
"""
_SETUP = """\
from setuptools import Extension, setup

setup(
    name="fast",
    version="1.0",
    py_modules=["fast"],
    ext_modules=[Extension("_fast", ["_fast.c"], libraries={libraries})],
)
"""
_C = """\
#include <Python.h>
#include <math.h>

#ifndef NDEBUG
#error "without the flags of CPython"
#endif

const char *where(void) { return __FILE__ " " __DATE__; }
double root(double value) { return sqrt(value); }

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, NULL};

PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
"""


@pytest.fixture(scope="session")
def zig_folder() -> Path:
    """Return the folder of a zig that the lock of the tests names."""
    tool = host("ziglang", "ziglang>=0.13", with_plugin=False)
    (package,) = tool.folder.glob("lib/python*/site-packages/ziglang")
    return package


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache for all tests: zig compiles its own libraries once for each target."""
    return tmp_path_factory.mktemp("cache")


def environment(cache: Path, zig_folder: Path | None) -> Mapping[str, str]:
    """Give the developer's environment, with uv in reach, and zig if it is to be found."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    if zig_folder is not None:
        folders.insert(0, str(zig_folder))
    path = os.pathsep.join(folders)
    return {**os.environ, "PATH": path, "LAMBDA_BUILD_CACHE_DIR": str(cache)}


def build(
    folder: Path, environ: Mapping[str, str], *arguments: str, libraries: tuple[str, ...] = ("m",)
) -> Run:
    """Build a project that needs an sdist with an extension in C."""
    files = {
        "pyproject.toml": _PYPROJECT,
        "setup.py": _SETUP.format(libraries=list(libraries)),
        "_fast.c": _C,
        "fast.py": "",
    }
    sdist = an_sdist("fast", "1.0", files=files)
    sdist.write_to(folder)
    project = a_project(folder / "demo", dependencies=("fast",))
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    (project / "requirements.txt").write_text(line, encoding="utf-8")
    return run_lambda_build("--json", *arguments, cwd=project, environ=environ)


def extension_in(artifact: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the extension module in a zip."""
    with zipfile.ZipFile(artifact) as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("_fast.")]
        return name, archive.read(name)


def test_an_extension_is_compiled_for_the_other_architecture(
    tmp_path: Path, cache: Path, zig_folder: Path
) -> None:
    """The module has the machine and the file name of the target, and the report says who."""
    run = build(tmp_path, environment(cache, zig_folder), "--runtime", _RUNTIME, "--arch", _OTHER)

    assert run.code == 0, run.errors
    report = json.loads(run.output)
    name, data = extension_in(report["artifact"])
    assert ELFFile(io.BytesIO(data))["e_machine"] == _MACHINES[_OTHER]
    assert "aarch64-linux-gnu" in name or "x86_64-linux-gnu" in name
    assert platform.machine() not in name
    (package,) = [package for package in report["packages"] if package["name"] == "fast"]
    assert package["compiled_by"].startswith("zig ")


def test_the_bytes_do_not_name_the_build(tmp_path: Path, cache: Path, zig_folder: Path) -> None:
    """Two builds in two folders, without a common cache of wheels, give the same module."""
    environ = {**environment(cache, zig_folder), "CFLAGS": "-DUNKNOWN -g", "TZ": "Asia/Tokyo"}
    first = tmp_path / "first"
    first.mkdir()
    second = tmp_path / "a second folder"
    second.mkdir()
    target = ("--runtime", _RUNTIME, "--arch", _OTHER)

    other_cache = tmp_path / "cache"
    other_cache.mkdir()
    (other_cache / "zig").symlink_to(cache / "zig")  # its own libraries take long to compile

    runs = [
        build(first, environment(cache, zig_folder), *target),
        build(second, {**environ, "LAMBDA_BUILD_CACHE_DIR": str(other_cache)}, *target),
    ]

    modules = [extension_in(json.loads(run.output)["artifact"])[1] for run in runs]
    assert modules[0] == modules[1]
    assert str(tmp_path).encode() not in modules[0]


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "aarch64"}, reason="not an architecture of Lambda"
)
def test_an_extension_for_this_machine_is_loaded(
    tmp_path: Path, cache: Path, zig_folder: Path
) -> None:
    """With `always`, zig compiles for this machine's own architecture, and the module works."""
    own = "x86_64" if platform.machine() == "x86_64" else "arm64"

    run = build(
        tmp_path,
        environment(cache, zig_folder),
        *("--runtime", _RUNTIME, "--arch", own, "--cross-compile", "always"),
    )

    assert run.code == 0, run.errors
    name, data = extension_in(json.loads(run.output)["artifact"])
    module = tmp_path / name
    module.write_bytes(data)
    library = ctypes.PyDLL(str(module))
    library.root.restype, library.root.argtypes = ctypes.c_double, [ctypes.c_double]
    assert library.root(6.25) == 2.5


def test_a_library_of_this_machine_is_not_linked(
    tmp_path: Path, cache: Path, zig_folder: Path
) -> None:
    """A library that only the system has cannot be had; the message names it and a way out."""
    run = build(
        tmp_path,
        environment(cache, zig_folder),
        *("--runtime", _RUNTIME, "--arch", _OTHER),
        libraries=("pq",),
    )

    assert run.code == 6
    assert "cannot find `pq`" in run.errors
    assert "`include-local`" in run.errors


def test_without_zig_the_extra_is_named(tmp_path: Path, cache: Path) -> None:
    """Where there is no zig, the error says what to install."""
    run = build(tmp_path, environment(cache, None), "--runtime", _RUNTIME, "--arch", _OTHER)

    assert run.code == 6
    assert "install `lambda-build-plugin[cross]`" in run.errors


def test_never_compiles_as_before(tmp_path: Path, cache: Path, zig_folder: Path) -> None:
    """With `never`, zig is not used although it is there."""
    run = build(
        tmp_path,
        environment(cache, zig_folder),
        *("--runtime", _RUNTIME, "--arch", _OTHER, "--cross-compile", "never"),
    )

    assert run.code == 6
    assert "zig" not in run.errors.partition("hint:")[0]


def test_always_needs_zig(tmp_path: Path, cache: Path) -> None:
    """With `always`, a missing zig is a mistake in the settings."""
    run = build(
        tmp_path,
        environment(cache, None),
        *("--runtime", _RUNTIME, "--arch", _OTHER, "--cross-compile", "always"),
    )

    assert run.code == 2
    assert "neither installed nor on PATH" in run.errors
