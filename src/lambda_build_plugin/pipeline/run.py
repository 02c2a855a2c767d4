"""A run and the build of each of its artifacts: what stages share, so that it is done once."""

from __future__ import annotations

import tempfile
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.build_policy import ALL, BuildPolicy, format_rules
from lambda_build_plugin.config.settings import Contents, Form
from lambda_build_plugin.pipeline.host import open_cache
from lambda_build_plugin.progress import Clock
from lambda_build_plugin.source_build.context import BuildContext
from lambda_build_plugin.source_build.in_process import load_backend
from lambda_build_plugin.source_build.policy import read_policy
from lambda_build_plugin.source_build.wheels import build_project, build_project_once
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.config.settings import Command, Settings
    from lambda_build_plugin.lock.model import Lock
    from lambda_build_plugin.pipeline.noted_choice import NotedLock
    from lambda_build_plugin.pipeline.plan import Plan
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.runtime.target import Runtime, Target
    from lambda_build_plugin.selection.provided import Provider
    from lambda_build_plugin.system.interpreters import Interpreter
    from lambda_build_plugin.system.output import Outputs
    from lambda_build_plugin.system.sharing import SharedFolder
    from lambda_build_plugin.verify.view import ArtifactView
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["ArtifactBuild", "Run", "settings_policy"]


@dataclass(kw_only=True)
class Run:
    """One call of `build_all`, and what has been done in it so far."""

    folder: Path
    """For temporary files that are needed until all artifacts are written."""

    reporter: Reporter
    builder: Callable[[Path], object] | None
    """Writes the project's wheel into a folder, if the host is the project's build backend."""

    outputs: Outputs
    """Moves all artifacts into place when the run ends, or none of them after a failure."""

    scratch: Path | None = None
    """For the temporary files of builds from source, one after the other; None to make a folder
    for each."""

    shared: SharedFolder
    """For what is made once: in this run, or in all runs of several projects."""

    locks: dict[Path, Lock] = field(default_factory=dict)
    lock_hashes: dict[Path, str] = field(default_factory=dict)
    """The sha256 of each lock, taken before it was read."""

    policies: dict[Path | None, BuildPolicy] = field(default_factory=dict)
    """What the user's tools prescribe for builds, by the path of the lock."""

    project_wheels: dict[Target, Wheel] = field(default_factory=dict)
    built: dict[tuple[str, Target], Provider] = field(default_factory=dict)
    """The artifacts that are written, by name and target."""

    plans: dict[str, Plan] = field(default_factory=dict)
    """How dependencies lie in a zip, by everything that this depends on."""

    written: dict[tuple[str, str], Written] = field(default_factory=dict)
    """Finished zips by their plan and their other files, for artifacts with the same content."""

    views: dict[tuple[bytes, tuple[Wheel, ...]], ArtifactView] = field(default_factory=dict)
    """What planned zips hold, by their sha256 and the wheels in them."""

    is_among_others: bool = False
    """Whether other processes that build keep all processors busy."""

    first_targets: dict[Runtime, Target] = field(default_factory=dict)
    """The target that the project's wheel is built for first, by runtime; only filled if other
    processes build some of the project's artifacts, so that all of them use the same wheel."""

    compilers: dict[tuple[int, int], Interpreter] = field(default_factory=dict)
    """The Pythons that compile bytecode, by version."""

    hooks: set[tuple[Command, ...]] = field(default_factory=set)
    """The `before-build` commands that have run."""

    def providers(self, settings: Settings) -> tuple[Provider, ...]:
        """Get the artifacts that `provided-by` names: built in this run, or read from a zip.

        Raises:
            SettingsError: A zip cannot be read.
        """
        return tuple(
            self.built[item, settings.target]
            if isinstance(item, str)
            else _read_artifact(item, settings.target)
            for item in settings.provided_by
        )

    def project_wheel(self, target: Target) -> Wheel | None:
        """Get the project's wheel if one that is already built works on the target.

        A wheel for any platform works on all targets with the same Python version.
        """
        for other, wheel in self.project_wheels.items():
            if other == target or (
                other.runtime == target.runtime and wheel.filename.endswith("-any.whl")
            ):
                return wheel
        return None


