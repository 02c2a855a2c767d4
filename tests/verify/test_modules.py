"""Modules that cannot be compiled, and imports that find nothing."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.artifacts import an_artifact, metadata
from fakes.elf import an_elf

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.verify.grammar import SyntaxProblem, parse_source
from lambda_build_plugin.verify.modules import Surroundings, check_modules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.verify.findings import Findings

HOST = sys.version_info[:2]


def found(
    files: Mapping[str, str | bytes],
    *,
    own: str = "app",
    handler: str | None = "app.handler",
    runtime: str = "python3.13",
    surroundings: Surroundings | None = None,
    layer: Mapping[str, str | bytes] | None = None,
) -> Findings:
    """Check files of which those that begin with `own` are the project's."""
    artifact = an_artifact(files)
    artifact = replace(
        artifact, own=frozenset(path for path in artifact.sizes if path.startswith(own))
    )
    return check_modules(
        artifact,
        Target(runtime=RUNTIMES[runtime], architecture=Architecture.ARM64),
        surroundings or Surroundings(),
        handler=handler,
        beside=[an_artifact(layer, roots=("python/",))] if layer else [],
    )


def errors(findings: Findings) -> list[str]:
    """Get the reasons of the failures, line by line."""
    return [line for error in findings.errors for line in error.why.splitlines()]


@pytest.mark.parametrize(
    ("source", "python", "since"),
    [
        pytest.param("match x:\n case 1: pass", (3, 9), (3, 10), id="match"),
        pytest.param("try: pass\nexcept* OSError: pass", (3, 10), (3, 11), id="except*"),
        pytest.param("def f(*a: *T): pass", (3, 10), (3, 11), id="starred annotation"),
        pytest.param("type X = int", (3, 11), (3, 12), id="type"),
        pytest.param("def f[T](a: T): pass", (3, 11), (3, 12), id="type parameters"),
        pytest.param("x = f'{a['b']}'", (3, 11), (3, 12), id="quotes in an f-string"),
        pytest.param("x = f'{f'{a}'}'", (3, 11), (3, 12), id="f-string in an f-string"),
        pytest.param("x = f'{\n a}'", (3, 11), (3, 12), id="line break in an f-string"),
        pytest.param("x = f'''{\n a # b\n}'''", (3, 11), (3, 12), id="comment in an f-string"),
        pytest.param("x = f'{\"\\n\".join(a)}'", (3, 11), (3, 12), id="backslash in an f-string"),
        pytest.param("class A[T = int]: pass", (3, 12), (3, 13), id="type default"),
        pytest.param("try: pass\nexcept A, B: pass", (3, 13), (3, 14), id="except without ()"),
    ],
)
def test_syntax_newer_than_the_target(
    source: str, python: tuple[int, int], since: tuple[int, int]
) -> None:
    """What a newer Python understands is wrong for an older one, whichever runs the check."""
    problem = parse_source(source.encode(), python).problem

    assert problem is not None
    assert problem.certain is (python <= HOST)
    if since <= HOST:
        assert parse_source(source.encode(), since).problem is None


@pytest.mark.parametrize(
    "source",
    [
        "x = f\"{a['b']!r:>{w}} {{x}} \\n\"",
        "x = f'''{\n a} {f'{x}'} {\"'\"}'''",
        "x = rf'\\d{x}' '\\n'  # it's",
        "x = f'{x:\\n}'",
        "type = match = case = 1",
        "async def f():\n    return [x async for x in y]",
        "# coding: latin-1\nx = '\xe9'",
    ],
)
@pytest.mark.parametrize("python", [(3, 10), (3, 11), (3, 13), (3, 14)])
def test_syntax_of_every_target(source: str, python: tuple[int, int]) -> None:
    """What was always right is right for every target."""
    assert parse_source(source.encode("latin-1"), python).problem is None


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ("x = 1\nreturn x", 2, "'return' outside function"),
        ("async def f(): pass\nawait f()", 2, "'await' outside function"),
        ("def f():\nx = 1", 2, "expected an indented block after function definition on line 1"),
    ],
)
@pytest.mark.parametrize("runtime", ["python3.10", "python3.14"])
def test_wrong_in_every_python(source: str, line: int, text: str, runtime: str) -> None:
    """What no Python compiles is an error, even where the running one is older."""
    assert errors(found({"app.py": source}, runtime=runtime)) == [f"`app.py`, line {line}: {text}"]


