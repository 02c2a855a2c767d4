"""Requirements files (pip's format; uv, pip-tools and rye write it) → `Lock`.

The format is pip's: https://pip.pypa.io/en/stable/reference/requirements-file-format/.
As a lock it must pin every line with `==`. With hashes it vouches for files, but
knows neither their names nor their addresses; without, it vouches for versions.
"""

from __future__ import annotations

import codecs
import re
import shlex
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin import urls
from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.errors import (
    InvalidLockError,
    MissingHashError,
    UnlockedRequirementError,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
    sdist_suffixes,
)
from lambda_build_plugin.system.hashes import digest, strongest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.fields import Context
    from lambda_build_plugin.system.hashes import Digest

__all__ = ["read"]

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_HASH = re.compile(r"""\s--hash(?:=|\s+)["']?(?P<hash>[^\s"']+)["']?""")
_EDITABLE = re.compile(
    r"""(?:-e\s*|--editable(?:\s+|\s*=\s*))(?P<quote>["']?)(?P<value>.+)(?P=quote)"""
)
_SHORT_OPTION = re.compile(r"(?P<name>-[a-z])(?P<value>[^\s-].*)")
_EXTRAS = re.compile(r"(?<=[\w.\])/])\[[\w,\s.-]+\]$")
_VCS = ("git", "hg", "svn", "bzr")
_NAMED_BY_EGG = re.compile(
    rf"(?:{'|'.join(_VCS)})\+[^\s#]+#(?:[^\s#]*&)?egg=(?P<name>[A-Za-z0-9][\w.-]*)"
)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_DEEPEST = 100
"""How many files may include each other in a row."""

_VALUED = {
    "--constraint",
    "--editable",
    "--extra-index-url",
    "--find-links",
    "--index-url",
    "--requirement",
    # What pip or uv would do with these does not change what is locked.
    "--all-releases",
    "--no-binary",
    "--only-binary",
    "--only-final",
    "--trusted-host",
    "--use-feature",
}
_FLAGS = {"--no-index", "--pre", "--prefer-binary", "--require-hashes"}
_SHORT = {
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "-r": "--requirement",
    "--pypi-url": "--index-url",
}


