"""Requirements files (pip's format; uv, pip-tools and rye write it) → `Lock`.

The format is pip's: https://pip.pypa.io/en/stable/reference/requirements-file-format/.
As a lock it must pin every line with `==`. With hashes it vouches for files, but
knows neither their names nor their addresses; without, it vouches for versions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from lambda_build_plugin.lock import parts
from lambda_build_plugin.lock.failures import (
    InvalidLockError,
    MissingHashError,
    UnlockedRequirementError,
)
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    IndexOptions,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.model import Digest
    from lambda_build_plugin.lock.parts import Context

__all__ = ["read"]

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_HASH = re.compile(r"\s--hash(?:=|\s+)(?P<hash>\S+)")
_OPTION = re.compile(r"(?P<name>--?[a-zA-Z][\w-]*)(?:\s*=\s*|\s+|$)?(?P<value>.*)")
_DEEPEST_NESTING = 20

_IGNORED = {
    # What pip or uv would do with these does not change what is locked.
    "--no-binary",
    "--only-binary",
    "--pre",
    "--prefer-binary",
    "--require-hashes",
    "--trusted-host",
    "--use-feature",
}
_SHORT = {
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "-r": "--requirement",
    "--pypi-url": "--index-url",
}
_TAKEN_WITHOUT_SPACE = re.compile(r"-(?P<letter>[cefir])(?P<value>[^\s-].*)")


def read(path: Path, context: Context) -> Lock:
    """Read a requirements file with everything that it includes.

    Raises:
        LockError: It cannot be read, leaves a version open, or mixes hashed and
            unhashed lines.
    """
    return _Reader(path, context).lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One logical line, continuations joined, comments gone, variables filled in."""

    path: Path
    number: int
    text: str

    @property
    def at(self) -> str:
        return f"{self.path.name}, line {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pin:
    """One requirement with its hashes."""

    requirement: Requirement
    digests: tuple[Digest, ...]
    line: _Line
    local: LockedDirectory | LockedFile | None = None

    @property
    def name(self) -> NormalizedName:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str | None:
        """The one version it admits, or None."""
        exact = [
            specifier.version
            for specifier in self.requirement.specifier
            if specifier.operator in {"==", "==="} and not specifier.version.endswith(".*")
        ]
        return exact[0] if len(self.requirement.specifier) == 1 and exact else None


@dataclass(slots=True)
class _Gathered:
    """What the files hold, while they are read."""

    pins: list[_Pin] = field(default_factory=list)
    constraints: list[_Pin] = field(default_factory=list)
    index_url: str | None = None
    extra_index_urls: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False


