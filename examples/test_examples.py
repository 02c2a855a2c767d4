"""The examples, run by the real clients; `make examples` runs this file, `make test` does not.

Clients in Python come from `locks/hosts/deploy-with-plugin.txt` and `cdk-with-plugin.txt`, those
in Node.js from `locks/npm`. AWS is moto's server on 127.0.0.1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from fakes.hosts import host
from fakes.locks import CACHE, ROOT, requirements_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fakes.hosts import Host

EXAMPLES = ROOT / "examples"
NPM_LOCKS = ROOT / "locks" / "npm"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "lambda.amazonaws.com"},
        }
    ],
}


_PROJECT = """\
[project]
name = "service"
version = "1"
requires-python = ">=3.13"
dependencies = ["idna"]

"""
_LOCK_WITHOUT_IDNA = """\
version = 1
revision = 3
requires-python = ">=3.13"

[[package]]
name = "service"
version = "1"
source = { virtual = "." }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A copy of the examples, and somebody who has all clients on the PATH."""

    folder: Path
    environ: Mapping[str, str]

    def runs(
        self,
        example: str,
        *command: str | Path,
        check: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder of an example."""
        ran = subprocess.run(
            [*map(str, command)],
            cwd=self.folder / example,
            env={**self.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    def breaks(self, fault: str, home: Path) -> Workplace:
        """Copy the examples, and make one of three mistakes in the service."""
        folder = home / "broken"
        shutil.copytree(self.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("dist"))
        service = folder / "service"
        settings = service / "pyproject.toml"
        text = settings.read_text(encoding="utf-8")
        if fault == "handler":
            settings.write_text(text.replace("index.handler", "index.main"), encoding="utf-8")
        elif fault == "no lock":
            (service / "requirements.txt").unlink()
            settings.write_text(f"{_PROJECT}{text}", encoding="utf-8")
        else:
            settings.write_text(f"{_PROJECT}{text}", encoding="utf-8")
            (service / "uv.lock").write_text(_LOCK_WITHOUT_IDNA, encoding="utf-8")
        return Workplace(folder=folder, environ=self.environ)


WORDS = {
    "handler": "the handler `index.main` is not defined",
    "no lock": "cannot find a lock in ",
    "stale lock": "the lock uv.lock is out of date",
}
"""How our message begins after each mistake."""


@pytest.fixture(scope="session")
def node() -> Path:
    """Install the clients in Node.js once for each state of their lock."""
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    lock = (NPM_LOCKS / "package-lock.json").read_bytes()
    folder = CACHE / f"npm-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not folder.is_dir():
        made = CACHE / f"{folder.name}.part"
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(NPM_LOCKS, made)
        command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        subprocess.run(command, cwd=made, check=True, capture_output=True)
        made.rename(folder)
    return folder / "node_modules"


@pytest.fixture(scope="session")
def deploy() -> Host:
    """Make the environment of the clients in Python."""
    return host("deploy", *requirements_of("deploy"))


@pytest.fixture(scope="session")
def aws(deploy: Host) -> Iterator[str]:
    """Let moto play AWS, and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = deploy.python.with_name("moto_server")
    with subprocess.Popen(
        [program, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="session")
def workplace(
    tmp_path_factory: pytest.TempPathFactory, deploy: Host, node: Path, aws: str
) -> Workplace:
    """Copy the examples beside the installed clients; no login of the developer's is seen."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(
        EXAMPLES, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("dist", "__pycache__")
    )
    (folder / "node_modules").symlink_to(node)
    programs = [deploy.python.parent, node / ".bin", os.path.dirname(sys.executable)]  # noqa: PTH120
    environ = {
        **deploy.environment(folder / "home"),
        "AWS_ENDPOINT_URL": aws,
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
    }
    return Workplace(folder=folder, environ=environ)


@pytest.fixture(scope="session")
def built(workplace: Workplace) -> dict[str, str]:
    """Build the service with the command, and give the `CodeSha256` of each artifact."""
    ran = workplace.runs("service", "lambda-build", "--json")
    return {report["name"]: report["code_sha256"] for report in json.loads(ran.stdout)["artifacts"]}


@pytest.fixture(scope="session")
def role(workplace: Workplace) -> str:
    """Create the role of functions that tests create."""
    document = json.dumps(_TRUST)
    words = ("--role-name", "api", "--assume-role-policy-document", document)
    arn: str = aws_call(workplace, "iam", "create-role", *words)["Role"]["Arn"]
    return arn


def code_sha256(zipped: Path) -> str:
    """Hash a zip as AWS does."""
    return base64.b64encode(hashlib.sha256(zipped.read_bytes()).digest()).decode()


def contents(zipped: Path) -> dict[str, bytes]:
    """Read what is in a zip."""
    with zipfile.ZipFile(zipped) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def aws_call(workplace: Workplace, *words: str | Path) -> Any:
    """Run the `aws` command and read its answer."""
    ran = workplace.runs("aws-cli", "aws", *words, "--output", "json")
    return json.loads(ran.stdout) if ran.stdout else None


def assets(outdir: Path) -> dict[str, str]:
    """Read what CDK wants to upload: `CodeSha256` by the id of function or layer."""
    template = json.loads((outdir / "ServiceStack.template.json").read_text(encoding="utf-8"))
    found = {}
    for key, resource in template["Resources"].items():
        code = resource["Properties"].get("Code") or resource["Properties"].get("Content")
        if code:
            found[re.sub(r"[0-9A-F]{8}$", "", key)] = code_sha256(outdir / f"asset.{code['S3Key']}")
    return found


# --- CDK --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cdk_python() -> Path:
    """Make the environment of CDK apps in Python."""
    return host("cdk", *requirements_of("cdk")).python


def test_cdk_python(
    workplace: Workplace, built: dict[str, str], cdk_python: Path, tmp_path: Path
) -> None:
    """`cdk synth` has the zips of the command; moto's CloudFormation makes the functions."""
    app = ("--app", f"{cdk_python} app.py", "--output", str(tmp_path / "out"))
    workplace.runs("cdk-python", "cdk", "synth", "--quiet", *app)

    assert assets(tmp_path / "out") == {"Api": built["api"], "Deps": built["deps"]}
    assert deployed(workplace, tmp_path / "out") == built["api"]


def deployed(workplace: Workplace, outdir: Path) -> str:
    """Create the stack from the template and its assets, and ask for the function's hash."""
    text = (outdir / "ServiceStack.template.json").read_text(encoding="utf-8")
    template = json.loads(text)
    template.pop("Rules", None)  # the check of the bootstrap version
    template["Parameters"] = {}
    buckets = set()
    for resource in template["Resources"].values():
        code = resource["Properties"].get("Code") or resource["Properties"].get("Content")
        if code:
            code["S3Bucket"] = "assets"
            buckets.add(code["S3Key"])
    aws_call(workplace, "s3api", "create-bucket", "--bucket", "assets", *_IRELAND)
    for key in sorted(buckets):
        body = str(outdir / f"asset.{key}")
        aws_call(
            workplace, "s3api", "put-object", "--bucket", "assets", "--key", key, "--body", body
        )
    (outdir / "stack.json").write_text(json.dumps(template), encoding="utf-8")
    aws_call(
        workplace,
        *("cloudformation", "create-stack", "--stack-name", "service"),
        *("--template-body", f"file://{outdir / 'stack.json'}"),
    )
    [function] = aws_call(workplace, "lambda", "list-functions")["Functions"]
    assert (function["Handler"], function["Runtime"]) == ("index.handler", "python3.13")
    sha256: str = function["CodeSha256"]
    return sha256


_IRELAND = ("--create-bucket-configuration", "LocationConstraint=eu-west-1")


def test_cdk_typescript(workplace: Workplace, built: dict[str, str], tmp_path: Path) -> None:
    """`Code.fromCustomCommand` and `ILocalBundling` upload the zips of the command."""
    workplace.runs("cdk-typescript", "cdk", "synth", "--quiet", "--output", tmp_path / "out")

    assert assets(tmp_path / "out") == {"Api": built["api"], "Deps": built["deps"]}


# --- SAM --------------------------------------------------------------------------------


def test_sam(workplace: Workplace, built: dict[str, str], tmp_path: Path) -> None:
    """`sam validate`, `sam build` and `sam package`: the same files, and the zip as it is."""
    out = tmp_path / "build"
    workplace.runs("sam", "sam", "validate", "--lint")
    workplace.runs("sam", "sam", "build", "--build-dir", out)

    for name, artifact in (("Api", "api"), ("Deps", "deps")):
        files = {
            path.relative_to(out / name).as_posix(): path.read_bytes()
            for path in (out / name).rglob("*")
            if path.is_file()
        }
        assert files == contents(workplace.folder / "service" / "dist" / f"{artifact}.zip")

    aws_call(workplace, "s3api", "create-bucket", "--bucket", "sam", *_IRELAND)
    package = ("sam", "package", "--s3-bucket", "sam", "--template-file", out / "template.yaml")
    workplace.runs("sam", *package, "--output-template-file", tmp_path / "packaged.yaml")
    text = (tmp_path / "packaged.yaml").read_text(encoding="utf-8")
    key = re.search(r"ApiFromZip:.*?CodeUri: s3://sam/(\w+)", text, flags=re.DOTALL)
    assert key
    zipped = tmp_path / "uploaded.zip"
    workplace.runs("sam", "aws", "s3", "cp", f"s3://sam/{key[1]}", zipped)
    assert code_sha256(zipped) == built["api"]


# --- Terraform --------------------------------------------------------------------------


def test_terraform(workplace: Workplace, built: dict[str, str], deploy: Host) -> None:
    """The queries of `main.tf` get what `aws_lambda_function` needs; Terraform was not run."""
    read = "import hcl2, json, sys; print(json.dumps(hcl2.load(sys.stdin)))"
    with (workplace.folder / "terraform" / "main.tf").open(encoding="utf-8") as file:
        parsed = subprocess.run(
            [deploy.python, "-c", read], stdin=file, capture_output=True, text=True, check=True
        )
    text = re.sub(r'\\"', "", parsed.stdout)  # version 8 keeps the quotes
    sources = {
        name: source
        for block in json.loads(text)["data"]
        for name, source in block["external"].items()
    }

    for name in ("api", "deps"):
        query = {
            key: value.replace("${path.module}", ".")
            for key, value in sources[name]["query"].items()
        }
        ran = subprocess.run(
            sources[name]["program"],
            cwd=workplace.folder / "terraform",
            env=dict(workplace.environ),
            input=json.dumps(query),
            capture_output=True,
            text=True,
            check=True,
        )
        result = json.loads(ran.stdout)
        assert result["source_code_hash"] == built[name]
        assert code_sha256(workplace.folder / "terraform" / result["filename"]) == built[name]
        asked = re.findall(rf"data\.external\.{name}\.result\.(\w+)", parsed.stdout)
        assert set(asked) <= set(result)
        assert asked


# --- Serverless -------------------------------------------------------------------------


_MOTO_FOR_NODE = """\
// Version 2 of the SDK, which Serverless uses, knows no variable for the endpoint.
require('aws-sdk').config.update({ endpoint: process.env.AWS_ENDPOINT_URL });
"""


def test_serverless(workplace: Workplace, built: dict[str, str], tmp_path: Path) -> None:
    """`serverless package` builds by its plugin, and names the hash of our zip."""
    shutil.rmtree(workplace.folder / "service" / "dist")
    preload = workplace.folder / "moto.js"
    preload.write_text(_MOTO_FOR_NODE, encoding="utf-8")
    command = ("serverless", "package", "--package", tmp_path / "out")
    workplace.runs("serverless", *command, environ={"NODE_OPTIONS": f"--require {preload}"})

    name = "cloudformation-template-update-stack.json"
    template = json.loads((tmp_path / "out" / name).read_text(encoding="utf-8"))
    versions = [
        resource["Properties"]["CodeSha256"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Version"
    ]
    assert versions == [built["api"]]


# --- Pulumi -----------------------------------------------------------------------------

_MOCKS = """\
import json, runpy, sys
import pulumi


class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        made.append([args.typ, args.name, {k: plain(v) for k, v in args.inputs.items()}])
        return f"{args.name}-id", {**args.inputs, "arn": f"arn:{args.name}"}

    def call(self, args):
        return {}


def plain(value):
    return getattr(value, "path", value)


made = []
pulumi.runtime.set_mocks(Mocks(), preview=False)


@pulumi.runtime.test
def run():
    runpy.run_path("__main__.py", run_name="__main__")


run()
print(json.dumps(made))
"""


def test_pulumi(workplace: Workplace, built: dict[str, str]) -> None:
    """The program hands our zips and what is known of them to Pulumi."""
    ran = workplace.runs("pulumi", "python", "-c", _MOCKS)

    made = {typ: inputs for typ, _, inputs in json.loads(ran.stdout.splitlines()[-1])}
    function = made["aws:lambda/function:Function"]
    layer = made["aws:lambda/layerVersion:LayerVersion"]
    assert (function["sourceCodeHash"], layer["sourceCodeHash"]) == (built["api"], built["deps"])
    assert (function["handler"], function["runtime"]) == ("index.handler", "python3.13")
    assert function["architectures"] == ["arm64"]
    assert function["code"].endswith("api.zip")


# --- the aws command and boto3 ----------------------------------------------------------


def test_aws_cli(workplace: Workplace, built: dict[str, str], role: str) -> None:
    """`deploy.sh` and `deploy.py` deploy once, directly and over S3, and then do nothing."""
    zipped = workplace.folder / "service" / "dist" / "api.zip"
    workplace.runs("service", "lambda-build", "--quiet")
    deps = workplace.folder / "service" / "dist" / "deps.zip"
    for name in ("direct", "over-s3", "boto3"):
        aws_call(
            workplace,
            *("lambda", "create-function", "--function-name", name, "--runtime", "python3.13"),
            *("--role", role, "--handler", "index.handler", "--zip-file", f"fileb://{deps}"),
        )
    aws_call(workplace, "s3api", "create-bucket", "--bucket", "code", *_IRELAND)
    python = ("python", "deploy.py", "boto3", "../service", "api")

    for command in (
        ("./deploy.sh", "direct", zipped),
        ("./deploy.sh", "over-s3", zipped, "code"),
        python,
    ):
        assert workplace.runs("aws-cli", *command).stdout.strip() == built["api"]
        again = workplace.runs("aws-cli", *command).stdout
        assert "has this code already" in again or "nothing to do" in again


# --- CI ---------------------------------------------------------------------------------


def test_github_actions(tmp_path: Path) -> None:
    """`actionlint` accepts the workflow, and what the action has as inputs."""
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    text = (EXAMPLES / "github-actions" / "deploy.yml").read_text(encoding="utf-8")
    ours = re.sub(r"uses: lambda-build-plugin/\S+", "uses: ./", text)
    assert ours != text
    (workflows / "deploy.yml").write_text(ours, encoding="utf-8")
    shutil.copy(ROOT / "action.yml", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    program = f"{os.path.dirname(sys.executable)}/actionlint"  # noqa: PTH120

    ran = subprocess.run(
        [program, "-shellcheck=", "-pyflakes="],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "")


_STEPS = """\
import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin)))
"""


def parsed_yaml(deploy: Host, path: Path) -> Any:
    """Read a file of YAML with the parser that is in the environment of the clients."""
    with path.open(encoding="utf-8") as file:
        ran = subprocess.run(
            [deploy.python, "-c", _STEPS], stdin=file, capture_output=True, text=True, check=True
        )
    return json.loads(ran.stdout)


def test_the_steps_of_the_action(
    workplace: Workplace, built: dict[str, str], deploy: Host, role: str, tmp_path: Path
) -> None:
    """The scripts of `action.yml` build, and compare with what is deployed."""
    action = parsed_yaml(deploy, ROOT / "action.yml")
    steps = {step["id"]: step for step in action["runs"]["steps"] if "id" in step}
    place = tmp_path / "lambda-build" / "bin"
    place.mkdir(parents=True)
    for name in ("python", "lambda-build"):
        (place / name).symlink_to(deploy.python.with_name(name))

    folders = {
        "MESSAGES": str(tmp_path / "messages"),
        "PLACE": str(place.parent),
        "REPORT": str(tmp_path / "report.json"),
    }
    file = tmp_path / "outputs"

    def runs(step: str, *, check: bool, **variables: str) -> str:
        inputs = {"PROJECT": "service", "ARTIFACT": "", "RUNTIME": "", "ARCHITECTURE": ""}
        file.unlink(missing_ok=True)
        ran = workplace.runs(
            ".",
            *("bash", "-e", "-o", "pipefail", "-c", steps[step]["run"]),
            check=check,
            environ={"GITHUB_OUTPUT": str(file), **folders, **inputs, **variables},
        )
        assert (ran.returncode == 0) is check
        return ran.stderr

    def outputs(step: str, **variables: str) -> dict[str, str]:
        runs(step, check=True, **variables)
        lines = file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    made = outputs("build", ARTIFACT="api")
    assert made["sha256"] == built["api"]
    assert code_sha256(workplace.folder / made["zip"]) == built["api"]
    assert made["handler"] == "index.handler"
    assert outputs("compare", FUNCTION="", BUILT=made["sha256"]) == {"changed": "true"}
    deps = workplace.folder / "service" / "dist" / "deps.zip"
    for name, zipped, changed in (("old", deps, "true"), ("same", made["zip"], "false")):
        aws_call(
            workplace,
            *("lambda", "create-function", "--function-name", name, "--runtime", "python3.13"),
            *("--role", role, "--handler", "index.handler", "--zip-file", f"fileb://{zipped}"),
        )
        assert outputs("compare", FUNCTION=name, BUILT=made["sha256"]) == {"changed": changed}
    assert outputs("compare", FUNCTION="none", BUILT=made["sha256"]) == {"changed": "true"}
    assert {output.split(".")[-1] for output in action["outputs"]} <= {*made, "changed"}

    assert "2 artifacts were built" in runs("build", check=False)
    assert "there is no artifact `--json`" in runs("build", check=False, ARTIFACT="--json")
    assert "/--version is not a folder" in runs("build", check=False, PROJECT="--version")
    assert "aws: error" in runs(
        "compare", check=False, FUNCTION="same", BUILT="", AWS_ENDPOINT_URL="http://127.0.0.1:1"
    )


def test_gitlab(workplace: Workplace, deploy: Host) -> None:
    """The jobs of the pipeline run what is in the other examples."""
    pipeline = parsed_yaml(deploy, EXAMPLES / "gitlab" / ".gitlab-ci.yml")

    [build] = [line for line in pipeline["build"]["script"] if "pip install" not in line]
    workplace.runs(".", *build.split())
    assert (workplace.folder / pipeline["build"]["artifacts"]["paths"][0]).is_file()
    assert pipeline["deploy"]["script"][-1].startswith("./deploy.sh ")


_QUERY = """\
set -e
for artifact in api deps; do
    echo '{"project": "../service", "artifact": "'$artifact'"}' | lambda-build terraform
done
"""


# --- mistakes ---------------------------------------------------------------------------


@pytest.mark.parametrize("fault", WORDS)
@pytest.mark.parametrize(
    ("example", "command"),
    [
        pytest.param("cdk-python", ("cdk", "synth", "--quiet"), id="cdk-python"),
        pytest.param("cdk-typescript", ("cdk", "synth", "--quiet"), id="cdk-typescript"),
        pytest.param("sam", ("sam", "build"), id="sam"),
        pytest.param("serverless", ("serverless", "package"), id="serverless"),
        pytest.param("pulumi", ("python", "-c", _MOCKS), id="pulumi"),
        pytest.param("terraform", ("sh", "-c", _QUERY), id="terraform"),
    ],
)
def test_mistakes(
    workplace: Workplace,
    cdk_python: Path,
    tmp_path: Path,
    example: str,
    command: tuple[str, ...],
    fault: str,
) -> None:
    """The user of each tool sees our message."""
    broken = workplace.breaks(fault, tmp_path)
    app = ("--app", f"{cdk_python} app.py") if example == "cdk-python" else ()

    ran = broken.runs(example, *command, *app, check=False)

    assert ran.returncode != 0
    assert WORDS[fault] in ran.stdout + ran.stderr
    if example != "pulumi":
        assert "Traceback" not in ran.stdout + ran.stderr
