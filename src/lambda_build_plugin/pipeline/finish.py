"""A staged tree → a verified zip and its report."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin import report
from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.config.project import metadata_requirements
from lambda_build_plugin.config.settings import Contents, Layout
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.pipeline.empty_project import warn_of_empty_project
from lambda_build_plugin.pipeline.outputs import check_zip
from lambda_build_plugin.pipeline.plan import (
    UnusablePlanError,
    keep_plan,
    own_names,
    write_by_plan,
)
from lambda_build_plugin.pipeline.surroundings import get_surroundings
from lambda_build_plugin.runtime.sdk import SDK
from lambda_build_plugin.stage.contents import contents, write_folder
from lambda_build_plugin.system.output import writing
from lambda_build_plugin.system.threads import map_in_threads
from lambda_build_plugin.verify import sizes, view
from lambda_build_plugin.verify.checks import check_contents
from lambda_build_plugin.verify.closure import Word
from lambda_build_plugin.verify.findings import StrictError, raised
from lambda_build_plugin.verify.written import check_archive, check_directory, read_again
from lambda_build_plugin.wheel.file import check_unchanged

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.pipeline.decision import Dependencies
    from lambda_build_plugin.pipeline.plan import Plan
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.staging import StagedArtifact
    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.stage.tree import Entry, StagedTree
    from lambda_build_plugin.verify.sizes import Saving

__all__ = ["finish"]


def finish(
    artifact: ArtifactBuild, dependencies: Dependencies, staged: StagedArtifact
) -> BuildReport:
    """Write the zip beside its final path, verify it, and report it.

    The run moves it into place, together with all other artifacts.

    Raises:
        SettingsError: The zip is named in its own `provided-by`.
        StageError: The zip or the unpacked files cannot be written, or a file has changed
            since it was checked.
        VerificationError: The zip breaks a rule of Lambda's or of the lock's.
    """
    settings, run = artifact.settings, artifact.run
    output = settings.zip_path(staged.version)
    _check_own_provider(settings, output)
    if output != settings.zip_path(settings.project.version):  # only known now
        check_zip(settings, output)
    warnings = [
        *settings.target.warnings(settings.host.today),
        *dependencies.warnings,
        *artifact.context.cache.warnings,
        *staged.warnings,
        *_check_tree(artifact, staged),
        *warn_of_empty_project(staged.with_sources, dependencies),
    ]
    temporary = run.outputs.place(output)
    with artifact.clock.stage("archive"), writing(output):
        written = _write(artifact, staged, temporary, dependencies)
        changed = run.outputs.compare(temporary)
    expected = _expect(artifact, dependencies)
    savings = _find_savings(staged.tree, written, dependencies.plan)
    warnings += _verify(artifact, dependencies, staged, written, expected, savings)
    if settings.strict and warnings:
        raise StrictError(warnings)
    _register(artifact, staged, written, expected)
    _write_unpacked(artifact, staged)
    lock = dependencies.lock
    return report.make(
        report.BuildResult(
            settings=settings,
            tree=staged.tree,
            written=written,
            artifact=output,
            changed=changed,
            lock=lock.path if lock else None,
            left_out=dependencies.left_out,
            excluded=staged.excluded,
            savings=_worth_telling(savings),
            warnings=warnings,
            seconds=artifact.clock.seconds,
        )
    )


def _write(
    artifact: ArtifactBuild, staged: StagedArtifact, path: Path, dependencies: Dependencies
) -> Written:
    """Write the zip, and check that all that was copied is what it must be.

    Raises:
        StageError: A file has changed since it was checked.
        UnusablePlanError: What was copied by the plan is not what the plan says.
    """
    tree, epoch, plan = staged.tree, artifact.settings.epoch, dependencies.plan
    if plan is None:
        own = own_names(tree) if dependencies.can_have_plan else None
        written = write_archive(
            tree, path, epoch=epoch, own=own, in_thread=not artifact.run.is_among_others
        )
    else:
        try:
            written = write_by_plan(artifact, tree, path, plan)
        except UnusablePlanError:
            artifact.run.outputs.discard(path)
            raise
    map_in_threads(
        lambda each: check_unchanged(each[0], each[1], shown=each[2]),
        [*tree.archives],
        threads=1 if artifact.run.is_among_others else os.cpu_count() or 1,
    )
    return written


def _find_savings(
    tree: StagedTree, written: Written, plan: Plan | None
) -> Counter[tuple[str, str]] | None:
    """Find what would make a large zip smaller; None for a small one.

    A plan remembers it for the dependencies.
    """
    if not sizes.is_large(unzipped=tree.size, zipped=written.size):
        return None
    # Not loaded for a small zip.
    from lambda_build_plugin.verify.savings import all_savings

    if plan is None:
        return all_savings(tree)
    assert plan.savings is not None  # noqa: S101 - or the zip would not have been written by it
    return plan.savings + all_savings(replace(tree, entries=tree.not_packed))


def _worth_telling(savings: Counter[tuple[str, str]] | None) -> Sequence[Saving]:
    if savings is None:
        return ()
    from lambda_build_plugin.verify.savings import worth_telling

    return worth_telling(savings)


def _check_own_provider(settings: Settings, output: Path) -> None:
    """Reject `provided-by` entries that name this artifact's own zip.

    The settings have been checked for it already, but the path of a zip may contain a
    version that is only known after the build.

    Raises:
        SettingsError: It is named in `provided-by`.
    """
    for item in settings.provided_by:
        if isinstance(item, Path) and item.resolve() == output.resolve():
            raise SettingsError(
                [f"provided-by: an artifact cannot provide itself: {item} is its own zip"],
                hint="name the zip of a layer that the function has",
            )


def _check_tree(artifact: ArtifactBuild, staged: StagedArtifact) -> Sequence[str]:
    """Check the sizes before anything is written, and return the warnings."""
    with artifact.clock.stage("verify"):
        return sizes.check_tree(
            staged.tree,
            layer=artifact.settings.layout is Layout.LAYER,
            beside={provider.label: provider.size for provider in artifact.providers},
        )


def _expect(artifact: ArtifactBuild, dependencies: Dependencies) -> Word:
    """Gather what the user has decided about the distributions that ship.

    An artifact with the project alone may lack all requirements, unless `provided-by` names
    its layers. Then they must have all of them, except for the SDK and for what the user
    left out of the layers.
    """
    settings, providers = artifact.settings, artifact.providers
    project = settings.project.name
    lock = dependencies.lock
    only_project = settings.contents is Contents.PROJECT
    left_out = dependencies.skipped | settings.provided | (lock.overridden if lock else frozenset())
    if not artifact.ships_project:
        left_out |= {project}
    unchecked = lock.rewritten if lock else frozenset()
    if (only_project and not providers) or not settings.main:
        unchecked |= {project}
    return Word(
        extras={project: settings.extras},
        left_out=left_out.union(*(provider.left_out for provider in providers)),
        doubtful=SDK if only_project and providers else frozenset(),
        on_their_own=unchecked,
    )


def _verify(
    artifact: ArtifactBuild,
    dependencies: Dependencies,
    staged: StagedArtifact,
    written: Written,
    expected: Word,
    savings: Counter[tuple[str, str]] | None,
) -> Sequence[str]:
    """Read the zip again, check it against the tree and the target, and return the warnings.

    Raises:
        VerificationError: With every check that fails.
    """
    settings = artifact.settings
    with (
        artifact.clock.stage("verify"),
        _looking(artifact, staged, written, dependencies.plan) as shown,
    ):
        findings = check_contents(
            _with_source_project(shown, artifact, staged),
            settings.target,
            expected,
            handler=settings.handler if settings.layout is Layout.FUNCTION else None,
            beside=[view.provider(each, settings.target) for each in artifact.providers],
            surroundings=get_surroundings(artifact, dependencies, staged),
        )
        for note in findings.notes:
            artifact.run.reporter.note(note)
        warnings = (*sizes.large_zip(written.size), *raised(findings))
        if dependencies.can_have_plan:
            keep_plan(artifact, staged, written, shown, savings)
    return warnings


@contextmanager
def _looking(
    artifact: ArtifactBuild, staged: StagedArtifact, written: Written, plan: Plan | None
) -> Iterator[view.ArtifactView]:
    """Read the zip again and compare it with the tree; yield what is in it."""
    if plan is not None:
        check_directory(written)
        yield _planned_view(artifact, staged, written, plan)
        return
    with read_again(written.path) as archive:
        check_archive(staged.tree, archive)
        yield view.artifact_of(
            staged.tree, archive, staged.machine_code, before=staged.with_sources
        )


def _planned_view(
    artifact: ArtifactBuild, staged: StagedArtifact, written: Written, plan: Plan
) -> view.ArtifactView:
    """Look at a planned zip; artifacts of a run that have the same content share the view."""
    views = artifact.run.views
    key = (written.sha256, tuple(each.wheel for each in staged.tree.distributions))
    if key not in views:
        views[key] = view.packed_artifact(
            staged.tree,
            written,
            staged.machine_code,
            code=plan.code,
            distributions=plan.distributions,
            source=_source_reader(staged),
        )
    return views[key]


def _source_reader(staged: StagedArtifact) -> Callable[[str], bytes | None]:
    """Read the sources of modules whose bytecode alone ships.

    Those of the user's own modules are always read, and hardly ever those of others.
    """
    own = {f"{entry.path}c": entry for entry in staged.with_sources.entries}

    @cache
    def others() -> Mapping[str, Entry]:
        return {f"{entry.path}c": entry for entry in staged.find_unfiltered().entries}

    def read(path: str) -> bytes | None:
        entry = own.get(path) or others().get(path)
        return None if entry is None else b"".join(contents([entry]))

    return read


def _with_source_project(
    shown: view.ArtifactView, artifact: ArtifactBuild, staged: StagedArtifact
) -> view.ArtifactView:
    """Add a project that ships as source, so that its requirements are checked too."""
    project = artifact.settings.project
    if staged.tree.project is None or project.dependencies is None:
        return shown
    itself = view.Shipped(
        name=project.name,
        version=None,
        shown=project.name,
        requires=tuple(map(str, metadata_requirements(project))),
    )
    return replace(shown, distributions=(*shown.distributions, itself))


def _register(
    artifact: ArtifactBuild, staged: StagedArtifact, written: Written, expected: Word
) -> None:
    """Let later artifacts of the run name this one in `provided-by`."""
    settings = artifact.settings
    if settings.artifact is None:
        return
    from lambda_build_plugin.selection.provided import Provider

    wheels = [distribution.wheel for distribution in staged.tree.distributions]
    artifact.run.built[settings.artifact, settings.target] = Provider(
        label=f"`{settings.artifact}`",
        path=written.path,
        size=staged.tree.size,
        versions={wheel.name: str(wheel.version) for wheel in wheels},
        digests={wheel.name: wheel.sha256 for wheel in wheels},
        left_out=expected.left_out,
    )


def _write_unpacked(artifact: ArtifactBuild, staged: StagedArtifact) -> None:
    """Write the files into the folder that `unpacked` names, if it names one."""
    unpacked = artifact.settings.unpacked
    if unpacked is not None:
        folder = artifact.run.outputs.place(unpacked)
        with artifact.clock.stage("unpack"), writing(unpacked):
            write_folder(staged.tree, folder)
