"""The recipes of docs/how-to/ci.md are run as they stand there, apart from what CI itself does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from fakes.git import FakeRepository
from fakes.projects import a_project, quiet_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "ci.md"
PROGRAMS = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("make") is None,
    reason="the recipes are for bash and make",
)


def recipe(first_line: str) -> str:
    """Find the block that begins with a line."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(
        rf"^```\w+\n({re.escape(first_line)}\n.*?)^```", text, re.MULTILINE | re.DOTALL
    )
    return str(found)


@pytest.fixture
def repository(tmp_path: Path) -> FakeRepository:
    """Write two functions in a repository; the newest commit has changed the second one."""
    root = tmp_path / "repo"
    git = FakeRepository(root)
    for name in ("orders", "payments"):
        a_project(root / "functions" / name, name=name, extra="[tool.lambda-build]\n")
    (root / "pyproject.toml").write_text('[tool.lambda-build.workspace]\nmembers = ["functions/*"]')
    (root / ".gitignore").write_text("dist/\nzips/\n*.yml\n")
    git.commit()
    git.run("update-ref", "refs/remotes/origin/main", "HEAD")
    (root / "functions" / "payments" / "src" / "payments" / "new.py").write_text("")
    git.commit()
    return git


def bash(root: Path, script: str, **variables: str) -> str:
    """Run a script as CI services do, and get what it prints."""
    environ = quiet_environment(root.parent / "home", **variables)
    environ["PATH"] = f"{PROGRAMS}{os.pathsep}{environ['PATH']}"
    environ["LAMBDA_BUILD_RUNTIME"] = "python3.13"
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def zips(root: Path) -> list[str]:
    """List the projects that have a zip."""
    return sorted(path.name.partition("-")[0] for path in (root / "zips").glob("*.zip"))


# --- GitHub Actions -------------------------------------------------------------------

WORKFLOW = "# .github/workflows/functions.yml"


def github_step(job: str, key: str) -> Mapping[str, Any]:
    """Find the step of a job whose command contains a text."""
    steps = yaml.safe_load(recipe(WORKFLOW))["jobs"][job]["steps"]
    (found,) = (step for step in steps if key in step.get("run", ""))
    return dict(found)


def planned(repository: FakeRepository, base: str) -> str:
    """Run the step that plans, and get what it passes on."""
    output = repository.path.parent / "output"
    output.unlink(missing_ok=True)
    step = github_step("plan", "lambda-build list")
    bash(repository.path, step["run"], BASE=base, GITHUB_OUTPUT=str(output))
    return output.read_text().removeprefix("matrix=").rstrip("\n")


