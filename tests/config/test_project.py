"""pyproject.toml and its neighbours as a `Project`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import (
    BuildSystem,
    group_names,
    group_requirements,
    metadata_requirements,
    read_project,
)
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    from lambda_build_plugin.config.project import Project

PROJECT = '[project]\nname = "demo"\nversion = "1.0"\n'
BUILD_SYSTEM = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
DISTUTILS = "from setuptools import setup\nsetup()\n"


def a_project(root: Path, pyproject: str | None = None, **files: str) -> Project:
    """Write a project folder and read it; `setup_py` stands for `setup.py`."""
    folder = root / "My_Folder"
    folder.mkdir()
    if pyproject is not None:
        (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content, encoding="utf-8")
    return read_project(folder)


# --- metadata -------------------------------------------------------------------------


def test_standard_metadata(tmp_path: Path) -> None:
    """Names are normalized, versions and requirements parsed."""
    project = a_project(
        tmp_path,
        """
        [project]
        name = "My.Demo"
        version = "1.0.0-rc.1"
        requires-python = ">=3.11"
        dependencies = ["requests>=2; sys_platform == 'linux'"]
        [project.optional-dependencies]
        "Fast_JSON" = ["orjson"]
        """,
    )

    assert (
        project.name,
        project.version,
        project.requires_python,
        project.dependencies,
        project.optional_dependencies,
    ) == (
        "my-demo",
        "1.0.0rc1",
        SpecifierSet(">=3.11"),
        (Requirement("requests>=2; sys_platform == 'linux'"),),
        {"fast-json": (Requirement("orjson"),)},
    )


def test_metadata_in_poetrys_own_table(tmp_path: Path) -> None:
    """Name and version of a project from before PEP 621 are Poetry's."""
    project = a_project(tmp_path, '[tool.poetry]\nname = "Old_Demo"\nversion = "2.0"\n')

    assert (project.name, project.version) == ("old-demo", "2.0")


@pytest.mark.parametrize("name", ["", "My project", "../x"])
@pytest.mark.parametrize(
    "switch",
    [
        "[tool.pdm]\ndistribution = false\n",
        "[tool.uv]\npackage = false\n",
        "[tool.poetry]\npackage-mode = false\n",
        "[tool.rye]\nvirtual = true\n",
    ],
)
def test_unusable_name_of_a_project_that_is_not_packaged(
    tmp_path: Path, name: str, switch: str
) -> None:
    """PDM locks a project with such a name, so the folder's name takes its place."""
    project = a_project(tmp_path, f'[project]\nname = "{name}"\nversion = "1"\n{switch}')

    assert (project.name, project.is_package) == ("my-folder", False)


@pytest.mark.parametrize("name", ["", "My project"])
def test_unusable_name_of_a_package(tmp_path: Path, name: str) -> None:
    """A wheel cannot have such a name."""
    with pytest.raises(SettingsError, match="is not a valid name"):
        a_project(tmp_path, f'[project]\nname = "{name}"\n[tool.pdm]\ndistribution = true\n')


def test_python_of_a_pipfile(tmp_path: Path) -> None:
    """Without pyproject.toml a Pipfile says for which Python the project is."""
    (tmp_path / "Pipfile").write_text('[requires]\npython_version = "3.12"\n', encoding="utf-8")

    assert read_project(tmp_path).requires_python == SpecifierSet("==3.12.*")


