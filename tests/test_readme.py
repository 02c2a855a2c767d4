"""The README keeps its word: what it shows is accepted, what it lists is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build

from lambda_build_plugin.config.options import TABLE
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.report import BuildReport

if TYPE_CHECKING:
    from lambda_build_plugin.config.options import Option

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


def reference() -> dict[str, list[str]]:
    """Read the table of settings: the cells after the key, without links, by the key."""
    text = README.partition("\n## Options\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in lines]
    return {key.strip("`"): cells for key, *cells in rows}


def test_the_reference_lists_the_keys_of_the_table() -> None:
    """The README lists every key that may stand in a file, in the order of the code."""
    assert list(reference()) == [option.key for option in TABLE if option.in_table]


@pytest.mark.parametrize(
    "option",
    {option.key: option for option in (*TABLE, *OPTIONS) if option.in_table}.values(),
    ids=lambda option: option.key,
)
def test_the_reference_agrees_with_the_code(option: Option) -> None:
    """The README names flag, values and default of every key as the code has them."""
    flag, values, default = reference()[option.key]
    main = f"`--{option.names[0]}`" if option.names else "none"

    assert main in flag
    assert option.repeated == ("again" in flag + values)
    assert [choice for choice in option.choices if f"`{choice}`" not in values] == []
    assert default.replace("`", "") == option.default


@pytest.mark.parametrize(
    "option", [option for option in TABLE if not option.in_table], ids=lambda option: option.key
)
def test_options_without_a_key_are_listed(option: Option) -> None:
    """The README lists every option that has no key in a file."""
    assert f"`--{option.names[0]}" in README


def test_every_field_of_the_report_is_listed() -> None:
    """The schema in the README is the schema of the code."""
    assert [field for field in BuildReport.__annotations__ if f"`{field}`" not in README] == []
