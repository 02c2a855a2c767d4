"""`lambda-build init`: what it finds by looking, and that it changes nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.projects import Run

EVENT = "(event, context):\n    return event\n"


def init(root: Path, *words: str) -> Run:
    """Run the command in a project."""
    return run_lambda_build("init", *words, cwd=root, environ=quiet_environment(root.parent))


def table(root: Path) -> str:
    """Get the table that was written, without its heading."""
    text = (root / "pyproject.toml").read_text()
    return text.partition("[tool.lambda-build]\n")[2]


def a_folder(root: Path, files: dict[str, str]) -> Path:
    """Write the files of a project."""
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_table_of_a_package(tmp_path: Path) -> None:
    """What is found is written below what is there, and the next build uses it."""
    root = a_project(tmp_path / "project")
    before = (root / "pyproject.toml").read_text()

    ran = init(root)

    assert (ran.code, ran.errors) == (0, "")
    assert (root / "pyproject.toml").read_text() == (
        f"{before}\n[tool.lambda-build]\n"
        'runtime = "python3.14"\narchitecture = "x86_64"\nhandler = "demo.app.handler"\n'
    )
    assert ran.output == (
        f"Wrote [tool.lambda-build] to {root / 'pyproject.toml'}\n\n"
        "  runtime       python3.14 (the newest that requires-python `>=3.10` admits)\n"
        "  architecture  x86_64 (the default)\n"
        "  handler       demo.app.handler\n"
    )
    built = run_lambda_build(cwd=root, environ=quiet_environment(tmp_path))
    assert "python3.14 x86_64 (set by [tool.lambda-build] runtime)" in built.output


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        pytest.param(
            {"app.py": f"def handler{EVENT}", "lib/deep.py": f"def lambda_handler{EVENT}"},
            "lib.deep.lambda_handler",
            id="lambda_handler is meant more surely",
        ),
        pytest.param(
            {"a.py": f"def handler{EVENT}", "main.py": f"def handler{EVENT}"},
            "main.handler",
            id="usual module",
        ),
        pytest.param(
            {"src/app/__init__.py": f"def handler{EVENT}"}, "app.handler", id="package in src"
        ),
        pytest.param(
            {"app.py": "from mangum import Mangum\nhandler = Mangum(app)\n"},
            "app.handler",
            id="object",
        ),
        pytest.param(
            {"app.py": "def lambda_handler(event, context=None, *, log=1): pass\n"},
            "app.lambda_handler",
            id="default",
        ),
        pytest.param(
            {"app.py": "import logging\nhandler = logging.StreamHandler()\n"}, None, id="logging"
        ),
        pytest.param({"app.py": "def handler(signal): pass\n"}, None, id="one parameter"),
        pytest.param({"app.py": "class A:\n    def handler(self, x): pass\n"}, None, id="method"),
        pytest.param({"app.py": "async def handler(event, context): pass\n"}, None, id="coroutine"),
        pytest.param({"app.py": "def handler(event, context:\n"}, None, id="syntax error"),
        pytest.param(
            {"app.py": "", "tests/app.py": f"def handler{EVENT}"}, None, id="test that stays behind"
        ),
        pytest.param({}, None, id="no code"),
    ],
)
def test_handler_is_found_by_looking(
    tmp_path: Path, files: dict[str, str], handler: str | None
) -> None:
    """Modules are parsed, and never run."""
    root = a_folder(tmp_path / "project", {"requirements.txt": "", **files})

    ran = init(root)

    assert ran.code == 0, ran.errors
    line = f'handler = "{handler}"' if handler else '# handler = "package.module.function"'
    assert table(root).splitlines()[2] == line


def test_several_handlers_are_named(tmp_path: Path) -> None:
    """The user learns what else might be meant."""
    files = {f"{name}.py": f"def handler{EVENT}" for name in "ab"}
    root = a_folder(tmp_path / "project", {"requirements.txt": "", **files})

    assert "  handler       a.handler (or b.handler?)\n" in init(root).output


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("template.yaml", "Architectures:\n  - arm64\n"),
        ("serverless.yml", "provider:\n  architecture: arm64\n"),
        ("main.tf", 'architectures = ["arm64"]\n'),
    ],
)
def test_architecture_of_a_template(tmp_path: Path, template: str, text: str) -> None:
    """What the project is deployed with says for which architecture."""
    root = a_folder(tmp_path / "project", {"app.py": "", "requirements.txt": "", template: text})

    ran = init(root)

    assert 'architecture = "arm64"\n' in table(root)
    assert f"arm64 (named in {template})" in ran.output


@pytest.mark.parametrize(
    ("template", "runtime", "reason"),
    [
        pytest.param("Runtime: python3.12\n", "3.12", "named in template.yaml", id="named"),
        pytest.param("Runtime: python3.9\n", "3.14", "the newest", id="excluded by the project"),
        pytest.param("python3.12 python3.13", "3.14", "the newest", id="several"),
        pytest.param("Runtime: python3.99", "3.14", "the newest", id="unknown"),
    ],
)
def test_runtime_of_a_template(tmp_path: Path, template: str, runtime: str, reason: str) -> None:
    """The Python on which the function runs already is the one to build for."""
    root = a_project(tmp_path / "project")
    (root / "template.yaml").write_text(template)

    ran = init(root)

    assert f"python{runtime} ({reason}" in ran.output
    assert f'runtime = "python{runtime}"\n' in table(root)


def test_what_is_named_is_written(tmp_path: Path) -> None:
    """Flags win over what is found."""
    root = a_project(tmp_path / "project")
    (root / "template.yaml").write_text("Architectures: [x86_64]\nRuntime: python3.13")

    init(root, "--runtime", "python3.12", "--arch", "arm64", "--handler", "demo.other.run")

    assert table(root) == (
        'runtime = "python3.12"\narchitecture = "arm64"\nhandler = "demo.other.run"\n'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[tool.lambda-build]\n", "already has [tool.lambda-build]", id="there"),
        pytest.param(
            '[tool.lambda-build.artifacts.a]\nruntime = "python3.13"\n',
            "already has [tool.lambda-build]",
            id="table of an artifact",
        ),
        pytest.param("tool = { other = {} }\n", "cannot be added at the end of", id="inline table"),
    ],
)
def test_nothing_is_overwritten(tmp_path: Path, text: str, problem: str) -> None:
    """A table that is there, or a file that cannot take one, stays as it is."""
    root = a_folder(tmp_path / "project", {"app.py": "", "pyproject.toml": text})

    ran = init(root)

    assert (ran.code, problem in ran.errors) == (2, True), ran.errors
    assert sorted(path.name for path in root.iterdir()) == ["app.py", "pyproject.toml"]
    assert (root / "pyproject.toml").read_text() == text


def test_file_keeps_its_line_ends_and_mode(tmp_path: Path) -> None:
    """Only lines are added, in the way of the others."""
    root = a_folder(tmp_path / "project", {"app.py": ""})
    path = root / "pyproject.toml"
    path.write_bytes(b'[project]\r\nname = "a"\r\nversion = "1"')
    path.chmod(0o600)

    init(root)

    text = path.read_bytes()
    assert text.startswith(
        b'[project]\r\nname = "a"\r\nversion = "1"\r\n\r\n[tool.lambda-build]\r\n'
    )
    assert b"\n" not in text.replace(b"\r\n", b"")
    assert path.stat().st_mode & 0o777 == 0o600
