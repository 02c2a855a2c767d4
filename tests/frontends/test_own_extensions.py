"""Extension modules of the project's own, in C and Cython, through every door, with a real zig.

Each project has them compiled in the way that its backend's documentation shows.
"""

from __future__ import annotations

import io
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from fakes.arm64 import find_arm64_python
from fakes.hatch_hosts import hatchling_host, indexes
from fakes.hosts import uv
from fakes.pdm_hosts import WITH_BACKEND, pdm_host
from fakes.poetry_hosts import NEWEST, poetry_host
from fakes.zig import a_cache, zig_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from subprocess import CompletedProcess

# Hosts, zig and backends come from the package index.
pytestmark = [
    pytest.mark.index,
    pytest.mark.nightly,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Python's headers for Linux"),
]

_OTHER, _MACHINE = (
    ("arm64", "EM_AARCH64") if platform.machine() == "x86_64" else ("x86_64", "EM_X86_64")
)
_TARGET = {
    "LAMBDA_BUILD_RUNTIME": "python{}.{}".format(*sys.version_info),
    "LAMBDA_BUILD_ARCHITECTURE": _OTHER,
    "LAMBDA_BUILD_CONTENTS": "project",
    "LAMBDA_BUILD_OUTPUT": "app.zip",
}
_CONSOLE_SCRIPT = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"

_PYPROJECT = """\
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"

[build-system]
requires = ["{backend}", "setuptools>=61", "cython>=3"]
build-backend = "{api}"
"""
_EXTENSIONS = """\
from Cython.Build import cythonize
from setuptools import Extension


def extensions():
    return [
        Extension("app._fast", ["app/_fast.c"]),
        *cythonize([Extension("app._quick", ["app/_quick.pyx"])]),
    ]

"""
_IN_PLACE = """
def compile_in_place():
    distribution = Distribution({"name": "app", "ext_modules": extensions()})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.ensure_finalized()
    command.run()

"""
_C = """\
#include <Python.h>

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, NULL};

PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
"""

_SETUPTOOLS = {
    "pyproject.toml": _PYPROJECT.format(backend="setuptools", api="setuptools.build_meta"),
    "setup.py": _EXTENSIONS
    + "from setuptools import setup\n\nsetup(ext_modules=extensions(), packages=['app'])\n",
}
_POETRY = {
    "pyproject.toml": _PYPROJECT.format(backend="poetry-core", api="poetry.core.masonry.api")
    + '[tool.poetry]\ninclude = [{ path = "app/*.so", format = "wheel" }]\n'
    + '[tool.poetry.build]\nscript = "build_extensions.py"\ngenerate-setup-file = false\n',
    "build_extensions.py": _EXTENSIONS
    + "from setuptools import Distribution\n"
    + _IN_PLACE
    + "if __name__ == '__main__':\n    compile_in_place()\n",
}
_PDM = {
    "pyproject.toml": _PYPROJECT.format(backend="pdm-backend", api="pdm.backend")
    + '[tool.pdm.build]\nrun-setuptools = true\nincludes = ["app"]\n',
    "pdm_build.py": _EXTENSIONS
    + "def pdm_build_update_setup_kwargs(context, setup_kwargs):\n"
    + "    setup_kwargs.update(ext_modules=extensions())\n",
}
_HATCH = {
    "pyproject.toml": _PYPROJECT.format(backend="hatchling", api="hatchling.build")
    + "[tool.hatch.build.targets.wheel.hooks.custom]\n"
    + '[tool.hatch.build.targets.wheel]\npackages = ["app"]\nartifacts = ["app/*.so"]\n',
    "hatch_build.py": _EXTENSIONS
    + "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
    + "from setuptools import Distribution\n"
    + _IN_PLACE
    + "class CustomHook(BuildHookInterface):\n"
    + "    def initialize(self, version, build_data):\n"
    + "        compile_in_place()\n"
    + "        build_data.update(pure_python=False, infer_tag=True)\n",
}
_CODE = {
    "app/__init__.py": "",
    "app/_fast.c": _C,
    "app/_quick.pyx": "def double(int value):\n    return 2 * value\n",
}


def _write(project: Path, files: Mapping[str, str]) -> Path:
    for name, text in {**files, **_CODE}.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return project


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give what a user has beside the host: zig and uv on PATH, an index, a target."""
    folders = (str(zig_folder()), str(Path(sys.executable).parent), os.environ["PATH"])
    return {
        **indexes(),
        **_TARGET,
        "PATH": os.pathsep.join(folders),
        "LAMBDA_BUILD_CACHE_DIR": str(a_cache(tmp_path / "cache")),
    }


def _check(ran: CompletedProcess[str], project: Path) -> None:
    """Both modules are for the target, and nothing compiled stays in the project."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (artifact,) = [*project.glob("app.zip"), *project.glob("dist/*.zip")]
    with zipfile.ZipFile(artifact) as archive:
        modules = {name: archive.read(name) for name in archive.namelist() if ".so" in name}
    assert sorted(name.partition(".")[0] for name in modules) == ["app/_fast", "app/_quick"]
    for content in modules.values():
        assert ELFFile(io.BytesIO(content))["e_machine"] == _MACHINE
        assert str(project).encode() not in content
    assert list(project.rglob("*.so")) == []
    _use(artifact)


def _use(artifact: Path) -> None:
    """Let a Python for arm64 import both modules and call one, where qemu can run it."""
    python = find_arm64_python("{}.{}".format(*sys.version_info))
    if _OTHER != "arm64" or isinstance(python, str):
        return
    folder = artifact.with_suffix("")
    with zipfile.ZipFile(artifact) as archive:
        archive.extractall(folder)
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "import app._fast, app._quick; print(app._quick.double(21))"
    )
    ran = subprocess.run(
        [*python.command, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("42\n", "")


def test_through_lambda_build(tmp_path: Path, environ: dict[str, str]) -> None:
    """`lambda-build` compiles what setuptools does."""
    project = _write(tmp_path / "app", _SETUPTOOLS)

    ran = hatchling_host("hatchling", "uv>=0.8").run_python(
        "-c", _CONSOLE_SCRIPT, cwd=project, home=tmp_path / "home", environ=environ
    )

    _check(ran, project)


def test_through_poetry(tmp_path: Path, environ: dict[str, str]) -> None:
    """`poetry build-lambda` compiles what a build script does."""
    project = _write(tmp_path / "app", _POETRY)

    ran = poetry_host(NEWEST).run(
        "build-lambda", cwd=project, home=tmp_path / "home", environ=environ
    )

    _check(ran, project)


def test_through_pdm(tmp_path: Path, environ: dict[str, str]) -> None:
    """`pdm build --lambda` compiles what pdm-backend has setuptools do."""
    project = _write(tmp_path / "app", _PDM)

    ran = pdm_host(*WITH_BACKEND).run(
        "build", "--lambda", cwd=project, home=tmp_path / "home", environ=environ
    )

    _check(ran, project)


def test_through_hatch(tmp_path: Path, environ: dict[str, str]) -> None:
    """The target of hatchling compiles what a build hook does."""
    project = _write(tmp_path / "app", _HATCH)
    needed = tmp_path / "needed"
    uv("pip", "install", "--target", needed, "cython>=3", "setuptools>=61")

    ran = hatchling_host("hatchling", "uv>=0.8").run(
        *("build", "-t", "lambda"),
        cwd=project,
        home=tmp_path / "home",
        environ={**environ, "PYTHONPATH": str(needed)},
    )

    _check(ran, project)
