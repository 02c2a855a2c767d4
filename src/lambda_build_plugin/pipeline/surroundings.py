"""What does not ship → where a module is that an import does not find, for messages.

Wheels are opened and folders are looked at only when something is missing.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin.config.settings import Contents, LocalDependencies
from lambda_build_plugin.runtime.sdk import SDK
from lambda_build_plugin.verify.module_notes import ModuleNotes
from lambda_build_plugin.verify.modules import Surroundings
from lambda_build_plugin.wheel.file import BROKEN_ZIP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.pipeline.decision import Dependencies
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.staging import StagedArtifact
    from lambda_build_plugin.selection.left_out import LeftOut
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.verify.grammar import SyntaxProblem

__all__ = ["get_surroundings"]


def get_surroundings(
    artifact: ArtifactBuild, dependencies: Dependencies, staged: StagedArtifact
) -> Surroundings:
    """Gather what is known about modules that are not in an artifact."""
    settings = artifact.settings
    left_behind = _LeftBehind(artifact, dependencies, staged)
    provided_elsewhere = settings.provided.union(
        *(provider.left_out for provider in artifact.providers)
    )
    known = {wheel.name for wheel in dependencies.provided} | SDK
    return Surroundings(
        where=left_behind.where,
        provides=left_behind.provides,
        has_unnamed_layers=settings.contents is Contents.PROJECT and not artifact.providers,
        has_unknown_packages=(
            settings.local_dependencies is LocalDependencies.SKIP
            or not settings.main
            or not provided_elsewhere <= known
        ),
        notes=ModuleNotes(artifact.context.cache, f"{settings.project.root}"),
        compile_with_target=lambda sources: _compile(sources, settings),
    )


class _LeftBehind:
    """Looks for modules in what does not ship; each place is read when it is first needed."""

    def __init__(
        self, artifact: ArtifactBuild, dependencies: Dependencies, staged: StagedArtifact
    ) -> None:
        self._settings = artifact.settings
        self._cache = artifact.context.cache
        self._dependencies = dependencies
        self._staged = staged
        self.provides = cache(self._provides)

    def where(self, module: str) -> str:
        """Say where a module is that does not ship; empty if that is not known."""
        name = module.partition(".")[0]
        path = module.replace(".", "/")
        return self._excluded(path) or self._package(name) or self._file(path)

    def _provides(self, module: str) -> bool:
        name = module.partition(".")[0]
        return any(name in _top_level(wheel.path) for wheel in self._dependencies.provided)

    def _excluded(self, path: str) -> str:
        """Say which file was filtered out."""
        tree = self._staged.find_unfiltered()
        prefixes = tuple(f"{tree.prefix}{path}{end}" for end in (".py", ".pyc", ".", "/"))
        for entry in tree.entries:
            if entry.path.startswith(prefixes):
                return (
                    f"`{entry.path}` of {entry.owner} is left out by `exclude` or by a preset; "
                    "`include` brings it back"
                )
        return ""

    def _package(self, name: str) -> str:
        """Say which locked package contains the module, and why it does not ship."""
        lock = self._dependencies.lock
        if lock is None:
            return ""
        packages = {package.name: package for package in lock.lock.packages}
        for left_out in self._dependencies.left_out:
            package = packages.get(canonicalize_name(left_out.name))
            if package is not None and self._has_module(package, name):
                return f"{left_out.name} {left_out.version} contains it; {_reason(left_out)}"
        return ""

    def _has_module(self, package: LockedPackage, name: str) -> bool:
        """Look into the package, else compare names: few have a module of another name."""
        if package.directory is not None:
            folder = package.directory.path / (package.directory.subdirectory or "")
            return any(_module_files(folder, name))
        found = list(_cached_wheels(package, self._cache))
        if found:
            return any(name in _top_level(path) for path in found)
        return canonicalize_name(name) == package.name

    def _file(self, path: str) -> str:
        """Say which file of the project's folder does not ship."""
        root = self._settings.project.root
        for file in _module_files(root, path):
            shown = file.relative_to(root).as_posix()
            if file.is_dir():
                return f"the folder `{shown}/` of the project does not ship{_REMEDY}"
            return f"`{shown}` of the project does not ship{_REMEDY}"
        return ""


_REMEDY = (
    ": a line of `.gitignore`, a pattern or a default leaves it out, or the build settings do "
    "not select it"
)


def _reason(left_out: LeftOut) -> str:
    return left_out.reason if left_out.reason.startswith("it ") else f"but {left_out.reason}"


def _module_files(root: Path, path: str) -> Iterator[Path]:
    """Yield the files or folders that an import of a module would find in a project's folder."""
    for folder in (root, root / "src"):
        for place in (folder / f"{path}.py", folder / path):
            with suppress(OSError):
                if place.is_file() or (place.is_dir() and any(place.rglob("*.py"))):
                    yield place


def _cached_wheels(package: LockedPackage, kept: Cache) -> Iterator[Path]:
    for file in package.wheels:
        if file.digest is not None and (found := kept.find(file.digest)):
            yield found.path


@cache
def _top_level(wheel: Path) -> frozenset[str]:
    """List the top-level modules of a wheel, by the names of its files."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
    except (*BROKEN_ZIP, OSError):
        return frozenset()
    return frozenset(_tops(names))


def _tops(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        head, _, rest = name.partition("/")
        if head.endswith(".data"):
            head, _, rest = rest.partition("/")[2].partition("/")
        if not head.endswith(".dist-info"):
            yield head if rest else head.partition(".")[0]


def _compile(sources: Sequence[bytes], settings: Settings) -> Sequence[SyntaxProblem | None] | None:
    # Not loaded if the Python that runs the build can tell what is wrong.
    from lambda_build_plugin.pipeline.target_compiler import compile_with_target

    host = settings.host
    python = settings.target.runtime.python
    return compile_with_target(sources, python, environ=host.environ, home=host.home)
