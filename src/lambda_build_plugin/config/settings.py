"""The checked settings of one artifact."""

from __future__ import annotations

import enum
import re
from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.indexes import IndexAccess
    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.runtime.target import Target

__all__ = [
    "DEFAULT_JOBS",
    "HANDLER",
    "Command",
    "Contents",
    "CrossCompile",
    "Form",
    "Hooks",
    "Host",
    "LayerFiles",
    "Layout",
    "LocalDependencies",
    "Preset",
    "Settings",
]

HANDLER = re.compile(r"[^\s./]+(?:[./][^\s./]+)*\.[^\s./]+")
"""Handlers that the runtime can split into a module and a name."""

DEFAULT_JOBS = 8

Command = str | tuple[str, ...]
"""A shell command line, or a program with its arguments."""


class Layout(enum.Enum):
    """Whether the zip is a function or a layer, which decides where importable files go."""

    FUNCTION = "function"
    LAYER = "layer"


class Contents(enum.Enum):
    """Which distributions are packaged."""

    ALL = "all"
    DEPENDENCIES = "dependencies"
    PROJECT = "project"


class LocalDependencies(enum.Enum):
    """What to do with folders of source code that the lock names."""

    BUILD = "build"
    SKIP = "skip"


class Form(enum.Enum):
    """Whether the project ships as a wheel or as its source files."""

    WHEEL = "wheel"
    SOURCE = "source"


class CrossCompile(enum.Enum):
    """When zig takes the place of this machine's compilers."""

    AUTO = "auto"
    """Where they compile for another machine or a newer glibc than the target's."""

    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Commands of the user, in the order in which they run."""

    before_build: tuple[Command, ...] = ()
    after_stage: tuple[Command, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LayerFiles:
    """A file or folder that goes to the root of a layer."""

    path: Path
    contents_only: bool = False
    """Whether only what is in the folder goes there: it was written with a slash at its end."""


class Preset(enum.Enum):
    """Ready-made sets of files to leave out; `stage.presets` defines each one."""

    TESTS = "tests"
    STUBS = "stubs"
    DOCS = "docs"


@dataclass(frozen=True, kw_only=True)
class Host:
    """What the frontend knows about this machine; the core uses no other source."""

    cwd: Path
    home: Path
    cache_dir: Path
    today: datetime.date
    environ: Mapping[str, str] = field(repr=False)
    """The process environment; it contains credentials, so it is never shown."""

    cache_is_default: bool = False
    """Whether nobody has chosen the folder of the cache, so that a build can do without it."""

    state_dir: Path | None = None
    """Where the key is kept that notes in the cache are signed with; None without a place."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything one build needs to know."""

    project: Project
    target: Target
    runtime_reason: str
    runtime_is_default: bool = False
    """Whether nobody named the runtime, so that the lock decides which one it is."""

    layout: Layout = Layout.FUNCTION
    layer_prefix: str = "python"
    layer_files: tuple[LayerFiles, ...] = ()
    contents: Contents = Contents.ALL
    form: Form = Form.WHEEL
    hooks: Hooks = Hooks()
    extras: frozenset[NormalizedName] = frozenset()
    groups: frozenset[NormalizedName] = frozenset()
    local_dependencies: LocalDependencies = LocalDependencies.BUILD
    include_local: tuple[Path, ...] = ()
    """Wheels, or folders of source code, that ship although they are not in the lock."""

    only_binary: bool = False
    """Whether packages without a locked wheel are an error; local folders are built anyway."""

    no_binary: tuple[str, ...] = ()
    """Names of packages that are built although they have wheels, or `:all:`."""

    build_environment: frozenset[str] = frozenset()
    """Names of variables that builds of somebody else's sources get despite their names."""

    cross_compile: CrossCompile = CrossCompile.AUTO
    main: bool = True
    """Whether the main dependencies ship; false for Poetry's `--only` and PDM's `--no-default`."""

    lock_is_fresh: bool = False
    """Whether the host itself has already checked the lock against pyproject.toml."""

    exclude: tuple[str, ...] = ()
    """Valid .gitignore patterns for the paths below `prefix`."""

    include: tuple[str, ...] = ()
    """Patterns without `!` for files that ship even if `exclude` or a preset matches them."""

    exclude_presets: tuple[Preset, ...] = ()
    scripts: bool = False
    bytecode: bool = False
    bytecode_only: bool = False
    """Whether sources are left out; implies `bytecode`."""

    handler: str | None = None
    artifact: str | None = None
    """Its name among the artifacts of the project; None if the project names none."""

    provided: frozenset[NormalizedName] = frozenset()
    """Packages of the runtime: they are left out, with everything that only they need."""

    provided_by: tuple[str | Path, ...] = ()
    """Artifacts that are deployed together with this one: names in this project, or zips."""

    lock: Path | None = None
    output: Path | None = None
    """The zip, or the folder for a zip of the default name if `output_is_folder`."""

    output_is_folder: bool = False
    unpacked: Path | None = None
    strict: bool = False
    epoch: int | None = None
    """`SOURCE_DATE_EPOCH`: seconds since 1970, UTC."""

    offline: bool = False
    jobs: int = DEFAULT_JOBS
    find_access: Callable[[], Sequence[IndexAccess]] = field(default=tuple, repr=False)
    """Finds out how the host reaches its indexes. A build that needs no index does not ask,
    because the host may have to ask a keyring."""

    access_is_all: bool = False
    """Whether only the indexes of the host are used, whatever the lock says."""

    installers: bool = True
    """Whether the indexes of pip and uv are used; otherwise those of the host replace them."""

    host: Host = field(repr=False)

    @property
    def prefix(self) -> str:
        """Folder of the importable files in the zip; empty, or ending in a slash."""
        return f"{self.layer_prefix}/" if self.layout is Layout.LAYER else ""

    @property
    def needs_lock(self) -> bool:
        """Whether a lock is needed: for what ships, or to check what another artifact contains."""
        return self.contents is not Contents.PROJECT or bool(self.provided_by)

    @property
    def label(self) -> str:
        """Name of the artifact in messages when there are several."""
        return f"`{self.artifact}` for {self.target}" if self.artifact else str(self.target)

    def zip_path(self, version: str | None) -> Path:
        """Return the path of the zip for a version of the project.

        The default is `dist/{name}-{version}-{layout}-{runtime}-{architecture}.zip`, with
        `-{artifact}` after the version if the artifact has a name.
        """
        if self.output is not None and not self.output_is_folder:
            return self.output
        parts = (
            self.project.name.replace("-", "_"),
            version,
            self.artifact,
            self.layout.value,
            self.target.runtime.name,
            self.target.architecture.value,
        )
        folder = self.output or self.project.root / "dist"
        return folder / ("-".join(part for part in parts if part) + ".zip")
