"""A project → the built function to run, with the layers that its settings name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Layout
from lambda_build_plugin.errors import SettingsError, quoted
from lambda_build_plugin.invoke.feasible import own_machine
from lambda_build_plugin.pipeline.build import build_all
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.runtime.target import Runtime

__all__ = ["BuiltFunction", "build_function"]


@dataclass(frozen=True, kw_only=True)
class BuiltFunction:
    """A function that was built, and what goes with it."""

    name: str
    artifact: Path
    layers: tuple[Path, ...]
    handler: str | None
    runtime: Runtime
    architecture: Architecture
    warnings: tuple[str, ...]


def build_function(
    artifacts: Sequence[Settings], name: str | None, reporter: Reporter
) -> BuiltFunction:
    """Build the function of a project, and what it is provided by.

    Args:
        artifacts: All that the project builds.
        name: Of the artifact; None for the only function among them.
        reporter: Is told about each step.

    Raises:
        SettingsError: There is no function, or several of them.
        LambdaBuildError: The build fails. Nothing is left behind.
    """
    chosen = _choose(artifacts, name)
    wanted = [each for each in artifacts if each is chosen or _provides(each, chosen, artifacts)]
    reports = build_all(wanted, reporter)
    report = reports[wanted.index(chosen)]
    built = {
        each.artifact: Path(found["artifact"]) for each, found in zip(wanted, reports, strict=True)
    }
    parts = (chosen.project.name, chosen.artifact)
    return BuiltFunction(
        name="-".join(part for part in parts if part),
        artifact=Path(report["artifact"]),
        layers=tuple(built[item] if isinstance(item, str) else item for item in chosen.provided_by),
        handler=report["handler"],
        runtime=RUNTIMES[report["runtime"]],
        architecture=Architecture(report["architecture"]),
        warnings=tuple(warning for each in reports for warning in each["warnings"]),
    )


def _choose(artifacts: Sequence[Settings], name: str | None) -> Settings:
    """Choose the function; of several architectures, that of this machine."""
    functions = [
        each
        for each in artifacts
        if each.layout is Layout.FUNCTION and name in {None, each.artifact}
    ]
    if not functions:
        what = f"the artifact `{name}` is" if name else "what the project builds is"
        raise SettingsError(
            [f"{what} a layer, which has no handler"], hint="name a function with `--artifact`"
        )
    fitting = [each for each in functions if each.target.architecture.machine == own_machine()]
    if len(functions) > 1 and len(fitting) == 1:
        return fitting[0]
    if len(functions) > 1:
        raise SettingsError(
            [f"the project builds {len(functions)} functions: {quoted(_labels(functions))}"],
            hint="choose one with `--artifact`, `--runtime` or `--arch`",
        )
    return functions[0]


def _labels(functions: Sequence[Settings]) -> Iterator[str]:
    for each in functions:
        yield " for ".join(part for part in (each.artifact, str(each.target)) if part)


def _provides(settings: Settings, chosen: Settings, artifacts: Sequence[Settings]) -> bool:
    """Tell whether an artifact is needed for another one, or for one that provides for it."""
    todo, seen = list(chosen.provided_by), set()
    while todo:
        name = todo.pop()
        if name in seen or not isinstance(name, str):
            continue
        seen.add(name)
        same = (
            each for each in artifacts if each.artifact == name and each.target == chosen.target
        )
        for each in same:
            if each is settings:
                return True
            todo += each.provided_by
    return False
