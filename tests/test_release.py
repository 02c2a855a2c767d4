"""What has to hold before a tag is published, and what the workflows may do."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from fakes.locks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_CHANGELOG = "# Changelog\n\n## 1.2.0 - 2026-12-31\n\n### Added\n\n- Something.\n"
_WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def check(tag: str, repository: Path, *, changelog: str = _CHANGELOG) -> tuple[int, str]:
    """Check a tag in a repository of version 1.2.0; give the exit code and what is said."""
    package = repository / "src" / "lambda_build_plugin"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Doc."""\n\n__version__ = "1.2.0"\n')
    (repository / "CHANGELOG.md").write_text(changelog)
    program = repository / ".ci" / "check_release.py"
    program.parent.mkdir()
    program.write_bytes((ROOT / ".ci" / "check_release.py").read_bytes())
    ran = subprocess.run(
        [sys.executable, program, tag], capture_output=True, text=True, check=False
    )
    return ran.returncode, ran.stderr


def test_tag_of_the_version_may_be_released(tmp_path: Path) -> None:
    """The tag is the version, and the changelog has a section with its date."""
    assert check("v1.2.0", tmp_path) == (0, "")


@pytest.mark.parametrize("tag", ["v1.2.1", "1.2.0", ""])
def test_other_tag_is_refused(tag: str, tmp_path: Path) -> None:
    """A tag that is not the version's releases nothing."""
    assert check(tag, tmp_path) == (
        1,
        f"error: the tag is `{tag}`, but the version in src is 1.2.0\n",
    )


@pytest.mark.parametrize(
    "changelog",
    [
        pytest.param(_CHANGELOG.replace("1.2.0 - 2026-12-31", "Unreleased"), id="unreleased"),
        pytest.param(_CHANGELOG.replace(" - 2026-12-31", ""), id="no date"),
        pytest.param(_CHANGELOG.partition("###")[0], id="empty"),
    ],
)
def test_changelog_without_the_version_is_refused(changelog: str, tmp_path: Path) -> None:
    """What is released is told first."""
    code, said = check("v1.2.0", tmp_path, changelog=changelog)

    assert code == 1
    assert said.startswith("error: CHANGELOG.md has no section `## 1.2.0 - YYYY-MM-DD`")


def test_there_are_workflows() -> None:
    """The rules below are about something."""
    assert [path.stem for path in _WORKFLOWS] == [
        "docs",
        "examples",
        "fuzz",
        "nightly",
        "release",
        "test",
    ]


@pytest.mark.parametrize("workflow", _WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_runs_targets_of_make(workflow: Path) -> None:
    """What a workflow does can be done by everybody in the same way, once make is there."""
    runs = re.findall(
        r"^\s+(?:- )?run: (?!apt-get )(.+)$", workflow.read_text("utf-8"), re.MULTILINE
    )
    targets = re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

    assert runs
    assert {tuple(run.split()[:2]) for run in runs} <= {("make", target) for target in targets}


@pytest.mark.parametrize("workflow", _WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_uses_actions_as_they_are_known(workflow: Path) -> None:
    """An action is named by its commit: a tag of somebody else's may be moved."""
    uses = re.findall(r"uses: (\S+)", workflow.read_text("utf-8"))

    assert uses
    others = [action for action in uses if action != "./"]  # which is the action of this repository
    assert [action for action in others if not re.fullmatch(r"[^@]+@[0-9a-f]{40}", action)] == []


@pytest.mark.parametrize("workflow", _WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_has_no_permissions_but_those_of_its_jobs(workflow: Path) -> None:
    """A job gets what it names, and a job that names nothing gets nothing."""
    text = workflow.read_text("utf-8")

    assert re.findall(r"^permissions:.*$", text, re.MULTILINE) == ["permissions: {}"]
    # Those that publish prove by it who they are: to the package index, and to GitHub Pages.
    assert ("id-token: write" in text) == (workflow.stem in {"docs", "release"})
