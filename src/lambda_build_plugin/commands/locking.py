"""pyproject.toml → `pylock.lambda.toml`: one lock for every Lambda target of a project.

uv resolves for all platforms at once, from the oldest Python that the project admits. Our
own reader reads the result and checks it for each runtime and architecture, before the lock
appears. Nothing else in this package resolves anything.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.commands.foreign_sources import check_sources
from lambda_build_plugin.errors import LockError, SettingsError
from lambda_build_plugin.lock import pylock
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.lock.made_from import record
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import Architecture, Target, admitted
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.selection.wheel_choice import best_wheel
from lambda_build_plugin.system.interpreters import uv_of
from lambda_build_plugin.system.leftovers import draft_name
from lambda_build_plugin.system.output import OutputError, moved_in, writing
from lambda_build_plugin.system.processes import finished
from lambda_build_plugin.urls import path_of, redacted_text, without_logins

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.runtime.target import Runtime

__all__ = ["DEFAULT_NAME", "Locked", "NoUvError", "ResolverError", "write_lock"]

DEFAULT_NAME = FORMATS["pylock.toml"].default_names[0]
"""The first name in the search order; PEP 751 allows such a name for a service."""

_BY_UV = 'created-by = "uv"'

_LOCK_VERSION = re.compile(rb"^lock-version\s*=", re.MULTILINE)
_LOCAL_PATH = re.compile(r'\b(path|url) = "((?:/|[A-Za-z]:[/\\]|file:)[^"\n]*)"')
"""An absolute path in a lock, or the URL of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A lock that was written."""

    path: Path
    packages: int
    runtimes: tuple[str, ...]
    """The runtimes that it supports, on both architectures."""

    warnings: tuple[str, ...]
    """Packages without a wheel, with the targets concerned."""


class NoUvError(LockError):
    """The resolver is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "cannot find `uv`",
            why="`lambda-build lock` needs uv, which is neither on PATH nor next to Python",
            hint="install it with `pip install uv`, or make the lock with the project's own tool",
        )


class ResolverError(LockError):
    """uv failed."""

    def __init__(self, project: Project, output: str) -> None:
        self.project, self.output = project, output
        super().__init__(
            f"uv could not lock {project.name}",
            why=redacted_text(output).strip() or "uv printed no reason",
            hint="fix the requirements in pyproject.toml, or the configuration of uv's indexes; "
            "use `--upgrade` if versions in the existing lock cause the conflict",
        )


def write_lock(
    settings: Settings,
    output: Path,
    *,
    extras: Iterable[str] | None = None,
    upgrade: bool = False,
    also: Iterable[Runtime] = (),
) -> Locked:
    """Lock the project's dependencies, its extras, and the groups that the settings name.

    Versions in an existing lock at the same path are kept if they fit.

    Args:
        settings: Name the project, its groups, and a runtime that is locked in any case.
        output: The path of the lock, with a file name of PEP 751.
        extras: The extras to lock; None for all.
        upgrade: Whether to ignore the versions in an existing lock.
        also: More runtimes that are locked in any case.

    Raises:
        LockError: uv is missing or fails, or its lock cannot be read.
            The project's own tool takes packages from elsewhere than uv would.
        SettingsError: The project has no `[project]` table.
        StageError: The lock cannot be written.
    """
    project, environ = settings.project, settings.host.environ
    if "project" not in project.pyproject:
        raise SettingsError(
            [f"{project.root} has no pyproject.toml with a [project] table"],
            hint="lock with the tool that manages the project's dependencies",
        )
    _check_output(output)
    extras = None if extras is None else tuple(extras)
    check_sources(settings, extras=extras)
    made_from = record(project, extras=extras, groups=settings.groups)
    runtimes = _runtimes(settings, {settings.target.runtime, *also})
    with moved_in(output) as temporary:
        # uv requires a name of PEP 751, and writes paths relative to the lock's folder.
        draft = temporary.with_name(draft_name())
        try:
            if output.is_file() and not upgrade:
                shutil.copyfile(output, draft)
            _run_uv(settings, draft, oldest=runtimes[0], extras=extras)
            text = without_logins(draft.read_text(encoding="utf-8"))
            text = text.replace(_BY_UV, f'created-by = "{pylock.OURS}"', 1)
            text = f"{_with_relative_paths(text, output.parent)}\n{made_from.as_toml()}"
            draft.write_text(text, encoding="utf-8")
            lock = read_lock(draft, project, environ)
            warnings = tuple(_find_missing_wheels(lock, runtimes))
            temporary.write_text(text, encoding="utf-8")
        finally:
            draft.unlink(missing_ok=True)
    return Locked(
        path=output,
        packages=len(lock.packages),
        runtimes=tuple(runtime.name for runtime in runtimes),
        warnings=warnings,
    )