def test_uncertain_syntax_without_the_target() -> None:
    """Without the target's Python, what an older one rejects is a warning."""
    findings = found({"app.py": "def handler(:"}, runtime="python3.15")

    assert not findings.errors
    assert findings.warnings[0].startswith(
        "cannot tell whether Python 3.15 can compile `app.py`, line 1: "
    )


@pytest.mark.parametrize("answer", [None, SyntaxProblem(text="no", line=1)])
def test_uncertain_syntax_with_the_target(answer: SyntaxProblem | None) -> None:
    """The target's Python decides what an older one cannot."""
    asked = Surroundings(compile_with_target=lambda sources: [answer for _ in sources])
    findings = found({"app.py": "def handler(:"}, runtime="python3.15", surroundings=asked)

    assert errors(findings) == (["`app.py`, line 1: no"] if answer else [])
    assert not findings.warnings


def test_broken_file_that_may_be_a_template() -> None:
    """In a folder without `__init__`, what the handler does not import is a warning."""
    files = {"app/__init__.py": "", "app/main.py": "", "app/templates/x.py": "return"}

    assert not found(files, handler="app.main.handler").errors
    assert found(files, handler="app.main.handler").warnings == (
        "`app/templates/x.py`, line 1: 'return' outside function; nothing can import it",
    )
    assert errors(found(files, handler=None))


def test_broken_module_of_a_package() -> None:
    """Modules of others are not parsed."""
    assert found({"app.py": "import other", "other.py": "return"}) == found({"app.py": ""})


def test_missing_module() -> None:
    """What the handler's module imports has to be somewhere."""
    findings = found({"app.py": "import os\nimport yaml, json\n"})

    assert [error.what for error in findings.errors] == [
        "the handler cannot be imported: there is no module named `yaml`"
    ]
    assert errors(findings) == [
        "`app.py`, line 2, imports `yaml`, but there is no `yaml` in the artifact"
    ]


def test_where_it_is() -> None:
    """The message says where a module is that was left out."""
    known = Surroundings(where=lambda name: f"PyYAML has {name}")

    assert errors(found({"app.py": "import yaml"}, surroundings=known)) == [
        "`app.py`, line 1, imports `yaml`, but there is no `yaml` in the artifact: PyYAML has yaml"
    ]


def test_module_that_python_has_removed() -> None:
    """A module that the standard library had is explained."""
    assert errors(found({"app.py": "import imp"})) == [
        "`app.py`, line 1, imports `imp`, but there is no `imp` in the artifact: Python 3.11 was "
        "the last version with it"
    ]
    assert not found({"app.py": "import imp"}, runtime="python3.11").errors


@pytest.mark.parametrize(
    "other",
    [
        "from app import b",
        "from . import b",
        "from .b import x",
        "import app.b",
        "from app.b import *",
        "with warnings.catch_warnings():\n    import app.b",
        "try:\n    import app.b\nexcept KeyError:\n    pass",
        "try:\n    pass\nfinally:\n    import app.b",
        "class A:\n    import app.b",
        "if sys.version_info >= (3, 11):\n    import app.b",
        "if not TYPE_CHECKING:\n    import app.b",
        "if sys.platform == 'win32':\n    pass\nelse:\n    import app.b",
    ],
)
def test_missing_through_the_projects_modules(other: str) -> None:
    """What the handler's module leads to certainly is as bad as what it imports itself."""
    files = {"app/__init__.py": "", "app/a.py": other, "app/b.py": "import yaml"}

    assert errors(found(files, handler="app.a.handler")) == [
        "`app/b.py`, line 1, imports `yaml`, but there is no `yaml` in the artifact"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import yaml\nexcept ImportError:\n    yaml = None",
        "try:\n    import yaml\nexcept (KeyError, ModuleNotFoundError):\n    yaml = None",
        "try:\n    import yaml\nexcept _MISSING:\n    pass",
        "try:\n    import json\nexcept ImportError:\n    import yaml",
        "with suppress(ImportError):\n    import yaml",
        "with try_import():\n    import yaml",
        "def f():\n    import yaml",
        "for x in y:\n    import yaml",
        "if x:\n    import yaml",
        "class A:\n    def f(self):\n        import yaml",
    ],
)
def test_import_that_may_fail(source: str) -> None:
    """An import that is guarded or comes later is a note."""
    findings = found({"app.py": source})

    assert (findings.errors, findings.warnings) == ((), ())
    assert findings.notes[0].endswith("imports `yaml`, which does not ship; that may be intended")


