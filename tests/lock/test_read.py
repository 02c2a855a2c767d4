"""Where a project's lock is found, and which reader it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.words import IS_FOLDER, NO_URL
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.errors import LambdaBuildError, LockError
from lambda_build_plugin.lock.find import Found, find_lock
from lambda_build_plugin.lock.read import read_lock

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.config.project import Project

ALL = (
    "pylock.lambda.toml",
    "pylock.toml",
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "requirements.lock",
    "requirements.txt",
)
NEEDS_IDNA = '[project]\nname = "demo"\nversion = "1"\ndependencies = ["idna"]\n'
NEEDS_NOTHING = '[project]\nname = "demo"\nversion = "1"\n'


def a_project(root: Path, *files: str, pyproject: str = NEEDS_IDNA) -> Project:
    """Make a project with empty files beside it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(pyproject)
    for name in files:
        (root / name).touch()
    return read_project(root)


@pytest.mark.parametrize("first", [pytest.param(index, id=ALL[index]) for index in range(8)])
def test_search_order(tmp_path: Path, first: int) -> None:
    """The first that is there is read; the others are named."""
    project = a_project(tmp_path, *ALL[first:])

    assert find_lock(project, None) == Found(
        path=project.root / ALL[first], others=ALL[first + 1 :]
    )


def test_named_lock_wins(tmp_path: Path) -> None:
    """The setting decides, whatever else is there."""
    named = tmp_path / "locks" / "prod.txt"
    named.parent.mkdir()
    named.touch()

    assert find_lock(a_project(tmp_path, *ALL), named) == Found(path=named)


def test_named_lock_has_to_be_there(tmp_path: Path) -> None:
    """Nothing steps in for a lock that was asked for."""
    with pytest.raises(LockError) as caught:
        find_lock(a_project(tmp_path, *ALL), tmp_path / "other.txt")

    assert (
        str(caught.value)
        == f"""\
error: cannot read the lock other.txt
  why: {tmp_path / "other.txt"} is not a file

hint: check the setting `lock` (--lock)"""
    )


def test_project_that_needs_nothing_needs_no_lock(tmp_path: Path) -> None:
    """There is nothing that could be locked."""
    assert find_lock(a_project(tmp_path, pyproject=NEEDS_NOTHING), None) is None


MEMBER = "packages/app"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give the root of a workspace with a lock."""
    root = (tmp_path / "workspace").resolve()
    root.mkdir()
    (root / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    (root / "uv.lock").touch()
    return root


def test_lock_of_the_workspace_is_that_of_a_member(workspace: Path) -> None:
    """A member is locked at the root, even one without dependencies."""
    member = a_project(workspace / MEMBER, pyproject=NEEDS_NOTHING)

    assert find_lock(member, None) == Found(path=workspace / "uv.lock")


def test_lock_of_pdm_is_that_of_its_members_alone(workspace: Path) -> None:
    """PDM's workspace names its members; any other folder below it has no lock there."""
    (workspace / "uv.lock").rename(workspace / "pdm.lock")
    table = '[tool.pdm.workspace]\nmembers = ["packages/*"]\n'
    (workspace / "pyproject.toml").write_text(table)
    member = a_project(workspace / MEMBER, pyproject=NEEDS_NOTHING)
    other = a_project(workspace / "others" / "one", pyproject=NEEDS_NOTHING)

    assert find_lock(member, None) == Found(path=workspace / "pdm.lock")
    assert find_lock(other, None) is None


@pytest.mark.parametrize(
    ("table", "command"),
    [
        pytest.param("uv", "uv lock", id="uv"),
        pytest.param("pdm", "pdm lock", id="PDM"),
    ],
)
def test_workspace_without_a_lock(workspace: Path, table: str, command: str) -> None:
    """A member that is locked at the root learns that the lock of the workspace is missing."""
    (workspace / "uv.lock").unlink()
    members = f'[tool.{table}.workspace]\nmembers = ["packages/*"]\n'
    (workspace / "pyproject.toml").write_text(members)

    with pytest.raises(LockError) as caught:
        find_lock(a_project(workspace / MEMBER), None)

    assert caught.value.what == f"cannot find a lock of the workspace in {workspace}"
    assert caught.value.hint.startswith(f"make it with `{command}`\n")


def test_folder_in_a_workspace_that_is_no_project(workspace: Path) -> None:
    """Somebody in a wrong folder below a workspace is not told to lock it."""
    (workspace / "uv.lock").unlink()
    (workspace / "docs").mkdir()

    with pytest.raises(LockError) as caught:
        find_lock(read_project(workspace / "docs"), None)

    assert caught.value.what == f"cannot find a lock in {workspace / 'docs'}"