@pytest.mark.skipif(not (PROGRAMS / "actionlint").exists(), reason="it is in the group `lint`")
def test_actionlint_accepts_the_workflow(tmp_path: Path) -> None:
    """Syntax, expressions, and inputs of actions are right."""
    file = tmp_path / "functions.yml"
    file.write_text(recipe(WORKFLOW))

    ran = subprocess.run(
        [PROGRAMS / "actionlint", "-shellcheck=", "-pyflakes=", file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize(("base", "built"), [("", ["orders", "payments"]), ("main", ["payments"])])
def test_github_builds_what_is_planned(
    repository: FakeRepository, base: str, built: list[str]
) -> None:
    """The main branch builds everything, a pull request what it changes."""
    matrix = json.loads(planned(repository, base))

    for job in matrix["include"]:
        step = github_step("build", "lambda-build $FOLDERS")
        bash(repository.path, step["run"], FOLDERS=job["folders"])

    assert len(matrix["include"]) == len(built)
    assert zips(repository.path) == built


def test_github_skips_an_empty_matrix(repository: FakeRepository) -> None:
    """The condition compares with what an empty plan is."""
    repository.run("update-ref", "refs/remotes/origin/main", "HEAD")
    condition = yaml.safe_load(recipe(WORKFLOW))["jobs"]["build"]["if"]

    assert condition == f"needs.plan.outputs.matrix != '{planned(repository, 'main')}'"


def test_the_cache_is_pruned_before_it_is_saved(repository: FakeRepository) -> None:
    """What is saved is what builds use, under a key that the restoring step looks for."""
    steps = yaml.safe_load(recipe(WORKFLOW))["jobs"]["build"]["steps"]
    (prune,) = (n for n, step in enumerate(steps) if "cache prune" in step.get("run", ""))
    restored, saved = (
        next(
            n for n, step in enumerate(steps) if step.get("uses", "").startswith(f"actions/{name}")
        )
        for name in ("cache/restore", "cache/save")
    )

    assert restored < prune < saved
    assert steps[restored]["with"]["key"] == steps[saved]["with"]["key"]
    assert steps[restored]["with"]["path"] == steps[saved]["with"]["path"]
    bash(repository.path, steps[prune]["run"])


def test_command_for_one_artifact(repository: FakeRepository) -> None:
    """An entry of a matrix without shards has all that the command needs."""
    command = re.search(
        r'^lambda-build "\$FOLDER".*$', PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert command is not None
    plan = bash(repository.path, "lambda-build list --workspace --matrix gitlab --arch arm64")
    variables = json.loads(plan)[0]

    bash(repository.path, command[0], **variables)

    assert (repository.path / variables["OUTPUT"]).is_file()


# --- GitLab ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "built"), [("", ["orders", "payments"]), ("origin/main", ["payments"]), ("HEAD", [])]
)
def test_gitlab(repository: FakeRepository, base: str, built: list[str]) -> None:
    """The pipeline that is started has a job for each shard, or one that says why it has none."""
    parent = yaml.safe_load(recipe("# .gitlab-ci.yml"))
    child = yaml.safe_load(recipe("# ci/functions.yml"))
    local, generated = parent["functions"]["trigger"]["include"]
    assert local["local"] == "ci/functions.yml"

    bash(repository.path, parent["plan"]["script"][-1], CI_MERGE_REQUEST_DIFF_BASE_SHA=base)
    assert parent["plan"]["artifacts"]["paths"] == [generated["artifact"]]
    jobs = yaml.safe_load((repository.path / generated["artifact"]).read_text())
    if not built:
        assert bash(repository.path, *jobs["nothing"]["script"]) == "nothing has changed\n"
        return
    job = jobs["build"]
    for variables in job["parallel"]["matrix"]:
        for command in child[job["extends"]]["script"][1:]:
            bash(repository.path, command, **variables)

    assert zips(repository.path) == built


# --- Make -----------------------------------------------------------------------------


@pytest.fixture
def makefile(repository: FakeRepository) -> Path:
    """Put the Makefile into the repository."""
    (repository.path / "Makefile").write_text(recipe("# Makefile"))
    return repository.path


def deployed(root: Path) -> list[str]:
    """Run `make deploy`, and list the projects that it deploys."""
    lines = bash(root, "make deploy").splitlines()
    pattern = re.compile(r"deploy zips/(\w+)-.*\.zip")
    return sorted(found[1] for line in lines if (found := pattern.fullmatch(line)))


def test_make_deploys_once(makefile: Path) -> None:
    """What is the same is not deployed again, and what has changed is."""
    assert deployed(makefile) == ["orders", "payments"]
    assert deployed(makefile) == []

    (makefile / "functions" / "orders" / "src" / "orders" / "new.py").write_text("")
    assert deployed(makefile) == ["orders"]


def test_make_builds_what_has_changed(makefile: Path) -> None:
    """Only the changed function; without changes, nothing."""
    bash(makefile, "make changed SINCE=HEAD")
    assert zips(makefile) == []

    bash(makefile, "make changed")
    assert zips(makefile) == ["payments"]


def test_inputs_of_the_action_are_no_script() -> None:
    """A value of an input reaches the shell as a variable, so it cannot be a command."""
    text = (PAGE.parents[2] / "action.yml").read_text(encoding="utf-8")
    scripts = re.findall(r"^ +run: \|\n((?:        .*\n|\n)+)", text, flags=re.MULTILINE)

    assert len(scripts) == text.count("run: ")
    assert [script for script in scripts if "${{" in script] == []
