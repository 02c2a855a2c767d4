"""The requirements in a requirements file, each pinned to a version, a file or a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin import urls
from lambda_build_plugin.config.tables import is_nested_deeply
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.errors import InvalidLockError
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    VCS_KINDS,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
)
from lambda_build_plugin.lock.requirements_lines import bad_line, bad_url
from lambda_build_plugin.system.hashes import strongest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.requirements_lines import Line
    from lambda_build_plugin.system.hashes import Digest

__all__ = [
    "Pin",
    "check_freeze_artefact",
    "digests_in",
    "is_open",
    "locked_package",
    "needs_hash",
    "requirement_of",
]

_REPOSITORY = re.compile(
    rf"(?:{'|'.join(VCS_KINDS)})\+[^\s#]*/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)(?:\.git)?(?:@|#|\s|$)"
)
_CONDA = re.compile(r"/(?:croot|feedstock_root|conda-bld|tmp/build/[0-9a-f]{8})/")
"""Folders on the machines that build conda's packages."""

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One requirement with its hashes."""

    requirement: Requirement
    digests: tuple[Digest, ...]
    line: Line
    local: LockedDirectory | LockedFile | None = None
    config_settings: Mapping[str, str | list[str]] = field(default_factory=dict)
    """What its backend is passed (PEP 517)."""

    def __str__(self) -> str:
        return str(self.line)

    @property
    def name(self) -> NormalizedName:
        """The name of the package, normalized."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str | None:
        """The one version that it pins, or None."""
        admitted = {
            specifier.version
            if specifier.operator in {"==", "==="} and not specifier.version.endswith(".*")
            else None
            for specifier in self.requirement.specifier
        }
        return admitted.pop() if len(admitted) == 1 else None


def requirement_of(line: Line, text: str) -> Requirement:
    """Parse the requirement of a line (PEP 508).

    Raises:
        InvalidLockError: It is not a requirement.
    """
    try:
        requirement = Requirement(text)
        hash(requirement)  # parses the numbers, which may have too many digits
    except RecursionError as error:
        raise bad_line(line, f"`{line}` is nested too deep") from error
    except ValueError as error:
        if is_nested_deeply(text):
            raise bad_line(line, f"`{line}` is nested too deep") from error
        raise InvalidLockError(
            line.path,
            f"line {line.number}: `{line.shown(text)}` is not a requirement (PEP 508)",
            hint=_hint(line, text),
        ) from error
    return requirement


def _hint(line: Line, text: str) -> str:
    """Say how to write a requirement; a repository needs a name in front of its URL."""
    match = _REPOSITORY.match(text)
    if match is None or text not in line.raw:
        return "write `name==version`, followed by its hashes as `--hash=sha256:…`"
    scheme = text.partition("://")[0]  # the rest may have a login, which is not shown
    return f"write the name of the package in front of the URL: `{match['name']} @ {scheme}://…`"


def check_freeze_artefact(pin: Pin) -> None:
    """Refuse what `pip freeze` writes although no index has it.

    Debian and Ubuntu put a distribution `pkg-resources 0.0.0` into virtual environments
    (https://bugs.debian.org/871790), a package without metadata is `UNKNOWN 0.0.0`, and conda
    leaves the folders in which it built its packages.

    Raises:
        InvalidLockError: It says what to write instead.
    """
    if pin.name in {"pkg-resources", "unknown"} and pin.version == "0.0.0":
        raise InvalidLockError(
            pin.line.path,
            f"line {pin.line.number}: `{pin}` is not a package of any index: `pip freeze` finds "
            "it in the environments of Debian and Ubuntu, or where a package has no metadata",
            hint="delete the line",
        )
    local = pin.local.path if pin.local is not None else None
    if local is not None and _CONDA.search(local.as_posix()) and not local.exists():
        raise InvalidLockError(
            pin.line.path,
            f"line {pin.line.number}: `{pin}` names the folder in which conda built the package",
            hint=f"write `{pin.name}==VERSION`; `pip list --format=freeze` lists the versions "
            "of all packages",
        )


