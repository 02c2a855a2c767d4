"""`pdm build --lambda`: the part that PDM loads at every start.

PDM imports this module for all of its commands, so at module level it imports nothing but
PDM's own command and the list of options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdm.cli.commands.build import Command
from pdm.cli.options import split_lists
from pdm.exceptions import PdmUsageError

from lambda_build_plugin.frontends.options import OPTIONS

if TYPE_CHECKING:
    import argparse

    from pdm.core import Core
    from pdm.project import Project

__all__ = ["BuildCommand", "dest", "register"]

_HOST_KEYS = frozenset({"extras", "groups"})
"""Keys for which PDM has options of its own."""

_HOST_HELP = {"lock": "default: the lock of PDM, pdm.lock or pylock.toml"}


def dest(key: str) -> str:
    """Name the attribute of an option: PDM uses the plain names, and `lambda` is a keyword."""
    return f"lambda_{key}"


class BuildCommand(Command):  # type: ignore[misc]
    """Build artifacts for distribution, or an AWS Lambda zip with --lambda"""  # noqa: D415 - PDM shows it in its help

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add our options to PDM's, in a group of their own."""
        super().add_arguments(parser)
        before = len(parser._actions)  # noqa: SLF001 - argparse has no public way
        group = parser.add_argument_group("Lambda options")
        group.add_argument(
            "--lambda",
            dest=dest("build"),
            action="store_true",
            help="Build an AWS Lambda zip from the project and its locked dependencies; "
            "the options below are only for this",
        )
        _add_groups(group)
        for option in OPTIONS:
            if option.key in _HOST_KEYS:
                continue
            names = tuple(f"{'-' * min(len(name), 2)}{name}" for name in option.names)
            value: dict[str, Any] = {"action": "store_const", "const": True}
            if option.metavar is not None:
                action = "append" if option.repeated else "store"
                value = {"metavar": option.metavar, "action": action}
            help_text = _HOST_HELP.get(option.key, option.help)
            group.add_argument(*names, dest=dest(option.key), help=help_text, **value)
        _keep_abbreviations(parser, frozenset(map(id, parser._actions[before:])))  # noqa: SLF001

    def handle(self, project: Project, options: argparse.Namespace) -> None:
        """Build a zip with `--lambda`, and what PDM builds otherwise.

        Raises:
            PdmUsageError: One of our options is given without `--lambda`.
        """
        given = vars(options)
        if not given[dest("build")]:
            stray = [key for key, value in given.items() if key.startswith(dest("")) and value]
            if stray:
                raise PdmUsageError(f"{_spelled(stray[0])} is an option of `pdm build --lambda`")
            super().handle(project, options)
            return
        from lambda_build_plugin.frontends.pdm_handler import run

        code = run(project, options)
        if code != 0:
            raise SystemExit(code)


def _add_groups(group: argparse._ArgumentGroup) -> None:
    """Add the options that choose groups in `pdm install`, unless `pdm build` uses the names."""
    group.add_argument(
        "-G",
        "--group",
        "--with",
        dest=dest("groups"),
        metavar="GROUP",
        action=split_lists(","),
        help="add groups of optional-dependencies or dependency-groups, separated by comma; "
        "may be repeated; `:all` for all optional-dependencies",
    )
    group.add_argument(
        "--no-default",
        dest=dest("no_default"),
        action="store_true",
        help="leave out the main dependencies",
    )
    dev = group.add_mutually_exclusive_group()
    dev.add_argument(
        "--dev", dest=dest("dev"), action="store_true", help="add all dependency-groups"
    )
    dev.add_argument(
        "--prod",
        "--production",
        dest=dest("prod"),
        action="store_true",
        help="leave out all dependency-groups, which is the default",
    )


def _spelled(attribute: str) -> str:
    key = attribute.removeprefix(dest(""))
    names = {option.key: option.names[0] for option in OPTIONS}
    return f"--{names.get(key, key.replace('_', '-'))}"


def _keep_abbreviations(parser: argparse.ArgumentParser, ours: frozenset[int]) -> None:
    """Keep PDM's abbreviations such as `--proj` unambiguous: ours cannot be abbreviated."""
    candidates = parser._get_option_tuples  # noqa: SLF001 - `allow_abbrev` is for all options

    def of_pdm(option_string: str) -> list[Any]:
        # A short option comes here together with its value: `-Gdev`.
        return [
            found
            for found in candidates(option_string)
            if id(found[0]) not in ours or not found[1].startswith("--")
        ]

    parser._get_option_tuples = of_pdm  # type: ignore[method-assign] # noqa: SLF001


def register(core: Core) -> None:
    """Replace the command `pdm build`; PDM calls this through the entry point `pdm`."""
    core.register_command(BuildCommand, "build")
