"""`PythonLayerVersion`: a layer of Lambda that is built from a locked project."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from aws_cdk import aws_lambda as lambda_

from lambda_build_plugin.cdk.bundling import BundlingOptions
from lambda_build_plugin.cdk.code import build, failed, show
from lambda_build_plugin.cdk.request import Request
from lambda_build_plugin.config.settings import Layout
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from constructs import Construct

    from lambda_build_plugin.cdk.code import Built

__all__ = ["PythonLayerVersion"]


class PythonLayerVersion(lambda_.LayerVersion):  # type: ignore[misc]
    """A layer of Lambda that is built from a locked project.

    Args:
        scope: The stack.
        id: Of the construct.
        entry: The folder of the project.
        compatible_runtimes: What the layer has to work on; by default the runtime that the
            project names. The layer is built for each, and has to be the same for all.
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
        bundling: BundlingOptions | None = None,
        **props: Any,
    ) -> None:
        requests = [
            Request(
                entry=entry,
                layout=Layout.LAYER,
                runtime=runtime.name if runtime else None,
                architecture=architecture.name if architecture else None,
                bundling=bundling or BundlingOptions(),
            )
            for runtime, architecture in product(
                compatible_runtimes or [None], compatible_architectures or [None]
            )
        ]
        built = _the_same(scope, [build(scope, request) for request in requests])
        if built.report is not None:
            compatible_runtimes = compatible_runtimes or [_runtime(built.report["runtime"])]
            compatible_architectures = compatible_architectures or [
                _architecture(built.report["architecture"])
            ]
        super().__init__(
            scope,
            id,
            code=built.code,
            compatible_runtimes=compatible_runtimes,
            compatible_architectures=compatible_architectures,
            **props,
        )
        show(self, built)


def _the_same(scope: Construct, results: Sequence[Built]) -> Built:
    """Check that a layer is the same for all of its targets, and give that one."""
    problem = next((built for built in results if built.problem is not None), None)
    if problem is not None:
        return problem
    reports = [built.report for built in results if built.report is not None]
    if len({report["sha256"] for report in reports}) > 1:
        targets = ", ".join(f"{each['runtime']} {each['architecture']}" for each in reports)
        error = SettingsError(
            [f"the files of the layer are not the same for {targets}"],
            hint="make one PythonLayerVersion for each of them",
        )
        return failed(scope, error)
    return results[0]


def _runtime(name: str) -> lambda_.Runtime:
    return lambda_.Runtime(name, lambda_.RuntimeFamily.PYTHON)


def _architecture(name: str) -> lambda_.Architecture:
    by_name = {
        each.name: each for each in (lambda_.Architecture.X86_64, lambda_.Architecture.ARM_64)
    }
    return by_name[name]
