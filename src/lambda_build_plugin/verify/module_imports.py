"""The syntax tree of a module → what it imports, and whether it always does.

What runs is read from the statements alone: conditions on the Python version and the platform are
evaluated for the target, and all others may be true or false.
"""

from __future__ import annotations

import ast
import enum
import operator
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Certainty", "Import", "ModuleFacts", "read_module"]

_CATCHES = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
"""Exceptions that catch a failed import."""

_PATH_ATTRIBUTES = frozenset({"path", "meta_path", "path_hooks"})
_MODULES_METHODS = frozenset({"setdefault", "update", "__setitem__"})

_HARMLESS_CONTEXTS = frozenset({"catch_warnings"})
"""Context managers that let exceptions pass; others may not."""

_MAY_CHANGE_IMPORTS = re.compile(rb"\bsys\b|addsitedir|extend_path|__path__")

_TRUE_NAMES = {"TYPE_CHECKING": False, "PY2": False, "PY3": True}

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}

_TRIES = (ast.Try, getattr(ast, "TryStar", ast.Try))

_Python: TypeAlias = tuple[int, int]


class Certainty(enum.IntEnum):
    """How certain it is that an import runs, and that its failure ends the import of the module."""

    DEFERRED = 0
    """It is inside a function."""

    POSSIBLE = 1
    """It depends on a condition, or another import has failed before."""

    CAUGHT = 2
    """It runs, but the module continues if it fails."""

    CERTAIN = 3


@dataclass(frozen=True, kw_only=True)
class Import:
    """One module that a statement imports."""

    module: str
    """Absolute dotted name."""

    names: tuple[str, ...] = ()
    """What it takes `from` the module: attributes or submodules."""

    line: int
    certainty: Certainty


@dataclass(frozen=True, kw_only=True)
class ModuleFacts:
    """What is known about one module."""

    imports: tuple[Import, ...] = ()
    changes_imports: bool = False
    """Whether it may make modules importable that are not on `sys.path` as it is."""


def read_module(
    tree: ast.Module, source: bytes, *, name: str, is_package: bool, python: _Python
) -> ModuleFacts:
    """List the imports of a module.

    Args:
        tree: The parsed module.
        source: What it was parsed from.
        name: Its dotted name, which relative imports start from.
        is_package: Whether it is the `__init__` of a package.
        python: The major and minor version that runs it.
    """
    package = name if is_package else name.rpartition(".")[0]
    changes = _MAY_CHANGE_IMPORTS.search(source) and any(map(_changes_imports, ast.walk(tree)))
    return ModuleFacts(
        imports=tuple(
            found
            for node, certainty in _import_statements(tree.body, Certainty.CERTAIN, python)
            for found in _imports(node, certainty, package)
        ),
        changes_imports=bool(changes),
    )


def _imports(
    node: ast.Import | ast.ImportFrom, certainty: Certainty, package: str
) -> Iterator[Import]:
    """Yield the modules that a statement imports; none for a relative import beyond the top."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(module=alias.name, line=node.lineno, certainty=certainty)
        return
    module = node.module or ""
    if node.level:
        parts = package.split(".") if package else []
        if node.level > len(parts):
            return
        above = parts[: len(parts) - node.level + 1]
        module = ".".join([*above, *([module] if module else [])])
    names = tuple(alias.name for alias in node.names)
    yield Import(module=module, names=names, line=node.lineno, certainty=certainty)


def _import_statements(
    body: Iterable[ast.stmt], certainty: Certainty, python: _Python
) -> Iterator[tuple[ast.Import | ast.ImportFrom, Certainty]]:
    """Yield the import statements below some statements, in their order."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, certainty
        else:
            for block, less in _blocks(node, python):
                yield from _import_statements(block, min(certainty, less), python)


