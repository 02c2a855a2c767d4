"""The pipeline: the few lines that join the stages. No other module joins two."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin import integrity, report
from lambda_build_plugin.archive import OutputError, moved_in, write_archive, write_folder
from lambda_build_plugin.fetch.cache import Cache
from lambda_build_plugin.fetch.fetcher import Fetcher
from lambda_build_plugin.fetch.sources import read_sources
from lambda_build_plugin.lock.read import find_lock, read_lock
from lambda_build_plugin.lock.walk import reached
from lambda_build_plugin.selection import select
from lambda_build_plugin.settings import Contents, Layout
from lambda_build_plugin.source_build import build_project
from lambda_build_plugin.stage import Wheel, stage
from lambda_build_plugin.verify import limits
from lambda_build_plugin.verify.artifact import artifact_of
from lambda_build_plugin.verify.checks import check_contents
from lambda_build_plugin.verify.closure import Word
from lambda_build_plugin.verify.findings import raised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.fetch.fetcher import Fetched
    from lambda_build_plugin.integrity import MachineCodeOf
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.lock.walk import LeftOut
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.settings import Settings
    from lambda_build_plugin.stage import StagedTree

__all__ = ["build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dependencies:
    """What the lock contributes."""

    wheels: tuple[Wheel, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    lock: Path | None = None
    word: Word = field(default_factory=Word)


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
        cache = Cache(settings.host.cache_dir, spare=Path(scratch, "cache"))
        dependencies = _dependencies(settings, clock, cache)
        wheels = list(dependencies.wheels)
        version = settings.project.version
        if settings.contents is not Contents.DEPENDENCIES:
            with clock.stage("build"):
                project = build_project(
                    settings.project,
                    settings.target,
                    Path(scratch),
                    offline=settings.offline,
                    reporter=reporter,
                    environ=settings.host.environ,
                )
            wheels.append(project)
            version = str(project.version)
        with clock.stage("stage"):
            code_of = integrity.check(wheels, cache)
            tree = stage(wheels, prefix=settings.prefix)
        output = _output(settings, version)
        return _written(settings, dependencies, tree, code_of, output=output, clock=clock)


def _dependencies(settings: Settings, clock: _Clock, cache: Cache) -> _Dependencies:
    """Read the lock, choose for the target, fetch."""
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
    with closing(_fetcher(settings, lock, clock.reporter, cache)) as fetcher:
        with clock.stage("select"):
            selected = select(fetcher.named(applicable.packages), settings.target)
        with clock.stage("fetch"):
            fetched = fetcher.fetch(selected)
    passed_over = (
        f"{found.path.name} is read, and {', '.join(found.others)} beside it is not: "
        "name the right one with the setting `lock`"
    )
    return _Dependencies(
        wheels=tuple(_wheel(item) for item in fetched),
        left_out=applicable.left_out,
        warnings=(
            *lock.warnings,
            *((passed_over,) if found.others else ()),
            *fetcher.warnings,
            *cache.warnings,
        ),
        lock=found.path,
        word=Word(left_out=lock.overridden, on_their_own=lock.rewritten),
    )


def _fetcher(settings: Settings, lock: Lock, reporter: Reporter, cache: Cache) -> Fetcher:
    host = settings.host
    return Fetcher(
        read_sources(
            lock.indexes,
            environ=host.environ,
            home=host.home,
            project=settings.project.root,
            access=settings.access,
        ),
        cache,
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
    code_of: MachineCodeOf,
    *,
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
        warnings += limits.check_tree(tree, layer=settings.layout is Layout.LAYER)
    with moved_in(output) as temporary:
        with clock.stage("archive"):
            written = write_archive(tree, temporary, epoch=settings.epoch)
        with clock.stage("verify"):
            warnings += limits.large_zip(written.size)
            warnings += _verified(settings, tree, written, code_of, dependencies.word)
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


def _verified(
    settings: Settings, tree: StagedTree, written: Written, code_of: MachineCodeOf, word: Word
) -> tuple[str, ...]:
    """Hold the zip against what was meant, and what is in it against the target."""
    project = frozenset({settings.project.name})
    is_alone = settings.contents is Contents.PROJECT or not settings.main
    is_absent = settings.contents is Contents.DEPENDENCIES
    word = replace(
        word,
        extras={settings.project.name: settings.extras},
        left_out=word.left_out | (project if is_absent else frozenset()),
        on_their_own=word.on_their_own | (project if is_alone else frozenset()),
    )
    with limits.read_again(written.path) as archive:
        limits.check_archive(tree, archive)
        findings = check_contents(
            artifact_of(tree, archive, code_of),
            settings.target,
            word,
            handler=settings.handler if settings.layout is Layout.FUNCTION else None,
        )
    return raised(findings)


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
        raise limits.StrictError(warnings)


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
