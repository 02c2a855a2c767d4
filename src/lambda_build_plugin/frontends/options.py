"""The options that every door has, as data, without a parser.

`lambda-build` and PDM make argparse arguments of them, Poetry makes cleo options.
A host whose own word for something differs leaves that option out.
"""

from __future__ import annotations

from typing import NamedTuple

from lambda_build_plugin.lock.formats import DEFAULT_NAMES

__all__ = ["OPTIONS", "Option"]


class Option(NamedTuple):
    """One option of the command line."""

    key: str
    """As in `settings.KEYS`, or one of the keys that a frontend answers itself."""

    names: tuple[str, ...]
    """Without dashes, the one for messages first; one letter is a short one."""

    group: str
    metavar: str | None
    """None for a switch."""

    help: str
    repeated: bool = False


OPTIONS = (
    Option(
        "runtime",
        ("runtime",),
        "target",
        "NAME",
        "python3.8 … python3.15; default: .python-version, else the newest that "
        "requires-python admits; may be repeated",
        repeated=True,
    ),
    Option(
        "architecture",
        ("arch", "architecture"),
        "target",
        "NAME",
        "x86_64 (default) or arm64; may be repeated",
        repeated=True,
    ),
    Option("layout", ("layout",), "target", "NAME", "function (default) or layer"),
    Option(
        "layer-prefix",
        ("layer-prefix",),
        "target",
        "PATH",
        "python (default) or python/lib/python3.X/site-packages",
    ),
    Option(
        "handler",
        ("handler",),
        "target",
        "NAME",
        "package.module.function: fail if its module is not in the artifact",
    ),
    Option(
        "contents",
        ("contents",),
        "contents",
        "WHAT",
        "all (default), dependencies or project",
    ),
    Option(
        "project",
        ("project-as",),
        "contents",
        "FORM",
        "wheel, or source: its files as they are; default: source where it is no package",
    ),
    Option(
        "extras",
        ("extra",),
        "contents",
        "NAME",
        "add an extra of the project; may be repeated",
        repeated=True,
    ),
    Option(
        "groups",
        ("group",),
        "contents",
        "NAME",
        "add a dependency group; may be repeated",
        repeated=True,
    ),
    Option(
        "local-dependencies",
        ("local-dependencies",),
        "contents",
        "WHAT",
        "build (default) the folders that the lock names, or skip them",
    ),
    Option(
        "include-local",
        ("include-local",),
        "contents",
        "PATH",
        "add a wheel or a folder that no lock names; may be repeated",
        repeated=True,
    ),
    Option(
        "only-binary",
        ("only-binary",),
        "contents",
        None,
        "never build a package of which the lock has no wheel",
    ),
    Option(
        "exclude",
        ("exclude",),
        "contents",
        "PATTERN",
        "leave out what a pattern as in .gitignore matches; may be repeated",
        repeated=True,
    ),
    Option(
        "include",
        ("include",),
        "contents",
        "PATTERN",
        "keep what it matches, whatever is excluded; may be repeated",
        repeated=True,
    ),
    Option(
        "exclude-presets",
        ("exclude-preset",),
        "contents",
        "NAME",
        "leave out tests, stubs or docs of all packages; may be repeated",
        repeated=True,
    ),
    Option("scripts", ("scripts",), "contents", None, "ship the commands of packages in bin/"),
    Option(
        "bytecode",
        ("bytecode",),
        "contents",
        None,
        "ship bytecode, compiled by a Python of the runtime's version",
    ),
    Option("bytecode-only", ("bytecode-only",), "contents", None, "ship bytecode and no sources"),
    Option(
        "provided",
        ("provided",),
        "contents",
        "NAME",
        "leave out a package that the runtime has, and all that it alone needs; may be repeated",
        repeated=True,
    ),
    Option(
        "provided-by",
        ("provided-by",),
        "contents",
        "ARTIFACT",
        "leave out what another artifact of the project, or a zip, holds; may be repeated",
        repeated=True,
    ),
    Option(
        "lock",
        ("lock",),
        "contents",
        "FILE",
        f"default: the first of {', '.join(DEFAULT_NAMES)}",
    ),
    Option(
        "artifact",
        ("artifact",),
        "output",
        "NAME",
        "build this one of [tool.lambda-build.artifacts] alone; may be repeated",
        repeated=True,
    ),
    Option(
        "output",
        ("output", "o"),
        "output",
        "FILE",
        "the zip; a name ending in / is a folder for the default name; default: "
        "dist/{name}-{version}-{layout}-{runtime}-{architecture}.zip",
    ),
    Option(
        "unpacked",
        ("unpacked",),
        "output",
        "DIR",
        "also write the files into this empty or new folder",
    ),
    Option("strict", ("strict",), "output", None, "treat warnings as errors"),
    Option("json", ("json",), "output", None, "print the report as JSON (schema 1)"),
    Option("report", ("report",), "output", "FILE", "write the JSON report to a file"),
    Option("offline", ("offline",), "files and network", None, "use the cache alone"),
    Option(
        "cache-dir",
        ("cache-dir",),
        "files and network",
        "DIR",
        "where fetched files are kept",
    ),
    Option(
        "jobs",
        ("jobs",),
        "files and network",
        "N",
        "files to fetch at once; default: 8",
    ),
)
