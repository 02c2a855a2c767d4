"""The arrows between modules point up the list of the design, and doors open at once."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

import lambda_build_plugin

PACKAGE = "lambda_build_plugin"
ROOT = Path(lambda_build_plugin.__file__).parent

LAYERS = (
    "errors",
    "urls",
    "progress",
    "runtime",
    "system",
    "config",
    "wheel",
    "lock",
    "selection",
    "fetch",
    "source_build",
    "stage",
    "archive",
    "verify",
    "report",
    "pipeline",
    "commands",
    "frontends",
)
"""A layer imports itself and what stands above it."""

HOSTS = {"hatch", "hatchling", "pdm", "poetry"}


def modules() -> list[str]:
    """List the modules by dotted name inside the package, without `__init__`."""
    paths = (path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py")))
    return [".".join(path.with_suffix("").parts) for path in paths if path.stem != "__init__"]


CORE = [module for module in modules() if not module.startswith("frontends.")]


@cache
def parsed(module: str) -> ast.Module:
    """Parse the source of a module."""
    return ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))


def imported(tree: ast.AST) -> set[str]:
    """List what a piece of code imports, wherever in it, as full dotted names."""
    nodes = list(ast.walk(tree))
    plain = (alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    whence = (
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    return set(chain(plain, whence))


def own(names: set[str]) -> set[str]:
    """Keep the imports of this package, its own name removed."""
    return {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}


def layer_of(name: str) -> str:
    """Name the layer of a module, or of something in it."""
    return name.partition(".")[0]


def test_every_module_has_its_layer() -> None:
    """A new module is put on the list before it is imported."""
    assert {layer_of(module) for module in modules()} == set(LAYERS)


@pytest.mark.parametrize("module", modules())
def test_imports_point_up(module: str) -> None:
    """A module imports only what stands above it, for annotations too."""
    above = LAYERS[: LAYERS.index(layer_of(module)) + 1]

    layers = {layer_of(name) for name in own(imported(parsed(module)))} - {"__version__"}

    assert layers - set(above) == set()


@pytest.mark.parametrize("module", modules())
def test_imports_are_absolute(module: str) -> None:
    """No import is relative, so that the other rules here see all of them."""
    relative = [
        node.lineno
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


@pytest.mark.parametrize("module", [module for module in CORE if layer_of(module) == "fetch"])
def test_fetch_knows_the_model_of_locks_and_no_format(module: str) -> None:
    """Fetching depends on `lock.model` and `lock.fields`, never on a reader."""
    names = {name for name in own(imported(parsed(module))) if layer_of(name) == "lock"}

    assert {".".join(name.split(".")[:2]) for name in names} <= {"lock.model", "lock.fields"}


@pytest.mark.parametrize("module", CORE)
def test_core_knows_no_host(module: str) -> None:
    """No stage imports Poetry, Hatch or PDM, or a backend of theirs, not even late."""
    assert {layer_of(name) for name in imported(parsed(module))} & HOSTS == set()


@pytest.mark.parametrize(
    "module", [module for module in modules() if layer_of(module) == "frontends"]
)
def test_a_door_knows_its_own_host_alone(module: str) -> None:
    """Only the module that is named for a host imports that host."""
    hosts = {layer_of(name) for name in imported(parsed(module))} & HOSTS
    door = module.rpartition(".")[2].partition("_")[0]  # a door may have a handler beside it

    assert {host.removesuffix("ling") for host in hosts} <= {door}


def test_console_script_loads_nothing_before_it_has_to() -> None:
    """Importing the console script loads no library, so that `--help` answers at once."""
    program = (
        "import json, sys, lambda_build_plugin.frontends.cli; print(json.dumps([*sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}

    assert PACKAGE in loaded
    assert (
        loaded & {"packaging", "urllib3", "installer", "build", "pathspec", "platformdirs"} == set()
    )
