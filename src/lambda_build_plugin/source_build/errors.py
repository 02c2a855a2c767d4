"""How making a wheel of source code can fail."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.urls import redacted_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.source_build.source import Source
    from lambda_build_plugin.wheel.file import Wheel

__all__ = [
    "Attempt",
    "BackendError",
    "EmptyWheelError",
    "ExcludedPythonError",
    "NotAPackageError",
    "OfflineRequirementsError",
    "OutsideCodeError",
    "StrangeWheelError",
    "UnreadableSourceError",
    "WrongWheelError",
    "ending",
]

_LAST_LINES = 40
_LAST_CHARACTERS = 8_000


def ending(output: str) -> str:
    """Get the end of what a program wrote, where the reason mostly stands; no credentials."""
    text = output.strip()
    end = "\n".join(text.splitlines()[-_LAST_LINES:])
    if len(end) > _LAST_CHARACTERS:
        # Not in the middle of a word: what is left of an address would not be known as one.
        end = re.sub(r"^\S*\s", "", end[-_LAST_CHARACTERS:])
    shown = redacted_text(end)
    return shown if len(end) == len(text) else f"…\n{shown}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One way in which a wheel was made, or was to be made, and did not fit."""

    how: str
    """Such as `with Python 3.13.1`."""

    filename: str | None
    """What came of it; None where the backend failed."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        head = f"{self.how}: {self.filename}" if self.filename else f"{self.how}:"
        return "\n".join((head, *(f"  {problem}" for problem in self.problems)))


class NotAPackageError(SourceBuildError):
    """No wheel can be built of the project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        pyproject = project.root / "pyproject.toml"
        why = f"{project.root} has no pyproject.toml with a [build-system], or says itself "
        why += "that it is no package"
        remedy = "add a [build-system] (hatchling, poetry-core, pdm-backend, …)"
        if project.tool.table("poetry").flag("package-mode") is False:
            why = f"{pyproject} says `package-mode = false`"
            remedy = "remove `package-mode = false` and say which code belongs to it (`packages`)"
        elif project.tool.table("pdm").flag("distribution") is False:
            why = f"{pyproject} says `distribution = false`"
            remedy = "remove `distribution = false` and add a [build-system] (pdm-backend, …)"
        super().__init__(
            f"{project.name} is not a package: there is nothing to build a wheel of",
            why=why,
            hint='let its files ship as they are, `project = "source"` in [tool.lambda-build]; '
            f"or {remedy}; `--contents dependencies` packages the dependencies alone",
        )


class UnreadableSourceError(SourceBuildError):
    """A path that the lock or a setting names is not there, or is not what it should be."""

    def __init__(self, name: str, path: Path, problem: str) -> None:
        self.name, self.path = name, path
        super().__init__(
            f"{name} cannot be taken from {path}",
            why=problem,
            hint="bring it to that place, or change its path and lock again; "
            '`local-dependencies = "skip"` leaves the folders out that the lock names',
        )


class BackendError(SourceBuildError):
    """The build backend failed."""

    def __init__(self, source: Source, backend: str, output: str) -> None:
        self.source, self.backend, self.output = source, backend, output
        super().__init__(
            f"building {source.name} failed in {backend}",
            why=ending(output) or "it said nothing",
            hint=f"try it alone: python -m build --wheel {source.root}"
            if source.kind == "local"
            else "lock a version that has a wheel, or install what the build asks for; "
            "`pip wheel --no-deps` shows whether it can be built here at all",
        )


class OfflineRequirementsError(SourceBuildError):
    """The requirements of an isolated build are not at hand, and may not be fetched."""

    def __init__(self, source: Source, output: str) -> None:
        self.source, self.output = source, output
        super().__init__(
            f"what {source.name} is built with is not at hand",
            why=ending(output) or "the installer said nothing",
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
            f"`packages` names:\n{listed}\nit says: {ending(output)}",
            hint='let all of it ship as it is, `project = "source"` in [tool.lambda-build]; or '
            "make a package of that code, add it to the dependencies and lock again",
        )


class WrongWheelError(SourceBuildError):
    """No wheel that was made of a source is one that the target loads."""

    def __init__(self, source: Source, attempts: Sequence[Attempt], target: Target) -> None:
        self.source, self.attempts, self.target = source, tuple(attempts), target
        major, minor = target.runtime.python
        super().__init__(
            f"the wheel of {source.name} does not load in {target}",
            why="\n".join(map(str, attempts)),
            hint="lock a version that has a wheel for it; build with Python "
            f"{major}.{minor} on a machine with {target.architecture.value} and a glibc no newer "
            f"than {target.runtime.glibc}, such as the image of the runtime, or let "
            "`include-local` name a wheel that was built there; or bring it in a layer",
        )


class ExcludedPythonError(SourceBuildError):
    """The wheel that was built does not admit the target's Python."""

    def __init__(self, source: Source, requires_python: SpecifierSet, target: Target) -> None:
        self.source, self.requires_python, self.target = source, requires_python, target
        super().__init__(
            f"the wheel of {source.name} does not admit {target}",
            why=f"its Requires-Python is `{requires_python}`, "
            f"{target.runtime.name} has Python {target.python_version}",
            hint="choose another runtime, or let the project admit this one: `requires-python`, "
            "`python_requires` of setuptools, or `python` among Poetry's dependencies",
        )


class StrangeWheelError(SourceBuildError):
    """What was built is not the package that the lock names."""

    def __init__(self, package: LockedPackage, wheel: Wheel) -> None:
        self.package, self.wheel = package, wheel
        super().__init__(
            f"building {package} made another package",
            why=f"the lock ({package.at}) names {package}, and the wheel is {wheel.filename}",
            hint="lock again, so that the lock knows what lies there now"
            if wheel.source == "local"
            else "lock another version: this one is not what it is called",
        )


class EmptyWheelError(SourceBuildError):
    """The wheel of the project holds no file that could be imported."""

    def __init__(self, source: Source, filename: str) -> None:
        self.source, self.filename = source, filename
        super().__init__(
            f"the wheel of {source.name} is empty",
            why=f"{filename} holds metadata alone: {source.backend} found no code to put in",
            hint="say which folder holds the code (`packages`), and check how its name is "
            "spelled there; `--contents dependencies` packages the dependencies alone",
        )
