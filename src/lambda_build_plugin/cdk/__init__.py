"""Constructs for AWS CDK apps in Python, with the properties of CDK's experimental module.

::

    from lambda_build_plugin import cdk as python

    python.PythonFunction(
        self,
        "Api",
        entry="services/api",
        runtime=lambda_.Runtime.PYTHON_3_13,
        architecture=lambda_.Architecture.ARM_64,
        handler="api.app.handler",
    )

`entry` is the folder of a locked project, as for `lambda-build`. It is built while the app is
synthesised, in this process and without Docker. A build that fails is an error of the
construct, which `cdk` shows without a traceback.

This package needs the extra `cdk` (aws-cdk-lib and constructs); nothing else imports it.
"""

from __future__ import annotations

try:
    import aws_cdk as _  # noqa: F401 - says what to install before a traceback of ours would
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "lambda_build_plugin.cdk needs aws-cdk-lib; install it with "
        "`pip install 'lambda-build-plugin[cdk]'`",
        name=error.name,
    ) from error

from lambda_build_plugin.cdk.bundling import BundlingOptions, ICommandHooks
from lambda_build_plugin.cdk.code import LambdaBuild
from lambda_build_plugin.cdk.function import PythonFunction
from lambda_build_plugin.cdk.layer import PythonLayerVersion

__all__ = [
    "BundlingOptions",
    "ICommandHooks",
    "LambdaBuild",
    "PythonFunction",
    "PythonLayerVersion",
]