def read(path: Path, context: Context) -> Lock:
    """Read a requirements file with everything that it includes.

    Raises:
        LockError: It cannot be read, leaves a version open, or has hashes for some
            lines only.
    """
    return _Reader(path, context).lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One logical line, continuations joined and comments gone."""

    path: Path
    number: int
    raw: str
    text: str
    """With the variables filled in, whose values no message may show."""

    @property
    def at(self) -> str:
        return f"{self.path.name}, line {self.number}"

    def __str__(self) -> str:
        """Spell it as it stands in the file, without hashes and passwords."""
        return excerpt(urls.redacted_text(_HASH.sub("", self.raw)))

    def shown(self, part: str) -> str:
        """Spell a part of it; where a variable filled that in, the whole line."""
        return excerpt(urls.redacted_text(part)) if part in self.raw else str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pin:
    """One requirement with its hashes."""

    requirement: Requirement
    digests: tuple[Digest, ...]
    line: _Line
    local: LockedDirectory | LockedFile | None = None

    def __str__(self) -> str:
        return str(self.line)

    @property
    def name(self) -> NormalizedName:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str | None:
        """The one version it admits, or None."""
        admitted = {
            specifier.version
            if specifier.operator in {"==", "==="} and not specifier.version.endswith(".*")
            else None
            for specifier in self.requirement.specifier
        }
        return admitted.pop() if len(admitted) == 1 else None


@dataclass(slots=True)
class _Gathered:
    """What the files hold, while they are read."""

    pins: list[_Pin] = field(default_factory=list)
    constraints: list[_Pin] = field(default_factory=list)
    index_url: str | None = None
    extra_index_urls: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    require_hashes: bool = False


class _Reader:
    """Reads one file and its includes."""

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._context = context
        self._gathered = _Gathered()
        self._remedy = _remedy(path)

    def lock(self) -> Lock:
        self._read(self._path, constraint=False, within=())
        gathered = self._gathered
        pins = [self._constrained(pin) for pin in gathered.pins]
        self._check_pinned(pins)
        hashed = [pin for pin in pins if pin.digests]
        bare = [pin for pin in pins if not pin.digests and _needs_hash(pin)]
        if bare and (hashed or gathered.require_hashes):
            raise MissingHashError(
                self._path,
                [f"{pin.line.at}: {pin}" for pin in bare],
                remedy=self._remedy,
            )
        return Lock(
            path=self._path,
            kind=FORMATS["requirements file"].name,
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

    def _read(self, path: Path, *, constraint: bool, within: tuple[Path, ...]) -> None:
        """Read one file; `within` are those that include it, the outermost first."""
        if len(within) > _DEEPEST:
            raise InvalidLockError(
                path,
                f"its -r and -c lines go more than {_DEEPEST} files deep",
                hint="include the files from one that lists them all",
            )
        if path.resolve() in within:
            circle = " → ".join(file.name for file in (*within, path))
            raise InvalidLockError(
                path, f"its -r and -c lines go in a circle: {circle}", hint="remove one of them"
            )
        for line in self._lines(path):
            if line.text.startswith("-"):
                for name, value in _options(line):
                    self._option(
                        line,
                        name,
                        value,
                        constraint=constraint,
                        within=(*within, path.resolve()),
                    )
            else:
                self._add(self._pin(line, line.text), constraint=constraint)

    def _lines(self, path: Path) -> Iterator[_Line]:
        try:
            text = _decoded(path.read_bytes())
        except OSError as error:
            raise InvalidLockError(
                path, f"{path} cannot be read: {error.strerror}", hint="check the path"
            ) from error
        except UnicodeDecodeError as error:
            raise InvalidLockError(path, "it is not UTF-8 text", hint="save it as UTF-8") from error
        for number, joined in _joined(text):
            stripped = _COMMENT.sub("", joined).strip()
            if stripped:
                line = _Line(path=path, number=number, raw=stripped, text=self._filled(stripped))
                if "\0" in stripped:
                    raise _bad_line(line, "holds a NUL character")
                yield line

    def _filled(self, text: str) -> str:
        """Fill in `${VARIABLE}`; an unset one stays as it is, as in pip."""
        environ = self._context.environ
        return _VARIABLE.sub(lambda match: environ.get(match[1]) or match[0], text)

    def _option(
        self, line: _Line, name: str, value: str, *, constraint: bool, within: tuple[Path, ...]
    ) -> None:
        gathered = self._gathered
        match name:
            case "--requirement" | "--constraint":
                self._read(
                    _included(line, value),
                    constraint=constraint or name == "--constraint",
                    within=within,
                )
            case "--index-url":
                gathered.index_url = value
            case "--extra-index-url":
                gathered.extra_index_urls.append(value)
            case "--find-links":
                gathered.find_links.append(self._find_links(line, value))
            case "--no-index":
                gathered.no_index = True
            case "--require-hashes":
                gathered.require_hashes = True
            case "--editable":
                self._add(self._pin(line, value), constraint=constraint)
            case _:
                return

    def _add(self, pin: _Pin | None, *, constraint: bool) -> None:
        if pin is not None:
            (self._gathered.constraints if constraint else self._gathered.pins).append(pin)

    def _pin(self, line: _Line, text: str) -> _Pin | None:
        """Read one requirement; None for the project itself (`-e file:.`, `.`)."""
        digests = tuple(self._digests(line, text))
        text = _HASH.sub("", f" {text}").strip()
        if (local := _split_local(text)) is not None:
            location, condition = local
            path = self._path_of(line, location)
            name = f"{_local_name(path)} ; {condition}" if condition else _local_name(path)
            return self._local_pin(path, _requirement(line, name), digests, line)
        if match := _NAMED_BY_EGG.match(text):
            text = f"{match['name']} @ {text}"
        requirement = _requirement(line, text)
        url = requirement.url or ""
        if url.startswith("file:"):
            path = self._path_of(line, url.partition("#")[0])
            return self._local_pin(path, requirement, digests, line)
        return _Pin(requirement=requirement, digests=digests or _in_fragment(url), line=line)

    def _local_pin(
        self, path: Path, requirement: Requirement, digests: tuple[Digest, ...], line: _Line
    ) -> _Pin | None:
        local: LockedDirectory | LockedFile
        if _is_archive(path.name):
            local = LockedFile(
                digest=digests[0] if digests else None, filename=path.name, path=path
            )
        elif fields.is_project(path, self._context.project):
            return None
        else:
            local = LockedDirectory(path=path)
        return _Pin(requirement=requirement, digests=digests, line=line, local=local)

    def _path_of(self, line: _Line, location: str) -> Path:
        """Find a local source: beside the file (uv, rye), or in the project (pip's folder)."""
        if location.startswith("file://"):
            return _path_of(line, location)
        relative = unquote(location[5:]) if location.startswith("file:") else location
        if "\0" in relative:
            raise _bad_line(line, f"`{line}` holds a NUL character")
        beside = line.path.parent / relative
        in_project = self._context.project.root / relative
        return in_project if _is_source(in_project) and not _is_source(beside) else beside

    def _find_links(self, line: _Line, value: str) -> str:
        """Bring a find-links value that is a path into absolute form, as pip finds it."""
        if "://" in value:
            return value
        beside = line.path.parent / value
        return str((beside if beside.exists() else self._context.project.root / value).resolve())

    def _digests(self, line: _Line, text: str) -> Iterator[Digest]:
        for match in _HASH.finditer(f" {text}"):
            algorithm, _, value = match["hash"].partition(":")
            try:
                found = digest(algorithm, value)
                problem = f"`{algorithm}` is no digest that vouches for a file"
            except ValueError as error:
                found, problem = None, str(error)
            if found is None and match["hash"] not in line.raw:
                problem = "what a variable fills in is no digest that vouches for a file"
            if found is None:
                raise InvalidLockError(
                    line.path,
                    f"line {line.number}: {problem}",
                    hint=f"lock again: `{self._remedy}`",
                )
            yield found

    def _constrained(self, pin: _Pin) -> _Pin:
        """Let constraints pin what a line leaves open; pip adds their hashes too.

        A constraint with a marker of its own binds in some environments only, so it pins
        nothing here.
        """
        if pin.local is not None or pin.requirement.url is not None:
            return pin
        for constraint in self._gathered.constraints:
            if constraint.name == pin.name and constraint.requirement.marker is None:
                self._check_agreed(pin, constraint)
                if constraint.version is not None:
                    requirement = Requirement(str(pin.requirement))
                    requirement.specifier = constraint.requirement.specifier
                    digests = tuple(dict.fromkeys((*pin.digests, *constraint.digests)))
                    pin = replace(pin, requirement=requirement, digests=digests)
        return pin

    def _check_agreed(self, pin: _Pin, constraint: _Pin) -> None:
        """Refuse a pin that a constraint forbids, on either side."""
        for version, other in ((pin.version, constraint), (constraint.version, pin)):
            specifier = other.requirement.specifier
            if version is not None and not specifier.contains(version, prereleases=True):
                raise InvalidLockError(
                    self._path,
                    f"{pin.line.at} asks for {pin}, {constraint.line.at} for {constraint}",
                    hint="let one of them go",
                )

    def _check_pinned(self, pins: Sequence[_Pin]) -> None:
        open_lines = [
            f"{pin.line.at}: {pin}" for pin in pins if pin.local is None and _is_open(pin)
        ]
        if open_lines:
            raise UnlockedRequirementError(self._path, open_lines, remedy=self._remedy)

    def _package(self, pin: _Pin) -> LockedPackage:
        package = LockedPackage(name=pin.name, at=pin.line.at, marker=_marker(pin))
        if isinstance(pin.local, LockedDirectory):
            return replace(package, directory=pin.local)
        if isinstance(pin.local, LockedFile):
            return _from_file(package, pin.local)
        if pin.requirement.url is not None:
            return _from_url(package, pin.requirement.url, pin)
        package = replace(package, version=_version(pin))
        if not pin.digests:
            return replace(package, unhashed=True)
        return replace(package, unnamed=tuple(LockedFile(digest=value) for value in pin.digests))


def _remedy(path: Path) -> str:
    if path.suffix == ".lock":
        return "rye lock --generate-hashes"
    source = path.with_suffix(".in")
    asked = source.name if source.is_file() else "pyproject.toml"
    return f"uv pip compile --universal --generate-hashes {asked} -o {path.name}"


def _decoded(data: bytes) -> str:
    """Decode a file as pip does: UTF-8, unless it begins with the mark of UTF-16."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Join lines that end in a backslash; a comment line ends the joining, as in pip."""
    parts_of_line: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if not parts_of_line:
            first = number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            parts_of_line.append(line.rstrip("\\"))
            continue
        parts_of_line.append(f" {line}" if is_comment else line)
        yield first, "".join(parts_of_line)
        parts_of_line = []
    if parts_of_line:
        yield first, "".join(parts_of_line)


def _options(line: _Line) -> Iterator[tuple[str, str]]:
    """Split a line of options; each with its long name and its value."""
    if match := _EDITABLE.fullmatch(line.text):
        yield "--editable", match["value"]
        return
    try:
        words = shlex.split(line.text)
    except ValueError as error:
        raise _bad_line(line, f"{str(error).lower()} in its options") from error
    while words:
        name, value = _split_option(words.pop(0))
        if name in _FLAGS and value is None:
            yield name, ""
        elif name not in _VALUED:
            raise _bad_line(line, f"the option `{line.shown(name)}` is not known")
        elif value is None and not words:
            raise _bad_line(line, f"the option `{name}` has no value")
        else:
            yield name, words.pop(0) if value is None else value


def _split_option(word: str) -> tuple[str, str | None]:
    if match := _SHORT_OPTION.fullmatch(word):
        return _SHORT.get(match["name"], word), match["value"]
    name, equals, value = word.partition("=")
    return _SHORT.get(name, name), value if equals else None


def _bad_line(line: _Line, problem: str) -> InvalidLockError:
    return InvalidLockError(
        line.path,
        f"line {line.number}: {problem}",
        hint="mend the line, or report it if pip accepts it",
    )


def _included(line: _Line, value: str) -> Path:
    if value.startswith("file://"):
        return _path_of(line, value)
    if "://" in value:
        raise _bad_line(line, f"`{line.shown(value)}` lies on a server, and only files are read")
    return line.path.parent / value


def _path_of(line: _Line, url: str) -> Path:
    try:
        return urls.path_of(url)
    except ValueError as error:
        raise _bad_url(line, url, error) from error


def _bad_url(line: _Line, url: str, error: ValueError) -> InvalidLockError:
    return _bad_line(line, str(error) if url in line.raw else f"`{line}` holds no URL")


def _requirement(line: _Line, text: str) -> Requirement:
    try:
        requirement = Requirement(text)
        hash(requirement)  # only now are numbers read, which may have too many digits
    except RecursionError as error:
        raise _bad_line(line, f"`{line}` is nested too deep") from error
    except ValueError as error:
        raise InvalidLockError(
            line.path,
            f"line {line.number}: `{line.shown(text)}` is no requirement (PEP 508)",
            hint="write `name==version`, and hashes behind it as `--hash=sha256:…`",
        ) from error
    return requirement


def _split_local(text: str) -> tuple[str, str] | None:
    """Split `file:.`, `./lib`, `lib/` or `/abs` from its marker; None for anything else."""
    location, *condition = re.split(r"\s+;\s*|;\s+", text, maxsplit=1)
    location = _EXTRAS.sub("", location.partition("#")[0].strip())
    is_path = location in {".", ".."} or "/" in location or _is_archive(location)
    is_url = "://" in location or "@" in location
    if location.startswith("file:") or (is_path and not is_url):
        return location, "".join(condition)
    return None


def _is_archive(name: str) -> bool:
    return name.endswith((".whl", *sdist_suffixes))


def _is_source(path: Path) -> bool:
    return path.is_file() or any((path / name).is_file() for name in ("pyproject.toml", "setup.py"))


def _local_name(path: Path) -> str:
    """Name a local source as its metadata does, else as the path does."""
    if _is_archive(path.name):
        declared = path.name.split("-")[0]
    else:
        try:
            project = read_toml(path / "pyproject.toml").table("project")
            declared = project.text("name") or path.resolve().name
        except (OSError, TableError):
            declared = path.resolve().name
    return re.sub(r"[^a-z0-9]+", "-", declared.lower()).strip("-") or "local"


def _in_fragment(url: str) -> tuple[Digest, ...]:
    """Get the digest at the end of a URL, `#sha256=…`."""
    try:
        found = strongest(_fragment(url))
    except ValueError:
        return ()
    return () if found is None else (found,)


def _fragment(url: str) -> dict[str, str]:
    """Take `#key=value&key=value` apart."""
    return dict(item.partition("=")[::2] for item in url.partition("#")[2].split("&"))


def _is_open(pin: _Pin) -> bool:
    """Tell whether what a line asks for may be another thing tomorrow."""
    if pin.requirement.url is None:
        return pin.version is None
    vcs = _vcs(pin.requirement.url)
    return vcs is not None and not (
        _COMMIT.fullmatch(vcs.commit) if vcs.kind in {"git", "hg"} else vcs.commit
    )


def _marker(pin: _Pin) -> LockMarker | None:
    marker = pin.requirement.marker
    try:
        return LockMarker.parse(str(marker)) if marker else None
    except ValueError as error:
        problem = str(error) if pin.line.raw == pin.line.text else f"the marker of `{pin}` is none"
        raise _bad_line(pin.line, problem) from error


def _vcs(url: str) -> LockedVcs | None:
    """Read `git+URL@COMMIT#subdirectory=…`; None for any other URL."""
    kind, plus, rest = url.partition("+")
    if not plus or kind not in _VCS:
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


def _from_url(package: LockedPackage, url: str, pin: _Pin) -> LockedPackage:
    """Read `name @ URL`: a commit of a repository, a wheel or an archive."""
    if (vcs := _vcs(url)) is not None:
        return replace(package, vcs=vcs)
    bare = url.partition("#")[0]
    try:
        filename = urls.filename_of(bare)
    except ValueError as error:
        raise _bad_url(pin.line, bare, error) from error
    file = LockedFile(
        digest=pin.digests[0] if pin.digests else None,
        filename=filename,
        url=bare,
        subdirectory=_fragment(url).get("subdirectory"),
    )
    return _from_file(package, file)


def _from_file(package: LockedPackage, file: LockedFile) -> LockedPackage:
    if (file.filename or "").endswith(".whl"):
        return replace(package, wheels=(file,))
    return replace(package, archive=file)


def _needs_hash(pin: _Pin) -> bool:
    """Tell whether a line is one that hashes could vouch for."""
    return pin.local is None and _vcs(pin.requirement.url or "") is None


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
    except ValueError as error:
        version = pin.line.shown(pin.version or "")
        raise InvalidLockError(
            pin.line.path,
            f"line {pin.line.number}: `{version}` is no version (PEP 440)",
            hint="pin a version that the index has",
        ) from error


def _unhashed_warning(path: Path) -> str:
    return (
        f"{path.name} has no hashes: versions are pinned, but the index decides which files "
        "they are"
    )
