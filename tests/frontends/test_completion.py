"""Shell completion, in the shells themselves, and `--help`."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from fakes.projects import quiet_environment, run_lambda_build

from lambda_build_plugin.frontends import cli
from lambda_build_plugin.frontends.cli_parser import DOCUMENTATION, SUMMARIES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

_SECONDS = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which things are completed, with the three scripts."""
    folder = tmp_path_factory.mktemp("completion")
    environ = quiet_environment(folder / "home")
    for shell in ("bash", "zsh", "fish"):
        run = run_lambda_build("--print-completion", shell, cwd=folder, environ=environ)
        assert (run.code, run.errors) == (0, "")
        (folder / f"script.{shell}").write_text(run.output)
    (folder / "inner").mkdir()
    (folder / "package.zip").touch()
    (folder / "packages.txt").touch()
    return folder


def by_bash(words: list[str], folder: Path) -> set[str]:
    """Let bash list the completions of the last word."""
    program = (
        f"source ./script.bash; COMP_WORDS=({shlex.join(words)}); "
        f"COMP_CWORD={len(words) - 1}; _shtab_lambda_build; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _lines(["bash", "--norc", "-c", program], folder)


def by_fish(words: list[str], folder: Path) -> set[str]:
    """Let fish list the completions of the last word."""
    line = f"{shlex.join(words[:-1])} {words[-1]}"
    program = f"source ./script.fish; complete -C {shlex.quote(line)}"
    lines = _lines(["fish", "--no-config", "-c", program], folder)
    return {each.partition("\t")[0].rstrip("/") for each in lines}


def _lines(command: list[str], folder: Path) -> set[str]:
    environ = quiet_environment(folder / "home", TERM="dumb")
    result = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.split("\n")) - {""}


def in_zsh(typed: str, folder: Path) -> str:
    """Type in an interactive zsh with the Tab key at the end; return what it has completed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        environ = quiet_environment(folder / "home", TERM="dumb", PS1="> ")
        os.execvpe("zsh", ["zsh", "-f", "-i"], environ)  # noqa: S606 - a terminal needs a fork
    try:
        start = 'autoload -U compinit; compinit -D; eval "$(<script.zsh)"; print -r ready$((1+1))\n'
        os.write(terminal, start.encode())
        _read_until(terminal, r"ready2")
        os.write(terminal, f"{typed}\t".encode())
        return _read_until(terminal, rf"{re.escape(typed)}\S+")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def _read_until(terminal: int, pattern: str) -> str:
    """Read until a text appears; return it."""
    shown, end = "", time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 10_000).decode(errors="replace")
        if found := re.search(pattern, shown):
            return found[0]
    raise AssertionError(shown)


@pytest.fixture(
    params=[
        pytest.param(
            (shell, complete),
            id=shell,
            marks=pytest.mark.skipif(not shutil.which(shell), reason=f"needs {shell}"),
        )
        for shell, complete in (("bash", by_bash), ("fish", by_fish))
    ]
)
def complete(request: pytest.FixtureRequest, folder: Path) -> Callable[[str], set[str]]:
    """Give a function that completes a line in one of the shells."""
    _, complete_in_shell = request.param
    return lambda line: complete_in_shell(line.split(" "), folder)


def test_first_word_is_a_command_or_a_folder(complete: Callable[[str], set[str]]) -> None:
    """Both are offered, since `lambda-build` without a command takes folders."""
    assert complete("lambda-build in") == {"init", "inspect", "invoke", "inner"}


def test_options_are_those_of_the_command(complete: Callable[[str], set[str]]) -> None:
    """Behind a command its own options are offered, and no other ones."""
    assert complete("lambda-build inspect --ha") == {"--handler"}
    assert complete("lambda-build --la") == {"--layer-file", "--layer-prefix", "--layout"}


def test_values_with_a_choice_are_offered(complete: Callable[[str], set[str]]) -> None:
    """An option with a few values offers these."""
    assert complete("lambda-build --arch ") == {"x86_64", "arm64"}
    assert complete("lambda-build invoke --runtime python3.13") == {"python3.13"}


def test_zips_are_offered_where_one_is_read(complete: Callable[[str], set[str]]) -> None:
    """`inspect` reads a zip, so other files are not offered."""
    assert complete("lambda-build inspect pack") == {"package.zip"}


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        pytest.param("lambda-build inv", "lambda-build invoke", id="command"),
        pytest.param("lambda-build inn", "lambda-build inner/", id="folder"),
        pytest.param("lambda-build diff --js", "lambda-build diff --json", id="option"),
        pytest.param("lambda-build --arch ar", "lambda-build --arch arm64", id="value"),
        pytest.param("lambda-build inspect pack", "lambda-build inspect package.zip", id="zip"),
    ],
)
def test_zsh(folder: Path, typed: str, completed: str) -> None:
    """In zsh, too: commands, folders, options, their values, and zips."""
    assert in_zsh(typed, folder) == completed


@pytest.mark.parametrize(
    "found", [pytest.param("None", id="nothing"), pytest.param("types", id="a version before 1.10")]
)
def test_without_shtab_the_extra_is_named(tmp_path: Path, found: str) -> None:
    """A library that is missing or too old is an error that says how to install it."""
    code = (
        f"import sys, types; sys.modules['shtab'] = {found}\n"
        "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, "--print-completion", "zsh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: `--print-completion` needs shtab 1.10 or later, which is not installed\n\n"
        "hint: install `lambda-build-plugin[completion]`, into the same environment\n"
    )


# --- help -----------------------------------------------------------------------------


def test_commands_are_listed_as_they_are() -> None:
    """The list in `--help` has all commands, in their order."""
    assert list(SUMMARIES) == list(cli.COMMANDS)


def test_help_begins_with_the_commands_and_ends_with_the_documentation() -> None:
    """What a newcomer looks for stands at the two ends."""
    text = cli.make_root_parser().format_help()

    assert text.index("  inspect    check") < text.index("--runtime NAME")
    assert text.index("examples:") > text.index("--runtime NAME")
    assert text.endswith(f"documentation: {DOCUMENTATION}\n")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Make the parsers of all commands."""
    modules = {name: import_module(module) for name, module in cli.COMMANDS.items()}
    return {"": cli.make_root_parser(), **{name: each.parser() for name, each in modules.items()}}


@pytest.mark.parametrize("name", ["", *SUMMARIES])
def test_help_fits_a_narrow_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only examples, addresses and the names of options are longer than 40 characters."""
    monkeypatch.setenv("COLUMNS", "40")
    lines = parsers()[name].format_help().partition("\n\n")[2].splitlines()

    long = [line for line in lines if len(line) > 40 and " " in line.strip()]

    assert [line for line in long if not line.startswith("  ")] == []
    assert [line for line in lines if re.search(r"(?<!\S)--?$", line)] == []


@pytest.mark.parametrize("name", ["", *SUMMARIES])
@pytest.mark.parametrize("flag", ["-q", "--quiet", "-v", "--verbose"])
def test_every_command_is_quiet_or_verbose(name: str, flag: str) -> None:
    """A script passes the same flags to all of them."""
    known = {option for action in parsers()[name]._actions for option in action.option_strings}  # noqa: SLF001 - argparse has no other list

    assert flag in known


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version_has_a_short_flag(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`-V` prints the version, as in uv, pip and Poetry."""
    with pytest.raises(SystemExit) as ended:
        cli.main([flag])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("lambda-build ")
