"""Generate a uv workspace: 50 functions that share 10 libraries and real packages.

What is generated depends on nothing but the tables below, so that figures of two days can be
compared. The lock is made by `uv lock`, and not committed, because it names the index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FUNCTIONS", "LIBRARIES", "function_names", "write_workspace"]

FUNCTIONS = 50
LIBRARIES = 10

_RUNTIME = "python3.13"

_LIBRARY_NEEDS = (
    ("pydantic",),
    ("requests",),
    ("boto3",),
    ("httpx",),
    ("attrs", "cattrs"),
    ("jinja2",),
    ("pyyaml", "jsonschema"),
    ("sqlalchemy",),
    ("structlog", "python-json-logger"),
    ("cryptography",),
)
"""What each library requires, beside nothing."""

_FUNCTION_NEEDS = (
    ("aws-lambda-powertools", "orjson"),
    ("pyjwt", "tenacity"),
    ("python-dateutil", "phonenumbers"),
    ("markdown-it-py", "beautifulsoup4"),
    ("click", "rich"),
    ("msgpack", "pytz"),
    ("numpy",),
    ("fastapi", "mangum"),
    ("pillow",),
    ("lxml", "defusedxml"),
    ("tabulate", "openpyxl"),
    ("redis", "cachetools"),
)
"""What functions require beside their libraries, in turn."""

_ROOT = """\
[tool.uv.workspace]
members = ["functions/*", "libraries/*"]
"""

_PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0.0"
requires-python = ">=3.10"
dependencies = [{dependencies}]
"""

_SOURCES = """
[tool.uv.sources]
{sources}
"""

_SETTINGS = """
[tool.lambda-build]
runtime = "{runtime}"
architecture = "arm64"
handler = "{module}.app.handler"
"""


def function_names() -> list[str]:
    """List the names of the functions, which are those of their folders."""
    return [f"function-{number:02}" for number in range(FUNCTIONS)]


def write_workspace(root: Path) -> None:
    """Write the workspace into a folder, without a lock."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(_ROOT, encoding="utf-8")
    for number in range(LIBRARIES):
        _write_library(root, number)
    for number, name in enumerate(function_names()):
        _write_function(root, number, name)


def _write_library(root: Path, number: int) -> None:
    name = f"library-{number}"
    folder = root / "libraries" / name
    needs = _LIBRARY_NEEDS[number % len(_LIBRARY_NEEDS)]
    code = f"def answer():\n    return {number}\n"
    _write_project(folder, name, needs, code={"__init__.py": "", "core.py": code})


def _write_function(root: Path, number: int, name: str) -> None:
    # Each function has one to three libraries, and each library five to fifteen functions.
    libraries = [f"library-{(number * 3 + step) % LIBRARIES}" for step in range(1 + number % 3)]
    needs = (*_FUNCTION_NEEDS[number % len(_FUNCTION_NEEDS)], *libraries)
    module = name.replace("-", "_")
    imported = "\n".join(f"from {each.replace('-', '_')} import core" for each in libraries)
    code = f"{imported}\n\n\ndef handler(event, context):\n    return core.answer()\n"
    sources = "\n".join(f"{each} = {{ workspace = true }}" for each in libraries)
    more = _SOURCES.format(sources=sources) + _SETTINGS.format(runtime=_RUNTIME, module=module)
    files = {"__init__.py": "", "app.py": code}
    _write_project(root / "functions" / name, name, needs, code=files, more=more)


def _write_project(
    folder: Path, name: str, needs: tuple[str, ...], *, code: dict[str, str], more: str = ""
) -> None:
    package = folder / "src" / name.replace("-", "_")
    package.mkdir(parents=True)
    for file, text in code.items():
        (package / file).write_text(text, encoding="utf-8")
    listed = ", ".join(f'"{each}"' for each in needs)
    text = _PROJECT.format(name=name, dependencies=listed) + more
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