class _Reader:
    """Reads one file and its includes."""

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._context = context
        self._gathered = _Gathered()
        self._remedy = (
            "rye lock --generate-hashes"
            if path.name == "requirements.lock"
            else f"uv pip compile --universal --generate-hashes {path.stem}.in -o {path.name}"
        )

    def lock(self) -> Lock:
        self._read(self._path, constraint=False, depth=0)
        gathered = self._gathered
        pins = [self._constrained(pin) for pin in gathered.pins]
        self._check_pinned(pins)
        hashed = [pin for pin in pins if pin.digests]
        bare = [pin for pin in pins if not pin.digests and _needs_hash(pin)]
        if hashed and bare:
            raise MissingHashError(
                self._path,
                [f"{pin.line.at}: {pin.requirement}" for pin in bare],
                remedy=self._remedy,
            )
        return Lock(
            path=self._path,
            kind="requirements file",
            remedy=self._remedy,
            packages=tuple(_merged(self._package(pin) for pin in pins)),
            indexes=IndexOptions(
                index_url=gathered.index_url,
                extra_index_urls=tuple(gathered.extra_index_urls),
                find_links=tuple(gathered.find_links),
                no_index=gathered.no_index,
            ),
            warnings=(_unhashed_warning(self._path),) if bare else (),
        )

    def _read(self, path: Path, *, constraint: bool, depth: int) -> None:
        if depth > _DEEPEST_NESTING:
            raise InvalidLockError(
                path, "its -r and -c lines include each other", hint="remove the circle"
            )
        for line in self._lines(path):
            if line.text.startswith("-"):
                self._option(line, constraint=constraint, depth=depth)
            else:
                self._add(self._pin(line, line.text), constraint=constraint)

    def _lines(self, path: Path) -> Iterator[_Line]:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise InvalidLockError(
                path, f"{path} cannot be read: {error.strerror}", hint="check the path"
            ) from error
        except UnicodeDecodeError as error:
            raise InvalidLockError(path, "it is not UTF-8 text", hint="save it as UTF-8") from error
        for number, joined in _joined(text):
            stripped = _COMMENT.sub("", joined).strip()
            if stripped:
                yield _Line(path=path, number=number, text=self._filled(stripped))

    def _filled(self, text: str) -> str:
        """Fill in `${VARIABLE}`; an unset one stays as it is, as in pip."""
        environ = self._context.environ
        return _VARIABLE.sub(lambda match: environ.get(match[1]) or match[0], text)

    def _option(self, line: _Line, *, constraint: bool, depth: int) -> None:
        name, value = _split_option(line)
        gathered = self._gathered
        match name:
            case "--requirement" | "--constraint":
                self._read(
                    line.path.parent / value,
                    constraint=constraint or name == "--constraint",
                    depth=depth + 1,
                )
            case "--index-url":
                gathered.index_url = value
            case "--extra-index-url":
                gathered.extra_index_urls.append(value)
            case "--find-links":
                gathered.find_links.append(_located(line, value))
            case "--no-index":
                gathered.no_index = True
            case "--editable":
                self._add(self._pin(line, value), constraint=constraint)
            case _ if name in _IGNORED:
                return
            case _:
                raise InvalidLockError(
                    line.path,
                    f"line {line.number}: the option `{name}` is not known",
                    hint="remove it, or report it if pip accepts it",
                )

    def _add(self, pin: _Pin | None, *, constraint: bool) -> None:
        if pin is not None:
            (self._gathered.constraints if constraint else self._gathered.pins).append(pin)

    def _pin(self, line: _Line, text: str) -> _Pin | None:
        """Read one requirement; None for the project itself (`-e file:.`, `.`)."""
        digests = tuple(self._digests(line, text))
        text = _HASH.sub("", text).strip()
        if (path := _local_path(line, text)) is not None:
            if parts.is_project(path, self._context.project):
                return None
            return _local_pin(line, path, digests)
        try:
            return _Pin(requirement=Requirement(text), digests=digests, line=line)
        except InvalidRequirement as error:
            raise InvalidLockError(
                line.path,
                f"line {line.number}: `{_redacted(text)}` is no requirement (PEP 508)",
                hint="write `name==version`, and hashes behind it as `--hash=sha256:…`",
            ) from error

    def _digests(self, line: _Line, text: str) -> Iterator[Digest]:
        for match in _HASH.finditer(f" {text}"):
            algorithm, _, value = match["hash"].partition(":")
            try:
                found = digest(algorithm, value)
            except ValueError as error:
                raise InvalidLockError(
                    line.path, f"line {line.number}: {error}", hint=f"lock again: `{self._remedy}`"
                ) from error
            if found is not None:
                yield found

    def _constrained(self, pin: _Pin) -> _Pin:
        """Let constraints pin what a line leaves open; pip adds their hashes too."""
        for constraint in self._gathered.constraints:
            if constraint.name != pin.name or constraint.version is None:
                continue
            if pin.version is not None and pin.version != constraint.version:
                raise InvalidLockError(
                    self._path,
                    f"{pin.line.at} pins {pin.requirement}, {constraint.line.at} pins "
                    f"{constraint.requirement}",
                    hint="let one of them go",
                )
            requirement = Requirement(str(pin.requirement))
            if constraint.requirement.marker is None:
                requirement.specifier = constraint.requirement.specifier
                pin = replace(
                    pin,
                    requirement=requirement,
                    digests=tuple(dict.fromkeys((*pin.digests, *constraint.digests))),
                )
        return pin

    def _check_pinned(self, pins: Sequence[_Pin]) -> None:
        open_lines = [
            f"{pin.line.at}: {_redacted(str(pin.requirement))}"
            for pin in pins
            if pin.local is None and pin.requirement.url is None and pin.version is None
        ]
        if open_lines:
            raise UnlockedRequirementError(self._path, open_lines)

    def _package(self, pin: _Pin) -> LockedPackage:
        marker = pin.requirement.marker
        package = LockedPackage(
            name=pin.name,
            at=pin.line.at,
            marker=LockMarker(str(marker)) if marker else None,
        )
        if isinstance(pin.local, LockedDirectory):
            return replace(package, directory=pin.local)
        if isinstance(pin.local, LockedFile):
            return replace(package, archive=pin.local)
        if pin.requirement.url is not None:
            return _from_url(package, pin.requirement.url, pin)
        package = replace(package, version=_version(pin))
        if not pin.digests:
            return replace(package, unhashed=True)
        return replace(package, unnamed=tuple(LockedFile(digest=value) for value in pin.digests))


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Join lines that end in a backslash; a comment line ends the joining, as in pip."""
    parts_of_line: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if not parts_of_line:
            first = number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            parts_of_line.append(line[:-1])
            continue
        parts_of_line.append(f" {line}" if is_comment else line)
        yield first, " ".join(parts_of_line)
        parts_of_line = []
    if parts_of_line:
        yield first, " ".join(parts_of_line)


def _split_option(line: _Line) -> tuple[str, str]:
    if match := _TAKEN_WITHOUT_SPACE.fullmatch(line.text):
        return _SHORT[f"-{match['letter']}"], match["value"].strip()
    match = _OPTION.fullmatch(line.text)
    if match is None:
        raise InvalidLockError(
            line.path,
            f"line {line.number}: `{_redacted(line.text)}` is neither option nor requirement",
            hint="remove it",
        )
    name = _SHORT.get(match["name"], match["name"])
    return name, match["value"].strip().strip("\"'")


def _located(line: _Line, value: str) -> str:
    """Bring a find-links value that is a path into absolute form."""
    return value if "://" in value else str((line.path.parent / value).resolve())


def _local_path(line: _Line, text: str) -> Path | None:
    """Get the path of `file:.`, `./lib`, `../lib` or `/abs`; None for anything else."""
    bare = re.split(r"\s+;|\s+--", text)[0].strip()
    bare = re.sub(r"(?<=[\w.\])])\[[\w,\s.-]+\]$", "", bare)
    if bare.startswith("file:"):
        location = bare.partition("#")[0].removeprefix("file:")
        if location.startswith("//"):
            return parts.path_of(bare)
        return line.path.parent / location
    if bare == "." or bare.startswith(("./", "../", "/")) or bare == "..":
        return line.path.parent / bare
    return None


def _local_pin(line: _Line, path: Path, digests: tuple[Digest, ...]) -> _Pin:
    if path.suffix == ".whl" or path.name.endswith(parts.sdist_suffixes):
        name = path.name.split("-")[0]
        local: LockedDirectory | LockedFile = LockedFile(
            digest=digests[0] if digests else None, filename=path.name, path=path
        )
    else:
        name = path.resolve().name
        local = LockedDirectory(path=path)
    return _Pin(
        requirement=Requirement(canonicalize_name(name) or "local"),
        digests=digests,
        line=line,
        local=local,
    )


def _from_url(package: LockedPackage, url: str, pin: _Pin) -> LockedPackage:
    """Read `name @ URL`: a commit of a repository, or an archive."""
    kind, plus, rest = url.partition("+")
    if plus and kind in {"git", "hg", "svn", "bzr"}:
        location, _, fragment = rest.partition("#")
        head, at, commit = location.rpartition("@")
        options = dict(item.partition("=")[::2] for item in fragment.split("&"))
        return replace(
            package,
            vcs=LockedVcs(
                kind=kind,
                url=head if at and "/" not in commit else location,
                commit=commit if at and "/" not in commit else "",
                subdirectory=options.get("subdirectory"),
            ),
        )
    bare, _, fragment = url.partition("#")
    algorithm, _, value = fragment.partition("=")
    try:
        in_fragment = digest(algorithm, value)
    except ValueError:
        in_fragment = None
    found = pin.digests[0] if pin.digests else in_fragment
    file = LockedFile(digest=found, filename=parts.filename_of(bare), url=bare)
    if (file.filename or "").endswith(".whl"):
        return replace(package, wheels=(file,))
    return replace(package, archive=file)


def _needs_hash(pin: _Pin) -> bool:
    """Tell whether a line is one that hashes could vouch for."""
    return pin.local is None and not (pin.requirement.url or "").startswith(("git+", "hg+", "svn+"))


def _merged(packages: Iterator[LockedPackage]) -> Iterator[LockedPackage]:
    """Merge lines that name one version twice under different markers."""
    by_key: defaultdict[tuple[str, str], list[LockedPackage]] = defaultdict(list)
    for package in packages:
        by_key[package.key].append(package)
    for same in by_key.values():
        first, markers = same[0], [package.marker for package in same]
        if len(same) == 1 or not first.version:
            yield from same
            continue
        joined = (
            None
            if None in markers
            else LockMarker(" or ".join(f"({marker})" for marker in markers))
        )
        files = dict.fromkeys(file for package in same for file in package.unnamed)
        yield replace(first, marker=joined, unnamed=tuple(files))


def _version(pin: _Pin) -> Version:
    try:
        return Version(pin.version or "")
    except InvalidVersion as error:
        raise InvalidLockError(
            pin.line.path,
            f"line {pin.line.number}: `{pin.version}` is no version (PEP 440)",
            hint="pin a version that the index has",
        ) from error


def _unhashed_warning(path: Path) -> str:
    return (
        f"{path.name} has no hashes: versions are pinned, but the index decides which files "
        "they are"
    )


def _redacted(text: str) -> str:
    """Hide what may be a password in a URL."""
    return re.sub(r"//[^/@\s]+@", "//…@", text)
