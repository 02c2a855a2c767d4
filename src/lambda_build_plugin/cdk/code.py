"""A project → the code of a function or a layer, built once for equal input.

The zip is only needed until CDK has copied it into the cloud assembly, so it lies in a
temporary folder; where CDK is told not to copy assets, it lies beside the assembly.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import Annotations, Stack, Stage
from aws_cdk import aws_lambda as lambda_

import lambda_build_plugin
from lambda_build_plugin.cdk.bundling import check_bundling, environment_of, keywords_of
from lambda_build_plugin.cdk.request import Request, name_of, read_settings
from lambda_build_plugin.config.settings import Contents, Layout
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.stage.source_files import NoCodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from lambda_build_plugin.cdk.bundling import Bundling
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.report import BuildReport

__all__ = ["Built", "LambdaBuild", "build", "show"]

_NO_STAGING = "aws:cdk:disable-asset-staging"
_WARNING = "lambda-build-plugin:warning"
_NOT_BUILT = "LambdaBuildNotBuilt"

_finished: dict[str, BuildReport | LambdaBuildError] = {}
"""What this process has built, or why it could not, by all that the build depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The result of a request: what was built, or the reason why it could not be."""

    report: BuildReport | None = None
    problem: LambdaBuildError | None = None
    """Both are None in a stack that CDK does not want to have built."""

    asset_hash: str | None = None
    """Identifies the asset instead of the sha256 of its zip."""

    @property
    def handler(self) -> str:
        """The handler of a function, which a template has to have even if nothing was built."""
        return (self.report and self.report["handler"]) or "not.built"

    def code(self, scope: Construct) -> lambda_.Code:
        """Make the code of a function or layer; there has to be some in any template."""
        if self.report is None:
            return _no_code(scope)
        asset_hash = self.asset_hash or self.report["sha256"]
        return lambda_.Code.from_asset(self.report["artifact"], asset_hash=asset_hash)


class LambdaBuild:
    """The code of a plain `aws_lambda.Function` or `aws_lambda.LayerVersion`."""

    @staticmethod
    def code(
        scope: Construct,
        entry: str | os.PathLike[str],
        *,
        runtime: lambda_.Runtime,
        architecture: lambda_.Architecture | None = None,
        handler: str | None = None,
        bundling: Bundling = None,
    ) -> lambda_.Code:
        """Build the code of a function.

        Args:
            scope: The stack; a build that fails is an error of it.
            entry: The folder of the project.
            runtime: The same as for the function.
            architecture: The same as for the function; by default x86_64.
            handler: `package.module.function`; by default it is not checked.
            bundling: How to build it.
        """
        request = Request(
            entry=entry,
            layout=Layout.FUNCTION,
            runtime=name_of(runtime, lambda_.Runtime),
            architecture=name_of(architecture or lambda_.Architecture.X86_64, lambda_.Architecture),
            handler=handler,
            is_handler_needed=False,
            bundling=bundling,
        )
        return _shown_code(scope, build(scope, request))

    @staticmethod
    def layer_code(
        scope: Construct,
        entry: str | os.PathLike[str],
        *,
        runtime: lambda_.Runtime | None = None,
        architecture: lambda_.Architecture | None = None,
        bundling: Bundling = None,
    ) -> lambda_.Code:
        """Build the code of a layer.

        Args:
            scope: The stack; a build that fails is an error of it.
            entry: The folder of the project.
            runtime: By default what the project says.
            architecture: By default what the project says.
            bundling: How to build it.
        """
        request = Request(
            entry=entry,
            layout=Layout.LAYER,
            runtime=name_of(runtime, lambda_.Runtime) if runtime else None,
            architecture=name_of(architecture, lambda_.Architecture) if architecture else None,
            bundling=bundling,
        )
        return _shown_code(scope, build(scope, request))


def show(scope: Construct, built: Built) -> None:
    """Make a failure an error of the construct, and warnings of the build its warnings."""
    notes = Annotations.of(scope)
    if built.problem is not None:
        # CDK writes its own word for an error before the text.
        notes.add_error(str(built.problem).removeprefix("error: "))
    for warning in built.report["warnings"] if built.report else ():
        notes.add_warning_v2(_WARNING, warning)


def _shown_code(scope: Construct, built: Built) -> lambda_.Code:
    show(scope, built)
    return built.code(scope)


def build(scope: Construct, request: Request) -> Built:
    """Build what a construct wants, unless CDK does not want the stack to be built.

    That is so for `cdk list` and `cdk destroy`, and for stacks that are not selected.
    """
    if not Stack.of(scope).bundling_required:
        return Built()
    try:
        report = _build_once(request, _folder(scope))
    except LambdaBuildError as error:
        return Built(problem=error)
    return Built(report=report, asset_hash=request.options.asset_hash)


def _no_code(scope: Construct) -> lambda_.Code:
    """Make code that no deployment would find."""
    from aws_cdk import aws_s3 as s3

    stack = Stack.of(scope)
    bucket = stack.node.try_find_child(_NOT_BUILT) or s3.Bucket.from_bucket_name(
        stack, _NOT_BUILT, _NOT_BUILT.lower()
    )
    return lambda_.Code.from_bucket(bucket, "not-built.zip", "not-built")


def _folder(scope: Construct) -> Path:
    """Choose where zips are until CDK has copied them, or for good if it does not copy."""
    if scope.node.try_get_context(_NO_STAGING):
        return Path(Stage.of(scope).outdir).resolve() / "lambda-build"
    return _temporary_folder()


@cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="lambda-build-cdk-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _build_once(request: Request, folder: Path) -> BuildReport:
    """Build, or get what was built in this process for an equal request.

    Raises:
        LambdaBuildError: With the reason and how to fix it.
    """
    options = request.options
    check_bundling(options)
    entry = Path(request.entry).absolute()
    depends_on = [
        *(str(folder), str(entry), request.layout.value, request.target, options.artifact),
        *(request.index, request.handler, request.is_handler_needed),
        *(keywords_of(options, entry), environment_of(options)),
    ]
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()
    if key not in _finished:
        try:
            output = f"{folder / key[:16]}{os.sep}"
            _finished[key] = _build(read_settings(request, entry, output))
        except LambdaBuildError as error:
            _finished[key] = error
    result = _finished[key]
    if isinstance(result, LambdaBuildError):
        raise result
    return result


def _build(settings: Sequence[Settings]) -> BuildReport:
    """Build; a layer is often a folder with requirements alone, as in the alpha module."""
    *providers, wanted = settings
    try:
        return lambda_build_plugin.build_all(settings)[-1]
    except NoCodeError:
        if wanted.layout is not Layout.LAYER or wanted.contents is not Contents.ALL:
            raise
    without_code = replace(wanted, contents=Contents.DEPENDENCIES)
    return lambda_build_plugin.build_all([*providers, without_code])[-1]
