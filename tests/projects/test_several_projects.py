"""Several projects in one run, by the console script: as alone, in parallel, all or none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.disks import second_place
from fakes.index import FakeIndex
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.repositories import (
    a_counting_library,
    a_function,
    a_poetry_function,
    a_requirements_folder,
)
from fakes.wheels import a_wheel

from lambda_build_plugin.commands.api import load_all_settings
from lambda_build_plugin.config.sources import SettingsSource
from lambda_build_plugin.pipeline.host import read_host
from lambda_build_plugin.pipeline.outputs import check_folders
from lambda_build_plugin.projects.read import Request, read_projects
from lambda_build_plugin.system.output import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fakes.projects import Run

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}") or "uv"
ONE = a_wheel("one", "1.0", files={"one.py": "x = 1\n"})
TWO = a_wheel("two", "1.0", files={"two.py": "y = 2\n"})
MEMBERS = '[tool.lambda-build.workspace]\nmembers = ["functions/*"]\n'


def ran(root: Path, *arguments: str | Path, **variables: str) -> Run:
    """Run the console script for python3.13 in a repository."""
    environ = quiet_environment(
        root.parent / "home", LAMBDA_BUILD_RUNTIME="python3.13", **variables
    )
    return run_lambda_build(*arguments, cwd=root, environ=environ)


def a_repository(folder: Path, *functions: str) -> Path:
    """Write functions that need wheels, below a root that names its members."""
    root = folder / "repo"
    root.mkdir()
    (root / ".git").mkdir()
    (root / "pyproject.toml").write_text(MEMBERS)
    for number, name in enumerate(functions):
        a_function(root, name, *((ONE,) if number % 2 else (ONE, TWO)))
    return root


def zips(root: Path) -> dict[str, str]:
    """Get the digests of all zips below a folder, by path."""
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.zip"))
    }


def names(root: Path) -> list[str]:
    """List the functions that have a zip."""
    return sorted(Path(path).parts[1] for path in zips(root))


def leftovers(root: Path) -> list[Path]:
    """List what unfinished builds would leave."""
    return [path for path in root.rglob("*") if ".lambda-build-" in path.name]


def without_times(value: Any) -> Any:
    """Remove what differs from run to run out of reports."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in {"seconds", "changed"}}
        return {key: without_times(each) for key, each in kept.items()}
    return [without_times(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write five Poetry projects with path dependencies and three requirements folders."""
    root = tmp_path_factory.mktemp("mixed") / "repo"
    libraries = [a_counting_library(root, name) for name in ("common", "other")]
    for number in range(5):
        a_poetry_function(root, f"poetry{number}", libraries[number % 2])
    for number, wheels in enumerate(((ONE,), (TWO,), (ONE, TWO))):
        a_requirements_folder(root, f"plain{number}", *wheels)
    return root


@pytest.fixture(scope="module")
def alone(mixed: Path) -> Mapping[str, Any]:
    """Build each of these projects alone, and get the reports and the zips."""
    reports = {}
    for folder in sorted((mixed / "functions").iterdir()):
        run = ran(mixed, "--json", folder)
        assert run.code == 0, run.errors
        reports[folder.name] = without_times(json.loads(run.output))
    found = {"reports": reports, "zips": zips(mixed)}
    for folder in mixed.glob("functions/*/dist"):
        shutil.rmtree(folder)
    return found


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_same_as_alone(mixed: Path, alone: Mapping[str, Any], jobs: str) -> None:
    """Reports and bytes are those of single runs, and do not depend on the number of workers."""
    folders = sorted((mixed / "functions").iterdir())
    (mixed / "count").unlink(missing_ok=True)

    run = ran(mixed, "--json", "--jobs", jobs, *folders)

    assert (run.code, run.errors) == (0, "")
    document = json.loads(run.output)
    found = {each["project"]: each["artifacts"] for each in document["projects"]}
    assert list(found) == [folder.name for folder in folders]
    assert without_times(found) == {name: [each] for name, each in alone["reports"].items()}
    assert zips(mixed) == alone["zips"]
    assert (document["failures"], document["not_built"], leftovers(mixed)) == ([], [], [])
    assert (mixed / "count").read_text() == "built\n" * 2  # each library once
    for folder in mixed.glob("functions/*/dist"):
        shutil.rmtree(folder)


def test_processes_that_are_started_anew(mixed: Path, alone: Mapping[str, Any]) -> None:
    """Where a process cannot be forked, on macOS and Windows, the result is the same."""
    program = """if True:
        import sys
        from pathlib import Path
        from lambda_build_plugin import load_all_settings
        from lambda_build_plugin.projects.build import build_projects
        from lambda_build_plugin.projects.model import ProjectBuild

        if __name__ == "__main__":
            folders = [Path(name).resolve() for name in sys.argv[1:]]
            projects = [
                ProjectBuild(label=each.name, folder=each, artifacts=load_all_settings(each))
                for each in folders
            ]
            results = build_projects(projects, workers=2, method="spawn")
            assert [result.failure for result in results] == [None] * len(folders), results
    """
    script = mixed.parent / "script.py"
    script.write_text(program)
    environ = quiet_environment(mixed.parent / "home", LAMBDA_BUILD_RUNTIME="python3.13")
    folders = sorted((mixed / "functions").iterdir())
    subprocess.run([sys.executable, script, *folders], env=environ, cwd=mixed, check=True)

    assert zips(mixed) == alone["zips"]
    for folder in mixed.glob("functions/*/dist"):
        shutil.rmtree(folder)


def test_root_of_a_workspace(tmp_path: Path) -> None:
    """Who builds the root, which is no project, learns how the members are built."""
    root = a_repository(tmp_path, "a", "b")

    run = ran(root)

    assert run.code == 3
    hint = run.errors.partition("hint: ")[2].splitlines()
    assert hint[0] == (
        "build the members of this workspace with `--workspace`, or name the folders of some of "
        "them, such as functions/a"
    )
    assert hint[1].startswith("      to build the root itself: ")


@pytest.mark.parametrize("folder", ["functions/a", "."])
def test_nothing_to_suggest(tmp_path: Path, folder: str) -> None:
    """A member is a project, and so is a root with settings of its own."""
    root = a_repository(tmp_path, "a")
    (root / "functions" / "a" / "requirements.txt").unlink()
    with (root / "pyproject.toml").open("a") as file:
        file.write('[tool.lambda-build]\narchitecture = "arm64"\n')

    run = ran(root, folder)

    assert (run.code, "--workspace" in run.errors) == (3, False)


# --- what is built, and where it goes -----------------------------------------------------


def test_members_of_a_workspace(tmp_path: Path) -> None:
    """From within a member, all members with settings are built, in their order."""
    root = a_repository(tmp_path, "b", "a")
    a_function(root, "library", table="")

    run = ran(root / "functions" / "b", "--workspace", "--json")

    assert run.code == 0, run.errors
    assert [each["project"] for each in json.loads(run.output)["projects"]] == ["a", "b"]
    assert names(root) == ["a", "b"]


def test_gathered_in_one_folder(tmp_path: Path) -> None:
    """With `-o FOLDER/` all zips are in one folder, under their own names."""
    root = a_repository(tmp_path, "a", "b")

    run = ran(root, "--workspace", "-o", "zips/")

    assert run.code == 0, run.errors
    end = "-1.0-function-python3.13-x86_64.zip"
    assert list(zips(root)) == [f"zips/a{end}", f"zips/b{end}"]


def test_options_between_folders(tmp_path: Path) -> None:
    """Folders may come before, between and after options."""
    root = a_repository(tmp_path, "a", "b", "c")

    run = ran(root, "functions/a", "--quiet", "functions/b", "--jobs", "1", "functions/c")

    assert (run.code, run.output, run.errors) == (0, "", "")
    assert names(root) == ["a", "b", "c"]


SAME_NAME = """\
error: {zip} would be written by functions/a and by functions/b

hint: end `--output` with `/` to write a zip for each project into that folder, or give the \
projects different names or outputs
"""


def test_two_of_one_name(tmp_path: Path) -> None:
    """Two projects of one name cannot share a folder; nothing is built then."""
    root = a_repository(tmp_path, "a", "b")
    pyproject = root / "functions" / "b" / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('name = "b"', 'name = "a"'))

    run = ran(root, "--workspace", "-o", "zips/")

    path = root / "zips" / "a-1.0-function-python3.13-x86_64.zip"
    assert (run.code, run.errors) == (2, SAME_NAME.format(zip=path))
    assert not (root / "zips").exists()


@pytest.mark.parametrize(
    ("setting", "place", "inside"),
    [
        pytest.param('output = "../files/b.zip"', "files/b.zip", True, id="zip-in-folder"),
        pytest.param('unpacked = "../files/b"', "files/b", True, id="folder-in-folder"),
        pytest.param('output = "../files"', "files", False, id="zip-and-folder"),
    ],
)
def test_outputs_that_would_meet(tmp_path: Path, setting: str, place: str, *, inside: bool) -> None:
    """What one project would write into the unpacked files of another is told before."""
    root = a_repository(tmp_path, "a", "b")
    for name, line in (("a", 'unpacked = "../files"'), ("b", setting)):
        with (root / "functions" / name / "pyproject.toml").open("a") as file:
            file.write(f"{line}\n")

    run = ran(root, "--workspace")

    told = "b, inside of what a writes" if inside else "b and by a"
    first = f"error: {root / 'functions' / place} would be written by {told}"
    assert (run.code, run.errors.splitlines()[0]) == (2, first)
    assert zips(root) == {}


def test_outputs_that_would_meet_without_folders(tmp_path: Path) -> None:
    """A zip cannot be the folder of another one, which is told before as well."""
    root = a_repository(tmp_path, "a", "b")
    for name, place in (("a", "x.zip"), ("b", "x.zip/b.zip")):
        with (root / "functions" / name / "pyproject.toml").open("a") as file:
            file.write(f'output = "../../{place}"\n')

    run = ran(root, "--workspace")

    first = f"error: {root}/x.zip/b.zip would be written by b, inside of what a writes"
    assert (run.code, run.errors.splitlines()[0]) == (2, first)
    assert zips(root) == {}


@pytest.mark.parametrize("other", ["a", "elsewhere"])
def test_outputs_that_are_links_to_one_file(tmp_path: Path, other: str) -> None:
    """A link at the place of a zip stands for the file that it points to, also if there is none."""
    root = a_repository(tmp_path, "a", "b")
    paths = [
        root / "functions" / name / "dist" / f"{name}-1.0-function-python3.13-x86_64.zip"
        for name in ("a", "b")
    ]
    for path in paths:
        path.parent.mkdir()
    target = paths[0] if other == "a" else root / "elsewhere.zip"
    for path in paths[1:] if other == "a" else paths:
        path.symlink_to(target)

    run = ran(root, "--workspace")

    assert run.code == 2
    assert run.errors.startswith(f"error: {target} would be written by a and by b\n")
    assert not target.exists()


def test_two_spellings_of_one_path(tmp_path: Path) -> None:
    """In a folder that is mounted twice, no zip replaces that of another project."""
    root = a_repository(tmp_path, "a", "b")
    for name in ("a", "b"):
        with (root / "functions" / name / "pyproject.toml").open("a") as file:
            file.write(f'output = "../../{name}/x.zip"\n')
    (root / "a").mkdir()

    with second_place(root / "a", root / "b"):
        run = ran(root, "functions/a", "functions/b", "--jobs", "1")

    assert run.code == 7
    assert run.errors.startswith(f"error: b: cannot write {root / 'b' / 'x.zip'}\n")
    assert "it is the artifact of a, which was built in the same run" in run.errors
    assert list(zips(root)) == ["a/x.zip"]


def test_name_that_is_the_folder_of_another_project(tmp_path: Path) -> None:
    """Projects of one name are told by their folders, and no other project is called like that."""
    root = a_repository(tmp_path)
    for folder, name in (("x", "same"), ("y", "same"), ("z", "x")):
        table = '[tool.lambda-build]\noutput = "../one.zip"\n'
        a_project(root / folder, name=name, extra=table)

    run = ran(root, "x", "y", "z")

    first = f"error: {root / 'one.zip'} would be written by x and by y and by z"
    assert (run.code, run.errors.splitlines()[0]) == (2, first)


@pytest.mark.parametrize("output", ["zips/", "zips/deeper/"])
def test_folder_that_cannot_be_made(tmp_path: Path, output: str) -> None:
    """If `-o FOLDER/` is a file, it is told once, before anything is built."""
    root = a_repository(tmp_path, "a", "b")
    a_counting_library(root, "common")
    a_poetry_function(root, "c", root / "libraries" / "common")
    (root / "zips").write_text("mine")

    run = ran(root, "functions/a", "functions/b", "functions/c", "-o", output)

    assert (run.code, run.output) == (7, "")
    assert run.errors.startswith(
        f"error: cannot write {root / output}\n  why: {root}/zips is not a folder\n"
    )
    assert run.errors.count("error: ") == 1
    assert not (root / "count").exists()
    assert (root / "zips").read_text() == "mine"


def test_drive_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, not even the root of a path must exist."""
    root = a_repository(tmp_path, "a")
    settings = load_all_settings(
        root / "functions" / "a", environ=quiet_environment(tmp_path / "home")
    )
    monkeypatch.setattr("os.path.lexists", lambda _: False)

    with pytest.raises(OutputError) as caught:
        check_folders(settings)

    assert caught.value.why == f"{tmp_path.anchor} does not exist"


def test_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of all projects at once, before anything is built."""
    root = a_repository(tmp_path, "a", "b")
    environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_OUTPUT=f"{root}/zips/new/")
    request = Request(
        flags=SettingsSource(values={}, spell=str, base=root),
        host=read_host(environ),
        artifacts=(),
        workers=2,
        verbose=False,
    )
    # The tests may run as root, who may write everywhere.
    (root / "zips").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: path != root / "zips")

    with pytest.raises(OutputError) as caught:
        read_projects([root / "functions" / "a", root / "functions" / "b"], request)

    assert caught.value.what == f"cannot write {root / 'zips' / 'new'}"
    assert caught.value.why.startswith(f"you have no permission to write to {root / 'zips'}, or")


def test_two_of_one_name_that_only_the_backend_knows(tmp_path: Path) -> None:
    """If the backends make the same version, the second project fails and the first stays."""
    root = a_repository(tmp_path, "a", "b")
    for name in ("a", "b"):
        pyproject = root / "functions" / name / "pyproject.toml"
        text = pyproject.read_text().replace(f'name = "{name}"', 'name = "a"')
        static, dynamic = 'version = "1.0"', 'dynamic = ["version"]'
        if name == "b":
            text = text.replace(static, dynamic)
            text += '[tool.hatch.version]\npath = "src/b/__init__.py"\n'
            text += '[tool.hatch.build.targets.wheel]\npackages = ["src/b"]\n'
            (pyproject.parent / "src/b/__init__.py").write_text('__version__ = "1.0"\n')
        pyproject.write_text(text)

    run = ran(root, "--workspace", "-o", "zips/", "--jobs", "1")

    assert run.code == 7
    assert "it is the artifact of functions/a, which was built in the same run" in run.errors
    assert (len(zips(root)), leftovers(root)) == (1, [])


def test_wrong_flag_is_told_once(tmp_path: Path) -> None:
    """A mistake that has nothing to do with a single project is not repeated for each."""
    root = a_repository(tmp_path, "a", "b")

    run = ran(root, "--workspace", "--runtime", "python3.99")

    assert (run.code, run.output) == (2, "")
    assert run.errors.count("python3.99") == 1
    assert names(root) == []


def test_wrong_folder_is_told_before_anything_is_built(tmp_path: Path) -> None:
    """A folder that is no project keeps the others from being built."""
    root = a_repository(tmp_path, "a")

    run = ran(root, "functions/a", "wheelhouse", "lost-*")

    assert run.code == 2
    assert f"{root / 'wheelhouse'} is not a project" in run.errors
    assert f"the pattern {root / 'lost-*'} matches no folder" in run.errors
    assert names(root) == []


# --- the report -----------------------------------------------------------------------------


def test_table(tmp_path: Path) -> None:
    """People get a line for each zip, which says whether it is new, changed or the same."""
    root = a_repository(tmp_path, "a", "b", "c")
    assert ran(root, "functions/b", "functions/c").code == 0
    same = root / "functions" / "b" / "dist"
    for path in same.iterdir():
        os.utime(path, (1, 1))
    (root / "functions" / "c" / "src" / "c" / "app.py").write_text("handler = print\n")

    run = ran(root, "--workspace")

    title, *rows, empty, total = run.output.splitlines()
    assert title.split() == ["project", "target", "unzipped", "zipped", "zip", "seconds"]
    assert [(row.split()[0], row.split()[-2]) for row in rows] == [
        ("a", "new"),
        ("b", "same"),
        ("c", "changed"),
    ]
    start = "built 3 of 3 projects, 3 zips (1 new, 1 changed, 1 same), in "
    assert (empty, total[: len(start)]) == ("", start)
    assert [path.stat().st_mtime for path in same.iterdir()] == [1]


def test_report_in_a_file(tmp_path: Path) -> None:
    """The document of all projects goes to `--report`, too, also if one of them fails."""
    root = a_repository(tmp_path, "a", "b")
    (root / "functions" / "b" / "requirements.txt").write_text("one\n")

    run = ran(root, "--workspace", "--report", "report.json")

    assert run.code == 3
    document = json.loads((root / "report.json").read_text())
    (project,), (failure,) = document["projects"], document["failures"]
    assert (document["schema"], project["folder"]) == (1, str(root / "functions" / "a"))
    assert project["artifacts"][0]["changed"] is None
    assert (failure["project"], failure["exit_code"]) == ("b", 3)
    assert f"error: b: {failure['what']}" in run.errors


# --- the steps of a run -----------------------------------------------------------------------


def test_each_line_names_its_project(tmp_path: Path) -> None:
    """Lines of several processes are mixed, so each of them says whose it is, whole."""
    root = a_repository(tmp_path, "api", "jobs")
    for folder in (root / "functions").iterdir():
        with (folder / "pyproject.toml").open("a") as file:
            file.write("hooks.after-stage = [\"printf 'one\\\\n\\\\n  two\\\\n'\"]\n")

    run = ran(root, "--workspace", "--jobs", "2", "-v")

    assert run.code == 0, run.errors
    lines = run.errors.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"api", "jobs"}
    for name in ("api", "jobs"):
        own = [line for line in lines if line.startswith(name)]
        start = own.index(f"{name}: one")
        assert own[start : start + 3] == [f"{name}: one", f"{name}:", f"{name}:   two"]


# --- failures ---------------------------------------------------------------------------------


FIFTY = [f"f{number:02}" for number in range(50)]
FAILING = ["f07", "f21", "f40"]
BUILT = [name for name in FIFTY if name not in FAILING]


def a_repository_with_failures(folder: Path) -> Path:
    """Write fifty functions, of which three fail for three different reasons."""
    root = a_repository(folder, *FIFTY)
    functions = root / "functions"
    with (functions / "f07" / "pyproject.toml").open("a") as file:
        file.write('handler = "f07.app.lost"\n')
    (functions / "f21" / "requirements.txt").write_text("one\n")
    with (functions / "f40" / "pyproject.toml").open("a") as file:
        file.write('layout = "cake"\n')
    return root


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_failing_projects(tmp_path: Path, jobs: str) -> None:
    """Every project is tried; the exit code is that of the first failure in the order given."""
    root = a_repository_with_failures(tmp_path)

    run = ran(root, "--workspace", "--jobs", jobs)

    assert (run.code, names(root), leftovers(root)) == (8, BUILT, [])
    failures = [line.split(": ") for line in run.errors.splitlines() if line.startswith("error: ")]
    assert [name for _, name, *_ in failures] == FAILING
    assert len({what for _, _, what, *_ in failures}) == 3
    assert "built 47 of 50 projects, 47 zips (47 new), 3 failed (f07, f21, f40), in " in run.output


def test_same_failure_of_several_projects(tmp_path: Path) -> None:
    """A message that several projects have failed with is shown once, with all their names."""
    root = a_repository(tmp_path, "first", "second", "third")
    (root / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["functions/*"]\n')
    for name in ("first", "third"):
        (root / "functions" / name / "requirements.txt").unlink()

    run = ran(root, "--workspace")

    assert (run.code, names(root)) == (3, ["second"])
    assert (
        run.errors
        == f"""\
error: first, third: cannot find a lock of the workspace in {root}
  why: uv locks all members together at the root, and there is no uv.lock

hint: make it with `uv lock`
      or name a lock that is somewhere else with the setting `lock` (`--lock PATH`)
"""
    )


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_first_failure_ends_the_run(tmp_path: Path, jobs: str) -> None:
    """With `--fail-fast` what is before the first failure is built, and nothing else."""
    root = a_repository_with_failures(tmp_path)

    run = ran(root, "--workspace", "--jobs", jobs, "--fail-fast", "--json")

    document = json.loads(run.output)
    assert (run.code, names(root), leftovers(root)) == (8, FIFTY[:7], [])
    assert [each["project"] for each in document["projects"]] == FIFTY[:7]
    assert [each["project"] for each in document["failures"]] == ["f07"]
    assert document["not_built"] == FIFTY[8:]


def test_artifacts_of_a_failing_project(tmp_path: Path) -> None:
    """A project with several artifacts has all of them or none, and keeps what it had."""
    root = a_repository(tmp_path, "a")
    table = '[tool.lambda-build.artifacts.good]\noutput = "good.zip"\n'
    table += '[tool.lambda-build.artifacts.wrong]\nhandler = "b.app.lost"\noutput = "wrong.zip"\n'
    folder = a_function(root, "b", ONE, table=table)
    for name in ("good.zip", "wrong.zip"):
        (folder / name).write_bytes(b"PK\x03\x04 old")

    run = ran(root, "--workspace")

    assert (run.code, names(root)) == (8, ["a", "b", "b"])
    assert [path.read_bytes() for path in folder.glob("*.zip")] == [b"PK\x03\x04 old"] * 2


# --- shared work ------------------------------------------------------------------------------


def test_files_are_fetched_once(tmp_path: Path) -> None:
    """Workers that need the same file at the same time fetch it once."""
    root = a_repository(tmp_path)
    with FakeIndex([ONE, TWO]) as index:
        for number in range(6):
            folder = a_function(root, f"f{number}")
            lines = [f"--index-url {index.url}"]
            lines += [f"{each.project}==1.0 --hash=sha256:{each.sha256}" for each in (ONE, TWO)]
            (folder / "requirements.txt").write_text("\n".join(lines) + "\n")

        run = ran(root, "--workspace", "--jobs", "3")

        files = [each.path for each in index.requests if each.path.endswith(".whl")]
    assert run.code == 0, run.errors
    assert sorted(Path(path).name for path in files) == [ONE.filename, TWO.filename]


def test_library_that_cannot_be_built_is_tried_once(tmp_path: Path) -> None:
    """All projects that need it fail for the same reason, which was found out once."""
    root = a_repository(tmp_path)
    library = a_counting_library(root, "common")
    with (library / "hatch_build.py").open("a") as file:
        file.write('        raise RuntimeError("the database is closed")\n')
    for number in range(3):
        a_poetry_function(root, f"f{number}", library)

    run = ran(root, "--workspace", "--jobs", "2", "--json")

    failures = json.loads(run.output)["failures"]
    assert (run.code, len(failures), names(root)) == (6, 3, [])
    assert len({failure["why"] for failure in failures}) == 1
    assert "the database is closed" in failures[0]["why"]
    assert (root / "count").read_text() == "built\n"


POETRY_CORE = """\
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"

[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = [{needs}]

[tool.lambda-build]
"""


@pytest.mark.parametrize("hook", ["before-build", "after-stage"])
def test_library_that_a_command_changes_is_built_again(tmp_path: Path, hook: str) -> None:
    """Projects after that get what is in the library by then, as if each were built alone."""
    root = tmp_path / "repo"
    library = a_counting_library(root, "common")
    for name in ("first", "other", "third", "last"):
        a_poetry_function(root, name, library)
    command = f"printf 'edition = 2\\n' > {library / 'common' / '__init__.py'}"
    with (root / "functions" / "other" / "pyproject.toml").open("a") as file:
        file.write(f"hooks.{hook} = [{json.dumps(command)}]\n")
    folders = [f"functions/{name}" for name in ("first", "other", "third", "last")]

    run = ran(root, *folders, "--jobs", "1")

    assert (run.code, run.errors) == (0, "")
    shipped = {}
    for path in root.rglob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            shipped[path.parts[-3]] = archive.read("common/__init__.py").decode().strip()
    other = "edition = 2" if hook == "before-build" else "edition = 1"
    second = "edition = 2"
    assert shipped == {"first": "edition = 1", "other": other, "third": second, "last": second}
    assert (root / "count").read_text() == "built\n" * (3 if hook == "before-build" else 2)


def test_backend_keeps_its_own_libraries(tmp_path: Path) -> None:
    """poetry-core finds its parser of markers, which only the second project needs."""
    root = a_repository(tmp_path)
    for name, needs in (("a", ""), ("b", "\"one; python_version >= '3.10'\"")):
        folder = a_function(root, name, *([ONE] if needs else []))
        (folder / "pyproject.toml").write_text(POETRY_CORE.format(name=name, needs=needs))

    run = ran(root, "--workspace", "--jobs", "1")

    assert run.code == 0, run.errors


PDM = """\
[build-system]
requires = ["pdm-backend"]
build-backend = "pdm.backend"

[project]
name = "{name}"
dynamic = ["version"]
requires-python = ">=3.10"

[tool.pdm.version]
source = "call"
getter = "release:version"

[tool.lambda-build]
"""


def test_modules_of_one_project_are_not_those_of_another(tmp_path: Path) -> None:
    """A worker forgets what a backend has imported: the next project has namesakes."""
    root = a_repository(tmp_path)
    for number, name in enumerate(("a", "b")):
        folder = root / "functions" / name
        (folder / "src" / name).mkdir(parents=True)
        (folder / "src" / name / "__init__.py").write_text("")
        (folder / "pyproject.toml").write_text(PDM.format(name=name))
        (folder / "release.py").write_text(f'def version():\n    return "{number}.0"\n')

    run = ran(root, "--workspace", "--jobs", "1", "--json")

    assert run.code == 0, run.errors
    zipped = [
        Path(each["artifacts"][0]["artifact"]).name for each in json.loads(run.output)["projects"]
    ]
    assert [name.split("-")[1] for name in zipped] == ["0.0", "1.0"]


# --- with real packages -----------------------------------------------------------------------

WORKSPACE = '[tool.uv.workspace]\nmembers = ["functions/*", "libraries/*"]\n'
MEMBER = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = {needs}
"""
SOURCES = "[tool.uv.sources]\nshared = { workspace = true }\n[tool.lambda-build]\n"
FUNCTIONS = {"api": ("pydantic", "shared"), "jobs": ("jinja2", "shared"), "plain": ("click",)}


@pytest.mark.index
def test_workspace_of_uv_with_real_packages(tmp_path: Path) -> None:
    """All members of a workspace that uv has locked are built as they are alone."""
    root = tmp_path / "repo"
    folders = {f"functions/{name}": needs for name, needs in FUNCTIONS.items()}
    for path, needs in {**folders, "libraries/shared": ("requests",)}.items():
        name = Path(path).name
        (root / path / name).mkdir(parents=True)
        (root / path / name / "__init__.py").write_text("")
        text = MEMBER.format(name=name, needs=json.dumps(needs))
        text += SOURCES if "shared" in needs else "[tool.lambda-build]\n"
        (root / path / "pyproject.toml").write_text(
            text if path in folders else text.replace("[tool.lambda-build]\n", "")
        )
    (root / "pyproject.toml").write_text(WORKSPACE)
    subprocess.run([UV, "lock", "--quiet"], cwd=root, check=True)
    environ = {
        **os.environ,
        "LAMBDA_BUILD_RUNTIME": "python3.13",
        "LAMBDA_BUILD_ARCHITECTURE": "arm64",
    }
    for path in folders:
        run = run_lambda_build(path, cwd=root, environ=environ)
        assert run.code == 0, run.errors
    alone = zips(root)
    for path in alone:
        (root / path).unlink()

    run = run_lambda_build("--workspace", "--json", cwd=root, environ=environ)

    assert run.code == 0, run.errors
    shipped = {
        each["project"]: {package["name"] for package in each["artifacts"][0]["packages"]}
        for each in json.loads(run.output)["projects"]
    }
    assert zips(root) == alone
    assert {"pydantic", "pydantic-core", "requests", "shared"} <= shipped["api"]
    assert {"jinja2", "markupsafe", "requests", "shared"} <= shipped["jobs"]
    assert shipped["plain"] == {"click", "plain"}
