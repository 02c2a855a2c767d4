"""A project whose dependency is an sdist with an extension in C, which setuptools builds."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.projects import a_project
from fakes.wheels import an_sdist

if TYPE_CHECKING:
    from lambda_build_plugin.system.interpreters import Interpreter

__all__ = ["a_project_with_extension", "include_of"]

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
"""
_SETUP = """\
from setuptools import Extension, setup
{head}
setup(
    name="fast",
    version="1.0",
    py_modules=["fast"],
    ext_modules=[Extension("_fast", ["_fast.c"], {options})],
)
"""
_C = """\
#include <Python.h>
{code}
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "_fast", NULL, -1, NULL}};

PyMODINIT_FUNC PyInit__fast(void) {{ return PyModule_Create(&module); }}
"""


def a_project_with_extension(folder: Path, *, options: str, code: str = "", head: str = "") -> Path:
    """Make the project `demo`, and beside it the sdist of `fast`, which its lock names.

    Args:
        folder: Where to make both.
        options: Further arguments of `Extension` in the sdist's `setup.py`.
        code: C for the module, beside what makes it one.
        head: Python code of the `setup.py`, before the call of `setup`.
    """
    files = {
        "pyproject.toml": _PYPROJECT,
        "setup.py": _SETUP.format(options=options, head=head),
        "_fast.c": _C.format(code=code),
        "fast.py": "",
    }
    sdist = an_sdist("fast", "1.0", files=files)
    sdist.write_to(folder)
    project = a_project(folder / "demo", dependencies=("fast",))
    line = f"../{sdist.filename} --hash=sha256:{sdist.sha256}\n"
    (project / "requirements.txt").write_text(line, encoding="utf-8")
    return project


def include_of(python: Interpreter) -> Path:
    """Ask a Python for the folder of its headers."""
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    ran = subprocess.run(
        [python.path, "-I", "-c", code], capture_output=True, check=True, text=True
    )
    return Path(ran.stdout.strip())
