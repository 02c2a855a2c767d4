"""What is provided stays out, and several artifacts come from one lock, by the console script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.awslambda import invoke, unpack
from fakes.elf import an_elf
from fakes.locks import held
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.words import NO_FILE, NO_ZIP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fakes.projects import Run
    from fakes.wheels import FakeWheel

# --- a world --------------------------------------------------------------------------


def lib(
    name: str, *requires: str, version: str = "1.0", files: Mapping[str, str | bytes] | None = None
) -> FakeWheel:
    """Make a wheel that requires others."""
    return a_wheel(
        name, version, files=files, metadata=[f"Requires-Dist: {line}" for line in requires]
    )


SDK = (
    lib("boto3", "botocore", "jmespath", "s3transfer", 'botocore[crt]; extra == "crt"'),
    lib("botocore", "jmespath", "python-dateutil", "urllib3", 'awscrt; extra == "crt"'),
    lib("jmespath"),
    lib("python-dateutil", "six"),
    lib("s3transfer", "botocore"),
    lib("six"),
    lib("urllib3"),
)
REQUESTS = (lib("requests", "certifi", "idna", "urllib3"), lib("certifi"), lib("idna"))


def a_locked_project(
    folder: Path, wheels: Iterable[FakeWheel], *, requires: tuple[str, ...] = (), table: str = ""
) -> Path:
    """Write a project whose requirements.txt names wheels in a folder beside it."""
    root = a_project(folder / "project", dependencies=requires, extra=table)
    lines = ["--no-index", "--find-links ../wheelhouse"]
    for wheel in wheels:
        wheel.write_to(folder / "wheelhouse")
        version = wheel.filename.split("-")[1]
        lines.append(f"{wheel.project}=={version} --hash=sha256:{wheel.sha256}")
    (root / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def write_pylock(root: Path, *wheels: FakeWheel, offers: str, gates: Mapping[str, str]) -> None:
    """Write a lock with gates (PEP 751) for packages by name, in place of requirements.txt."""
    lines = ['lock-version = "1.0"', 'created-by = "test"', offers]
    for wheel in wheels:
        path = wheel.write_to(root.parent / "wheelhouse")
        lines += ["[[packages]]", f'name = "{wheel.project}"', 'version = "1.0"']
        if wheel.project in gates:
            lines.append(f'marker = "{gates[wheel.project]}"')
        lines += ["[[packages.wheels]]", f'path = "../wheelhouse/{path.name}"']
        lines.append(f'hashes = {{ sha256 = "{wheel.sha256}" }}')
    (root / "pylock.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def ran(root: Path, *arguments: str | Path, **variables: str) -> Run:
    """Run the console script for python3.13 in a project."""
    environ = quiet_environment(
        root.parent / "home", LAMBDA_BUILD_RUNTIME="python3.13", **variables
    )
    return run_lambda_build(*arguments, cwd=root, environ=environ)


def built(root: Path, *arguments: str | Path, **variables: str) -> dict[str, Any]:
    """Build the one artifact of a project, and get its report."""
    run = ran(root, "--json", *arguments, **variables)
    assert run.code == 0, run.errors
    report: dict[str, Any] = json.loads(run.output)
    return report


def all_built(root: Path, *arguments: str | Path, **variables: str) -> dict[str, dict[str, Any]]:
    """Build the artifacts of a project, and get their reports by name, in their order."""
    reports = built(root, *arguments, **variables)["artifacts"]
    return {report["name"]: report for report in reports}


def shipped(report: Mapping[str, Any]) -> list[str]:
    """List the distributions of an artifact."""
    return [package["name"] for package in report["packages"]]


def left_out(report: Mapping[str, Any]) -> dict[str, str]:
    """Get the reason for each package that stays out."""
    return {item["name"]: item["reason"] for item in report["left_out"]}


# --- provided by the runtime ----------------------------------------------------------


def test_provided_sdk(tmp_path: Path) -> None:
    """boto3 takes along what it alone needs; urllib3 stays for requests, which splits the SDK."""
    root = a_locked_project(tmp_path, (*SDK, *REQUESTS), requires=("boto3", "requests"))

    report = built(root, "--provided", "boto3")

    alone = "needed only by boto3, which is provided"
    assert shipped(report) == ["certifi", "demo", "idna", "requests", "urllib3"]
    assert left_out(report) == {
        "boto3": "provided",
        "botocore": alone,
        "jmespath": alone,
        "python-dateutil": alone,
        "s3transfer": alone,
        "six": alone,
    }
    assert report["warnings"] == [
        "the AWS SDK is split: boto3, botocore, jmespath, python-dateutil, s3transfer, six from "
        "the runtime would run with urllib3 from the artifact, in versions that were never "
        "tested together: name also `urllib3` in `provided`, or ship all of it"
    ]


def test_provided_sdk_without_others(tmp_path: Path) -> None:
    """Where all of the SDK stays out, nothing is split."""
    root = a_locked_project(tmp_path, SDK, requires=("boto3",))

    report = built(root, LAMBDA_BUILD_PROVIDED="boto3")

    assert (shipped(report), report["warnings"]) == (["demo"], [])


def test_provided_and_asked_for(tmp_path: Path) -> None:
    """What the project itself requires ships, whoever else needs it."""
    root = a_locked_project(tmp_path, SDK, requires=("boto3", "six"))

    assert shipped(built(root, "--provided", "boto3")) == ["demo", "six"]


def test_provided_and_asked_for_by_an_extra(tmp_path: Path) -> None:
    """An extra counts where it is asked for."""
    optional = '[project.optional-dependencies]\ncompat = ["six"]\n'
    root = a_locked_project(tmp_path, SDK, requires=("boto3",), table=optional)
    write_pylock(root, *SDK, offers='extras = ["compat"]', gates={})

    with_extra = shipped(built(root, "--provided", "boto3", "--extra", "compat"))
    without = shipped(built(root, "--provided", "boto3"))

    assert (with_extra, without) == (["demo", "six"], ["demo"])


@pytest.mark.parametrize(
    "table",
    [
        pytest.param('[dependency-groups]\naws = ["six"]\n', id="PEP 735"),
        pytest.param('[tool.poetry.group.aws.dependencies]\nsix = "*"\n', id="Poetry"),
        pytest.param('[tool.pdm.dev-dependencies]\naws = ["-e file:///x", "six"]\n', id="PDM"),
    ],
)
def test_provided_and_asked_for_by_a_group(tmp_path: Path, table: str) -> None:
    """A group counts where it is asked for, in whichever table it stands."""
    root = a_locked_project(tmp_path, SDK, requires=("boto3",), table=table)
    write_pylock(root, *SDK, offers='dependency-groups = ["aws"]', gates={})

    assert shipped(built(root, "--provided", "boto3", "--group", "aws")) == ["demo", "six"]


def test_provided_and_not_locked(tmp_path: Path) -> None:
    """A name that the lock does not have is a mistake that is told of."""
    root = a_locked_project(tmp_path, [lib("six")], requires=("six",))

    report = built(root, "--provided", "botto3")

    assert (shipped(report), report["warnings"]) == (
        ["demo", "six"],
        ["`provided` names botto3, which is not in the lock"],
    )


# --- provided by another artifact -----------------------------------------------------


def test_provided_by_a_zip(tmp_path: Path) -> None:
    """What a layer holds at the locked version stays out of the function."""
    root = a_locked_project(tmp_path, REQUESTS[1:], requires=("certifi", "idna"))
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        for place in ("python", "python/lib/python3.12/site-packages"):
            name = "idna" if place == "python" else "certifi"
            metadata = f"Name: {name}\nVersion: 1.0\n"
            archive.writestr(f"{place}/{name}-1.0.dist-info/METADATA", metadata)

    report = built(root, "--provided-by", "../layer.zip")

    # The Python of the function does not look into the folder of another one.
    assert report["warnings"] == [
        "`python/lib/python3.12/site-packages/` of a layer is for another Python: python3.13 "
        "imports nothing from it"
    ]
    assert shipped(report) == ["certifi", "demo"]
    assert left_out(report) == {"idna": f"provided by {root}/../layer.zip"}


@pytest.mark.parametrize("contents", ["all", "project"])
def test_provided_at_another_version(tmp_path: Path, contents: str) -> None:
    """A layer with another version than the lock stops the build, also of the project alone."""
    root = a_locked_project(tmp_path, [lib("idna", version="2.0")], requires=("idna",))
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr("python/idna-1.0.dist-info/METADATA", "Name: idna\nVersion: 1.0\n")

    run = ran(root, "--provided-by", layer, "--contents", contents)

    assert (run.code, run.errors.splitlines()[:2]) == (
        8,
        [
            "error: provided packages have other versions than the lock",
            f"  why: - idna 2.0 is locked, but {layer} contains 1.0",
        ],
    )
    assert not (root / "dist").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, NO_FILE, id="absent"),
        pytest.param(b"no zip", NO_ZIP, id="no zip"),
    ],
)
def test_provided_by_what_cannot_be_read(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """A zip that is none is an error of the settings."""
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",))
    if content is not None:
        (tmp_path / "layer.zip").write_bytes(content)

    run = ran(root, "--provided-by", tmp_path / "layer.zip")

    assert run.code == 2
    assert f"provided-by: cannot read {tmp_path / 'layer.zip'}: {reason}\n" in run.errors


def test_provided_by_itself_at_a_version_that_the_build_finds(tmp_path: Path) -> None:
    """Where the name of the zip is not known before the wheel is, it is told then."""
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",))
    pyproject = root / "pyproject.toml"
    text = pyproject.read_text().replace('version = "1.0"', 'dynamic = ["version"]')
    pyproject.write_text(f'{text}\n[tool.hatch.version]\npath = "src/demo/__init__.py"\n')
    (root / "src" / "demo" / "__init__.py").write_text('__version__ = "1.0"\n')
    zip_of_before = Path(built(root)["artifact"])
    before = zip_of_before.read_bytes()

    run = ran(root, "--provided-by", zip_of_before)

    assert run.code == 2
    assert f"an artifact cannot provide itself: {zip_of_before} is its own zip" in run.errors
    assert zip_of_before.read_bytes() == before


def test_handler_in_a_zip_that_provides(tmp_path: Path) -> None:
    """The handler is looked for where the function's own Python looks: in a layer, too."""
    root = a_locked_project(tmp_path, [])
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr("python/adapter.py", "def run(event, context): ...\n")
        archive.writestr("python/lib/python3.12/site-packages/older.py", "def run(e, c): ...\n")

    codes = {
        handler: ran(root, "--provided-by", layer, "--handler", handler).code
        for handler in ("adapter.run", "adapter.walk", "older.run")
    }

    assert codes == {"adapter.run": 0, "adapter.walk": 8, "older.run": 8}


