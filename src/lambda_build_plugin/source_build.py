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
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from installer.utils import parse_metadata_file
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.lock.parts import redacted_text
from lambda_build_plugin.stage import Wheel
from lambda_build_plugin.tables import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TextIO

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.project import Project
    from lambda_build_plugin.target import Target

__all__ = [
    "BackendError",
    "ExcludedPythonError",
    "NotAPackageError",
    "OfflineRequirementsError",
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

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")

_WRITES_INTO_ROOT = frozenset({"pdm.backend"})
"""Backends that cannot build where the project's folder is read-only."""

_OFFLINE = {
    "UV_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
    # Addresses in find-links and in requirements are not of an index. Nobody listens there.
    "PIP_PROXY": "http://127.0.0.1:0",
    "PIP_RETRIES": "0",
}
"""Variables that keep uv and pip from the network."""


class NotAPackageError(SourceBuildError):
    """No wheel can be built of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        why = (
            f"{project.root} has no pyproject.toml with a [build-system], or says itself "
            "that it is no package"
        )
        remedy = "add a [build-system] (hatchling, poetry-core, pdm-backend, …)"
        if project.tool.table("poetry").flag("package-mode") is False:
            why = f"{project.root / 'pyproject.toml'} says `package-mode = false`"
            remedy = "remove `package-mode = false` and say which code belongs to it (`packages`)"
        elif project.tool.table("pdm").flag("distribution") is False:
            why = f"{project.root / 'pyproject.toml'} says `distribution = false`"
            remedy = "remove `distribution = false` and add a [build-system] (pdm-backend, …)"
        super().__init__(
            f"{project.name} is not a package: there is nothing to build a wheel of",
            why=why,
            hint=f"{remedy}, or package the dependencies alone: `--contents dependencies`",
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


class OfflineRequirementsError(SourceBuildError):
    """The requirements of an isolated build are not at hand, and may not be fetched."""

    def __init__(self, project: Project, output: str) -> None:
        self.project, self.output = project, output
        super().__init__(
            f"what {project.name} is built with is not at hand",
            why=output.strip() or "the installer said nothing",
            hint="`--offline` forbids fetching the build requirements: build once without it "
            "where uv is installed (its cache has them from then on), or let UV_FIND_LINKS "
            "(with pip: PIP_FIND_LINKS) name a folder with their wheels",
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


class ExcludedPythonError(SourceBuildError):
    """The wheel that was built does not admit the target's Python."""

    def __init__(self, project: Project, requires_python: SpecifierSet, target: Target) -> None:
        self.project, self.requires_python, self.target = project, requires_python, target
        super().__init__(
            f"the wheel of {project.name} does not admit {target}",
            why=f"its Requires-Python is `{requires_python}`, "
            f"{target.runtime.name} has Python {target.python_version}",
            hint="choose another runtime, or let the project admit this one: `requires-python`, "
            "`python_requires` of setuptools, or `python` among Poetry's dependencies",
        )


def build_project(
    project: Project,
    target: Target,
    folder: Path,
    *,
    offline: bool,
    reporter: Reporter,
    environ: Mapping[str, str],
    builder: Callable[[Path], object] | None = None,
) -> Wheel:
    """Build the project's wheel into a folder; never an editable one.

    A host that runs as the project's backend brings its own `builder`, which writes the
    wheel into the folder that it is given.

    Raises:
        SourceBuildError: It is no package, the backend fails, or the wheel does not
            fit the target.
    """
    if builder is not None:
        builder(folder)
        return _checked(project, target, _only_wheel(project, folder))
    if not project.is_package:
        raise NotAPackageError(project)
    try:
        _build(project, folder, reporter, environ, offline=offline)
    except BackendError as error:
        if outside := _code_outside(project):
            raise OutsideCodeError(project, outside, error.output) from error
        raise
    return _checked(project, target, _only_wheel(project, folder))


def _build(
    project: Project,
    folder: Path,
    reporter: Reporter,
    environ: Mapping[str, str],
    *,
    offline: bool,
) -> None:
    with _scratch() as scratch, _no_input(), _no_trace_in(project.root):
        root = _writable_root(project, reporter)
        backend = _backend_at_hand(project)
        if backend is not None and _built_here(project, root, backend, folder):
            reporter.note(f"{project.name} is built with {backend} in this process")
        else:
            reporter.note(f"build {project.name} with {project.build_system.backend} in isolation")
            _build_in_isolation(project, root, folder, scratch, environ, offline=offline)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give a folder that also holds what a build and its programs leave for temporary.

    A build that is killed cannot clean up after itself; this does.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="lambda-build-", ignore_cleanup_errors=True) as name:
        tempfile.tempdir = name
        try:
            with _variables({"TMPDIR": name}):
                yield Path(name)
        finally:
            tempfile.tempdir = before


