"""The pipeline: the few lines that join the stages. No other module joins two."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from lambda_build_plugin import integrity, report, verify
from lambda_build_plugin.archive import OutputError, moved_in, write_archive, write_folder
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.fetch.cache import Cache
from lambda_build_plugin.fetch.fetcher import Fetcher
from lambda_build_plugin.fetch.sources import read_sources
from lambda_build_plugin.graph import extras_of, reachable, requirements_of, unmet
from lambda_build_plugin.lock.failures import (
    ExcludedTargetError,
    HostOnlyLockError,
    UnknownGroupError,
)
from lambda_build_plugin.lock.read import find_lock, read_lock
from lambda_build_plugin.lock.walk import LeftOut, asked_for, reached
from lambda_build_plugin.project import (
    group_names,
    group_requirements,
    metadata_requirements,
    named_requirements,
)
from lambda_build_plugin.provided import (
    artifact_of,
    check_locked,
    read_artifact,
    without_artifacts,
    without_provided,
)
from lambda_build_plugin.selection import NoMatchingFileError, is_of_one_machine, select
from lambda_build_plugin.settings import Contents, Layout
from lambda_build_plugin.source_build import build_project
from lambda_build_plugin.stage import Wheel, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from packaging.utils import NormalizedName

    from lambda_build_plugin.fetch.fetcher import Fetched
    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.lock.walk import Reached
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.provided import Artifact, Kept
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.settings import Settings
    from lambda_build_plugin.stage import StagedTree
    from lambda_build_plugin.target import Target

__all__ = ["build", "build_all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dependencies:
    """What the lock contributes."""

    wheels: tuple[Wheel, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    lock: Path | None = None
    locked: Lock | None = None
    chosen: tuple[LockedPackage, ...] = ()
    """What the lock has for the target, where nothing of it is to ship."""

    elsewhere: tuple[Wheel, ...] = ()
    """What was chosen, and is left out because it is there without shipping."""


@dataclass(slots=True)
class _Clock:
    """Seconds by stage; the one place of the core that looks at a clock."""

    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.reporter.stage(name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


@dataclass(slots=True)
class _Work:
    """What the artifacts of one run have in common: each thing is done once."""

    folder: Path
    """For what lasts until all artifacts are written."""

    reporter: Reporter
    builder: Callable[[Path], object] | None
    places: ExitStack
    """Moves all artifacts in at its end, or none."""

    locks: dict[Path, Lock] = field(default_factory=dict)
    wheels: dict[Target, Wheel] = field(default_factory=dict)
    """Of the project."""

    built: dict[tuple[str, Target], Artifact] = field(default_factory=dict)
    """By name and target."""

    def artifacts(self, settings: Settings) -> list[Artifact]:
        """Get the artifacts that provide for another one."""
        return [
            self.built[item, settings.target]
            if isinstance(item, str)
            else read_artifact(item, settings.target)
            for item in settings.provided_by
        ]

    def wheel_for(self, target: Target) -> Wheel | None:
        """Get the project's wheel if it is built: one for any machine serves all of its Python."""
        for other, wheel in self.wheels.items():
            if other == target or (
                other.runtime == target.runtime and wheel.filename.endswith("-any.whl")
            ):
                return wheel
        return None


@dataclass(slots=True)
class _OwnWheel:
    """The project's wheel, built when it is first asked for."""

    settings: Settings
    work: _Work
    clock: _Clock

    def wheel(self) -> Wheel:
        settings, work = self.settings, self.work
        built = work.wheel_for(settings.target)
        if built is None:
            with self.clock.stage("build"):
                built = build_project(
                    settings.project,
                    settings.target,
                    Path(tempfile.mkdtemp(dir=work.folder)),
                    offline=settings.offline,
                    reporter=work.reporter,
                    environ=settings.host.environ,
                    builder=work.builder,
                )
            work.wheels[settings.target] = built
        return built


def build(
    settings: Settings, reporter: Reporter, *, builder: Callable[[Path], object] | None = None
) -> BuildReport:
    """Turn one locked project into one deployment package.

    Args:
        settings: What to build.
        reporter: Hears of each step.
        builder: How a host that is the project's own backend writes its wheel into a folder.

    Raises:
        LambdaBuildError: With the reason and the remedy; nothing is left behind.
    """
    return build_all([settings], reporter, builder=builder)[0]


