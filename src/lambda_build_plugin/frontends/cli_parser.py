"""What the parsers of `lambda-build` and of all its commands have in common."""

from __future__ import annotations

import argparse
import re
from itertools import chain, groupby
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "DOCUMENTATION",
    "SUMMARIES",
    "add_folders",
    "add_options",
    "add_page",
    "add_project",
    "add_root_options",
    "add_verbosity",
    "make_parser",
]

DOCUMENTATION = "https://lambda-build-plugin.github.io/lambda-build-plugin/"


SUMMARIES = {
    "cache": "show how large the cache is, or make it smaller",
    "diff": "show how two zips differ",
    "init": "write the settings into pyproject.toml",
    "inspect": "check any zip as a build checks its own",
    "invoke": "run the function on this machine",
    "list": "say what there is to build, and what has changed",
    "lock": "make a lock for all Lambda targets",
    "terraform": "build for a data source of Terraform",
}
"""What each command does, for lists of them."""

_SHELLS = ("bash", "zsh", "fish")

_BEFORE_EXPLANATION = re.compile(r" +\S+  +(?=\S)")


class _Formatter(argparse.HelpFormatter):
    """Wrap paragraphs to the width of the terminal, and keep examples as they are.

    An indented line is a part of an example, or of a list: if two spaces in it separate a word
    from its explanation, the explanation is wrapped into a column of its own.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for is_indented, group in groupby(text.splitlines(), lambda line: line[:1] in {"", " "}):
            if is_indented:
                lines += chain.from_iterable(_row(line, width) for line in group)
            else:
                lines += _wrapped(" ".join(group), width)
        return "\n".join(f"{indent}{line}" for line in lines)


def _row(line: str, width: int) -> list[str]:
    """Wrap a line of a list below its explanation; a line of an example stays as it is."""
    start = _BEFORE_EXPLANATION.match(line)
    if start is None:
        return [line]
    return _wrapped(line, max(width, start.end() * 2), further=" " * start.end())


def _wrapped(text: str, width: int, *, further: str = "") -> list[str]:
    """Wrap a text between words, so that options and addresses can be copied."""
    import textwrap  # not needed without `--help`

    return textwrap.wrap(
        text,
        width,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def make_parser(
    command: str = "", *, description: str, epilog: str | None = None, usage: str | None = None
) -> argparse.ArgumentParser:
    """Make a parser without arguments; without a command, that of `lambda-build` itself."""
    return argparse.ArgumentParser(
        prog=f"lambda-build {command}".rstrip(),
        usage=usage,
        description=description,
        epilog="\n\n".join(filter(None, (epilog, f"documentation: {DOCUMENTATION}"))),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


def add_root_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of `lambda-build` without a command."""
    from lambda_build_plugin import __version__

    parser.add_argument("-V", "--version", action="version", version=f"lambda-build {__version__}")
    add_verbosity(
        parser, quiet="print errors only (and the report of --json)", verbose="show each step"
    )
    parser.add_argument(
        "--print-completion",
        choices=_SHELLS,
        metavar="SHELL",
        help="print a script that completes commands and options in bash, zsh or fish",
    )
    add_options(parser)


def add_project(parser: argparse.ArgumentParser, dest: str) -> None:
    """Add the folder of the project, which is the current one if none is named."""
    parser.add_argument(
        dest, nargs="?", default=".", metavar="PROJECT_DIR", help="default: the current folder"
    )


def add_verbosity(
    parser: argparse.ArgumentParser,
    *,
    quiet: str = "print errors only",
    verbose: str = "show long lists in full, and tracebacks of unexpected failures",
) -> None:
    """Add `--quiet` and `--verbose`, which every command has; the texts are their help."""
    parser.add_argument("-q", "--quiet", action="store_true", help=quiet)
    parser.add_argument("-v", "--verbose", action="store_true", help=verbose)


def add_page(parser: argparse.ArgumentParser, shown: str) -> None:
    """Add `--html`; `shown` says what the page shows."""
    parser.add_argument(
        "--html", metavar="FILE", help=f"write a page for the browser that shows {shown}"
    )


def add_folders(parser: argparse.ArgumentParser, verb: str, text: str) -> argparse._ArgumentGroup:
    """Add the folders of projects, and `--workspace` in place of them.

    Args:
        parser: The parser of a command for several projects.
        verb: What the command does with the projects.
        text: The help for the folders.

    Returns:
        The group of options for several projects.
    """
    parser.add_argument("folders", nargs="*", default=["."], metavar="PROJECT_DIR", help=text)
    several = parser.add_argument_group("several projects")
    several.add_argument(
        "--workspace",
        action="store_true",
        help=f"{verb} all members of the workspace that have a table [tool.lambda-build]",
    )
    return several


def add_options(parser: argparse.ArgumentParser, *, without: Collection[str] = ()) -> None:
    """Add the options that all frontends offer, except some by their key."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in OPTIONS:
        if option.key in without:
            continue
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        names = tuple(f"{'-' * min(len(name), 2)}{name}" for name in option.names)
        group = groups[option.group]
        if option.metavar is None:
            group.add_argument(
                *names, dest=option.key, action="store_const", const=True, help=option.help
            )
        else:
            group.add_argument(
                *names,
                dest=option.key,
                action="append" if option.repeated else "store",
                metavar=option.metavar,
                help=option.help,
            )
