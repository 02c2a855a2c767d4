"""The locks of the repository itself: they are what `locks/environments.toml` asks for."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fakes.locks import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCKS = ROOT / "locks"


def read(path: Path) -> dict[str, Any]:
    """Read a file of TOML."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def the_locks() -> list[Any]:
    """List the locks that `make lock` renews."""
    spec = importlib.util.spec_from_file_location("renew", _LOCKS / "renew.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["renew"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return list(module.locks(read(_LOCKS / "environments.toml")))


def asked_for(lock: Any) -> Iterator[Requirement]:
    """List what a lock is made of, that of pyproject.toml included."""
    yield from map(Requirement, lock.requires)
    if lock.project is None:
        return
    pyproject = read(ROOT / "pyproject.toml")
    project = pyproject["project"]
    yield from map(Requirement, project["dependencies"])
    for extra in lock.project.get("extras", ()):
        yield from map(Requirement, project["optional-dependencies"][extra])
    groups = list(lock.project.get("groups", ()))
    for group in groups:
        for item in pyproject["dependency-groups"][group]:
            if isinstance(item, str):
                yield Requirement(item)
            else:
                groups.append(item["include-group"])


def entries(lock: Any) -> list[str]:
    """Get the entries of a lock, each with its hashes, as one line."""
    text = lock.path.read_text(encoding="utf-8")
    return [line for line in text.replace("\\\n", "").splitlines() if line]


@pytest.fixture(params=[pytest.param(lock, id=lock.name) for lock in the_locks()])
def lock(request: pytest.FixtureRequest) -> Any:
    """Give each lock."""
    return request.param


def test_lock_holds_what_is_asked_for(lock: Any) -> None:
    """After a change of dependencies the locks are to be renewed, with `make lock`."""
    pinned: dict[str, list[str]] = {}
    for entry in entries(lock):
        name, version = re.split(r"[=\s;]+", entry)[:2]
        pinned.setdefault(canonicalize_name(name), []).append(version)

    assert [
        str(requirement)
        for requirement in asked_for(lock)
        if not any(
            requirement.specifier.contains(version, prereleases=True)
            for version in pinned.get(canonicalize_name(requirement.name), [])
        )
    ] == []


def test_lock_has_hashes_and_names_no_index(lock: Any) -> None:
    """What is installed is the same wherever it comes from."""
    found = entries(lock)

    assert [entry for entry in found if "--hash=sha256:" not in entry] == []
    assert [entry for entry in found if "://" in entry or not re.match(r"[\w.-]+==", entry)] == []


def test_no_lock_is_left_over() -> None:
    """Every file of `locks` is renewed, or written by hand and used."""
    by_hand = {_LOCKS / "lowest-runnable.txt"}
    found = {*_LOCKS.rglob("*.txt"), *(ROOT / "src").rglob("*.txt")}

    assert found == {lock.path for lock in the_locks()} | by_hand


def imported_by(module: Path) -> set[str]:
    """Name the distributions and packages that a module imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_rooms_that_use_a_dependency_are_tested_on_its_lowest_version() -> None:
    """`make lowest` leaves out no room whose behaviour a dependency can change."""
    package = ROOT / "src" / "lambda_build_plugin"
    imports = {"pyelftools": "elftools"}
    declared = read(ROOT / "pyproject.toml")["project"]["dependencies"]
    dependencies = {
        imports.get(name, name) for name in (Requirement(each).name for each in declared)
    }
    rooms = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if imported_by(path) & dependencies
    }

    listed = re.search(
        r"^LOWEST_TESTS .*?tests/,(.*?)\)$",
        (ROOT / "Makefile").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )

    assert listed
    paths = listed[1].replace("\\", "").split()
    assert len(rooms) > 5
    assert rooms - {path.partition("/")[0] for path in paths} == set()
    assert [path for path in paths if not (ROOT / "tests" / path).exists()] == []


def test_the_lock_of_node_names_no_registry() -> None:
    """Each package has a hash, nothing has an address, and what is asked for is one version."""
    folder = _LOCKS / "npm"
    asked = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    packages = {path: each for path, each in locked.items() if path}

    assert locked[""]["dependencies"] == asked
    assert {name: packages[f"node_modules/{name}"]["version"] for name in asked} == asked
    assert "://" not in (folder / "package-lock.json").read_text(encoding="utf-8")
    assert [
        path for path, each in packages.items() if not {"integrity", "inBundle"} & set(each)
    ] == []
