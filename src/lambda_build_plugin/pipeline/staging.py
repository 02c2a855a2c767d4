"""Wheels and the project's own code → one tree of entries, as it goes into the zip.

Modules for what most builds do not use are imported where it is used, so that it costs them
nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Form
from lambda_build_plugin.pipeline.plan import UnusablePlanError
from lambda_build_plugin.runtime.limits import UNZIPPED_LIMIT
from lambda_build_plugin.stage.layout_cache import Layouts
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.stage.tree import check_names
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel import integrity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.pipeline.decision import Dependencies
    from lambda_build_plugin.pipeline.plan import Plan
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.stage.filters import Excluded
    from lambda_build_plugin.stage.project_walk import Choice
    from lambda_build_plugin.stage.tree import PlainProject, StagedTree
    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.integrity import MachineCodeOf

__all__ = [
    "ProjectCode",
    "StagedArtifact",
    "get_project_code",
    "run_before_build",
    "stage_artifact",
]


@dataclass(frozen=True, kw_only=True)
class ProjectCode:
    """The project's own code: a wheel, its files as they are, or nothing."""

    wheel: Wheel | None = None
    files: PlainProject | None = None
    version: str | None
    """Of the project, if it is known."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StagedArtifact:
    """Everything that goes into the zip, and what is known about it."""

    tree: StagedTree
    with_sources: StagedTree
    """The tree before bytecode took the place of sources; of a build by a plan, only the files of
    the user's own folders."""

    find_unfiltered: Callable[[], StagedTree]
    """Finds the tree with the files that are excluded."""

    excluded: tuple[Excluded, ...]
    warnings: tuple[str, ...]
    machine_code: MachineCodeOf
    """What the check of the wheels has found out about their machine code."""

    version: str | None
    """Of the project, if it is known."""


@dataclass(frozen=True, kw_only=True)
class _Laid:
    """A tree under construction."""

    tree: StagedTree
    unfiltered: StagedTree
    """The tree with the files that are excluded: sources, for the bytecode compiler."""

    excluded: tuple[Excluded, ...]
    warnings: tuple[str, ...]


def run_before_build(artifact: ArtifactBuild) -> None:
    """Run the `before-build` commands, once for all artifacts with the same commands.

    Raises:
        StageError: A command fails.
    """
    run, commands = artifact.run, artifact.settings.hooks.before_build
    if artifact.ships_project and commands and commands not in run.hooks:
        from lambda_build_plugin.stage.hooks import before_build

        run.hooks.add(commands)
        run.shared.doubt()
        with artifact.clock.stage("hooks"):
            before_build(artifact.settings, run.reporter)


def get_project_code(artifact: ArtifactBuild, dependencies: Dependencies) -> ProjectCode:
    """Build the project's wheel, or list its files if it ships as source.

    Raises:
        SourceBuildError: The wheel cannot be built.
        StageError: A file cannot ship, or there is no code.
    """
    settings = artifact.settings
    version = settings.project.version
    if not artifact.ships_project:
        return ProjectCode(version=version)
    if settings.form is Form.SOURCE:
        from lambda_build_plugin.stage.source_files import plain_project
        from lambda_build_plugin.stage.tracked_code import tracked_code_warnings

        with artifact.clock.stage("build"):
            files = plain_project(settings.project, _choose_files(artifact, dependencies))
            warnings = tuple(tracked_code_warnings(files, settings))
        return ProjectCode(files=files, version=version, warnings=warnings)
    wheel = artifact.project_wheel()
    return ProjectCode(wheel=wheel, version=str(wheel.version))


def stage_artifact(
    artifact: ArtifactBuild, dependencies: Dependencies, code: ProjectCode
) -> StagedArtifact:
    """Check the wheels, lay them out, apply filters and hooks, and compile bytecode.

    Raises:
        LambdaBuildError: A wheel is damaged, two wheels collide, or a command fails.
        UnusablePlanError: There is a plan, and the project's files do not fit it.
    """
    settings = artifact.settings
    if dependencies.plan is not None:
        return _stage_by_plan(artifact, dependencies.plan, dependencies.wheels, code)
    wheels = [*dependencies.wheels, *([code.wheel] if code.wheel else [])]
    with artifact.clock.stage("stage"):
        machine_code = integrity.check(wheels, artifact.context.cache)
        laid = _lay_out(artifact, wheels, code.files)
    if settings.hooks.after_stage:
        from lambda_build_plugin.stage.hooks import after_stage

        artifact.run.shared.doubt()
        with artifact.clock.stage("hooks"):
            folder = artifact.context.folder / "stage"
            tree = after_stage(settings, laid.tree, folder, artifact.run.reporter)
            laid = replace(laid, tree=tree, unfiltered=tree)
    tree = laid.tree
    if settings.bytecode:
        with artifact.clock.stage("bytecode"):
            tree = _compile(artifact, laid)
            check_names(tree.entries)
    if settings.layer_files:
        from lambda_build_plugin.stage.layer_files import with_layer_files

        with artifact.clock.stage("stage"):
            tree = with_layer_files(tree, settings)
    return StagedArtifact(
        tree=tree,
        with_sources=laid.tree,
        find_unfiltered=lambda: laid.unfiltered,
        excluded=laid.excluded,
        warnings=(*tree.warnings, *laid.warnings, *code.warnings),
        machine_code=machine_code,
        version=code.version,
    )


