"""Source code → wheels: the project itself, always as what a user would install.

The hooks (PEP 517) of poetry-core, hatchling and pdm-backend are called in this
process, in milliseconds, when nothing would differ: the running environment satisfies
every `build-system.requires`, and nothing but the backend is required. Everything else
is built in isolation through `build`, with uv as installer where it is at hand.
"""

from __future__ import annotations

import configparser
import hashlib
import importlib
import importlib.metadata
import os
import posixpath
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.stage import Wheel
from lambda_build_plugin.tables import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TextIO

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.project import Project
    from lambda_build_plugin.target import Target

__all__ = [
    "BackendError",
    "NotAPackageError",
    "OutsideCodeError",
    "WrongWheelError",
    "build_project",
]

_IN_PROCESS = {
    "hatchling.build": "hatchling",
    "pdm.backend": "pdm-backend",
    "poetry.core.masonry.api": "poetry-core",
}
"""Backends that can be called here: `build-backend` → distribution."""

_LEFTOVERS = (".pdm-build", "__pycache__")
"""What a backend or its hooks may leave at the root of a project."""


class NotAPackageError(SourceBuildError):
    """No wheel can be built of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        poetry_says_so = project.tool.table("poetry").flag("package-mode") is False
        super().__init__(
            f"{project.name} is not a package: there is nothing to build a wheel of",
            why=f"{project.root / 'pyproject.toml'} says `package-mode = false`"
            if poetry_says_so
            else f"{project.root} has no pyproject.toml with a [build-system], or says itself "
            "that it is no package",
            hint="remove `package-mode = false` and say which code belongs to it (`packages`), "
            "or package the dependencies alone: `--contents dependencies`"
            if poetry_says_so
            else "add a [build-system] (hatchling, poetry-core, pdm-backend, …), or package the "
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


class OutsideCodeError(SourceBuildError):
    """poetry-core takes no code from outside the project's folder."""

    def __init__(self, project: Project, outside: Sequence[str], output: str) -> None:
        self.project, self.outside, self.output = project, tuple(outside), output
        listed = "\n".join(f"- {place}" for place in outside)
        super().__init__(
            f"the code of {project.name} lies in part outside its folder",
            why=f"poetry-core builds a wheel of what lies below {project.root} only, and "
            f"`packages` names:\n{listed}\nit says: {output.strip()}",
            hint="move that code below the project's folder, or make a package of it, add its "
            "wheel to the dependencies and lock again; `--contents dependencies` packages the "
            "dependencies meanwhile",
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
    try:
        _build(project, folder, reporter, environ)
    except BackendError as error:
        if outside := _code_outside(project):
            raise OutsideCodeError(project, outside, error.output) from error
        raise
    return _checked(project, target, _only_wheel(project, folder))


def _build(project: Project, folder: Path, reporter: Reporter, environ: Mapping[str, str]) -> None:
    with _no_trace_in(project.root):
        backend = _backend_at_hand(project)
        if backend is not None and _built_here(project, backend, folder):
            reporter.note(f"{project.name} is built with {backend} in this process")
        else:
            reporter.note(f"build {project.name} with {project.build_system.backend} in isolation")
            _build_in_isolation(project, folder, environ)


def _code_outside(project: Project) -> list[str]:
    """List the places of `[tool.poetry] packages` that are not below the project."""
    with suppress(TableError):
        return [
            place
            for table in project.tool.table("poetry").tables("packages")
            if (place := posixpath.join(table.text("from") or "", table.text("include") or ""))
            and not (project.root / place).resolve().is_relative_to(project.root)
        ]
    return []


@contextmanager
def _no_trace_in(root: Path) -> Iterator[None]:
    """Remove what a build leaves in the project, unless it was there before."""
    absent = [root / name for name in _LEFTOVERS if not (root / name).exists()]
    try:
        yield
    finally:
        for path in absent:
            shutil.rmtree(path, ignore_errors=True)


def _backend_at_hand(project: Project) -> str | None:
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


def _built_here(project: Project, backend: str, folder: Path) -> bool:
    """Call the hooks of the backend here; False where it asks for more than is here."""
    with tempfile.TemporaryFile("w+", buffering=1, encoding="utf-8", errors="replace") as output:
        try:
            with _writing_to(output), _working_in(project.root):
                hooks = importlib.import_module(project.build_system.backend)
                if hooks.get_requires_for_build_wheel():
                    return False
                hooks.build_wheel(str(folder))
        except (Exception, SystemExit) as error:  # whatever a backend or its plugins raise
            output.seek(0)
            said = "\n".join(part for part in (output.read().strip(), str(error)) if part)
            raise BackendError(project, backend, said) from error
    return True


@contextmanager
def _writing_to(file: TextIO) -> Iterator[None]:
    """Lead what backends and the programs they start write into a file.

    Standard output is not theirs: a report may be on its way to another program.
    """
    with ExitStack() as stack:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(file.fileno(), descriptor)
        stack.enter_context(redirect_stdout(file))
        stack.enter_context(redirect_stderr(file))
        yield


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Change the working directory, as PEP 517 wants it for hooks."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _build_in_isolation(project: Project, folder: Path, environ: Mapping[str, str]) -> None:
    """Build through PEP 517 in an environment of its own, with uv or pip as installer."""
    from build import BuildBackendException, BuildException, FailedProcessError, ProjectBuilder
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
            env={**environ, **aside, **(extra_environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        output.append(result.stdout)
        result.check_returncode()

    try:
        with (
            tempfile.TemporaryDirectory(prefix="lambda-build-") as scratch,
            DefaultIsolatedEnv(installer="uv" if _has_uv(environ) else "pip") as env,
        ):
            aside = _aside(Path(scratch), environ)
            builder = ProjectBuilder.from_isolated_env(env, str(project.root), runner=run)
            env.install(builder.build_system_requires)
            env.install(builder.get_requires_for_build("wheel"))
            builder.build("wheel", str(folder))
    except subprocess.CalledProcessError as error:
        said = _text(error.stdout) + _text(error.stderr)
        raise BackendError(project, project.build_system.backend, said or str(error)) from error
    except (BuildException, BuildBackendException, FailedProcessError) as error:
        said = "".join((*output, str(error)))
        raise BackendError(project, project.build_system.backend, said) from error


def _aside(scratch: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Keep the working files of setuptools out of the project.

    Its `build` and `*.egg-info` would stay there, and what lies in a stale `build`
    would be packed again. It reads a configuration file that this variable names.
    """
    config = configparser.RawConfigParser()
    config.read(environ.get("DIST_EXTRA_CONFIG", ""), encoding="utf-8")
    config.read_dict(
        {"build": {"build_base": str(scratch)}, "egg_info": {"egg_base": str(scratch)}}
    )
    path = scratch / "extra.cfg"
    with path.open("w", encoding="utf-8") as file:
        config.write(file)
    return {"DIST_EXTRA_CONFIG": str(path), "PYTHONDONTWRITEBYTECODE": "1"}


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _has_uv(environ: Mapping[str, str]) -> bool:
    beside = Path(sys.executable).parent
    return (
        shutil.which("uv", path=environ.get("PATH")) is not None
        or shutil.which("uv", path=str(beside)) is not None
    )


def _only_wheel(project: Project, folder: Path) -> Path:
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        problem = f"it wrote {len(wheels)} wheels instead of one"
        raise BackendError(project, project.build_system.backend, problem)
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
