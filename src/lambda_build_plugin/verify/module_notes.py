"""Notes about the project's modules, by the digest of each, so that each is parsed only once.

A note only says whether a module is valid and what it imports. Nothing in it reaches the artifact:
the worst that a forged note can do is to hide a warning.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.verify.grammar import SyntaxProblem
from lambda_build_plugin.verify.module_imports import Certainty, Import, ModuleFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.system.cache import Cache

__all__ = ["FoundModule", "ModuleNotes"]

_NOTES = "modules"
_CHECK = "1"
"""Part of each key; it changes when more is found out about a module."""


class FoundModule(NamedTuple):
    """What was found in one module."""

    problem: SyntaxProblem | None
    facts: ModuleFacts | None


class ModuleNotes:
    """The notes about the modules of one project."""

    def __init__(self, cache: Cache, project: str) -> None:
        """Take the cache and a name for the project; two projects of one name only cost time."""
        self.cache = cache
        self.project = project
        self._known: Mapping[str, str] | None = None
        self._used: dict[str, str] = {}

    def key(self, source: bytes, name: str, python: tuple[int, int], *, is_package: bool) -> str:
        """Name what a finding depends on: the source, the module's name, and both Pythons."""
        digest = hashlib.sha256(source).hexdigest()
        return f"{digest} {name} {is_package} {python} {sys.version_info[:2]} {_CHECK}"

    def get(self, key: str) -> FoundModule | None:
        """Look a module up; None if it has to be parsed."""
        if self._known is None:
            self._known = self.cache.note(_NOTES, self.project) or {}
        text = self._known.get(key)
        try:
            found = _from_note(text) if text is not None else None
        except (ValueError, TypeError, LookupError):
            return None
        if found is not None and text is not None:
            self._used[key] = text
        return found

    def add(self, key: str, found: FoundModule) -> None:
        """Remember what was found in a new module."""
        self._used[key] = _as_note(found)

    def keep(self) -> None:
        """Write the notes about the modules that were looked at, if there are new ones."""
        if self._used.keys() - (self._known or {}).keys():
            try:
                self.cache.keep_note(_NOTES, self.project, self._used)
            except FetchError:
                return  # a cache that cannot be written costs time only


def _as_note(found: FoundModule) -> str:
    problem, facts = found
    return json.dumps(
        [
            [problem.text, problem.line, problem.certain] if problem else None,
            [
                facts.changes_imports,
                [[each.module, each.names, each.line, each.certainty] for each in facts.imports],
            ]
            if facts
            else None,
        ]
    )


def _from_note(text: str) -> FoundModule:
    """Read a note.

    Raises:
        ValueError, TypeError, LookupError: The note is not valid.
    """
    problem, facts = json.loads(text)
    return FoundModule(
        problem=SyntaxProblem(text=str(problem[0]), line=problem[1], certain=bool(problem[2]))
        if problem
        else None,
        facts=ModuleFacts(
            changes_imports=bool(facts[0]),
            imports=tuple(
                Import(
                    module=str(module),
                    names=tuple(map(str, names)),
                    line=int(line),
                    certainty=Certainty(certainty),
                )
                for module, names, line, certainty in facts[1]
            ),
        )
        if facts
        else None,
    )