@dataclass(frozen=True, kw_only=True)
class ArtifactBuild:
    """The build of one artifact: what each stage needs to know beside its input."""

    settings: Settings
    run: Run
    context: BuildContext
    """For wheels that are built from source, with the cache and the temporary folder."""

    clock: Clock
    providers: tuple[Provider, ...]
    """Artifacts that will be installed together with this one (`provided-by`)."""

    @classmethod
    def start(cls, settings: Settings, run: Run) -> ArtifactBuild:
        """Prepare the build of one artifact of a run.

        Raises:
            SettingsError: A zip that `provided-by` names cannot be read.
        """
        host = settings.host
        folder = Path(tempfile.mkdtemp(dir=run.folder))
        names = (settings.project.name, settings.artifact, str(settings.target))
        run.reporter.artifact(" ".join(filter(None, names)))
        return cls(
            settings=settings,
            run=run,
            context=BuildContext(
                target=settings.target,
                folder=folder,
                scratch=run.scratch,
                cache=open_cache(host, folder, shared=run.shared),
                home=host.home,
                environ=host.environ,
                build_environment=settings.build_environment,
                cross_compile=settings.cross_compile,
                offline=settings.offline,
                reporter=run.reporter,
                # The commands of the user may change what is built.
                shared=None if settings.hooks.before_build else run.shared,
            ),
            clock=Clock(run.reporter),
            providers=run.providers(settings),
        )

    def with_policy_of(self, lock: Lock | NotedLock | None) -> ArtifactBuild:
        """Let builds from source follow what the lock, the settings and the tools prescribe.

        Raises:
            SettingsError: A configuration file cannot be read.
        """
        settings, host = self.settings, self.settings.host
        policies, path = self.run.policies, lock.path if lock else None
        if path not in policies:
            policies[path] = read_policy(
                settings.project, lock, environ=host.environ, home=host.home
            )
        context = replace(self.context, policy=settings_policy(settings).joined(policies[path]))
        return replace(self, context=context)

    def compiler(self) -> Interpreter:
        """Find the Python that compiles bytecode.

        Raises:
            NoInterpreterError: This machine has no Python of the runtime's version.
        """
        python, host = self.settings.target.runtime.python, self.settings.host
        compilers = self.run.compilers
        if python not in compilers:
            # Not loaded by a build without bytecode.
            from lambda_build_plugin.system.interpreters import find_interpreter

            compilers[python] = find_interpreter(
                python, environ=host.environ, home=host.home, need="bytecode"
            )
        return compilers[python]

    @property
    def ships_project(self) -> bool:
        """Whether the project's own code is in the artifact."""
        return self.settings.contents is not Contents.DEPENDENCIES

    def project_wheel(self) -> Wheel:
        """Get the project's wheel; it is built when it is first requested.

        Raises:
            SourceBuildError: The build fails.
        """
        run, target = self.run, self.settings.target
        built = run.project_wheel(target)
        if built is None:
            with self.clock.stage("build"):
                built = self._build_project(run.first_targets.get(target.runtime))
            run.project_wheels[target] = built
        return built

    def _build_project(self, first: Target | None) -> Wheel:
        project = self.settings.project
        if first is None:
            return build_project(project, self.context, builder=self.run.builder)
        return build_project_once(project, self.context, first=first)

    def prepare_project_wheel(self) -> None:
        """Do what can be done ahead for the project's wheel, while something else is waited for."""
        settings, run = self.settings, self.run
        is_wanted = self.ships_project and settings.form is Form.WHEEL
        if is_wanted and run.builder is None and run.project_wheel(settings.target) is None:
            load_backend(settings.project, self.context.policy.settings_for(settings.project.name))


def settings_policy(settings: Settings) -> BuildPolicy:
    """Write what the settings say about builds from source as a policy."""
    return BuildPolicy(
        rules=(
            format_rules("`only-binary`", only_binary=[ALL] if settings.only_binary else ()),
            format_rules("`no-binary`", no_binary=settings.no_binary),
        )
    )


def _read_artifact(path: Path, target: Target) -> Provider:
    # Not loaded by a build that names no zip in `provided-by`.
    from lambda_build_plugin.selection.provided import read_artifact

    return read_artifact(path, target)
