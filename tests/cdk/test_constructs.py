"""The constructs in a CDK app, through the real CDK; it is slow to start, so in few processes.

Its packages have 430 MB, so this is for `make nightly`; `test_without_node.py` runs each time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import textwrap
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from fakes.hosts import host, uv
from fakes.index import FakeIndex
from fakes.locks import requirements_of
from fakes.wheels import a_wheel

from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.lock.poetry_freshness import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fakes.hosts import Host

pytestmark = [
    pytest.mark.index,
    pytest.mark.nightly,
    pytest.mark.skipif(shutil.which("node") is None, reason="CDK runs in Node.js"),
]

DEP = a_wheel("dep", "1.0")
NATIVE_X86 = a_wheel("native", "1.0", tag="cp313-cp313-manylinux_2_17_x86_64")
NATIVE_ARM = a_wheel("native", "1.0", tag="cp313-cp313-manylinux_2_17_aarch64")
WHEELS = (DEP, NATIVE_X86, NATIVE_ARM)
HANDLER = "def handler(event, context):\n    return event\n"

APP = """\
    import os
    import sys

    import aws_cdk
    from aws_cdk import aws_lambda as lambda_

    from lambda_build_plugin import cdk as python

    PYTHON_3_13 = lambda_.Runtime.PYTHON_3_13
    ARM_64 = lambda_.Architecture.ARM_64
    OUTDIR = os.environ["OUTDIR"]
    PATHS = {"aws:cdk:enable-path-metadata": True}
    app = aws_cdk.App(outdir=f"{OUTDIR}/services", context=PATHS)
    stack = aws_cdk.Stack(app, "Stack")


    class Hooks:
        def before_bundling(self, input_dir, output_dir):
            return [f"cd {input_dir}", "pwd > where.txt"]

        def after_bundling(self, input_dir, output_dir):
            return [f"echo built > {output_dir}/built.txt", "pwd > here.txt"]


    class TooEarly(Hooks):
        def before_bundling(self, input_dir, output_dir):
            return [f"touch {output_dir}/x"]
"""

SERVICES = """
    layer = python.PythonLayerVersion(stack, "Shared", entry="shared")
    python.PythonFunction(
        stack, "Uv", entry="uv", runtime=PYTHON_3_13, architecture=ARM_64,
        handler="uv_service.app.handler", layers=[layer], environment={"STAGE": "test"},
    )
    python.PythonFunction(
        stack, "Poetry", entry="poetry/service", runtime=PYTHON_3_13,
        index="src/poetry_service/app.py", layers=[layer],
    )
    python.PythonFunction(stack, "Requirements", entry="requirements", runtime=PYTHON_3_13)
    python.PythonFunction(
        stack, "Pipenv", entry="pipenv", runtime=PYTHON_3_13, index="jobs/nightly.py",
        handler="run",
    )
    app.synth()
