from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.trees import a_tree, paths, record_of, shipped
from fakes.wheels import a_wheel

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.runtime.target import RUNTIMES
from lambda_build_plugin.stage.contents import write_folder
from lambda_build_plugin.stage.scripts import with_scripts

_RUNTIME = RUNTIMES["python3.13"]
_ENTRY_POINTS = "[console_scripts]\nrun = demo.cli:main\n"
_CLI = "import sys\nclass App:\n    def go(): print('run', sys.argv[1:])\nmain = App.go\n"


@pytest.mark.parametrize(
    ("prefix", "root"),
    [
        pytest.param("", "..", id="function"),
        pytest.param("python/", "../python", id="layer"),
        pytest.param(
            "python/lib/python3.13/site-packages/",
            "../python/lib/python3.13/site-packages",
            id="layer for one version",
        ),
    ],
)
def test_entry_point(tmp_path: Path, prefix: str, root: str) -> None:
    """A console script starts Lambda's interpreter, from `bin/` at the top of the zip."""
    fake = a_wheel(files={"demo/cli.py": _CLI}, entry_points=_ENTRY_POINTS)

    tree = with_scripts(a_tree(tmp_path, fake, prefix=prefix), _RUNTIME)

    text = shipped(tree, tmp_path / "a.zip")["bin/run"].decode()
    assert text.splitlines()[0] == "#!/var/lang/bin/python3.13"
    assert f'"{root}"' in text
    assert [entry.path for entry in tree.entries if entry.executable] == ["bin/run"]


@pytest.mark.parametrize("attribute", ["main", "App.go"])
@pytest.mark.parametrize("prefix", ["", "python/lib/python3.13/site-packages/"])
def test_entry_point_runs(tmp_path: Path, prefix: str, attribute: str) -> None:
    """A script finds its package, from any folder and without PYTHONPATH."""
    fake = a_wheel(
        files={"demo/cli.py": _CLI},
        entry_points=f"[console_scripts]\nrun = demo.cli:{attribute} [extra]\n",
    )
    folder = tmp_path / "task"
    write_folder(with_scripts(a_tree(tmp_path, fake, prefix=prefix), _RUNTIME), folder)

    run = subprocess.run(
        [sys.executable, folder / "bin" / "run", "now"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "run ['now']\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param(
            "scripts/run", "#!python\nx\n", "#!/var/lang/bin/python3.13\nx\n", id="python"
        ),
        pytest.param(
            "scripts/run", "#!pythonw -x\nx\n", "#!/var/lang/bin/python3.13\nx\n", id="pythonw"
        ),
        pytest.param("scripts/run", "#!/bin/sh\nx\n", "#!/bin/sh\nx\n", id="other"),
        pytest.param("data/bin/run", "\x7fELF", "\x7fELF", id="binary"),
    ],
)
def test_file(tmp_path: Path, name: str, content: str, expected: str) -> None:
    """A script file of a wheel ships executable, its `#!python` made Lambda's interpreter."""
    fake = a_wheel(files={f"demo-1.0.data/{name}": content})

    tree = with_scripts(a_tree(tmp_path, fake), _RUNTIME)

    assert shipped(tree, tmp_path / "a.zip")["bin/run"].decode() == expected
    assert [entry.path for entry in tree.entries if entry.executable] == ["bin/run"]


def test_gui_script(tmp_path: Path) -> None:
    """A script for a desktop does not ship."""
    fake = a_wheel(entry_points="[gui_scripts]\nrun = demo:main\n[other]\nx = y\n")

    tree = with_scripts(a_tree(tmp_path, fake), _RUNTIME)

    assert paths(tree) == ["demo/__init__.py"]


@pytest.mark.parametrize("prefix", ["", "python/", "python/lib/python3.13/site-packages/"])
def test_metadata(tmp_path: Path, prefix: str) -> None:
    """RECORD leads from the package to its script, and `importlib.metadata` finds it."""
    fake = a_wheel(entry_points=_ENTRY_POINTS)
    folder = tmp_path / "task"

    tree = with_scripts(a_tree(tmp_path, fake, prefix=prefix), _RUNTIME)

    write_folder(tree, folder)
    (found,) = importlib.metadata.distributions(path=[str(folder / prefix)])
    located = [Path(str(file.locate())).resolve() for file in found.files or ()]
    assert (folder / "bin" / "run").resolve() in located
    assert all(path.is_file() for path in located)
    above = "../" * prefix.count("/")
    assert f"{above}bin/run" in [row[0] for row in record_of(tree, "demo-1.0.dist-info")]


def test_collision(tmp_path: Path) -> None:
    """Of two scripts with one name that of the later distribution ships, with a warning."""
    one = a_wheel("one", entry_points="[console_scripts]\nrun = one:main\n")
    two = a_wheel("two", entry_points="[console_scripts]\nrun = two:main\n")

    tree = with_scripts(a_tree(tmp_path, two, one), _RUNTIME)

    assert b"from two import main" in shipped(tree, tmp_path / "a.zip")["bin/run"]
    assert tree.warnings == (
        "`bin/run` comes from one and from two with different content: the one from two ships",
    )
    listed = [record_of(tree, f"{name}-1.0.dist-info") for name in ("one", "two")]
    assert [["bin/run" in [row[0] for row in rows]] for rows in listed] == [[False], [True]]


def test_file_in_the_way(tmp_path: Path) -> None:
    """A file that is called `bin` leaves no place for scripts."""
    fake = a_wheel(files={"bin": ""}, entry_points=_ENTRY_POINTS)

    with pytest.raises(StageError, match="`bin` is both a file and a folder"):
        with_scripts(a_tree(tmp_path, fake), _RUNTIME)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[console_scripts]\nrun\n", id="no value"),
        pytest.param("[console_scripts]\nrun = no attribute\n", id="no attribute"),
        pytest.param("[console_scripts]\na = b:c\na = b:c\n", id="twice"),
    ],
)
def test_unreadable_entry_points(tmp_path: Path, text: str) -> None:
    """Entry points that cannot be read are a warning, and the package ships."""
    tree = with_scripts(a_tree(tmp_path, a_wheel(entry_points=text)), _RUNTIME)

    assert paths(tree) == ["demo/__init__.py"]
    (warning,) = tree.warnings
    assert warning.startswith(
        "demo-1.0-py3-none-any.whl ships no commands, because its entry_points.txt cannot be read ("
    )


def test_without_scripts(tmp_path: Path) -> None:
    """Where nothing brings a script the tree stays as it is."""
    tree = a_tree(tmp_path, a_wheel())

    assert with_scripts(tree, _RUNTIME) == replace(tree)


def test_command_line(tmp_path: Path) -> None:
    """`--scripts` ships the project's own commands."""
    extra = '\n[project.scripts]\nrun = "demo.app:handler"\n'
    project = a_project(tmp_path / "project", extra=extra)

    run = run_lambda_build(
        *("--scripts", "-o", "a.zip", "--runtime", "python3.13"),
        cwd=project,
        environ=quiet_environment(tmp_path / "home"),
    )

    assert run.code == 0, run.errors
    with zipfile.ZipFile(project / "a.zip") as archive:
        assert archive.getinfo("bin/run").external_attr >> 16 == 0o100755
