"""What the parsers of `lambda-build` and of all its commands have in common."""

from __future__ import annotations

import argparse

__all__ = ["DOCUMENTATION", "add_project", "make_parser"]

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
