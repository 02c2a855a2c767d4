"""Sdists with an extension in C: compiled where that can be right, pure or refused elsewhere."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.extensions import a_project_with_extension
from fakes.projects import run_lambda_build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakes.projects import Run

# setuptools comes from the package index, which is configured in the developer's files.
pytestmark = [
    pytest.mark.index,
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(
        (sys.platform, platform.machine()) not in {("linux", "x86_64"), ("linux", "aarch64")},
        reason="needs Linux on an architecture that Lambda has",
    ),
]

_OWN = "x86_64" if platform.machine() == "x86_64" else "arm64"
_OTHER = "arm64" if _OWN == "x86_64" else "x86_64"


_COMPILES_BELOW_CWD = """
import os
from setuptools.command.build_ext import build_ext

class CompileBelowCwd(build_ext):
    def run(self):
        os.makedirs(self.build_temp, exist_ok=True)
        os.listdir(os.getcwd() + "/" + self.build_temp)
        super().run()

import functools
setup = functools.partial(setup, cmdclass={"build_ext": CompileBelowCwd})
"""


def run_with(tmp_path: Path, architecture: str, *, optional: bool, head: str = "") -> Run:
    """Build a project that needs an sdist with an extension, for the running Python's runtime."""
    project = a_project_with_extension(tmp_path, options=f"optional={optional}", head=head)
    return run_lambda_build(
        *("--json", "--runtime", "python{}.{}".format(*sys.version_info), "--arch", architecture),
        cwd=project,
        environ=_environment(tmp_path),
    )


def _environment(tmp_path: Path) -> Mapping[str, str]:
    """Give the developer's environment, with uv in reach and a cache of the test's own."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "LAMBDA_BUILD_CACHE_DIR": str(tmp_path / "cache")}


def test_extension_for_the_own_architecture(tmp_path: Path) -> None:
    """Host and target being alike, an extension ships if its symbols are in the runtime."""
    run = run_with(tmp_path, _OWN, optional=False)

    assert run.code == 0, run.errors
    report = json.loads(run.output)
    with zipfile.ZipFile(report["artifact"]) as archive:
        assert [name for name in archive.namelist() if name.startswith("_fast.")] != []
    assert {package["name"]: package["source"] for package in report["packages"]} == {
        "demo": "local",
        "fast": "sdist",
    }


def test_setup_scripts_may_expect_working_files_below_the_source(tmp_path: Path) -> None:
    """What setuptools tells them is relative unless somebody changes it, and some rely on that."""
    run = run_with(tmp_path, _OWN, optional=False, head=_COMPILES_BELOW_CWD)

    assert run.code == 0, run.errors
    with zipfile.ZipFile(json.loads(run.output)["artifact"]) as archive:
        assert [name for name in archive.namelist() if "lambda-build" in name] == []


def test_extension_for_another_architecture(tmp_path: Path) -> None:
    """No compiler of this machine makes what another architecture loads: an error says so."""
    run = run_with(tmp_path, _OTHER, optional=False)

    assert run.code == 6
    assert f"the wheel of fast does not load in python3.{sys.version_info.minor}" in run.errors
    assert "without a compiler" in run.errors
    assert not (tmp_path / "demo" / "dist").exists()


def test_optional_extension_for_another_architecture(tmp_path: Path) -> None:
    """A package that does without its extension ships as pure Python, and says so itself."""
    run = run_with(tmp_path, _OTHER, optional=True)

    assert run.code == 0, run.errors
    report = json.loads(run.output)
    (package,) = [package for package in report["packages"] if package["name"] == "fast"]
    assert package["file"] == "fast-1.0-py3-none-any.whl"
    with zipfile.ZipFile(report["artifact"]) as archive:
        text = archive.read("fast-1.0.dist-info/WHEEL").decode()
        assert [name for name in archive.namelist() if name.startswith("_fast.")] == []
    assert "Tag: py3-none-any\n" in text
    assert "linux" not in text
