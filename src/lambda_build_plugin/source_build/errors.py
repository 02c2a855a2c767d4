"""Errors of building wheels from source code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.urls import redacted_text
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.source_build.cross import CrossCompiler
    from lambda_build_plugin.source_build.source import Source
    from lambda_build_plugin.wheel.file import Wheel

__all__ = [
    "EXTRA",
    "NOT_COMPILED",
    "NO_COMPILER",
    "Attempt",
    "BackendError",
    "EmptyWheelError",
    "ExcludedPythonError",
    "NotAPackageError",
    "OfflineRequirementsError",
    "OutsideCodeError",
    "StrangeWheelError",
    "UnreadableSourceError",
    "WrongInclusionError",
    "WrongWheelError",
    "ending",
]

_LAST_LINES = 40
_LAST_LINES_AFTER_CAUSE = 10
_LAST_CHARACTERS = 8_000

EXTRA = "lambda-build-plugin[cross]"
"""What to install in order to compile for other machines."""

NO_COMPILER = "lambda-build has disabled the compiler"
"""What the programs say that take the place of compilers."""

NOT_COMPILED = "zig does not compile what this compiler does"
"""The same where zig compiles C and C++; the compiler's name follows."""


def ending(output: str, *, lines: int = _LAST_LINES) -> str:
    """Return the end of a program's output, where the reason mostly is, without credentials."""
    text = output.strip()
    end = "\n".join(text.splitlines()[-lines:])
    if len(end) > _LAST_CHARACTERS:
        # Not in the middle of a word: part of a URL would not be recognized as one.
        end = re.sub(r"^\S*\s", "", end[-_LAST_CHARACTERS:])
    shown = redacted_text(end)
    return shown if len(end) == len(text) else f"…\n{shown}"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to build a wheel that failed, or whose wheel did not fit."""

    how: str
    """Such as `with Python 3.13.1`."""

    filename: str | None
    """The wheel; None if the backend failed."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{self.how}: {self.filename}" if self.filename else f"{self.how}:"
        return "\n".join((head, *(f"  {problem}" for problem in self.problems)))


class NotAPackageError(SourceBuildError):
    """No wheel can be built from the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        pyproject = project.root / "pyproject.toml"
        why = f"{project.root} has no pyproject.toml with a [build-system], or declares "
        why += "that it is not a package"
        remedy = "add a [build-system] (hatchling, poetry-core, pdm-backend, …)"
        if project.tool.table("poetry").flag("package-mode") is False:
            why = f"{pyproject} sets `package-mode = false`"
            remedy = "remove `package-mode = false` and list the code of the package (`packages`)"
        elif project.tool.table("pdm").flag("distribution") is False:
            why = f"{pyproject} sets `distribution = false`"
            remedy = "remove `distribution = false` and add a [build-system] (pdm-backend, …)"
        super().__init__(
            f"{project.name} is not a package: there is nothing to build a wheel from",
            why=why,
            hint='set `project = "source"` in [tool.lambda-build] to ship its files as they are; '
            f"or {remedy}; `--contents dependencies` packages only the dependencies",
        )


class UnreadableSourceError(SourceBuildError):
    """A path that the lock or a setting names does not exist, or is not what is expected."""

    def __init__(self, name: str, path: Path, problem: str) -> None:
        self.name, self.path = name, path
        super().__init__(
            f"cannot take {name} from {path}",
            why=problem,
            hint="put it there, or change its path and lock again; "
            '`local-dependencies = "skip"` leaves out the folders that the lock names',
        )


class WrongInclusionError(SourceBuildError):
    """The target cannot load a wheel that the user includes."""

    def __init__(
        self, path: Path, tags: Iterable[Tag], target: Target, requires_python: SpecifierSet | None
    ) -> None:
        self.path, self.target = path, target
        super().__init__(
            f"cannot take {path.name} from {path}",
            why=f"its Requires-Python is `{requires_python}`, but {target.runtime.name} has "
            f"Python {target.python_version}"
            if requires_python is not None
            else f"its tag is {' or '.join(sorted(map(str, tags)))}, but {target} loads "
            f"{target.tags[0]}, the same for an older manylinux, abi3, or py3-none-any",
            hint="include a wheel that the target loads, or name the folder of the package's "
            "source code, which is then built",
        )


class BackendError(SourceBuildError):
    """The build backend failed."""

    def __init__(
        self, source: Source, backend: str, output: str, *, cross: CrossCompiler | None = None
    ) -> None:
        self.source, self.backend, self.output = source, backend, output
        # Compiles many patterns, which only a failed build needs.
        from lambda_build_plugin.source_build.causes import find_cause

        is_own = source.kind == "local"
        cause = find_cause(output, is_own=is_own, is_cross=cross is not None)
        said = ending(output) or "it wrote no output"
        if cause is not None:
            said = f"{cause.text}\n\n{ending(output, lines=_LAST_LINES_AFTER_CAUSE)}"
        hint = (
            f"try it on its own: python -m build --wheel {source.root}"
            if is_own
            else "lock a version that has a wheel, or install what the build asks for; "
            "`pip wheel --no-deps` shows whether it can be built here at all"
        )
        super().__init__(
            f"building {source.name} failed in {backend}"
            + (f", compiled by {cross}" if cross is not None else ""),
            why=said,
            hint=cause.hint if cause is not None and cause.hint else hint,
        )

    @property
    def summary(self) -> tuple[str, ...]:
        """The reason in a few lines, for messages that list several attempts."""
        if NO_COMPILER in self.output:
            return ("it cannot be built without a compiler",)
        return tuple(self.why.splitlines()[:_LAST_LINES_AFTER_CAUSE])


class OfflineRequirementsError(SourceBuildError):
    """The requirements of an isolated build are missing, and must not be fetched."""

    def __init__(self, source: Source, output: str) -> None:
        self.source, self.output = source, output
        super().__init__(
            f"cannot find the build requirements of {source.name}",
            why=ending(output) or "the installer wrote no output",
            hint="`--offline` forbids fetching the build requirements: build once without it "
            "with uv installed, which keeps them in its cache, or set UV_FIND_LINKS (for pip: "
            "PIP_FIND_LINKS) to a folder that contains their wheels",
        )


class OutsideCodeError(SourceBuildError):
    """poetry-core does not package code from outside of the project's folder."""

    def __init__(self, project: Project, outside: Sequence[str], output: str) -> None:
        self.project, self.outside, self.output = project, tuple(outside), output
        listed = "\n".join(f"- {place}" for place in outside)
        super().__init__(
            f"part of the code of {project.name} is outside of its folder",
            why=f"poetry-core packages only files below {project.root}, but "
            f"`packages` names:\n{listed}\nit reported: {ending(output)}",
            hint='set `project = "source"` in [tool.lambda-build] to ship all of it as it is; or '
            "make that code a package, add it to the dependencies and lock again",
        )


