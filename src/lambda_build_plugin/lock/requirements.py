"""Read a requirements file (pip's format; uv, pip-tools and rye write it).

The format is pip's: https://pip.pypa.io/en/stable/reference/requirements-file-format/.
As a lock, it must pin every line with `==`. With hashes it pins files, but without their
names and URLs; without hashes it only pins versions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from packaging.requirements import Requirement

from lambda_build_plugin import urls
from lambda_build_plugin.config.build_policy import BuildPolicy
from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.errors import (
    InvalidLockError,
    MissingHashError,
    UnlockedRequirementError,
)
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    VCS_KINDS,
    Lock,
    LockedDirectory,
    LockedFile,
)
from lambda_build_plugin.lock.requirements_builds import (
    IGNORED_OPTIONS,
    FormatOptions,
    split_build_options,
)
from lambda_build_plugin.lock.requirements_lines import (
    HASH,
    LARGEST,
    bad_line,
    bad_url,
    is_made_by_uv,
    options,
    read_lines,
)
from lambda_build_plugin.lock.requirements_pins import (
    Pin,
    check_freeze_artefact,
    digests_in,
    is_open,
    locked_package,
    needs_hash,
    requirement_of,
)
from lambda_build_plugin.system.hashes import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.fields import Context
    from lambda_build_plugin.lock.model import (
        LockedPackage,
    )
    from lambda_build_plugin.lock.requirements_lines import (
        Line,
    )
    from lambda_build_plugin.system.hashes import Digest

__all__ = ["read"]

_EXTRAS = re.compile(r"(?<=[\w.\])/])\[[\w,\s.-]+\]$")
_NAMED_BY_EGG = re.compile(
    rf"(?:{'|'.join(VCS_KINDS)})\+[^\s#]+#(?:[^\s#]*&)?egg=(?P<name>[A-Za-z0-9][\w.-]*)"
)

_DEEPEST = 100
"""How deep files may include each other."""

_MOST_FILES = 1000
"""How many files are read; each counts as often as it is included."""


def read(path: Path, context: Context) -> Lock:
    """Read a requirements file with all files that it includes.

    Raises:
        LockError: It cannot be read, does not pin every version, or has hashes for only
            some lines.
    """
    return _Reader(path, context).lock()


@dataclass(slots=True)
class _Contents:
    """The contents of all files, collected while they are read."""

    pins: list[Pin] = field(default_factory=list)
    constraints: defaultdict[str, list[Pin]] = field(default_factory=lambda: defaultdict(list))
    """By the name of the package."""

    index_url: str | None = None
    extra_index_urls: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    require_hashes: bool = False
    formats: FormatOptions = field(default_factory=FormatOptions)
    files: int = 0
    """How many files have been read."""

    size: int = 0
    """How many characters the lines of all these files have."""


class _Reader:
    """Reads one file and its includes."""

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._context = context
        self._contents = _Contents()
        self._remedy = _remedy(path, context.project)

    def lock(self) -> Lock:
        self._read(self._path, constraint=False, within=())
        contents = self._contents
        pins = [self._apply_constraints(pin) for pin in contents.pins]
        self._check_pinned(pins)
        hashed = [pin for pin in pins if pin.digests]
        bare = [pin for pin in pins if not pin.digests and needs_hash(pin)]
        if bare and (hashed or contents.require_hashes):
            raise MissingHashError(
                self._path,
                [f"{pin.line.at}: {pin}" for pin in bare],
                remedy=self._remedy,
            )
        return Lock(
            path=self._path,
            kind=FORMATS["requirements file"].name,
            remedy=self._remedy,
            packages=tuple(_merge(locked_package(pin) for pin in pins)),
            indexes=IndexOptions(
                index_url=contents.index_url,
                extra_index_urls=tuple(contents.extra_index_urls),
                find_links=tuple(contents.find_links),
                no_index=contents.no_index,
                first_index=is_made_by_uv(self._path),
            ),
            policy=_policy(self._path, contents, pins),
            warnings=(_unhashed_warning(self._path),) if bare else (),
        )

    def _read(self, path: Path, *, constraint: bool, within: tuple[Path, ...]) -> None:
        """Read one file; `within` are the files that include it, outermost first."""
        if len(within) > _DEEPEST:
            raise InvalidLockError(
                path,
                f"its -r and -c lines are nested more than {_DEEPEST} files deep",
                hint="include the files from one that lists them all",
            )
        if path.resolve() in within:
            circle = " → ".join(file.name for file in (*within, path))
            raise InvalidLockError(
                path, f"its -r and -c lines form a circle: {circle}", hint="remove one of them"
            )
        self._contents.files += 1
        if self._contents.files > _MOST_FILES:
            raise InvalidLockError(
                self._path,
                f"its -r and -c lines include more than {_MOST_FILES} files",
                hint="include each file once",
            )
        for line in read_lines(path, self._context.environ):
            self._check_size(line)
            if line.text.startswith("-"):
                for name, value in options(line):
                    self._option(
                        line,
                        name,
                        value,
                        constraint=constraint,
                        within=(*within, path.resolve()),
                    )
            else:
                self._add(self._pin(line, line.text), constraint=constraint)

    def _check_size(self, line: Line) -> None:
        self._contents.size += len(line.raw)
        if self._contents.size > LARGEST:
            raise InvalidLockError(
                self._path,
                f"it is larger than {LARGEST // 1_000_000} MB with the files that it includes",
                hint="include each file once",
            )

    def _option(
        self, line: Line, name: str, value: str, *, constraint: bool, within: tuple[Path, ...]
    ) -> None:
        contents = self._contents
        match name:
            case "--requirement" | "--constraint":
                self._read(
                    _included(line, value),
                    constraint=constraint or name == "--constraint",
                    within=within,
                )
            case "--index-url":
                contents.index_url = value
            case "--extra-index-url":
                contents.extra_index_urls.append(value)
            case "--find-links":
                contents.find_links.append(self._find_links(line, value))
            case "--no-index":
                contents.no_index = True
            case "--require-hashes":
                contents.require_hashes = True
            case "--only-binary":
                contents.formats.add_only_binary(value)
            case "--no-binary":
                contents.formats.add_no_binary(value)
            case "--editable":
                self._add(self._pin(line, value), constraint=constraint)
            case _:
                return

    def _add(self, pin: Pin | None, *, constraint: bool) -> None:
        contents = self._contents
        if pin is not None:
            (contents.constraints[pin.name] if constraint else contents.pins).append(pin)

    def _pin(self, line: Line, text: str) -> Pin | None:
        """Read one requirement; None for the project itself (`-e file:.`, `.`)."""
        digests = tuple(self._digests(line, text))
        text = HASH.sub("", f" {text}").strip()
        text, config_settings = split_build_options(line, text)
        pin = self._pin_of(line, text, digests)
        if pin is not None:
            check_freeze_artefact(pin)
        return pin and replace(pin, config_settings=config_settings)

    def _pin_of(self, line: Line, text: str, digests: tuple[Digest, ...]) -> Pin | None:
        """Read a requirement without its options."""
        if (local := _split_local(text)) is not None:
            location, condition = local
            path = self._path_of(line, location)
            name = f"{_local_name(path)} ; {condition}" if condition else _local_name(path)
            return self._local_pin(path, requirement_of(line, name), digests, line)
        if match := _NAMED_BY_EGG.match(text):
            text = f"{match['name']} @ {text}"
        requirement = requirement_of(line, text)
        url = requirement.url or ""
        if url.startswith("file:"):
            path = self._path_of(line, url.partition("#")[0])
            return self._local_pin(path, requirement, digests, line)
        return Pin(requirement=requirement, digests=digests or digests_in(url), line=line)

    def _local_pin(
        self, path: Path, requirement: Requirement, digests: tuple[Digest, ...], line: Line
    ) -> Pin | None:
        local: LockedDirectory | LockedFile
        if fields.is_archive(path.name):
            local = LockedFile(
                digest=digests[0] if digests else None, filename=path.name, path=path
            )
        elif fields.is_project(path, self._context.project):
            return None
        else:
            local = LockedDirectory(path=path)
        return Pin(requirement=requirement, digests=digests, line=line, local=local)

    def _path_of(self, line: Line, location: str) -> Path:
        """Find a local source, relative to the file (uv, rye) or to the project (pip)."""
        if location.startswith("file://"):
            return _path_of(line, location)
        relative = unquote(location[5:]) if location.startswith("file:") else location
        if "\0" in relative:
            raise bad_line(line, f"`{line}` contains a NUL character")
        beside = line.path.parent / relative
        in_project = self._context.project.root / relative
        return in_project if _is_source(in_project) and not _is_source(beside) else beside

    def _find_links(self, line: Line, value: str) -> str:
        """Make a find-links path absolute, in the way that pip finds it."""
        if "://" in value:
            return value
        beside = line.path.parent / value
        return str((beside if beside.exists() else self._context.project.root / value).resolve())

    def _digests(self, line: Line, text: str) -> Iterator[Digest]:
        for match in HASH.finditer(f" {text}"):
            algorithm, _, value = match["hash"].partition(":")
            try:
                found = digest(algorithm, value)
                problem = f"`{algorithm}` is not a hash that is strong enough"
            except ValueError as error:
                found, problem = None, str(error)
            if found is None and match["hash"] not in line.raw:
                problem = "the value of a variable is not a hash that is strong enough"
            if found is None:
                raise InvalidLockError(
                    line.path,
                    f"line {line.number}: {problem}",
                    hint=f"lock again: `{self._remedy}`",
                )
            yield found

    def _apply_constraints(self, pin: Pin) -> Pin:
        """Pin a line by its constraints, whose hashes count too, as in pip.

        A constraint with a marker only applies in some environments, so it does not pin
        anything here.
        """
        if pin.local is not None or pin.requirement.url is not None:
            return pin
        for constraint in self._contents.constraints[pin.name]:
            if constraint.requirement.marker is None:
                self._check_agreed(pin, constraint)
                if constraint.version is not None:
                    requirement = Requirement(str(pin.requirement))
                    requirement.specifier = constraint.requirement.specifier
                    digests = tuple(dict.fromkeys((*pin.digests, *constraint.digests)))
                    pin = replace(pin, requirement=requirement, digests=digests)
        return pin

    def _check_agreed(self, pin: Pin, constraint: Pin) -> None:
        """Reject a pin that its constraint excludes, or the other way round."""
        for version, other in ((pin.version, constraint), (constraint.version, pin)):
            specifier = other.requirement.specifier
            if version is not None and not specifier.contains(version, prereleases=True):
                raise InvalidLockError(
                    self._path,
                    f"{pin.line.at} asks for {pin}, but {constraint.line.at} for {constraint}",
                    hint="change or remove one of them",
                )

    def _check_pinned(self, pins: Sequence[Pin]) -> None:
        open_lines = [f"{pin.line.at}: {pin}" for pin in pins if pin.local is None and is_open(pin)]
        if open_lines:
            raise UnlockedRequirementError(self._path, open_lines, remedy=self._remedy)


def _policy(path: Path, contents: _Contents, pins: Sequence[Pin]) -> BuildPolicy:
    """Read what the file says about builds, such as `--only-binary`."""
    ignored = sorted({pin.name for pin in pins if IGNORED_OPTIONS & set(pin.config_settings)})
    return BuildPolicy(
        rules=(contents.formats.rules(path.name),),
        config_settings={
            pin.name: {
                key: value
                for key, value in pin.config_settings.items()
                if key not in IGNORED_OPTIONS
            }
            for pin in pins
            if pin.config_settings
        },
        warnings=(
            f"{path.name} has `--global-option` for {', '.join(ignored)}, which is ignored: "
            "write `--config-settings` instead",
        )
        if ignored
        else (),
    )


def _remedy(path: Path, project: Project) -> str:
    """Name the command that makes this file, or a lock of it if it is written by hand.

    A build backend may read a project's dependencies from the file itself (setuptools:
    `dependencies = {file = "requirements.txt"}`), so it must not be overwritten.
    """
    source, name = path.with_suffix(".in"), path.name
    written = path.with_suffix(".txt")
    if path.suffix == ".lock" and ("rye" in project.tool or not written.is_file()):
        return "rye lock --generate-hashes"
    if path.suffix == ".lock":
        asked = written.name
    elif source.is_file():
        asked = source.name
    elif project.dependencies is not None:
        asked = "pyproject.toml"
    else:
        prefix = "" if path.stem.startswith("requirements") else "requirements-"
        asked, name = path.name, f"{prefix}{path.stem}.lock"
    return f"uv pip compile --universal --generate-hashes {asked} -o {name}"


def _included(line: Line, value: str) -> Path:
    if value.startswith("file://"):
        return _path_of(line, value)
    if "://" in value:
        raise bad_line(
            line, f"`{line.shown(value)}` is on a server, and only local files can be included"
        )
    return line.path.parent / value


def _path_of(line: Line, url: str) -> Path:
    try:
        return urls.path_of(url)
    except ValueError as error:
        raise bad_url(line, url, error) from error


def _split_local(text: str) -> tuple[str, str] | None:
    """Split `file:.`, `./lib`, `lib/` or `/abs` from its marker; None for anything else."""
    location, *condition = re.split(r"(?<!\s)\s+;\s*|;\s+", text, maxsplit=1)
    location = _EXTRAS.sub("", location.partition("#")[0].strip())
    is_path = location in {".", ".."} or "/" in location or fields.is_archive(location)
    is_url = "://" in location or "@" in location
    if location.startswith("file:") or (is_path and not is_url):
        return location, "".join(condition)
    return None


def _is_source(path: Path) -> bool:
    return path.is_file() or any((path / name).is_file() for name in ("pyproject.toml", "setup.py"))


def _local_name(path: Path) -> str:
    """Name a local source by its metadata, or by its path if it has none."""
    if fields.is_archive(path.name):
        declared = path.name.split("-")[0]
    else:
        try:
            project = read_toml(path / "pyproject.toml").table("project")
            declared = project.text("name") or path.resolve().name
        except (OSError, TableError):
            declared = path.resolve().name
    return re.sub(r"[^a-z0-9]+", "-", declared.lower()).strip("-") or "local"


def _merge(packages: Iterator[LockedPackage]) -> Iterator[LockedPackage]:
    """Merge lines that name the same version under different markers."""
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


def _unhashed_warning(path: Path) -> str:
    return (
        f"{path.name} has no hashes: versions are pinned, but the index decides which files "
        "they are"
    )
