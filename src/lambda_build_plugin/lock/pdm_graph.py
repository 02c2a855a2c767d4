"""The entries of a `pdm.lock`, and the edges between them.

Without the strategy `inherit_metadata` a lock is a graph: its edges are the requirements
that each entry lists, and the walk begins at those of pyproject.toml.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin import urls
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock import fields
from lambda_build_plugin.lock.model import VCS_KINDS, Edge
from lambda_build_plugin.lock.pdm_sources import PROJECT_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["Edges", "Entry", "entries_of"]

_PLACE = re.compile(
    r"(?:(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?\s+@\s+)?"
    r"(?P<url>[^\s;]+?)(?:\[(?P<path_extras>[^]]*)\])?(?:\s*;\s*(?P<marker>.+))?"
)
_EGG = re.compile(r"[#&]egg=(?P<name>[\w.-]+)(?:\[(?P<extras>[^]]*)\])?")

_Key = tuple["NormalizedName", frozenset["NormalizedName"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One `[[package]]` table, and its relation to the others."""

    table: Table
    key: _Key
    """Name and extras: what requirements ask for."""

    place: str | None
    """The path or URL that it comes from, if not from an index."""

    base: int | None = None
    """Index of the entry that it repeats because of extras."""


def entries_of(tables: Sequence[Table]) -> list[Entry]:
    """Read all entries of a lock, in its order."""
    found = []
    bases: dict[tuple[NormalizedName, str | None, str | None], int] = {}
    for index, table in enumerate(tables):
        name, extras = fields.name(table), fields.names(table, "extras")
        keys = (*VCS_KINDS, "path", "url")
        place = next((text for key in keys if (text := table.text(key))), None)
        found.append(Entry(table=table, key=(name, extras), place=place))
        if not extras:
            bases[name, table.text("version"), place] = index
    return [
        replace(entry, base=bases.get((entry.key[0], entry.table.text("version"), entry.place)))
        if entry.key[1]
        else entry
        for entry in found
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PdmRequirement:
    """A requirement as PDM writes it: in PEP 508's or pip's syntax, or only a path or URL."""

    name: NormalizedName | None
    """None if only a path or URL is given."""

    extras: frozenset[NormalizedName] = frozenset()
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    place: str | None = None
    marker: str | None = None

    @classmethod
    def parse(cls, line: str, at: str) -> _PdmRequirement:
        """Read a line.

        Raises:
            TableError: It is not a requirement.
        """
        text = line.removeprefix("-e ").strip()
        try:
            requirement = Requirement(text)
            hash(requirement)  # parses the numbers, which may have too many digits
        except InvalidRequirement:
            return cls._of_place(text, at)
        except ValueError as error:
            raise TableError(at, str(error)) from error
        return cls(
            name=canonicalize_name(requirement.name),
            extras=_names(requirement.extras),
            specifier=requirement.specifier,
            place=requirement.url,
            marker=str(requirement.marker) if requirement.marker else None,
        )

    @classmethod
    def _of_place(cls, text: str, at: str) -> _PdmRequirement:
        match = _PLACE.fullmatch(text)
        if match is None:
            raise TableError(at, f"`{urls.redacted_text(text)}` is not a requirement")
        egg = _EGG.search(match["url"])
        name = match["name"] or (egg["name"] if egg else None)
        extras = match["extras"] or match["path_extras"] or (egg["extras"] if egg else None) or ""
        return cls(
            name=canonicalize_name(name) if name else None,
            extras=_names(extras.split(",")),
            place=match["url"],
            marker=match["marker"],
        )


def _names(texts: Iterable[str]) -> frozenset[NormalizedName]:
    return frozenset(canonicalize_name(text.strip()) for text in texts if text.strip())


class Edges:
    """Turns requirements into edges, with all entries of the lock."""

    def __init__(
        self, entries: Sequence[Entry], project: Project, locked: Project, folder: Path
    ) -> None:
        self._entries = entries
        self._project = project
        self._folder = folder
        self._by_key: defaultdict[_Key, list[int]] = defaultdict(list)
        for index, entry in enumerate(entries):
            self._by_key[entry.key].append(index)
        resolution = locked.tool.table("pdm").table("resolution")
        self._overridden = _names(resolution.table("overrides"))
        self._excluded = _names(resolution.texts("excludes"))

    def of_entry(self, entry: Entry) -> tuple[Edge, ...]:
        """Read what an entry needs; one with extras needs the entry that it repeats first."""
        table = entry.table
        found = self.of_lines(table.texts("dependencies"), table.place("dependencies"))
        if entry.base is None:
            return found
        return (Edge(name=entry.key[0], candidates=(entry.base,)), *found)

    def of_lines(self, lines: Iterable[str], at: str) -> tuple[Edge, ...]:
        """Read requirements, without those that the project excludes."""
        asked = (_PdmRequirement.parse(line, at) for line in lines)
        return tuple(self._edge(each, at) for each in asked if each.name not in self._excluded)

    def _edge(self, asked: _PdmRequirement, at: str) -> Edge:
        marker = fields.parsed_marker(asked.marker, at) if asked.marker else None
        if asked.name == self._project.name and self._project.is_package:
            # The project comes after all entries, see `_graph` in `pdm`.
            own = (len(self._entries),)
            return Edge(name=asked.name, candidates=own, extras=asked.extras, marker=marker)
        # There may be no candidate if the marker excludes all lock targets.
        candidates = tuple(self._candidates(asked))
        name = asked.name or (self._entries[candidates[0]].key[0] if candidates else None)
        if name is None:
            raise TableError(
                at, f"no package in the lock comes from {urls.redacted(str(asked.place))}"
            )
        return Edge(name=name, candidates=candidates, marker=marker)

    def _candidates(self, asked: _PdmRequirement) -> Iterator[int]:
        """Find the entries that satisfy a requirement, as PDM does when it installs a lock."""
        if asked.name is None:
            keys = [key for key in self._by_key if key[1] == asked.extras]
        else:
            keys = [(asked.name, asked.extras)]
        places = [index for key in keys for index in self._by_key[key]]
        for index in places:
            entry = self._entries[index]
            if asked.name is not None and asked.name in self._overridden:
                yield index
            elif asked.place is None:
                version = fields.version(entry.table)
                if version is None or asked.specifier.contains(version, prereleases=True):
                    yield index
            elif entry.place is not None and (
                len(places) == 1 or self._location(entry.place) == self._location(asked.place)
            ):
                yield index

    def _location(self, place: str) -> str:
        """Give a path or URL in one spelling: paths absolute, URLs without a commit."""
        root = self._folder.as_uri()
        text = re.sub(rf"^(?:{'|'.join(VCS_KINDS)})\+", "", place.partition("#")[0])
        text = text.replace(PROJECT_ROOT, root).replace("{root:uri}", root)
        if "://" not in text or text.startswith("file:///"):
            path = urls.path_of(text) if "://" in text else self._folder / text
            return os.path.normpath(path)
        scheme, _, rest = text.partition("://")
        host, _, inside = rest.partition("/")
        return f"{scheme}://{host}/{inside.partition('@')[0]}"
