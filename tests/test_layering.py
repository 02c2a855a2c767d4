"""Rooms import from left to right, without cycles, and frontends start at once."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

import lambda_build_plugin

PACKAGE = "lambda_build_plugin"
ROOT = Path(lambda_build_plugin.__file__).parent
DESIGN = Path(__file__).parents[1] / "docs" / "design.md"

LAYERS = (
    "values",
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
    "projects",
    "commands",
    "page",
    "invoke",
    "frontends",
    "cdk",
)
"""The rooms. Each one imports itself and the rooms above it (docs/design.md)."""

HOSTS = {"aws_cdk", "constructs", "hatch", "hatchling", "pdm", "poetry"}


@cache
def modules() -> list[str]:
    """List the modules by dotted name inside the package, without `__init__`."""
    paths = (path.relative_to(ROOT) for path in sorted(ROOT.rglob("*.py")))
    return [".".join(path.with_suffix("").parts) for path in paths if path.stem != "__init__"]


CORE = [module for module in modules() if not module.startswith(("frontends.", "cdk."))]


@cache
def parsed(module: str) -> ast.Module:
    """Parse the source of a module."""
    return ast.parse(ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))


def imported(tree: ast.AST) -> set[str]:
    """List what a piece of code imports, wherever in it, as full dotted names."""
    nodes = list(ast.walk(tree))
    plain = (alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    members = (
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    return set(chain(plain, members))


def own(names: set[str]) -> set[str]:
    """Keep the imports of this package, its own name removed."""
    return {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}


def imported_at_start(module: str) -> set[str]:
    """List the modules of this package that are imported when a module is imported.

    Imports inside functions and those for annotations (`TYPE_CHECKING`) are not.
    """
    found: set[str] = set()
    todo: list[ast.stmt] = list(parsed(module).body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= own(imported(node))
        elif isinstance(node, ast.If):
            is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            todo += node.orelse if is_for_types else [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            todo += [*node.body, *node.orelse, *node.finalbody]
            todo += chain.from_iterable(handler.body for handler in node.handlers)
        elif isinstance(node, (ast.With, ast.ClassDef)):
            todo += node.body
    return {name for name in map(module_of, found) if name is not None}


def module_of(name: str) -> str | None:
    """Name the module that an import loads: itself, or the one that has the imported name."""
    return next(
        (each for each in (name, name.rpartition(".")[0]) if each in modules()),
        None,
    )


def layer_of(name: str) -> str:
    """Name the room of a module, or of something in it."""
    return name.partition(".")[0]


def test_every_module_has_its_room() -> None:
    """A new room is put on the list before it is imported."""
    assert {layer_of(module) for module in modules()} == set(LAYERS)


def test_the_design_describes_every_room() -> None:
    """The table of rooms in docs/design.md has all of them, in the order of their imports."""
    text = DESIGN.read_text("utf-8").partition("## The rooms")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]

    assert re.findall(r"`(\w+)/?`", "".join(rows)) == list(LAYERS)


@pytest.mark.parametrize("module", modules())
def test_imports_point_to_earlier_rooms(module: str) -> None:
    """A module imports only its own room and earlier ones, for annotations too."""
    above = LAYERS[: LAYERS.index(layer_of(module)) + 1]

    layers = {layer_of(name) for name in own(imported(parsed(module)))} - {"__version__"}

    assert layers - set(above) == set()


def test_no_module_imports_itself_through_others() -> None:
    """No cycle of imports at module level, so that any module can be imported first."""
    graph = {module: imported_at_start(module) for module in modules()}

    TopologicalSorter(graph).prepare()  # raises CycleError with the modules of a cycle

    assert graph["pipeline.build"] >= {"pipeline.finish", "pipeline.run"}  # imports are found


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
    """No stage imports Poetry, Hatch, PDM or their backends, not even inside a function."""
    assert {layer_of(name) for name in imported(parsed(module))} & HOSTS == set()


@pytest.mark.parametrize(
    "module", [module for module in modules() if layer_of(module) == "frontends"]
)
def test_a_frontend_knows_its_own_host_only(module: str) -> None:
    """Only the modules that are named after a host import that host."""
    hosts = {layer_of(name) for name in imported(parsed(module))} & HOSTS
    frontend = module.rpartition(".")[2].partition("_")[0]  # with its handler

    assert {host.removesuffix("ling") for host in hosts} <= {frontend}


@pytest.mark.parametrize("module", [module for module in modules() if layer_of(module) == "cdk"])
def test_constructs_know_cdk_only(module: str) -> None:
    """The constructs import no other host, and nothing of the frontends."""
    names = imported(parsed(module))

    assert {layer_of(name) for name in names} & HOSTS <= {"aws_cdk", "constructs"}
    assert {layer_of(name) for name in own(names)} & {"frontends"} == set()


LATE = {
    "config.poetry_constraint",
    "fetch.fetcher",
    "lock.model",
    "lock.read",
    "lock.requirements_lines",
    "page.render",
    "page.views",
    "pipeline.dependencies",
    "pipeline.left_out",
    "pipeline.planned",
    "pipeline.target_lock",
    "selection.files",
    "selection.packages",
    "selection.provided",
    "source_build.causes",
    "source_build.isolation",
    "source_build.secrets",
    "stage.bytecode",
    "stage.filters",
    "stage.hooks",
    "stage.project_walk",
    "stage.tracked_code",
    "system.interpreters",
    "verify.savings",
}
"""Modules that a build of which everything is in the cache, planned, does not need."""


def test_pipeline_loads_nothing_that_most_builds_do_not_need() -> None:
    """What only some builds need is imported where it is used."""
    program = (
        "import json, sys, lambda_build_plugin.pipeline.build; print(json.dumps([*sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = set(json.loads(result.stdout))

    assert own(loaded) & LATE == set()
    assert (
        loaded
        & {
            "configparser",
            "difflib",
            "importlib.metadata",
            "installer",
            "packaging.licenses",
        }
        == set()
    )


def test_console_script_loads_nothing_before_it_has_to() -> None:
    """Importing the console script loads no library, so that `--help` answers immediately."""
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


def test_signals_are_taken_before_anything_is_loaded() -> None:
    """Until Ctrl-C is handled, the console script loads nothing but itself and `signal`."""
    program = (
        "import signal, sys; before = {*sys.modules}; "
        "import lambda_build_plugin.frontends.console; print(*({*sys.modules} - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = {name for name in result.stdout.split() if not name.startswith(PACKAGE)}

    assert loaded <= {"__future__"}  # all else is loaded whenever Python starts
