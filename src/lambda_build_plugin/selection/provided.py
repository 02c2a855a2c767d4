"""Leave out what is already provided by the runtime or by another artifact.

The chosen wheels are divided into those that ship, and the others with their reasons.
What only packages of the runtime (`provided`) need is left out with them. What another
artifact (`provided-by`) contains is left out if the version is the same; another version
is an error, because the order of `sys.path` would decide which one wins. Pure, except
for reading the metadata of wheels and artifacts.
"""

from __future__ import annotations

import re
import zipfile
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.errors import SettingsError, VerificationError, quoted
from lambda_build_plugin.runtime.sdk import SDK, SDK_HEADS
from lambda_build_plugin.selection.graph import extras_of, pruned, requirements_of
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.system.hashes import check_regular
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.file import BROKEN_ZIP, is_version, read_text
from lambda_build_plugin.wheel.metadata import headers

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName
    from packaging.version import Version

    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.wheel.file import Wheel

__all__ = [
    "Kept",
    "OtherVersionError",
    "Provider",
    "check_locked",
    "read_artifact",
    "reading",
    "without_artifacts",
    "without_provided",
]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Another artifact that is present when this one runs."""

    label: str
    path: Path
    """Its zip; if this run builds it, the temporary one until all outputs are in place."""

    size: int
    """Bytes, unzipped."""

    versions: Mapping[NormalizedName, str]
    """By name, for the distributions that are importable from it."""

    digests: Mapping[NormalizedName, str] = field(default_factory=dict)
    """The sha256 of their wheels, if known, in hexadecimal."""

    left_out: frozenset[str] = frozenset()
    """Names that the user has excluded from it, as far as that is known."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The chosen wheels that ship."""

    wheels: tuple[Wheel, ...]
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()


class OtherVersionError(VerificationError):
    """Another artifact contains a provided package in another version."""

    def __init__(self, clashes: Sequence[tuple[str, str, Provider]]) -> None:
        self.clashes = tuple(clashes)
        lines = [
            f"- {package} is locked, but {artifact.label} contains {version}"
            for package, version, artifact in clashes
        ]
        super().__init__(
            "provided packages have other versions than the lock",
            why=lines,
            hint="rebuild that artifact from this lock, or remove it from `provided-by`",
        )


def without_provided(
    wheels: Sequence[Wheel],
    provided: frozenset[NormalizedName],
    target: Target,
    *,
    roots: Sequence[Requirement],
    project: Mapping[NormalizedName, Sequence[Requirement]],
    locked: Container[NormalizedName],
) -> Kept:
    """Leave out what the runtime provides, and what nothing else needs.

    Args:
        wheels: What was chosen.
        provided: Names of what the runtime has.
        target: The target for which markers are evaluated.
        roots: What is requested; empty if that is unknown.
        project: What the project itself requires, by its name, if a root names it.
        locked: Names of all packages in the lock, including those for other targets.
    """
    requirements = {wheel.name: requirements_of(wheel.path) for wheel in wheels}
    offered = {wheel.name: extras_of(wheel.path) for wheel in wheels} if not roots else None
    gone = pruned(provided, roots, {**project, **requirements}, target, offered=offered)
    # A package that was deliberately kept out of the lock may still be required.
    asked = {
        canonicalize_name(requirement.name)
        for each in (roots, *project.values(), *requirements.values())
        for requirement in each
    }
    unknown = (
        f"`provided` names {name}, which is not in the lock"
        for name in sorted(provided)
        if name not in locked and name not in asked
    )
    kept = tuple(wheel for wheel in wheels if wheel.name not in gone)
    return Kept(
        wheels=kept,
        left_out=tuple(
            _left_out(wheel, _reason(gone[wheel.name])) for wheel in wheels if wheel.name in gone
        ),
        warnings=(*unknown, *_split_sdk(frozenset(gone), {wheel.name for wheel in kept})),
    )


def _left_out(wheel: Wheel, reason: str) -> LeftOut:
    return LeftOut(name=wheel.name, version=str(wheel.version), reason=reason)


def _reason(providers: Sequence[str]) -> str:
    if not providers:
        return "provided"
    verb = "is" if len(providers) == 1 else "are"
    return f"needed only by {' and '.join(providers)}, which {verb} provided"