def test_requirement_met_by_a_zip_that_provides(tmp_path: Path) -> None:
    """What a lock lacks and a layer has is no gap; at a version that does not fit, a warning."""
    asking = lib("asking", "idna>=2", "six")
    root = a_locked_project(tmp_path, [asking], requires=("asking",))
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        for name in ("idna", "six"):
            metadata = f"Name: {name}\nVersion: 1.0\n"
            archive.writestr(f"python/{name}-1.0.dist-info/METADATA", metadata)

    without, report = ran(root), built(root, "--provided-by", layer)

    assert without.code == 8
    assert report["warnings"] == ["asking 1.0 requires idna>=2, but 1.0 ships"]


def a_layer(path: Path, *names: str) -> Path:
    """Write a layer that holds distributions at version 1.0."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            metadata = f"Name: {name}\nVersion: 1.0\n"
            archive.writestr(f"python/{name}-1.0.dist-info/METADATA", metadata)
    return path


def test_layer_that_is_older_than_the_lock(tmp_path: Path) -> None:
    """What the project alone requires and its layer lacks is an error, unless it is provided."""
    root = a_locked_project(tmp_path, REQUESTS[1:], requires=("certifi", "idna"))
    options = ("--contents", "project", "--provided-by", a_layer(tmp_path / "layer.zip", "certifi"))

    run, report = ran(root, *options), built(root, *options, "--provided", "idna", "--strict")

    assert (run.code, run.errors.splitlines()[:2]) == (
        8,
        [
            "error: a requirement is not met by what ships",
            "  why: demo 1.0 requires idna, which does not ship",
        ],
    )
    assert shipped(report) == ["demo"]


def test_bomb_that_provides(tmp_path: Path) -> None:
    """Metadata that no package has are not unpacked."""
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",))
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("python/idna-1.0.dist-info/METADATA", bytes((1 << 26) + 1))

    run = ran(root, "--provided-by", layer)

    assert run.code == 2
    assert "METADATA` has 67,108,865 bytes\n" in run.errors


def test_layer_without_the_sdk(tmp_path: Path) -> None:
    """The runtime has what a layer lacks of the SDK, in some version: a warning."""
    root = a_locked_project(tmp_path, SDK, requires=("boto3",))
    layer = a_layer(tmp_path / "layer.zip", "certifi")

    report = built(root, "--contents", "project", "--provided-by", layer)

    assert report["warnings"] == [
        "demo 1.0 requires boto3, which does not ship: the runtime's own copy is "
        "used, whatever its version"
    ]


def test_damaged_handler_in_a_zip_that_provides(tmp_path: Path) -> None:
    """A file of a layer that cannot be read is an error that names the zip."""
    root = a_locked_project(tmp_path, [])
    layer = tmp_path / "layer.zip"
    with zipfile.ZipFile(layer, "w") as archive:
        archive.writestr("python/adapter.py", "def run(event, context): ...\n")
    layer.write_bytes(layer.read_bytes().replace(b"event", b"eleven"[:5]))

    run = ran(root, "--provided-by", layer, "--handler", "adapter.run")

    assert run.code == 2
    assert f"provided-by: cannot read {layer}: " in run.errors
    assert not (root / "dist").exists()


# --- several artifacts ----------------------------------------------------------------

PATTERN = """
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"

