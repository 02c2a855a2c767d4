"""The checked settings of one artifact."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping
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
    "Form",
    "Hooks",
    "Host",
    "Layout",
    "LocalDependencies",
    "Preset",
    "Settings",
]

HANDLER = re.compile(r"[^\s./]+(?:[./][^\s./]+)*\.[^\s./]+")
"""What the runtime can split into module and name."""

DEFAULT_JOBS = 8

Command = str | tuple[str, ...]
"""A line for the shell, or a program with its arguments."""


class Layout(enum.Enum):
    """Where the importable files lie in the zip."""

    FUNCTION = "function"
    LAYER = "layer"


class Contents(enum.Enum):
    """Which distributions go in."""

    ALL = "all"
    DEPENDENCIES = "dependencies"
    PROJECT = "project"


class LocalDependencies(enum.Enum):
    """What becomes of the folders of source code that the lock names."""

    BUILD = "build"
    SKIP = "skip"


class Form(enum.Enum):
    """What the project ships as."""

    WHEEL = "wheel"
    SOURCE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The user's own commands, in their order."""

    before_build: tuple[Command, ...] = ()
    after_stage: tuple[Command, ...] = ()


class Preset(enum.Enum):
    """Ready sets of files to leave out; `filters` says what each one means."""

    TESTS = "tests"
    STUBS = "stubs"
    DOCS = "docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the frontend knows of the machine; the core asks nobody else."""

    cwd: Path
    home: Path
    cache_dir: Path
    today: datetime.date
    environ: Mapping[str, str] = field(repr=False)
    """The process environment; holds credentials, so it is never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything one build needs to know."""

    project: Project
    target: Target
    runtime_reason: str
    layout: Layout = Layout.FUNCTION
    layer_prefix: str = "python"
    contents: Contents = Contents.ALL
    form: Form = Form.WHEEL
    hooks: Hooks = Hooks()
    extras: frozenset[NormalizedName] = frozenset()
    groups: frozenset[NormalizedName] = frozenset()
    local_dependencies: LocalDependencies = LocalDependencies.BUILD
    include_local: tuple[Path, ...] = ()
    """Wheels, or folders of source code, that ship although no lock names them."""

    only_binary: bool = False
    """Whether what the lock has no wheel of may not be built; the user's own folders may."""

    main: bool = True
    """Whether the main dependencies ship; not with Poetry's `--only` or PDM's `--no-default`."""

    lock_is_fresh: bool = False
    """Whether the host has already held the lock against pyproject.toml, by its own means."""

    exclude: tuple[str, ...] = ()
    """Lines as in `.gitignore` over the paths below `prefix`; each one can be read."""

    include: tuple[str, ...] = ()
    """Such lines, without `!`, for what ships whatever `exclude` and the presets say."""

    exclude_presets: tuple[Preset, ...] = ()
    scripts: bool = False
    bytecode: bool = False
    bytecode_only: bool = False
    """Whether sources stay out; only together with `bytecode`."""

    handler: str | None = None
    artifact: str | None = None
    """Its name among the artifacts of the project; None where there are no others."""

    provided: frozenset[NormalizedName] = frozenset()
    """What the runtime has already: it stays out, with everything that it alone needs."""

    provided_by: tuple[str | Path, ...] = ()
    """Artifacts that will be there too: names of others of the project, or zips."""

    lock: Path | None = None
    output: Path | None = None
    """The zip, or a folder for the default name where `output_is_folder`."""

    output_is_folder: bool = False
    unpacked: Path | None = None
    strict: bool = False
    epoch: int | None = None
    """`SOURCE_DATE_EPOCH`: seconds since 1970, UTC."""

    offline: bool = False
    jobs: int = DEFAULT_JOBS
    access: tuple[IndexAccess, ...] = field(default=(), repr=False)
    access_is_all: bool = False
    """Whether no index but those of `access` is asked, whatever the lock says."""

    installers: bool = True
    """Whether pip's and uv's indexes are asked; else those of `access` take their place."""

    host: Host = field(repr=False)

    @property
    def prefix(self) -> str:
        """Where the importable files lie in the zip; empty, or with a slash at its end."""
        return f"{self.layer_prefix}/" if self.layout is Layout.LAYER else ""

    @property
    def needs_lock(self) -> bool:
        """Whether the lock has a say: in what ships, or in what another artifact is to hold."""
        return self.contents is not Contents.PROJECT or bool(self.provided_by)

    @property
    def label(self) -> str:
        """What to call the artifact where there are several."""
        return f"`{self.artifact}` for {self.target}" if self.artifact else str(self.target)

    def zip_path(self, version: str | None) -> Path:
        """Say where the zip of the project at a version goes.

        Without another word that is, with `-{artifact}` after the version where it has a
        name, `dist/{name}-{version}-{layout}-{runtime}-{architecture}.zip`.
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
