"""Build a wheel in this process, with the hooks (PEP 517) of an installed backend.

That takes milliseconds. It is done only if an isolated build would not differ, that is,
if the backend is all that `build-system.requires` names, and its installed version fits.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.source_build.errors import BackendError
from lambda_build_plugin.source_build.process_state import (
    new_folders_last,
    working_in,
    writing_to,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lambda_build_plugin.config.build_policy import BuildSettings
    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.source_build.source import Source

__all__ = ["build_in_process", "load_backend", "usable_backend"]

_IN_PROCESS = {
    "hatchling.build": "hatchling",
    "pdm.backend": "pdm-backend",
    "poetry.core.masonry.api": "poetry-core",
}
"""The distributions of backends that can be called in this process, by `build-backend`."""

_WHEEL_BUILDERS = {
    "hatchling": "hatchling.builders.wheel",
    "pdm-backend": "pdm.backend.wheel",
    "poetry-core": "poetry.core.masonry.builders.wheel",
}
"""What they import when they build a wheel; most of their time goes into that."""

_parsed = lru_cache(maxsize=512)(Requirement)  # those of backends are the same in most projects


def usable_backend(project: Project, settings: BuildSettings) -> str | None:
    """Return the backend's distribution if an isolated build would not differ, else None."""
    system = project.build_system
    backend = _IN_PROCESS.get(system.backend)
    more = settings.requirements or settings.variables or settings.config_settings
    if backend is None or more or system.has_backend_path or not system.requires:
        return None
    satisfied = all(_is_satisfied(text, backend) for text in system.requires)
    if not satisfied or not all(_is_admitted(text, backend) for text in settings.constraints):
        return None
    # A build script may need more than poetry-core; Poetry also isolates it.
    if backend == "poetry-core" and "build" in project.tool.table("poetry"):
        return None
    # An isolated build would not have the plugins that are installed here.
    if backend == "pdm-backend" and _has_plugins("pdm.build.hook"):
        return None
    return backend


def load_backend(project: Project, settings: BuildSettings) -> None:
    """Import the backend of a project ahead, if the project is built in this process.

    Whatever goes wrong does so again when the backend is called, and is reported then.
    """
    backend = usable_backend(project, settings)
    if backend is not None:
        with suppress(Exception), new_folders_last():
            importlib.import_module(project.build_system.backend)
            importlib.import_module(_WHEEL_BUILDERS[backend])


def _is_satisfied(text: str, backend: str) -> bool:
    try:
        requirement = _parsed(text)
    except InvalidRequirement:
        return False
    version = _installed_version(backend)
    return version is not None and (
        canonicalize_name(requirement.name) == backend
        and not requirement.extras
        and requirement.url is None
        and requirement.specifier.contains(version, prereleases=True)
    )


def _installed_version(name: str) -> str | None:
    return _version_in(name, tuple(sys.path))


@lru_cache(maxsize=16)
def _version_in(name: str, folders: tuple[str, ...]) -> str | None:
    """Get the version of a distribution that can be imported here; None if there is none.

    Installers name the folder of the metadata after it
    (packaging.python.org/specifications/recording-installed-packages/), which is much faster
    than `importlib.metadata`: that one loads parts of `email`, and reads the metadata.
    """
    start = f"{name.replace('-', '_')}-"
    for folder in folders:
        with suppress(OSError):
            found = [each for each in os.listdir(folder or ".") if each.startswith(start)]  # noqa: PTH208 - its names are enough
            if len(found) == 1 and found[0].endswith(".dist-info"):
                return found[0][len(start) : -len(".dist-info")]
            if found:
                break
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_plugins(group: str) -> bool:
    # Not loaded for other backends.
    from importlib.metadata import entry_points

    return bool(entry_points(group=group))


def _is_admitted(text: str, backend: str) -> bool:
    """Tell whether a constraint is about another package, or admits the installed version."""
    try:
        name = canonicalize_name(_parsed(text).name)
    except InvalidRequirement:
        return False
    return name != backend or _is_satisfied(text, backend)


def build_in_process(source: Source, root: Path, backend: str, folder: Path) -> bool:
    """Call the hooks of the backend; return False if it has more requirements.

    Raises:
        BackendError: The backend fails; contains what it and its programs wrote.
    """
    with open(_output_place(), "w+", buffering=1, encoding="utf-8", errors="replace") as output:
        try:
            with (
                writing_to(output),
                working_in(root),
                new_folders_last(),
                _modules_forgotten(root),
            ):
                hooks = importlib.import_module(source.backend)
                if hooks.get_requires_for_build_wheel():
                    return False
                hooks.build_wheel(str(folder))
        except (Exception, SystemExit) as error:  # whatever a backend or its plugins raise
            output.seek(0)
            said = "\n".join(part for part in (output.read().strip(), str(error)) if part)
            raise BackendError(source, backend, said) from error
    return True


def _output_place() -> int:
    """Open a file without a name, in memory where the system can do that."""
    with suppress(AttributeError, OSError):  # on other systems, and in some sandboxes
        return os.memfd_create("output of a build backend")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@contextmanager
def _modules_forgotten(root: Path) -> Iterator[None]:
    """Forget the modules of a project that its backend imports, such as for its version.

    The next project that is built in this process may have modules of the same names. Where the
    backend finds its own modules stays: poetry-core adds the folder of what it brings along, when
    it is imported for the first time, and imports some of that later.
    """
    modules, path = set(sys.modules), list(sys.path)
    own = _Below(root)
    try:
        yield
    finally:
        sys.path[:] = [each for each in sys.path if each in path or each not in own]
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            folders = [*_folders(name), *([os.path.split(file)[0]] if file else [])]
            if any(folder in own for folder in folders):
                del sys.modules[name]


class _Below:
    """Knows which folders are a folder or below it; most modules share a few folders."""

    def __init__(self, folder: Path) -> None:
        self._start = f"{os.path.realpath(folder)}{os.sep}"
        self._known: dict[str, bool] = {}

    def __contains__(self, folder: str) -> bool:
        """Tell it of a folder, whatever links lead there."""
        if folder not in self._known:
            real = f"{os.path.realpath(folder)}{os.sep}"
            self._known[folder] = real.startswith(self._start)
        return self._known[folder]


def _folders(name: str) -> list[str]:
    """List the folders of a package; one without `__init__.py` has nothing else."""
    return [str(folder) for folder in getattr(sys.modules[name], "__path__", None) or ()]
