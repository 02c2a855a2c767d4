"""Check that the runtime can find the handler, as awslambdaric's `_get_handler` does.

It splits the setting at the last dot, refuses a module that is built into Python,
imports the module with `/` read as `.`, and takes the attribute. Nothing is imported
here: the module is looked for in the same way as the import system does, and its source is parsed.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import HANDLER
from lambda_build_plugin.errors import VerificationError, quoted
from lambda_build_plugin.runtime.standard_library import is_built_in
from lambda_build_plugin.verify.findings import Findings
from lambda_build_plugin.verify.grammar import LARGEST_SOURCE
from lambda_build_plugin.verify.module_index import ModuleIndex
from lambda_build_plugin.verify.paths import range_starting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
"""With these, a module can define names that do not appear in its source."""

_MOST_MEANT = 3  # names in a hint
_MOST_TRIED = 20  # modules that are parsed for one
_SIMILAR = 0.7
_EVENT_AND_CONTEXT = 2  # parameters of a handler

_UNPARSABLE = "this Python cannot parse it"


class HandlerError(VerificationError):
    """The handler's module is not in the artifact."""

    def __init__(self, handler: str, looked_for: Sequence[str], meant: Sequence[str] = ()) -> None:
        self.meant = tuple(meant)
        super().__init__(
            f"the handler `{handler}` is not in the artifact",
            why=f"none of these files exists: {', '.join(looked_for)}",
            hint=_hint_of(meant),
        )


