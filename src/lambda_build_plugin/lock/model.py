"""The one model of a lock, shaped like PEP 751.

Every reader produces it, and later stages know nothing else about locks. It adds two
things to PEP 751: files known only by their digest, and the indexes that may serve a
package. Locks that keep their markers on the edges of a graph (such as uv.lock) include
the edges; `selection.packages` flattens both kinds for one target.
"""

from __future__ import annotations

from dataclasses import dataclass as compiled_dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.config.build_policy import BuildPolicy
from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from packaging.specifiers import SpecifierSet
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.lock.markers import LockMarker
    from lambda_build_plugin.system.hashes import Digest

__all__ = [
    "VCS_KINDS",
    "Edge",
    "Lock",
    "LockedDirectory",
    "LockedFile",
    "LockedPackage",
    "LockedVcs",
    "Roots",
    "sdist_suffixes",
]

VCS_KINDS = ("git", "hg", "svn", "bzr")
"""The version control systems that locks name."""

sdist_suffixes = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")


@compiled_dataclass(frozen=True, slots=True, kw_only=True)  # there may be thousands
class LockedFile:
    """A wheel, an sdist or an archive, with the digest that the lock requires."""

    digest: Digest | None
    """None only for requirements files without hashes and for uv's `find-links`."""

    filename: str | None = None
    """None if the lock has only the digest."""

    url: str | None = field(default=None, repr=False)
    """Without credentials, unless the lock contains them."""

    path: Path | None = None
    """Absolute path, if the file is on this machine."""

    size: int | None = None
    """In bytes, if the lock says so."""

    subdirectory: str | None = None
    """Where the project is in an archive, if not at its root."""


@dataclass(frozen=True, kw_only=True)
class LockedDirectory:
    """A folder of source code on this machine."""

    path: Path
    """Absolute."""

    editable: bool = False
    subdirectory: str | None = None


@dataclass(frozen=True, kw_only=True)
class LockedVcs:
    """A commit of a repository."""

    kind: str
    """`git`, `hg`, …"""

    url: str = field(repr=False)
    """May contain a password or a token."""

    commit: str
    subdirectory: str | None = None


@compiled_dataclass(frozen=True, slots=True, kw_only=True)  # there may be thousands
class Edge:
    """A requirement of one locked package on another."""

    name: NormalizedName
    candidates: tuple[int, ...]
    """Indexes in `Lock.packages` of the packages that may satisfy it; markers choose."""

    extras: frozenset[NormalizedName] = frozenset()
    marker: LockMarker | None = None


@compiled_dataclass(frozen=True, slots=True, kw_only=True)  # there may be thousands
class LockedPackage:
    """One version of a package, with all files that the lock allows for it."""

    name: NormalizedName
    version: Version | None = None
    """None for sources whose version is known only after they are built."""

    at: str
    """Where it stands in the lock, for messages."""

    marker: LockMarker | None = None
    requires_python: SpecifierSet | None = None
    index: str | None = None
    """The one index that may serve it; None if any configured index may."""

    wheels: tuple[LockedFile, ...] = ()
    sdist: LockedFile | None = None
    unnamed: tuple[LockedFile, ...] = ()
    """Files known only by digest; whether they are wheels or sdists, the index tells."""

    archive: LockedFile | None = None
    directory: LockedDirectory | None = None
    vcs: LockedVcs | None = None
    unhashed: bool = False
    """Whether it is pinned only by version, so that the index decides which files exist."""

    unresolved: str = ""
    """Why the lock has no file for it, if the lock was made on another platform."""

    virtual: bool = False
    """Whether it ships nothing itself, only its requirements (uv: `package = false`)."""

    edges: tuple[Edge, ...] = ()
    extra_edges: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    @property
    def key(self) -> tuple[str, str]:
        """The sort key of packages, independent of their order in the lock."""
        return (self.name, str(self.version or ""))


@dataclass(frozen=True, kw_only=True)
class Roots:
    """The edges at which the walk through a lock begins."""

    main: tuple[Edge, ...] = ()
    extras: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)
    groups: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)
    loose: bool = False
    """Whether several entries may satisfy one edge, as in locks that keep version ranges."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A whole lock file."""

    path: Path
    kind: str
    """The name of the format, such as `uv.lock` or `requirements file`."""

    remedy: str
    """The command that makes or updates a lock of this kind."""

    group_remedy: str = ""
    """The command that locks missing groups and extras, if it is a different one."""

    target_remedy: str = ""
    """The command that adds a target, with `{platform}` and `{python}` to be filled in."""

    packages: tuple[LockedPackage, ...]
    requires_python: SpecifierSet | None = None
    environments: tuple[LockMarker, ...] = ()
    """If not empty, one of them must match the target."""

    extras: frozenset[NormalizedName] | None = None
    """The extras that can be requested; None if the format does not say."""

    groups: frozenset[NormalizedName] | None = None
    default_groups: frozenset[NormalizedName] = frozenset()
    roots: Roots | None = None
    project: int | None = None
    """Index of the project itself in `packages`; it is never shipped from the lock."""

    of_environment: bool = False
    """Whether it mixes what the project needs with other packages, as Hatch's locks do.

    Only packages that the requirements of the project lead to are shipped.
    """

    overridden: frozenset[NormalizedName] = frozenset()
    """Packages that the user locks differently from what metadata asks for, or excludes."""

    rewritten: frozenset[NormalizedName] = frozenset()
    """Packages whose requirements the user states in place of their metadata."""

    indexes: IndexOptions = field(default_factory=IndexOptions)
    policy: BuildPolicy = field(default_factory=BuildPolicy)
    """What the lock itself says about builds from source."""

    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.path.name