[tool.lambda-build.artifacts.api]
contents = "project"
provided-by = ["deps"]
handler = "demo.app.handler"

[tool.lambda-build.artifacts.worker]
provided-by = ["deps"]
"""


def test_layer_and_functions(tmp_path: Path) -> None:
    """The layer has the dependencies, the functions have the rest, and the report has all."""
    root = a_locked_project(tmp_path, REQUESTS[1:], requires=("certifi", "idna"), table=PATTERN)

    reports = all_built(root, "--report", "report.json")

    provided = dict.fromkeys(("certifi", "idna"), "provided by `deps`")
    assert {name: (shipped(report), left_out(report)) for name, report in reports.items()} == {
        "deps": (["certifi", "idna"], {}),
        "api": (["demo"], provided),
        "worker": (["demo"], provided),
    }
    assert sorted(path.name for path in (root / "dist").iterdir()) == [
        "demo-1.0-api-function-python3.13-x86_64.zip",
        "demo-1.0-deps-layer-python3.13-x86_64.zip",
        "demo-1.0-worker-function-python3.13-x86_64.zip",
    ]
    assert json.loads((root / "report.json").read_text()) == {
        "schema": 1,
        "artifacts": list(reports.values()),
    }


def test_what_the_layer_leaves_to_the_runtime(tmp_path: Path) -> None:
    """What the layer of the same run is told to leave out, its functions do not miss."""
    table = PATTERN.replace('contents = "dep', 'provided = ["idna"]\ncontents = "dep')
    root = a_locked_project(tmp_path, REQUESTS[1:], requires=("certifi", "idna"), table=table)

    reports = all_built(root, "--strict", "--artifact", "api")

    assert {name: shipped(report) for name, report in reports.items()} == {
        "deps": ["certifi"],
        "api": ["demo"],
    }


def test_the_layer_changes_with_the_lock_alone(tmp_path: Path) -> None:
    """New code and a new version of the project change the functions and not the layer."""
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",), table=PATTERN)
    before = all_built(root)
    (root / "src" / "demo" / "app.py").write_text("def handler(event, context): ...\n")
    pyproject = root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('version = "1.0"', 'version = "1.1"'))

    after = all_built(root)

    unchanged = {name: before[name]["sha256"] == after[name]["sha256"] for name in before}
    assert unchanged == {"deps": True, "api": False, "worker": False}


def test_shared_work_is_done_once(tmp_path: Path) -> None:
    """The project is built once, for the functions of both architectures too."""
    table = '[tool.lambda-build]\narchitecture = ["x86_64", "arm64"]\n' + PATTERN
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",), table=table)

    reports = built(root)["artifacts"]

    assert [report["architecture"] for report in reports] == ["x86_64", "arm64"] * 3
    assert ["build" in report["seconds"] for report in reports] == [
        *[False] * 2,
        True,
        *[False] * 3,
    ]


def test_one_artifact(tmp_path: Path) -> None:
    """`--artifact` builds one alone; its text says which."""
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",), table=PATTERN)

    run = ran(root, "--artifact", "deps")

    assert run.code == 0, run.errors
    assert run.output.splitlines()[2] == "  artifact   deps"
    assert len(list((root / "dist").iterdir())) == 1


def test_all_or_none(tmp_path: Path) -> None:
    """If one artifact fails, none appears, and the error names it."""
    table = PATTERN.replace("demo.app.handler", "demo.nowhere.handler")
    root = a_locked_project(tmp_path, [lib("idna")], requires=("idna",), table=table)

    run = ran(root)

    assert (run.code, run.errors.splitlines()[0]) == (
        8,
        "error: `api` for python3.13 x86_64: the handler `demo.nowhere.handler` is not in the "
        "artifact",
    )
    assert not (root / "dist").exists()


@pytest.mark.parametrize("options", [[], ["--bytecode-only"]], ids=["source", "bytecode"])
def test_handler_of_the_layer(tmp_path: Path, options: list[str]) -> None:
    """A function may name a handler that lies in the layer of the same run."""
    table = PATTERN.replace("demo.app.handler", "adapter.run")
    adapter = lib("adapter", files={"adapter.py": "def run(event, context): ...\n"})
    root = a_locked_project(tmp_path, [adapter], requires=("adapter",), table=table)

    reports = all_built(root, "--runtime", HOST, *options)

    assert {name: shipped(report) for name, report in reports.items()} == {
        "deps": ["adapter"],
        "api": ["demo"],
        "worker": ["demo"],
    }


def test_handler_that_the_layer_does_not_define(tmp_path: Path) -> None:
    """The source of the layer is read, as that of the function is."""
    table = PATTERN.replace("demo.app.handler", "adapter.run")
    adapter = lib("adapter", files={"adapter.py": "def walk(event, context): ...\n"})
    root = a_locked_project(tmp_path, [adapter], requires=("adapter",), table=table)

    run = ran(root)

    assert (run.code, run.errors.splitlines()[:2]) == (
        8,
        [
            "error: `api` for python3.13 x86_64: the handler `adapter.run` is not defined",
            "  why: nothing in `python/adapter.py` defines `run`: the runtime answers "
            "Runtime.HandlerNotFound",
        ],
    )
    assert not (root / "dist").exists()


def test_library_of_the_layer(tmp_path: Path) -> None:
    """A library in a layer counts only where the loader looks, which is `/opt/lib`."""
    owning = lib("owning", files={"owning.libs/libown.so.1": an_elf("x86_64")})
    using = lib("using", files={"using.so": an_elf("x86_64", needed=["libown.so.1"])})
    table = """
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"