def test_lock_of_its_own_comes_first(workspace: Path) -> None:
    """A member may have a lock beside it, made by `uv export --package`."""
    member = a_project(workspace / MEMBER, "pylock.toml")

    assert find_lock(member, None) == Found(path=workspace / MEMBER / "pylock.toml")


def test_search_ends_at_the_repository(workspace: Path) -> None:
    """A workspace around another repository does not hold it."""
    (workspace / "packages" / ".git").mkdir(parents=True)

    assert find_lock(a_project(workspace / MEMBER, pyproject=NEEDS_NOTHING), None) is None


@pytest.mark.parametrize(
    "pyproject",
    [
        pytest.param("[tool.uv]\npackage = false\n", id="no-workspace"),
        pytest.param("[tool.uv\n", id="unreadable"),
        pytest.param(None, id="no-pyproject"),
    ],
)
def test_other_uv_lock_above_is_a_stranger(workspace: Path, pyproject: str | None) -> None:
    """Only a workspace's lock serves the folders below it."""
    (workspace / "pyproject.toml").unlink()
    if pyproject is not None:
        (workspace / "pyproject.toml").write_text(pyproject)

    assert find_lock(a_project(workspace / MEMBER, pyproject=NEEDS_NOTHING), None) is None


HINT = """
hint: make one with the tool that the project uses:
      hatch:     lambda-build lock
      uv:        uv lock
      poetry:    poetry lock
      pdm:       pdm lock
      pipenv:    pipenv lock
      pip-tools: pip-compile --generate-hashes -o requirements.txt pyproject.toml (on Linux, \
because it locks only for the system that it runs on)
      or name a lock that is somewhere else with the setting `lock` (`--lock PATH`)"""


def test_no_lock_says_how_each_tool_makes_one(tmp_path: Path) -> None:
    """A newcomer learns the command of the tool at hand."""
    project = a_project(tmp_path)

    with pytest.raises(LockError) as caught:
        find_lock(project, None)

    assert (
        str(caught.value)
        == f"""\
error: cannot find a lock in {project.root}
  why: none of these files exists: {", ".join(ALL)}
{HINT}"""
    )


def test_scripts_without_dependencies_need_an_empty_file(tmp_path: Path) -> None:
    """Where nothing tells of dependencies, the hint has the way for a project without any."""
    with pytest.raises(LockError) as caught:
        find_lock(read_project(tmp_path), None)

    assert caught.value.hint.splitlines()[-1] == (
        "or, if the project has no dependencies, say so with an empty requirements.txt"
    )


@pytest.mark.parametrize(
    ("files", "inside", "lines"),
    [
        pytest.param(
            {"pyproject.toml": "", "uv.lock": "", "src/demo/app.py": ""},
            "src/demo",
            ["there is a uv.lock in ../..: did you mean `lambda-build ../..`?"],
            id="above",
        ),
        pytest.param(
            {"backend/pyproject.toml": "", "services/api/poetry.lock": "", ".venv/uv.lock": ""},
            ".",
            [
                "there is a pyproject.toml in backend: did you mean `lambda-build backend`?",
                "there is a poetry.lock in services/api: did you mean `lambda-build services/api`?",
            ],
            id="below",
        ),
        pytest.param(
            {"uv.lock": "", "repository/.git/config": "", "repository/a.py": ""},
            "repository",
            [],
            id="not-above-the-repository",
        ),
    ],
)
def test_wrong_folder_says_where_the_project_is(
    tmp_path: Path, files: dict[str, str], inside: str, lines: list[str]
) -> None:
    """Somebody in `src`, or in the root of a repository with several projects, is helped on."""
    (tmp_path / ".git").mkdir()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    with pytest.raises(LockError) as caught:
        find_lock(read_project(tmp_path / inside), None)

    found = caught.value.hint.splitlines()
    assert [line for line in found if line.startswith("there is a")] == lines
    assert found[: len(lines)] == lines
    # The list of all tools would hide what helps here.
    assert ("make one with the tool that the project uses:" in found) == (not lines)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        pytest.param("[tool.poetry.group.dev]\n", "poetry, which the project uses: `poetry lock`"),
        pytest.param("[tool.pdm]\n", "pdm, which the project uses: `pdm lock`"),
        pytest.param("[tool.uv]\n", "uv, which the project uses: `uv lock`"),
        pytest.param(
            "[tool.hatch.build.targets.lambda]\n",
            "hatch, which the project uses: `lambda-build lock`",
        ),
        pytest.param(
            "[tool.hatch.envs.default]\n[tool.hatch.build.targets.wheel]\n",
            "hatch, which the project uses: `lambda-build lock`",
        ),
        pytest.param(
            "[tool.hatch.build.targets.wheel]\n[tool.uv]\n",
            "uv, which the project uses: `uv lock`",
        ),
        pytest.param(
            '[build-system]\nrequires = []\nbuild-backend = "poetry.core.masonry.api"\n',
            "poetry, which the project uses: `poetry lock`",
        ),
    ],
)
def test_no_lock_names_the_one_tool_of_the_project(tmp_path: Path, text: str, command: str) -> None:
    """Whoever uses Poetry does not want to read about pipenv."""
    project = a_project(tmp_path, pyproject=NEEDS_IDNA + text)

    with pytest.raises(LockError) as caught:
        find_lock(project, None)

    assert caught.value.hint.splitlines() == [
        f"make one with {command}",
        "or name a lock that is somewhere else with the setting `lock` (`--lock PATH`)",
    ]


