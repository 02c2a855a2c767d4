"""A zip as the checks see it, whatever tool made it: paths, contents, distributions, machine code.

Contents are read when a check asks for them, from the zip itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from contextlib import ExitStack
from dataclasses import field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.stage.contents import contents
from lambda_build_plugin.stage.tree import LAYER_FILES
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.module_index import ModuleIndex
from lambda_build_plugin.verify.paths import by_top_name
from lambda_build_plugin.verify.zip_format import is_folder
from lambda_build_plugin.wheel.file import read_text
from lambda_build_plugin.wheel.machine_code import Examiner
from lambda_build_plugin.wheel.members import Member, MemberReader
from lambda_build_plugin.wheel.metadata import headers, values

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Collection, Mapping, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.selection.provided import Provider
    from lambda_build_plugin.stage.tree import Distribution, StagedTree
    from lambda_build_plugin.wheel.integrity import MachineCodeOf
    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = [
    "NO_CODE",
    "ArtifactView",
    "Shipped",
    "artifact_of",
    "is_layer",
    "packed_artifact",
    "provider",
    "shipped",
    "shipped_from_note",
]

_LAYER_FOLDERS = ("python/", "bin/", "lib/", "extensions/")

_IMPORTABLE_AT_ROOT = re.compile(r"(?:[^/]+/)?[^/]+\.(?:py|pyc|so)|[^/]+\.dist-info/.*")

_KEPT = 4
"""Files that were read; several checks look at the handler's."""

NO_CODE = (
    *(".c", ".cfg", ".cpp", ".css", ".csv", ".f90", ".h", ".hpp", ".html", ".ini", ".js"),
    *(".json", ".md", ".pth", ".pxd", ".py", ".pyc", ".pyi", ".pyx", ".rst", ".toml", ".txt"),
    *(".typed", ".xml", ".yaml", ".yml"),
    *("/INSTALLER", "/LICENSE", "/METADATA", "/RECORD", "/REQUESTED", "/WHEEL"),
)
"""Endings of file names that are never loaded as machine code, whatever the files contain."""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A distribution that is in the artifact, by its own metadata."""

    name: NormalizedName
    version: Version | None
    """None if it is not a valid version (PEP 440)."""

    shown: str
    """Name and version as a person reads them."""

    requires: tuple[str, ...]
    """Each Requires-Dist as it is in the metadata."""

    requires_python: str = ""

    def as_note(self) -> list[object]:
        """Write it as JSON values."""
        version = None if self.version is None else str(self.version)
        return [self.name, version, self.shown, self.requires, self.requires_python]


def shipped_from_note(note: Sequence[Any]) -> Shipped:
    """Read what `Shipped.as_note` has written."""
    name, version, shown, requires, requires_python = note
    return Shipped(
        name=name,
        version=None if version is None else Version(version),
        shown=shown,
        requires=tuple(requires),
        requires_python=requires_python,
    )


@dataclass(frozen=True, kw_only=True)
class ArtifactView:
    """A function or a layer."""

    sizes: Mapping[str, int]
    """Uncompressed bytes of each file, by its path; sorted."""

    roots: tuple[str, ...]
    """Folders that are on `sys.path`, in that order: empty, or with a slash at the end."""

    read: Callable[[str], bytes]
    owner: Callable[[str], str]
    """The distribution that a path belongs to, as `name version`; empty if none claims it."""

    code: Mapping[str, MachineCode]
    distributions: tuple[Shipped, ...]

    own: frozenset[str] = frozenset()
    """Paths of the project's own code, and of that of local packages."""

    source: Callable[[str], bytes | None] = field(default=lambda _: None)
    """The source of a module whose bytecode alone ships, by its path; None where nobody has it."""

    @cached_property
    def index(self) -> ModuleIndex:
        """The modules in it."""
        return ModuleIndex((self,))

    @cached_property
    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        return list(self.sizes)

    @cached_property
    def names(self) -> Mapping[str, Mapping[str, list[str]]]:
        """By root, map what is directly in it to its own path, or the paths of its files."""
        paths = self.paths
        return {
            root: {
                name: paths[places.start : places.stop] for name, places in by_top_name(paths, root)
            }
            for root in self.roots
        }


