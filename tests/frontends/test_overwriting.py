"""Results replace earlier results, and nothing else."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from pathlib import Path

WHEEL = a_wheel("local", "1.0")
WHEEL_NAME = WHEEL.filename
LOCK = "# nothing is locked\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with a lock, a wheel and some notes."""
    root = a_project(tmp_path / "project")
    (root / "requirements.txt").write_text(LOCK, encoding="utf-8")
    (root / "prod.txt").write_text(LOCK, encoding="utf-8")
    (root / "notes.md").write_text("precious\n", encoding="utf-8")
    (root / "data.json").write_text('{"precious": true}\n', encoding="utf-8")
    WHEEL.write_to(root)
    (root / "local.zip").write_bytes(WHEEL.content)
    return root


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give an environment of no one's, with a runtime."""
    return quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")


def content(folder: Path) -> dict[Path, bytes | None]:
    """Read everything below a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-o", "pyproject.toml"), "it is one of the project's own files"),
        (("-o", "uv.lock"), "it is one of the project's own files"),
        (("-o", "requirements.txt"), "it is one of the project's own files"),
        (("-o", "prod.txt", "--lock", "prod.txt"), "it is one of the project's own files"),
        (("-o", "src/../pyproject.toml"), "it is one of the project's own files"),
        (("-o", "notes.md"), "it already exists and is not a zip"),
        (("-o", "src/demo/__init__.py"), "it already exists and is not a zip"),
        (("-o", WHEEL_NAME), "it already exists and is a wheel"),
        (("-o", "notes.md", "--unpacked", "new"), "it already exists and is not a zip"),
        (("--unpacked", "src"), "it already exists and is not an empty folder"),
        (("--unpacked", "pyproject.toml"), "it already exists and is not an empty folder"),
        (("--unpacked", "new", "-o", "new/a.zip"), "cannot be in the folder of the unpacked files"),
        (("-o", "a.zip", "--unpacked", "a.zip/new"), "cannot be inside of the zip"),
    ],
    ids=" ".join,
)
def test_refused_output(
    project: Path, environ: dict[str, str], arguments: tuple[str, ...], why: str
) -> None:
    """What is not an earlier artifact is not replaced, and the build does not begin."""
    before = content(project)

    run = run_lambda_build(*arguments, cwd=project, environ=environ)

    assert (run.code, run.output) == (7, "")
    assert why in run.errors
    assert content(project) == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pyproject.toml", "is one of the project's own files"),
        ("poetry.lock", "is one of the project's own files"),
        ("prod.txt", "is one of the project's own files"),
        ("notes.md", "already exists and is not a report of lambda-build"),
        ("src/demo/__init__.py", "already exists and is not a report of lambda-build"),
        ("data.json", "already exists and is not a report of lambda-build"),
        ("local.zip", "already exists and is not a report of lambda-build"),
    ],
)
def test_refused_report(project: Path, environ: dict[str, str], name: str, problem: str) -> None:
    """What is not an earlier report is not replaced by one."""
    before = content(project)

    run = run_lambda_build("--lock", "prod.txt", "--report", name, cwd=project, environ=environ)

    assert (run.code, run.output) == (2, "")
    assert f"--report: `{project / name}` {problem}" in run.errors
    assert content(project) == before


@pytest.mark.parametrize("name", ["notes.md", "src/demo/__init__.py", "data.json", "local.zip"])
def test_failed_build_replaces_no_other_file(
    project: Path, environ: dict[str, str], name: str
) -> None:
    """The document of a failure is held to the same, although the build has not begun."""
    before = content(project)

    run = run_lambda_build("--runtime", "no", "--report", name, cwd=project, environ=environ)

    assert run.code == 2
    assert content(project) == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("prod.txt", "is one of the project's own files"),
        ("notes.md", "already exists and is not a page of lambda-build"),
        ("data.json", "already exists and is not a page of lambda-build"),
        ("a.zip", "is also the path of the artifact"),
        ("report.json", "is also the file of --report"),
        ("notes.md/page.html", "is not a writable folder"),
    ],
)
def test_refused_page(project: Path, environ: dict[str, str], name: str, problem: str) -> None:
    """What is not an earlier page is not replaced by one, and the build does not begin."""
    options = ("--lock", "prod.txt", "-o", "a.zip", "--report", "report.json", "--html", name)
    before = content(project)

    run = run_lambda_build(*options, cwd=project, environ=environ)

    assert (run.code, run.output) == (2, "")
    assert f"error: --html: `{project / name}` " in run.errors
    assert problem in run.errors
    (project / "report.json").unlink()  # it says why the build failed
    assert content(project) == before


@pytest.mark.parametrize("option", ["--report", "--html", "--sbom"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("files/result", "is inside of the artifact, {}/files\n"),
        ("a.zip/result", "is inside of the artifact, {}/a.zip\n"),
        ("files", "is also the path of the artifact\n"),
    ],
)
def test_result_inside_of_the_artifact(
    project: Path, environ: dict[str, str], option: str, name: str, problem: str
) -> None:
    """The unpacked files are those of the zip, and nothing beside them."""
    options = ("-o", "a.zip", "--unpacked", "files", option, name)
    before = content(project)

    run = run_lambda_build(*options, cwd=project, environ=environ)

    assert (run.code, run.output) == (2, "")
    assert run.errors.startswith(f"error: {option}: `{project / name}` {problem.format(project)}")
    assert content(project) == before


def test_result_in_place_of_the_folder(project: Path, environ: dict[str, str]) -> None:
    """A report that could not be written at the end is told before anything is built."""
    before = content(project)

    run = run_lambda_build("-o", "new/a.zip", "--report", "new", cwd=project, environ=environ)

    output = project / "new" / "a.zip"
    problem = f"cannot be a file, because the artifact is inside of it, {output}"
    assert (run.code, run.output) == (2, "")
    assert run.errors.startswith(f"error: --report: `{project / 'new'}` {problem}\n")
    assert content(project) == before


@pytest.mark.parametrize("old", ["artifact", "another zip", "cut-off zip", "nothing"])
def test_replaced_output(project: Path, environ: dict[str, str], old: str) -> None:
    """An older zip is replaced, and so is an empty file."""
    output = project / "artifact.zip"
    if old == "artifact":
        assert run_lambda_build("-o", output, cwd=project, environ=environ).code == 0
    else:
        end = {"another zip": None, "cut-off zip": 40, "nothing": 0}[old]
        output.write_bytes(WHEEL.content[:end])

    run = run_lambda_build("-o", output, cwd=project, environ=environ)

    assert (run.code, run.errors) == (0, "")
    with zipfile.ZipFile(output) as archive:
        assert "demo/__init__.py" in archive.namelist()


@pytest.mark.parametrize("old", ["report", "nothing"])
def test_replaced_report(project: Path, environ: dict[str, str], old: str) -> None:
    """An older report is replaced, and so is an empty file such as `mktemp` makes."""
    report = project / "report.json"
    report.write_bytes(b"")
    for _ in range(2 if old == "report" else 1):
        run = run_lambda_build("--report", report, cwd=project, environ=environ)
        assert (run.code, run.errors) == (0, "")

    assert json.loads(report.read_text(encoding="utf-8"))["schema"] == 1


def test_file_to_include_is_not_replaced(project: Path, environ: dict[str, str]) -> None:
    """A wheel that ships by `include-local` cannot be the output, whatever its name is."""
    before = content(project)

    run = run_lambda_build(
        "--include-local", WHEEL_NAME, "-o", WHEEL_NAME, cwd=project, environ=environ
    )

    assert run.code == 7
    assert "it is one of the project's own files" in run.errors
    assert content(project) == before


@pytest.mark.parametrize("text", ["precious = true\n", "[tool]\nlock-version = 1\n x"])
def test_lock_replaces_only_locks(project: Path, environ: dict[str, str], text: str) -> None:
    """`lambda-build lock` does not overwrite a file that is not a lock."""
    (project / "pylock.toml").write_text(text, encoding="utf-8")
    refused = "lock-version" not in text

    run = run_lambda_build("lock", "-o", "pylock.toml", cwd=project, environ=environ)

    assert ("it already exists and is not a lock" in run.errors) is refused
    if refused:
        assert run.code == 7
        assert (project / "pylock.toml").read_text(encoding="utf-8") == text


def test_lock_into_a_folder(project: Path, environ: dict[str, str]) -> None:
    """`lambda-build lock` says that a folder is there before it starts uv."""
    (project / "pylock.toml").mkdir()
    environ["PATH"] = ""

    run = run_lambda_build("lock", "-o", "pylock.toml", cwd=project, environ=environ)

    assert (run.code, run.output) == (7, "")
    assert "why: it exists and is not a file" in run.errors
