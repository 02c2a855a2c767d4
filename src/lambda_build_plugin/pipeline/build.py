"""The pipeline: the few lines that join the stages."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin import report
from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.config.project import metadata_requirements
from lambda_build_plugin.config.settings import Contents, Form, Layout
from lambda_build_plugin.errors import LambdaBuildError, SettingsError
from lambda_build_plugin.pipeline.dependencies import dependencies_of
from lambda_build_plugin.pipeline.outputs import check_places
from lambda_build_plugin.pipeline.run import ProjectWheel, Run
from lambda_build_plugin.progress import Clock
from lambda_build_plugin.runtime.sdk import SDK
from lambda_build_plugin.selection.provided import Provider
from lambda_build_plugin.source_build.context import BuildContext
from lambda_build_plugin.stage.bytecode import with_bytecode
from lambda_build_plugin.stage.contents import write_folder
from lambda_build_plugin.stage.filters import filtered
from lambda_build_plugin.stage.hooks import after_stage, before_build
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.stage.project_walk import Choice
from lambda_build_plugin.stage.scripts import with_scripts
from lambda_build_plugin.stage.source_files import plain_project
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.output import moved_in
from lambda_build_plugin.verify import sizes, view
from lambda_build_plugin.verify.checks import check_contents
from lambda_build_plugin.verify.closure import Word
from lambda_build_plugin.verify.findings import StrictError, raised
from lambda_build_plugin.verify.written import check_archive, read_again
from lambda_build_plugin.wheel import integrity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.pipeline.dependencies import Dependencies
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.selection.wheel_choice import Selected
    from lambda_build_plugin.stage.filters import Filtered
    from lambda_build_plugin.stage.tree import PlainProject, StagedTree
    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.integrity import MachineCodeOf

__all__ = ["artifact_of", "build", "build_all"]


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
        run = Run(Path(scratch), reporter, builder, places)
        for settings in artifacts:
            with _named(settings, among=len(artifacts)):
                check_places(settings)
        for settings in artifacts:
            with _named(settings, among=len(artifacts)):
                reports.append(_build(settings, run))
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


def _build(settings: Settings, run: Run) -> BuildReport:
    clock = Clock(run.reporter)
    folder = Path(tempfile.mkdtemp(dir=run.folder))
    own = ProjectWheel(settings, run, _build_context(settings, folder, run.reporter), clock)
    artifacts = run.artifacts(settings)
    ships_project = settings.contents is not Contents.DEPENDENCIES
    if ships_project:
        _run_hooks(settings, run, clock)
    dependencies = dependencies_of(
        settings, own, artifacts, chosen=lambda files: _check_chosen(settings, files)
    )
    wheels = list(dependencies.wheels)
    plain: PlainProject | None = None
    version = settings.project.version
    if ships_project and settings.form is Form.SOURCE:
        with clock.stage("build"):
            plain = plain_project(settings.project, _choice(settings, dependencies))
    elif ships_project:
        project = own.wheel()
        wheels.append(project)
        version = str(project.version)
    with clock.stage("stage"):
        code_of = integrity.check(wheels, own.context.cache)
        full, kept = _staged(settings, wheels, plain, Layouts(own.context.cache))
    if settings.hooks.after_stage:
        with clock.stage("hooks"):
            tree = after_stage(settings, kept.tree, folder / "stage", run.reporter)
            kept, full = replace(kept, tree=tree), tree
    before = kept.tree
    if settings.bytecode:
        with clock.stage("bytecode"):
            kept = _compiled(settings, full, kept, own.context)
    return _written(
        settings,
        replace(dependencies, warnings=(*dependencies.warnings, *own.context.cache.warnings)),
        kept,
        code_of,
        before=before,
        output=settings.zip_path(version),
        clock=clock,
        run=run,
        artifacts=artifacts,
    )


def _check_chosen(settings: Settings, files: Sequence[Selected]) -> None:
    """Refuse what can never fit before it is fetched, where all of it is to ship."""
    leaves_out = (
        settings.exclude
        or settings.exclude_presets
        or settings.provided
        or settings.provided_by
        or settings.hooks.after_stage
    )
    if not leaves_out:
        sizes.check_wheels(
            {str(item): item.file.size for item in files if item.is_wheel and item.file.size}
        )


def _run_hooks(settings: Settings, run: Run, clock: Clock) -> None:
    """Run the commands before the build, once for all artifacts that have the same ones."""
    commands = settings.hooks.before_build
    if commands and commands not in run.hooks:
        run.hooks.add(commands)
        with clock.stage("hooks"):
            before_build(settings, run.reporter)


def _staged(
    settings: Settings, wheels: Sequence[Wheel], plain: PlainProject | None, layouts: Layouts
) -> tuple[StagedTree, Filtered]:
    """Lay out, add scripts, leave out what is not wanted: the tree before that, and after."""
    tree = stage(wheels, prefix=settings.prefix, project=plain, layout_of=layouts.of)
    if settings.scripts:
        tree = with_scripts(tree, settings.target.runtime)
    kept = filtered(
        tree,
        presets=settings.exclude_presets,
        exclude=settings.exclude,
        include=settings.include,
    )
    # What a line matches in a source project has been decided when its files were chosen.
    return tree, kept if plain is None else replace(kept, warnings=())


def _compiled(
    settings: Settings, full: StagedTree, kept: Filtered, context: BuildContext
) -> Filtered:
    tree = with_bytecode(
        kept.tree,
        full=full,
        runtime=settings.target.runtime,
        only=settings.bytecode_only,
        host=settings.host,
        cache=context.cache,
        scratch=context.folder,
        reporter=context.reporter,
    )
    return replace(kept, tree=tree)


def _build_context(settings: Settings, folder: Path, reporter: Reporter) -> BuildContext:
    host = settings.host
    return BuildContext(
        target=settings.target,
        folder=folder,
        cache=Cache(host.cache_dir, spare=folder / "cache"),
        home=host.home,
        environ=host.environ,
        offline=settings.offline,
        reporter=reporter,
    )


def _choice(settings: Settings, dependencies: Dependencies) -> Choice:
    """Say which files of a project ship that is no wheel, and which are of this build."""
    root = settings.project.root
    output = settings.zip_path(settings.project.version).resolve()
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


def _written(
    settings: Settings,
    dependencies: Dependencies,
    kept: Filtered,
    code_of: MachineCodeOf,
    *,
    before: StagedTree,
    output: Path,
    clock: Clock,
    run: Run,
    artifacts: Sequence[Provider],
) -> BuildReport:
    """Write the artifact beside its place and verify it; it is moved in with all others."""
    _check_provider(settings, output)
    tree = kept.tree
    warnings: list[str] = [
        *settings.target.warnings(settings.host.today),
        *dependencies.warnings,
        *tree.warnings,
        *kept.warnings,
    ]
    with clock.stage("verify"):
        warnings += sizes.check_tree(
            tree,
            layer=settings.layout is Layout.LAYER,
            beside={artifact.label: artifact.size for artifact in artifacts},
        )
    temporary = run.places.enter_context(moved_in(output))
    word = _word(settings, dependencies, artifacts)
    with clock.stage("archive"):
        written = write_archive(tree, temporary, epoch=settings.epoch)
    with clock.stage("verify"):
        warnings += sizes.large_zip(written.size)
        warnings += _verified(
            settings,
            tree,
            written,
            code_of,
            before=before,
            word=word,
            artifacts=artifacts,
        )
    _check_strict(settings, warnings)
    if settings.artifact is not None:
        made = artifact_of(settings.artifact, tree, written.path, left_out=word.left_out)
        run.built[settings.artifact, settings.target] = made
    if settings.unpacked is not None:
        folder = run.places.enter_context(moved_in(settings.unpacked))
        with clock.stage("unpack"):
            write_folder(tree, folder)
    return report.make(
        settings,
        tree,
        written,
        artifact=output,
        lock=str(dependencies.lock) if dependencies.lock else None,
        left_out=dependencies.left_out,
        excluded=kept.excluded,
        warnings=warnings,
        seconds=clock.seconds,
    )


def _check_provider(settings: Settings, output: Path) -> None:
    """Refuse an artifact that its own zip of before is to provide for.

    Where the version is known, or the folder is named, only after a build, nobody can
    tell earlier.

    Raises:
        SettingsError: It is named in `provided-by`.
    """
    for place in settings.provided_by:
        if isinstance(place, Path) and place.resolve() == output.resolve():
            raise SettingsError(
                [f"provided-by: an artifact cannot provide itself: {place} is its own zip"],
                hint="name the zip of a layer that the function has",
            )


def _word(settings: Settings, dependencies: Dependencies, artifacts: Sequence[Provider]) -> Word:
    """Gather what the user has said of what ships and what does not.

    The project alone misses nothing, unless its layers are named: then they have to have
    it all, but for what they were told to leave out themselves, and the SDK.
    """
    project, lock = settings.project.name, dependencies.locked
    of_layers = settings.contents is Contents.PROJECT and bool(artifacts)
    is_alone = (settings.contents is Contents.PROJECT and not artifacts) or not settings.main
    is_absent = settings.contents is Contents.DEPENDENCIES
    left_out = dependencies.skipped | settings.provided | (lock.overridden if lock else frozenset())
    on_their_own = lock.rewritten if lock else frozenset()
    return Word(
        extras={project: settings.extras},
        left_out=left_out.union(
            {project} if is_absent else (), *(artifact.left_out for artifact in artifacts)
        ),
        doubtful=SDK if of_layers else frozenset(),
        on_their_own=on_their_own | ({project} if is_alone else frozenset()),
    )


def _verified(
    settings: Settings,
    tree: StagedTree,
    written: Written,
    code_of: MachineCodeOf,
    *,
    before: StagedTree,
    word: Word,
    artifacts: Sequence[Provider],
) -> tuple[str, ...]:
    """Hold the zip against what was meant, and what is in it against the target."""
    with read_again(written.path) as archive:
        check_archive(tree, archive)
        findings = check_contents(
            _with_source(view.artifact_of(tree, archive, code_of, before=before), settings, tree),
            settings.target,
            word,
            handler=settings.handler if settings.layout is Layout.FUNCTION else None,
            beside=[view.provider(artifact, settings.target) for artifact in artifacts],
        )
    return raised(findings)


def _with_source(
    artifact: view.ArtifactView, settings: Settings, tree: StagedTree
) -> view.ArtifactView:
    """Let a project that ships without metadata have its requirements checked, too."""
    project = settings.project
    if tree.project is None or project.dependencies is None:
        return artifact
    itself = view.Shipped(
        name=project.name,
        version=None,
        shown=project.name,
        requires=tuple(map(str, metadata_requirements(project))),
    )
    return replace(artifact, distributions=(*artifact.distributions, itself))


def _check_strict(settings: Settings, warnings: Sequence[str]) -> None:
    if settings.strict and warnings:
        raise StrictError(warnings)


def artifact_of(name: str, tree: StagedTree, path: Path, *, left_out: frozenset[str]) -> Provider:
    """Describe an artifact of the project that was just built, and where its zip is."""
    wheels = [distribution.wheel for distribution in tree.distributions]
    return Provider(
        label=f"`{name}`",
        path=path,
        size=tree.size,
        versions={wheel.name: str(wheel.version) for wheel in wheels},
        digests={wheel.name: wheel.sha256 for wheel in wheels},
        left_out=left_out,
    )
