"""A function and its layer, built in the process of the Pulumi program."""

from pathlib import Path

import pulumi
import pulumi_aws as aws

import lambda_build_plugin

SERVICE = Path(__file__).resolve().parent.parent / "service"


def build(artifact: str) -> lambda_build_plugin.BuildReport:
    """Build one artifact of the service; Pulumi shows a RunError without a traceback."""
    try:
        settings = lambda_build_plugin.load_all_settings(SERVICE, artifact)
        return lambda_build_plugin.build_all(settings)[-1]
    except lambda_build_plugin.LambdaBuildError as error:
        raise pulumi.RunError(str(error)) from None


deps, api = build("deps"), build("api")

layer = aws.lambda_.LayerVersion(
    "deps",
    layer_name="deps",
    code=pulumi.FileArchive(deps["artifact"]),
    source_code_hash=deps["code_sha256"],
    compatible_runtimes=[deps["runtime"]],
    compatible_architectures=[deps["architecture"]],
)
role = aws.iam.Role(
    "api",
    assume_role_policy=pulumi.Output.json_dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                }
            ],
        }
    ),
)
function = aws.lambda_.Function(
    "api",
    role=role.arn,
    code=pulumi.FileArchive(api["artifact"]),
    source_code_hash=api["code_sha256"],
    handler=api["handler"],
    runtime=api["runtime"],
    architectures=[api["architecture"]],
    layers=[layer.arn],
)
pulumi.export("function", function.name)