def _blocks(node: ast.stmt, python: _Python) -> Iterator[tuple[Iterable[ast.stmt], Certainty]]:
    """Yield the blocks of a statement, and how certain it is that they run."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield node.body, Certainty.DEFERRED
    elif isinstance(node, ast.ClassDef):
        yield node.body, Certainty.CERTAIN
    elif isinstance(node, ast.If):
        yield from _branches(node, python)
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        harmless = all(_name_of(item.context_expr) in _HARMLESS_CONTEXTS for item in node.items)
        yield node.body, Certainty.CERTAIN if harmless else Certainty.CAUGHT
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
        yield node.body, Certainty.POSSIBLE
        yield node.orelse, Certainty.POSSIBLE
    elif isinstance(node, ast.Match):
        for case in node.cases:
            yield case.body, Certainty.POSSIBLE
    elif isinstance(node, _TRIES):
        yield from _attempts(node)


def _branches(node: ast.If, python: _Python) -> Iterator[tuple[Iterable[ast.stmt], Certainty]]:
    """Yield the branches that a target may take."""
    truth = _truth(node.test, python)
    certainty = Certainty.POSSIBLE if truth is None else Certainty.CERTAIN
    if truth is not False:
        yield node.body, certainty
    if truth is not True:
        yield node.orelse, certainty


def _attempts(node: ast.Try) -> Iterator[tuple[Iterable[ast.stmt], Certainty]]:
    """Yield the blocks of `try`; what follows `else` runs only if all imports have succeeded."""
    catches = any(map(_catches, node.handlers))
    yield node.body, Certainty.CAUGHT if catches else Certainty.CERTAIN
    for handler in node.handlers:
        yield handler.body, Certainty.POSSIBLE
    yield node.orelse, Certainty.POSSIBLE if catches else Certainty.CERTAIN
    yield node.finalbody, Certainty.CERTAIN


def _catches(handler: ast.ExceptHandler) -> bool:
    """Check whether a handler catches a failed import, as far as its names show."""
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    # A name that is not an exception of Python's own may stand for several of them.
    return any(
        _name_of(each) in _CATCHES or not _name_of(each).endswith(("Error", "Exception"))
        for each in types
    )


def _name_of(node: ast.expr) -> str:
    """Get the last name of an expression such as `contextlib.suppress(…)`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _truth(test: ast.expr, python: _Python) -> bool | None:
    """Evaluate a condition for the target; None if that takes more than its version and system."""
    truth: bool | None = None
    if isinstance(test, ast.Constant):
        truth = bool(test.value)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        opposite = _truth(test.operand, python)
        truth = None if opposite is None else not opposite
    elif isinstance(test, ast.BoolOp):
        truth = _combined(test, python)
    elif isinstance(test, (ast.Name, ast.Attribute)):
        truth = _TRUE_NAMES.get(_name_of(test))
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        truth = _compared(test.left, test.ops[0], test.comparators[0], python)
    elif isinstance(test, ast.Call) and ast.unparse(test.func) == "sys.platform.startswith":
        prefix = _constant(test.args[0]) if test.args else None
        truth = "linux".startswith(prefix) if isinstance(prefix, str) else None
    return truth


def _combined(test: ast.BoolOp, python: _Python) -> bool | None:
    """Evaluate `and` and `or`: one known part may decide."""
    decides = isinstance(test.op, ast.Or)
    truths = [_truth(value, python) for value in test.values]
    if decides in truths:
        return decides
    return None if None in truths else not decides


def _compared(
    left: ast.expr, operation: ast.cmpop, right: ast.expr, python: _Python
) -> bool | None:
    compare = _COMPARISONS.get(type(operation))
    expected = _constant(right)
    if compare is None or expected is None:
        return None
    shown = ast.unparse(left)
    known: object = _known_values(python).get(shown)
    if shown.endswith("version_info") and isinstance(expected, tuple):
        # The third number of the runtime's version is not known, and it is at least 0.
        if len(expected) > len(python) and expected[: len(python)] == python:
            return None
        expected, known = expected[: len(python)], (*python, 0)
    if type(known) is not type(expected) and not isinstance(operation, (ast.In, ast.NotIn)):
        return None
    try:
        return bool(compare(known, expected)) if known is not None else None
    except TypeError:
        return None


def _constant(node: ast.expr) -> object:
    """Get the value of a literal; None for anything else."""
    try:
        value: object = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value


def _known_values(python: _Python) -> Mapping[str, object]:
    """Name what Lambda's Python says about itself."""
    return {
        "__name__": "a module that is imported",
        "os.name": "posix",
        "os.sep": "/",
        "platform.python_implementation()": "CPython",
        "platform.system()": "Linux",
        "sys.implementation.name": "cpython",
        "sys.platform": "linux",
        "sys.version_info": python,
        "sys.version_info[:2]": python,
        "sys.version_info[0:2]": python,
        "sys.version_info[0]": python[0],
        "sys.version_info[1]": python[1],
        "sys.version_info.major": python[0],
        "sys.version_info.minor": python[1],
        "version_info": python,
    }


def _changes_imports(node: ast.AST) -> bool:
    """Check whether something may change what can be imported."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id == "sys" and node.attr in _PATH_ATTRIBUTES
    if isinstance(node, ast.ImportFrom):
        return node.module == "sys" and any(
            alias.name in _PATH_ATTRIBUTES | {"modules"} for alias in node.names
        )
    if isinstance(node, ast.Call):
        function = node.func
        return _name_of(function) in {"addsitedir", "extend_path"} or (
            isinstance(function, ast.Attribute)
            and function.attr in _MODULES_METHODS
            and ast.unparse(function.value) == "sys.modules"
        )
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        return ast.unparse(node.value) == "sys.modules"
    return isinstance(node, ast.Name) and node.id == "__path__"
