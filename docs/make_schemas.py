"""Write the JSON schemas of the reports, from the types that the code has for them.

`make reference` runs it. What the types say in their docstrings becomes descriptions.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.commands.diff import Change, Difference, Field
from lambda_build_plugin.commands.inspection import (
    FailureReport,
    InspectedPackage,
    InspectionReport,
)
from lambda_build_plugin.report import (
    BuildReport,
    BuildReports,
    ExcludedReport,
    LeftBehindReport,
    LeftOutReport,
    PackageReport,
    SizeReport,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).resolve().parent / "schema"

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SITE = "https://lambda-build-plugin.github.io/lambda-build-plugin"
_SIMPLE = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
_PARTS = {
    part.__name__: part
    for part in (
        *(BuildReport, SizeReport, PackageReport, LeftOutReport, ExcludedReport, LeftBehindReport),
        *(InspectedPackage, FailureReport, Change, Field),
    )
}


def schemas() -> Mapping[str, str]:
    """Make the text of each schema, by the name of its file."""
    return {
        "build.schema.json": _schema("build", [BuildReport, BuildReports]),
        "inspect.schema.json": _schema("inspect", [InspectionReport]),
        "diff.schema.json": _schema("diff", [Difference]),
    }


def _schema(name: str, documents: list[type]) -> str:
    definitions: dict[str, Any] = {}
    forms = [_object(each, definitions) for each in documents]
    schema = {
        "$schema": _DRAFT,
        "$id": f"{_SITE}/{name}.schema.json",
        "title": f"What `lambda-build{'' if name == 'build' else f' {name}'} --json` prints",
        **(forms[0] if len(forms) == 1 else {"oneOf": forms}),
        "$defs": dict(sorted(definitions.items())),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _object(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe a TypedDict; further fields may come within a version."""
    notes = _notes(kind)
    fields = {}
    for field, annotation in kind.__annotations__.items():
        text: str = annotation.__forward_arg__
        value = _value(ast.parse(text, mode="eval").body, definitions)
        if field == "schema":
            value = {"const": 1}
        fields[field] = value | ({"description": notes[field]} if field in notes else {})
    return {
        "type": "object",
        "description": _one_line(inspect.getdoc(kind) or ""),
        "properties": fields,
        "required": list(fields),
    }


def _value(node: ast.expr, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe the values that an annotation stands for."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return {"anyOf": [_value(left, definitions), _value(right, definitions)]}
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return {"type": "array", "items": _value(item, definitions)}
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, item])):
            return {"type": "object", "additionalProperties": _value(item, definitions)}
        case ast.Name(id=name) if name in _PARTS:
            if name not in definitions:
                definitions[name] = _object(_PARTS[name], definitions)
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
