"""`layer-files` puts the user's own files at the root of a layer."""

from __future__ import annotations

import json
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from fakes.elf import an_elf
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.projects import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="about modes and links")

WHEEL = a_wheel("dep", files={"dep/__init__.py": "", "dep/fast.so": an_elf(needed=["libown.so.1"])})


def a_layer_project(folder: Path, listed: str, *, more: str = "", files: bool = True) -> Path:
    """Write a project whose layer has one wheel, and files in `layer/`."""
    table = f'[tool.lambda-build]\nlayout = "layer"\nlayer-files = {listed}\n{more}'
    root = a_project(folder / "project", extra=table)
    WHEEL.write_to(folder / "wheelhouse")
    (root / "requirements.txt").write_text(
        f"--no-index\n--find-links {folder / 'wheelhouse'}\ndep==1.0 --hash=sha256:{WHEEL.sha256}\n"
    )
    if files:
        given = {"bin/tool": 0o750, "lib/libown.so.1": 0o600, "wrapper.sh": 0o755}
        for path, mode in given.items():
            place = root / "layer" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(an_elf() if path.startswith("lib/") else b"#!/bin/sh\n")
            place.chmod(mode)
    return root


def run(root: Path, *options: str) -> Run:
    """Build the layer of a project without its own code."""
    return run_lambda_build(
        *("--runtime", "python3.13", "--contents", "dependencies", "-o", "../a.zip", *options),
        cwd=root,
        environ=quiet_environment(root.parent),
    )


def refused(root: Path, *options: str) -> tuple[int, str]:
    """Build a layer that must not appear; give the code and the first line of the message."""
    result = run(root, *options)
    assert not (root.parent / "a.zip").exists()
    return result.code, result.errors.splitlines()[0].replace(str(root.parent), "…")


def modes(path: Path) -> dict[str, str]:
    """Read the modes of what lies beside `python/`."""
    with zipfile.ZipFile(path) as archive:
        return {
            info.filename: f"{info.external_attr >> 16 & 0o777:o}"
            for info in archive.infolist()
            if not info.filename.startswith("python/")
        }


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param('["layer/"]', id="contents of a folder"),
        pytest.param('["layer/bin", "layer/lib", "layer/wrapper.sh"]', id="names"),
    ],
)
def test_names_and_modes(listed: str, tmp_path: Path) -> None:
    """Files keep their own names and whether they are executable; a slash means the contents."""
    root = a_layer_project(tmp_path, listed)

    result = run(root, "--json")

    assert (result.code, result.errors) == (0, "")
    assert modes(tmp_path / "a.zip") == {
        "bin/tool": "755",
        "lib/libown.so.1": "644",
        "wrapper.sh": "755",
    }
    report = json.loads(result.output)
    assert [each["path"] for each in report["layer_files"]] == sorted(modes(tmp_path / "a.zip"))
    assert [each["name"] for each in report["packages"]] == ["dep"]
    assert report["size"]["unzipped"] == sum(
        each["unzipped"] for each in (*report["packages"], *report["layer_files"])
    )
    # A library in `lib/` is where the loader looks for it.
    assert report["warnings"] == []


def test_second_build_and_inspection(tmp_path: Path) -> None:
    """A second build has the same bytes, a changed file ships, and `inspect` sees a layer."""
    root = a_layer_project(tmp_path, '["layer/"]')
    zips = []
    for text in ("#!/bin/sh\n", "#!/bin/sh\n", "#!/bin/bash\n"):
        (root / "layer/wrapper.sh").write_text(text)
        result = run(root)
        assert (result.code, "Layer files\n  bin/tool" in result.output) == (0, True)
        zips.append((tmp_path / "a.zip").read_bytes())

    inspected = run_lambda_build(
        "inspect", "a.zip", "--json", "--strict", cwd=tmp_path, environ=quiet_environment(tmp_path)
    )

    assert (zips[0] == zips[1], zips[0] == zips[2]) == (True, False)
    report: dict[str, Any] = json.loads(inspected.output)
    assert (inspected.code, report["layout"], report["warnings"]) == (0, "layer", [])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("wrapper.sh") == b"#!/bin/bash\n"


@pytest.mark.parametrize(("listed", "warnings"), [("layer/", 0), ("layer/bin", 1)])
def test_library_for_a_function_that_uses_the_layer(
    listed: str, warnings: int, tmp_path: Path
) -> None:
    """A library in the layer's `lib/` is found by the function that names it in `provided-by`."""
    tables = f"""
[tool.lambda-build.artifacts.native]
layout = "layer"
contents = "project"
layer-files = ["{listed}"]
[tool.lambda-build.artifacts.app]
provided-by = ["native"]
"""
    root = a_layer_project(tmp_path, '["layer/"]')
    text = (root / "pyproject.toml").read_text().partition("[tool.lambda-build]")[0]
    (root / "pyproject.toml").write_text(text + tables)

    result = run_lambda_build(
        *("--runtime", "python3.13", "--json", "-o", "../out/"),
        cwd=root,
        environ=quiet_environment(tmp_path),
    )

    assert result.code == 0, result.errors
    by_name = {each["name"]: each for each in json.loads(result.output)["artifacts"]}
    assert len([each for each in by_name["app"]["warnings"] if "libown" in each]) == warnings


