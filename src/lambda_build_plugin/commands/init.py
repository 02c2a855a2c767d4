"""A project → its table `[tool.lambda-build]`, with what can be found by looking.

The table pins the runtime, so that neither a new release of this package nor a change of
requires-python moves the function to another Python. Nothing of the project is executed.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import LambdaBuildError, SettingsError
from lambda_build_plugin.pipeline.default_runtime import with_default_runtimes
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, admitted
from lambda_build_plugin.stage.project_walk import Choice
from lambda_build_plugin.stage.source_files import plain_project
from lambda_build_plugin.system.output import moved_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from packaging.specifiers import SpecifierSet

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.runtime.target import Runtime
    from lambda_build_plugin.stage.tree import PlainFile

__all__ = ["Initialized", "find_handlers", "write_table"]

_TABLE = "[tool.lambda-build]"

_TEMPLATES = ("template.y*ml", "serverless.y*ml", "*.tf")
"""Files of AWS SAM, the Serverless Framework and Terraform."""

_ARCHITECTURE = re.compile(r"\b(x86_64|arm64)\b")

_RUNTIME = re.compile(r"\bpython3\.\d+\b")

_USUAL_MODULES = ("lambda_function", "app", "main", "handler", "index")
"""Where tutorials and templates put the handler."""

_NAMES = ("lambda_handler", "handler")

_LARGEST_SOURCE = 1_000_000
"""Bytes; nobody writes a larger module by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialized:
    """The table that was written, and why it says what it says."""

    path: Path
    runtime: str
    runtime_reason: str
    architecture: str
    architecture_reason: str
    handler: str | None
    other_handlers: tuple[str, ...]
    """What might be meant as well."""


@dataclass(frozen=True, slots=True, order=True)
class _Handler:
    """Something that may be the handler; the most likely one is the least."""

    rank: int
    depth: int
    usual: int
    name: str


def write_table(settings: Settings, *, named: Iterable[str]) -> Initialized:
    """Add `[tool.lambda-build]` to the project's pyproject.toml, or make that file.

    Args:
        settings: The settings as they are without the table.
        named: The keys for which the user has named a value.

    Raises:
        SettingsError: The table exists already, or cannot be added to the file.
        StageError: The file cannot be written.
    """
    project = settings.project
    path = project.root / "pyproject.toml"
    if "lambda-build" in project.tool:
        raise SettingsError(
            [f"{path} already has {_TABLE}"],
            hint="edit it there; `lambda-build init` never overwrites a table",
        )
    named = set(named)
    settings = _with_runtime(settings, named)
    architecture, architecture_reason = _architecture(settings, named)
    handlers = [settings.handler] if settings.handler else find_handlers(project)
    found = Initialized(
        path=path,
        runtime=settings.target.runtime.name,
        runtime_reason=settings.runtime_reason,
        architecture=architecture,
        architecture_reason=architecture_reason,
        handler=handlers[0] if handlers else None,
        other_handlers=tuple(handlers[1:]),
    )
    _append(found)
    return found


def _newest_first(requires_python: SpecifierSet | None) -> Sequence[Runtime]:
    """List all runtimes that are admitted: what is written down cannot change by itself."""
    return tuple(reversed(admitted(requires_python)))


def _with_runtime(settings: Settings, named: Collection[str]) -> Settings:
    """Choose the runtime: the user's, that of a template, a pinned one, or by the lock."""
    requires_python = settings.project.requires_python
    if "runtime" not in named and (found := _in_templates(settings.project.root, _RUNTIME)):
        name, reason = found
        runtime = RUNTIMES.get(name)
        if runtime and (not requires_python or requires_python.contains(runtime.full_version)):
            target = replace(settings.target, runtime=runtime)
            return replace(settings, target=target, runtime_reason=reason)
    return with_default_runtimes([settings], {}, candidates=_newest_first)[0]


def _architecture(settings: Settings, named: Collection[str]) -> tuple[str, str]:
    """Choose the architecture: the one that the user or a template of the project names."""
    if "architecture" in named:
        return settings.target.architecture.value, "set by --arch"
    found = _in_templates(settings.project.root, _ARCHITECTURE)
    return found or (Architecture.X86_64.value, "the default")


def _in_templates(root: Path, pattern: re.Pattern[str]) -> tuple[str, str] | None:
    """Find what the first template names that names exactly one; several are no answer."""
    for path in sorted(path for each in _TEMPLATES for path in root.glob(each)):
        text = path.read_text(encoding="utf-8", errors="replace")
        if len(names := set(pattern.findall(text))) == 1:
            return names.pop(), f"named in {path.name}"
    return None


def find_handlers(project: Project) -> list[str]:
    """Find functions of the project that look like a handler, the most likely one first.

    These are functions and objects named `lambda_handler` or `handler` in modules that ship.
    Only those of the kind of the first one are listed.
    """
    try:
        files = plain_project(project, Choice()).files
    except LambdaBuildError:
        return []
    found = sorted(each for file in files for each in _handlers_in(file))
    return [each.name for each in takewhile(lambda each: each.rank == found[0].rank, found)]


def _handlers_in(file: PlainFile) -> Iterator[_Handler]:
    *folders, last = file.path.split("/")
    stem, dot, suffix = last.partition(".")
    parts = folders if stem == "__init__" and folders else [*folders, stem]
    if dot + suffix != ".py" or not all(map(str.isidentifier, parts)):
        return
    usual = _USUAL_MODULES.index(stem) if stem in _USUAL_MODULES else len(_USUAL_MODULES)
    for name, rank in _candidates(file.place):
        yield _Handler(rank=rank, depth=len(folders), usual=usual, name=".".join((*parts, name)))


def _candidates(place: Path) -> Iterator[tuple[str, int]]:
    """Yield what a module defines under the name of a handler, with its rank."""
    try:
        if place.stat().st_size > _LARGEST_SOURCE:
            return
        text = place.read_bytes()
        tree = ast.parse(text) if b"handler" in text else None
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name in _NAMES and _takes_two(node.args):
            yield node.name, _NAMES.index(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id in _NAMES and _is_made(node.value):
                    yield target.id, len(_NAMES) + _NAMES.index(target.id)


def _takes_two(arguments: ast.arguments) -> bool:
    """Tell whether a function can be called with the event and the context."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    return required <= 2 and (len(positional) >= 2 or arguments.vararg is not None)  # noqa: PLR2004


def _is_made(value: ast.expr | None) -> bool:
    """Tell whether a value is the result of a call, but not a handler of `logging`."""
    if not isinstance(value, ast.Call):
        return False
    callee = value.func
    name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
    return not name.endswith("Handler")


def _append(found: Initialized) -> None:
    """Add the table at the end of pyproject.toml, whose other lines stay as they are."""
    path = found.path
    before = path.read_bytes().decode("utf-8") if path.is_file() else ""
    handler = (
        f"handler = {json.dumps(found.handler)}"
        if found.handler
        else '# handler = "package.module.function"'
    )
    lines = (
        _TABLE,
        f'runtime = "{found.runtime}"',
        f'architecture = "{found.architecture}"',
        handler,
    )
    table = "\n".join(lines) + "\n"
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    text = (gap + table).replace("\n", "\r\n" if "\r\n" in before else "\n")
    with moved_in(path) as temporary:
        temporary.write_bytes((before + text).encode("utf-8"))
        if before:
            shutil.copymode(path, temporary)
        try:
            read_toml(temporary)
        except TableError as error:
            raise SettingsError(
                [f"{_TABLE} cannot be added at the end of {path}: {error.problem}"],
                hint=f"add it yourself:\n{table.rstrip()}",
            ) from error