def _split_sdk(gone: frozenset[NormalizedName], kept: set[NormalizedName]) -> Iterator[str]:
    """Warn if parts of the AWS SDK would come from the runtime and others from the lock."""
    of_runtime, shipped = sorted(SDK & gone), sorted(SDK & kept)
    if of_runtime and shipped and SDK_HEADS & {*of_runtime, *shipped}:
        yield (
            f"the AWS SDK is split: {', '.join(of_runtime)} from the runtime would run with "
            f"{', '.join(shipped)} from the artifact, in versions that were never tested together: "
            f"name also {quoted(shipped)} in `provided`, or ship all of it"
        )


def without_artifacts(wheels: Sequence[Wheel], artifacts: Sequence[Provider]) -> Kept:
    """Leave out what other artifacts contain in the same version.

    The version of what is built from the user's own folders does not identify its
    contents: it is left out only if an artifact contains the very same wheel. If it
    ships, Python finds the one in the function first.

    Raises:
        VerificationError: An artifact contains another version.
    """
    fetched = [wheel for wheel in wheels if wheel.source != "local"]
    held = _held({wheel.name: wheel.version for wheel in fetched}, artifacts)
    for wheel in wheels:
        for artifact in artifacts:
            if wheel.source == "local" and artifact.digests.get(wheel.name) == wheel.sha256:
                held[wheel.name] = artifact
    return Kept(
        wheels=tuple(wheel for wheel in wheels if wheel.name not in held),
        left_out=tuple(
            _left_out(wheel, f"provided by {held[wheel.name].label}")
            for wheel in wheels
            if wheel.name in held
        ),
    )


def check_locked(packages: Iterable[LockedPackage], artifacts: Sequence[Provider]) -> Kept:
    """Compare other artifacts with the lock, when nothing of the lock itself ships.

    Raises:
        VerificationError: An artifact contains a locked package in another version.
    """
    versions = {
        package.name: package.version
        for package in packages
        if package.version is not None and package.directory is None
    }
    held = _held(versions, artifacts)
    return Kept(
        wheels=(),
        left_out=tuple(
            LeftOut(
                name=name, version=str(versions[name]), reason=f"provided by {held[name].label}"
            )
            for name in sorted(held)
        ),
    )


def _held(
    versions: Mapping[NormalizedName, Version], artifacts: Sequence[Provider]
) -> dict[NormalizedName, Provider]:
    """Find which artifact contains which package.

    Raises:
        VerificationError: An artifact contains another version.
    """
    found: dict[NormalizedName, Provider] = {}
    clashes: list[tuple[str, str, Provider]] = []
    for name, version in versions.items():
        for artifact in artifacts:
            there = artifact.versions.get(name)
            if there is None:
                continue
            found.setdefault(name, artifact)
            if not is_version(there, version):
                clashes.append((f"{name} {version}", there, artifact))
    if clashes:
        raise OtherVersionError(sorted(clashes, key=lambda clash: clash[0]))
    return found


def read_artifact(path: Path, target: Target) -> Provider:
    """Read what a zip contains, in the root for functions and in Python's folders for layers.

    https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html#packaging-layers-paths

    Raises:
        SettingsError: It does not exist, or is not a zip file.
    """
    versions: dict[NormalizedName, str] = {}
    metadata = re.compile(
        rf"(?:python/(?:lib/{re.escape(target.runtime.name)}/site-packages/)?)?"
        r"[^/]+\.dist-info/METADATA"
    )
    with reading(path) as archive:
        for info in archive.infolist():
            if metadata.fullmatch(info.filename):
                found = headers(read_text(archive, info))
                name = canonicalize_name(found.get("name", ""))
                versions.setdefault(name, found.get("version", ""))
        size = sum(info.file_size for info in archive.infolist())
    return Provider(label=str(path), path=path, size=size, versions=versions)


@contextmanager
def reading(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip of another artifact for reading.

    Raises:
        SettingsError: It does not exist, is not a zip file, or is damaged.
    """
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (*BROKEN_ZIP, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            [f"provided-by: cannot read {path}: {reason or type(error).__name__}"],
            hint="name the zip of a layer or a function, or an artifact of this project",
        ) from error
