"""`PythonFunction`: a function of Lambda whose code is built from a locked project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import aws_lambda as lambda_

from lambda_build_plugin.cdk.code import build, show
from lambda_build_plugin.cdk.request import Request, name_of
from lambda_build_plugin.config.settings import Layout

if TYPE_CHECKING:
    import os

    from constructs import Construct

    from lambda_build_plugin.cdk.bundling import Bundling

__all__ = ["PythonFunction"]


class PythonFunction(lambda_.Function):  # type: ignore[misc]
    """A function of Lambda whose code is built from a locked project.

    Args:
        scope: The stack.
        id: Of the construct.
        entry: The folder of the project: with pyproject.toml, Pipfile or requirements.txt and
            a lock, or with scripts alone.
        runtime: Any runtime of Python.
        index: The file with the handler, from `entry`; `index.py` by default.
        handler: The name of the function in that file, `handler` by default; or, without
            `index`, all of `package.module.function`. Where neither is given, the setting
            `handler` of the project is taken.
        bundling: How the code is built.
        props: All other properties of `aws_lambda.Function`, such as `architecture`, by
            which the code is chosen, too.
    """

    def __init__(  # noqa: PLR0913 - the properties of the alpha module
        self,
        scope: Construct,
        id: str,  # noqa: A002 - as all constructs call it
        *,
        entry: str | os.PathLike[str],
        runtime: lambda_.Runtime,
        index: str | None = None,
        handler: str | None = None,
        bundling: Bundling = None,
        **props: Any,
    ) -> None:
        architecture = props.pop("architecture", None) or lambda_.Architecture.X86_64
        request = Request(
            entry=entry,
            layout=Layout.FUNCTION,
            runtime=name_of(runtime, lambda_.Runtime),
            architecture=name_of(architecture, lambda_.Architecture),
            index=index,
            handler=handler,
            bundling=bundling,
        )
        built = build(scope, request)
        super().__init__(
            scope,
            id,
            code=built.code(scope),
            handler=built.handler,
            runtime=runtime,
            architecture=architecture,
            **props,
        )
        show(self, built)