def test_source_project_ships_them_once(tmp_path: Path) -> None:
    """Files for the root do not ship below `python/` as well, if the project ships as source."""
    root = a_layer_project(tmp_path, '["layer/"]', more='project = "source"\n')

    result = run(root, "--contents", "project")

    assert result.code == 0, result.errors
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == [
            "bin/tool",
            "lib/libown.so.1",
            "python/demo/__init__.py",
            "python/demo/app.py",
            "wrapper.sh",
        ]


def test_layer_of_such_files_alone(tmp_path: Path) -> None:
    """A layer may consist of nothing but programs and libraries, and `inspect` knows it as one."""
    root = a_layer_project(tmp_path, '["layer/bin", "layer/lib"]')
    (root / "requirements.txt").write_text("")

    assert run(root).code == 0

    inspected = run_lambda_build(
        "inspect", "a.zip", "--json", "--strict", cwd=tmp_path, environ=quiet_environment(tmp_path)
    )
    assert (inspected.code, json.loads(inspected.output)["layout"]) == (0, "layer")


def test_only_for_layers(tmp_path: Path) -> None:
    """A function has no such place."""
    root = a_layer_project(tmp_path, '["layer/"]')

    assert refused(root, "--layout", "function") == (
        2,
        'error: [tool.lambda-build] layer-files: is for layers: set `layout = "layer"`; in a '
        "function, files of the project are beside its modules",
    )


@pytest.mark.parametrize("path", ["./", ".."])
def test_whole_project(path: str, tmp_path: Path) -> None:
    """The project itself is not meant."""
    code, message = refused(a_layer_project(tmp_path, f'["{path}"]'))

    assert code == 2
    assert message.endswith("contains the whole project: name a folder in it")


def test_missing_path(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    root = a_layer_project(tmp_path, '["layer/sbin"]')

    assert refused(root) == (2, "error: layer-files: `layer/sbin` does not exist")


def test_file_with_a_slash(tmp_path: Path) -> None:
    """Only a folder has contents."""
    root = a_layer_project(tmp_path, '["layer/wrapper.sh/"]')

    assert refused(root)[0] == 2


def test_collision_with_a_package(tmp_path: Path) -> None:
    """What a package brings is not replaced."""
    root = a_layer_project(tmp_path, '["layer/"]')
    place = root / "layer/python/dep/__init__.py"
    place.parent.mkdir(parents=True)
    place.write_text("")

    assert refused(root) == (
        7,
        "error: layer-files: there would be two files `python/dep/__init__.py`",
    )


def test_two_items_with_one_name(tmp_path: Path) -> None:
    """Two files cannot have one place."""
    root = a_layer_project(tmp_path, '["layer/wrapper.sh", "other/wrapper.sh"]')
    (root / "other").mkdir()
    (root / "other/wrapper.sh").write_text("")

    assert refused(root) == (7, "error: layer-files: there would be two files `wrapper.sh`")


@pytest.mark.parametrize("path", ["layer/bin/link", "layer/link", "link"])
def test_link_that_leads_outside(path: str, tmp_path: Path) -> None:
    """A link to something outside the project is refused, whether it is named or met."""
    listed = '["link"]' if path == "link" else '["layer/"]'
    root = a_layer_project(tmp_path, listed)
    (tmp_path / "secret").write_text("x")
    (root / path).symlink_to(tmp_path / "secret")

    name = path.removeprefix("layer/")
    assert refused(root) == (7, f"error: layer-files: `{name}` leads out of the project")


def test_link_within_the_project(tmp_path: Path) -> None:
    """A link to something in the project ships what it points to."""
    root = a_layer_project(tmp_path, '["layer/"]')
    (root / "layer/bin/same").symlink_to("../wrapper.sh")

    assert run(root).code == 0

    assert modes(tmp_path / "a.zip")["bin/same"] == "755"


def test_they_are_no_output(tmp_path: Path) -> None:
    """The zip is not written to a folder whose files ship."""
    root = a_layer_project(tmp_path, '["layer/"]')

    result = run(root, "-o", "layer/a.zip")

    assert (result.code, (root / "layer/a.zip").exists()) == (7, False)
    assert "it is one of the project's own files" in result.errors
