"""Write the JSON schemas of the reports, from the types that the code has for them.

`make reference` runs it. What the types say in their docstrings becomes descriptions.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.commands.diff import Difference
from lambda_build_plugin.commands.inspection import InspectedPackage, InspectionReport
from lambda_build_plugin.invoke.results import InvocationsReport
from lambda_build_plugin.projects.report import ProjectsReport
from lambda_build_plugin.report import (
    BuildReport,
    BuildReports,
    ErrorReport,
    FailedReport,
    SizeReport,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).resolve().parent / "schema"

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SITE = "https://lambda-build-plugin.github.io/lambda-build-plugin"
_SIMPLE = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
_PARTS = {part.__name__: part for part in (BuildReport, ErrorReport, InspectedPackage, SizeReport)}


def schemas() -> Mapping[str, str]:
    """Make the text of each schema, by the name of its file."""
    return {
        "build.schema.json": _schema("build", [BuildReport, BuildReports, ProjectsReport]),
        "inspect.schema.json": _schema("inspect", [InspectionReport]),
        "diff.schema.json": _schema("diff", [Difference]),
        "invoke.schema.json": _schema("invoke", [InvocationsReport]),
    }


def _schema(name: str, documents: list[type]) -> str:
    definitions: dict[str, Any] = {}
    forms = [_object(each, definitions) for each in (*documents, FailedReport)]
    schema = {
        "$schema": _DRAFT,
        "$id": f"{_SITE}/{name}.schema.json",
        "title": f"What `lambda-build{'' if name == 'build' else f' {name}'} --json` prints",
        "oneOf": forms,
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe a TypedDict; further fields may come within a version."""
    notes = _notes(kind)
    fields = {}
    for field, annotation in kind.__annotations__.items():
        text: str = annotation.__forward_arg__
        value = _Values(kind, definitions).of(ast.parse(text, mode="eval").body)
        if field == "schema":
            value = {"const": 1}
        fields[field] = value | ({"description": notes[field]} if field in notes else {})
    return {
        "type": "object",
        "description": _one_line(inspect.getdoc(kind) or ""),
        "properties": fields,
        "required": list(fields),
    }


class _Values:
    """Describes the values that the annotations of one class stand for."""

    def __init__(self, kind: type, definitions: dict[str, Any]) -> None:
        # What a module imports for its annotations alone is not in it at run time.
        self._known = _PARTS | vars(sys.modules[kind.__module__])
        self._definitions = definitions

    def of(self, node: ast.expr) -> dict[str, Any]:
        match node:
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return {"anyOf": [self.of(left), self.of(right)]}
            case ast.Subscript(value=ast.Name(id="list"), slice=item):
                return {"type": "array", "items": self.of(item)}
            case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, item])):
                return {"type": "object", "additionalProperties": self.of(item)}
            case ast.Name(id="object"):  # whatever JSON can hold
                return {}
            case ast.Name(id=name) if name in self._known:
                if name not in self._definitions:
                    self._definitions[name] = _object(self._known[name], self._definitions)
                return {"$ref": f"#/$defs/{name}"}
        return {"type": _SIMPLE[ast.unparse(node)]}


def _notes(kind: type) -> dict[str, str]:
    """Read the docstrings below the fields of a class."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    notes = {}
    for field, note in pairwise(body):
        match field, note:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                notes[name] = _one_line(text)
    return notes


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Write all schemas."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