@contextmanager
def _variables(more: Mapping[str, str]) -> Iterator[None]:
    """Add to the variables of this process, which backends and `build` hand on."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _no_input() -> Iterator[None]:
    """Let whoever asks a question meet the end of input at once, and not wait for ever."""
    before = sys.stdin
    with Path(os.devnull).open(encoding="utf-8") as nothing, _led(0, nothing):
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before


@contextmanager
def _led(descriptor: int, file: TextIO) -> Iterator[None]:
    """Lead a descriptor to a file, for this process and those that it starts."""
    kept = os.dup(descriptor)
    try:
        os.dup2(file.fileno(), descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def _writable_root(project: Project, reporter: Reporter) -> Path:
    """Get the project's folder, or a copy where its backend could not build in it."""
    root = project.root
    if project.build_system.backend not in _WRITES_INTO_ROOT or os.access(root, os.W_OK):
        return root
    reporter.note(f"{root} is read-only: {project.name} is built from a copy")
    copy = Path(tempfile.mkdtemp(), root.name)
    try:
        shutil.copytree(root, copy, symlinks=True, ignore=_environments)
        copy.chmod(0o700)
    except OSError as error:
        said = f"{root} is read-only, and cannot be copied: {error}"
        raise BackendError(project, project.build_system.backend, said) from error
    return copy


def _environments(folder: str, names: list[str]) -> list[str]:
    """List the virtual environments in a folder: large, and no part of a project."""
    return [name for name in names if Path(folder, name, "pyvenv.cfg").is_file()]


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


def _built_here(project: Project, root: Path, backend: str, folder: Path) -> bool:
    """Call the hooks of the backend here; False where it asks for more than is here."""
    with tempfile.TemporaryFile("w+", buffering=1, encoding="utf-8", errors="replace") as output:
        try:
            with _writing_to(output), _working_in(root):
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
            stack.enter_context(_led(descriptor, file))
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


def _build_in_isolation(
    project: Project,
    root: Path,
    folder: Path,
    scratch: Path,
    environ: Mapping[str, str],
    *,
    offline: bool,
) -> None:
    """Build through PEP 517 in an environment of its own, with uv or pip as installer."""
    from build import BuildBackendException, BuildException, FailedProcessError, ProjectBuilder
    from build.env import DefaultIsolatedEnv

    output: list[str] = []
    ours = _OFFLINE if offline else {}
    base = {**environ, **ours, **_aside(scratch, environ)}

    def run(
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        result = _finished(cmd, cwd, {**base, **(extra_environ or {})})
        output.append(result.stdout)
        result.check_returncode()

    try:
        with (
            _variables(ours),
            DefaultIsolatedEnv(installer="uv" if _has_uv(environ) else "pip") as env,
        ):
            builder = ProjectBuilder.from_isolated_env(env, str(root), runner=run)
            env.install(builder.build_system_requires)
            env.install(builder.get_requires_for_build("wheel"))
            builder.build("wheel", str(folder))
    except subprocess.CalledProcessError as error:  # of the installer; `build` wraps a backend's
        said = redacted_text(_text(error.stdout) + _text(error.stderr) or str(error))
        if offline:
            raise OfflineRequirementsError(project, said) from error
        raise BackendError(project, project.build_system.backend, said) from error
    except (BuildException, BuildBackendException, FailedProcessError) as error:
        said = "".join((*output, str(error)))
        raise BackendError(project, project.build_system.backend, said) from error


def _finished(
    command: Sequence[str], cwd: str | None, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; what interrupts us ends it with all that it has started."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            _kill(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output)


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process that leads a session, and its children where there are sessions."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
    return {
        "DIST_EXTRA_CONFIG": str(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(scratch),
    }


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
    requires_python = _requires_python(project, path)
    if not requires_python.contains(target.python_version, prereleases=True):
        raise ExcludedPythonError(project, requires_python, target)
    return Wheel(
        name=name,
        version=version,
        filename=path.name,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        source="local",
    )


def _requires_python(project: Project, path: Path) -> SpecifierSet:
    """Read what the metadata says: backends know more than pyproject.toml does."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = filter(_METADATA.fullmatch, archive.namelist())
            metadata = parse_metadata_file(archive.read(name).decode("utf-8"))
        return SpecifierSet(metadata["Requires-Python"] or "")
    except (zipfile.BadZipFile, ValueError) as error:
        problem = f"the metadata of {path.name} cannot be read: {error}"
        raise BackendError(project, project.build_system.backend, problem) from error
