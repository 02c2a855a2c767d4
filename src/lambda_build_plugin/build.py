"""The pipeline: the few lines that join the stages. No other module joins two."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename

from lambda_build_plugin import integrity, report, verify
from lambda_build_plugin.archive import OutputError, moved_in, write_archive, write_folder
from lambda_build_plugin.fetch.cache import Cache
from lambda_build_plugin.fetch.fetcher import Fetcher
from lambda_build_plugin.fetch.sources import read_sources
from lambda_build_plugin.graph import requirements_of, unmet
from lambda_build_plugin.hooks import after_stage, before_build
from lambda_build_plugin.lock.read import find_lock, read_lock
from lambda_build_plugin.lock.walk import reached
from lambda_build_plugin.selection import explain, select
from lambda_build_plugin.settings import Contents, Form, Layout, LocalDependencies
from lambda_build_plugin.source_build.items import (
    build_archive,
    build_commit,
    build_folder,
    build_project,
    included,
)
from lambda_build_plugin.source_build.workshop import Workshop
from lambda_build_plugin.source_tree import Choice, plain_project
from lambda_build_plugin.stage import Wheel, stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from lambda_build_plugin.fetch.fetcher import Fetched
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.lock.walk import LeftOut
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.selection import Selection
    from lambda_build_plugin.settings import Settings
    from lambda_build_plugin.stage import PlainProject, StagedTree

__all__ = ["build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dependencies:
    """What the lock contributes."""

    wheels: tuple[Wheel, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    lock: Path | None = None
    folders: frozenset[Path] = frozenset()
    """Of local packages, which ship as wheels if they do."""

    skipped: frozenset[str] = frozenset()
    """Names of what belongs to the target and is left out because the user wants it so."""


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


def build(settings: Settings, reporter: Reporter) -> BuildReport:
    """Turn one locked project into one deployment package.

    Raises:
        LambdaBuildError: With the reason and the remedy; nothing is left behind.
    """
    _check_places(settings)
    clock = _Clock(reporter)
    with tempfile.TemporaryDirectory(prefix="lambda-build-") as scratch:
        workshop = _workshop(settings, Path(scratch), reporter)
        ships_project = settings.contents is not Contents.DEPENDENCIES
        if settings.hooks.before_build and ships_project:
            with clock.stage("hooks"):
                before_build(settings, reporter)
        dependencies = _with_included(_dependencies(settings, workshop, clock), settings, workshop)
        wheels = list(dependencies.wheels)
        plain: PlainProject | None = None
        version = settings.project.version
        if ships_project and settings.form is Form.SOURCE:
            with clock.stage("build"):
                plain = plain_project(settings.project, _choice(settings, dependencies))
                dependencies = _with_unmet(dependencies, settings.project.dependencies, settings)
        elif ships_project:
            with clock.stage("build"):
                project = build_project(settings.project, workshop)
                requirements = requirements_of(project.path)
                dependencies = _with_unmet(dependencies, requirements, settings)
            wheels.append(project)
            version = str(project.version)
        with clock.stage("stage"):
            integrity.check(wheels, Cache(settings.host.cache_dir))
            tree = stage(wheels, prefix=settings.prefix, project=plain)
        if settings.hooks.after_stage:
            with clock.stage("hooks"):
                tree = after_stage(settings, tree, Path(scratch, "stage"), reporter)
        return _written(settings, dependencies, tree, _output(settings, version), clock)


def _workshop(settings: Settings, folder: Path, reporter: Reporter) -> Workshop:
    host = settings.host
    return Workshop(
        target=settings.target,
        folder=folder,
        cache=Cache(host.cache_dir),
        home=host.home,
        environ=host.environ,
        offline=settings.offline,
        reporter=reporter,
    )


def _dependencies(settings: Settings, workshop: Workshop, clock: _Clock) -> _Dependencies:
    """Read the lock, choose for the target, fetch, and build what is no wheel."""
    if settings.contents is Contents.PROJECT:
        return _Dependencies()
    project, host = settings.project, settings.host
    with clock.stage("lock"):
        found = find_lock(project, settings.lock, needed=bool(settings.extras or settings.groups))
        if found is None:
            return _Dependencies()
        lock = read_lock(found.path, project, host.environ, lock_is_fresh=settings.lock_is_fresh)
        applicable = reached(
            lock,
            settings.target,
            extras=settings.extras,
            groups=settings.groups,
            main=settings.main,
        )
    with closing(_fetcher(settings, lock, clock.reporter)) as fetcher:
        with clock.stage("select"):
            selection = select(
                fetcher.named(applicable.packages),
                settings.target,
                only_binary=settings.only_binary,
                skip_folders=settings.local_dependencies is LocalDependencies.SKIP,
            )
        with clock.stage("fetch"):
            fetched = fetcher.fetch(selection.files)
    passed_over = (
        f"{found.path.name} is read, and {', '.join(found.others)} beside it is not: "
        "name the right one with the setting `lock`"
    )
    return _Dependencies(
        wheels=(
            *(_wheel(item) for item in fetched if item.selected.is_wheel),
            *_built(selection, fetched, workshop, clock),
        ),
        left_out=(*applicable.left_out, *selection.left_out),
        warnings=(*lock.warnings, *((passed_over,) if found.others else ())),
        lock=found.path,
        folders=frozenset(
            package.directory.path.resolve()
            for package in lock.packages
            if package.directory is not None and not package.virtual
        ),
        skipped=frozenset(item.name for item in selection.left_out),
    )


def _built(
    selection: Selection, fetched: Sequence[Fetched], workshop: Workshop, clock: _Clock
) -> list[Wheel]:
    """Build what was chosen as source code, one after the other."""
    archives = [item for item in fetched if not item.selected.is_wheel]
    if not (archives or selection.folders or selection.commits):
        return []
    with clock.stage("build"):
        wheels = []
        for item in archives:
            package = item.selected.package
            if package.wheels:
                workshop.reporter.note(explain(package, workshop.target))
            wheels.append(build_archive(item, workshop))
        wheels += [build_commit(*item, workshop) for item in selection.commits]
        wheels += [build_folder(*item, workshop) for item in selection.folders]
    return wheels


def _with_included(
    dependencies: _Dependencies, settings: Settings, workshop: Workshop
) -> _Dependencies:
    """Add the wheels and folders that the user names beside the lock."""
    if settings.contents is Contents.PROJECT or not settings.include_local:
        return dependencies
    added = [included(path, workshop) for path in settings.include_local]
    dependencies = replace(dependencies, wheels=(*dependencies.wheels, *added))
    for wheel in added:
        requirements = requirements_of(wheel.path)
        dependencies = _with_unmet_by(
            wheel.name, requirements, dependencies, settings, extras=frozenset()
        )
    return dependencies


def _choice(settings: Settings, dependencies: _Dependencies) -> Choice:
    """Say which files of a project ship that is no wheel, and which are of this build."""
    root = settings.project.root
    output = _output(settings, settings.project.version).resolve()
    places = (settings.unpacked, settings.lock, settings.host.cache_dir)
    apart = {
        output,
        # The artifacts of other targets, which are written to the same folder one by one.
        *(output.parent.glob("*.zip") if output.parent != root else ()),
        *(place.resolve() for place in places if place is not None),
        *dependencies.folders,
    }
    return Choice(
        include=settings.include,
        exclude=settings.exclude,
        handler=settings.handler,
        apart=frozenset(apart - {root, *root.parents}),
    )


def _with_unmet(
    dependencies: _Dependencies,
    requirements: tuple[Requirement, ...] | None,
    settings: Settings,
) -> _Dependencies:
    """Warn of what the project requires and the lock does not bring, as far as it is known."""
    if settings.contents is not Contents.ALL or not settings.main or requirements is None:
        return dependencies
    return _with_unmet_by(
        settings.project.name, requirements, dependencies, settings, extras=settings.extras
    )


def _with_unmet_by(
    name: str,
    requirements: tuple[Requirement, ...],
    dependencies: _Dependencies,
    settings: Settings,
    *,
    extras: frozenset[NormalizedName],
) -> _Dependencies:
    """Warn of what is required and nothing that ships meets, but for what is skipped."""
    shipped = {wheel.name: wheel.version for wheel in dependencies.wheels}
    asked = tuple(
        requirement
        for requirement in requirements
        if canonicalize_name(requirement.name) not in dependencies.skipped
    )
    missing = unmet(asked, settings.target, extras=extras, shipped=shipped)
    warnings = (f"{name} requires {requirement}" for requirement in missing)
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
        version=parse_wheel_filename(selected.filename)[1],
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
) -> BuildReport:
    """Write the artifact beside its place, verify it, and only then move it in."""
    warnings: list[str] = [
        *settings.target.warnings(settings.host.today),
        *dependencies.warnings,
        *tree.warnings,
    ]
    with clock.stage("verify"):
        warnings += verify.check_tree(
            tree, layer=settings.layout is Layout.LAYER, handler=settings.handler
        )
    with moved_in(output) as temporary:
        with clock.stage("archive"):
            written = write_archive(tree, temporary, epoch=settings.epoch)
        with clock.stage("verify"):
            warnings += verify.check_archive(tree, written)
        _check_strict(settings, warnings)
        if settings.unpacked is not None:
            with clock.stage("unpack"), moved_in(settings.unpacked) as folder:
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


def _output(settings: Settings, version: str | None) -> Path:
    """Say where the zip goes: `dist/{name}-{version}-{layout}-{runtime}-{architecture}.zip`."""
    if settings.output is not None and not settings.output_is_folder:
        return settings.output
    project, target = settings.project, settings.target
    parts = (
        project.name.replace("-", "_"),
        version,
        settings.layout.value,
        target.runtime.name,
        target.architecture.value,
    )
    folder = settings.output or project.root / "dist"
    return folder / ("-".join(part for part in parts if part) + ".zip")
