"""Read a `Pipfile.lock`, pipenv's flat lock (`pipfile-spec` 6).

Each section is a group: `default` ships by default, `develop` and the user's own
categories when they are requested. Files are known only by digest. pipenv resolves for
the machine that it runs on: packages for other platforms are listed without version and
hashes, and files from URLs never have a hash. The Pipfile beside the lock tells whether
the lock is up to date, and under which markers such a package is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin import urls
from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import Table, TableError, read_toml
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.errors import StaleLockError, UnsupportedLockError, well_formed
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import (
    VCS_KINDS,
    Lock,
    LockedDirectory,
    LockedFile,
    LockedPackage,
    LockedVcs,
)
from lambda_build_plugin.lock.unmet import asked_for, unmet
from lambda_build_plugin.system.hashes import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.lock.fields import Context
    from lambda_build_plugin.lock.unmet import Asked
    from lambda_build_plugin.system.hashes import Digest

__all__ = ["pipfile_hash", "read"]

_FORMAT = FORMATS["Pipfile.lock"]
_REMEDY = _FORMAT.command
_SPEC = 6
_META, _DEFAULT = "_meta", "default"
_SECTIONS = {"default": "packages", "develop": "dev-packages"}
"""The sections of the lock that have another name in the Pipfile."""

_NO_CATEGORIES = frozenset(
    ("source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv")
)
_VARIABLE = re.compile(r"\$\{(?P<braced>\w+)\}|\$(?P<plain>\w+)")
_EXACT = re.compile(r"===?\s*(?P<version>[^*\s]+)")
_MARKER_KEYS = (
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
)
"""Variables of markers (PEP 508) that may be keys of an entry."""


def read(path: Path, context: Context) -> Lock:
    """Read a Pipfile.lock, and the Pipfile beside it if there is one.

    Raises:
        LockError: It cannot be read, has an unknown version, or is out of date.
    """
    with well_formed(path, remedy=_REMEDY):
        return _Reader(path, context).lock()


class _Reader:
    """Reads one file, and keeps what all its parts need."""

    def __init__(self, path: Path, context: Context) -> None:
        self._path = path
        self._context = context
        self._data = _json(path)
        self._meta = self._data.table(_META)
        self._pipfile = _pipfile_beside(path)
        self._sources = {
            source.text("name") or "": self._fill_in(source.required_text("url"))
            for source in self._meta.tables("sources")
        }

    def lock(self) -> Lock:
        self._check_version()
        self._check_fresh()
        urls = list(self._sources.values())
        groups = [section for section in self._data if section != _META]
        return Lock(
            path=self._path,
            kind=_FORMAT.name,
            remedy=_REMEDY,
            requires_python=_requires_python(self._meta.table("requires")),
            packages=tuple(_merge(self._packages(groups))),
            groups=frozenset(map(canonicalize_name, groups)),
            default_groups=frozenset({canonicalize_name(_DEFAULT)}),
            indexes=IndexOptions(
                index_url=urls[0] if urls else None,
                # pipenv only uses the first one; digests protect the files of the others.
                supplemental_urls=tuple(urls[1:]),
                named=tuple((name, url) for name, url in self._sources.items() if name),
            ),
        )

    def _check_version(self) -> None:
        spec = self._meta.number("pipfile-spec")
        if spec != _SPEC:
            raise UnsupportedLockError(
                self._path,
                f"its pipfile-spec is {spec}, "
                f"but this version of lambda-build-plugin reads {_SPEC}",
                hint=f"lock again with a current pipenv: `{_REMEDY}`",
            )

    def _check_fresh(self) -> None:
        """Compare hashes, as `pipenv verify` does."""
        locked = self._meta.table("hash").text("sha256")
        if self._pipfile is None or locked is None or self._context.lock_is_fresh:
            return
        sources = self._meta.raw("sources")
        hashes = (pipfile_hash(self._pipfile, sources, as_written=way) for way in (False, True))
        if locked not in hashes:
            raise StaleLockError(
                self._path,
                [
                    *self._changes(self._pipfile),
                    "- the hash of the Pipfile does not match the one in the lock",
                ],
                remedy=_REMEDY,
                source="Pipfile",
            )

    def _changes(self, pipfile: Table) -> Iterator[str]:
        """Name what the Pipfile asks for and the lock does not have, group by group."""
        for group in self._data:
            if group == _META:
                continue
            entries = self._data.table(group)
            locked: dict[NormalizedName, list[Version | None]] = {
                canonicalize_name(name): [_locked_version(entries.table(name))] for name in entries
            }
            yield from unmet([*_asked(pipfile.table(_SECTIONS.get(group, group)))], locked)

    def _fill_in(self, url: str) -> str:
        """Fill in the variables of a source's URL, as pipenv does; unset ones stay."""
        environ = self._context.environ
        return _VARIABLE.sub(
            lambda match: environ.get(match["braced"] or match["plain"]) or match[0], url
        )

    def _packages(self, groups: list[str]) -> Iterator[LockedPackage]:
        for group in groups:
            section = self._data.table(group)
            for name in section:
                package = self._package(section.table(name), name, group)
                if package is not None:
                    yield package

    def _package(self, table: Table, name: str, group: str) -> LockedPackage | None:
        """Read one entry; None for the project itself."""
        package = LockedPackage(
            name=canonicalize_name(name), at=table.at, marker=self._marker(table, name, group)
        )
        for kind in VCS_KINDS:
            if (url := table.text(kind)) is not None:
                return replace(package, vcs=_commit(table, kind, url))
        location = table.text("path") or table.text("file")
        if location is not None:
            return self._package_at(package, table, location)
        version = _EXACT.fullmatch(table.text("version") or "")
        if version is None:
            return replace(package, unresolved="pipenv did not lock a version for it")
        package = replace(package, version=_version(table, version["version"]))
        digests = tuple(_digests(table))
        if not digests:
            return replace(package, unresolved="pipenv did not lock a hash for it")
        return replace(
            package,
            index=self._index(table),
            unnamed=tuple(LockedFile(digest=found) for found in digests),
        )

    def _package_at(
        self, package: LockedPackage, table: Table, location: str
    ) -> LockedPackage | None:
        """Read a package that comes from a path on this machine or from a URL."""
        filename = fields.filename(table, location.partition("#")[0])
        file = LockedFile(digest=next(_digests(table), None), filename=filename)
        if "://" in location and not location.startswith("file:"):
            if file.digest is None:
                return replace(package, unresolved="pipenv does not lock hashes for files at URLs")
            file = replace(
                file, url=location.partition("#")[0], subdirectory=table.text("subdirectory")
            )
        else:
            place = self._local_path(table, location)
            if not fields.is_archive(filename):
                if fields.is_project(place, self._context.project):
                    return None
                folder = LockedDirectory(
                    path=place,
                    editable=table.flag("editable") or False,
                    subdirectory=table.text("subdirectory"),
                )
                return replace(package, directory=folder)
            file = replace(file, path=place)
        return fields.with_file(package, file)

    def _local_path(self, table: Table, location: str) -> Path:
        if not location.startswith("file:"):
            return self._path.parent / location
        try:
            return self._path.parent / urls.path_of(location)
        except ValueError as error:
            raise TableError(table.at, str(error)) from error

    def _index(self, table: Table) -> str | None:
        name = table.text("index")
        if name is None:
            return None
        if name not in self._sources:
            raise TableError(
                table.place("index"), f"`{excerpt(name)}` is not one of `_meta.sources`"
            )
        return self._sources[name]

    def _marker(self, table: Table, name: str, group: str) -> LockMarker:
        """Join the markers of an entry and its group into one marker (PEP 751)."""
        conditions = [*_conditions(table), *self._pipfile_markers(name, group)]
        gate = f'"{canonicalize_name(group)}" in dependency_groups'
        text = " and ".join((gate, *(f"({condition})" for condition in conditions)))
        try:
            marker = LockMarker.parse(text)
        except ValueError as error:
            raise TableError(table.place("markers"), str(error)) from error
        return replace(marker, shown=" and ".join(conditions)) if conditions else marker

    def _pipfile_markers(self, name: str, group: str) -> Iterator[str]:
        """Yield the markers that the Pipfile itself has for a package."""
        if self._pipfile is None:
            return
        section = self._pipfile.table(_SECTIONS.get(group, group))
        for key in section:
            if canonicalize_name(key) == canonicalize_name(name) and isinstance(
                section.raw(key), dict
            ):
                yield from _conditions(section.table(key))


