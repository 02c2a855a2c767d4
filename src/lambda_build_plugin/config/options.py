"""The table of all settings and options, one row each.

Everything that lists them is made from this table or checked against it: the flags of
`lambda-build`, Poetry and PDM with their `--help`, the keys of `[tool.lambda-build]`, the
environment variables, and the reference in the documentation. The module imports nothing heavy,
because the frontends load it at every start of their hosts.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BY_KEY", "ENVIRONMENT_PREFIX", "KEYS", "TABLE", "Option", "variable"]

ENVIRONMENT_PREFIX = "LAMBDA_BUILD_"


class Option(NamedTuple):
    """One setting, or one option that a frontend handles itself."""

    key: str
    """Name in `[tool.lambda-build]`; the environment variable is made from it."""

    names: tuple[str, ...]
    """Flags without their dashes, the one for messages first; empty if there is no flag."""

    group: str
    """Heading under which `--help` lists the option."""

    metavar: str | None
    """What `--help` calls the value; None for a switch."""

    summary: str
    """What the option does, in a few words."""

    choices: tuple[str, ...] = ()
    """All values that are accepted, where these are few."""

    default: str = "none"
    """The default in words; shown by `--help` unless it is `none` or `false`."""

    repeated: bool = False
    """Whether the flag may be given several times."""

    in_table: bool = True
    in_environment: bool = True
    of_frontend: bool = False
    """Whether the frontends handle it themselves, so that it is not part of `Settings`."""

    @property
    def help(self) -> str:
        """The complete text for `--help`."""
        summary = self.summary
        if self.choices:
            summary += f": {_alternatives(self.choices)}"
        default = "" if self.default in {"none", "false"} else f"default: {self.default}"
        again = "may be repeated" if self.repeated else ""
        return "; ".join(part for part in (summary, default, again) if part)


def _alternatives(choices: tuple[str, ...]) -> str:
    *most, last = choices
    return f"{', '.join(most)} or {last}"


TABLE = (
    Option(
        "runtime",
        ("runtime",),
        "target",
        "NAME",
        "Lambda runtime to build for, python3.8 … python3.15",
        default="what .python-version names, else the newest that requires-python admits and "
        "that the lock has wheels for",
        repeated=True,
    ),
    Option(
        "architecture",
        ("arch", "architecture"),
        "target",
        "NAME",
        "instruction set to build for",
        choices=("x86_64", "arm64"),
        default="x86_64",
        repeated=True,
    ),
    Option(
        "layout",
        ("layout",),
        "target",
        "NAME",
        "what the zip is for",
        choices=("function", "layer"),
        default="function",
    ),
    Option(
        "layer-prefix",
        ("layer-prefix",),
        "target",
        "PATH",
        "folder of a layer that packages go into",
        choices=("python", "python/lib/python3.X/site-packages"),
        default="python",
    ),
    Option(
        "layer-files",
        ("layer-file",),
        "contents",
        "PATH",
        "put a file or folder at the root of a layer; PATH/ stands for what is in the folder",
        repeated=True,
    ),
    Option(
        "contents",
        ("contents",),
        "contents",
        "WHAT",
        "what to package",
        choices=("all", "dependencies", "project"),
        default="all",
    ),
    Option(
        "project",
        ("project-as",),
        "contents",
        "FORM",
        "ship the project as a package, or as its files",
        choices=("wheel", "source"),
        default="wheel; source where the project is not a package",
    ),
    Option(
        "hooks",
        (),
        "contents",
        None,
        "commands to run before the project is built and after files are staged",
        in_environment=False,
    ),
    Option(
        "extras",
        ("extra",),
        "contents",
        "NAME",
        "add an extra of the project",
        repeated=True,
    ),
    Option(
        "groups",
        ("group",),
        "contents",
        "NAME",
        "add a dependency group",
        repeated=True,
    ),
    Option(
        "local-dependencies",
        ("local-dependencies",),
        "contents",
        "WHAT",
        "what to do with the folders that the lock names",
        choices=("build", "skip"),
        default="build",
    ),
    Option(
        "include-local",
        ("include-local",),
        "contents",
        "PATH",
        "add a wheel, or a folder to build, that is not in the lock",
        repeated=True,
    ),
    Option(
        "only-binary",
        ("only-binary",),
        "contents",
        None,
        "never build a package if the lock has no wheel of it",
        default="false",
    ),
    Option(
        "no-binary",
        ("no-binary",),
        "contents",
        "NAME",
        "build a package from its source, even if it has a wheel; :all: means every package",
        repeated=True,
    ),
    Option(
        "cross-compile",
        ("cross-compile",),
        "contents",
        "WHEN",
        "use zig, which the extra `cross` installs, to compile C and C++ for the target; auto "
        "means where this machine's compilers do not",
        choices=("auto", "always", "never"),
        default="auto",
    ),
    Option(
        "build-environment",
        (),
        "contents",
        None,
        "secret environment variables that builds of other people's sources get",
        in_environment=False,
    ),
    Option(
        "exclude",
        ("exclude",),
        "contents",
        "PATTERN",
        "leave out files that match a .gitignore pattern",
        repeated=True,
    ),
    Option(
        "include",
        ("include",),
        "contents",
        "PATTERN",
        "keep files that match a .gitignore pattern, even if they are excluded",
        repeated=True,
    ),
    Option(
        "exclude-presets",
        ("exclude-preset",),
        "contents",
        "NAME",
        "leave out files of one kind from all packages",
        choices=("tests", "stubs", "docs"),
        repeated=True,
    ),
    Option(
        "scripts",
        ("scripts",),
        "contents",
        None,
        "ship the commands of packages in bin/",
        default="false",
    ),
    Option(
        "bytecode",
        ("bytecode",),
        "contents",
        None,
        "ship bytecode, compiled by a Python of the runtime's version",
        default="false",
    ),
    Option(
        "bytecode-only",
        ("bytecode-only",),
        "contents",
        None,
        "ship bytecode instead of the sources",
        default="false",
    ),
    Option(
        "provided",
        ("provided",),
        "contents",
        "NAME",
        "leave out a package that the runtime has, and everything that only it needs",
        repeated=True,
    ),
    Option(
        "provided-by",
        ("provided-by",),
        "contents",
        "ARTIFACT",
        "leave out what another artifact of the project, or a zip, contains",
        repeated=True,
    ),
    Option(
        "handler",
        ("handler",),
        "target",
        "NAME",
        "package.module.function: fail if the artifact does not define it",
        default="not checked",
    ),
    Option(
        "lock",
        ("lock",),
        "contents",
        "FILE",
        "lock file to package",
        default="the first that is found",
    ),
    Option(
        "artifact",
        ("artifact",),
        "output",
        "NAME",
        "build only this one of [tool.lambda-build.artifacts]",
        default="all",
        repeated=True,
        in_table=False,
        in_environment=False,
        of_frontend=True,
    ),
    Option(
        "output",
        ("output", "o"),
        "output",
        "FILE",
        "where to write the zip; a name that ends in / is a folder for the default name",
        default="dist/{name}-{version}-{layout}-{runtime}-{architecture}.zip",
    ),
    Option(
        "unpacked",
        ("unpacked",),
        "output",
        "DIR",
        "also write the files into this new or empty folder",
    ),
    Option(
        "strict",
        ("strict",),
        "output",
        None,
        "treat warnings as errors",
        default="false",
    ),
    Option(
        "json",
        ("json",),
        "output",
        None,
        "print the report as JSON (schema 1)",
        default="false",
        in_table=False,
        in_environment=False,
        of_frontend=True,
    ),
    Option(
        "report",
        ("report",),
        "output",
        "FILE",
        "write the JSON report to a file",
        in_table=False,
        in_environment=False,
        of_frontend=True,
    ),
    Option(
        "html",
        ("html",),
        "output",
        "FILE",
        "write a page for the browser that shows what fills the zip",
        in_table=False,
        in_environment=False,
        of_frontend=True,
    ),
    Option(
        "sbom",
        ("sbom",),
        "output",
        "FILE",
        "list what is in the zip as CycloneDX 1.6 in JSON, which the extra `sbom` makes possible",
        in_table=False,
        in_environment=False,
        of_frontend=True,
    ),
    Option(
        "offline",
        ("offline",),
        "files and network",
        None,
        "use only files that are in the cache",
        default="false",
        in_table=False,
    ),
    Option(
        "cache-dir",
        ("cache-dir",),
        "files and network",
        "DIR",
        "where to keep fetched files",
        in_table=False,
        of_frontend=True,
    ),
    Option(
        "jobs",
        ("jobs",),
        "files and network",
        "N",
        "how many files to fetch at once; for `lambda-build` with several projects or artifacts, "
        "how many processes build at once (all processors)",
        default="8",
        in_table=False,
    ),
)
"""Every row, in the order of the reference."""

BY_KEY = {option.key: option for option in TABLE}

KEYS = tuple(option.key for option in TABLE if not option.of_frontend)
"""The keys that become `Settings`."""


def variable(key: str) -> str:
    """Name the environment variable of a key."""
    return ENVIRONMENT_PREFIX + key.upper().replace("-", "_")
