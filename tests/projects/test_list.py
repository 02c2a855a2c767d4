"""`lambda-build list`: what there is to build, what a change touches, and the plans for CI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.git import FakeRepository
from fakes.index import FakeIndex
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.repositories import a_counting_library, a_function, a_poetry_function
from fakes.wheels import a_wheel
from fakes.worlds import pylock_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fakes.projects import Run

UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}") or "uv"
ONE = a_wheel("one", "1.0", files={"one.py": "x = 1\n"})
TWO = a_wheel("two", "1.0", files={"two.py": "y = 2\n" * 1000})

ROOT = """\
[tool.uv]
package = false
[tool.uv.workspace]
members = ["functions/*", "libraries/*"]
"""

MEMBER = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = [{dependencies}]
{more}

[tool.uv.sources]
base = {{ workspace = true }}
shared = {{ workspace = true }}
"""

OURS = "[tool.lambda-build]"


def a_member(root: Path, folder: str, *needs: str, more: str = "", table: str = "") -> None:
    """Write a member of the workspace, with a readme, code and a test."""
    place = root / folder
    (place / "src" / place.name).mkdir(parents=True)
    (place / "src" / place.name / "__init__.py").write_text("edition = 1\n")
    (place / "tests").mkdir()
    (place / "README.md").write_text("read me\n")
    dependencies = ", ".join(f'"{need}"' for need in needs)
    text = MEMBER.format(name=place.name, dependencies=dependencies, more=more)
    (place / "pyproject.toml").write_text(text + table)


def a_git_repository(root: Path) -> FakeRepository:
    """Put an existing folder under version control."""
    git = FakeRepository(root)
    git.run("init", "--quiet", "--initial-branch=main", "--template=")
    return git


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a uv workspace, locked by uv: three functions and two libraries.

    `a` needs `shared`, which needs `base`; `b` needs `base` and `two`; `c` needs `one`.
    """
    root = tmp_path_factory.mktemp("template") / "repo"
    a_member(root, "functions/a", "shared", table=OURS)
    a_member(root, "functions/b", "base", "two", table=OURS)
    a_member(root, "functions/c", "one", more='readme = "README.md"', table=OURS)
    a_member(root, "libraries/shared", "base", "one")
    a_member(root, "libraries/base", more='readme = "README.md"')
    (root / "pyproject.toml").write_text(ROOT)
    (root / "README.md").write_text("the repository\n")
    (root / ".gitignore").write_text("dist/\n")
    with FakeIndex([ONE, TWO]) as index:
        environ = quiet_environment(
            root.parent / "home",
            UV_CACHE_DIR=str(root.parent / "cache"),
            UV_DEFAULT_INDEX=index.url,
            UV_PYTHON=sys.executable,
            UV_PYTHON_DOWNLOADS="never",
        )
        subprocess.run([UV, "lock", "--quiet"], cwd=root, env=environ, check=True)
    lock = root / "uv.lock"
    for wheel in (ONE, TWO):  # an index with the JSON API would tell the sizes
        end = f'{wheel.sha256}"'
        lock.write_text(lock.read_text().replace(end, f"{end}, size = {len(wheel.content)}"))
    a_git_repository(root).commit(tag="v1")
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """Copy the workspace."""
    return Path(shutil.copytree(template, tmp_path / "repo", symlinks=True))


def listed(root: Path, *arguments: str | Path, cwd: Path | None = None) -> Run:
    """Run `lambda-build list` in a repository."""
    environ = quiet_environment(root.parent / "home", LAMBDA_BUILD_RUNTIME="python3.13")
    return run_lambda_build("list", *arguments, cwd=cwd or root, environ=environ)


def report(root: Path, *arguments: str | Path, cwd: Path | None = None) -> dict[str, Any]:
    """Get the list as JSON."""
    run = listed(root, "--json", *arguments, cwd=cwd)
    assert run.code == 0, run.errors
    found: dict[str, Any] = json.loads(run.output)
    return found


def touched(root: Path, *arguments: str, since: str = "HEAD") -> list[str]:
    """List the projects that have changed."""
    found = report(root, "--workspace", "--changed-since", since, *arguments)
    return [each["project"] for each in found["artifacts"]]


# --- what there is --------------------------------------------------------------------


def test_each_artifact_with_what_it_is_made_of(root: Path) -> None:
    """The JSON says what is built, where, and from what, with paths from the current folder."""
    found = report(root, "--workspace")["artifacts"]

    assert [each["project"] for each in found] == ["a", "b", "c"]
    assert found[0] | {"inputs": None} == {
        "project": "a",
        "folder": "functions/a",
        "artifact": None,
        "layout": "function",
        "runtime": "python3.13",
        "architecture": "x86_64",
        "output": "functions/a/dist/a-1.0-function-python3.13-x86_64.zip",
        "lock": "uv.lock",
        "inputs": None,
        "size": len(ONE.content),
        "shard": None,
    }
    assert found[0]["inputs"] == {
        "folders": ["functions/a", "libraries/base", "libraries/shared"],
        "files": ["pyproject.toml"],
    }


def test_paths_start_from_the_current_folder(root: Path) -> None:
    """From a folder of the repository, the others are above it."""
    (found,) = report(root, "a", cwd=root / "functions")["artifacts"]

    assert found["folder"] == "a"
    assert found["lock"] == "../uv.lock"
    assert "../libraries/shared" in found["inputs"]["folders"]


def test_text_is_one_line_an_artifact(root: Path) -> None:
    """The folder comes first, for `awk` and eyes."""
    assert listed(root, "functions/*").output.splitlines() == [
        "functions/a  a  -  function for python3.13 x86_64",
        "functions/b  b  -  function for python3.13 x86_64",
        "functions/c  c  -  function for python3.13 x86_64",
    ]


def test_root_of_a_workspace(root: Path) -> None:
    """A list of the root alone says how its members are listed; a list of a member does not."""
    start = "hint: list the members of this workspace with `--workspace`, or name the folders"

    assert start in listed(root).errors
    assert start not in listed(root, "--workspace").errors
    assert start not in listed(root, "functions/a").errors
    assert start not in listed(root, "--quiet").errors


def test_options_of_a_build_count(root: Path) -> None:
    """What is listed is what a build with the same options makes."""
    (found,) = report(root, "functions/b", "--arch", "arm64", "-o", "out/")["artifacts"]

    assert found["output"] == "out/b-1.0-function-python3.13-arm64.zip"


def test_inputs_of_an_artifact_without_the_project(root: Path) -> None:
    """A layer of dependencies does not depend on the project's own code."""
    (found,) = report(root, "functions/c", "--contents", "dependencies")["artifacts"]

    assert found["inputs"] == {
        "folders": [],
        "files": ["functions/c/pyproject.toml", "pyproject.toml"],
    }