class MalformedHandlerError(VerificationError):
    """The handler does not have the form that the runtime reads."""

    def __init__(self, handler: str) -> None:
        dotted = re.sub(r"(?:\.py)?:", ".", handler)
        super().__init__(
            f"the handler `{handler}` is malformed",
            why="the runtime takes the part before the last dot as the name of the module",
            hint=_HINT
            if dotted == handler or not HANDLER.fullmatch(dotted)
            else f"write a dot instead of the colon: `{dotted}`",
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

    def __init__(self, handler: str, path: str, meant: Sequence[str] = ()) -> None:
        self.meant = tuple(meant)
        super().__init__(
            f"the handler `{handler}` is not defined",
            why=f"nothing in `{path}` defines `{handler.rpartition('.')[2]}`: the runtime answers "
            "Runtime.HandlerNotFound",
            hint=_hint_of(meant),
        )


def _hint_of(meant: Sequence[str]) -> str:
    if not meant:
        return _HINT
    names = quoted(meant, " or ")
    return f"{names} exists: did you mean {'that' if len(meant) == 1 else 'one of these'}?"


def check_handler(
    artifact: ArtifactView, handler: str, target: Target, *, beside: Sequence[ArtifactView] = ()
) -> Findings:
    """Look for the module, and for the name in it.

    Args:
        artifact: The function.
        handler: As the function is configured.
        target: Whose Python it is.
        beside: Layers, in the order of `sys.path`.
    """
    if not HANDLER.fullmatch(handler) or ":" in handler:
        return Findings(errors=(MalformedHandlerError(handler),))
    if is_built_in(_first(handler), target.runtime.python):
        return Findings(errors=(BuiltInHandlerError(handler, target),))
    module = handler.rpartition(".")[0]
    for each in (artifact, *beside):
        for root in each.roots:
            path = _found(each, root + module.replace(".", "/"))
            if path is not None:
                return _check_name(each, path, handler, beside=(artifact, *beside))
    module = module.replace(".", "/")
    return Findings(
        errors=(
            HandlerError(
                handler,
                [f"{module}{end}" for end in (".py", "/__init__.py", ".pyc")],
                _meant_elsewhere(handler, [artifact, *beside]),
            ),
        )
    )


def _first(handler: str) -> str:
    return re.split(r"[./]", handler, maxsplit=1)[0]


def _found(artifact: ArtifactView, module: str) -> str | None:
    """Find the file that an import takes: a package before a module, machine code before source."""
    for stem in (f"{module}/__init__", module):
        parent = stem.rpartition("/")[0]
        depth = len(parent) + 1 if parent else 0
        start = f"{stem}."
        places = range_starting(artifact.paths, start)
        for path in artifact.paths[places.start : places.stop]:
            if path.endswith(".so") and "/" not in path[depth:]:
                return path
        for path in (f"{stem}.py", f"{stem}.pyc"):
            if path in artifact.sizes:
                return path
    return None


def _check_name(
    artifact: ArtifactView, path: str, handler: str, *, beside: Sequence[ArtifactView]
) -> Findings:
    """Look for the name in the source; without the source, nothing can be known."""
    name = handler.rpartition(".")[2]
    cannot_tell = f"cannot tell whether the handler `{handler}` is defined in `{path}`:"
    tree = _parsed(artifact, path)
    if isinstance(tree, str):
        # What is wrong with the project's own code is reported for all of its modules.
        is_reported = tree == _UNPARSABLE and path in artifact.own
        return Findings(warnings=() if is_reported else (f"{cannot_tell} {tree}",))
    bound = set(_bound(tree))
    if name in bound:
        return Findings()
    if "*" in bound or "__getattr__" in bound or _reaches_around(tree):
        return Findings(warnings=(f"{cannot_tell} the module defines names at run time",))
    meant = [f"{handler.rpartition('.')[0]}.{each}" for each in _similar(name, tree)]
    deeper = _meant_elsewhere(handler, beside)
    return Findings(errors=(UndefinedHandlerError(handler, path, meant or deeper),))


def _meant_elsewhere(handler: str, artifacts: Sequence[ArtifactView]) -> list[str]:
    """Find modules that may have been meant: deeper or higher, or with a similar spelling."""
    wanted, _, name = handler.rpartition(".")
    wanted = re.sub(r"[./]+", ".", wanted).strip(".")
    modules = ModuleIndex.of(artifacts).all()
    last = wanted.rpartition(".")[2]
    close = _close_matches(wanted, modules, n=_MOST_MEANT)
    likely = [
        found
        for found in sorted(modules)
        if found.endswith(f".{wanted}")
        or wanted.endswith(f".{found}")
        or (found.startswith(f"{wanted}.") and modules[found].is_own)
        or (found.rpartition(".")[2] == last and modules[found].is_own)
    ]
    meant = []
    for found in dict.fromkeys((*likely[:_MOST_TRIED], *close)):
        tree = _parsed(modules[found].artifact, modules[found].path)
        if isinstance(tree, ast.Module) and name in set(_bound(tree)):
            meant.append(f"{found}.{name}")
    return meant[:_MOST_MEANT]


def _similar(name: str, tree: ast.Module) -> list[str]:
    """List functions that may have been meant: with a similar name, or with a context parameter."""
    functions = [
        node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    names = {node.name for node in functions} | set(_bound(tree))
    close = _close_matches(name, sorted(names), n=1)
    if close:
        return close
    handlers = [
        node.name
        for node in functions
        if len(node.args.args) == _EVENT_AND_CONTEXT and node.args.args[1].arg == "context"
    ]
    return handlers if len(handlers) <= _MOST_MEANT else []


def _parsed(artifact: ArtifactView, path: str) -> ast.Module | str:
    """Parse a module, or say why it cannot be parsed."""
    if path.endswith(".py") and artifact.sizes[path] > LARGEST_SOURCE:
        return "it is too large"
    source = artifact.read(path) if path.endswith(".py") else artifact.source(path)
    if source is None:
        return "its source does not ship"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _UNPARSABLE  # it may be newer than the Python that runs this


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a module binds when it runs; `*` for those from another module."""
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


def _close_matches(word: str, names: Iterable[str], *, n: int) -> list[str]:
    """List the names that are most similar to a word."""
    import difflib  # a handler that exists needs no guesses

    return difflib.get_close_matches(word, list(names), n=n, cutoff=_SIMILAR)
