"""Find the modules that look like tests and are imported by code that ships.

`test_results.py` may hold the results of a test in a laboratory. If a module that ships
imports it, the function needs it, and so it ships.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from lambda_build_plugin.stage.plain_files import plain_file
from lambda_build_plugin.stage.project_walk import TEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lambda_build_plugin.stage.project_walk import ProjectWalk
    from lambda_build_plugin.stage.tree import PlainFile

__all__ = ["imported_tests", "imports_of"]


def imported_tests(files: Mapping[str, PlainFile], walk: ProjectWalk) -> list[PlainFile]:
    """List the files that stay behind as tests, although a module that ships imports them.

    What only they import is included, and so is the `__init__.py` of their folders.

    Args:
        files: What ships, by path below the folder from which modules are imported.
        walk: The walk that found them.

    Raises:
        UnfitFileError: Such a file cannot ship.
    """
    tests = {path: item.place for path, item in walk.left_behind.items() if item.reason == TEST}
    # Nothing is parsed if no module has a name that an import of a test would contain.
    words = {path.rstrip("/").rpartition("/")[2].removesuffix(".py") for path in tests}
    found: dict[str, PlainFile] = {}
    todo = [file for file in files.values() if file.path.endswith(".py")] if tests else []
    while todo:
        for path in _imported_paths(todo.pop(), words):
            place = _place_of(path, tests)
            if path in files or path in found or place is None or walk.is_excluded(path):
                continue
            found[path] = plain_file(place, path)
            todo.append(found[path])
    return list(found.values())


def _place_of(path: str, tests: Mapping[str, Path]) -> Path | None:
    """Find the file of a path among the tests, including whole folders of tests."""
    if path in tests:
        return tests[path]
    parts = path.split("/")
    for count in range(1, len(parts)):
        folder = tests.get("/".join(parts[:count]) + "/")
        if folder is not None:
            place = folder.joinpath(*parts[count:])
            return place if place.is_file() else None
    return None


def _imported_paths(file: PlainFile, words: set[str]) -> Iterator[str]:
    """Yield the paths that the imports of a module may lead to, packages first."""
    for name in imports_of(file.place, file.path, words=words):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            stem = "/".join(parts[:count])
            yield f"{stem}/__init__.py"
            yield f"{stem}.py"


def imports_of(place: Path, path: str, *, words: set[str]) -> list[str]:
    """List the modules that a module names in its imports, anywhere in the file.

    Args:
        place: The module's file.
        path: Its path below the folder from which modules are imported.
        words: A module that contains none of these is not parsed.

    Returns:
        Absolute dotted names. For `from a import b`, that is `a.b`, which may be a module.
        Empty for a file that is not Python.
    """
    try:
        source = place.read_bytes()
        if not any(word.encode() in source for word in words):
            return []
        tree = ast.parse(source)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    package = path.split("/")[:-1]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join((*above, *([node.module] if node.module else [])))
            names += [f"{base}.{alias.name}" if base else alias.name for alias in node.names]
    return names