def test_nothing_is_built(root: Path) -> None:
    """A list writes nothing at all."""
    before = sorted(root.rglob("*"))

    report(root, "--workspace", "--changed-since", "HEAD")

    assert sorted(root.rglob("*")) == before
    assert not (root.parent / "home" / "cache").exists()


def test_project_that_cannot_be_planned(root: Path) -> None:
    """A plan that silently lacks a project would be none: it is told, and nothing is printed."""
    pyproject = root / "functions" / "b" / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"two"', '"two", "three"'))

    run = listed(root, "--workspace", "--json")

    assert run.code == 3
    assert run.output == ""
    assert run.errors.startswith("error: b: ")


# --- what has changed -----------------------------------------------------------------


def write(path: str, text: str = "edition = 2\n") -> Callable[[Path], object]:
    """Change a file, or add it."""

    def change(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return change


def replace(path: str, old: str, new: str) -> Callable[[Path], object]:
    """Change a part of a file."""

    def change(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new))

    return change


NOTHING: list[str] = []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (write("functions/a/src/a/__init__.py"), ["a"]),
        (write("functions/a/src/a/new.py"), ["a"]),
        (write("libraries/shared/src/shared/__init__.py"), ["a"]),
        (write("libraries/base/src/base/__init__.py"), ["a", "b"]),
        (write("libraries/base/src/base/README.md"), ["a", "b"]),
        (write("pyproject.toml", ROOT + "\n[tool.ruff]\n"), ["a", "b", "c"]),
        (write("functions/b/pyproject.toml.orig"), ["b"]),
        # The text of a readme is in the metadata of a package whose pyproject.toml names it.
        (write("functions/a/README.md"), NOTHING),
        (write("libraries/shared/README.md"), NOTHING),
        (write("README.md"), NOTHING),
        (write("docs/index.md"), NOTHING),
        (write("functions/a/CHANGELOG.md"), NOTHING),
        (write("functions/c/README.md"), ["c"]),
        (write("libraries/base/README.md"), ["a", "b"]),
        # Ignored by git, or what builds write.
        (write("functions/a/dist/a.zip"), NOTHING),
        (write("functions/a/bundle/page.html"), ["a"]),
        # In a lock, what is selected for the artifact counts, not the text.
        (replace("uv.lock", TWO.sha256, "0" * 64), ["b"]),
        (replace("uv.lock", ONE.sha256, "0" * 64), ["a", "c"]),
        (
            replace("uv.lock", 'name = "two"\nversion = "1.0"', 'name = "two"\nversion = "1.1"'),
            ["b"],
        ),
        (replace("uv.lock", "revision = ", "# a comment\nrevision = "), NOTHING),
        (
            replace("uv.lock", "two-1.0-py3-none-any.whl", "two-1.0-1-py3-none-any.whl"),
            ["b"],
        ),
    ],
)
def test_changes(root: Path, change: Callable[[Path], object], expected: list[str]) -> None:
    """Exactly the functions are named whose artifacts a change can change."""
    change(root)

    assert touched(root) == expected