# --- which reader ---------------------------------------------------------------------

PYLOCK = 'lock-version = "1.0"\npackages = []\n'
UV_LOCK = 'version = 1\n[[package]]\nname = "demo"\nsource = { virtual = "." }\n'


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        pytest.param("pylock.toml", PYLOCK, "pylock.toml", id="pylock"),
        pytest.param("pylock.prod.toml", PYLOCK, "pylock.toml", id="named-pylock"),
        pytest.param("uv.lock", UV_LOCK, "uv.lock", id="uv"),
        pytest.param("requirements.lock", "", "requirements file", id="rye"),
        pytest.param("requirements-dev.lock", "", "requirements file", id="rye-dev"),
        pytest.param("prod.txt", "", "requirements file", id="requirements"),
    ],
)
def test_reader_goes_by_the_name(tmp_path: Path, name: str, text: str, kind: str) -> None:
    """Each format has its names."""
    project = a_project(tmp_path, pyproject=NEEDS_NOTHING)
    (tmp_path / name).write_text(text)

    assert read_lock(tmp_path / name, project, {}).kind == kind


def test_other_names_are_refused(tmp_path: Path) -> None:
    """A file of an unknown name is not tried with every reader."""
    project = a_project(tmp_path, "conda.lock")

    with pytest.raises(LockError) as caught:
        read_lock(tmp_path / "conda.lock", project, {})

    assert (
        str(caught.value)
        == """\
error: cannot use the lock conda.lock
  why: `conda.lock` is not the file name of a lock format that this version reads

hint: use one of these names: pylock.toml or pylock.<name>.toml (PEP 751), uv.lock, poetry.lock, \
pdm.lock, Pipfile.lock, requirements.lock, or any name that ends in .txt (requirements file)"""
    )


def test_unreadable_file_is_no_traceback(tmp_path: Path) -> None:
    """What the system says of a file is the reason."""
    project = a_project(tmp_path)
    (tmp_path / "pylock.toml").mkdir()

    with pytest.raises(LockError) as caught:
        read_lock(tmp_path / "pylock.toml", project, {})

    assert (
        str(caught.value)
        == f"""\
error: cannot read the lock pylock.toml
  why: cannot read {tmp_path / "pylock.toml"}: {IS_FOLDER}

hint: check its permissions"""
    )


