"""The files of an artifact and its layers → the modules that an import finds, and their places."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.verify.view import ArtifactView

__all__ = ["Module", "ModuleIndex"]

_RANKS = {"pyc": 1, "py": 2}
_MACHINE_CODE = 3
_PACKAGE = 10
"""Which of several files of one name is imported: the one with the highest rank."""


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
    """All modules of an artifact and its layers, in the order of `sys.path`."""

    @classmethod
    def of(cls, artifacts: Sequence[ArtifactView]) -> ModuleIndex:
        """Index some artifacts; that of a single one is made once."""
        return artifacts[0].index if len(artifacts) == 1 else cls(artifacts)

    def __init__(self, artifacts: Sequence[ArtifactView]) -> None:
        """Collect the names of all files.

        A package is found before a module of the same name, and machine code before source
        (https://docs.python.org/3/reference/import.html#the-path-based-finder).
        """
        self.modules: dict[str, Module] = {}
        self.folders: set[str] = set()
        """Dotted names of all folders: without an `__init__`, they are namespace packages."""

        for artifact in artifacts:
            for root in artifact.roots:
                self._add(artifact, root)

    def _add(self, artifact: ArtifactView, root: str) -> None:
        found: dict[str, tuple[int, str]] = {}
        packages: dict[str, str] = {}
        for path in artifact.sizes:
            if not path.startswith(root):
                continue
            folder, _, file = path[len(root) :].rpartition("/")
            package = packages.get(folder)
            if package is None:
                package = packages[folder] = self._add_folders(folder)
            stem, _, ending = file.partition(".")
            rank = _RANKS.get(ending, _MACHINE_CODE if ending.endswith("so") else 0)
            if not rank:
                continue
            is_package = stem == "__init__"
            name = package if is_package else f"{package}.{stem}" if package else stem
            rank += _PACKAGE if is_package else 0
            if name and rank > found.get(name, (0, ""))[0]:
                found[name] = rank, path
        for name, (rank, path) in found.items():
            if name not in self.modules:
                self.modules[name] = Module(name, path, artifact, rank > _PACKAGE)

    def _add_folders(self, folder: str) -> str:
        """Remember a folder and those that it is in; return its dotted name."""
        dotted = name = folder.replace("/", ".")
        while name and name not in self.folders:
            self.folders.add(name)
            name = name.rpartition(".")[0]
        return dotted

    def missing(self, dotted: str) -> str:
        """Name the first part of a dotted name that cannot be imported; empty if all can be.

        A package outside of the project may create modules at run time. Only folders without an
        `__init__`, and the project's own packages, are known to contain exactly what is in the
        artifact.
        """
        name = ""
        for part in dotted.split("."):
            name = f"{name}.{part}" if name else part
            module = self.modules.get(name)
            if module is None and name not in self.folders:
                return name
            if module is not None and not (module.is_own and module.is_package):
                return ""
        return ""
