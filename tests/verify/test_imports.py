"""What lies directly on `sys.path` and disturbs imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.artifacts import an_artifact

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.verify.findings import Findings
from lambda_build_plugin.verify.imports import EditableError, check_imports, check_pythons

if TYPE_CHECKING:
    from collections.abc import Mapping


def check(files: Mapping[str, str], *, minor: int = 13, root: str = "") -> Findings:
    """Check files that came with one distribution."""
    target = Target(runtime=RUNTIMES[f"python3.{minor}"], architecture=Architecture.ARM64)
    owners = dict.fromkeys(files, "odd 1.0")
    return check_imports(an_artifact(files, roots=(root,), owners=owners), target)


@pytest.mark.parametrize(
    ("path", "module"),
    [
        pytest.param("logging.py", "logging", id="module"),
        pytest.param("typing/__init__.py", "typing", id="package"),
        pytest.param("enum.pyc", "enum", id="bytecode"),
        pytest.param("queue.abi3.so", "queue", id="extension"),
        pytest.param("tomllib/__init__.py", "tomllib", id="newer module"),
    ],
)
def test_shadow(path: str, module: str) -> None:
    """A file that is imported in place of the standard library's is a warning."""
    assert check({path: ""}) == Findings(
        warnings=(f"`{path}` (of odd 1.0) shadows `{module}` of the standard library",)
    )


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("platform/data.txt", id="folder without a module"),
        pytest.param("pkg/logging.py", id="deeper"),
        pytest.param("logging.txt", id="no module"),
        pytest.param("cgi.py", id="gone from this Python"),
        pytest.param("json-1.0.dist-info/METADATA", id="metadata"),
    ],
)
def test_no_shadow(path: str) -> None:
    """A name that no import of the standard library finds passes."""
    assert check({path: ""}) == Findings()


def test_shadow_in_an_older_python() -> None:
    """The names are those of the target's Python."""
    assert len(check({"cgi.py": ""}, minor=12).warnings) == 1


def test_shadow_in_a_layer() -> None:
    """A layer is imported from its own folder."""
    assert len(check({"python/logging.py": ""}, root="python/").warnings) == 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        pytest.param("odd.pth", "import odd\n", ["runs code at every start"], id="code"),
        pytest.param(
            "odd.pth",
            "/home/me/odd\n",
            ["points to `/home/me/odd`, which does not exist when the function runs"],
            id="path elsewhere",
        ),
        pytest.param("odd.pth", "sub/folder\n", [], id="path inside"),
        pytest.param("odd.pth", "# nothing\n\n", [], id="nothing"),
        pytest.param("odd.pth", "/opt/vendor\n", [], id="path of a layer"),
        pytest.param("distutils-precedence.pth", "import os; 1\n", [], id="setuptools"),
        pytest.param("odd-nspkg.pth", "import sys; 1\n", [], id="namespace"),
        pytest.param("pkg/odd.pth", "import odd\n", [], id="deeper"),
    ],
)
def test_pth(name: str, text: str, told: list[str]) -> None:
    """A file that runs or leads elsewhere at every start is a warning."""
    assert check({name: text}) == Findings(
        warnings=tuple(f"`{name}` (of odd 1.0) {each}" for each in told)
    )


@pytest.mark.parametrize(
    "path",
    ["__editable__.odd-1.0.pth", "__editable___odd_1_0_finder.py", "odd.egg-link"],
)
def test_editable(path: str) -> None:
    """A package that was linked and not installed is an error."""
    (error,) = check({path: "/home/me/odd"}).errors

    assert (type(error), error.why) == (EditableError, f"`{path}` (of odd 1.0)")


# --- folders of other Pythons -----------------------------------------------------------

OLDER = "python/lib/python3.12/site-packages/"


@pytest.mark.parametrize(
    ("files", "roots", "folders"),
    [
        pytest.param([f"{OLDER}a.py"], (), [OLDER], id="layer of another Python"),
        pytest.param([f"{OLDER}a.py", "python/b.py"], ("python/",), [OLDER], id="both"),
        pytest.param(
            [f"{OLDER}a.py", "python/lib/python3.13/site-packages/a.py"],
            ("python/lib/python3.13/site-packages/",),
            [],
            id="layer for several",
        ),
        pytest.param([f"{OLDER}a.py"], ("",), [], id="function"),
    ],
)
def test_other_pythons(files: list[str], roots: tuple[str, ...], folders: list[str]) -> None:
    """What a layer has for other Pythons alone is told."""
    target = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)

    found = check_pythons(an_artifact(dict.fromkeys(files, ""), roots=roots), target)

    assert found == Findings(
        warnings=tuple(
            f"`{folder}` of a layer is for another Python: python3.13 imports nothing from it"
            for folder in folders
        )
    )
