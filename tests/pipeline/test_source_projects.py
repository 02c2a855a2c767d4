"""Projects that are no packages, through the console script: what ships, and that it runs."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest
from fakes.awslambda import invoke, unpack
from fakes.projects import quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_CODE = """\
import dep
from shared import words

def handler(event, context):
    return [event, dep.__version__, words.ALL]
"""
_APP = '[project]\nname = "demo"\nversion = "1.0"\ndependencies = ["dep"]\n'

LAYOUTS = {
    "folder without pyproject": (
        {"lambda_function.py": _CODE, "shared/words.py": "ALL = 1"},
        "lambda_function.handler",
    ),
    "poetry package-mode": (
        {
            "pyproject.toml": '[tool.poetry]\npackage-mode = false\nname = "demo"\n',
            "app/__init__.py": _CODE,
            "shared/__init__.py": "",
            "shared/words.py": "ALL = 1",
        },
        "app.handler",
    ),
    "uv package": (
        {
            "pyproject.toml": f"{_APP}[tool.uv]\npackage = false\n",
            "main.py": _CODE,
            "shared/words.py": "ALL = 1",
        },
        "main.handler",
    ),
    "pdm distribution": (
        {
            "pyproject.toml": f"{_APP}[tool.pdm]\ndistribution = false\n",
            "src/app/main.py": _CODE,
            "src/shared/words.py": "ALL = 1",
        },
        "app/main.handler",
    ),
    "rye flat": (
        {
            "pyproject.toml": '[build-system]\nrequires = ["hatchling"]\n'
            f'build-backend = "hatchling.build"\n{_APP}[tool.rye]\nvirtual = true\n',
            "demo/__init__.py": "",
            "demo/main.py": _CODE,
            "shared/words.py": "ALL = 1",
        },
        "demo.main.handler",
    ),
}


def a_source_project(folder: Path, files: dict[str, str]) -> Path:
    """Write a project with a lock that names a wheel in a folder beside it."""
    root = folder / "project"
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    wheel = a_wheel("dep", "1.5")
    wheel.write_to(folder / "wheelhouse")
    (root / "requirements.txt").write_text(
        f"--no-index\n--find-links {folder / 'wheelhouse'}\n"
        f"dep==1.5 --hash=sha256:{wheel.sha256}\n",
        encoding="utf-8",
    )
    return root


def built(root: Path, *options: str | Path) -> Path:
    """Build with the console script, without a warning, and give the zip."""
    output = root.parent / "out" / f"{len(options)}.zip"
    run = run_lambda_build(
        *("--runtime", _RUNTIME, "--strict", "-q", "-o", output),
        *options,
        cwd=root,
        environ=quiet_environment(root.parent),
    )
    assert (run.code, run.errors) == (0, "")
    return output


def names(path: Path) -> list[str]:
    """List the members of a zip, without metadata."""
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


@pytest.mark.index
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_runs(tmp_path: Path, layout: str, runtime_interface_client: Path) -> None:
    """The handler of each layout is found and finds its own modules and the locked ones."""
    files, handler = LAYOUTS[layout]
    artifact = built(a_source_project(tmp_path, files), "--handler", handler)

    invocation = invoke(
        handler,
        {"a": 1},
        task=unpack(artifact, tmp_path / "task"),
        python=Path(sys.executable),
        runtime=_RUNTIME,
        ric=runtime_interface_client,
    )

    assert (invocation.result, invocation.error) == ([{"a": 1}, "1.5", 1], None)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("folder without pyproject", ["dep/__init__.py", "lambda_function.py", "shared/words.py"]),
        (
            "poetry package-mode",
            ["app/__init__.py", "dep/__init__.py", "shared/__init__.py", "shared/words.py"],
        ),
        ("uv package", ["dep/__init__.py", "main.py", "shared/words.py"]),
        ("pdm distribution", ["app/main.py", "dep/__init__.py", "shared/words.py"]),
        (
            "rye flat",
            ["demo/__init__.py", "demo/main.py", "dep/__init__.py", "shared/words.py"],
        ),
    ],
)
def test_layout_is_recognized(tmp_path: Path, layout: str, expected: list[str]) -> None:
    """What is no package ships as source without being told."""
    files, handler = LAYOUTS[layout]

    artifact = built(a_source_project(tmp_path, files), "--handler", handler)

    assert names(artifact) == expected


def test_package_as_source(tmp_path: Path) -> None:
    """A package ships as source where that is asked for, without metadata of its own."""
    system = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    files = {"pyproject.toml": system + _APP, "src/demo/__init__.py": "", "src/demo/a.txt": ""}
    root = a_source_project(tmp_path, files)

    with zipfile.ZipFile(built(root, "--project-as", "source")) as archive:
        assert archive.namelist() == [
            "demo/__init__.py",
            "demo/a.txt",
            *(f"dep-1.5.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
            "dep/__init__.py",
        ]


def test_script_as_wheel(tmp_path: Path) -> None:
    """A wheel of what is no package is refused, and the message names the way out."""
    root = a_source_project(tmp_path, {"lambda_function.py": ""})

    run = run_lambda_build(
        "--project-as", "wheel", cwd=root, environ=quiet_environment(root.parent)
    )

    assert run.code == 6
    assert "is not a package: there is nothing to build a wheel from" in run.errors
    assert '`project = "source"`' in run.errors
    assert not (root / "dist").exists()


def test_layer(tmp_path: Path) -> None:
    """In a layer the files lie below its prefix."""
    root = a_source_project(tmp_path, {"src/app/__init__.py": ""})

    assert names(built(root, "--layout", "layer")) == [
        "python/app/__init__.py",
        "python/dep/__init__.py",
    ]


def test_same_bytes(tmp_path: Path) -> None:
    """Folder, modes beyond the executable bit, and an earlier artifact leave no trace."""
    zips = []
    for name, mode in (("one", 0o600), ("two", 0o664)):
        folder = tmp_path / name
        root = a_source_project(folder, {"main.py": "A = 1\n" * 99, "data.txt": "a"})
        root.rename(folder / name)
        (folder / name / "main.py").chmod(mode)
        for _ in range(2):
            run = run_lambda_build(
                *("--contents", "project", "-q", "-o", "zips/a.zip", folder / name),
                cwd=folder / name,
                environ=quiet_environment(folder),
            )
            assert (run.code, run.errors) == (0, "")
            zips.append((folder / name / "zips" / "a.zip").read_bytes())

    assert len(set(zips)) == 1


def test_collision(tmp_path: Path) -> None:
    """Where the project has a file of a distribution, its own ships, with a warning."""
    root = a_source_project(tmp_path, {"main.py": "", "dep/__init__.py": "OURS = 1\n"})
    run = run_lambda_build(
        "--json", "-o", "../a.zip", cwd=root, environ=quiet_environment(tmp_path)
    )

    report = json.loads(run.output)

    assert report["warnings"] == [
        "`dep/__init__.py` comes from dep and from the project project with different content: "
        "the one from the project project ships"
    ]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("dep/__init__.py") == b"OURS = 1\n"
        assert b"dep/__init__.py" not in archive.read("dep-1.5.dist-info/RECORD")


def test_report(tmp_path: Path) -> None:
    """The project stands in the report with its files, without a wheel and, here, a version."""
    root = a_source_project(tmp_path, {"main.py": "A = 1\n", "run.sh": ""})
    run = run_lambda_build(
        "--json", "-o", "../a.zip", cwd=root, environ=quiet_environment(tmp_path)
    )

    report = json.loads(run.output)

    assert report["packages"][1] == {
        "name": "project",
        "version": "",
        "file": "",
        "sha256": "",
        "source": "local",
        "unzipped": 6,
        "zipped": 6,
        "files": 2,
    }
    assert report["warnings"] == []


def test_requirement_that_is_not_locked(tmp_path: Path) -> None:
    """What a project requires and the lock does not bring fails the build for source, too."""
    pyproject = '[project]\nname = "demo"\nversion = "1"\ndependencies = ["dep>=2", "gone"]\n'
    root = a_source_project(tmp_path, {"pyproject.toml": pyproject, "main.py": ""})
    run = run_lambda_build(
        "--json", "-o", "../a.zip", cwd=root, environ=quiet_environment(tmp_path)
    )

    assert run.code == 8
    assert "why: demo requires gone, which does not ship" in run.errors