def shipped(metadata: bytes) -> Shipped:
    """Read core metadata (packaging.python.org/specifications/core-metadata/)."""
    found = headers(metadata)
    name, version = found.get("name", ""), found.get("version", "")
    return Shipped(
        name=canonicalize_name(name),
        version=_version(version),
        shown=f"{canonicalize_name(name)} {version}".strip(),
        requires=tuple(values(metadata, "requires-dist")),
        requires_python=found.get("requires-python", ""),
    )


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def artifact_of(
    tree: StagedTree,
    archive: zipfile.ZipFile,
    code_of: MachineCodeOf,
    *,
    before: StagedTree | None = None,
) -> ArtifactView:
    """View the zip that was written from a tree.

    Args:
        tree: What should have been written.
        archive: What was written.
        code_of: The machine code in the wheels, as far as it is known.
        before: The tree with the sources, if bytecode replaced them.
    """
    infos = archive.NameToInfo
    shown: dict[str, str] = {
        dist.wheel.name: f"{dist.wheel.name} {dist.wheel.version}" for dist in tree.distributions
    }
    owners = {entry.path: entry.owner for entry in tree.entries}
    own: set[str] = {dist.wheel.name for dist in tree.distributions if dist.wheel.source == "local"}
    if tree.project is not None:
        own.add(tree.project.owner)
    own.add(LAYER_FILES)
    code: dict[str, MachineCode] = {}
    for entry in tree.entries:
        if isinstance(entry.data, Member) and entry.data.wheel in code_of:
            found = code_of[entry.data.wheel].get(entry.data.name)
        elif entry.path.endswith(NO_CODE):
            continue
        else:
            with Examiner() as examiner, archive.open(entry.path) as stream:
                while block := stream.read(1 << 18):
                    examiner.hear(block)
                found = examiner.found()
        if found is not None:
            code[entry.path] = found
    metadata = {dist: f"{tree.prefix}{dist.dist_info}/METADATA" for dist in tree.distributions}
    sources = {f"{entry.path}c": entry for entry in before.entries} if before else {}

    def source(path: str) -> bytes | None:
        return b"".join(contents([sources[path]])) if path in sources else None

    return ArtifactView(
        sizes={entry.path: entry.size for entry in tree.entries},
        roots=(tree.prefix,),
        read=lambda path: read_text(archive, infos[path]),
        owner=lambda path: shown.get(owners[path], owners[path]),
        code=code,
        distributions=tuple(
            shipped(read_text(archive, infos[path])) if path in infos else _unknown(dist)
            for dist, path in metadata.items()
        ),
        own=frozenset(path for path, owner in owners.items() if owner in own),
        source=source,
    )


def packed_artifact(
    tree: StagedTree,
    written: Written,
    code_of: MachineCodeOf,
    *,
    code: Mapping[str, MachineCode],
    distributions: Sequence[Shipped],
    source: Callable[[str], bytes | None],
) -> ArtifactView:
    """View a zip of which most files were already packed, and do not have to be read again.

    Args:
        tree: What was to be written.
        written: What was written.
        code_of: The machine code in the wheels of the other files.
        code: The machine code in the packed files, by path.
        distributions: The metadata of the packed distributions.
        source: Reads the source of a module whose bytecode alone ships, by its path.
    """
    paths = [entry.path for entry in tree.entries]
    shown: dict[str, str] = {
        dist.wheel.name: f"{dist.wheel.name} {dist.wheel.version}" for dist in tree.distributions
    }

    @lru_cache(maxsize=_KEPT)
    def read(path: str) -> bytes:
        with ExitStack() as stack:
            return MemberReader(stack).content(written.member(bisect_left(paths, path), path))

    def owner(path: str) -> str:
        name = tree.entries[bisect_left(paths, path)].owner
        return shown.get(name, name)

    found = dict(code)
    for entry in tree.not_packed:
        data = entry.data
        if isinstance(data, Member) and (
            machine_code := code_of.get(data.wheel, {}).get(data.name)
        ):
            found[entry.path] = machine_code
    known = {each.name for each in distributions}
    others = [
        shipped(read(f"{tree.prefix}{dist.dist_info}/METADATA"))
        for dist in tree.distributions
        if dist.wheel.name not in known
    ]
    return ArtifactView(
        sizes=dict(zip(paths, [entry.size for entry in tree.entries], strict=True)),
        roots=(tree.prefix,),
        read=read,
        owner=owner,
        code={path: found[path] for path in sorted(found)},
        distributions=tuple(sorted((*distributions, *others), key=lambda each: each.name)),
        own=frozenset(entry.path for entry in tree.not_packed),
        source=source,
    )


def _unknown(distribution: Distribution) -> Shipped:
    """Describe a distribution that ships without metadata: it exists, and requires nothing."""
    wheel = distribution.wheel
    return Shipped(
        name=wheel.name, version=wheel.version, shown=f"{wheel.name} {wheel.version}", requires=()
    )


def is_layer(paths: Collection[str]) -> bool:
    """Distinguish a layer from a function by the paths of its files.

    A function has modules, packages or metadata at its root. A layer has them in `python/`, with
    nothing but other files next to it, or it has only programs and libraries.
    """
    others = [path for path in paths if not path.startswith(_LAYER_FOLDERS)]
    if any(map(_IMPORTABLE_AT_ROOT.fullmatch, others)):
        return False
    if any(path.startswith("python/") for path in paths):
        return True
    return bool(paths) and not others and not any(path.endswith(".py") for path in paths)


def provider(artifact: Provider, target: Target) -> ArtifactView:
    """View another artifact for what it provides; its machine code is not checked here.

    Args:
        artifact: What `provided-by` names.
        target: The Python that uses it: a layer has two folders on its `sys.path`.

    Raises:
        SettingsError: It cannot be read (any more); also later, when a file of it is read.
    """
    from lambda_build_plugin.selection.provided import reading

    with reading(artifact.path) as archive:
        files = [info for info in archive.infolist() if not is_folder(info)]
    sizes = {info.filename: info.file_size for info in sorted(files, key=lambda i: i.filename)}

    def read(path: str) -> bytes:
        with reading(artifact.path) as archive:
            return read_text(archive, archive.getinfo(path))

    of_its_python = f"python/lib/{target.runtime.name}/site-packages/"
    return ArtifactView(
        sizes=sizes,
        roots=(of_its_python, "python/") if is_layer(sizes) else ("",),
        read=read,
        owner=lambda _: artifact.label,
        code={},
        distributions=tuple(
            Shipped(name=name, version=_version(said), shown=f"{name} {said}", requires=())
            for name, said in artifact.versions.items()
        ),
    )
