"""A lock → the wheels that it contributes: read, chosen, fetched, and built where it has none.

Of the lock of an environment only what the project needs ships: the requirement graph
cuts it.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin.config.project import (
    group_names,
    group_requirements,
    metadata_requirements,
    named_requirements,
)
from lambda_build_plugin.config.settings import Contents, Form, LocalDependencies
from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.fetch.configuration import HostIndexes, read_sources
from lambda_build_plugin.fetch.fetcher import Fetcher
from lambda_build_plugin.lock.errors import (
    ExcludedTargetError,
    HostOnlyLockError,
    UnknownGroupError,
)
from lambda_build_plugin.lock.read import find_lock, read_lock
from lambda_build_plugin.selection.explain import NoMatchingFileError, explain, is_of_one_machine
from lambda_build_plugin.selection.files import select
from lambda_build_plugin.selection.graph import ASKED, extras_of, reachable, requirements_of
from lambda_build_plugin.selection.packages import LeftOut, asked_for, reached
from lambda_build_plugin.selection.provided import check_locked, without_artifacts, without_provided
from lambda_build_plugin.source_build.compatibility import holds_code
from lambda_build_plugin.source_build.wheels import (
    build_archive,
    build_commit,
    build_folder,
    included,
)
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.fetch.fetcher import Fetched
    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.run import ProjectWheel
    from lambda_build_plugin.progress import Clock
    from lambda_build_plugin.selection.files import Selection
    from lambda_build_plugin.selection.packages import Reached
    from lambda_build_plugin.selection.provided import Kept, Provider
    from lambda_build_plugin.selection.wheel_choice import Selected
    from lambda_build_plugin.source_build.context import BuildContext

__all__ = ["Dependencies", "dependencies_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What the lock contributes, and what the user names beside it."""

    wheels: tuple[Wheel, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    lock: Path | None = None
    locked: Lock | None = None
    chosen: tuple[LockedPackage, ...] = ()
    """What the lock has for the target, where nothing of it is to ship."""

    folders: frozenset[Path] = frozenset()
    """Of local packages, which ship as wheels if they do."""

    skipped: frozenset[str] = frozenset()
    """Names of what belongs to the target and is left out because the user wants it so."""


def dependencies_of(
    settings: Settings,
    own: ProjectWheel,
    artifacts: Sequence[Provider],
    *,
    chosen: Callable[[Sequence[Selected]], object],
) -> Dependencies:
    """Get all wheels but the project's own that are not there already.

    Args:
        settings: What to build.
        own: The project's wheel, which knows what the project requires.
        artifacts: What will be there, too.
        chosen: Hears of the files that are to be fetched, before they are.

    Raises:
        LambdaBuildError: One of them is not to be had.
    """
    if not settings.needs_lock:
        return Dependencies()
    dependencies = _from_lock(settings, own, chosen)
    if settings.contents is not Contents.PROJECT:
        dependencies = _with_included(dependencies, settings, own.context)
        warnings = (*dependencies.warnings, *_without_code(dependencies.wheels))
        dependencies = replace(dependencies, warnings=warnings)
    return _without_provided(dependencies, settings, own, artifacts)


def _without_code(wheels: Sequence[Wheel]) -> Iterator[str]:
    """Warn of folders whose build settings name no code: some backends do not mind."""
    for wheel in wheels:
        if wheel.source == "local" and not holds_code(wheel.path):
            yield (
                f"the wheel of {wheel.name} {wheel.version}, built of its folder, is empty: look "
                "at its build settings if there is code in it"
            )


def _from_lock(
    settings: Settings, own: ProjectWheel, chosen: Callable[[Sequence[Selected]], object]
) -> Dependencies:
    """Read the lock, choose for the target, fetch, and build what is no wheel."""
    project, host, clock, locks = settings.project, settings.host, own.clock, own.run.locks
    with clock.stage("lock"):
        found = find_lock(project, settings.lock, needed=bool(settings.extras or settings.groups))
        if found is None:
            return Dependencies()
        lock = locks.get(found.path) or read_lock(
            found.path, project, host.environ, lock_is_fresh=settings.lock_is_fresh
        )
        locks[found.path] = lock
        # Of an environment's lock only what the project needs ships.
        cut = lock.of_environment and settings.main
        with _right_machine(lock, settings):
            applicable = reached(
                lock,
                settings.target,
                extras=frozenset() if cut else settings.extras,
                groups=frozenset() if cut else settings.groups,
                main=settings.main,
            )
    local = [package for package in lock.packages if package.directory is not None]
    skips_folders = settings.local_dependencies is LocalDependencies.SKIP
    skipped = _nothing_to_ship(lock).union(package.name for package in local if skips_folders)
    if settings.contents is Contents.PROJECT:
        return Dependencies(
            lock=found.path, locked=lock, chosen=applicable.packages, skipped=skipped
        )
    with (
        closing(_fetcher(settings, lock, own.context)) as fetcher,
        _right_machine(lock, settings),
    ):

        def bring(packages: Sequence[LockedPackage]) -> _Brought:
            return _brought(packages, fetcher, settings, own, chosen)

        if cut:
            dependencies = _cut(lock, applicable, settings, own, bring)
        else:
            brought = bring(applicable.packages)
            dependencies = Dependencies(
                wheels=brought.wheels, left_out=(*applicable.left_out, *brought.left_out)
            )
    passed_over = (
        f"{found.path.name} is read, and {', '.join(found.others)} beside it is not: "
        "name the right one with the setting `lock`"
    )
    return replace(
        dependencies,
        warnings=(
            *lock.warnings,
            *((passed_over,) if found.others else ()),
            *dependencies.warnings,
            *fetcher.warnings,
        ),
        lock=found.path,
        locked=lock,
        folders=frozenset(
            package.directory.path.resolve()
            for package in local
            if package.directory is not None and not package.virtual
        ),
        skipped=skipped,
    )


def _nothing_to_ship(lock: Lock) -> frozenset[str]:
    """Name what is required and is no package (uv: `package = false`): only its needs ship."""
    packages = {package.name for package in lock.packages if not package.virtual}
    return frozenset({package.name for package in lock.packages if package.virtual} - packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Brought:
    """What some locked packages ship as."""

    wheels: tuple[Wheel, ...]
    left_out: tuple[LeftOut, ...]


def _brought(
    packages: Sequence[LockedPackage],
    fetcher: Fetcher,
    settings: Settings,
    own: ProjectWheel,
    chosen: Callable[[Sequence[Selected]], object],
) -> _Brought:
    """Choose, fetch and build."""
    clock, context = own.clock, own.context
    with clock.stage("select"):
        selection = select(
            fetcher.named(packages),
            settings.target,
            only_binary=settings.only_binary,
            skip_folders=settings.local_dependencies is LocalDependencies.SKIP,
        )
    chosen(selection.files)
    with clock.stage("fetch"):
        fetched = fetcher.fetch(selection.files)
    return _Brought(
        wheels=(
            *(_wheel(item) for item in fetched if item.selected.is_wheel),
            *_built(selection, fetched, context, clock),
        ),
        left_out=selection.left_out,
    )


def _built(
    selection: Selection, fetched: Sequence[Fetched], context: BuildContext, clock: Clock
) -> list[Wheel]:
    """Build what was chosen as source code, one after the other."""
    archives = [item for item in fetched if not item.selected.is_wheel]
    if not (archives or selection.folders or selection.commits):
        return []
    with clock.stage("build"):
        wheels = []
        for item in archives:
            with _said_why(item.selected.package, context):
                wheels.append(build_archive(item, context))
        wheels += [build_commit(*item, context) for item in selection.commits]
        wheels += [build_folder(*item, context) for item in selection.folders]
    return wheels


@contextmanager
def _said_why(package: LockedPackage, context: BuildContext) -> Iterator[None]:
    """Tell why a package is built that has wheels: who sees it fail knows of no build.

    Raises:
        SourceBuildError: As it came, with that reason before its own.
    """
    context.reporter.building(str(package))
    if not package.wheels:
        yield
        return
    reason = explain(package, context.target)
    context.reporter.note(reason)
    try:
        yield
    except SourceBuildError as error:
        error.why = f"no wheel of it loads in {context.target}\n{reason}\n\n{error.why}"
        error.hint += "; with `only-binary` nothing is built, and all such packages are named"
        raise


def _without_provided(
    dependencies: Dependencies,
    settings: Settings,
    own: ProjectWheel,
    artifacts: Sequence[Provider],
) -> Dependencies:
    """Leave out what is there already, in the runtime or in another artifact."""
    lock, wheels = dependencies.locked, dependencies.wheels
    found: list[Kept] = []
    if settings.contents is Contents.PROJECT:
        found.append(check_locked(dependencies.chosen, artifacts))
    if settings.provided and wheels and lock is not None:
        roots, project = _asked(lock, settings, own)
        found.append(
            without_provided(
                wheels,
                settings.provided,
                settings.target,
                roots=roots,
                project=project,
                locked={package.name for package in lock.packages},
            )
        )
        wheels = found[-1].wheels
    if artifacts and wheels:
        found.append(without_artifacts(wheels, artifacts))
        wheels = found[-1].wheels
    left_out = chain(dependencies.left_out, *(kept.left_out for kept in found))
    return replace(
        dependencies,
        wheels=wheels,
        left_out=tuple(sorted(left_out, key=lambda item: (item.name, item.version))),
        warnings=(*dependencies.warnings, *chain(*(kept.warnings for kept in found))),
        skipped=dependencies.skipped
        | {wheel.name for wheel in dependencies.wheels if wheel not in wheels},
    )


def _asked(
    lock: Lock, settings: Settings, own: ProjectWheel
) -> tuple[Sequence[Requirement], dict[NormalizedName, Sequence[Requirement]]]:
    """Get what the project asks for by name, from the lock if it tells, else by itself.

    Nothing is asked for where nobody knows: with a lock that stands alone.
    """
    project = settings.project
    if lock.roots is not None:
        return asked_for(
            lock,
            settings.target,
            extras=settings.extras,
            groups=settings.groups,
            main=settings.main,
        ), {}
    roots = [*named_requirements(project, settings.groups, main=settings.main)]
    if project.dependencies is None and not project.is_package:
        return roots, {}
    if project.dependencies is None and "dependencies" not in project.tool.table("poetry"):
        requirements: Sequence[Requirement] = requirements_of(own.wheel().path)
    else:
        requirements = metadata_requirements(project)
    if requirements and (settings.main or settings.extras):
        roots.append(Requirement(f"{project.name}[{','.join(sorted(settings.extras))}]"))
    return roots, {project.name: requirements}


@contextmanager
def _right_machine(lock: Lock, settings: Settings) -> Iterator[None]:
    """Tell it where the lock of an environment was made for one other machine.

    Raises:
        LockError: It was.
    """
    try:
        yield
    except (ExcludedTargetError, NoMatchingFileError) as error:
        if not lock.of_environment or (
            isinstance(error, NoMatchingFileError) and not is_of_one_machine(lock.packages)
        ):
            raise
        raise HostOnlyLockError(
            lock,
            settings.target,
            error.why,
            wrong_python=isinstance(error, ExcludedTargetError),
        ) from error


def _cut(
    lock: Lock,
    applicable: Reached,
    settings: Settings,
    own: ProjectWheel,
    bring: Callable[[Sequence[LockedPackage]], _Brought],
) -> Dependencies:
    """Follow the requirements of the project through the lock, and leave the rest.

    What a distribution requires stands in its wheel, so they come level by level.
    """
    target = settings.target
    roots, known = _needs(lock, settings, own)
    brought: dict[NormalizedName, Wheel] = {}
    left_out = list(applicable.left_out)
    while batch := [
        package
        for package in applicable.packages
        if package.name in reachable(roots, known, target) and package.name not in known
    ]:
        came = bring(batch)
        left_out += came.left_out
        brought |= {wheel.name: wheel for wheel in came.wheels}
        for package in batch:
            wheel = brought.get(package.name)  # None where it is left out
            known[package.name] = requirements_of(wheel.path) if wheel else ()
    return Dependencies(
        wheels=tuple(brought[name] for name in sorted(brought)),
        left_out=tuple(
            sorted(
                (*left_out, *_unneeded(applicable.packages, known)),
                key=lambda item: (item.name, item.version),
            )
        ),
        # What the wheels themselves require, verification will ask.
        warnings=tuple(
            f"{needer} requires {name}, which is not in the lock for this target"
            for name, needer in reachable(roots, known, target).items()
            if name not in known and needer == ASKED
        ),
    )


def _unneeded(
    packages: Sequence[LockedPackage], known: Container[NormalizedName]
) -> Iterator[LeftOut]:
    for package in packages:
        if package.name not in known:
            yield LeftOut(
                name=package.name,
                version=str(package.version or ""),
                reason="neither the project nor an extra or group that was asked for needs it",
            )


def _needs(
    lock: Lock, settings: Settings, own: ProjectWheel
) -> tuple[list[Requirement], dict[NormalizedName, Sequence[Requirement]]]:
    """Get what is asked for, and what the project itself requires.

    Raises:
        LockError: It has no such extra or group.
    """
    project = settings.project
    ships = settings.contents is Contents.ALL and settings.form is Form.WHEEL
    if ships or (project.dependencies is None and project.is_package):
        # The metadata of the wheel has also what a backend or its hooks have filled in.
        path = own.wheel().path
        requirements, extras = requirements_of(path), extras_of(path)
    else:
        requirements = metadata_requirements(project)
        extras = frozenset(project.optional_dependencies)
    for kind, asked, there in (
        ("extra", settings.extras, extras),
        ("dependency group", settings.groups, group_names(project)),
    ):
        if unknown := sorted(asked - there):
            raise UnknownGroupError(lock, kind, unknown, there)
    itself = Requirement(f"{project.name}[{','.join(sorted(settings.extras))}]")
    groups = (group_requirements(project, group) for group in sorted(settings.groups))
    return [itself, *chain.from_iterable(groups)], {project.name: requirements}


def _with_included(
    dependencies: Dependencies, settings: Settings, context: BuildContext
) -> Dependencies:
    """Add the wheels and folders that the user names beside the lock."""
    added = (included(path, context) for path in settings.include_local)
    return replace(dependencies, wheels=(*dependencies.wheels, *added))


def _fetcher(settings: Settings, lock: Lock, context: BuildContext) -> Fetcher:
    host = settings.host
    return Fetcher(
        read_sources(
            lock.indexes,
            environ=host.environ,
            home=host.home,
            project=settings.project.root,
            host=HostIndexes(
                access=settings.access,
                are_all=settings.access_is_all,
                installers=settings.installers,
            ),
        ),
        context.cache,
        reporter=context.reporter,
        offline=settings.offline,
        jobs=settings.jobs,
    )


def _wheel(fetched: Fetched) -> Wheel:
    return Wheel.of(
        fetched.path, sha256=fetched.sha256, source="wheel", filename=fetched.selected.filename
    )
