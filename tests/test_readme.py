"""The README keeps its word: what it shows is accepted, what it lists is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build

from lambda_build_plugin.config.read_settings import KEYS
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.report import BuildReport

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Find the blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Find the lines that run the tool, without their comments."""
    shown = "\n".join(blocks("sh")).splitlines()
    lines = [line.partition("#")[0].strip() for line in shown]
    return [line for line in lines if line.startswith("lambda-build")]


@pytest.mark.parametrize("command", commands())
def test_shown_commands_run(command: str, tmp_path: Path) -> None:
    """Each `lambda-build` line of the README builds, or has nothing to put into a layer."""
    project = a_project(tmp_path / "project")
    environ = quiet_environment(tmp_path / "home")
    arguments = command.split()[1:]
    for named in (argument for argument in arguments if argument.endswith(".zip")):
        assert run_lambda_build("--output", named, cwd=project, environ=environ).code == 0

    run = run_lambda_build(*arguments, cwd=project, environ=environ)

    assert run.code == (8 if "layer" in command else 0), run.errors


@pytest.mark.parametrize("block", blocks("toml"))
def test_shown_tables_are_accepted(block: str, tmp_path: Path) -> None:
    """Each table of the README is one that a build takes; a layer would have nothing in it."""
    project = a_project(tmp_path / "project", name="my_project", extra=block)

    run = run_lambda_build(cwd=project, environ=quiet_environment(tmp_path / "home"))

    assert run.code == (8 if "layer" in block else 0), run.errors


def test_every_option_is_listed() -> None:
    """No option is missing from the README."""
    missing = [
        name for option in OPTIONS for name in option.names[:1] if f"`--{name}" not in README
    ]

    assert missing == []


def test_every_key_is_listed() -> None:
    """No key of the table is missing from the README."""
    assert [key for key in KEYS if f"`{key}`" not in README] == ["offline", "jobs"]


def test_every_field_of_the_report_is_listed() -> None:
    """The schema in the README is the schema of the code."""
    assert [field for field in BuildReport.__annotations__ if f"`{field}`" not in README] == []
