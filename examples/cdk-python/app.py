"""A function and a layer, built while the app is synthesised."""

import aws_cdk
from aws_cdk import aws_lambda as lambda_

from lambda_build_plugin import cdk as python

app = aws_cdk.App()
stack = aws_cdk.Stack(app, "ServiceStack")

deps = python.PythonLayerVersion(
    stack,
    "Deps",
    entry="../service",
    bundling=python.BundlingOptions(artifact="deps"),
)
python.PythonFunction(
    stack,
    "Api",
    entry="../service",
    runtime=lambda_.Runtime.PYTHON_3_13,
    architecture=lambda_.Architecture.ARM_64,
    layers=[deps],
    bundling=python.BundlingOptions(artifact="api"),
)
app.synth()
