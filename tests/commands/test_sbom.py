"""`--sbom`: a CycloneDX document that tells what is in a zip."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from fakes.index import FakeIndex
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from pathlib import Path

_ONE = a_wheel(
    "one",
    "1.0",
    files={
        "one.py": "",
        "one-1.0.dist-info/sboms/inner.cdx.json": "{}",
        "one_vendor/two-9.dist-info/METADATA": "Name: two\nVersion: 9\n",
    },
    metadata=[
        "License-Expression: MIT OR Apache-2.0",
        "Requires-Dist: two[fast]",
        "Requires-Dist: gone; sys_platform == 'win32'",
    ],
)
_TWO = a_wheel(
    "two",
    "2.0",
    files={"two.py": ""},
    metadata=[
        "Classifier: License :: OSI Approved :: BSD License",
        "Requires-Dist: three; extra == 'fast'",
        "Requires-Dist: four; extra == 'slow'",
    ],
)
_THREE = a_wheel("three", "3.0", files={"three.py": ""})
_FOUR = a_wheel("four", "4.0", files={"four.py": ""})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Give a project of which a function was built, with its SBOM."""
    world = World(tmp_path_factory.mktemp("sbom"))
    world.environ["LAMBDA_BUILD_CONTENTS"] = "all"
    wheels = (_ONE, _TWO, _THREE, _FOUR)
    with FakeIndex(wheels) as index:
        world.lock(pylock_of(wheels, index.file_url("")))
        run = world.build("--sbom", "sbom.json")
    assert run.code == 0, run.errors
    return world


@pytest.fixture(scope="module")
def document(world: World) -> dict[str, Any]:
    """Give the SBOM."""
    found: dict[str, Any] = json.loads((world.project / "sbom.json").read_text())
    return found


