"""Check that the runtime can find the handler, as awslambdaric's `_get_handler` does.

It splits the setting at the last dot, refuses a module that is built into Python,
imports the module with `/` read as `.`, and takes the attribute. Nothing is imported
here: the module is looked for as the import system would, and its source is parsed.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import HANDLER
from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.runtime.standard_library import is_built_in
from lambda_build_plugin.verify.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.view import ArtifactView

__all__ = [
    "BuiltInHandlerError",
    "HandlerError",
    "MalformedHandlerError",
    "UndefinedHandlerError",
    "check_handler",
]

_HINT = "check the setting `handler` (--handler): `package.module.function`"
_REACHES_AROUND = frozenset({"eval", "exec", "globals", "locals", "setattr", "vars", "__dict__"})
"""With these a module can define names that its text does not show."""

_LARGEST_SOURCE = 1 << 24  # bytes


class HandlerError(VerificationError):
    """The handler's module is not in the artifact."""

    def __init__(self, handler: str, looked_for: Sequence[str]) -> None:
        super().__init__(
            f"the handler `{handler}` is not in the artifact",
            why=f"none of these files exists: {', '.join(looked_for)}",
            hint=_HINT,
        )


class MalformedHandlerError(VerificationError):
    """The handler is not of the form that the runtime reads."""

    def __init__(self, handler: str) -> None:
        super().__init__(
            f"the handler `{handler}` is malformed",
            why="the runtime takes the part before the last dot as the name of the module",
            hint=_HINT,
        )


class BuiltInHandlerError(VerificationError):
    """The handler's module has the name of one that is built into Python."""

    def __init__(self, handler: str, target: Target) -> None:
        name = _first(handler)
        super().__init__(
            f"the handler `{handler}` can never be loaded",
            why=f"`{name}` is built into Python {'.'.join(map(str, target.runtime.python))}: the "
            "runtime answers Runtime.BuiltInModuleConflict",
            hint="give the module another name",
        )


class UndefinedHandlerError(VerificationError):
    """The handler's module does not define its name."""

    def __init__(self, handler: str, path: str) -> None:
        super().__init__(
            f"the handler `{handler}` is not defined",
            why=f"nothing in `{path}` defines `{handler.rpartition('.')[2]}`: the runtime answers "
            "Runtime.HandlerNotFound",
            hint=_HINT,
        )


def check_handler(
    artifact: ArtifactView, handler: str, target: Target, *, beside: Sequence[ArtifactView] = ()
) -> Findings:
    """Look for the module, and in it for the name.

    Args:
        artifact: The function.
        handler: As the runtime is to be told.
        target: Whose Python it is.
        beside: Layers, in the order of `sys.path`.
    """
    if not HANDLER.fullmatch(handler):
        return Findings(errors=(MalformedHandlerError(handler),))
    if is_built_in(_first(handler), target.runtime.python):
        return Findings(errors=(BuiltInHandlerError(handler, target),))
    module, _, name = handler.rpartition(".")
    for each in (artifact, *beside):
        for root in each.roots:
            path = _found(each, root + module.replace(".", "/"))
            if path is not None:
                return _check_name(each, path, handler, name)
    module = module.replace(".", "/")
    return Findings(
        errors=(
            HandlerError(handler, [f"{module}{end}" for end in (".py", "/__init__.py", ".pyc")]),
        )
    )


def _first(handler: str) -> str:
    return re.split(r"[./]", handler, maxsplit=1)[0]


def _found(artifact: ArtifactView, module: str) -> str | None:
    """Find the file that an import takes: a package before a module, machine code before source."""
    for stem in (f"{module}/__init__", module):
        parent = stem.rpartition("/")[0]
        depth = len(parent) + 1 if parent else 0
        for path in artifact.sizes:
            if path.startswith(f"{stem}.") and path.endswith(".so") and "/" not in path[depth:]:
                return path
        for path in (f"{stem}.py", f"{stem}.pyc"):
            if path in artifact.sizes:
                return path
    return None


def _check_name(artifact: ArtifactView, path: str, handler: str, name: str) -> Findings:
    """Look for the name in the source; where there is none, nothing can be told."""
    cannot_tell = f"cannot tell whether the handler `{handler}` is defined in `{path}`:"
    if path.endswith(".py") and artifact.sizes[path] > _LARGEST_SOURCE:
        return Findings(warnings=(f"{cannot_tell} it is too large",))
    source = artifact.read(path) if path.endswith(".py") else artifact.source(path)
    if source is None:
        return Findings(warnings=(f"{cannot_tell} its source does not ship",))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # It may be newer than the Python that runs this.
        return Findings(warnings=(f"{cannot_tell} this Python cannot parse it",))
    bound = set(_bound(tree))
    if name in bound:
        return Findings()
    if "*" in bound or "__getattr__" in bound or _reaches_around(tree):
        return Findings(warnings=(f"{cannot_tell} the module defines names at run time",))
    return Findings(errors=(UndefinedHandlerError(handler, path),))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that running a module binds in it; `*` for those of another one."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        yield from _declared_global(node)
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.AnnAssign) and node.value is None:
        return
    if isinstance(node, ast.alias):
        yield node.asname or node.name.partition(".")[0]
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.comprehension):  # its variable is its own
            yield from _bound(child)


def _declared_global(node: ast.AST) -> Iterator[str]:
    """Yield the names of the module that a function or class may bind."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Global):
            yield from inner.names


def _reaches_around(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _REACHES_AROUND:
            return True
        if isinstance(node, ast.Attribute) and (
            node.attr in _REACHES_AROUND
            or (
                node.attr == "modules"
                and isinstance(node.value, ast.Name)
                and node.value.id == "sys"
            )
        ):
            return True
    return False