def build_all(
    artifacts: Sequence[Settings],
    reporter: Reporter,
    *,
    builder: Callable[[Path], object] | None = None,
) -> list[BuildReport]:
    """Turn one locked project into several deployment packages; all appear, or none.

    Args:
        artifacts: What to build, in an order in which each comes after what provides for it.
        reporter: Hears of each step.
        builder: How a host that is the project's own backend writes its wheel into a folder.

    Raises:
        LambdaBuildError: With the reason and the remedy; nothing is left behind.
    """
    reports: list[BuildReport] = []
    with (
        tempfile.TemporaryDirectory(prefix="lambda-build-") as scratch,
        ExitStack() as places,
    ):
        work = _Work(Path(scratch), reporter, builder, places)
        for settings in artifacts:
            with _named(settings, among=len(artifacts)):
                _check_places(settings)
        for settings in artifacts:
            with _named(settings, among=len(artifacts)):
                reports.append(_build(settings, work))
    return reports


@contextmanager
def _named(settings: Settings, *, among: int) -> Iterator[None]:
    """Say of a failure which of several artifacts it has to do with."""
    try:
        yield
    except LambdaBuildError as error:
        if among > 1:
            error.what = f"{settings.label}: {error.what}"
        raise


def _build(settings: Settings, work: _Work) -> BuildReport:
    clock = _Clock(work.reporter)
    own = _OwnWheel(settings, work, clock)
    artifacts = work.artifacts(settings)
    dependencies = _dependencies(settings, clock, own)
    dependencies = _without_provided(dependencies, settings, own, artifacts)
    wheels = list(dependencies.wheels)
    version = settings.project.version
    if settings.contents is not Contents.DEPENDENCIES:
        project = own.wheel()
        dependencies = _with_unmet(dependencies, project, settings)
        wheels.append(project)
        version = str(project.version)
    with clock.stage("stage"):
        integrity.check(wheels, Cache(settings.host.cache_dir))
        tree = stage(wheels, prefix=settings.prefix)
    report = _written(
        settings,
        dependencies,
        tree,
        settings.zip_path(version),
        clock,
        places=work.places,
        artifacts=artifacts,
    )
    if settings.artifact is not None:
        work.built[settings.artifact, settings.target] = artifact_of(settings.artifact, tree)
    return report


def _dependencies(settings: Settings, clock: _Clock, own: _OwnWheel) -> _Dependencies:
    """Read the lock, choose for the target, fetch."""
    if not settings.needs_lock:
        return _Dependencies()
    project, host = settings.project, settings.host
    with clock.stage("lock"):
        found = find_lock(project, settings.lock, needed=bool(settings.extras or settings.groups))
        if found is None:
            return _Dependencies()
        locks = own.work.locks
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
    if settings.contents is Contents.PROJECT:
        return _Dependencies(lock=found.path, locked=lock, chosen=applicable.packages)
    passed_over = (
        f"{found.path.name} is read, and {', '.join(found.others)} beside it is not: "
        "name the right one with the setting `lock`"
    )
    with (
        closing(_fetcher(settings, lock, clock.reporter)) as fetcher,
        _right_machine(lock, settings),
    ):

        def bring(packages: Sequence[LockedPackage]) -> list[Wheel]:
            with clock.stage("select"):
                selected = select(fetcher.named(packages), settings.target)
            with clock.stage("fetch"):
                return [_wheel(item) for item in fetcher.fetch(selected)]

        if cut:
            brought = _cut(lock, applicable, settings, own, bring)
        else:
            brought = _Dependencies(
                wheels=tuple(bring(applicable.packages)), left_out=applicable.left_out
            )
    return replace(
        brought,
        warnings=(*lock.warnings, *((passed_over,) if found.others else ()), *brought.warnings),
        lock=found.path,
        locked=lock,
    )


def _without_provided(
    dependencies: _Dependencies,
    settings: Settings,
    own: _OwnWheel,
    artifacts: Sequence[Artifact],
) -> _Dependencies:
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
        elsewhere=tuple(wheel for wheel in dependencies.wheels if wheel not in wheels),
    )


def _asked(
    lock: Lock, settings: Settings, own: _OwnWheel
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
    own: _OwnWheel,
    bring: Callable[[Sequence[LockedPackage]], Sequence[Wheel]],
) -> _Dependencies:
    """Follow the requirements of the project through the lock, and leave the rest.

    What a distribution requires stands in its wheel, so they come level by level.
    """
    project, target = settings.project, settings.target
    roots, known = _needs(lock, settings, own)
    wheels: list[Wheel] = []
    while batch := [
        package
        for package in applicable.packages
        if package.name in reachable(roots, known, target) and package.name not in known
    ]:
        for package, wheel in zip(batch, bring(batch), strict=True):
            known[package.name] = requirements_of(wheel.path)
            wheels.append(wheel)
    # What the project's wheel itself lacks, `_with_unmet` tells.
    told = {project.name} if settings.contents is Contents.ALL else set()
    return _Dependencies(
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.name)),
        left_out=tuple(
            sorted(
                (*applicable.left_out, *_unneeded(applicable.packages, known)),
                key=lambda item: (item.name, item.version),
            )
        ),
        warnings=tuple(
            f"{needer} requires {name}, which is not in the lock for this target"
            for name, needer in reachable(roots, known, target).items()
            if name not in known and needer not in told
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
    lock: Lock, settings: Settings, own: _OwnWheel
) -> tuple[list[Requirement], dict[NormalizedName, Sequence[Requirement]]]:
    """Get what is asked for, and what the project itself requires.

    Raises:
        LockError: It has no such extra or group.
    """
    project = settings.project
    if settings.contents is Contents.ALL or project.dependencies is None:
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


