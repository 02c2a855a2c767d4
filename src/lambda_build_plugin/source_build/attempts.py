"""Build a wheel that the target can load from a source, in up to three attempts.

1. In this process, if an isolated build would not differ.
2. In isolation, with a Python of the target's minor version if there is one.
3. The same without a compiler, for packages with optional extensions.

Where the compilers of this machine do not compile for the target, and zig does, the third
attempt comes before the second: what needs no compiler never sees zig.

The first wheel that fits is used. It is never editable, since `build_wheel` is called.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
import time
import zipfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.source_build.compatibility import (
    is_pure,
    lacking_symbols,
    misfits,
    without_machine_code,
)
from lambda_build_plugin.source_build.errors import (
    Attempt,
    BackendError,
    ExcludedPythonError,
    OutsideCodeError,
    WrongWheelError,
)
from lambda_build_plugin.source_build.in_process import build_in_process, usable_backend
from lambda_build_plugin.source_build.process_state import no_input, scratch
from lambda_build_plugin.system.hashes import check_file
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.file import BROKEN_ZIP, Wheel
from lambda_build_plugin.wheel.rewrite import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lambda_build_plugin.config.build_policy import BuildSettings
    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.source_build.context import BuildContext
    from lambda_build_plugin.source_build.cross import CrossCompiler
    from lambda_build_plugin.source_build.isolation import Isolation
    from lambda_build_plugin.source_build.source import Source

__all__ = ["build_wheel"]

_LEFTOVERS = (".pdm-build", "__pycache__")
"""What a backend or its hooks may leave behind in the folder of a project."""

_COMPILED = (".a", ".o", ".so")
"""How the names of files end that a compiler or a linker has written."""

_WRITES_INTO_ROOT = frozenset({"pdm.backend"})
"""Backends that cannot build where the project's folder is read-only."""


def build_wheel(
    source: Source, context: BuildContext, *, builder: Callable[[Path], object] | None = None
) -> Wheel:
    """Build the wheel of a source.

    Args:
        source: What to build.
        context: Where to build it, and for which target.
        builder: Writes the wheel into a folder; replaces the first attempt.

    Raises:
        SourceBuildError: The backend fails, or no wheel that it makes fits the target.
    """
    begin = time.perf_counter()
    with scratch(context.scratch) as temporary, no_input(), _leftovers_removed(source.root):
        root = _writable_root(source, context.reporter)
        try:
            attempts = _Attempts(source, root, context, temporary, builder)
            path, compiler = attempts.fitting()
        except BackendError as error:
            if source.project and (outside := _code_outside(source.project)):
                raise OutsideCodeError(source.project, outside, error.output) from error
            raise
        built_by = _check_metadata(source, context, path)
        lasting = context.folder / path.name
        shutil.move(path, lasting)
    if source.kind != "local":
        context.reporter.built(source.name, seconds=time.perf_counter() - begin)
    sha256 = check_file(lasting).sha256
    wheel = Wheel.of(lasting, sha256=sha256, source=source.kind)
    return replace(wheel, built_by=built_by, compiled_by=str(compiler or ""))


