"""Build the project and the sources that a lock or a setting names.

The user's own folders are built in every run, since no version says what is in them. What
cannot change, an archive or a commit, is built once for each target and Python; its wheel
is kept in the cache, and its digest is checked whenever it is used again.

The modules for git and archives are imported only where they are needed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zipfile import BadZipFile

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.source_build.attempts import build_wheel
from lambda_build_plugin.source_build.compatibility import holds_code, requires_python
from lambda_build_plugin.source_build.errors import (
    EmptyWheelError,
    StrangeWheelError,
    UnreadableSourceError,
    WrongInclusionError,
)
from lambda_build_plugin.source_build.source import foreign_source, local_source, of_project
from lambda_build_plugin.system.hashes import Digest, check_file
from lambda_build_plugin.system.leftovers import temporary_folder
from lambda_build_plugin.urls import redacted
from lambda_build_plugin.wheel.file import Wheel, check_unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from packaging.version import Version

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.fetch.fetcher import Fetched
    from lambda_build_plugin.lock.model import LockedDirectory, LockedPackage, LockedVcs
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.source_build.context import BuildContext
    from lambda_build_plugin.source_build.source import Source

__all__ = [
    "build_archive",
    "build_commit",
    "build_folder",
    "build_project",
    "build_project_once",
    "included",
]

_FORMAT = "3"
"""The version of what is kept in the cache; to be raised if wheels are built differently."""

_NOTE = "wheel.json"
"""The file that makes a wheel complete which the builds of a run share; or their failure."""

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def build_project(
    project: Project, context: BuildContext, *, builder: Callable[[Path], object] | None = None
) -> Wheel:
    """Build the project's own wheel, which is never editable.

    A host that runs as the project's backend passes a `builder`, which writes the wheel
    into the folder that it is given.

    Raises:
        SourceBuildError: It is not a package, the backend fails, or the wheel is empty or
            does not fit the target.
    """
    source = of_project(project)
    wheel = build_wheel(source, context, builder=builder)
    if not holds_code(wheel.path):
        raise EmptyWheelError(source, wheel.filename)
    return wheel


def build_project_once(project: Project, context: BuildContext, *, first: Target) -> Wheel:
    """Build the project's wheel once for all processes that build some of its artifacts.

    As in one process, a wheel for any platform serves all targets with the same runtime.

    Args:
        project: The project.
        context: That of the artifact which needs the wheel.
        first: The target with the same runtime that the wheel is built for first.

    Raises:
        SourceBuildError: As `build_project`; this is found out once a run as well.
    """
    wheel = _project_wheel(project, replace(context, target=first))
    if first == context.target or wheel.filename.endswith("-any.whl"):
        return wheel
    return _project_wheel(project, context)


def _project_wheel(project: Project, context: BuildContext) -> Wheel:
    key = f"project\n{context.target}"
    return _build_shared(key, project.root, context, lambda: build_project(project, context))


def build_folder(
    package: LockedPackage, directory: LockedDirectory, context: BuildContext
) -> Wheel:
    """Build a path dependency from what is in its folder now, whatever its version is.

    It is built once a run for all that need it.

    Raises:
        SourceBuildError: It does not exist, cannot be built for the target, or is another
            package than the lock says.
    """
    from lambda_build_plugin.source_build.unpack import project_below

    folder = project_below(directory.path, directory.subdirectory, what=str(directory.path))
    wheel = _build_local(package.name, folder, context, lambda: local_source(package.name, folder))
    # The locked version may be missing (if dynamic) or out of date.
    return _same(package, wheel, None)


def build_archive(fetched: Fetched, context: BuildContext) -> Wheel:
    """Build an sdist or a source archive whose digest has been checked.

    Raises:
        SourceBuildError: It cannot be unpacked, cannot be built for the target, or is
            another package or version than the lock says.
        ChangedArchiveError: It has changed since its digest was checked.
    """
    from lambda_build_plugin.source_build.unpack import unpacked

    package, file = fetched.selected.package, fetched.selected.file

    def make() -> Wheel:
        with temporary_folder() as folder:
            root = unpacked(
                fetched.path,
                Path(folder),
                name=fetched.selected.filename,
                subdirectory=file.subdirectory,
            )
            check_unchanged(fetched.path, fetched.sha256, shown=fetched.selected.filename)
            return build_wheel(foreign_source(package, root, "sdist"), context)

    key = f"sha256:{fetched.sha256}\n{file.subdirectory or ''}"
    key += context.policy.settings_for(package.name).key
    wheel = _once(key, "sdist", context, make)
    return _same(package, wheel, package.version if package.sdist else None)


def build_commit(package: LockedPackage, vcs: LockedVcs, context: BuildContext) -> Wheel:
    """Build a package from a commit of a repository.

    Raises:
        FetchError: The commit cannot be fetched.
        SourceBuildError: It cannot be built for the target, or is another package than
            the lock says.
    """
    from lambda_build_plugin.source_build.git import checked_out

    def make() -> Wheel:
        with temporary_folder() as folder:
            root = checked_out(
                vcs,
                Path(folder),
                environ=context.environ,
                offline=context.offline,
                cache=context.cache,
            )
            return build_wheel(foreign_source(package, root, "vcs"), context)

    if _COMMIT.fullmatch(vcs.commit):
        key = f"{redacted(vcs.url)}\n{vcs.commit}\n{vcs.subdirectory or ''}"
        key += context.policy.settings_for(package.name).key
        wheel = _once(key, "vcs", context, make)
    else:
        wheel = make()
    return _same(package, wheel, None)


def included(path: Path, context: BuildContext) -> Wheel:
    """Use a wheel, or build a folder, that the user adds to what is locked.

    Raises:
        SourceBuildError: It is neither of these, or does not fit the target.
    """
    if path.is_dir():
        source = local_source(path.name, path)
        return _build_local(source.package, path, context, lambda: source)
    try:
        tags = parse_wheel_filename(path.name)[3]
        checked, specifier = check_file(path), requires_python(path)
    except OSError as error:
        raise UnreadableSourceError(path.name, path, error.strerror or str(error)) from error
    except (BadZipFile, ValueError) as error:
        problem = f"it is neither a folder nor a wheel: {error}"
        raise UnreadableSourceError(path.name, path, problem) from error
    target = context.target
    admitted = specifier.contains(target.python_version, prereleases=True)
    if not admitted or not any(tag in target.rank for tag in tags):
        raise WrongInclusionError(path, tags, target, None if admitted else specifier)
    return Wheel.of(path, sha256=checked.sha256, source="wheel")


def _build_local(
    package: str, folder: Path, context: BuildContext, find_source: Callable[[], Source]
) -> Wheel:
    """Build one of the user's folders, or take its wheel from an earlier build of the run.

    Args:
        package: Normalized name of the package that is to be in it.
        folder: The folder.
        context: Where to build it, and for which target.
        find_source: Reads what is in the folder, if it has not been built yet.

    Raises:
        SourceBuildError: It cannot be built; this is found out once a run as well.
    """
    settings = context.policy.settings_for(package)
    passed, compiler = sorted(context.build_environment), context.cross_compile.value
    key = "\n".join(("local", str(context.target), settings.key, compiler, *passed))
    root = Path(os.path.realpath(folder))  # `resolve` fails for links that form a circle
    return _build_shared(key, root, context, lambda: build_wheel(find_source(), context))


def _build_shared(key: str, root: Path, context: BuildContext, make: Callable[[], Wheel]) -> Wheel:
    """Build a folder once in a run; one build at a time, since some backends write into it.

    It is built again if a command of the user's has changed it since then.

    Raises:
        SourceBuildError: It cannot be built, now or earlier in the run.
    """
    if context.shared is None:
        return make()
    with context.shared.alone(f"build {root}") as folder:
        state = _state(root) if context.shared.is_doubtful else ""
        start = hashlib.sha256(key.encode()).hexdigest()
        # Each build has a place of its own: another process may be reading the last one.
        places = (folder / f"{start}-{number}" for number in itertools.count())
        place = next(places)
        while (note := _read_note(place)) is not None:
            if not state or state == note["state"]:
                return _shared_wheel(place, note)
            place = next(places)
        place.mkdir(parents=True, exist_ok=True)
        try:
            built = make()
        except SourceBuildError as error:
            failure = {"failure": [error.what, *error.why_lines], "hint": error.hint}
            _write_note(place, {**failure, "state": _state(root)})
            raise
        return _share(built, place, state=_state(root))


def _state(root: Path) -> str:
    """Get what differs after a file in a folder has been changed, written or removed."""
    found: list[object] = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(each for each in names if each[0] != "." and each != "__pycache__")
        for name in sorted(files):
            with suppress(OSError):  # it is being removed
                status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - many files
                times = status.st_mtime_ns, status.st_ctime_ns
                found.append((folder, name, status.st_ino, status.st_size, *times))
    return hashlib.sha256(repr(found).encode("utf-8", "backslashreplace")).hexdigest()


def _read_note(place: Path) -> Mapping[str, Any] | None:
    """Read what an earlier build of the run has noted; None if there was none."""
    try:
        return cast("Mapping[str, Any]", json.loads((place / _NOTE).read_bytes()))
    except FileNotFoundError:
        return None


def _shared_wheel(place: Path, note: Mapping[str, Any]) -> Wheel:
    """Get the wheel that an earlier build of the run has made.

    Raises:
        SourceBuildError: The earlier build has failed, so this one would fail as well.
    """
    if "failure" in note:
        what, *lines = note["failure"]
        raise SourceBuildError(what, why=lines, hint=note["hint"])
    wheel = Wheel.of(place / note["filename"], sha256=note["sha256"], source="local")
    return replace(wheel, built_by=note["built_by"], compiled_by=note["compiled_by"])


def _share(wheel: Wheel, place: Path, *, state: str) -> Wheel:
    """Move a wheel to where other builds of the run find it; it is complete with its note."""
    shared = replace(wheel, path=place / wheel.filename)
    shutil.move(wheel.path, shared.path)
    names = ("filename", "sha256", "built_by", "compiled_by")
    _write_note(place, {**{name: getattr(wheel, name) for name in names}, "state": state})
    return shared


def _write_note(place: Path, note: Mapping[str, object]) -> None:
    unfinished = place / f"{_NOTE}.part"
    unfinished.write_text(json.dumps(note), encoding="utf-8")
    unfinished.replace(place / _NOTE)


def _same(package: LockedPackage, wheel: Wheel, version: Version | None) -> Wheel:
    """Check that a wheel has the name, and the version unless it is None, that was locked.

    The backend may add a local version (PEP 440).
    """
    as_locked = version is None or version in {
        wheel.version,
        type(wheel.version)(wheel.version.public),
    }
    if wheel.name != package.name or not as_locked:
        raise StrangeWheelError(package, wheel)
    return wheel


def _once(key: str, kind: str, context: BuildContext, make: Callable[[], Wheel]) -> Wheel:
    """Return a wheel from the cache, or make it and keep it there."""
    python = context.interpreter
    cross = context.cross_compiler
    compiler = f"{cross} {cross.cpu}" if cross is not None else ""
    parts = (_FORMAT, key, str(context.target), str(python), python.platform, compiler)
    full_key = "\n".join(parts)
    with context.cache.alone(full_key):
        note = context.cache.note("built", full_key)
        if note is not None and (wheel := _kept(note, kind, context)) is not None:
            return wheel
        wheel = make()
        digest = Digest(f"sha256:{wheel.sha256}")
        context.cache.store_file(wheel.path, digest)
        kept = {
            "digest": digest,
            "filename": wheel.filename,
            "built_by": wheel.built_by,
            "compiled_by": wheel.compiled_by,
        }
        context.cache.keep_note("built", full_key, kept)
        return wheel


def _kept(note: Mapping[str, str], kind: str, context: BuildContext) -> Wheel | None:
    """Return a wheel from the cache; None if it or its note is missing or damaged."""
    checked = context.cache.find(Digest(note.get("digest", "")))
    if checked is None or not (filename := note.get("filename")):
        return None
    with suppress(InvalidWheelFilename):
        wheel = Wheel.of(checked.path, sha256=checked.sha256, source=kind, filename=filename)
        built_by, compiled_by = note.get("built_by", ""), note.get("compiled_by", "")
        return replace(wheel, built_by=built_by, compiled_by=compiled_by)
    return None