[tool.lambda-build.artifacts.api]
provided-by = ["deps"]
groups = ["more"]

[dependency-groups]
more = ["using"]
"""
    root = a_locked_project(tmp_path, [], requires=("owning",), table=table)
    (root / "requirements.txt").unlink()
    gates = {"using": "'more' in dependency_groups"}
    write_pylock(root, owning, using, offers='dependency-groups = ["more"]', gates=gates)

    reports = all_built(root)

    missed = (
        "using 1.0: `using.so`: needs libown.so.1, which lies in `opt/python/owning.libs/`, where "
        "the loader does not look: ship it at the root, in `lib/`, or in `lib/` of a layer"
    )
    assert [(shipped(report), report["warnings"]) for report in reports.values()] == [
        (["owning"], []),
        (["demo", "using"], [missed]),
    ]


def test_sizes_are_added(tmp_path: Path) -> None:
    """A function that fits alone, but not with its layer, is refused."""
    big = lib("big", files={"big.bin": "0" * 150_000_000})
    other = lib("other", files={"other.bin": "0" * 120_000_000})
    table = """
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"

[tool.lambda-build.artifacts.api]
provided-by = ["deps"]
groups = ["more"]

[dependency-groups]
more = ["other"]
"""
    root = a_locked_project(tmp_path, [], requires=("big",), table=table)
    gates = {"other": "'more' in dependency_groups"}
    write_pylock(root, big, other, offers='dependency-groups = ["more"]', gates=gates)

    run = ran(root)

    assert run.code == 8
    assert "too large by 7.5 MB" in run.errors.splitlines()[0]
    assert "`deps`, which is used with it, has 143.1 MB" in run.errors


def test_collision_and_strict(tmp_path: Path) -> None:
    """Two distributions that write one path are an error where warnings are."""
    wheels = [lib(name, files={"same.py": f"# {name}"}) for name in ("a", "b")]
    root = a_locked_project(tmp_path, wheels, requires=("a", "b"))

    relaxed, strict = built(root), ran(root, "--strict")

    warning = "`same.py` comes from a and from b with different content: the one from b ships"
    assert (relaxed["warnings"], strict.code) == ([warning], 8)
    assert f"- {warning}\n" in strict.errors


def test_collision_that_is_excluded(tmp_path: Path) -> None:
    """What two distributions dispute is no matter any more where it stays out."""
    files = ("tests/__init__.py", "Readme.py")
    wheels = [
        lib("a", files=dict.fromkeys(files, "# a")),
        lib("b", files={"tests/__init__.py": "# b", "readme.py": "# b"}),
    ]
    root = a_locked_project(tmp_path, wheels, requires=("a", "b"))

    report = built(root, "--exclude", "/tests/", "--exclude", "/Readme.py", "--strict")

    assert report["warnings"] == []


def test_collision_of_bytecode(tmp_path: Path) -> None:
    """Bytecode in the place of a disputed module is as doubtful as the module."""
    wheels = [lib(name, files={"same.py": f"# {name}"}) for name in ("a", "b")]
    root = a_locked_project(tmp_path, wheels, requires=("a", "b"))

    report = built(root, "--bytecode-only", "--runtime", HOST)

    assert report["warnings"] == [
        "`same.py` comes from a and from b with different content: the one from b ships"
    ]


# --- with real packages and the real runtime interface --------------------------------

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}") or "uv"
HOST = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.index
def test_function_and_layer_together(tmp_path: Path, runtime_interface_client: Path) -> None:
    """Unpacked as Lambda does, function and layer import each other's code."""
    wheels = [lib("idna", files={"idna.py": "NAME = 'of the layer'\n"})]
    root = a_locked_project(tmp_path, wheels, requires=("idna",), table=PATTERN)
    code = "import idna\n\ndef handler(event, context):\n    return idna.NAME\n"
    (root / "src" / "demo" / "app.py").write_text(code)
    reports = all_built(root, "--runtime", HOST)

    invocation = invoke(
        "demo.app.handler",
        {},
        task=unpack(Path(reports["api"]["artifact"]), tmp_path / "task"),
        opt=unpack(Path(reports["deps"]["artifact"]), tmp_path / "opt"),
        python=Path(sys.executable),
        runtime=HOST,
        ric=runtime_interface_client,
    )

    assert (invocation.result, invocation.error) == ("of the layer", None)


