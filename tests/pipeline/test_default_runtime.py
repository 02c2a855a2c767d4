"""The runtime of a project that names none, through the console script."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def a_locked_project(
    folder: Path,
    *,
    minors: Iterable[int] = range(10, 14),
    machine: str = "x86_64",
    extra: str = "",
    head: str = "",
) -> Path:
    """Write a project and a lock with one package of machine code, for some Pythons."""
    wheels = [
        a_wheel("native", "1.0", tag=f"cp3{minor}-cp3{minor}-manylinux_2_17_{machine}")
        for minor in minors
    ]
    root = a_project(folder / "project", dependencies=("native",), extra=extra)
    lines = [head, 'lock-version = "1.0"\ncreated-by = "test"\n', "[[packages]]", 'name = "native"']
    lines += ['version = "1.0"']
    for wheel in wheels:
        wheel.write_to(root / "wheels")
        lines.append(
            f'[[packages.wheels]]\npath = "wheels/{wheel.filename}"\n'
            f'hashes = {{ sha256 = "{wheel.sha256}" }}'
        )
    (root / "pylock.toml").write_text("\n".join(lines))
    return root


def built(root: Path, *options: str) -> dict[str, Any]:
    """Build and give the report."""
    ran = run_lambda_build("--json", *options, cwd=root, environ=quiet_environment(root.parent))
    assert ran.code == 0, ran.errors
    report: dict[str, Any] = json.loads(ran.output)
    return report


def why(report: dict[str, Any]) -> tuple[str, str]:
    """Get the runtime and the reason for it."""
    return report["runtime"], report["runtime_reason"]


def test_newest_runtime_for_which_the_lock_has_wheels(tmp_path: Path) -> None:
    """Nothing is compiled for a newer Python that nobody asked for."""
    report = built(a_locked_project(tmp_path))

    assert why(report) == (
        "python3.13",
        "the newest for which pylock.toml has everything: "
        "native 1.0 has no wheel for python3.14 x86_64",
    )
    assert report["artifact"].endswith("-python3.13-x86_64.zip")
    assert report["packages"][1]["file"] == "native-1.0-cp313-cp313-manylinux_2_17_x86_64.whl"


def test_newest_runtime_serves_where_it_can(tmp_path: Path) -> None:
    """With wheels for all, the newest is taken, and the reason is requires-python."""
    report = built(a_locked_project(tmp_path, minors=range(10, 15)))

    assert why(report) == ("python3.14", "the newest that requires-python `>=3.10` admits")


def test_named_runtime_is_never_changed(tmp_path: Path) -> None:
    """What the user names is built, or fails."""
    root = a_locked_project(tmp_path)

    ran = run_lambda_build("--runtime", "python3.14", cwd=root, environ=quiet_environment(tmp_path))

    assert (ran.code, "python3.14" in ran.errors) == (4, True), ran.errors


def test_runtime_without_wheels_is_reported_as_before(tmp_path: Path) -> None:
    """Where no runtime has wheels of everything, the error is about the newest."""
    root = a_locked_project(tmp_path, machine="aarch64")

    ran = run_lambda_build(cwd=root, environ=quiet_environment(tmp_path))

    assert (ran.code, "python3.14 x86_64" in ran.errors) == (4, True), ran.errors
    assert why(built(root, "--arch", "arm64"))[0] == "python3.13"


def test_lock_that_excludes_a_runtime_chooses_another(tmp_path: Path) -> None:
    """A lock that was made for one Python names it."""
    root = a_locked_project(tmp_path, minors=range(10, 15), head='requires-python = ">=3.10,<3.13"')

    assert why(built(root)) == (
        "python3.12",
        "the newest for which pylock.toml has everything: it excludes python3.13",
    )


def test_python_of_a_pipfile_lock(tmp_path: Path) -> None:
    """A Pipfile.lock says for which Python it was made, also beside a pyproject.toml."""
    root = a_project(tmp_path / "project", extra="[tool.ruff]\n")
    meta = {
        "hash": {"sha256": hashlib.sha256(b"").hexdigest()},
        "pipfile-spec": 6,
        "requires": {"python_version": "3.11"},
        "sources": [],
    }
    (root / "Pipfile.lock").write_text(json.dumps({"_meta": meta, "default": {}}))

    assert why(built(root))[0] == "python3.11"


def test_artifacts_of_one_lock_have_one_runtime(tmp_path: Path) -> None:
    """A function that a layer provides for runs on the layer's Python."""
    root = a_locked_project(
        tmp_path,
        extra="""
[project.optional-dependencies]
none = []
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"
[tool.lambda-build.artifacts.code]
contents = "project"
provided-by = ["deps"]
""",
    )

    reports = built(root)["artifacts"]

    assert [report["runtime"] for report in reports] == ["python3.13", "python3.13"]


def test_lock_that_a_hook_makes_is_read_after_the_hook(tmp_path: Path) -> None:
    """What was read to choose the runtime is not what is built."""
    root = a_locked_project(
        tmp_path,
        extra='[tool.lambda-build.hooks]\nbefore-build = ["mv better.toml pylock.toml"]\n',
    )
    text = (root / "pylock.toml").read_text()
    (root / "better.toml").write_text(
        text.replace('"test"', '"hook"') + "\n[[packages]]\n"
        'name = "gone"\nversion = "1"\nmarker = "sys_platform == \'win32\'"\n'
        '[packages.sdist]\nurl = "https://index.example/gone-1.tar.gz"\n'
        f'hashes = {{ sha256 = "{"0" * 64}" }}\n'
    )

    assert [item["name"] for item in built(root)["left_out"]] == ["gone"]


@pytest.mark.parametrize("marker", [".git", "uv.lock"])
def test_python_version_above_the_project(tmp_path: Path, marker: str) -> None:
    """A member of a workspace is built for the Python that the workspace pins."""
    (tmp_path / marker).mkdir()
    (tmp_path / ".python-version").write_text("3.12\n")
    root = a_locked_project(tmp_path / "members")

    assert why(built(root)) == ("python3.12", "named in ../../.python-version (3.12)")
