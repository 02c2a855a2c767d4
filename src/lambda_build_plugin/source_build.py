"""Source code → wheels: the project itself, always as what a user would install.

The backends poetry-core, hatchling and pdm-backend are called in this process, in
milliseconds, when nothing would differ: the running environment satisfies every
`build-system.requires`, and nothing but the backend is required. Everything else is
built in isolation through `build` (PEP 517), with uv as installer where it is at hand.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.stage import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.project import Project
    from lambda_build_plugin.target import Target

__all__ = ["BackendError", "NotAPackageError", "WrongWheelError", "build_project"]


class NotAPackageError(SourceBuildError):
    """No wheel can be built of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        super().__init__(
            f"{project.name} is not a package: there is nothing to build a wheel of",
            why=f"{project.root} has no pyproject.toml with a [build-system], or says itself "
            "that it is no package",
            hint="add a [build-system] (hatchling, poetry-core, pdm-backend, …), or package the "
            "dependencies alone: `--contents dependencies`",
        )


class BackendError(SourceBuildError):
    """The build backend failed."""

    def __init__(self, project: Project, backend: str, output: str) -> None:
        self.project, self.backend, self.output = project, backend, output
        super().__init__(
            f"building {project.name} failed in {backend}",
            why=output.strip() or "it said nothing",
            hint=f"try it alone: python -m build --wheel {project.root}",
        )


class WrongWheelError(SourceBuildError):
    """The wheel that was built is not one that the target loads."""

    def __init__(self, project: Project, filename: str, target: Target) -> None:
        self.project, self.filename, self.target = project, filename, target
        super().__init__(
            f"the wheel of {project.name} does not load in {target}",
            why=f"{filename} was built for this machine's own platform or Python",
            hint="build the extension in a wheel of its own for the target and lock that, or "
            "let the project itself be pure Python",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _InProcess:
    """A backend that can be called here."""

    module: str
    """As `build-backend` names it."""

    distribution: str
    build: Callable[[Path, Path], object]


def build_project(
    project: Project,
    target: Target,
    folder: Path,
    *,
    reporter: Reporter,
    environ: Mapping[str, str],
) -> Wheel:
    """Build the project's wheel into a folder; never an editable one.

    Raises:
        SourceBuildError: It is no package, the backend fails, or the wheel does not
            fit the target.
    """
    if not project.is_package:
        raise NotAPackageError(project)
    backend = _backend_at_hand(project)
    if backend is not None:
        reporter.note(f"build {project.name} with {backend.distribution} in this process")
        path = _built_here(project, backend, folder)
    else:
        reporter.note(f"build {project.name} with {project.build_system.backend} in isolation")
        path = _built_in_isolation(project, folder, environ)
    return _checked(project, target, path)


def _backend_at_hand(project: Project) -> _InProcess | None:
    """Get the backend if building here is what building in isolation would be."""
    system = project.build_system
    backend = _IN_PROCESS.get(system.backend)
    if backend is None or system.has_backend_path or not system.requires:
        return None
    return backend if all(_is_satisfied(text, backend) for text in system.requires) else None


def _is_satisfied(text: str, backend: _InProcess) -> bool:
    try:
        requirement = Requirement(text)
        version = importlib.metadata.version(backend.distribution)
    except (InvalidRequirement, importlib.metadata.PackageNotFoundError):
        return False
    return (
        canonicalize_name(requirement.name) == backend.distribution
        and not requirement.extras
        and requirement.url is None
        and requirement.specifier.contains(version, prereleases=True)
    )


def _built_here(project: Project, backend: _InProcess, folder: Path) -> Path:
    try:
        backend.build(project.root, folder)
    except (Exception, SystemExit) as error:  # whatever a backend or its plugins raise
        raise BackendError(project, backend.distribution, str(error)) from error
    return _only_wheel(project, backend.distribution, folder)


def _with_hatchling(root: Path, folder: Path) -> object:
    from hatchling.builders.wheel import WheelBuilder
    from hatchling.metadata.core import ProjectMetadata
    from hatchling.plugin.manager import PluginManager

    plugins = PluginManager()
    metadata = ProjectMetadata(str(root), plugins)
    builder = WheelBuilder(str(root), plugin_manager=plugins, metadata=metadata)
    return list(builder.build(directory=str(folder), versions=["standard"]))


def _with_poetry_core(root: Path, folder: Path) -> object:
    from poetry.core.factory import Factory
    from poetry.core.masonry.builders.wheel import WheelBuilder

    return WheelBuilder(Factory().create_poetry(root)).build(folder)


def _with_pdm_backend(root: Path, folder: Path) -> object:
    from pdm.backend.wheel import WheelBuilder

    # It leaves `.pdm-build` in the project only where it is asked to keep it.
    with WheelBuilder(root) as builder:
        return builder.build(str(folder))


_IN_PROCESS = {
    backend.module: backend
    for backend in (
        _InProcess(module="hatchling.build", distribution="hatchling", build=_with_hatchling),
        _InProcess(
            module="poetry.core.masonry.api", distribution="poetry-core", build=_with_poetry_core
        ),
        _InProcess(module="pdm.backend", distribution="pdm-backend", build=_with_pdm_backend),
    )
}


def _built_in_isolation(project: Project, folder: Path, environ: Mapping[str, str]) -> Path:
    """Build through PEP 517 in an environment of its own, with uv or pip as installer."""
    from build import BuildBackendException, BuildException, ProjectBuilder
    from build.env import DefaultIsolatedEnv

    output: list[str] = []

    def run(
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        result = subprocess.run(
            cmd,
            cwd=cwd,
            env={**environ, **(extra_environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        output.append(result.stdout)
        if result.returncode:
            raise subprocess.CalledProcessError(result.returncode, cmd, result.stdout)

    backend = project.build_system.backend
    try:
        with DefaultIsolatedEnv(installer="uv" if _has_uv(environ) else "pip") as env:
            builder = ProjectBuilder.from_isolated_env(env, str(project.root), runner=run)
            env.install(builder.build_system_requires)
            env.install(builder.get_requires_for_build("wheel"))
            builder.build("wheel", str(folder))
    except (BuildException, BuildBackendException, subprocess.CalledProcessError) as error:
        said = getattr(error, "output", None) or getattr(error, "stdout", None)
        if isinstance(said, bytes):
            said = said.decode(errors="replace")
        raise BackendError(project, backend, said or "".join(output) or str(error)) from error
    return _only_wheel(project, backend, folder)


def _has_uv(environ: Mapping[str, str]) -> bool:
    beside = Path(sys.executable).parent
    return (
        shutil.which("uv", path=environ.get("PATH")) is not None
        or shutil.which("uv", path=str(beside)) is not None
    )


def _only_wheel(project: Project, backend: str, folder: Path) -> Path:
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise BackendError(project, backend, f"it wrote {len(wheels)} wheels instead of one")
    return wheels[0]


def _checked(project: Project, target: Target, path: Path) -> Wheel:
    """Hold the built wheel against the target.

    A `linux_*` tag says only that it was built on this machine: that proves nothing
    about the libraries of the runtime, so it is refused like any other strange platform.
    """
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise BackendError(project, project.build_system.backend, str(error)) from error
    fitting = {tag for tag in tags if tag in target.rank}
    if not fitting or all(tag.platform.startswith("linux_") for tag in fitting):
        raise WrongWheelError(project, path.name, target)
    return Wheel(
        name=name,
        version=version,
        filename=path.name,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        source="local",
    )