def digests_in(url: str) -> tuple[Digest, ...]:
    """Get the digest in the fragment of a URL, `#sha256=…`."""
    try:
        found = strongest(_fragment(url))
    except ValueError:
        return ()
    return () if found is None else (found,)


def is_open(pin: Pin) -> bool:
    """Tell whether a line does not pin a version or commit."""
    if pin.requirement.url is None:
        return pin.version is None
    vcs = _vcs(pin.requirement.url)
    return vcs is not None and not (
        _COMMIT.fullmatch(vcs.commit) if vcs.kind in {"git", "hg"} else vcs.commit
    )


def needs_hash(pin: Pin) -> bool:
    """Tell whether a line is one that can have hashes."""
    return pin.local is None and _vcs(pin.requirement.url or "") is None


def locked_package(pin: Pin) -> LockedPackage:
    """Turn a pinned requirement into a locked package.

    Raises:
        InvalidLockError: Its marker, version or URL is not one.
    """
    package = LockedPackage(name=pin.name, at=pin.line.at, marker=_marker(pin))
    if isinstance(pin.local, LockedDirectory):
        return replace(package, directory=pin.local)
    if isinstance(pin.local, LockedFile):
        return fields.with_file(package, pin.local)
    if pin.requirement.url is not None:
        return _from_url(package, pin.requirement.url, pin)
    package = replace(package, version=_version(pin))
    if not pin.digests:
        return replace(package, unhashed=True)
    return replace(package, unnamed=tuple(LockedFile(digest=value) for value in pin.digests))


def _marker(pin: Pin) -> LockMarker | None:
    marker = pin.requirement.marker
    try:
        return LockMarker.parse(str(marker)) if marker else None
    except ValueError as error:
        problem = (
            str(error) if pin.line.raw == pin.line.text else f"the marker of `{pin}` is not valid"
        )
        raise bad_line(pin.line, problem) from error


def _version(pin: Pin) -> Version:
    try:
        return Version(pin.version or "")
    except ValueError as error:
        version = pin.line.shown(pin.version or "")
        raise InvalidLockError(
            pin.line.path,
            f"line {pin.line.number}: `{version}` is not a version (PEP 440)",
            hint="pin a version that the index has",
        ) from error


def _from_url(package: LockedPackage, url: str, pin: Pin) -> LockedPackage:
    """Read `name @ URL`: a commit of a repository, a wheel or an archive."""
    if (vcs := _vcs(url)) is not None:
        return replace(package, vcs=vcs)
    bare = url.partition("#")[0]
    try:
        filename = urls.filename_of(bare)
    except ValueError as error:
        raise bad_url(pin.line, bare, error) from error
    file = LockedFile(
        digest=pin.digests[0] if pin.digests else None,
        filename=filename,
        url=bare,
        subdirectory=_fragment(url).get("subdirectory"),
    )
    return fields.with_file(package, file)


def _vcs(url: str) -> LockedVcs | None:
    """Read `git+URL@COMMIT#subdirectory=…`; None for any other URL."""
    kind, plus, rest = url.partition("+")
    if not plus or kind not in VCS_KINDS:
        return None
    location = rest.partition("#")[0]
    scheme, separator, remainder = location.partition("://")
    host, slash, path = remainder.partition("/")
    path, _, commit = path.partition("@")
    return LockedVcs(
        kind=kind,
        url=f"{scheme}{separator}{host}{slash}{path}",
        commit=commit,
        subdirectory=_fragment(url).get("subdirectory"),
    )


def _fragment(url: str) -> dict[str, str]:
    """Split the fragment `#key=value&key=value` of a URL."""
    return dict(item.partition("=")[::2] for item in url.partition("#")[2].split("&"))
