"""The files of an artifact and its layers → the modules that an import finds, and their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.verify.paths import range_starting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lambda_build_plugin.verify.view import ArtifactView

__all__ = ["Module", "ModuleIndex"]

_RANKS = {"pyc": 1, "py": 2}
_MACHINE_CODE = 3
"""Which of several files of one name is imported: the one with the highest rank."""

_INIT = "__init__"


class Module(NamedTuple):
    """A module, and the file that an import loads for it."""

    name: str
    """Dotted."""

    path: str
    artifact: ArtifactView
    is_package: bool

    @property
    def is_own(self) -> bool:
        """Whether it is code of the project or of a local package."""
        return self.path in self.artifact.own

    def source(self) -> bytes | None:
        """Read the source; None for machine code, and for bytecode whose source is unknown."""
        if self.path.endswith(".py"):
            return self.artifact.read(self.path)
        return self.artifact.source(self.path)


class ModuleIndex:
    """All modules of an artifact and its layers, in the order of `sys.path`.

    An artifact has thousands of modules, and its own code imports a few of them. So a module is
    looked for when somebody asks for it, among the sorted paths of the files.
    """

    @classmethod
    def of(cls, artifacts: Sequence[ArtifactView]) -> ModuleIndex:
        """Index some artifacts; that of a single one is made once."""
        return artifacts[0].index if len(artifacts) == 1 else cls(artifacts)

    def __init__(self, artifacts: Sequence[ArtifactView]) -> None:
        self._places = [(artifact, root) for artifact in artifacts for root in artifact.roots]
        self._found: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """Find what an import of a dotted name finds; None if there is no such module."""
        if name not in self._found:
            places = (_find(name, artifact, root) for artifact, root in self._places)
            self._found[name] = next(filter(None, places), None)
        return self._found[name]

    def __getitem__(self, name: str) -> Module:
        """Get a module that is known to exist.

        Raises:
            KeyError: There is none.
        """
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def has_folder(self, name: str) -> bool:
        """Tell whether a dotted name is a folder: without an `__init__`, a namespace package."""
        folder = name.replace(".", "/")
        return any(
            range_starting(artifact.paths, f"{root}{folder}/") for artifact, root in self._places
        )

    def own(self) -> Mapping[str, Module]:
        """Get the modules of the project and of local packages by their names, sorted."""
        return {name: module for name, module in self._named("own") if module.is_own}

    def all(self) -> Mapping[str, Module]:
        """Get all modules by their names, sorted: slow, as there are thousands of them."""
        return dict(self._named("paths"))

    def _named(self, files: str) -> Iterator[tuple[str, Module]]:
        """Yield the modules that some files of each artifact are, by an attribute of the view."""
        names = {
            _module_name(path[len(root) :])
            for artifact, root in self._places
            for path in getattr(artifact, files)
            if path.startswith(root)
        }
        for name in sorted(names):
            module = self.find(name)
            if module is not None:
                yield name, module

    def missing(self, dotted: str) -> str:
        """Name the first part of a dotted name that cannot be imported; empty if all can be.

        A package outside of the project may create modules at run time. Only folders without an
        `__init__`, and the project's own packages, are known to contain exactly what is in the
        artifact.
        """
        name = ""
        for part in dotted.split("."):
            name = f"{name}.{part}" if name else part
            module = self.find(name)
            if module is None and not self.has_folder(name):
                return name
            if module is not None and not (module.is_own and module.is_package):
                return ""
        return ""


def _find(name: str, artifact: ArtifactView, root: str) -> Module | None:
    """Find a module in one folder of `sys.path`.

    A package is found before a module of the same name, and machine code before source
    (https://docs.python.org/3/reference/import.html#the-path-based-finder).
    """
    stem = root + name.replace(".", "/")
    for start, is_package in ((f"{stem}/{_INIT}.", True), (f"{stem}.", False)):
        files = range_starting(artifact.paths, start)
        ranked = {
            path: _rank(path[len(start) :]) for path in artifact.paths[files.start : files.stop]
        }
        best = max(ranked, key=ranked.__getitem__, default="")
        if best and ranked[best]:
            return Module(name, best, artifact, is_package)
    return None


def _rank(ending: str) -> int:
    """Rank what follows the first dot of a file's name; 0 if it is not a module."""
    if "/" in ending:
        return 0
    return _RANKS.get(ending, _MACHINE_CODE if ending.endswith("so") else 0)


def _module_name(path: str) -> str:
    """Name the module that a file may be; empty if it is none."""
    folder, _, file = path.rpartition("/")
    stem, _, ending = file.partition(".")
    if not _rank(ending):
        return ""
    package = folder.replace("/", ".")
    if stem == _INIT:
        return package
    return f"{package}.{stem}" if package else stem