def test_wheel_that_is_not_selected(root: Path) -> None:
    """A wheel for another system in the lock changes no artifact."""
    text = (root / "uv.lock").read_text()
    (line,) = (line for line in text.splitlines() if "two-1.0-py3" in line)
    other = line.replace("two-1.0-py3-none-any", "two-1.0-cp313-cp313-win_amd64")
    (root / "uv.lock").write_text(
        text.replace(line, f"{line}\n{other.replace(TWO.sha256, '1' * 64)}")
    )

    assert touched(root) == []


def test_committed_staged_and_untracked(root: Path) -> None:
    """Whether a change is committed makes no difference."""
    write("functions/a/src/a/__init__.py")(root)
    FakeRepository(root).commit()
    write("functions/b/src/b/__init__.py")(root)
    FakeRepository(root).run("add", "functions/b")
    write("functions/c/src/c/new.py")(root)

    assert touched(root, since="v1") == ["a", "b", "c"]
    assert touched(root, since="HEAD") == ["b", "c"]


def test_branch_that_has_gone_on(root: Path) -> None:
    """What is only on the other branch is no change of this one."""
    git = FakeRepository(root)
    git.run("checkout", "--quiet", "-b", "feature")
    write("functions/a/src/a/__init__.py")(root)
    git.commit()
    git.run("checkout", "--quiet", "main")
    write("functions/b/src/b/__init__.py")(root)
    git.commit()
    git.run("checkout", "--quiet", "feature")

    assert touched(root, since="main") == ["a"]


def test_renamed_and_removed_projects(root: Path) -> None:
    """A renamed project is a new one and a removed one; a removed one cannot be built."""
    shutil.move(root / "functions" / "c", root / "functions" / "d")
    replace("uv.lock", "functions/c", "functions/d")(root)

    found = report(root, "--workspace", "--changed-since", "HEAD")

    assert [each["folder"] for each in found["artifacts"]] == ["functions/d"]
    assert found["removed"] == ["functions/c"]


def test_removed_files(root: Path) -> None:
    """A file that is gone is a change, too."""
    (root / "libraries" / "shared" / "src" / "shared" / "__init__.py").unlink()

    assert touched(root) == ["a"]