def _stage_by_plan(
    artifact: ArtifactBuild, plan: Plan, dependencies: Sequence[Wheel], code: ProjectCode
) -> StagedArtifact:
    """Lay out the wheels of the user's own folders beside what is already packed."""
    prefix, layouts = artifact.settings.prefix, Layouts(artifact.context.cache)
    wheels = [*dependencies, *([code.wheel] if code.wheel else [])]
    own = [wheel for wheel in wheels if wheel.source == "local"]
    with artifact.clock.stage("stage"):
        machine_code = integrity.check(own, artifact.context.cache)
        project = stage(own, prefix=prefix, layout_of=layouts.of)
        plan.check_beside(project)
        kept = _filter_beside(artifact.settings, plan, project)
        check_names(kept.tree.entries)
    own_tree = kept.tree
    if artifact.settings.bytecode:
        with artifact.clock.stage("bytecode"):
            own_tree = _compile(artifact, kept)
            check_names(own_tree.entries)
    tree = plan.with_project(own_tree)
    if tree.size >= UNZIPPED_LIMIT:  # the error says what could be left out of the wheels
        raise UnusablePlanError("the artifact is too large")
    artifact.run.reporter.note(f"copying {len(plan.distributions)} packages as planned before")
    return StagedArtifact(
        tree=tree,
        with_sources=kept.tree,
        find_unfiltered=lambda: stage(wheels, prefix=prefix, layout_of=layouts.of),
        excluded=kept.excluded,
        warnings=(*tree.warnings, *kept.warnings, *code.warnings),
        machine_code=machine_code,
        version=code.version,
    )


def _filter_beside(settings: Settings, plan: Plan, project: StagedTree) -> _Laid:
    """Leave out files of the user's own wheels; the plan knows which others are left out."""
    if not plan.effects:
        return _Laid(tree=project, unfiltered=project, excluded=(), warnings=())
    from lambda_build_plugin.stage.filters import filtered_by

    kept = filtered_by(
        settings,
        project,
        beside=[each.wheel.name for each in plan.tree.distributions],
        elsewhere=plan.effects,
    )
    return _Laid(tree=kept.tree, unfiltered=project, excluded=kept.excluded, warnings=kept.warnings)


def _lay_out(
    artifact: ArtifactBuild, wheels: Sequence[Wheel], project: PlainProject | None
) -> _Laid:
    from lambda_build_plugin.stage.filters import filtered_by

    settings = artifact.settings
    layouts = Layouts(artifact.context.cache)
    tree = stage(wheels, prefix=settings.prefix, project=project, layout_of=layouts.of)
    if settings.scripts:
        from lambda_build_plugin.stage.scripts import with_scripts

        tree = with_scripts(tree, settings.target.runtime)
    kept = filtered_by(
        settings,
        tree,
    )
    check_names(kept.tree.entries)
    return _Laid(
        tree=kept.tree,
        unfiltered=tree,
        excluded=kept.excluded,
        # The patterns were already applied to a source project when its files were listed,
        # so a pattern without a match means nothing here.
        warnings=kept.warnings if project is None else (),
    )


def _compile(artifact: ArtifactBuild, laid: _Laid) -> StagedTree:
    from lambda_build_plugin.stage.bytecode import with_bytecode

    return with_bytecode(
        laid.tree,
        full=laid.unfiltered,
        only=artifact.settings.bytecode_only,
        context=artifact.context,
        find_compiler=artifact.compiler,
    )


def _choose_files(artifact: ArtifactBuild, dependencies: Dependencies) -> Choice:
    """Say which files of a source project ship, and which belong to this build."""
    from lambda_build_plugin.stage.project_walk import Choice

    settings = artifact.settings
    root = settings.project.root
    output = settings.zip_path(settings.project.version).resolve()
    paths = (
        *(settings.unpacked, settings.lock, settings.host.cache_dir),
        *(each.path for each in settings.layer_files),
    )
    apart = {
        output,
        # The artifacts for other targets, which earlier builds wrote to the same folder.
        *(output.parent.glob("*.zip") if output.parent != root else ()),
        *(path.resolve() for path in paths if path is not None),
        *(dependencies.lock.folders if dependencies.lock else ()),
    }
    return Choice(
        include=settings.include,
        exclude=settings.exclude,
        handler=settings.handler,
        apart=frozenset(apart - {root, *root.parents}),
    )
