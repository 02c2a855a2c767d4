"""Locked packages → wheels: selection, fetch, and a build for each package without a wheel."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SourceBuildError
from lambda_build_plugin.fetch.configuration import HostIndexes, read_sources
from lambda_build_plugin.fetch.fetcher import Fetcher, Receiver
from lambda_build_plugin.pipeline.examining import examining
from lambda_build_plugin.pipeline.selecting import check_sizes, select_files
from lambda_build_plugin.selection.explain import NoMatchingFileError, explain
from lambda_build_plugin.selection.wheel_choice import best_wheel
from lambda_build_plugin.source_build.foresight import check_sources
from lambda_build_plugin.source_build.wheels import build_archive, build_commit, build_folder
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lambda_build_plugin.fetch.fetcher import Fetched
    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.examining import Examination
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.selection.files import Selection
    from lambda_build_plugin.selection.left_out import LeftOut
    from lambda_build_plugin.selection.wheel_choice import Selected
    from lambda_build_plugin.source_build.context import BuildContext

__all__ = ["LockedWheels", "get_locked_wheels", "make_fetcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedWheels:
    """The wheels of some locked packages, and the packages that have none to ship."""

    wheels: tuple[Wheel, ...]
    left_out: tuple[LeftOut, ...]
    can_have_plan: bool = False
    """Whether all wheels are files that the lock vouches for, but for those of local folders."""


def make_fetcher(artifact: ArtifactBuild, lock: Lock, *, offline: bool = False) -> Fetcher:
    """Make a fetcher for the indexes of a lock, as the user has configured them."""
    settings, context = artifact.settings, artifact.context
    return Fetcher(
        read_sources(
            lock.indexes,
            environ=settings.host.environ,
            home=settings.host.home,
            project=settings.project.root,
            host=HostIndexes(
                access=settings.find_access(),
                are_all=settings.access_is_all,
                installers=settings.installers,
            ),
        ),
        context.cache,
        reporter=context.reporter,
        offline=offline or settings.offline,
        jobs=settings.jobs,
    )


def get_locked_wheels(
    artifact: ArtifactBuild,
    packages: Sequence[LockedPackage],
    fetcher: Fetcher,
    selection: Selection | None = None,
) -> LockedWheels:
    """Select one file of each package, fetch all of them, and build those that are sources.

    Raises:
        LambdaBuildError: A package has no file for the target, or cannot be fetched or built.
    """
    target = artifact.settings.target
    if selection is None:
        with artifact.clock.stage("select"), _naming_locations(fetcher):
            selection = select_files(artifact, fetcher.named(packages, target))
    check_sources(
        [item.package for item in selection.files if not item.is_wheel],
        artifact.context,
        fetcher.listed_filenames,
    )
    check_sizes(artifact.settings, selection.files)
    can_have_plan = not selection.commits and all(item.is_wheel for item in selection.files)
    with artifact.clock.stage("fetch"), examining(artifact.context.cache) as examination:
        fetched = fetcher.fetch(
            selection.files,
            receiver=_WheelReceiver(examination),
            meanwhile=artifact.prepare_project_wheel,
        )
    return LockedWheels(
        wheels=(
            *(_wheel_of(item) for item in fetched if item.selected.is_wheel),
            *_build_sources(artifact, selection, fetched),
        ),
        left_out=selection.left_out,
        can_have_plan=can_have_plan,
    )


class _WheelReceiver(Receiver):
    """Passes on the wheels among the files that are downloaded."""

    def __init__(self, examination: Examination) -> None:
        self._examination = examination

    def begin(self, selected: Selected) -> Callable[[bytes], None]:
        if not selected.is_wheel:
            return super().begin(selected)
        return self._examination.receive(selected.filename)

    def complete(self, fetched: Fetched) -> None:
        if fetched.selected.is_wheel:
            self._examination.take(_wheel_of(fetched))


@contextmanager
def _naming_locations(fetcher: Fetcher) -> Iterator[None]:
    """Add to the error for a pin without hashes which indexes were searched, and which not."""
    try:
        yield
    except NoMatchingFileError as error:
        asked = [(str(package), fetcher.asked_for(package)) for package in error.packages]
        error.why += "".join(
            f"\nlocations searched for {name}:\n{lines}" for name, lines in asked if lines
        )
        raise


def _wheel_of(fetched: Fetched) -> Wheel:
    return Wheel.of(
        fetched.path, sha256=fetched.sha256, source="wheel", filename=fetched.selected.filename
    )


def _build_sources(
    artifact: ArtifactBuild, selection: Selection, fetched: Sequence[Fetched]
) -> list[Wheel]:
    """Build the selected source archives, commits and folders, one after the other."""
    context = artifact.context
    archives = [item for item in fetched if not item.selected.is_wheel]
    if not (archives or selection.folders or selection.commits):
        return []
    with artifact.clock.stage("build"):
        wheels = []
        for item in archives:
            with _explaining_build(item.selected.package, context):
                wheels.append(build_archive(item, context))
        wheels += [build_commit(*item, context) for item in selection.commits]
        wheels += [build_folder(*item, context) for item in selection.folders]
    return wheels


@contextmanager
def _explaining_build(package: LockedPackage, context: BuildContext) -> Iterator[None]:
    """Explain in a note and in an error why a package is built although it has wheels.

    Raises:
        SourceBuildError: The build fails; why it was necessary comes before its own reason.
    """
    context.reporter.building(str(package))
    if not package.wheels:
        yield
        return
    loads = best_wheel(package, context.target) is not None
    if loads:
        forbidden_by = context.policy.forbids_wheel(package.name)
        headline, reason = f"{forbidden_by} forbids its wheels", ""
        context.reporter.note(f"{package}: {headline}")
    else:
        headline = f"none of its wheels loads on {context.target}"
        reason = f"{explain(package, context.target)}\n"
        context.reporter.note(reason.rstrip())
    try:
        yield
    except SourceBuildError as error:
        error.why = f"{headline}\n{reason}\n{error.why}"
        if loads:
            raise
        error.hint += "; to get a list of all such packages instead, use `only-binary`"
        raise
