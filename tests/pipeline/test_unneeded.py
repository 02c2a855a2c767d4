"""Packages of a lock that is taken whole, and that nothing of the project needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from pathlib import Path

WHEELS = (
    a_wheel("web", "2.0", metadata=["Requires-Dist: base"]),
    a_wheel("base", "1.0"),
    a_wheel("cdk", "3.0", metadata=["Requires-Dist: base", "Requires-Dist: jsii"]),
    a_wheel("jsii", "1.0", metadata=["Requires-Dist: attrs"]),
    a_wheel("attrs", "1.0"),
    a_wheel("other", "1.0"),
)
ALONE = (
    "nothing that demo requires needs it: lock without it, or add it to the project's dependencies"
)


def warnings(root: Path, *names: str, lock: str = "requirements.txt") -> list[str]:
    """Lock some of the wheels, build, and list the warnings."""
    folder = root.parent / "wheels"
    lines = ["--no-index", f"--find-links {folder}"]
    for wheel in WHEELS:
        wheel.write_to(folder)
        name, version = wheel.filename.split("-")[:2]
        if name in names:
            lines.append(f"{name}=={version} --hash=sha256:{wheel.sha256}")
    text = (root / lock).read_text() if (root / lock).exists() else ""
    (root / lock).write_text("\n".join(lines) + "\n" + text)
    ran = run_lambda_build(
        *("--runtime", "python3.13", "--json"), cwd=root, environ=quiet_environment(root.parent)
    )
    assert ran.code == 0, ran.errors
    found: list[str] = json.loads(ran.output)["warnings"]
    return found


def test_tool_in_a_requirements_file_is_named(tmp_path: Path) -> None:
    """It ships, as it is locked, but the user learns that nothing needs it."""
    root = a_project(tmp_path / "project", dependencies=("web",))

    assert warnings(root, "web", "base", "cdk", "jsii", "attrs") == [
        "cdk 3.0, with 2 packages that only it needs, ships because requirements.txt has it, "
        f"but {ALONE}"
    ]


@pytest.mark.parametrize(
    ("dependencies", "extra", "names"),
    [
        pytest.param(("web",), "", ("web", "base"), id="exactly what is needed"),
        pytest.param(
            ("web",),
            '[project.optional-dependencies]\nmore = ["other"]\n',
            ("web", "base", "other"),
            id="extra",
        ),
        pytest.param((), "", ("web", "base"), id="project that declares nothing"),
    ],
)
def test_what_is_needed_is_no_surprise(
    tmp_path: Path, dependencies: tuple[str, ...], extra: str, names: tuple[str, ...]
) -> None:
    """Neither requirements, nor those of extras, nor a lock that is the only declaration."""
    root = a_project(tmp_path / "project", dependencies=dependencies, extra=extra)

    assert warnings(root, *names) == []


def test_requirements_of_poetry_and_of_a_backend_count(tmp_path: Path) -> None:
    """Dependencies may be declared elsewhere than in `[project]`."""
    root = tmp_path / "project"
    (root / "demo").mkdir(parents=True)
    (root / "demo" / "__init__.py").write_text("")
    (root / "pyproject.toml").write_text(
        '[tool.poetry]\nname = "demo"\nversion = "1"\nauthors = []\ndescription = ""\n'
        'package-mode = false\n[tool.poetry.dependencies]\npython = ">=3.10"\nweb = "*"\n'
    )

    assert warnings(root, "web", "base", "other") == [
        f"other 1.0 ships because requirements.txt has it, but {ALONE}"
    ]


def test_another_member_of_a_rye_workspace_is_named(tmp_path: Path) -> None:
    """The lock of a workspace has all of its members."""
    root = a_project(tmp_path / "project", dependencies=("web",))
    a_project(root / "members" / "api", name="api")
    (root / "requirements.lock").write_text("-e file:.\n-e file:members/api\n")

    assert warnings(root, "web", "base", lock="requirements.lock") == [
        f"api 1.0 ships because requirements.lock has it, but {ALONE}"
    ]