@pytest.mark.parametrize(
    "source",
    [
        "if TYPE_CHECKING:\n    import yaml",
        "if typing.TYPE_CHECKING and x:\n    import yaml",
        "if sys.version_info < (3, 11):\n    import tomli",
        "if sys.version_info[0] == 2:\n    import yaml",
        "if os.name == 'nt':\n    import winreg",
        "if sys.platform.startswith('win'):\n    import winreg",
        "if platform.system() == 'Windows':\n    import winreg",
        "if __name__ == '__main__':\n    import yaml",
        "import boto3, botocore.exceptions, urllib3, awslambdaric, dateutil.parser",
        "import __future__, _thread, zoneinfo, tomllib, xml.etree",
        "from . import x",
        "from ... import x",
    ],
)
def test_nothing_missing(source: str) -> None:
    """What never runs, and what the runtime has, is not worth a word."""
    assert found({"app.py": source}) == found({"app.py": ""})


@pytest.mark.parametrize(
    "files",
    [
        {"lib.py": ""},
        {"lib.pyc": b""},
        {"lib/__init__.py": ""},
        {"lib/inner.py": ""},
        {"lib.cpython-313-aarch64-linux-gnu.so": an_elf()},
        {"lib.abi3.so": an_elf()},
        {"lib.so": an_elf()},
    ],
)
def test_forms_of_modules(files: dict[str, str | bytes]) -> None:
    """Modules are packages, files, bytecode, machine code, or folders; layers count as well."""
    assert not found({"app.py": "import lib", **files}).errors
    in_layer = {f"python/{path}": data for path, data in files.items()}
    assert not found({"app.py": "import lib"}, layer=in_layer).errors


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("from app.gone import x", "app.gone"),
        ("from .gone import x", "app.gone"),
        ("from google.cloud import storage", "google.cloud.storage"),
        ("import google.cloud.storage.blob", "google.cloud.storage"),
        ("from app import gone", None),
        ("from google.cloud.tasks import gone", None),
        ("import other.gone", None),
    ],
)
def test_missing_submodule(source: str, missing: str | None) -> None:
    """The project's packages and folders without `__init__` have only what is there."""
    files = {
        "app/__init__.py": "",
        "app/main.py": source,
        "google/cloud/tasks/__init__.py": "",
        "other/__init__.py": "",
    }
    findings = found(files, handler="app.main.handler")

    assert [name for error in findings.errors for name in error.names] == (  # type: ignore[attr-defined]
        [missing] if missing else []
    )


@pytest.mark.parametrize(
    "further",
    [
        {"app/path.py": "import sys\nsys.path.insert(0, '/opt/vendor')"},
        {"app/path.py": "import site\nsite.addsitedir('vendor')"},
        {"app/path.py": "from sys import path"},
        {"app/path.py": "import sys\nsys.modules['yaml'] = object()"},
        {"vendor.pth": "vendor\n"},
    ],
)
def test_path_that_changes_at_run_time(further: dict[str, str]) -> None:
    """If the project changes where modules are found, what is missing is a warning."""
    files = {"app/__init__.py": "", "app/main.py": "import yaml", **further}
    findings = found(files, handler="app.main.handler")

    assert not findings.errors
    assert findings.warnings == (
        "`app/main.py`, line 1, imports `yaml`, but there is no `yaml` in the artifact",
    )


