"""A folder → a wheel in this process, by the hooks (PEP 517) of a backend that is at hand.

That takes milliseconds, and is done only where nothing would differ from an isolated
build: the running environment satisfies every `build-system.requires`, and nothing but
the backend is required.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import tempfile
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.source_build.errors import BackendError
from lambda_build_plugin.source_build.process_state import working_in, writing_to

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.source_build.source import Source

__all__ = ["backend_at_hand", "built_here"]

_IN_PROCESS = {
    "hatchling.build": "hatchling",
    "pdm.backend": "pdm-backend",
    "poetry.core.masonry.api": "poetry-core",
}
"""Backends that can be called here: `build-backend` → distribution."""


def backend_at_hand(project: Project) -> str | None:
    """Get the backend's distribution if building here is what isolation would be."""
    system = project.build_system
    backend = _IN_PROCESS.get(system.backend)
    if backend is None or system.has_backend_path or not system.requires:
        return None
    if not all(_is_satisfied(text, backend) for text in system.requires):
        return None
    # A build script may ask for more than poetry-core; Poetry isolates it, too.
    if backend == "poetry-core" and "build" in project.tool.table("poetry"):
        return None
    # An isolated build would not have the plugins that are installed here.
    if backend == "pdm-backend" and importlib.metadata.entry_points(group="pdm.build.hook"):
        return None
    return backend


def _is_satisfied(text: str, backend: str) -> bool:
    try:
        requirement = Requirement(text)
        version = importlib.metadata.version(backend)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
        return False
    return (
        canonicalize_name(requirement.name) == backend
        and not requirement.extras
        and requirement.url is None
        and requirement.specifier.contains(version, prereleases=True)
    )


def built_here(source: Source, root: Path, backend: str, folder: Path) -> bool:
    """Call the hooks of the backend here; False where it asks for more than is here.

    Raises:
        BackendError: It fails, with what it and its programs wrote.
    """
    with tempfile.TemporaryFile("w+", buffering=1, encoding="utf-8", errors="replace") as output:
        try:
            with writing_to(output), working_in(root):
                hooks = importlib.import_module(source.backend)
                if hooks.get_requires_for_build_wheel():
                    return False
                hooks.build_wheel(str(folder))
        except (Exception, SystemExit) as error:  # whatever a backend or its plugins raise
            output.seek(0)
            said = "\n".join(part for part in (output.read().strip(), str(error)) if part)
            raise BackendError(source, backend, said) from error
    return True
