"""Build a wheel in an isolated environment (PEP 517), with the help of `build`.

`build` makes the environment for the running Python; uv, or venv and pip, make it for
another one. Requirements come from the indexes that uv and pip are configured with.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin.config.build_policy import BuildSettings
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.source_build.cross_files import FLAG_VARIABLES, write_cross_files
from lambda_build_plugin.source_build.errors import (
    NO_COMPILER,
    BackendError,
    OfflineRequirementsError,
)
from lambda_build_plugin.source_build.process_state import variables
from lambda_build_plugin.system.interpreters import uv_of
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from build.env import DefaultIsolatedEnv

    from lambda_build_plugin.source_build.cross import CrossCompiler
    from lambda_build_plugin.source_build.cross_files import CrossFiles
    from lambda_build_plugin.source_build.source import Source
    from lambda_build_plugin.system.interpreters import Interpreter

__all__ = ["Isolation", "build_in_isolation"]

_OFFLINE = {
    "UV_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
    # URLs in find-links and requirements are used without an index; no proxy listens here.
    "PIP_PROXY": "http://127.0.0.1:0",
    "PIP_RETRIES": "0",
}
"""Variables that keep uv and pip off the network."""

_COMPILERS = (
    *("c++", "c99", "cc", "clang", "clang++", "cpp", "g++", "gcc"),
    *("cargo", "rustc", "f77", "f95", "flang", "gfortran", "ld", "nvcc"),
)
_COMPILER_VARIABLES = (
    "AR",
    "CC",
    "CPP",
    "CXX",
    "F77",
    "F90",
    "FC",
    "LD",
    "LDSHARED",
    "LDCXXSHARED",
)
"""Variables that distutils, meson and CMake read before they search for a compiler."""

_BUILD_BASE = ".lambda-build"
"""The folder in a stranger's source for setuptools' working files, which nothing packages."""

_CALLED = "compiler-was-called"
"""The file in the scratch folder that a disabled compiler leaves."""

_NO_COMPILER = f"""\
#!/bin/sh
: > "$(dirname "$0")/../{_CALLED}"
echo "{NO_COMPILER}: what it compiles does not load in the target" >&2
exit 1
"""


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """How an isolated build is run."""

    interpreter: Interpreter
    """The Python that runs the backend."""

    environ: Mapping[str, str] = field(repr=False)
    """The variables of the backend and of the installer, to which some are added."""

    withheld: frozenset[str] = frozenset()
    """Names of variables that the backend does not get."""

    withheld_from_installer: frozenset[str] = frozenset()
    """The same for uv or pip, which keeps the credentials of indexes."""

    scratch: Path
    """A folder for working files."""

    offline: bool
    """Whether requirements must not be fetched."""

    compiler: bool = True
    """False to disable all compilers, so that optional extensions are left out."""

    cross: CrossCompiler | None = None
    """What compiles in place of the compilers of this machine."""

    settings: BuildSettings = field(default_factory=BuildSettings)
    """What the user prescribes for this build."""

    @property
    def called_compiler(self) -> bool:
        """Whether the backend has called a compiler that was disabled."""
        return (self.scratch / _CALLED).exists()


def build_in_isolation(source: Source, root: Path, folder: Path, how: Isolation) -> None:
    """Build the wheel of a folder and write it into another one.

    Args:
        source: What is built, for messages.
        root: The folder with its pyproject.toml or setup.py.
        folder: Where to write the wheel.
        how: The Python, the environment and the settings of the build.

    Raises:
        SourceBuildError: The backend fails, or its requirements cannot be installed.
    """
    from build import BuildBackendException, BuildException, FailedProcessError, ProjectBuilder

    output: list[str] = []
    caught: list[warnings.WarningMessage] = []
    settings = how.settings
    try:
        cross = _cross_files(how, root)
        run = _runner(how, cross, output, _build_base(source, root, how.scratch))
        with (
            variables(_OFFLINE if how.offline else {}, without=how.withheld_from_installer),
            # A backend's warnings are for its authors, but may explain why it fails.
            warnings.catch_warnings(record=True) as caught,
            _environment(how, cross) as env,
        ):
            warnings.simplefilter("always")
            builder = ProjectBuilder.from_isolated_env(env, str(root), runner=run)
            own = builder.build_system_requires
            env.install(_checked(source, {*own, *settings.requirements}))
            config_settings = _config_settings(source, settings, cross)
            asked = builder.get_requires_for_build("wheel", config_settings)
            env.install(_checked(source, asked))
            builder.build("wheel", str(folder), config_settings)
    except subprocess.CalledProcessError as error:  # of the installer; `build` wraps a backend's
        output_text = _text(error.stdout) + _text(error.stderr) or str(error)
        if how.offline:
            raise OfflineRequirementsError(source, output_text) from error
        raise BackendError(source, source.backend, output_text) from error
    except (BuildException, BuildBackendException, FailedProcessError) as error:
        warned = (f"{each.message}\n" for each in caught)
        output_text = "".join((*warned, *output, str(error)))
        raise BackendError(source, source.backend, output_text, cross=how.cross) from error
    except (AttributeError, TypeError, ValueError) as error:  # of `build` about a hook's result
        said = "".join((*output, f"a hook of the backend returned no valid result: {error}"))
        raise BackendError(source, source.backend, said) from error


def _cross_files(how: Isolation, root: Path) -> CrossFiles | None:
    if how.cross is None:
        return None
    folder = how.scratch / "cross"
    folder.mkdir()
    return write_cross_files(how.cross, how.interpreter, folder, (root, how.scratch))


def _config_settings(
    source: Source, settings: BuildSettings, cross: CrossFiles | None
) -> dict[str, str | list[str]]:
    """Add what meson needs to know to the settings of its backend."""
    config = dict(settings.config_settings)
    if cross is not None and source.backend == "mesonpy":
        asked = config.get("setup-args", [])
        own = [asked] if isinstance(asked, str) else asked
        config["setup-args"] = [*cross.meson_arguments, *own]
    return config


def _build_base(source: Source, root: Path, scratch: Path) -> str:
    """Choose where setuptools compiles: never in the user's own folder.

    The folder of a stranger's source is ours, and setup scripts may expect, as uamqp's does, that
    what they are told is relative to it. What an earlier attempt has compiled there is removed.
    """
    if source.kind == "local":
        return str(scratch)
    shutil.rmtree(root / _BUILD_BASE, ignore_errors=True)
    return _BUILD_BASE


def _runner(
    how: Isolation, cross: CrossFiles | None, output: list[str], build_base: str
) -> Callable[..., None]:
    """Make the function that runs the hooks of the backend, and collects what they write."""
    withheld = how.withheld if cross is None else how.withheld | FLAG_VARIABLES
    base = {
        **_without(how.environ, withheld),
        **(_OFFLINE if how.offline else {}),
        **_working_files_elsewhere(how.scratch, how.environ, build_base),
        **(cross.variables if cross is not None else {}),
        **how.settings.variables,
    }
    hidden = {} if how.compiler else _without_compiler(how.scratch)
    first_on_path = cross.programs if cross is not None else hidden.get("PATH")

    def run(
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        merged = {**base, **(extra_environ or {}), **hidden}
        if first_on_path is not None:
            path = (extra_environ or base)["PATH"]
            merged["PATH"] = os.pathsep.join((str(first_on_path), path))
        result = finished(cmd, cwd=Path(cwd) if cwd else None, environ=merged, together=True)
        output.append(result.stdout)
        result.check_returncode()

    return run


def _without(environ: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in names}


def _checked(source: Source, texts: Collection[str]) -> set[str]:
    """Check that build requirements are requirements (PEP 508), which pip and uv are passed.

    They read a file of them, in which `-r /etc/passwd` would be an option.

    Raises:
        BackendError: One is something else.
    """
    found = set()
    for text in texts:
        try:
            found.add(str(Requirement(text)))
        except ValueError as error:
            said = f"`{excerpt(text)}` among its build requirements is not one (PEP 508): {error}"
            raise BackendError(source, source.backend, said) from error
    return found


@contextmanager
def _environment(
    how: Isolation, cross: CrossFiles | None
) -> Iterator[DefaultIsolatedEnv | _OtherEnvironment]:
    """Make an environment for a Python, which is removed afterwards."""
    from build.env import DefaultIsolatedEnv

    uv = uv_of(how.environ)
    # The `build` of our lowest version cannot pass on constraints.
    if how.interpreter.is_running and not how.settings.constraints and cross is None:
        with DefaultIsolatedEnv(installer="uv" if uv else "pip") as env:
            yield env
    else:
        other = _OtherEnvironment(how, uv=uv)
        if cross is not None:
            other.add_modules(cross.modules)
        yield other


class _OtherEnvironment:
    """One that `build` cannot make: for another Python or target, or with constraints."""

    def __init__(self, how: Isolation, *, uv: str | None) -> None:
        self._uv = uv
        self._environ = {
            **_without(how.environ, how.withheld_from_installer),
            **(_OFFLINE if how.offline else {}),
            "TMPDIR": str(how.scratch),
        }
        self._folder, self._constraints = how.scratch / "environment", how.settings.constraints
        python = str(how.interpreter.path)
        if uv is not None:
            folder = str(self._folder)
            self._run(uv, "venv", "--quiet", "--no-project", "--python", python, folder)
        else:
            self._run(python, "-Im", "venv", str(self._folder))

    @property
    def python_executable(self) -> str:
        """The environment's own Python."""
        name = "python.exe" if sys.platform == "win32" else "python"
        return str(self._scripts / name)

    def make_extra_environ(self) -> dict[str, str]:
        """Return variables that put the environment's programs first on PATH."""
        path = self._environ.get("PATH", os.defpath)
        return {"PATH": f"{self._scripts}{os.pathsep}{path}", "PYTHONPATH": ""}

    def install(self, requirements: Collection[str]) -> None:
        """Install requirements (PEP 508)."""
        if not requirements:
            return
        # In a file: on the command line pip ignores markers.
        listed, constraints = self._folder / "requirements.txt", self._folder / "constraints.txt"
        listed.write_text("\n".join(sorted(requirements)), encoding="utf-8")
        constraints.write_text("\n".join(self._constraints), encoding="utf-8")
        python, options = self.python_executable, ("-r", str(listed), "-c", str(constraints))
        if self._uv is not None:
            self._run(self._uv, "pip", "install", "--python", python, *options)
        else:
            self._run(python, "-Im", "pip", "install", "--no-input", *options)

    def add_modules(self, modules: Mapping[str, str]) -> None:
        """Write files into its site-packages: their names and contents."""
        for folder in self._folder.glob("lib/python*/site-packages"):
            for name, content in modules.items():
                (folder / name).write_text(content, encoding="utf-8")

    @property
    def _scripts(self) -> Path:
        return self._folder / ("Scripts" if sys.platform == "win32" else "bin")

    def _run(self, *command: str) -> None:
        environ = {**self._environ, "UV_PYTHON_DOWNLOADS": "never"}
        finished(command, environ=environ, together=True).check_returncode()


def _working_files_elsewhere(
    scratch: Path, environ: Mapping[str, str], build_base: str
) -> dict[str, str]:
    """Keep the working files of setuptools out of the project.

    Its `build` and `*.egg-info` would stay there, and the contents of an old `build`
    would be packaged again. setuptools reads the configuration file in this variable.
    """
    config = configparser.RawConfigParser()
    config.read(environ.get("DIST_EXTRA_CONFIG", ""), encoding="utf-8")
    config.read_dict({"build": {"build_base": build_base}, "egg_info": {"egg_base": str(scratch)}})
    path = scratch / "extra.cfg"
    with path.open("w", encoding="utf-8") as file:
        config.write(file)
    return {
        "DIST_EXTRA_CONFIG": str(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(scratch),
    }


def _without_compiler(scratch: Path) -> dict[str, str]:
    """Replace every compiler, by name and by variable, with a program that fails."""
    folder = scratch / "no-compiler"
    folder.mkdir()
    for name in _COMPILERS:
        path = folder / name
        path.write_text(_NO_COMPILER, encoding="utf-8")
        path.chmod(0o755)
    failing = str(folder / "cc")
    return {"PATH": str(folder), **dict.fromkeys(_COMPILER_VARIABLES, failing)}


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
