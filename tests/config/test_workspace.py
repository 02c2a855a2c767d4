"""Folders on the command line and tables of workspaces become a list of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.config.workspace import find_projects
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARKS = ("pyproject.toml", "requirements.txt")

OURS = "[tool.lambda-build]\n"


def a_member(root: Path, name: str, text: str = OURS) -> Path:
    """Write a member of a workspace."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def a_workspace(root: Path, table: str, *members: str) -> Path:
    """Write a repository: its root with a table, and members with settings of ours."""
    root.mkdir(parents=True, exist_ok=True)
    (root / ".git").mkdir()
    (root / "pyproject.toml").write_text(table, encoding="utf-8")
    for name in members:
        a_member(root, name)
    return root


def members(start: Path) -> list[str]:
    """List the members to build, from any folder of a workspace."""
    root = next(path for path in (start, *start.parents) if (path / ".git").exists())
    found = find_projects([start], workspace=True, marks=MARKS)
    return [path.relative_to(root).as_posix() for path in found]


def problems(folders: Sequence[Path], *, workspace: bool = False) -> tuple[str, ...]:
    """Get the mistakes that are told."""
    with pytest.raises(SettingsError) as caught:
        find_projects(folders, workspace=workspace, marks=MARKS)
    return caught.value.problems


@pytest.mark.parametrize("table", ["tool.uv.workspace", "tool.pdm.workspace"])
@pytest.mark.parametrize("start", [".", "functions/b", "functions"])
def test_members_from_anywhere(tmp_path: Path, table: str, start: str) -> None:
    """The members of a workspace are found from its root, from a member and in between."""
    text = f'[{table}]\nmembers = ["functions/*", "libs/*"]\n'
    root = a_workspace(tmp_path / "repo", text, "functions/b", "functions/a")
    a_member(root, "libs/shared", '[project]\nname = "shared"\n')

    assert members(root / start) == ["functions/a", "functions/b"]


def test_excluded_members(tmp_path: Path) -> None:
    """What `exclude` matches is not built."""
    text = '[tool.uv.workspace]\nmembers = ["functions/*"]\nexclude = ["functions/old-*"]\n'
    root = a_workspace(tmp_path / "repo", text, "functions/new", "functions/old-one")

    assert members(root) == ["functions/new"]


def test_own_table_of_a_repository_without_a_workspace(tmp_path: Path) -> None:
    """Projects with locks of their own are members if our table names them; it wins over uv's."""
    text = (
        '[tool.lambda-build.workspace]\nmembers = ["b", "services/*"]\n'
        '[tool.uv.workspace]\nmembers = ["other"]\n'
    )
    root = a_workspace(tmp_path / "repo", text, "b", "services/a", "other")

    assert members(root) == ["b", "services/a"]


def test_root_with_settings_is_a_member(tmp_path: Path) -> None:
    """The root itself is built if it has settings, and not only because it names members."""
    text = '[tool.lambda-build]\nruntime = "python3.13"\n[tool.lambda-build.workspace]\n'
    root = a_workspace(tmp_path / "repo", f'{text}members = ["a"]\n', "a")

    assert members(root) == [".", "a"]


def test_each_member_once(tmp_path: Path) -> None:
    """Patterns that overlap do not repeat a member."""
    text = '[tool.uv.workspace]\nmembers = ["functions/z", "functions/*"]\n'
    root = a_workspace(tmp_path / "repo", text, "functions/a", "functions/z")

    assert members(root) == ["functions/z", "functions/a"]


def test_the_search_ends_at_the_repository(tmp_path: Path) -> None:
    """A workspace above the repository is somebody else's."""
    a_workspace(tmp_path, '[tool.uv.workspace]\nmembers = ["*"]\n')
    root = a_workspace(tmp_path / "repo", "", "a")

    (problem,) = problems([root / "a"], workspace=True)

    assert problem.startswith(
        f"--workspace: {root / 'a'} is in no workspace: no folder up to {root}"
    )