def _asked(section: Table) -> Iterator[Asked]:
    for key in section:
        value = section.raw(key)
        text = value.get("version") if isinstance(value, dict) else value
        try:
            specifier = SpecifierSet("" if text in {None, "*"} else str(text))
        except ValueError:
            continue  # pipenv itself will say what is wrong
        asked = asked_for(Requirement(f"{canonicalize_name(key)}{specifier}"))
        keys = {*value} if isinstance(value, dict) else set()
        yield asked._replace(conditional=bool(keys & {"markers", *_MARKER_KEYS}))


def _locked_version(entry: Table) -> Version | None:
    match = _EXACT.fullmatch(entry.text("version") or "")
    return _version(entry, match["version"]) if match else None


def pipfile_hash(pipfile: Table, sources: object, *, as_written: bool = False) -> str:
    """Compute the hash that pipenv stores as `_meta.hash.sha256`.

    Args:
        pipfile: The whole Pipfile.
        sources: The sources to use if the Pipfile does not name any.
        as_written: Whether to keep names unnormalized, as pipenv did before 2026.
    """

    def named(section: str) -> Mapping[str, object]:
        table = pipfile.table(section)
        return {key if as_written else canonicalize_name(key): table.raw(key) for key in table}

    requires = pipfile.table("requires")
    content: dict[str, object] = {
        _META: {
            "sources": pipfile.raw("source") if "source" in pipfile else sources,
            "requires": {key: requires.raw(key) for key in requires},
        },
        **{section: named(key) for section, key in _SECTIONS.items()},
    }
    for section in pipfile:
        if section not in _NO_CATEGORIES and section not in _SECTIONS:
            content[section] = named(section)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _json(path: Path) -> Table:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise TableError(path.name, f"is not UTF-8 text ({error.reason})") from error
    except ValueError as error:
        raise TableError(path.name, f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise TableError(path.name, "must be a JSON object")
    return Table(data, at=path.name)


def _pipfile_beside(path: Path) -> Table | None:
    pipfile = path.with_name("Pipfile")
    return read_toml(pipfile) if pipfile.is_file() else None


def _requires_python(requires: Table) -> SpecifierSet | None:
    """Read the one Python version that pipenv resolved for."""
    full, short = requires.text("python_full_version"), requires.text("python_version")
    text = f"=={full}" if full else f"=={short}.*" if short else ""
    try:
        return SpecifierSet(text) if text else None
    except ValueError as error:
        raise TableError(requires.at, f"`{excerpt(text)}` is not a version (PEP 440)") from error


def _conditions(table: Table) -> Iterator[str]:
    """Yield the markers of an entry, from `markers` or from keys for single variables."""
    if markers := table.text("markers"):
        yield markers
    for key in _MARKER_KEYS:
        if condition := table.text(key):
            yield f"{key} {condition}"


def _digests(table: Table) -> Iterator[Digest]:
    for text in table.texts("hashes"):
        algorithm, _, value = text.partition(":")
        try:
            found = digest(algorithm, value)
        except ValueError as error:
            raise TableError(table.place("hashes"), str(error)) from error
        if found is not None:
            yield found


def _commit(table: Table, kind: str, url: str) -> LockedVcs:
    return LockedVcs(
        kind=kind,
        url=url,
        commit=table.required_text("ref"),
        subdirectory=table.text("subdirectory"),
    )


def _version(table: Table, text: str) -> Version:
    try:
        return Version(text)
    except ValueError as error:
        raise TableError(
            table.place("version"), f"`{excerpt(text)}` is not a version (PEP 440)"
        ) from error


def _merge(packages: Iterator[LockedPackage]) -> Iterator[LockedPackage]:
    """Merge packages that two sections lock alike."""
    merged: list[LockedPackage] = []
    places: defaultdict[NormalizedName, list[int]] = defaultdict(list)
    for package in packages:
        bare = replace(package, at="", marker=None)
        for index in places[package.name]:
            other = merged[index]
            if replace(other, at="", marker=None) == bare:
                merged[index] = replace(other, marker=_either_marker(other, package))
                break
        else:
            places[package.name].append(len(merged))
            merged.append(package)
    yield from merged


def _either_marker(one: LockedPackage, other: LockedPackage) -> LockMarker | None:
    if one.marker is None or other.marker is None:
        return None
    shown = " or ".join(filter(None, (one.marker.shown, other.marker.shown)))
    return LockMarker(f"({one.marker.text}) or ({other.marker.text})", shown)