def test_code_behind_a_link(root: Path) -> None:
    """A link in a project stands for what it points to."""
    common = root / "common"
    write("common/code.py")(root)
    (root / "functions" / "b" / "src" / "b" / "common").symlink_to(common)
    FakeRepository(root).commit()
    write("common/code.py", "edition = 3\n")(root)

    assert touched(root) == ["b"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_project_that_is_a_submodule(root: Path, name: str) -> None:
    """A submodule is a part of the repository, whatever git is configured to show of it."""
    a_git_repository(root / "functions" / "a").commit()
    git = FakeRepository(root)
    git.run("rm", "-r", "--quiet", "--cached", "functions/a")
    git.run("add", "functions/a")
    git.commit()
    git.run("config", "diff.ignoreSubmodules", "all")
    write(f"functions/{name}/src/{name}/new.py")(root)

    assert touched(root) == [name]


def test_commands_may_read_any_file(root: Path) -> None:
    """With `before-build`, documents count, and so do scripts that it names elsewhere."""
    write("tools/generate.sh")(root)
    hooks = '\nhooks = { before-build = ["sh ../../tools/generate.sh"] }\n'
    replace("functions/a/pyproject.toml", OURS, OURS + hooks)(root)
    FakeRepository(root).commit()

    write("functions/a/CHANGELOG.md")(root)
    assert touched(root) == ["a"]
    (root / "functions" / "a" / "CHANGELOG.md").unlink()

    write("tools/generate.sh", "true\n")(root)
    assert touched(root) == ["a"]


def test_layer_that_provides_for_a_function(root: Path) -> None:
    """A function is other if its layer is: it leaves out what the layer has."""
    tables = """
[tool.lambda-build.artifacts.layer]
layout = "layer"
contents = "dependencies"
[tool.lambda-build.artifacts.function]
contents = "project"
provided-by = "layer"
"""
    replace("functions/b/pyproject.toml", OURS, OURS + tables)(root)
    FakeRepository(root).commit()
    write("libraries/base/src/base/__init__.py")(root)

    found = report(root, "functions/b", "--changed-since", "HEAD")["artifacts"]

    assert [each["artifact"] for each in found] == ["layer", "function"]


def test_other_locks(tmp_path: Path) -> None:
    """Requirements files with what they include, and Poetry projects with a path dependency."""
    root = tmp_path / "repo"
    plain = a_function(root, "plain", ONE)
    (plain / "more.txt").write_text(f"two==1.0 --hash=sha256:{TWO.sha256}\n")
    with (plain / "requirements.txt").open("a") as file:
        file.write("-r more.txt\n")
    other = a_function(root, "other", ONE)
    library = a_counting_library(root, "common")
    a_poetry_function(root, "poetry", library)
    a_git_repository(tmp_path).commit()

    def names() -> list[str]:
        found = report(root, "functions/*", "--changed-since", "HEAD")["artifacts"]
        return [each["project"] for each in found]

    assert names() == []
    (library / "common" / "new.py").write_text("")
    assert names() == ["poetry"]
    with (other / "requirements.txt").open("a") as file:
        file.write("# only a comment\n")
    assert names() == ["poetry"]
    (plain / "more.txt").write_text(f"two==1.0 --hash=sha256:{'0' * 64}\n")
    assert names() == ["plain", "poetry"]


def test_lock_of_our_own_format(tmp_path: Path) -> None:
    """Of a `pylock.toml`, too, the selection counts: not a comment, not the order, but a hash."""
    root = a_project(tmp_path / "repo", name="demo", dependencies=("one", "two"))
    lock = root / "pylock.toml"
    lock.write_text(pylock_of([ONE, TWO], "https://files.example/"))
    a_git_repository(root).commit()

    lock.write_text("# locked\n" + pylock_of([TWO, ONE], "https://files.example/"))
    assert report(root, "--changed-since", "HEAD")["artifacts"] == []

    lock.write_text(lock.read_text().replace(ONE.sha256, "0" * 64))
    assert len(report(root, "--changed-since", "HEAD")["artifacts"]) == 1


def test_lock_that_is_new(root: Path) -> None:
    """Without a lock to compare with, everything that the new one serves has changed."""
    text = (root / "uv.lock").read_text()
    (root / "uv.lock").unlink()
    FakeRepository(root).commit()
    (root / "uv.lock").write_text(text)

    assert touched(root) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        (("--changed-since", "nowhere"), "has no revision `nowhere`", "git fetch origin"),
        (("--changed-since", "--all"), "expected one argument", ""),
        (("--shards", "0"), "--shards: `0` is not a number of jobs", ""),
        (("--shards", "two"), "--shards: `two` is not a number of jobs", ""),
        (("--json", "--matrix"), "--json: does not go together with --matrix", ""),
        (("--matrix", "circle"), "circle is not a folder", ""),
        (("--report", "x.json"), "there is no option `--report`", ""),
        (("--html", "x.html"), "there is no option `--html`", ""),
    ],
)
def test_mistakes(root: Path, arguments: tuple[str, ...], told: str, hint: str) -> None:
    """Each is told with what to do."""
    run = listed(root, *(() if "circle" in arguments else ("--workspace",)), *arguments)

    assert run.code == 2
    assert told in run.errors
    assert hint in run.errors


def test_folder_without_git(root: Path) -> None:
    """Without a repository, nothing can have changed."""
    shutil.rmtree(root / ".git")

    run = listed(root, "functions/a", "--changed-since", "HEAD")

    assert run.code == 2
    assert "is not in a git repository" in run.errors