class WrongWheelError(SourceBuildError):
    """The target cannot load any of the wheels that were built from a source."""

    def __init__(
        self,
        source: Source,
        attempts: Sequence[Attempt],
        target: Target,
        *,
        remedy: str = "",
    ) -> None:
        self.source, self.attempts, self.target = source, tuple(attempts), target
        major, minor = target.runtime.python
        super().__init__(
            f"the wheel of {source.name} does not load in {target}",
            why=[str(attempt) for attempt in attempts],
            hint=(f"{remedy}; " if remedy else "")
            + "lock a version that has a wheel for it; build with Python "
            f"{major}.{minor} on a machine with {target.architecture.value} and a glibc no newer "
            f"than {target.runtime.glibc}, such as the image of the runtime, or add "
            "a wheel that was built there to `include-local`; or provide it in a layer",
        )


class ExcludedPythonError(SourceBuildError):
    """The wheel that was built does not support the target's Python."""

    def __init__(self, source: Source, requires_python: SpecifierSet, target: Target) -> None:
        self.source, self.requires_python, self.target = source, requires_python, target
        super().__init__(
            f"the wheel of {source.name} does not support {target}",
            why=f"its Requires-Python is `{requires_python}`, but "
            f"{target.runtime.name} has Python {target.python_version}",
            hint="choose another runtime, or let the project support this one: `requires-python`, "
            "`python_requires` of setuptools, or `python` among Poetry's dependencies",
        )


class StrangeWheelError(SourceBuildError):
    """The wheel that was built is not the package that the lock names."""

    def __init__(self, package: LockedPackage, wheel: Wheel) -> None:
        self.package, self.wheel = package, wheel
        super().__init__(
            f"building {package} produced another package",
            why=f"the lock ({package.at}) names {package}, but the wheel is {wheel.filename}",
            hint="lock again, so that the lock matches what is there now"
            if wheel.source == "local"
            else "lock another version: this one has a wrong name or version",
        )


class EmptyWheelError(SourceBuildError):
    """The wheel of the project contains no file that could be imported."""

    def __init__(self, source: Source, filename: str) -> None:
        self.source, self.filename = source, filename
        super().__init__(
            f"the wheel of {source.name} is empty",
            why=f"{filename} contains only metadata: {source.backend} found no code to package",
            hint="name the folder that contains the code (`packages`), and check how its name "
            "is spelled there; `--contents dependencies` packages only the dependencies",
        )
