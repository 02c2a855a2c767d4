"""What a Python program may import from the package, used as such a program would."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.projects import quiet_environment
from fakes.wheels import a_wheel

import lambda_build_plugin
from lambda_build_plugin import (
    LambdaBuildError,
    Reporter,
    build,
    build_all,
    inspect,
    load_all_settings,
    load_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin import BuildReport, InspectionReport, Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"

_TWO_ARTIFACTS = """
[tool.lambda-build.artifacts.one]
[tool.lambda-build.artifacts.two]
layout = "layer"
"""


class Stages(Reporter):
    """Keeps the names of the stages."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, name: str) -> None:
        self.names.append(name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder of scripts with a lock; its wheel is in a folder beside it."""
    root = tmp_path / "project"
    root.mkdir()
    wheel = a_wheel("dep")
    wheel.write_to(tmp_path / "wheelhouse")
    lock = f"--no-index\n--find-links {tmp_path / 'wheelhouse'}\n"
    lock += f"dep=={wheel.filename.split('-')[1]} --hash=sha256:{wheel.sha256}\n"
    (root / "requirements.txt").write_text(lock, encoding="utf-8")
    (root / "app.py").write_text("def handler(): ...\n", encoding="utf-8")
    return root


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """Make an environment without the user's configuration."""
    return quiet_environment(tmp_path / "home", LAMBDA_BUILD_CACHE_DIR=str(tmp_path / "cache"))


def test_build(project: Path, tmp_path: Path, environ: Mapping[str, str]) -> None:
    """Settings from a folder and keywords, a build, and its report."""
    stages = Stages()
    settings: Settings = load_settings(
        project,
        environ=environ,
        runtime="python3.13",
        architecture="arm64",
        output=tmp_path / "function.zip",
    )

    report: BuildReport = build(settings, stages)

    assert report["artifact"] == str(tmp_path / "function.zip")
    assert (report["runtime"], report["architecture"]) == ("python3.13", "arm64")
    assert report["runtime_reason"] == "set by runtime"
    with zipfile.ZipFile(tmp_path / "function.zip") as archive:
        assert {"app.py", "dep/__init__.py"} <= set(archive.namelist())
    assert stages.names[0] == "lock"


def test_build_all(project: Path, tmp_path: Path, environ: Mapping[str, str]) -> None:
    """All artifacts of a project, into one folder."""
    (project / "pyproject.toml").write_text(_TWO_ARTIFACTS, encoding="utf-8")

    reports = build_all(
        load_all_settings(
            project,
            environ=environ,
            cache_dir=tmp_path / "other cache",
            runtime="python3.13",
            output=f"{tmp_path}/out/",
        )
    )

    assert [report["name"] for report in reports] == ["one", "two"]
    assert {Path(report["artifact"]).parent for report in reports} == {tmp_path / "out"}
    assert (tmp_path / "other cache").is_dir()
    assert not (tmp_path / "cache").exists()


def test_one_of_several_artifacts(project: Path, environ: Mapping[str, str]) -> None:
    """An artifact is chosen by its name; `load_settings` does not choose."""
    (project / "pyproject.toml").write_text(_TWO_ARTIFACTS, encoding="utf-8")

    chosen = load_all_settings(project, "two", environ=environ)

    assert [settings.artifact for settings in chosen] == ["two"]
    with pytest.raises(LambdaBuildError, match="the project has 2 artifacts"):
        load_settings(project, environ=environ)


def test_a_keyword_wins_over_the_environment(project: Path, environ: Mapping[str, str]) -> None:
    """Keywords are as strong as flags; a key has `_` where the table has `-`."""
    settings = load_settings(
        project,
        environ={
            **environ,
            "LAMBDA_BUILD_RUNTIME": "python3.12",
            "LAMBDA_BUILD_LAYOUT": "layer",
            "LAMBDA_BUILD_LAYER_PREFIX": "python",
        },
        runtime="python3.13",
        layer_prefix="python/lib/python3.13/site-packages",
    )

    assert settings.target.runtime.name == "python3.13"
    assert settings.prefix == "python/lib/python3.13/site-packages/"


def test_wrong_keywords_are_named_together(project: Path, environ: Mapping[str, str]) -> None:
    """A mistake is a `LambdaBuildError` that spells the keyword as it was given."""
    with pytest.raises(LambdaBuildError) as caught:
        load_settings(project, environ=environ, layer_prefix=5, bytecodes=True)

    assert caught.value.exit_code == 2
    assert "layer_prefix: must be a string" in caught.value.why
    assert "bytecodes: " in caught.value.why


def test_inspect(project: Path, tmp_path: Path, environ: Mapping[str, str]) -> None:
    """The zip of a build passes the inspection."""
    output = tmp_path / "function.zip"
    built = build(load_settings(project, environ=environ, runtime="python3.13", output=output))

    report: InspectionReport = inspect(output, runtime="python3.13", handler="app.handler")

    assert (report["failures"], report["warnings"]) == ([], [])
    assert report["code_sha256"] == built["code_sha256"]


def test_inspect_for_an_unknown_target(tmp_path: Path) -> None:
    """Both mistakes are named, before the file is read."""
    with pytest.raises(LambdaBuildError) as caught:
        inspect(tmp_path / "missing.zip", runtime="ruby3.3", architecture="sparc")

    assert "runtime: is `ruby3.3`" in caught.value.why
    assert "architecture: is `sparc`" in caught.value.why


def test_all_names_are_there() -> None:
    """Each public name can be imported and is listed; others are not there."""
    listed = dir(lambda_build_plugin)

    missing = [
        name
        for name in lambda_build_plugin.__all__
        if name not in listed or not hasattr(lambda_build_plugin, name)
    ]

    assert missing == []
    assert not hasattr(lambda_build_plugin, "no_such_name")


def test_the_example_in_the_design_runs(
    project: Path, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example builds a project, and prints where the zip is."""
    example = PAGE.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(project.parent)

    result = subprocess.run(
        [sys.executable, "-c", example.replace("my-project", project.name)],
        capture_output=True,
        text=True,
        check=True,
        env=dict(environ),
    )

    assert result.stdout.startswith(str(project / "dist"))


def test_importing_the_package_loads_nothing_else() -> None:
    """The names are loaded when they are used: plugins import the package at every start."""
    program = (
        "import __future__, json, sys, typing; before = set(sys.modules);"
        "import lambda_build_plugin;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert json.loads(result.stdout) == ["lambda_build_plugin"]
