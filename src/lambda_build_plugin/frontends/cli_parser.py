"""What the parsers of `lambda-build` and of all its commands have in common."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lambda_build_plugin.frontends.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["DOCUMENTATION", "add_folders", "add_options", "add_page", "add_project", "make_parser"]

DOCUMENTATION = "https://lambda-build-plugin.github.io/lambda-build-plugin/"


def make_parser(
    command: str = "", *, description: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Make a parser without arguments; without a command, that of `lambda-build` itself."""
    return argparse.ArgumentParser(
        prog=f"lambda-build {command}".rstrip(),
        description=description,
        epilog="\n\n".join(filter(None, (epilog, f"documentation: {DOCUMENTATION}"))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_project(parser: argparse.ArgumentParser, dest: str) -> None:
    """Add the folder of the project, which is the current one if none is named."""
    parser.add_argument(
        dest, nargs="?", default=".", metavar="PROJECT_DIR", help="default: the current folder"
    )


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