"""

MORE = """
    from aws_cdk import AssetHashType

    app = aws_cdk.App(outdir=f"{OUTDIR}/more", context=PATHS)
    stack = aws_cdk.Stack(app, "Stack")
    Options = python.BundlingOptions


    def function(name, entry="requirements", **more):
        python.PythonFunction(stack, name, entry=entry, **{"runtime": PYTHON_3_13, **more})


    function("Plain")
    function("Again", bundling={"asset_hash": None})
    function("Hooks", entry="hooked", bundling=Options(command_hooks=Hooks()))
    function("OwnHash", bundling=Options(asset_hash="mine", asset_hash_type=AssetHashType.CUSTOM))
    # Whose bytecode this Python can make.
    THIS = lambda_.Runtime(f"python3.{sys.version_info.minor}", lambda_.RuntimeFamily.PYTHON)
    function("Less", runtime=THIS, bundling=Options(
             asset_excludes=["notes.txt"], exclude_presets=["docs"],
             provided=["dep"], bytecode=True, poetry_include_hashes=True,
             settings={"strict": False}))
    function("Artifact", entry="artifacts", bundling=Options(artifact="api"))
    python.PythonLayerVersion(
        stack, "ManyRuntimes", entry="requirements",
        compatible_runtimes=[PYTHON_3_13, lambda_.Runtime.PYTHON_3_12],
        compatible_architectures=[ARM_64, lambda_.Architecture.X86_64],
    )
    lambda_.Function(
        stack, "OfCode", runtime=PYTHON_3_13, architecture=ARM_64, handler="index.handler",
        code=python.LambdaBuild.code(
            stack, "requirements", runtime=PYTHON_3_13, architecture=ARM_64,
            handler="index.handler",
        ),
    )
    lambda_.LayerVersion(stack, "OfLayerCode", code=python.LambdaBuild.layer_code(stack, "shared"))

    # The examples of the alpha module's README; the entries are those of this test.
    from aws_cdk.aws_lambda import Runtime

    python.PythonFunction(stack, "MyFunction",
        entry="example",  # required
        runtime=Runtime.PYTHON_3_8,  # required
        index="my_index.py",  # optional, defaults to 'index.py'
        handler="my_exported_func"
    )
    python.PythonFunction(stack, "WithLayer",
        entry="requirements",
        runtime=Runtime.PYTHON_3_8,
        layers=[
            python.PythonLayerVersion(stack, "MyLayer",
                entry="requirements"
            )
        ]
    )
    python.PythonFunction(stack, "function",
        entry="requirements",
        runtime=Runtime.PYTHON_3_8,
        bundling=python.BundlingOptions(
            # translates to `rsync --exclude='.venv'`
            asset_excludes=[".venv"]
        )
    )
    python.PythonFunction(stack, "IndexByEnvironment",
        entry="pinned",
        runtime=Runtime.PYTHON_3_8,
        bundling=python.BundlingOptions(
            environment={"PIP_INDEX_URL": os.environ["INDEX"]}
        )
    )
    python.PythonFunction(stack, "IndexByBuildArgs",
        entry="pinned",
        runtime=Runtime.PYTHON_3_8,
        bundling=python.BundlingOptions(
            build_args={"PIP_INDEX_URL": os.environ["INDEX"]}
        )
    )

    # What does not work.
    function("NoOption", bundling={"assetExcludes": ["notes.txt"]})
    function("OfAnotherModule", bundling=aws_cdk.BundlingOptions(
        image=aws_cdk.DockerImage.from_registry("x")))
    function("WrongHandler", handler="handle")
    function("WrongModule", entry="uv")
    function("NoIndex", index="index.pyc")
    function("TwoModules", index="index.py", handler="index.handler")
    function("NoLock", entry="nolock")
    function("NoFolder", entry="missing")
    function("NoPipfileLock", entry="pipfile")
    function("StaleLock", entry="stale", handler="stale.app.handler")
    function("NodeRuntime", runtime=lambda_.Runtime.NODEJS_22_X)
    function("TooEarly", bundling=Options(command_hooks=TooEarly()))
    function("OfDocker", bundling=Options(
        image=object(), network="host", user="me", volumes=[], platform="linux/amd64",
        bundling_file_access="x", build_args={"POETRY_VERSION": "1.5.1"},
        settings={"runtime": "python3.9"}, asset_hash_type=AssetHashType.SOURCE,
    ))
    function("AllArtifacts", entry="artifacts")
    function("LayerAsFunction", entry="artifacts", bundling=Options(artifact="deps"))
    python.PythonLayerVersion(
        stack, "NotTheSame", entry="native",
        compatible_architectures=[ARM_64, lambda_.Architecture.X86_64],
    )
    app.synth()

    for name, entry, context in (
        ("Skipped", "nolock", {"aws:cdk:bundling-stacks": []}),
        ("Unstaged", "requirements", {"aws:cdk:disable-asset-staging": True}),
    ):
        app = aws_cdk.App(outdir=f"{OUTDIR}/{name.lower()}", context=context)
        stack = aws_cdk.Stack(app, name)
        python.PythonFunction(stack, "Function", entry=entry, runtime=PYTHON_3_13)
        app.synth()