@pytest.mark.index
def test_real_sdk(tmp_path: Path) -> None:
    """Of boto3 and requests, as uv locks them, urllib3 alone of the SDK stays, for requests."""
    root = a_project(tmp_path / "project", dependencies=("boto3", "requests"), extra=held())
    subprocess.run([UV, "lock", "--quiet"], cwd=root, check=True)
    environ = {**os.environ, "LAMBDA_BUILD_RUNTIME": "python3.13"}

    run = run_lambda_build("--json", "--provided", "boto3", cwd=root, environ=environ)

    assert run.code == 0, run.errors
    report = json.loads(run.output)
    there = {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six"}
    assert there <= set(left_out(report))
    assert shipped(report) == [
        "certifi",
        "charset-normalizer",
        "demo",
        "idna",
        "requests",
        "urllib3",
    ]
    (warning,) = report["warnings"]
    assert warning.startswith("the AWS SDK is split: boto3, botocore, ")


# --- all or none ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="the hook is a line for a POSIX shell")
@pytest.mark.parametrize("spoiled", ["a", "b", "c"])
def test_zip_that_cannot_be_moved(tmp_path: Path, spoiled: str) -> None:
    """If one zip cannot be moved into place, the others are as they were before."""
    names = ("a", "b", "c")
    table = "".join(
        f'[tool.lambda-build.artifacts.{name}]\noutput = "{name}.zip"\n' for name in names
    )
    hook = '[tool.lambda-build.hooks]\nafter-stage = ["mkdir -p \\"$SPOILED/x\\""]\n'
    root = a_locked_project(tmp_path, [], table=hook + table)
    old = {}
    for name in names:
        if name != spoiled:
            with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
                archive.writestr("old", name)
            old[name] = (root / f"{name}.zip").read_bytes()

    run = ran(root, SPOILED=str(root / f"{spoiled}.zip"))

    assert (run.code, run.output) == (7, "")
    assert run.errors.startswith(
        f"error: cannot write {root / spoiled}.zip\n  why: Is a directory\n"
    )
    assert {name: (root / f"{name}.zip").read_bytes() for name in old} == old
    assert [path.name for path in root.iterdir() if path.suffix in {".part", ".old"}] == []


# --- changed ----------------------------------------------------------------------------


def test_report_says_what_has_changed(tmp_path: Path) -> None:
    """Each artifact says whether its zip is new, the same or another; the same one stays."""
    table = "[tool.lambda-build.artifacts.api]\n[tool.lambda-build.artifacts.layer]\n"
    table += 'layout = "layer"\ncontents = "dependencies"\n'
    root = a_locked_project(tmp_path, [lib("six")], requires=("six",), table=table)

    new = all_built(root)
    layer = Path(new["layer"]["artifact"])
    os.utime(layer, (1, 1))
    (root / "src" / "demo" / "app.py").write_text("def handler(event, context): ...\n")
    again = all_built(root)

    assert {name: report["changed"] for name, report in new.items()} == {
        "api": None,
        "layer": None,
    }
    assert {name: report["changed"] for name, report in again.items()} == {
        "api": True,
        "layer": False,
    }
    assert layer.stat().st_mtime == 1


_COUNTING = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shared"
version = "1.0"

[tool.hatch.build.hooks.custom]
"""

_COUNTING_HOOK = """
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        with open({count!r}, "a") as file:
            file.write("built\\n")
"""


@pytest.mark.parametrize(("hooks", "builds"), [("", 1), ('before-build = ["true"]', 2)])
def test_local_library_is_built_once_a_run(tmp_path: Path, hooks: str, builds: int) -> None:
    """All artifacts share the wheel of a folder, unless commands of the user may change it."""
    library, count = tmp_path / "library", tmp_path / "count"
    (library / "shared").mkdir(parents=True)
    (library / "shared" / "__init__.py").write_text("")
    (library / "pyproject.toml").write_text(_COUNTING)
    (library / "hatch_build.py").write_text(_COUNTING_HOOK.format(count=str(count)))
    table = f'[tool.lambda-build]\ninclude-local = ["../library"]\nhooks = {{ {hooks} }}\n'
    table += "[tool.lambda-build.artifacts.one]\n[tool.lambda-build.artifacts.two]\n"
    root = a_locked_project(tmp_path, [], table=table)

    reports = all_built(root)

    assert [shipped(report) for report in reports.values()] == [["demo", "shared"]] * 2
    assert count.read_text() == "built\n" * builds