def test_module_that_the_handler_does_not_import() -> None:
    """Elsewhere in the project, and without a handler, a missing module is a warning."""
    files = {"app/__init__.py": "", "app/main.py": "", "app/cli.py": "import click"}

    for handler in ("app.main.handler", None):
        findings = found(files, handler=handler)
        assert not findings.errors
        assert findings.warnings == (
            "`app/cli.py`, line 1, imports `click`, but there is no `click` in the artifact",
        )


def test_several_modules_that_import_one() -> None:
    """One line tells of each missing module."""
    files = {"app/__init__.py": "", "app/a.py": "import click", "app/b.py": "import click.core"}

    assert found(files, handler=None).warnings == (
        "`app/a.py`, line 1, imports `click` (and 1 more file), but there is no `click` in the "
        "artifact",
    )


@pytest.mark.parametrize("path", ["app/tests/x.py", "app/conftest.py", "app/test_x.py"])
def test_tests_that_ship(path: str) -> None:
    """What only tests need is a note."""
    findings = found({"app/__init__.py": "", path: "import pytest"}, handler=None)

    assert (findings.errors, findings.warnings) == ((), ())
    assert len(findings.notes) == 1


def test_packages_that_are_provided() -> None:
    """What was left out on purpose is not missing; what nobody can know is a warning."""
    files = {"app.py": "import yaml"}

    provided = found(files, surroundings=Surroundings(provides=lambda name: name == "yaml"))
    unnamed = found(files, surroundings=Surroundings(has_unnamed_layers=True))
    unknown = found(files, surroundings=Surroundings(has_unknown_packages=True))

    assert provided == unnamed == found({"app.py": ""})
    assert not unknown.errors
    assert len(unknown.warnings) == 1


def test_distutils_of_setuptools() -> None:
    """Setuptools brings `distutils` back."""
    files = {"app.py": "import distutils.util", "_distutils_hack/__init__.py": ""}

    assert not found(files).errors
    assert found({"app.py": "import distutils.util"}).errors


OLD_CODE = "print 'hello'\n"


@pytest.mark.parametrize(
    ("app", "requires_python", "warns"),
    [
        pytest.param("import old.deep", (), True, id="imported"),
        pytest.param("from old import deep", (), True, id="imported from its package"),
        pytest.param("import other", (), True, id="imported by another such package"),
        pytest.param("def f():\n  import old.deep", (), False, id="imported in a function"),
        pytest.param("try:\n  import old.deep\nexcept: pass", (), False, id="guarded"),
        pytest.param("import old", (), False, id="beside what is imported"),
        pytest.param("import old.deep", ("Requires-Python: >=2.7",), False, id="says its Pythons"),
    ],
)
def test_old_package(app: str, requires_python: tuple[str, ...], *, warns: bool) -> None:
    """Code of Python 2 in a package that names no Pythons is a warning if the handler imports it.

    A package that says for which Pythons it is was chosen for that.
    """
    owners = {
        "old/__init__.py": "old 1.0",
        "old/deep.py": "old 1.0",
        "other.py": "other 1.0",
    }
    files = {
        "app.py": f"{app}\ndef handler(e, c): ...\n",
        "old/__init__.py": "",
        "old/deep.py": OLD_CODE,
        "other.py": "import old.deep\n",
        **metadata("old", "1.0", *requires_python),
        **metadata("other"),
    }
    artifact = replace(an_artifact(files, owners=owners), own=frozenset({"app.py"}))

    findings = check_modules(
        artifact,
        Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64),
        Surroundings(),
        handler="app.handler",
    )

    assert findings.errors == ()
    assert [text.partition(": ")[0] for text in findings.warnings] == (
        [
            "old 1.0 was not written for Python 3.13, which cannot compile what the handler "
            "imports of it"
        ]
        if warns
        else []
    )
