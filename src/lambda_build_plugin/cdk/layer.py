"""`PythonLayerVersion`: a layer of Lambda that is built from a locked project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from aws_cdk import aws_lambda as lambda_

from lambda_build_plugin.cdk.code import Built, build, show
from lambda_build_plugin.cdk.request import Request, name_of
from lambda_build_plugin.config.settings import Layout
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from constructs import Construct

    from lambda_build_plugin.cdk.bundling import Bundling
    from lambda_build_plugin.report import BuildReport

__all__ = ["PythonLayerVersion"]

_ANY = "-none-any.whl"


class PythonLayerVersion(lambda_.LayerVersion):  # type: ignore[misc]
    """A layer of Lambda that is built from a locked project.

    Args:
        scope: The stack.
        id: Of the construct.
        entry: The folder of the project.
        compatible_runtimes: What the layer has to work on; it is built for each of them, and
            has to be the same for all. By default, it is built for the runtime that the
            project names, and compatible with all for which it is the same.
        compatible_architectures: The same for architectures.
        bundling: How the layer is built.
        props: All other properties of `aws_lambda.LayerVersion`.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - as all constructs call it
        *,
        entry: str | os.PathLike[str],
        compatible_runtimes: Sequence[lambda_.Runtime] | None = None,
        compatible_architectures: Sequence[lambda_.Architecture] | None = None,
        bundling: Bundling = None,
        **props: Any,
    ) -> None:
        request = Request(entry=entry, layout=Layout.LAYER, bundling=bundling)
        named = _Targets(
            runtimes=[name_of(each, lambda_.Runtime) for each in compatible_runtimes or ()],
            architectures=[
                name_of(each, lambda_.Architecture) for each in compatible_architectures or ()
            ],
        )
        built, targets = _build_for_all(scope, request, named)
        super().__init__(
            scope,
            id,
            code=built.code(scope),
            compatible_runtimes=compatible_runtimes or [*map(_runtime, targets.runtimes)] or None,
            compatible_architectures=[*map(_architecture, targets.architectures)] or None,
            **props,
        )
        show(self, built)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    """Names of runtimes and architectures; empty where nobody has named any."""

    runtimes: Sequence[str]
    architectures: Sequence[str]


def _build_for_all(scope: Construct, request: Request, named: _Targets) -> tuple[Built, _Targets]:
    """Build a layer for each target, and find out what it works on if nobody said so."""
    unnamed = (None,)
    results = [
        build(scope, replace(request, runtime=runtime, architecture=architecture))
        for runtime, architecture in product(
            named.runtimes or unnamed, named.architectures or unnamed
        )
    ]
    problem = next((built for built in results if built.problem is not None), None)
    if problem is not None:
        return problem, named
    reports = [built.report for built in results if built.report is not None]
    if not reports:
        return results[0], named
    if len({report["sha256"] for report in reports}) > 1:
        targets = ", ".join(f"{each['runtime']} {each['architecture']}" for each in reports)
        error = SettingsError(
            [f"the files of the layer are not the same for {targets}"],
            hint="make one PythonLayerVersion for each of them",
        )
        return Built(problem=error), named
    return results[0], _compatible(scope, request, reports[0], named)


def _compatible(
    scope: Construct, request: Request, report: BuildReport, named: _Targets
) -> _Targets:
    """Find the targets for which the layer is the same, byte for byte.

    A layer with code for one Python or one machine is built for no other target, and neither
    is one with commands, which may do anything.
    """
    runtimes, architectures = [report["runtime"]], [report["architecture"]]
    files = [package["file"] for package in report["packages"]]
    is_pure = all(file.endswith(_ANY) for file in files if file)
    if is_pure and request.options.command_hooks is None:
        runtimes = [each.name for each in RUNTIMES.values() if not each.preview]
        architectures = [each.value for each in Architecture]
    settings = {**(request.options.settings or {}), "only_binary": True}
    cautious = replace(request, bundling=replace(request.options, settings=settings))

    def is_same(runtime: str, architecture: str) -> bool:
        built = build(scope, replace(cautious, runtime=runtime, architecture=architecture))
        return built.report is not None and built.report["sha256"] == report["sha256"]

    architectures = [*named.architectures] or [
        each
        for each in architectures
        if each == report["architecture"] or is_same(report["runtime"], each)
    ]
    runtimes = [*named.runtimes] or [
        each
        for each in runtimes
        if each == report["runtime"] or all(is_same(each, other) for other in architectures)
    ]
    return _Targets(runtimes=runtimes, architectures=architectures)


def _runtime(name: str) -> lambda_.Runtime:
    """Find the runtime that CDK has, since it takes one that is made here for another one."""
    constant = name.upper().replace("PYTHON", "PYTHON_").replace(".", "_")
    made = lambda_.Runtime(name, lambda_.RuntimeFamily.PYTHON)
    return getattr(lambda_.Runtime, constant, made)


def _architecture(name: str) -> lambda_.Architecture:
    both = (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)
    return {each.name: each for each in both}[name]
