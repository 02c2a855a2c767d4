"""The same as deploy.sh, with boto3, for zips of up to 50 MB."""

import sys
from pathlib import Path

import boto3

import lambda_build_plugin

name, project, artifact = sys.argv[1:]
report = lambda_build_plugin.build_all(lambda_build_plugin.load_all_settings(project, artifact))[-1]
client = boto3.client("lambda")
if client.get_function_configuration(FunctionName=name)["CodeSha256"] == report["code_sha256"]:
    print("nothing to do")
else:
    code = Path(report["artifact"]).read_bytes()
    print(client.update_function_code(FunctionName=name, ZipFile=code)["CodeSha256"])
