"""`lambda-build --print-completion SHELL`: a script that completes the command line.

shtab, which the extra `completion` installs, writes it from the parsers. All that the shell
runs later is that script, so pressing the Tab key does not start Python. shtab wants one parser
with sub-parsers, which is made here and parses nothing: what its arguments accept and explain is
arranged for people who look at it in a menu.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.frontends.cli_parser import SUMMARIES, add_root_options, make_parser
from lambda_build_plugin.frontends.extras import MissingExtraError
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.runtime.target import RUNTIMES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

__all__ = ["completion_script"]

_PREFIX = "lambda_build"

_ZSH_FOLDERS = f"""\
functions[_{_PREFIX}_commands]=$functions[_shtab_{_PREFIX}_commands]
_shtab_{_PREFIX}_commands() {{
  _{_PREFIX}_commands
  _files -/
}}"""
"""The first argument may also be a folder; shtab itself offers only the commands."""

_BASH_FOLDERS = f"_shtab_{_PREFIX}_pos_0_COMPGEN=_shtab_compgen_dirs"

_FILES = frozenset({"ARTIFACT", "FILE", "PATH", "PYTHON"})
_FOLDERS = frozenset({"DIR", "PROJECT_DIR"})
_PERHAPS_ZIPS = re.compile(r"(?:\S*\.)?zip\b", re.IGNORECASE)

_CHOICES = {
    **{option.key: option.choices for option in OPTIONS if option.choices},
    "runtime": tuple(RUNTIMES),
}


def completion_script(shell: str, commands: Mapping[str, str]) -> str:
    """Write a script that makes a shell complete `lambda-build`.

    Args:
        shell: `bash`, `zsh` or `fish`.
        commands: The modules of the commands, by name.

    Raises:
        MissingExtraError: shtab is not installed, or too old.
    """
    try:
        import shtab
        from shtab import glob
    except ImportError as error:
        raise MissingExtraError(
            "--print-completion", library="shtab 1.10 or later", extra="completion"
        ) from error

    parser = _parser(shell, commands)
    parsers = [parser, *_subparsers(parser)]
    for action in (action for each in parsers for action in _actions(each)):
        _arrange(action, shtab, glob)
    preamble = {"bash": _BASH_FOLDERS, "zsh": _ZSH_FOLDERS}.get(shell, "")
    return (
        str(shtab.complete(parser, shell, root_prefix=_PREFIX, preamble=preamble)).rstrip() + "\n"
    )


def _parser(shell: str, commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """Make one parser of `lambda-build` and all its commands."""
    parser = make_parser(description="")
    add_root_options(parser)
    if shell == "fish":  # offers what two positional arguments accept, if the first takes many
        parser.add_argument("folders", nargs="*", metavar="PROJECT_DIR", help="project")
    added = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, module in commands.items():
        added.add_parser(
            name,
            parents=[importlib.import_module(module).parser()],
            add_help=False,
            description=SUMMARIES[name],
            help=SUMMARIES[name],
        )
    return parser


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no public list


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        each
        for action in _actions(parser)
        if action.nargs == "A..." and isinstance(action.choices, dict)
        for each in action.choices.values()
    ]


def _arrange(action: argparse.Action, shtab: Any, glob: Callable[..., object]) -> None:
    """Tell shtab what the value of an argument may be, and shorten the explanation."""
    if action.nargs == "A...":
        return
    action.help = (action.help or "").partition(";")[0]
    name = action.metavar if isinstance(action.metavar, str) else ""
    if action.choices is None and action.dest in _CHOICES:
        action.choices = _CHOICES[action.dest]
    elif name in _FILES:
        vars(action)["complete"] = shtab.FILE
    elif name in _FOLDERS:
        vars(action)["complete"] = shtab.DIRECTORY
    elif _PERHAPS_ZIPS.match(name):
        # zsh takes a single pattern in shtab's parentheses for qualifiers, and gives up.
        vars(action)["complete"] = glob("*.zip", "*.ZIP")