def test_zips_that_git_does_not_ignore(root: Path) -> None:
    """What builds write is no input of the next build, wherever it goes; other files are."""
    (root / ".gitignore").unlink()
    FakeRepository(root).commit()

    write("functions/a/dist/a-0.9-function-python3.13-x86_64.zip")(root)
    assert touched(root) == []

    write("functions/a/dist/page.html")(root)
    assert touched(root) == ["a"]


def test_inputs_outside_of_the_repository(root: Path) -> None:
    """Git says nothing about them, so the user is warned."""
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "pyproject.toml").write_text("")

    run = listed(root, "functions/a", "--include-local", "../elsewhere", "--changed-since", "HEAD")

    assert run.code == 0
    assert f"warning: {outside} is outside of the repository" in run.errors


# --- plans for CI ---------------------------------------------------------------------


def test_matrix_for_github(root: Path) -> None:
    """One line, an entry for each artifact, only strings."""
    run = listed(root, "functions/a", "functions/b", "--matrix")

    assert run.output.count("\n") == 1
    assert json.loads(run.output)["include"][0] == {
        "project": "a",
        "folder": "functions/a",
        "artifact": "",
        "runtime": "python3.13",
        "architecture": "x86_64",
        "output": "functions/a/dist/a-1.0-function-python3.13-x86_64.zip",
    }


def test_matrix_for_gitlab(root: Path) -> None:
    """A list of variables, as `parallel:matrix` takes it."""
    run = listed(root, "functions/a", "--matrix", "gitlab")

    assert json.loads(run.output) == [
        {
            "PROJECT": "a",
            "FOLDER": "functions/a",
            "ARTIFACT": "",
            "RUNTIME": "python3.13",
            "ARCHITECTURE": "x86_64",
            "OUTPUT": "functions/a/dist/a-1.0-function-python3.13-x86_64.zip",
        }
    ]


def test_folder_after_matrix(root: Path) -> None:
    """`--matrix` alone is for GitHub, also before a folder."""
    assert (
        listed(root, "--matrix", "functions/a").output
        == listed(root, "functions/a", "--matrix=github").output
    )


@pytest.mark.parametrize(("engine", "empty"), [("github", '{"include":[]}\n'), ("gitlab", "[]\n")])
@pytest.mark.parametrize("shards", [(), ("--shards", "2")])
def test_empty_matrices(root: Path, engine: str, empty: str, shards: tuple[str, ...]) -> None:
    """Nothing has changed: the recipes compare with exactly this text."""
    arguments = ("--workspace", "--changed-since", "HEAD", *shards)

    assert listed(root, *arguments, "--matrix", engine).output == empty
    assert listed(root, *arguments).errors == "nothing to build\n"


def test_shards_are_balanced_by_size(root: Path) -> None:
    """The largest project has a shard of its own, and few projects fill few shards."""
    replace("uv.lock", f"size = {len(TWO.content)}", "size = 9000000")(root)

    found = json.loads(listed(root, "--workspace", "--matrix", "--shards", "2").output)
    many = json.loads(listed(root, "--workspace", "--matrix", "--shards", "999999999").output)

    assert found == {
        "include": [
            {"shard": "1", "folders": "functions/b"},
            {"shard": "2", "folders": "functions/a functions/c"},
        ]
    }
    assert len(many["include"]) == 3


def test_shards_do_not_depend_on_the_order(root: Path) -> None:
    """Every machine comes to the same plan."""
    folders = ["functions/a", "functions/b", "functions/c"]

    def plan(names: list[str]) -> Mapping[str, int]:
        found = report(root, *names, "--shards", "2")["artifacts"]
        return {each["project"]: each["shard"] for each in found}

    assert plan(folders) == plan(folders[::-1])


def test_more_jobs_than_a_service_allows(root: Path) -> None:
    """It is told here, not by the service, with what to do."""
    names = [f"python3.{minor}" for minor in range(10, 15)]
    tables = "".join(
        f'\n[tool.lambda-build.artifacts.x{number}]\nlayout = "layer"\n' for number in range(21)
    )
    replace("functions/c/pyproject.toml", OURS, OURS + tables)(root)
    options = [f"--runtime={name}" for name in names] + ["--arch=x86_64", "--arch=arm64"]

    run = listed(root, "functions/c", "--matrix", "gitlab", *options)

    assert run.code == 2
    assert "210 jobs are more than the 200 that gitlab allows" in run.errors
    assert "--shards" in run.errors