"""

PACKAGE = """\
[build-system]
requires = ["{backend}"]
build-backend = "{module}"

[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = [{dependencies}]
"""

POETRY_LOCK = """\
[[package]]
name = "helper"
version = "1.0"
description = ""
optional = false
python-versions = ">=3.10"
groups = ["main"]
files = []
develop = true

[package.source]
type = "directory"
url = "../helper"

[metadata]
lock-version = "2.1"
python-versions = ">=3.10"
content-hash = "{digest}"
"""

ARTIFACTS = """\
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"

[tool.lambda-build.artifacts.api]
provided-by = ["deps"]
handler = "index.handler"
"""


def write(path: Path, text: str) -> None:
    """Write a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def a_package(root: Path, *, name: str, dependencies: str = "", backend: str = "hatchling") -> Path:
    """Write a project with a package that has a handler."""
    module = {"hatchling": "hatchling.build", "poetry-core": "poetry.core.masonry.api"}[backend]
    text = PACKAGE.format(name=name, dependencies=dependencies, backend=backend, module=module)
    write(root / "pyproject.toml", text)
    write(root / "src" / name.replace("-", "_") / "__init__.py", "")
    write(root / "src" / name.replace("-", "_") / "app.py", HANDLER)
    return root


def scripts(root: Path, *, requirements: str, **files: str) -> Path:
    """Write a folder of scripts."""
    write(root / "requirements.txt", requirements)
    for name, text in files.items():
        write(root / f"{name}.py", text)
    return root


def a_poetry_project(root: Path) -> None:
    """Write a project with a path dependency, and its lock."""
    a_package(root / "helper", name="helper", backend="poetry-core")
    service = a_package(
        root / "service", name="poetry-service", dependencies='"helper"', backend="poetry-core"
    )
    with (service / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('[tool.poetry.dependencies]\nhelper = {path = "../helper", develop = true}\n')
    digest = content_hash(read_toml(service / "pyproject.toml"))
    write(service / "poetry.lock", POETRY_LOCK.format(digest=digest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What an app was synthesised to."""

    folder: Path
    resources: Mapping[str, Any]
    """The properties of functions and layers, by the id of their construct."""

    notes: Mapping[str, list[str]]
    """Errors and warnings, by the id of their construct."""

    def files(self, name: str) -> list[str]:
        """List the files in the asset of a function or layer."""
        with zipfile.ZipFile(self.folder / f"asset.{self.key(name)}") as archive:
            return archive.namelist()

    def key(self, name: str) -> str:
        """Get the key in the bucket of assets, which has the hash."""
        properties = self.resources[name]
        key: str = (properties.get("Code") or properties["Content"])["S3Key"]
        return key


class World:
    """Projects of all kinds, and somebody who has their functions in a CDK app."""

    def __init__(self, folder: Path, cdk: Host, index: FakeIndex) -> None:
        self.folder, self.cdk, self.index = folder, cdk, index
        self._make_projects()

    def _make_projects(self) -> None:
        root = self.folder
        links = f"--index-url {self.index.url}\n"
        dep = f"dep==1.0 --hash=sha256:{DEP.sha256}\n"
        natives = " ".join(f"--hash=sha256:{each.sha256}" for each in (NATIVE_X86, NATIVE_ARM))
        native = f"native==1.0 {natives}\n"
        a_package(root / "uv", name="uv-service", dependencies='"native", "dep"')
        self._uv("uv")
        a_poetry_project(root / "poetry")
        scripts(root / "requirements", requirements=links + dep, index=HANDLER)
        write(root / "requirements" / "notes.txt", "")
        write(root / "example" / "my_index.py", "def my_exported_func(e, c): ...\n")
        scripts(root / "pinned", requirements=dep, index=HANDLER)
        scripts(root / "hooked", requirements="", index=HANDLER)
        scripts(root / "native", requirements=links + native)
        write(root / "native" / ".python-version", "3.13\n")
        write(root / "pipenv" / "jobs" / "nightly.py", HANDLER.replace("handler", "run"))
        sources = [{"name": "index", "url": self.index.url, "verify_ssl": False}]
        locked = {"dep": {"version": "==1.0", "hashes": [f"sha256:{DEP.sha256}"]}}
        lock = {"_meta": {"sources": sources, "pipfile-spec": 6}, "default": locked, "develop": {}}
        write(root / "pipenv" / "Pipfile.lock", json.dumps(lock))
        scripts(root / "shared", requirements=links + native)
        write(root / "shared" / ".python-version", "3.13\n")
        scripts(root / "artifacts", requirements=links + dep, index=HANDLER)
        write(root / "artifacts" / "pyproject.toml", ARTIFACTS)
        write(root / "pipfile" / "index.py", HANDLER)
        write(root / "pipfile" / "Pipfile", '[packages]\ndep = "*"\n')
        a_package(root / "nolock", name="nolock", dependencies='"dep"')
        stale = a_package(root / "stale", name="stale")
        self._uv("stale")
        text = (stale / "pyproject.toml").read_text(encoding="utf-8")
        write(stale / "pyproject.toml", text.replace("dependencies = []", 'dependencies = ["dep"]'))

    def _uv(self, project: str) -> None:
        named = ("--no-config", "--default-index", self.index.url)
        uv("lock", *named, "--project", self.folder / project)

    def synthesises(self, app: str, outdir: Path) -> None:
        """Run an app, which leaves a folder for each of its stacks."""
        (self.folder / "app.py").write_text(textwrap.dedent(APP + app), encoding="utf-8")
        ran = self.cdk.run_python(
            "app.py",
            cwd=self.folder,
            home=self.folder / "home",
            environ={
                "INDEX": self.index.url,
                "OUTDIR": str(outdir),
                "TMPDIR": str(self.folder / "temporary"),
            },
        )
        assert ran.returncode == 0, ran.stderr


def template_in(folder: Path) -> Template:
    """Read what is to be deployed."""
    template = json.loads((folder / "Stack.template.json").read_text(encoding="utf-8"))
    paths = {
        key: resource["Metadata"]["aws:cdk:path"].split("/")[1]
        for key, resource in template["Resources"].items()
        if resource["Type"] in {"AWS::Lambda::Function", "AWS::Lambda::LayerVersion"}
    }
    return Template(
        folder=folder,
        resources={name: template["Resources"][key]["Properties"] for key, name in paths.items()},
        notes=_notes(folder),
    )


def _notes(outdir: Path) -> dict[str, list[str]]:
    """Read errors and warnings, which are in the manifest or in a file beside it."""
    manifest = json.loads((outdir / "manifest.json").read_text(encoding="utf-8"))
    artifact = manifest["artifacts"]["Stack"]
    metadata = artifact.get("metadata") or json.loads(
        (outdir / artifact["additionalMetadataFile"]).read_text(encoding="utf-8")
    )
    return {
        path.removeprefix("/Stack/"): texts
        for path, entries in metadata.items()
        if (
            texts := [
                each["data"]
                for each in entries
                if each["type"] in {"aws:cdk:error", "aws:cdk:warning"}
            ]
        )
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make the world once; an index serves while it is there."""
    folder = tmp_path_factory.mktemp("cdk")
    (folder / "temporary").mkdir()
    with FakeIndex(WHEELS) as index:
        yield World(folder, host("cdk", *requirements_of("cdk")), index)


@pytest.fixture(scope="module")
def synthesised(world: World) -> Path:
    """Synthesise an app with a function of each kind, and one with all options and mistakes."""
    outdir = world.folder / "cdk.out"
    world.synthesises(SERVICES + MORE, outdir)
    return outdir


@pytest.fixture(scope="module")
def services(synthesised: Path) -> Template:
    """Give the template of a function of each kind of project."""
    return template_in(synthesised / "services")


@pytest.fixture(scope="module")
def more(synthesised: Path) -> Template:
    """Give the template of all options and all mistakes."""
    return template_in(synthesised / "more")


@pytest.fixture(scope="module")
def edited(world: World, synthesised: Path) -> Template:
    """Synthesise once more, after one file of one project was edited."""
    with (world.folder / "requirements" / "index.py").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    world.synthesises(SERVICES, world.folder / "edited.out")
    return template_in(world.folder / "edited.out" / "services")


def test_the_template_has_what_was_built(services: Template) -> None:
    """Handler, runtime, architecture and layer of each function are in the template."""
    assert services.notes == {}
    assert {
        name: (each["Handler"], each["Runtime"], each["Architectures"], "Layers" in each)
        for name, each in services.resources.items()
        if "Handler" in each
    } == {
        "Uv": ("uv_service.app.handler", "python3.13", ["arm64"], True),
        "Poetry": ("poetry_service.app.handler", "python3.13", ["x86_64"], True),
        "Requirements": ("index.handler", "python3.13", ["x86_64"], False),
        "Pipenv": ("jobs.nightly.run", "python3.13", ["x86_64"], False),
    }
    assert services.resources["Uv"]["Environment"] == {"Variables": {"STAGE": "test"}}
    assert services.resources["Shared"]["CompatibleRuntimes"] == ["python3.13"]
    assert services.resources["Shared"]["CompatibleArchitectures"] == ["x86_64"]


def test_assets_have_the_locked_files(services: Template) -> None:
    """Wheels are chosen for the architecture of the construct; path dependencies are inside."""
    assert "native-1.0.dist-info/WHEEL" in services.files("Uv")
    assert {"helper/app.py", "poetry_service/app.py"} <= set(services.files("Poetry"))
    assert {"index.py", "dep/__init__.py"} <= set(services.files("Requirements"))
    assert {"jobs/nightly.py", "dep/__init__.py"} <= set(services.files("Pipenv"))
    assert "python/native/__init__.py" in services.files("Shared")


def test_the_hash_is_that_of_the_zip(services: Template) -> None:
    """CDK hashes a hash that it is given once more; it depends on nothing but the zip."""
    for name in services.resources:
        zipped = services.folder / f"asset.{services.key(name)}"
        sha256 = hashlib.sha256(zipped.read_bytes()).hexdigest()
        assert services.key(name) == f"{hashlib.sha256(sha256.encode()).hexdigest()}.zip"


def test_an_edit_changes_one_asset(services: Template, edited: Template) -> None:
    """Another synthesis gives the same assets, but for the project that was edited."""
    changed = {
        name for name in services.resources if services.resources[name] != edited.resources[name]
    }

    assert changed == {"Requirements"}


def test_equal_functions_have_one_asset(more: Template) -> None:
    """What is equal is built once and uploaded once."""
    assert more.key("Plain") == more.key("Again") == more.key("OfCode")


def test_bundling_options(more: Template) -> None:
    """Options of the alpha module and of this one decide what is in an asset."""
    assert "notes.txt" in more.files("Plain")
    assert [name for name in more.files("Less") if not name.startswith("__pycache__")] == [
        "index.py"
    ]
    assert any(name.startswith("__pycache__/index.") for name in more.files("Less"))
    assert more.key("OwnHash") == f"{hashlib.sha256(b'mine').hexdigest()}.zip"
    assert more.resources["Artifact"]["Handler"] == "index.handler"
    assert "dep/__init__.py" not in more.files("Artifact")


def test_command_hooks(world: World, more: Template) -> None:
    """Commands run in the project's folder and in that of the files, chained by `&&`."""
    project = world.folder / "hooked"

    assert {"built.txt", "here.txt"} <= set(more.files("Hooks"))
    assert (project / "where.txt").read_text(encoding="utf-8").strip() == str(project.resolve())


def test_layers(more: Template) -> None:
    """A layer that is the same for all of its targets has all of them."""
    layer = more.resources["ManyRuntimes"]

    assert layer["CompatibleRuntimes"] == ["python3.13", "python3.12"]
    assert layer["CompatibleArchitectures"] == ["arm64", "x86_64"]
    assert "python/native/__init__.py" in more.files("OfLayerCode")


def test_a_layer_fits_wherever_it_is_the_same(more: Template) -> None:
    """Without a word about it, a layer without machine code fits all runtimes."""
    layer = more.resources["MyLayer"]

    assert layer["CompatibleRuntimes"][0] == "python3.8"
    assert "python3.14" in layer["CompatibleRuntimes"]
    assert layer["CompatibleArchitectures"] == ["x86_64", "arm64"]


def test_the_examples_of_the_alpha_module(more: Template) -> None:
    """The examples in its README work with another import line."""
    assert more.resources["MyFunction"]["Handler"] == "my_index.my_exported_func"
    assert more.resources["MyFunction"]["Runtime"] == "python3.8"
    assert "Layers" in more.resources["WithLayer"]
    assert more.files("function") == more.files("WithLayer")
    for name in ("IndexByEnvironment", "IndexByBuildArgs"):
        assert "dep/__init__.py" in more.files(name)


@pytest.mark.parametrize(
    ("construct", "what"),
    [
        ("NoOption", "bundling: `assetExcludes` is not an option; did you mean `asset_excludes`?"),
        ("OfAnotherModule", "bundling: is of the type `aws_cdk.BundlingOptions`"),
        ("WrongHandler", "the handler `index.handle` is not defined"),
        ("WrongModule", "the handler `index.handler` is not in the artifact"),
        ("NoIndex", "`index` is `index.pyc`: write the path of a `.py` file from `entry`"),
        (
            "TwoModules",
            "`handler` is `index.handler`, which names a module, and `index` is `index.py`",
        ),
        ("NoLock", "cannot find a lock in "),
        ("NoPipfileLock", "cannot find a lock in "),
        ("NoFolder", " is not a folder"),
        ("StaleLock", "the lock uv.lock is out of date"),
        ("NodeRuntime", "runtime: is `nodejs22.x`"),
        (
            "TooEarly",
            "bundling: a command of `before_bundling` uses `output_dir`, which is not there yet",
        ),
        ("OfDocker", "the settings contain 9 mistakes"),
        (
            "AllArtifacts",
            "the project has 2 artifacts, and no construct has all of them",
        ),
        ("LayerAsFunction", "the artifact `deps` is a layer"),
        (
            "NotTheSame",
            "the files of the layer are not the same for python3.13 arm64, python3.13 x86_64",
        ),
    ],
)
def test_mistakes_are_errors_of_the_construct(
    world: World, more: Template, construct: str, what: str
) -> None:
    """A failure is an error of its construct in our words, and the app goes on."""
    [message] = more.notes[construct]

    assert message.replace(f"{world.folder}/missing", "").startswith(what)
    assert "\nhint: " in message
    assert "Traceback" not in message


def test_all_options_of_docker_are_named(more: Template) -> None:
    """Everything that makes no sense without a container is named at once."""
    [message] = more.notes["OfDocker"]

    for name in (
        *("image", "network", "user", "volumes", "platform", "bundling_file_access"),
        *("POETRY_VERSION", "runtime", "SOURCE"),
    ):
        assert name in message


def test_nothing_is_left_behind(world: World, more: Template) -> None:
    """The zips are gone when CDK has copied them."""
    assert [*(world.folder / "temporary").glob("lambda-build-cdk-*")] == []


def test_stacks_that_are_not_wanted_are_not_built(more: Template) -> None:
    """As for `cdk list`: a stack that CDK does not want to have bundled is not built."""
    text = (more.folder.parent / "skipped" / "Skipped.template.json").read_text(encoding="utf-8")

    assert "not-built.zip" in text
    assert "aws:cdk:error" not in (more.folder.parent / "skipped" / "manifest.json").read_text(
        "utf-8"
    )


def test_without_staging(more: Template) -> None:
    """Where CDK does not copy assets, as for `sam local`, the zip stays beside the template."""
    folder = more.folder.parent / "unstaged"
    assets = json.loads((folder / "Unstaged.assets.json").read_text(encoding="utf-8"))
    sources = [each["source"]["path"] for each in assets["files"].values()]
    [zipped] = [path for path in sources if path.endswith(".zip")]

    assert (folder / zipped).is_file()
