"""Explain a command line that cannot be right: an unknown command or option.

Loaded only when there is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.spelling import nearest
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

__all__ = ["check_command", "check_options"]

_OPTIONS_OF_OTHERS = {
    "--all-extras": "--extra",
    "--all-groups": "--group",
    "--dest": "--output",
    "--only-group": "--group",
    "--out": "--output",
    "--output-dir": "--output",
    "--output-file": "--output",
    "--platform": "--arch",
    "--python": "--runtime",
    "--python-version": "--runtime",
    "--requirements": "--lock",
    "--target": "--unpacked",
    "--with": "--group",
    "-G": "--group",
    "-r": "--lock",
}
"""Options of other tools, with the option here that does most nearly the same."""


def check_command(word: str, commands: Iterable[str]) -> None:
    """Check that a first argument that is a word names a folder.

    A folder `build` is a project only if it has a pyproject.toml: setuptools leaves a folder
    of that name behind.

    Args:
        word: The first argument, which is none of the commands.
        commands: The commands, for the hint.

    Raises:
        SettingsError: It names no folder, so it is probably meant as a command.
    """
    folder = Path(word)
    exists = folder.exists()
    if exists and not (word == "build" and not (folder / "pyproject.toml").exists()):
        return
    hints = {
        "build": "leave the word out: `lambda-build` itself builds the project",
        **{name: f"did you mean `lambda-build --{name}`?" for name in ("help", "version")},
        **{name: f"did you mean `lambda-build {name}`?" for name in commands},
    }
    close = nearest(word, hints)
    listed = ", ".join(f"`lambda-build {name}`" for name in commands)
    raise SettingsError(
        [f"there is no command `{word}`" + ("" if exists else ", and no folder of this name")],
        hint=hints[close] if close else f"name the project's folder, or use one of {listed}",
    )


def check_options(unknown: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Check that no argument is left over.

    Raises:
        SettingsError: It names each option that does not exist, and one that may be meant.
    """
    known = parser._option_string_actions  # noqa: SLF001 - argparse has no public list
    problems = []
    for argument in unknown:
        name = argument.partition("=")[0]
        if name.startswith("-"):
            other = _OPTIONS_OF_OTHERS.get(name)
            close = other if other in known else nearest(name, known, cutoff=0.7)
            advice = f"; did you mean `{close}`?" if close else ""
            problems.append(f"there is no option `{name}`{advice}")
    if unknown and not problems:  # what follows an unknown option is probably its value
        problems.append(f"`{unknown[0]}` is one argument too many")
    if problems:
        raise SettingsError(problems, hint=f"`{parser.prog} --help` lists the options")
