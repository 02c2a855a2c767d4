"""The files of an artifact and its layers → the modules that an import finds, and their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.verify.view import ArtifactView

__all__ = ["Module", "ModuleIndex"]

_RANKS = {"pyc": 1, "py": 2}
_MACHINE_CODE = 3


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

    Only those that are asked for are looked up: a project imports few of the thousands that its
    packages have.
    """

    @classmethod
    def of(cls, artifacts: Sequence[ArtifactView]) -> ModuleIndex:
        """Index some artifacts; that of a single one is made once."""
        return artifacts[0].index if len(artifacts) == 1 else cls(artifacts)

    def __init__(self, artifacts: Sequence[ArtifactView]) -> None:
        """Look up nothing yet."""
        self._places = [(each, root) for each in artifacts for root in each.roots]
        self._found: dict[str, Module | None] = {}

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __getitem__(self, name: str) -> Module:
        module = self.get(name)
        if module is None:
            raise KeyError(name)
        return module

    def get(self, name: str) -> Module | None:
        """Find a module by its dotted name; None if an import would not find it.

        A package is found before a module of the same name, and machine code before source
        (https://docs.python.org/3/reference/import.html#the-path-based-finder).
        """
        if not name:
            return None
        if name not in self._found:
            found = (_find(name, artifact, root) for artifact, root in self._places)
            self._found[name] = next(filter(None, found), None)
        return self._found[name]

    def is_folder(self, name: str) -> bool:
        """Tell whether there is such a folder: without an `__init__`, a namespace package."""
        folder = name.replace(".", "/")
        return bool(name) and any(
            artifact.paths_with(f"{root}{folder}/") for artifact, root in self._places
        )

    def names(self, *, only_own: bool = False) -> Iterator[str]:
        """Yield the names of all modules, each once; or of those that are the project's own."""
        seen: set[str] = set()
        for artifact, root in self._places:
            for path in artifact.own if only_own else artifact.paths:
                name = _name_of(path[len(root) :]) if path.startswith(root) else ""
                if name and name not in seen:
                    seen.add(name)
                    if name in self and (self[name].is_own or not only_own):
                        yield name

    def missing(self, dotted: str) -> str:
        """Name the first part of a dotted name that cannot be imported; empty if all can be.

        A package outside of the project may create modules at run time. Only folders without an
        `__init__`, and the project's own packages, are known to contain exactly what is in the
        artifact.
        """
        name = ""
        for part in dotted.split("."):
            name = f"{name}.{part}" if name else part
            module = self.get(name)
            if module is None and not self.is_folder(name):
                return name
            if module is not None and not (module.is_own and module.is_package):
                return ""
        return ""


def _find(name: str, artifact: ArtifactView, root: str) -> Module | None:
    """Find a module in one folder of `sys.path`."""
    base = root + name.replace(".", "/")
    for start, is_package in ((f"{base}/__init__.", True), (f"{base}.", False)):
        files = [path for path in artifact.paths_with(start) if _rank(path[len(start) :])]
        if files:
            path = max(files, key=lambda path: _rank(path[len(start) :]))
            return Module(name, path, artifact, is_package)
    return None


def _rank(ending: str) -> int:
    """Tell which of several files of one name is imported: the one with the highest rank."""
    if "/" in ending:  # a file in a folder with a dot in its name
        return 0
    return _RANKS.get(ending, _MACHINE_CODE if ending.endswith("so") else 0)


def _name_of(path: str) -> str:
    """Write the path of a file below a folder of `sys.path` as the name of a module."""
    folder, _, file = path.rpartition("/")
    stem, _, ending = file.partition(".")
    if not _rank(ending):
        return ""
    parts = folder.split("/") if folder else []
    return ".".join(parts if stem == "__init__" else [*parts, stem])