def _with_unmet(dependencies: _Dependencies, project: Wheel, settings: Settings) -> _Dependencies:
    """Warn of what the project's wheel requires and the lock does not bring."""
    if settings.contents is not Contents.ALL or not settings.main:
        return dependencies
    there = (*dependencies.wheels, *dependencies.elsewhere)
    shipped = {wheel.name: wheel.version for wheel in there}
    missing = unmet(
        requirements_of(project.path), settings.target, extras=settings.extras, shipped=shipped
    )
    warnings = (f"{project.name} requires {requirement}" for requirement in missing)
    return replace(dependencies, warnings=(*dependencies.warnings, *warnings))


def _fetcher(settings: Settings, lock: Lock, reporter: Reporter) -> Fetcher:
    host = settings.host
    return Fetcher(
        read_sources(
            lock.indexes,
            environ=host.environ,
            home=host.home,
            project=settings.project.root,
            access=settings.access,
            access_is_all=settings.access_is_all,
        ),
        Cache(host.cache_dir),
        reporter=reporter,
        offline=settings.offline,
        jobs=settings.jobs,
    )


def _wheel(fetched: Fetched) -> Wheel:
    selected = fetched.selected
    return Wheel(
        name=selected.name,
        version=selected.version,
        filename=selected.filename,
        path=fetched.path,
        sha256=fetched.sha256,
        source="wheel",
    )


def _written(
    settings: Settings,
    dependencies: _Dependencies,
    tree: StagedTree,
    output: Path,
    clock: _Clock,
    *,
    places: ExitStack,
    artifacts: Sequence[Artifact],
) -> BuildReport:
    """Write the artifact beside its place and verify it; `places` moves it in."""
    warnings: list[str] = [
        *settings.target.warnings(settings.host.today),
        *dependencies.warnings,
        *tree.warnings,
    ]
    with clock.stage("verify"):
        warnings += verify.check_tree(
            tree,
            layer=settings.layout is Layout.LAYER,
            handler=settings.handler,
            beside={artifact.label: artifact.size for artifact in artifacts},
        )
    temporary = places.enter_context(moved_in(output))
    with clock.stage("archive"):
        written = write_archive(tree, temporary, epoch=settings.epoch)
    with clock.stage("verify"):
        warnings += verify.check_archive(tree, written)
    _check_strict(settings, warnings)
    if settings.unpacked is not None:
        folder = places.enter_context(moved_in(settings.unpacked))
        with clock.stage("unpack"):
            write_folder(tree, folder)
    return report.make(
        settings,
        tree,
        written,
        artifact=output,
        lock=str(dependencies.lock) if dependencies.lock else None,
        left_out=dependencies.left_out,
        warnings=warnings,
        seconds=clock.seconds,
    )


def _check_places(settings: Settings) -> None:
    """Refuse places that hold something else before any work is done."""
    output, unpacked = settings.output, settings.unpacked
    try:
        if output is not None and not settings.output_is_folder:
            _check_output(output)
        if unpacked is not None and (unpacked.is_symlink() or unpacked.exists()):
            _check_unpacked(unpacked)
    except OSError as error:
        place = output if unpacked is None else unpacked
        raise OutputError(place or settings.project.root, error.strerror or str(error)) from error
    if unpacked is not None and unpacked == output:
        raise OutputError(
            unpacked,
            "the zip and the unpacked files are to go to the same place",
            hint="give `--output` and `--unpacked` different names",
        )


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise OutputError(
            output, "it is a folder", hint="end the name with `/` to write the default name into it"
        )
    if output.exists() and not output.is_file():
        raise OutputError(
            output, "it is a device or a pipe, and a zip cannot be moved there", hint="name a file"
        )


def _check_unpacked(unpacked: Path) -> None:
    if unpacked.is_symlink() or not _is_empty_folder(unpacked):
        raise OutputError(
            unpacked,
            "it is there already and no empty folder",
            hint="remove it first, or choose another folder with `--unpacked`",
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _check_strict(settings: Settings, warnings: Sequence[str]) -> None:
    if settings.strict and warnings:
        raise verify.StrictError(warnings)
