"""The one model of a lock, shaped like PEP 751.

Every reader fills it, everything behind it knows nothing else. Two additions to
PEP 751: a file known only by its digest, and the indexes that may serve a
package. Locks that keep their markers on the edges of a graph (uv.lock) bring
the edges along; `walk.reached` flattens both kinds for one target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.lock.markers import LockMarker

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """A wheel, an sdist or an archive that the lock vouches for."""

    digest: Digest | None
    """None only in a requirements file without hashes and for files in uv's `find-links`."""

    filename: str | None = None
    """None where the lock knows the digest alone."""

    url: str | None = field(default=None, repr=False)
    """Without credentials of its own, unless the lock has them."""

    path: Path | None = None
    """Absolute, where the file lies on this machine."""

    size: int | None = None
    """Bytes, where the lock says so."""

    subdirectory: str | None = None
    """Where in an archive the project lies, if not at its top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedDirectory:
    """A folder of source code on this machine."""

    path: Path
    """Absolute."""

    editable: bool = False
    subdirectory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedVcs:
    """A commit of a repository."""

    kind: str
    """`git`, `hg`, …"""

    url: str = field(repr=False)
    """May hold a password or a token."""

    commit: str
    subdirectory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A requirement of one locked package on another."""

    name: NormalizedName
    candidates: tuple[int, ...]
    """Places in `Lock.packages` that may answer it; markers choose among them."""

    extras: frozenset[NormalizedName] = frozenset()
    marker: LockMarker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One version of one package, with all files that the lock allows for it."""

    name: NormalizedName
    version: Version | None = None
    """None for sources whose version is known only when they are built."""

    at: str
    """Its place in the lock, for messages."""

    marker: LockMarker | None = None
    requires_python: SpecifierSet | None = None
    index: str | None = None
    """The one index that may serve it; None where any configured one may."""

    wheels: tuple[LockedFile, ...] = ()
    sdist: LockedFile | None = None
    unnamed: tuple[LockedFile, ...] = ()
    """Files known by digest alone: wheels or sdists, the index will tell."""

    archive: LockedFile | None = None
    directory: LockedDirectory | None = None
    vcs: LockedVcs | None = None
    unhashed: bool = False
    """Pinned by version only: the index decides which files there are."""

    unresolved: str = ""
    """Why the lock holds nothing of it, where it was made for another platform."""

    virtual: bool = False
    """Nothing of its own to ship, only what it needs (uv: `package = false`)."""

    edges: tuple[Edge, ...] = ()
    extra_edges: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    @property
    def key(self) -> tuple[str, str]:
        """What to sort packages by, whatever the lock's order is."""
        return (self.name, str(self.version or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """Where the walk through a lock with edges begins."""

    main: tuple[Edge, ...] = ()
    extras: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)
    groups: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)
    loose: bool = False
    """Whether several entries may answer an edge, as where a lock keeps ranges of versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A whole lock file."""

    path: Path
    kind: str
    """The format as a person names it, such as `uv.lock` or `requirements file`."""

    remedy: str
    """The command that makes or refreshes a lock of this kind."""

    group_remedy: str = ""
    """The command that locks groups and extras which are not in the lock, if it is another."""

    target_remedy: str = ""
    """The command that adds a target, with `{platform}` and `{python}` to be filled in."""

    packages: tuple[LockedPackage, ...]
    requires_python: SpecifierSet | None = None
    environments: tuple[LockMarker, ...] = ()
    """Where not empty, one of them has to hold."""

    extras: frozenset[NormalizedName] | None = None
    """The extras that can be asked for; None where the format does not say."""

    groups: frozenset[NormalizedName] | None = None
    default_groups: frozenset[NormalizedName] = frozenset()
    roots: Roots | None = None
    project: int | None = None
    """Place of the project itself in `packages`; it never ships from the lock."""

    of_environment: bool = False
    """Whether it mixes what the project needs with other things, as Hatch's locks do.

    What ships of it is what the requirements of the project lead to.
    """

    overridden: frozenset[NormalizedName] = frozenset()
    """Packages that the user wants locked otherwise than metadata asks for, or not at all."""

    rewritten: frozenset[NormalizedName] = frozenset()
    """Packages whose requirements the user states in the place of their metadata."""

    indexes: IndexOptions = field(default_factory=IndexOptions)
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.path.name