def _check_output(output: Path) -> None:
    """Check before uv starts that the lock replaces nothing but a lock.

    Raises:
        OutputError: Something else exists there.
    """
    with writing(output):
        if not output.exists():
            return
        if not output.is_file():
            raise OutputError(output, "it exists and is not a file", hint="name a file")
        content = output.read_bytes()
    # Not parsed: `--upgrade` also replaces a lock with conflicts of a merge.
    if content.strip() and not _LOCK_VERSION.search(content):
        raise OutputError(
            output,
            "it already exists and is not a lock: it has no `lock-version` (PEP 751)",
            hint="remove it first, or choose another file with `--output`",
        )


def _runtimes(settings: Settings, named: AbstractSet[Runtime]) -> tuple[Runtime, ...]:
    """Choose the runtimes to lock for, the oldest first.

    A project without requires-python gets the runtimes that AWS still patches. Those that
    the settings name are always included.
    """
    requires_python, today = settings.project.requires_python, settings.host.today
    chosen = {
        runtime
        for runtime in admitted(requires_python)
        if requires_python is not None or runtime.deprecated is None or runtime.deprecated > today
    }
    return tuple(sorted(chosen | named, key=lambda runtime: runtime.python))


def _run_uv(
    settings: Settings, draft: Path, *, oldest: Runtime, extras: Iterable[str] | None
) -> None:
    major, minor = oldest.python
    chosen = (
        ["--all-extras"] if extras is None else [f"--extra={extra}" for extra in sorted(extras)]
    )
    command = [
        *(_uv(settings.host.environ), "pip", "compile", "pyproject.toml"),
        *("--format", "pylock.toml", "--output-file", str(draft)),
        *("--universal", "--python-version", f"{major}.{minor}", "--python", sys.executable),
        *("--generate-hashes", "--no-header", "--color", "never", "--quiet"),
        *chosen,
        *(f"--group=pyproject.toml:{group}" for group in sorted(settings.groups)),
        *(("--offline",) if settings.offline else ()),
    ]
    ran = _run(command, settings)
    if ran.returncode != 0:
        raise ResolverError(settings.project, ran.stderr)


def _run(command: Sequence[str], settings: Settings) -> subprocess.CompletedProcess[str]:
    try:
        return finished(command, cwd=settings.project.root, environ=settings.host.environ)
    except OSError as error:
        raise ResolverError(settings.project, f"{command[0]}: {error.strerror}") from error


def _with_relative_paths(text: str, folder: Path) -> str:
    """Write the local paths in a lock relative to its folder, as PEP 751 recommends.

    uv keeps absolute paths where a requirement has one, such as Hatch's `{root:uri}`.
    """

    def relative(match: re.Match[str]) -> str:
        key, value = match[1], match[2]
        path = value if key == "path" else str(path_of(value))
        return f'path = "{Path(os.path.relpath(path, folder)).as_posix()}"'

    return _LOCAL_PATH.sub(relative, text)


def _uv(environ: Mapping[str, str]) -> str:
    found = uv_of(environ)
    if found is None:
        raise NoUvError
    return found


def _find_missing_wheels(lock: Lock, runtimes: Iterable[Runtime]) -> Iterator[str]:
    """List the packages without a wheel, with the targets concerned.

    Raises:
        LockError: The lock excludes a target, or contains a package twice for it.
    """
    missing: dict[str, list[str]] = {}
    for runtime in runtimes:
        for architecture in Architecture:
            target = Target(runtime=runtime, architecture=architecture)
            packages = reached(lock, target, extras=frozenset(), groups=frozenset())
            for package in packages.packages:
                if (package.wheels or package.sdist) and best_wheel(package, target) is None:
                    missing.setdefault(str(package), []).append(str(target))
    for name, targets in missing.items():
        yield f"{name} has no wheel for {', '.join(targets)}"