def component(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Find a component by its name."""
    (found,) = [each for each in document["components"] if each["name"] == name]
    return dict(found)


def test_document_is_valid(world: World) -> None:
    """It follows the schema of CycloneDX 1.6, strictly."""
    text = (world.project / "sbom.json").read_text()

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.loads(text)["specVersion"] == "1.6"


def test_subject_is_the_zip(world: World, document: dict[str, Any]) -> None:
    """The document is about the artifact, with its digest and what it is for."""
    subject = document["metadata"]["component"]

    assert (subject["name"], subject["hashes"]) == (
        "artifact.zip",
        [{"alg": "SHA-256", "content": world.digest()}],
    )
    assert {each["name"]: each["value"] for each in subject["properties"]} == {
        "lambda-build:architecture": "x86_64",
        "lambda-build:layout": "function",
        "lambda-build:runtime": "python3.13",
    }


def test_components_are_what_ships(document: dict[str, Any]) -> None:
    """All distributions are listed, and metadata that a package vendors is not one."""
    found = {each["name"]: (each["version"], each.get("purl")) for each in document["components"]}

    assert found == {
        "demo": ("1.0", None),
        "four": ("4.0", "pkg:pypi/four@4.0"),
        "one": ("1.0", "pkg:pypi/one@1.0"),
        "three": ("3.0", "pkg:pypi/three@3.0"),
        "two": ("2.0", "pkg:pypi/two@2.0"),
    }


def test_hashes_are_those_of_the_lock(document: dict[str, Any]) -> None:
    """A locked wheel has its digest; what was built here has none that others could know."""
    assert component(document, "one")["hashes"] == [{"alg": "SHA-256", "content": _ONE.sha256}]
    assert "hashes" not in component(document, "demo")


def test_licences(document: dict[str, Any]) -> None:
    """An SPDX expression is told as one, and a classifier as a name."""
    assert component(document, "one")["licenses"] == [
        {"acknowledgement": "declared", "expression": "MIT OR Apache-2.0"}
    ]
    assert component(document, "two")["licenses"] == [
        {"license": {"acknowledgement": "declared", "name": "BSD License"}}
    ]
    assert "licenses" not in component(document, "three")


def test_inner_sboms_are_named(document: dict[str, Any]) -> None:
    """An SBOM inside a wheel (PEP 770) is named by its path in the zip, with its digest."""
    assert component(document, "one")["externalReferences"] == [
        {
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(b"{}").hexdigest()}],
            "type": "bom",
            "url": "one-1.0.dist-info/sboms/inner.cdx.json",
        }
    ]


def test_dependency_graph(world: World, document: dict[str, Any]) -> None:
    """Requirements are followed for the target, with the extras that are requested."""
    names = {each["bom-ref"]: each["name"] for each in document["components"]}
    names[document["metadata"]["component"]["bom-ref"]] = "the zip"
    graph = {
        names[each["ref"]]: [names[ref] for ref in each.get("dependsOn", ())]
        for each in document["dependencies"]
        if each["ref"] in names
    }

    assert {name: sorted(needed) for name, needed in graph.items()} == {
        "the zip": ["demo", "four", "one"],
        "demo": [],
        "one": ["two"],
        "two": ["three"],
        "three": [],
        "four": [],
    }


def test_same_bytes_again(world: World) -> None:
    """A second document, a day later or not, has the same bytes and replaces the first."""
    before = (world.project / "sbom.json").read_bytes()

    run = world.build("--sbom", "sbom.json")

    assert run.code == 0, run.errors
    assert (world.project / "sbom.json").read_bytes() == before
    assert "timestamp" not in json.loads(before)["metadata"]


def test_date_of_the_sources(tmp_path: Path) -> None:
    """There is a date only where `SOURCE_DATE_EPOCH` names one."""
    project = a_project(tmp_path / "project")
    environ = quiet_environment(
        tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13", SOURCE_DATE_EPOCH="1700000000"
    )

    run = run_lambda_build("--sbom", "sbom.json", cwd=project, environ=environ)

    assert run.code == 0, run.errors
    metadata = json.loads((project / "sbom.json").read_text())["metadata"]
    assert metadata["timestamp"] == "2023-11-14T22:13:20+00:00"


def test_two_artifacts_share_a_document(tmp_path: Path) -> None:
    """A build for two targets lists both zips, and what is in both of them once."""
    project = a_project(tmp_path / "project")
    environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")

    run = run_lambda_build(
        *("--sbom", "sbom.json", "--arch", "arm64", "--arch", "x86_64"),
        cwd=project,
        environ=environ,
    )

    assert run.code == 0, run.errors
    text = (project / "sbom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert [each["name"] for each in json.loads(text)["components"]] == [
        "demo-1.0-function-python3.13-arm64.zip",
        "demo-1.0-function-python3.13-x86_64.zip",
        "demo",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(
            ("--sbom", "same.json", "--report", "same.json"),
            "is also the file of --report",
            id="the same file",
        ),
        pytest.param(
            ("--sbom", "pyproject.toml"), "is one of the project's own files", id="own file"
        ),
        pytest.param(
            ("--sbom", "data.json"),
            "already exists and is not an SBOM of lambda-build",
            id="other data",
        ),
    ],
)
def test_wrong_place(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    """The place is checked before anything is built."""
    project = a_project(tmp_path / "project")
    (project / "data.json").write_text('{"schema": 1}')
    environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")

    run = run_lambda_build(*arguments, cwd=project, environ=environ)

    assert run.code == 2
    assert run.errors.partition("\n")[0].endswith(problem)
    assert not (project / "dist").exists()


def test_without_the_library_the_extra_is_named(tmp_path: Path) -> None:
    """A missing library is an error before the build."""
    project = a_project(tmp_path / "project")
    code = (
        "import importlib.util as util; real = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'cyclonedx' else real(name, *more)\n"
        "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, "--sbom", "sbom.json"],
        cwd=project,
        env=quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (
        2,
        "error: `--sbom` needs cyclonedx-python-lib, which is not installed\n\n"
        "hint: install `lambda-build-plugin[sbom]`, into the same environment\n",
    )
    assert not (project / "dist").exists()
