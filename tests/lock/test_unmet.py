"""A lock with a hash that does not match: the message names the requirements that changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.lock.errors import StaleLockError
from lambda_build_plugin.lock.read import read_lock

if TYPE_CHECKING:
    from pathlib import Path

_HASH = "- the content hash of pyproject.toml does not match the one in the lock"
_STANDARD = """
[project]
name = "demo"
version = "1"
requires-python = ">=3.10"
dependencies = ["alpha>=1", "beta>=2", "gamma", "tomli; python_version < '3'"]
[project.optional-dependencies]
all = ["demo[other]"]
other = []
[dependency-groups]
dev = ["tester"]
"""
_POETRY = """
[tool.poetry]
name = "demo"
version = "1"
[tool.poetry.dependencies]
python = "^3.10"
Alpha = "^1.0"
beta = {version = "^2.0", optional = true}
gamma = "*"
dated = 2020-01-01
colorama = {version = "*", platform = "win32"}
split = [{version = "<1", python = "<3.12"}, {version = ">=2", python = ">=3.12"}]
[tool.poetry.group.dev.dependencies]
tester = "*"
"""


def a_poetry_lock(*dependencies: str) -> str:
    """Write a lock with alpha, which needs inner, beta 1, old, and more packages."""
    packages = {"alpha": "1.5", "beta": "1.0", "inner": "1", "old": "1", "split": "1.5"}
    text = "".join(
        f'[[package]]\nname = "{name}"\nversion = "{version}"\ngroups = ["main"]\nfiles = []\n'
        + ('[package.dependencies]\ninner = "*"\n' if name == "alpha" else "")
        for name, version in packages.items()
        if name not in dependencies
    )
    return f'{text}[metadata]\nlock-version = "2.1"\ncontent-hash = "00"\n'


def differences(folder: Path, name: str, lock: str, **files: str) -> list[str]:
    """Read a stale lock and list what the message says."""
    for other, text in files.items():
        (folder / other.replace("_", ".")).write_text(text)
    (folder / name).write_text(lock)
    with pytest.raises(StaleLockError) as caught:
        read_lock(folder / name, read_project(folder), {})
    return list(caught.value.differences)


def test_poetry_with_standard_tables(tmp_path: Path) -> None:
    """What is missing, what has another version, and what nothing asks for any more."""
    lock = a_poetry_lock("split")

    assert differences(tmp_path, "poetry.lock", lock, pyproject_toml=_STANDARD) == [
        "- beta>=2: the lock has 1.0",
        "- gamma: not in the lock",
        "- tester: not in the lock",
        "- old: only in the lock",
        _HASH,
    ]


def test_poetry_with_its_own_tables(tmp_path: Path) -> None:
    """Poetry's constraints are read as Poetry means them."""
    lock = a_poetry_lock()

    assert differences(tmp_path, "poetry.lock", lock, pyproject_toml=_POETRY) == [
        "- beta ^2.0: the lock has 1.0",
        "- gamma: not in the lock",
        "- split<1 || >=2: the lock has 1.5",
        "- tester: not in the lock",
        "- old: only in the lock",
        _HASH,
    ]


def test_pdm(tmp_path: Path) -> None:
    """Groups that are not locked do not count."""
    lock = (
        '[metadata]\ngroups = ["default"]\nlock_version = "4.5.0"\ncontent_hash = "sha256:00"\n'
        '[[package]]\nname = "alpha"\nversion = "1.5"\nfiles = []\n'
        '[[package]]\nname = "beta"\nversion = "1.0"\nfiles = []\n'
    )

    assert differences(tmp_path, "pdm.lock", lock, pyproject_toml=_STANDARD) == [
        "- beta>=2: the lock has 1.0",
        "- gamma: not in the lock",
        _HASH,
    ]


def test_pipenv(tmp_path: Path) -> None:
    """The Pipfile is compared section by section."""
    lock = {
        "_meta": {"hash": {"sha256": "00"}, "pipfile-spec": 6, "sources": []},
        "default": {"alpha": {"version": "==1.5"}, "beta": {"version": "==1.0"}},
        "develop": {"tester": {"git": "https://git.example/tester", "ref": "0" * 40}},
    }
    pipfile = (
        '[packages]\nAlpha = "*"\nbeta = ">=2"\ngamma = {version = "*", extras = ["x"]}\n'
        'colorama = {version = "*", sys_platform = "== \'win32\'"}\n'
        '[dev-packages]\ntester = ">=1"\n'
    )

    assert differences(tmp_path, "Pipfile.lock", json.dumps(lock), Pipfile=pipfile) == [
        "- beta>=2: the lock has 1.0",
        "- gamma: not in the lock",
        "- the hash of the Pipfile does not match the one in the lock",
    ]