@dataclass(frozen=True)
class _Attempts:
    """The attempts to build one source."""

    source: Source
    root: Path
    context: BuildContext
    temporary: Path
    builder: Callable[[Path], object] | None

    def fitting(self) -> tuple[Path, CrossCompiler | None]:
        """Build wheels until one fits; return it and what compiled it, if zig did."""
        # What a host builds in this process may have hooks that compile.
        before = _compiled_files(self.root) if self.builder is not None else None
        wheel = self._in_process()
        if wheel is not None and self._fits_everywhere(wheel):
            return wheel, None
        before = _compiled_files(self.root) if before is None else before
        try:
            if self.context.cross_compiler is not None:
                return self._cross_compiled(self.context.cross_compiler, before)
            return self._compiled_here(wheel, before), None
        finally:
            _remove_compiled_files(self.root, but=before)

    def _compiled_here(self, wheel: Path | None, before: frozenset[Path]) -> Path:
        """Build the wheel with the compilers of this machine, or without one.

        Args:
            wheel: What was built in this process; None if nothing was.
            before: The compiled files that were in the source's folder before any attempt.
        """
        if wheel is None or not self.context.interpreter.is_running:
            try:
                wheel = self._in_isolation(compiler=True)
            except BackendError as error:
                # Compiles many patterns, which only a failed build needs.
                from lambda_build_plugin.source_build.causes import lacks_compiler

                if lacks_compiler(error.output) and (remedy := self.context.cross_remedy):
                    error.hint = f"{remedy}; {error.hint}"
                raise
        problems = self._misfits(wheel)
        if not problems:
            return wheel
        first = Attempt(how=self._how, filename=wheel.name, problems=problems)
        if is_pure(wheel.name):
            raise self._wrong_wheel(first)
        _remove_compiled_files(self.root, but=before)
        return self._pure(first)

    def _fits_everywhere(self, wheel: Path) -> bool:
        """Check that another Python would not build a different wheel."""
        return is_pure(wheel.name) and not self._misfits(wheel)

    def _cross_compiled(
        self, compiler: CrossCompiler, before: frozenset[Path]
    ) -> tuple[Path, CrossCompiler | None]:
        """Build the wheel with zig if it needs a compiler at all.

        Args:
            compiler: The zig, and the target.
            before: The compiled files that were in the source's folder before any attempt.
        """
        how = self._isolation(compiler=False)
        _remove_compiled_files(self.root, but=before)
        try:
            uncompiled = self._built(how)
        except BackendError:
            uncompiled = None
        if uncompiled and not how.called_compiler and not self._misfits(uncompiled):
            return uncompiled, None
        try:
            wheel = self._built(self._isolation(compiler=True, cross=compiler))
        except BackendError:
            if uncompiled and (pure := self._without_machine_code(uncompiled)):
                return pure, None
            raise
        problems = self._misfits(wheel) or lacking_symbols(wheel)
        if not problems:
            return wheel, compiler
        if uncompiled and (pure := self._without_machine_code(uncompiled)):
            return pure, None
        how_built = f"{self._how} and {compiler}"
        raise self._wrong_wheel(Attempt(how=how_built, filename=wheel.name, problems=problems))

    def _without_machine_code(self, wheel: Path) -> Path | None:
        """Return a wheel that was built without a compiler if it fits; None if it does not."""
        if not self._misfits(wheel):
            return wheel
        if is_pure(wheel.name):
            return None
        try:
            return without_machine_code(wheel, self.context.interpreter)
        except BROKEN_ZIP as error:  # also of a file WHEEL that is not text
            raise self._failure(f"{wheel.name} is damaged: {error}") from error

    def _wrong_wheel(self, *attempts: Attempt) -> WrongWheelError:
        return WrongWheelError(
            self.source, attempts, self.context.target, remedy=self.context.cross_remedy
        )

    def _pure(self, first: Attempt) -> Path:
        """Build the wheel without a compiler; it fits if nothing in it is compiled."""
        how = f"{self._how}, without a compiler"
        try:
            wheel = self._in_isolation(compiler=False)
        except BackendError as error:
            second = Attempt(how=how, filename=None, problems=error.summary)
            raise self._wrong_wheel(first, second) from error
        if (pure := self._without_machine_code(wheel)) is not None:
            return pure
        second = Attempt(how=how, filename=wheel.name, problems=self._misfits(wheel))
        raise self._wrong_wheel(first, second)

    @property
    def _settings(self) -> BuildSettings:
        return self.context.policy.settings_for(self.source.package)

    @property
    def _how(self) -> str:
        return f"built with {self.context.interpreter}"

    def _in_process(self) -> Path | None:
        """Build the wheel in this process, if that is allowed and possible."""
        source, folder = self.source, self._new_folder()
        if self.builder is not None:
            self.builder(folder)
            return self._only_wheel(folder)
        backend = usable_backend(source.project, self._settings) if source.project else None
        if backend is None or not build_in_process(source, self.root, backend, folder):
            return None
        self.context.reporter.note(f"building {source.name} with {backend} in this process")
        return self._only_wheel(folder)

    def _in_isolation(self, *, compiler: bool) -> Path:
        return self._built(self._isolation(compiler=compiler))

    def _built(self, how: Isolation) -> Path:
        from lambda_build_plugin.source_build.isolation import build_in_isolation

        source, folder, python = self.source, self._new_folder(), how.interpreter
        self.context.reporter.note(
            f"building {source.name} with {source.backend} in isolation"
            + ("" if python.is_running else f" and {python}")
            + ("" if how.compiler else ", without a compiler")
            + (f", compiled by {how.cross}" if how.cross is not None else "")
        )
        build_in_isolation(source, self.root, folder, how)
        return self._only_wheel(folder)

    def _isolation(self, *, compiler: bool, cross: CrossCompiler | None = None) -> Isolation:
        # Not loaded by a build in this process.
        from lambda_build_plugin.source_build.isolation import Isolation
        from lambda_build_plugin.source_build.secrets import (
            withheld_from_backend,
            withheld_from_installer,
        )

        source, context = self.source, self.context
        # The user's own code may use the user's secrets; what strangers wrote may not.
        names = () if source.kind == "local" else context.environ
        passed = context.build_environment
        return Isolation(
            interpreter=context.interpreter,
            environ=context.environ,
            withheld=withheld_from_backend(names, passed),
            withheld_from_installer=withheld_from_installer(names, passed),
            # A new one: what the last attempt has compiled would be packaged again.
            scratch=self._new_folder(),
            offline=context.offline,
            compiler=compiler,
            cross=cross,
            settings=self._settings,
        )

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.temporary))

    def _only_wheel(self, folder: Path) -> Path:
        wheels = sorted(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise self._failure(f"it wrote {len(wheels)} wheels instead of one")
        try:
            parse_wheel_filename(wheels[0].name)
        except InvalidWheelFilename as error:
            raise self._failure(str(error)) from error
        return wheels[0]

    def _misfits(self, wheel: Path) -> tuple[str, ...]:
        try:
            return misfits(wheel, self.context.target, lambda: self.context.interpreter)
        except zipfile.BadZipFile as error:
            raise self._failure(f"{wheel.name} is not a zip file: {error}") from error

    def _failure(self, problem: str) -> BackendError:
        return BackendError(self.source, self.source.backend, problem)


def _check_metadata(source: Source, context: BuildContext, path: Path) -> str:
    """Check `Requires-Python`, normalize the metadata, and return what built the wheel."""
    try:
        found = normalize(path)
        specifier = SpecifierSet(found.requires_python)
    except (zipfile.BadZipFile, ValueError) as error:
        problem = f"cannot read the metadata of {path.name}: {error}"
        raise BackendError(source, source.backend, problem) from error
    if not specifier.contains(context.target.python_version, prereleases=True):
        raise ExcludedPythonError(source, specifier, context.target)
    return found.built_by


def _writable_root(source: Source, reporter: Reporter) -> Path:
    """Return the source's folder, or a copy if the backend needs to write into it and cannot."""
    root = source.root
    if source.backend not in _WRITES_INTO_ROOT or os.access(root, os.W_OK):
        return root
    reporter.note(f"{root} is read-only: building {source.name} from a copy")
    copy = Path(tempfile.mkdtemp(), root.name)
    try:
        shutil.copytree(root, copy, symlinks=True, ignore=_environments)
        copy.chmod(0o700)
    except OSError as error:
        said = f"{root} is read-only, and cannot be copied: {error}"
        raise BackendError(source, source.backend, said) from error
    return copy


def _environments(folder: str, names: list[str]) -> list[str]:
    """List the virtual environments in a folder: they are large and not part of a project."""
    return [name for name in names if Path(folder, name, "pyvenv.cfg").is_file()]


def _compiled_files(root: Path) -> frozenset[Path]:
    """Find the object files and libraries in a folder, those of virtual environments apart."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        apart = {"node_modules", *_environments(folder, folders)}
        folders[:] = [name for name in folders if name not in apart]
        found += (Path(folder, name) for name in names if name.endswith(_COMPILED))
    return frozenset(found)


def _remove_compiled_files(root: Path, *, but: frozenset[Path]) -> None:
    """Remove what hooks and build scripts have compiled beside the source code.

    The next build, which may be for another target, would package it as well.
    """
    for path in _compiled_files(root) - but:
        with suppress(OSError):  # the build has it in its wheel, and here it is only a leftover
            path.unlink()


def _code_outside(project: Project) -> list[str]:
    """List the paths in `[tool.poetry] packages` that are not below the project."""
    with suppress(TableError):
        return [
            place
            for table in project.tool.table("poetry").tables("packages")
            if (place := posixpath.join(table.text("from") or "", table.text("include") or ""))
            and not (project.root / place).resolve().is_relative_to(project.root)
        ]
    return []


@contextmanager
def _leftovers_removed(root: Path) -> Iterator[None]:
    """Remove what a build leaves in the project, unless it existed before."""
    absent = [root / name for name in _LEFTOVERS if not (root / name).exists()]
    try:
        yield
    finally:
        for path in absent:
            shutil.rmtree(path, ignore_errors=True)
