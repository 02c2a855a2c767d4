"""Locks that mix the project's requirements with others: the order of the messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "http://127.0.0.1:1/"
DIRECT = a_wheel("direct", "1.0")
FOREIGN = a_wheel("foreign", "1.0", tag="cp313-cp313-macosx_11_0_arm64")
UNNEEDED = a_wheel("unneeded", "1.0", tag="cp313-cp313-win_amd64")
PYPROJECT = """\
[build-system]
requires = ["a-backend-of-an-index"]
build-backend = "a_backend"

[project]
name = "demo"
version = "1.0"
requires-python = ">=3.13"
dependencies = [{dependencies}]

[tool.hatch.envs.default]
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project of Hatch, and no index that responds."""
    world = World(tmp_path)
    world.environ |= {
        "LAMBDA_BUILD_CONTENTS": "all",
        "PIP_INDEX_URL": NOWHERE,
        "UV_DEFAULT_INDEX": NOWHERE,
    }
    world.lock(pylock_of([DIRECT, FOREIGN, UNNEEDED], NOWHERE))
    return world


def test_direct_requirement_without_a_wheel_is_the_first_message(world: World) -> None:
    """What no index can change is told before anything is built or fetched."""
    text = PYPROJECT.format(dependencies='"direct", "foreign"')
    (world.project / "pyproject.toml").write_text(text)

    run = world.build()

    assert run.code == 4
    assert run.errors.startswith("error: no wheel of `foreign 1.0` loads in python3.13 x86_64\n")


def test_other_packages_without_a_wheel_are_told_with_the_index(world: World) -> None:
    """What may be required is named where the metadata that tells so cannot be fetched."""
    world.environ["LAMBDA_BUILD_CONTENTS"] = "dependencies"
    text = PYPROJECT.format(dependencies='"direct"')
    (world.project / "pyproject.toml").write_text(text)

    run = world.build()

    assert run.code == 5
    assert run.errors.startswith(f"error: cannot reach {NOWHERE}")
    assert "have no wheel that loads in python3.13 x86_64: `foreign 1.0`" in run.errors