def test_wrong_python_in_a_pipfile(tmp_path: Path) -> None:
    """The message names the Pipfile and the place in it."""
    (tmp_path / "Pipfile").write_text('[requires]\npython_version = "x"\n', encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        read_project(tmp_path)

    assert (
        caught.value.why == "Pipfile: requires.python_version: `x` is not a valid version (PEP 440)"
    )
    assert caught.value.hint == f"fix {tmp_path / 'Pipfile'}"


def test_folder_without_pyproject_is_a_project(tmp_path: Path) -> None:
    """Where nothing is declared, the folder gives the name."""
    project = a_project(tmp_path)

    assert (project.name, project.version, project.requires_python) == ("my-folder", None, None)


def test_root_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is made absolute, so that later steps need no working directory."""
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)

    assert read_project(Path("demo")).root == tmp_path / "demo"


@pytest.mark.parametrize(
    ("pyproject", "problem"),
    [
        pytest.param("[project", "pyproject.toml: is not TOML: ", id="no-toml"),
        pytest.param("project = 1", "pyproject.toml: project: must be a table", id="no-table"),
        pytest.param(
            '[project]\nname = "demo"\ndependencies = ["git+https://me:secret@git.example/a@v1"]',
            "pyproject.toml: project.dependencies: a URL needs the name of the package in front: "
            "`name @ git+https://…`",
            id="repository-without-a-name",
        ),
        pytest.param(
            '[project]\nname = "../demo"',
            "pyproject.toml: project.name: `../demo` is not a valid name (PEP 508)",
            id="name-that-would-be-a-path",
        ),
        pytest.param(
            '[project]\nname = "demo"\nversion = "next/../1"',
            "pyproject.toml: project.version: `next/../1` is not a valid version (PEP 440)",
            id="version",
        ),
        pytest.param(
            '[tool.poetry]\nversion = "latest"',
            "pyproject.toml: tool.poetry.version: `latest` is not a valid version (PEP 440)",
            id="version-of-poetry",
        ),
        pytest.param(
            '[project]\nrequires-python = "3.11"',
            "pyproject.toml: project.requires-python: `3.11` is not a valid version "
            "specifier (PEP 440)",
            id="requires-python",
        ),
        pytest.param(
            '[project]\ndependencies = ["a b"]',
            "pyproject.toml: project.dependencies: ",
            id="requirement",
        ),
        pytest.param(
            f"[project]\ndependencies = [\"a; {'(' * 2500}os_name == 'nt'{')' * 2500}\"]",
            "pyproject.toml: project.dependencies: a marker in it is nested too deep",
            id="nested-marker",
        ),
        pytest.param(
            f'[project]\ndependencies = ["a<1,>={"9" * 5000}"]',
            "pyproject.toml: project.dependencies: ",
            id="requirement-of-many-digits",
        ),
        pytest.param(
            f'[project]\nversion = "{"9" * 5000}"',
            f"pyproject.toml: project.version: `{'9' * 200}…` is not a valid version (PEP 440)",
            id="version-of-many-digits",
        ),
        pytest.param(
            f'[project]\nrequires-python = "<2,>={"9" * 5000}"',
            f"pyproject.toml: project.requires-python: `<2,>={'9' * 195}…` is not a valid version "
            "specifier",
            id="requires-python-of-many-digits",
        ),
        pytest.param(
            '[build-system]\nrequires = ["a\\u0000"]',
            "pyproject.toml: build-system.requires: contains a NUL character",
            id="nul",
        ),
        pytest.param(
            '[project.optional-dependencies]\nfast = "orjson"',
            "pyproject.toml: project.optional-dependencies.fast: must be a list",
            id="extra",
        ),
        pytest.param(
            "[tool.poetry]\ndependencies = 1",
            "pyproject.toml: tool.poetry.dependencies: must be a table",
            id="poetry",
        ),
        pytest.param(
            '[tool.uv]\npackage = "no"',
            "pyproject.toml: tool.uv.package: must be true or false",
            id="switch",
        ),
        pytest.param(
            '[build-system]\nrequires = "hatchling"',
            "pyproject.toml: build-system.requires: must be a list",
            id="build-system",
        ),
    ],
)
def test_mistake_in_pyproject(tmp_path: Path, pyproject: str, problem: str) -> None:
    """A mistake is one settings error that names the key."""
    with pytest.raises(SettingsError) as caught:
        a_project(tmp_path, pyproject)

    (found,) = caught.value.problems
    assert found[: len(problem)] == problem


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    """A wrong folder is told by its path."""
    with pytest.raises(SettingsError) as caught:
        read_project(tmp_path / "none")

    assert caught.value.problems == (f"{tmp_path / 'none'} is not a folder",)


def test_folder_whose_name_no_system_allows(tmp_path: Path) -> None:
    """What the operating system refuses is an error of ours, too."""
    with pytest.raises(SettingsError):
        read_project(tmp_path / ("x" * 999))


# --- dependencies ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "pyproject",
    [
        pytest.param('[project]\nname = "a"\ndynamic = ["dependencies"]', id="dynamic"),
        pytest.param(
            '[project]\nname = "a"\ndynamic = ["optional-dependencies"]', id="dynamic-extras"
        ),
        pytest.param('[tool.poetry.dependencies]\npython = "^3.11"\nrequests = "*"', id="poetry"),
        pytest.param(
            '[project]\nname = "a"\n[tool.poetry.dependencies]\nrequests = "*"',
            id="poetry-beside-project",
        ),
        pytest.param(BUILD_SYSTEM, id="no-project-table"),
        pytest.param(None, id="no-pyproject"),
    ],
)
def test_dependencies_that_only_the_backend_knows(tmp_path: Path, pyproject: str | None) -> None:
    """Requirements that stand nowhere to be read are unknown, which is not none."""
    project = a_project(tmp_path, pyproject)

    assert (project.dependencies, project.needs_no_lock) == (None, False)


@pytest.mark.parametrize(
    "pyproject",
    [
        pytest.param(PROJECT, id="project"),
        pytest.param('[tool.poetry.dependencies]\npython = "^3.11"', id="poetry"),
    ],
)
def test_project_without_dependencies_needs_no_lock(tmp_path: Path, pyproject: str) -> None:
    """Where nothing could be locked, no lock is missed."""
    project = a_project(tmp_path, pyproject)

    assert (project.dependencies, project.needs_no_lock) == ((), True)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param('dependencies = ["requests"]', id="dependencies"),
        pytest.param("[project.optional-dependencies]\nfast = []", id="extras"),
    ],
)
def test_project_that_needs_a_lock(tmp_path: Path, table: str) -> None:
    """Dependencies and extras are to be locked."""
    assert not a_project(tmp_path, PROJECT + table).needs_no_lock


# --- is it a package? -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("pyproject", "files"),
    [
        pytest.param(PROJECT + BUILD_SYSTEM, {}, id="build-system"),
        pytest.param(BUILD_SYSTEM, {}, id="build-system-alone"),
        pytest.param(PROJECT + "[tool.uv]\npackage = true", {}, id="uv-says-so"),
        pytest.param(PROJECT + "[tool.pdm]\ndistribution = true", {}, id="pdm-says-so"),
        pytest.param(PROJECT, {"setup_py": DISTUTILS}, id="setup-py-beside-project"),
        pytest.param(None, {"setup_py": DISTUTILS}, id="setup-py-alone"),
        pytest.param(
            "[tool.ruff]", {"setup_cfg": "[options]\n[metadata]\nname = demo"}, id="setup-cfg"
        ),
    ],
)
def test_project_that_is_a_package(
    tmp_path: Path, pyproject: str | None, files: dict[str, str]
) -> None:
    """A build system, setuptools' files or a tool's switch make a package."""
    assert a_project(tmp_path, pyproject, **files).is_package


@pytest.mark.parametrize(
    ("pyproject", "files"),
    [
        pytest.param(None, {}, id="no-pyproject"),
        pytest.param(PROJECT, {}, id="no-build-system"),
        pytest.param("[tool.uv]\npackage = true", {}, id="switch-without-a-name"),
        pytest.param(PROJECT + BUILD_SYSTEM + "[tool.uv]\npackage = false", {}, id="uv-says-no"),
        pytest.param(
            PROJECT + BUILD_SYSTEM + "[tool.pdm]\ndistribution = false", {}, id="pdm-says-no"
        ),
        pytest.param(
            BUILD_SYSTEM + '[tool.poetry]\nname = "demo"\npackage-mode = false',
            {},
            id="poetry-says-no",
        ),
        pytest.param(PROJECT + BUILD_SYSTEM + "[tool.rye]\nvirtual = true", {}, id="rye-says-no"),
        pytest.param(PROJECT, {"setup_cfg": "[flake8]\nmax-line-length = 99"}, id="linter-only"),
        pytest.param(None, {"setup_cfg": "[metadata]\nname = demo"}, id="setup-cfg-alone"),
    ],
)
def test_project_that_is_no_package(
    tmp_path: Path, pyproject: str | None, files: dict[str, str]
) -> None:
    """Without them, or where a tool says no, there is nothing to build a wheel from."""
    assert not a_project(tmp_path, pyproject, **files).is_package


@pytest.mark.parametrize(
    ("pyproject", "build_system"),
    [
        pytest.param(
            BUILD_SYSTEM,
            BuildSystem(backend="hatchling.build", requires=("hatchling",)),
            id="named",
        ),
        pytest.param(
            '[build-system]\nrequires = ["setuptools"]',
            BuildSystem(backend="setuptools.build_meta:__legacy__", requires=("setuptools",)),
            id="backend-not-named",
        ),
        pytest.param(
            PROJECT,
            BuildSystem(backend="setuptools.build_meta:__legacy__", requires=("setuptools>=40.8",)),
            id="no-table",
        ),
        pytest.param(
            '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]',
            BuildSystem(backend="own", requires=(), has_backend_path=True),
            id="backend-in-the-project",
        ),
    ],
)
def test_build_system(tmp_path: Path, pyproject: str, build_system: BuildSystem) -> None:
    """The build system is as PEP 517 fills it in."""
    assert a_project(tmp_path, pyproject).build_system == build_system


# --- .python-version ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("3.13\n", "3.13", id="minor"),
        pytest.param("3.13.2", "3.13", id="patch-without-end-of-line"),
        pytest.param("\ufeff3.13\r\n", "3.13", id="windows"),
        pytest.param("  3.13  \n", "3.13", id="spaces"),
        pytest.param("# ours\n3.12 # and not 3.13\n", "3.12", id="comments"),
        pytest.param("3.11\n3.12\n", "3.11", id="first-of-several"),
        pytest.param("pypy3.10-7.3\n3.12\n", "3.12", id="behind-another-interpreter"),
        pytest.param("cpython-3.12.4-linux-x86_64-gnu\n", "3.12", id="uv-key"),
        pytest.param("cpython@3.12\n", "3.12", id="uv-request"),
        pytest.param("python3.12\n", "3.12", id="executable"),
        pytest.param("3.14.0rc1\n", "3.14", id="release-candidate"),
        pytest.param("3.14-dev\n", "3.14", id="pyenv-development"),
        pytest.param("3.12.1/envs/demo\n", "3.12", id="pyenv-environment"),
        pytest.param("3.13t\n", "3.13", id="free-threaded"),
        pytest.param("3.13+freethreaded\n", "3.13", id="free-threaded-in-full"),
        pytest.param("", None, id="empty"),
        pytest.param("3\n", None, id="major-only"),
        pytest.param(">=3.12\n", None, id="range"),
        pytest.param(">= 3.12\n", None, id="range-with-a-space"),
        pytest.param("pypy@3.10\n", None, id="pypy"),
        pytest.param("my-environment\n", None, id="name"),
        pytest.param("2.7.18\n", None, id="python-2"),
    ],
)
def test_pinned_python(tmp_path: Path, text: str, version: str | None) -> None:
    """`.python-version` pins a minor version, in the spellings of pyenv, uv and rye."""
    (tmp_path / ".python-version").write_text(text, encoding="utf-8", newline="")

    assert read_project(tmp_path).pinned_python == version


def test_pinned_python_above(tmp_path: Path) -> None:
    """The nearest file counts, up to the top of the repository and no further."""
    inner = tmp_path / "repository" / "members" / "one"
    inner.mkdir(parents=True)
    (tmp_path / ".python-version").write_text("3.9\n")
    found = []
    for create in (
        (tmp_path / "repository" / ".git").mkdir,
        lambda: (tmp_path / "repository" / ".python-version").write_text("3.12\n"),
        lambda: (inner.parent / ".python-version").write_text(">=3.8\n"),
        lambda: (inner / ".python-version").write_text("3.13\n"),
    ):
        create()
        project = read_project(inner)
        found.append((project.pinned_python, project.pinned_in))

    assert found == [
        (None, None),
        ("3.12", "../../.python-version"),
        ("3.12", "../../.python-version"),
        ("3.13", ".python-version"),
    ]


def test_pinned_python_above_without_a_repository(tmp_path: Path) -> None:
    """What lies above a project that belongs to nothing is not its own."""
    (tmp_path / "one").mkdir()
    (tmp_path / ".python-version").write_text("3.9\n")

    assert read_project(tmp_path / "one").pinned_python is None


def test_no_pinned_python(tmp_path: Path) -> None:
    """Without `.python-version` nothing is pinned."""
    assert a_project(tmp_path, PROJECT).pinned_python is None


# --- requirements of extras and groups ------------------------------------------------


GROUPS = """
[dependency-groups]
Tests = ["pytest>=8", "coverage[toml]"]
dev = ["ruff", { include-group = "tests" }]
"""


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        pytest.param("tests", ["pytest>=8", "coverage[toml]"], id="name in another spelling"),
        pytest.param("dev", ["ruff", "pytest>=8", "coverage[toml]"], id="with what it includes"),
    ],
)
def test_requirements_of_a_group(tmp_path: Path, group: str, expected: list[str]) -> None:
    """Groups are resolved as PEP 735 has it."""
    project = a_project(tmp_path, PROJECT + GROUPS)

    found = group_requirements(project, canonicalize_name(group))

    assert found == tuple(map(Requirement, expected))
    assert group_names(project) == {"dev", "tests"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param('dev = [{include-group = "dev"}]', "includes itself", id="circle"),
        pytest.param(
            'dev = [{include-group = "x"}]', "is included, but does not exist", id="absent"
        ),
        pytest.param(
            'a-b = []\na_b = []\ndev = [{include-group = "A.B"}]',
            "is the same group as `a_b`",
            id="twice",
        ),
        pytest.param(
            'a = []\ndev = [{include-group = "a", extra = 1}]',
            "[0].extra: is not known here",
            id="unknown key",
        ),
        pytest.param('dev = "pytest"', "must be a list", id="text"),
        pytest.param("dev = [3]", "must be a list of strings", id="number"),
        pytest.param("dev = [{}]", "`include-group` is missing", id="empty table"),
        pytest.param('dev = ["no requirement!"]', "dependency-groups.dev", id="no requirement"),
    ],
)
def test_group_that_is_not_as_the_pep_has_it(tmp_path: Path, text: str, problem: str) -> None:
    """The mistake is named with its place."""
    project = a_project(tmp_path, f"{PROJECT}[dependency-groups]\n{text}\n")

    with pytest.raises(SettingsError) as caught:
        group_requirements(project, canonicalize_name("dev"))

    assert problem in caught.value.why


def test_requirements_as_core_metadata_has_them(tmp_path: Path) -> None:
    """Those of an extra have a marker that says so, beside their own."""
    project = a_project(
        tmp_path,
        f"""{PROJECT}dependencies = ["idna"]
        [project.optional-dependencies]
        fast = ["orjson", "six>=1; python_version < '3' or os_name == 'nt'"]
        net = ["demo[fast] @ https://files.example/demo.zip"]
        """,
    )

    expected = (
        "idna",
        "orjson; extra == 'fast'",
        "six>=1; (python_version < '3' or os_name == 'nt') and extra == 'fast'",
        "demo[fast] @ https://files.example/demo.zip ; extra == 'net'",
    )
    assert metadata_requirements(project) == tuple(map(Requirement, expected))
