"""Where requirements lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.graph import extras_of, pruned, reachable, requirements_of

if TYPE_CHECKING:
    from pathlib import Path

TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)


def test_extras_of_a_wheel(tmp_path: Path) -> None:
    """They are what the metadata provides, normalized."""
    wheel = a_wheel(metadata=["Provides-Extra: Fast_Json", "Provides-Extra: slow"])

    assert extras_of(wheel.write_to(tmp_path)) == {"fast-json", "slow"}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_requirements_of_a_wheel(tmp_path: Path, end: str) -> None:
    """They stand among the headers; the description may hold lines that look like some."""
    lines = ("Metadata-Version: 2.1", "Name: demo", "Version: 1.0", "Requires-Dist: one>=1")
    text = end.join((*lines, "", "Requires-Dist: two", ""))
    wheel = a_wheel(files={"demo-1.0.dist-info/METADATA": text.encode()})

    assert requirements_of(wheel.write_to(tmp_path)) == (Requirement("one>=1"),)


GRAPH = {
    "app": ["web", "six; extra == 'old'", "app[old]; extra == 'all'", "win; os_name == 'nt'"],
    "web": ["core>=2", "web[ws]; extra == 'all'", "sockets; extra == 'ws'"],
    "core": ["web"],
}


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        pytest.param(
            ["app"],
            {"app": "the project", "web": "app", "core": "web"},
            id="markers, circles, and versions that the lock chooses",
        ),
        pytest.param(
            ["app[old]"],
            {"app": "the project", "web": "app", "six": "app", "core": "web"},
            id="extra",
        ),
        pytest.param(
            ["App[ALL]"],
            {"app": "the project", "web": "app", "six": "app", "core": "web"},
            id="extra of extras",
        ),
        pytest.param(
            ["web[all]"],
            {"web": "the project", "core": "web", "sockets": "web"},
            id="extra of a dependency",
        ),
        pytest.param(
            ["core", "web[ws]"],
            {"core": "the project", "web": "the project", "sockets": "web"},
            id="extra of what was met without it",
        ),
        pytest.param(["unknown"], {"unknown": "the project"}, id="nothing is known of it"),
        pytest.param([], {}, id="nothing is asked for"),
    ],
)
def test_reachable(roots: list[str], expected: dict[str, str]) -> None:
    """Each name has the first that asked for it."""
    requirements = {
        canonicalize_name(name): [Requirement(line) for line in lines]
        for name, lines in GRAPH.items()
    }

    found = reachable(map(Requirement, roots), requirements, TARGET)

    assert found == expected


# --- what goes with provided packages ------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "roots", "gone"),
    [
        pytest.param(
            {"boto3": ["botocore"], "botocore": ["six"], "six": []},
            ["boto3"],
            {"boto3": (), "botocore": ("boto3",), "six": ("boto3",)},
            id="a chain",
        ),
        pytest.param(
            {"boto3": ["six", "jmespath"], "six": [], "jmespath": [], "other": ["six"]},
            ["boto3", "other"],
            {"boto3": (), "jmespath": ("boto3",)},
            id="what another one needs stays",
        ),
        pytest.param(
            {"boto3": ["six"], "six": []},
            ["boto3", "six"],
            {"boto3": ()},
            id="what is asked for stays",
        ),
        pytest.param(
            {"boto3": ["a"], "a": ["b"], "b": ["a", "boto3"]},
            ["boto3"],
            {"boto3": (), "a": ("boto3",), "b": ("boto3",)},
            id="a circle goes as a whole",
        ),
        pytest.param(
            {"boto3": ["a"], "a": ["b"], "b": ["a"], "other": ["b"]},
            ["boto3", "other"],
            {"boto3": ()},
            id="a circle stays as a whole",
        ),
        pytest.param(
            {"boto3": ["lib[fast]"], "lib": ["speed; extra == 'fast'"], "speed": [], "x": ["lib"]},
            ["boto3", "x"],
            {"boto3": (), "speed": ("boto3",)},
            id="an extra that nobody else asks for",
        ),
        pytest.param(
            {"boto3": ["crt; extra == 'crt'"], "crt": []},
            ["boto3[crt]"],
            {"boto3": (), "crt": ("boto3",)},
            id="an extra of the provided one",
        ),
        pytest.param(
            {"boto3": ["six; sys_platform == 'win32'"], "six": []},
            ["boto3"],
            {"boto3": ()},
            id="a marker that is false",
        ),
        pytest.param(
            {"boto3": ["wrapper"], "wrapper": [], "other": ["boto3"]},
            ["other"],
            {"boto3": (), "wrapper": ("boto3",)},
            id="provided though another one needs it",
        ),
        pytest.param({"other": []}, ["other"], {}, id="provided and not there"),
    ],
)
def test_pruned(graph: dict[str, list[str]], roots: list[str], gone: dict[str, object]) -> None:
    """What only a provided distribution leads to goes with it, and nothing else."""
    requirements = {
        canonicalize_name(name): [Requirement(line) for line in lines]
        for name, lines in graph.items()
    }
    provided = {canonicalize_name("boto3")}

    assert pruned(provided, [Requirement(root) for root in roots], requirements, TARGET) == gone


def test_pruned_without_knowing_the_extras() -> None:
    """Where nobody knows which extras are asked for, each may be, and what it needs stays."""
    other, six = canonicalize_name("other"), canonicalize_name("six")
    boto3 = canonicalize_name("boto3")
    requirements = {
        boto3: [Requirement("six")],
        other: [Requirement("six; extra == 'compat'")],
        six: [],
    }

    found = pruned({boto3}, [], requirements, TARGET, offered={other: ["compat"]})

    assert found == {boto3: ()}
