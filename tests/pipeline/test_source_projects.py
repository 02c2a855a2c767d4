"""Projects that are no packages, through the console script: what ships, and that it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
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
        "built_by": "",
        "compiled_by": "",
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


# --- what stays behind -------------------------------------------------------------------


def test_what_stays_behind_is_counted_and_listed(tmp_path: Path) -> None:
    """The report has the number; with `-v` it has the names, and JSON has them always."""
    root = a_source_project(tmp_path, {"main.py": "", "tests/a.py": "", "conftest.py": ""})
    environ = quiet_environment(tmp_path)

    short = run_lambda_build("-o", "../a.zip", cwd=root, environ=environ).output
    long = run_lambda_build("-v", "-o", "../a.zip", cwd=root, environ=environ).output
    report = json.loads(
        run_lambda_build("--json", "-o", "../a.zip", cwd=root, environ=environ).output
    )

    assert "\n2 files and 1 folder of the project stay behind (`-v` lists them)\n" in short
    assert (
        "\n2 files and 1 folder of the project stay behind\n"
        "  conftest.py: it is a test\n"
        "  requirements.txt: it is left out by default\n"
        "  tests/: it is a test\n"
    ) in long
    assert [item["path"] for item in report["left_behind"]] == [
        "conftest.py",
        "requirements.txt",
        "tests/",
    ]


def a_repository(root: Path, *ignored: str) -> None:
    """Put all files of a project under version control, and then ignore some."""
    for words in (("init", "-q"), ("add", "."), (*_COMMIT, "-qm", "all")):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    (root / ".gitignore").write_text("".join(f"{line}\n" for line in ignored))


_COMMIT = ("-c", "user.name=a", "-c", "user.email=a@host.example", "commit")


def warnings(root: Path, *options: str, **environ: str) -> list[str]:
    """Build and list the warnings."""
    run = run_lambda_build(
        *("--json", "--runtime", _RUNTIME, "-o", root.parent / "a.zip"),
        *options,
        cwd=root,
        environ=quiet_environment(root.parent, **environ),
    )
    assert run.code == 0, run.errors
    found: list[str] = json.loads(run.output)["warnings"]
    return found


def test_tracked_code_that_is_ignored_is_named(tmp_path: Path) -> None:
    """What was added before it was ignored is tracked, so its absence would be a surprise."""
    paths = (
        *("main.py", "lib/a.py", "lib/b/c.py", "one.py", "build/d.py", "tests/e.py"),
        *("noxfile.py", "notes.txt", ".github/f.py"),
    )
    root = a_source_project(tmp_path, dict.fromkeys(paths, ""))
    a_repository(root, "lib/", "one.py", "notes.txt")

    assert warnings(root) == [
        "build/ stays behind because it is left out by default, although a module in it is under "
        'version control: ship it with `include = ["/build/"]`, or leave it out with `exclude`',
        "lib/ stays behind because `.gitignore` matches it, although 2 modules in it are under "
        'version control: ship it with `include = ["/lib/"]`, or leave it out with `exclude`',
        "one.py stays behind because `.gitignore` matches it, although it is under version "
        'control: ship it with `include = ["/one.py"]`, or leave it out with `exclude`',
    ]


def test_both_ways_out_of_the_warning_work(tmp_path: Path) -> None:
    """What is included ships, what is excluded is left out, and neither is a surprise."""
    root = a_source_project(tmp_path, {"main.py": "", "lib/a.py": "", "old/b.py": ""})
    a_repository(root, "lib/", "old/")

    artifact = built(root, "--include", "/lib/", "--exclude", "/old/")

    assert names(artifact) == ["dep/__init__.py", "lib/a.py", "main.py"]
    assert warnings(root, "--exclude", "/old/", "--exclude", "/lib/") == []


@pytest.mark.parametrize("without", ["git", "repository"])
def test_without_git_nothing_is_known(tmp_path: Path, without: str) -> None:
    """The zip is the same, and there is no warning."""
    root = a_source_project(tmp_path, {"main.py": "", "lib/a.py": ""})
    a_repository(root, "lib/")
    if without == "repository":
        shutil.rmtree(root / ".git")

    environ = {"PATH": str(tmp_path)} if without == "git" else {}

    assert warnings(root, **environ) == []


def test_members_that_are_no_packages_do_not_ship_from_the_root(tmp_path: Path) -> None:
    """Nothing is imported from their folders, and their zips are older artifacts."""
    root = a_source_project(
        tmp_path,
        {
            "pyproject.toml": '[project]\nname = "demo"\nversion = "1"\n'
            'requires-python = ">=3.10"\n[tool.uv]\npackage = false\n'
            '[tool.uv.workspace]\nmembers = ["api"]\n',
            "api/pyproject.toml": '[project]\nname = "api"\nversion = "1"\n'
            "[tool.uv]\npackage = false\n",
            "api/handler.py": "",
            "api/dist/api-1-function-python3.13-x86_64.zip": "",
            "main.py": "",
            "uv.lock": 'version = 1\nrevision = 3\nrequires-python = ">=3.10"\n'
            '[manifest]\nmembers = ["api", "demo"]\n'
            '[[package]]\nname = "api"\nversion = "1"\nsource = { virtual = "api" }\n'
            '[[package]]\nname = "demo"\nversion = "1"\nsource = { virtual = "." }\n',
        },
    )
    (root / "requirements.txt").unlink()

    assert names(built(root)) == ["main.py"]


def test_doubled_links_have_a_limit(tmp_path: Path) -> None:
    """Links to the same folders again would be millions of copies: that is told at once."""
    root = tmp_path / "project"
    for number in range(25):
        level = root / f"level{number}"
        level.mkdir(parents=True)
        for name in ("a", "b"):
            (level / name).symlink_to(f"../level{number + 1}")
    (root / "level25").mkdir()
    (root / "level25" / "main.py").write_text("")
    (root / "requirements.txt").write_text("")

    run = run_lambda_build(
        "--runtime", "python3.13", cwd=root, environ=quiet_environment(tmp_path / "home")
    )

    assert run.code == 7
    assert "links lead to more than 5,000 folders" in run.errors
    assert "leave them out with the setting `exclude`" in run.errors