def test_no_member_with_settings(tmp_path: Path) -> None:
    """A workspace in which nothing is to be built is a mistake."""
    root = a_workspace(tmp_path / "repo", '[tool.uv.workspace]\nmembers = ["libs/*"]\n')
    a_member(root, "libs/shared", "")

    assert problems([root], workspace=True) == (
        f"no member of the workspace in {root} has a table [tool.lambda-build]",
    )


def test_mistakes_in_our_table(tmp_path: Path) -> None:
    """All mistakes in our own table are told at once."""
    text = '[tool.lambda-build.workspace]\nmembers = ["a", "lost/*", "/b"]\nexcluded = []\n'
    root = a_workspace(tmp_path / "repo", text, "a")
    at = "pyproject.toml: tool.lambda-build.workspace"

    assert problems([root], workspace=True) == (
        f"{at}.excluded: there is no such setting: use `members` and `exclude`",
        f"{at}.members: `/b` is not a pattern for folders below {root}",
        f"{at}.members: `lost/*` matches no folder below {root}",
    )


def test_members_are_required_in_our_table(tmp_path: Path) -> None:
    """Without `members` the table means nothing."""
    root = a_workspace(tmp_path / "repo", "[tool.lambda-build.workspace]\n")

    assert problems([root], workspace=True) == (
        "pyproject.toml: tool.lambda-build.workspace: the required key `members` is missing",
    )


def test_empty_patterns_of_uv(tmp_path: Path) -> None:
    """A pattern of uv's may match nothing yet, as for uv itself."""
    text = '[tool.uv.workspace]\nmembers = ["functions/*", "later/*"]\n'
    root = a_workspace(tmp_path / "repo", text, "functions/a")

    assert members(root) == ["functions/a"]


def test_members_with_mistakes(tmp_path: Path) -> None:
    """A member is not silently left out because of a misspelt table or a broken file."""
    root = a_workspace(tmp_path / "repo", '[tool.uv.workspace]\nmembers = ["*"]\n', "a")
    a_member(root, "b", "[tool.lamda-build]\n")
    a_member(root, "c", "[tool")
    a_member(root, "d", 'tool.lambda-build = "yes"')

    misspelt, broken, no_table = problems([root], workspace=True)

    assert misspelt == (
        f"{root / 'b'}: [tool.lamda-build] is not a table of any tool; "
        "did you mean [tool.lambda-build]?"
    )
    assert broken.startswith(f"{root / 'c'}: pyproject.toml: is not TOML")
    assert no_table == f"{root / 'd'}: pyproject.toml: tool.lambda-build: must be a table"


def test_workspace_and_folders(tmp_path: Path) -> None:
    """The members of two workspaces at once are not what anybody means."""
    assert problems([tmp_path, tmp_path], workspace=True) == (
        "--workspace: does not go together with several folders",
    )


def test_named_folders(tmp_path: Path) -> None:
    """Folders stay in the order in which they are named, each once, with a table or without."""
    first, second = a_member(tmp_path, "z", ""), tmp_path / "a"
    second.mkdir()
    (second / "requirements.txt").write_text("")

    found = find_projects(
        [first, second, tmp_path / "a" / ".." / "z"], workspace=False, marks=MARKS
    )

    assert found == (first, second)


def test_pattern_that_the_shell_left(tmp_path: Path) -> None:
    """A pattern in quotes, or on Windows, stands for the folders that it matches."""
    a_member(tmp_path, "functions/b")
    a_member(tmp_path, "functions/a")
    (tmp_path / "functions" / "README").write_text("")

    found = find_projects([tmp_path / "functions" / "*"], workspace=False, marks=MARKS)

    assert [path.name for path in found] == ["a", "b"]


def test_all_wrong_folders_are_told(tmp_path: Path) -> None:
    """Nothing has to be tried again for the next mistake."""
    a_member(tmp_path, "good")
    (tmp_path / "empty").mkdir()
    named = [tmp_path / name for name in ("good", "empty", "absent", "lost-*")]

    assert problems(named) == (
        f"{tmp_path / 'empty'} is not a project: it has neither a pyproject.toml nor a lock",
        f"{tmp_path / 'absent'} is not a folder",
        f"the pattern {tmp_path / 'lost-*'} matches no folder",
    )