_DEEP = f"{'(' * 2500}os_name == 'nt'{')' * 2500}"
_PACKAGE = """lock-version = "1.0"
[[packages]]
name = "a"
"""
_IN_UV_LOCK = f"""{UV_LOCK}[[package]]
name = "a"
version = "1"
source = {{ registry = "https://index.example/simple" }}
"""
_WHEEL = f'hash = "sha256:{"0" * 64}"'
_NO_URL = f"`https://[oops/a-1-py3-none-any.whl` is not a URL: {NO_URL}"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        pytest.param(
            "pylock.toml",
            f'{_PACKAGE}wheels = [{{ url = "https://[oops/a-1-py3-none-any.whl" }}]',
            f"pylock.toml: packages[0].wheels[0]: {_NO_URL}",
            id="pylock-url",
        ),
        pytest.param(
            "pylock.toml",
            f'{_PACKAGE}wheels = [{{ path = "a\\u0000-1-py3-none-any.whl" }}]',
            "pylock.toml: packages[0].wheels[0].path: contains a NUL character",
            id="pylock-nul",
        ),
        pytest.param(
            "pylock.toml",
            f'{_PACKAGE}wheels = []\nmarker = "{_DEEP}"',
            f"pylock.toml: packages[0].marker: `{'(' * 200}…` is nested too deep",
            id="pylock-marker",
        ),
        pytest.param(
            "pylock.toml",
            f'{_PACKAGE}wheels = []\nversion = "{"9" * 5000}"',
            f"pylock.toml: packages[0].version: `{'9' * 200}…` is not a version (PEP 440)",
            id="pylock-version",
        ),
        pytest.param(
            "pylock.toml",
            f'{PYLOCK}requires-python = "<2,>={"9" * 5000}"',
            f"pylock.toml: requires-python: `<2,>={'9' * 195}…` is not a version specifier",
            id="pylock-requires-python",
        ),
        pytest.param(
            "uv.lock",
            f'{_IN_UV_LOCK}wheels = [{{ url = "https://[oops/a-1-py3-none-any.whl", {_WHEEL} }}]',
            f"uv.lock: package[1].wheels[0]: {_NO_URL}",
            id="uv-url",
        ),
        pytest.param(
            "uv.lock",
            _IN_UV_LOCK.replace("https://index.example", "file://[oops"),
            f"uv.lock: package[1].source.registry: `file://[oops/simple` is not a URL: {NO_URL}",
            id="uv-registry",
        ),
        pytest.param(
            "uv.lock",
            f'{_IN_UV_LOCK}resolution-markers = ["{_DEEP}"]',
            f"uv.lock: package[1].resolution-markers: `{'(' * 200}…` is nested too deep",
            id="uv-marker",
        ),
        pytest.param(
            "uv.lock",
            f'{UV_LOCK}[package.metadata]\nrequires-dist = [{{ name = "a", marker = "{_DEEP}" }}]',
            "uv.lock: package[0].metadata.requires-dist[0].marker: "
            f"`{'(' * 200}…` is nested too deep",
            id="uv-asked-marker",
        ),
        pytest.param(
            "uv.lock",
            UV_LOCK.replace("version = 1\n", 'version = 1\nrequires-python = "3"\n', 1),
            "uv.lock: requires-python: `3` is not a version specifier",
            id="uv-requires-python",
        ),
    ],
)
def test_text_that_libraries_choke_on(tmp_path: Path, name: str, text: str, why: str) -> None:
    """What Python or packaging cannot digest is a mistake with its place, and no traceback."""
    project = a_project(tmp_path, pyproject=NEEDS_NOTHING)
    (tmp_path / name).write_text(text)

    with pytest.raises(LockError) as caught:
        read_lock(tmp_path / name, project, {})

    assert caught.value.why == why


def test_variables_come_from_the_host(tmp_path: Path) -> None:
    """The environment is handed in, never looked up."""
    project = a_project(tmp_path)
    (tmp_path / "requirements.txt").write_text(f"${{NAME}}==1 --hash=sha256:{'a' * 64}\n")

    lock = read_lock(tmp_path / "requirements.txt", project, {"NAME": "idna"})

    assert [package.name for package in lock.packages] == [canonicalize_name("idna")]


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pdm.lock"])
def test_lock_without_the_pyproject_that_it_belongs_to(tmp_path: Path, name: str) -> None:
    """Nothing says what of it is needed, and nothing is stale: a file is missing."""
    (tmp_path / name).write_text(UV_LOCK)

    with pytest.raises(LockError) as caught:
        read_lock(tmp_path / name, read_project(tmp_path), {})

    assert str(caught.value) == (
        f"error: cannot find pyproject.toml in {tmp_path}\n"
        f"  why: {name} belongs to a pyproject.toml, which says what the project needs "
        "and whether the lock is up to date\n\n"
        "hint: copy pyproject.toml there as well, or name the project's folder"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", UV_LOCK),
        ("poetry.lock", '[metadata]\nlock-version = "2.1"\ncontent-hash = "00"\n'),
        ("pdm.lock", '[metadata]\nlock_version = "4.5.0"\ncontent_hash = "sha256:00"\n'),
    ],
)
@pytest.mark.parametrize("table", ["dependency-groups", "project.optional-dependencies"])
def test_date_where_requirements_belong(tmp_path: Path, table: str, name: str, text: str) -> None:
    """TOML has dates, and JSON, of which hashes are made, has none."""
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "demo"\nversion = "1"\n[{table}]\ndev = [2020-01-01]\n'
    )
    (tmp_path / name).write_text(text)

    with pytest.raises(LambdaBuildError):
        read_lock(tmp_path / name, read_project(tmp_path), {})
