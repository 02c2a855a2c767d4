"""`lambda-build lock`: uv resolves, our own reader and the targets judge."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from fakes.index import FakeIndex, Status
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.projects import Run

MINORS = range(10, 15)
NATIVE = tuple(
    a_wheel("native", "1.0", tag=f"cp3{minor}-cp3{minor}-manylinux_2_17_{machine}")
    for minor in MINORS
    for machine in ("x86_64", "aarch64")
)
WHEELS = (
    *NATIVE,
    a_wheel("web", "2.0", metadata=["Requires-Dist: native", "Requires-Dist: backport"]),
    a_wheel("backport", "1.0"),
    a_wheel("orjson", "3.11.0"),
    a_wheel("pytest", "8.4.2"),
)
TABLES = """
[project.optional-dependencies]
fast = ["orjson"]
[dependency-groups]
tests = ["pytest"]
dev = [{ include-group = "tests" }]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """A project, and a user whose uv knows one index."""

    project: Path
    environ: dict[str, str]

    def does(self, *words: str | Path) -> Run:
        """Run the console script in the project."""
        return run_lambda_build(*words, cwd=self.project, environ=self.environ)

    def locks(self, *words: str | Path) -> str:
        """Lock, which has to succeed, and give what it says."""
        ran = self.does("lock", *words)
        assert ran.code == 0, ran.errors
        return ran.output + ran.errors

    def builds(self, *words: str) -> dict[str, Any]:
        """Build, which has to succeed, and give the report."""
        ran = self.does("--json", *words)
        assert ran.code == 0, ran.errors
        report: dict[str, Any] = json.loads(ran.output)
        return report

    @property
    def lock(self) -> str:
        """The text of the lock."""
        return (self.project / "pylock.lambda.toml").read_text()


def a_workplace(
    folder: Path, index: str, *, dependencies: tuple[str, ...] = ("web>=2",), extra: str = TABLES
) -> Workplace:
    """Make a project whose user gets packages from an index."""
    project = a_project(folder / "project", dependencies=dependencies, extra=extra)
    environ = quiet_environment(
        folder / "home", UV_DEFAULT_INDEX=index, UV_PYTHON_DOWNLOADS="never"
    )
    return Workplace(project=project, environ=environ)


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    """Give a project with an extra and groups that is not locked yet."""
    with FakeIndex(WHEELS) as index:
        yield a_workplace(tmp_path, index.url)


def names(report: dict[str, Any]) -> set[str]:
    """Get what is packaged, without the project itself."""
    return {package["name"] for package in report["packages"]} - {"demo"}


def files(project: Path) -> set[str]:
    """List what lies at the root of a project."""
    return {path.name for path in project.iterdir()}


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
@pytest.mark.parametrize("minor", MINORS)
def test_one_lock_serves_every_runtime_on_both_architectures(
    workplace: Workplace, minor: int, architecture: str
) -> None:
    """Whatever Python locks, each target gets its own wheel."""
    workplace.locks()
    machine = "aarch64" if architecture == "arm64" else architecture

    report = workplace.builds("--runtime", f"python3.{minor}", "--arch", architecture)

    assert {package["name"]: package["file"] for package in report["packages"]} == {
        "backport": "backport-1.0-py3-none-any.whl",
        "demo": "demo-1.0-py3-none-any.whl",
        "native": f"native-1.0-cp3{minor}-cp3{minor}-manylinux_2_17_{machine}.whl",
        "web": "web-2.0-py3-none-any.whl",
    }


def test_what_was_locked_is_said(workplace: Workplace) -> None:
    """The message names the runtimes that requires-python admits, and the file."""
    assert workplace.locks() == (
        "Locked 4 packages for python3.10, python3.11, python3.12, python3.13, python3.14 "
        f"on x86_64 and arm64: {workplace.project / 'pylock.lambda.toml'}\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("", {"web", "native", "backport"}, id="main"),
        pytest.param("--extra fast", {"web", "native", "backport", "orjson"}, id="extra"),
        pytest.param("--group dev", {"web", "native", "backport", "pytest"}, id="group"),
        pytest.param(
            "--group dev --contents dependencies --extra fast",
            {"web", "native", "backport", "pytest", "orjson"},
            id="without the project",
        ),
    ],
)
def test_extras_and_groups_ship_where_they_are_asked_for(
    workplace: Workplace, words: str, expected: set[str]
) -> None:
    """One lock holds them all; the requirements tell what belongs to what."""
    workplace.locks("--group", "dev")

    assert names(workplace.builds("--runtime", "python3.13", *words.split())) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("--extra nope", "has no extra `nope`", id="extra"),
        pytest.param("--group nope", "has no dependency group `nope`", id="group"),
    ],
)
def test_unknown_names_are_refused(workplace: Workplace, words: str, said: str) -> None:
    """An extra or a group that the project does not have is no wish that can be met."""
    workplace.locks()

    ran = workplace.does(*words.split())

    assert (ran.code, said in ran.errors) == (3, True), ran.errors


def test_group_that_was_not_locked_is_missed(workplace: Workplace) -> None:
    """The lock is not the truth about a group that it was made without."""
    workplace.locks()

    report = workplace.builds("--group", "dev", "--runtime", "python3.13")

    assert report["warnings"] == [
        "the project requires pytest, which is not in the lock for this target"
    ]


def test_groups_and_runtimes_of_all_artifacts_are_locked(tmp_path: Path) -> None:
    """One lock serves all artifacts of a project."""
    table = """
[tool.lambda-build.artifacts.api]
runtime = ["python3.13", "python3.14"]
architecture = ["x86_64", "arm64"]
[tool.lambda-build.artifacts.checks]
groups = ["tests"]
runtime = "python3.10"
"""
    with FakeIndex(WHEELS) as index:
        workplace = a_workplace(tmp_path, index.url, extra=TABLES + table)
        workplace.locks()

        reports = workplace.builds()["artifacts"]

    assert [(report["name"], report["runtime"], names(report)) for report in reports] == [
        *[("api", "python3.13", {"backport", "native", "web"})] * 2,
        *[("api", "python3.14", {"backport", "native", "web"})] * 2,
        ("checks", "python3.10", {"backport", "native", "pytest", "web"}),
    ]


def test_only_the_named_extra_is_locked(workplace: Workplace) -> None:
    """Extras that conflict can be locked one at a time."""
    pyproject = workplace.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("fast =", 'odd = ["nowhere"]\nfast ='))

    workplace.locks("--extra", "fast")

    assert "orjson" in workplace.lock


def test_earlier_versions_are_kept_unless_they_are_to_be_forgotten(tmp_path: Path) -> None:
    """A lock changes when it is asked to."""
    newer = a_wheel("backport", "1.1")
    with FakeIndex(WHEELS) as index:
        workplace = a_workplace(tmp_path, index.url)
        workplace.locks()
    with FakeIndex((*WHEELS, newer)) as index:
        workplace.environ["UV_DEFAULT_INDEX"] = index.url
        workplace.locks()
        kept = newer.filename not in workplace.lock
        workplace.locks("--upgrade")

    assert (kept, newer.filename in workplace.lock) == (True, True)


def test_credentials_of_the_index_are_not_in_the_lock(tmp_path: Path) -> None:
    """Whoever reads the lock learns where the files are, and no password."""
    with FakeIndex(WHEELS, auth=("me", "s3cret")) as index:
        workplace = a_workplace(tmp_path, index.url_with_credentials)
        workplace.locks()
        report = workplace.builds("--runtime", "python3.13")

        assert names(report) == {"web", "native", "backport"}
        assert index.file_url("web-2.0-py3-none-any.whl") in workplace.lock
        assert "s3cret" not in workplace.lock


def test_package_without_a_wheel_for_a_target_is_named(tmp_path: Path) -> None:
    """The user learns now, not when the function is built."""
    some = [wheel for wheel in NATIVE if "cp310" not in wheel.filename]
    with FakeIndex(some) as index:
        workplace = a_workplace(tmp_path, index.url, dependencies=("native",), extra="")
        said = workplace.locks()

    assert said.splitlines()[-1:] == [
        "warning: native 1.0 has no wheel for python3.10 x86_64, python3.10 arm64"
    ]


# --- what goes wrong --------------------------------------------------------------------


def test_failure_of_uv_is_shown_without_credentials(tmp_path: Path) -> None:
    """Its own words say what is wrong; our message adds what to do."""
    with FakeIndex(WHEELS, auth=("me", "s3cret")) as index:
        index.fail("/web/", Status(400))
        ran = a_workplace(tmp_path, index.url_with_credentials).does("lock")

    assert ran.code == 3
    assert ran.errors.startswith("error: uv could not lock demo\n  why: ")
    assert "/simple/web/" in ran.errors
    assert "s3cret" not in ran.errors


def test_failure_leaves_everything_as_it_was(workplace: Workplace) -> None:
    """The earlier lock stays, and no other file."""
    workplace.locks()
    before, there = workplace.lock, files(workplace.project)
    pyproject = workplace.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("web>=2", "nowhere"))

    ran = workplace.does("lock")

    assert (ran.code, workplace.lock, files(workplace.project)) == (3, before, there)


def test_missing_uv_is_named(workplace: Workplace) -> None:
    """Neither PATH nor the folder of this Python has it."""
    code = (
        "import sys; sys.executable = '/nowhere/bin/python'\n"
        "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "lock"],
        cwd=workplace.project,
        env={**workplace.environ, "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 3
    assert ran.stderr == (
        "error: cannot find `uv`\n"
        "  why: `lambda-build lock` needs uv, which is neither on PATH nor next to Python\n"
        "\n"
        "hint: install it with `pip install uv`, or make the lock with the project's own tool\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["-o", "lambda.lock"], "is not a file name for such a lock", id="name"),
        pytest.param(["--group", "nope"], "nope", id="group"),
        pytest.param(["absent"], "is not a folder", id="folder"),
    ],
)
def test_wrong_words_are_refused(workplace: Workplace, words: list[str], said: str) -> None:
    """A message, and no lock."""
    ran = workplace.does("lock", *words)

    assert (ran.code in {2, 3}, said in ran.errors, "Traceback" in ran.errors) == (
        True,
        True,
        False,
    ), ran.errors
    assert not list(workplace.project.glob("pylock*"))


def test_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    """Requirements that stand nowhere cannot be locked."""
    ran = run_lambda_build("lock", cwd=tmp_path, environ=quiet_environment(tmp_path / "home"))

    assert (ran.code, "has no pyproject.toml with a [project] table" in ran.errors) == (2, True)


# --- the word `lock` --------------------------------------------------------------------


def test_folder_named_lock_is_spelled_as_a_path(tmp_path: Path) -> None:
    """The first argument `lock` is the sub-command, `./lock` the folder."""
    a_project(tmp_path / "lock")
    environ = quiet_environment(tmp_path / "home")

    ran = run_lambda_build("./lock", "-o", "one.zip", cwd=tmp_path, environ=environ)

    assert ran.code == 0, ran.errors
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert "demo/app.py" in archive.namelist()


def test_help_of_the_sub_command_is_its_own(tmp_path: Path) -> None:
    """It lists what `lock` understands."""
    ran = run_lambda_build(
        "lock", "--help", cwd=tmp_path, environ=quiet_environment(tmp_path / "home")
    )

    assert (ran.code, ran.output.startswith("usage: lambda-build lock ")) == (0, True)


# --- where packages come from -----------------------------------------------------------


def a_local_package(project: Path, name: str = "backport") -> None:
    """Write a package into the project's folder whose name the index has, too."""
    a_project(project / name, name=name)


def tables(workplace: Workplace, text: str, *, dependency: str = "backport") -> None:
    """Give the project one dependency, and the tables of its own tool."""
    pyproject = workplace.project / "pyproject.toml"
    before = pyproject.read_text().partition("dependencies =")[0]
    pyproject.write_text(f"{before}dependencies = ['{dependency}']\n{text}")


@pytest.mark.parametrize(
    ("text", "tool", "line"),
    [
        pytest.param(
            '[tool.poetry.dependencies]\nbackport = {path = "backport"}',
            "poetry",
            "tool.poetry.dependencies.backport names the path `backport`",
            id="path of Poetry",
        ),
        pytest.param(
            "[tool.poetry.dependencies]\n"
            'Backport = [{git = "https://me:s3cret@git.example/backport.git", python = "3.10"}]',
            "poetry",
            "names the git `https://git.example/backport.git`",
            id="one of several repositories of Poetry",
        ),
        pytest.param(
            '[tool.poetry.dependencies]\nbackport = {source = "ours"}\n[[tool.poetry.source]]\n'
            'name = "ours"\nurl = "https://index.example/simple"\npriority = "explicit"',
            "poetry",
            "names the source `ours`",
            id="explicit source of Poetry",
        ),
        pytest.param(
            '[[tool.poetry.source]]\nname = "ours"\nurl = "https://me:s3cret@index.example/simple"',
            "poetry",
            "is the index `https://index.example/simple`, which uv does not use",
            id="source of Poetry",
        ),
        pytest.param(
            '[[tool.pdm.source]]\nname = "ours"\nurl = "https://index.example/simple"',
            "pdm",
            "is the index `https://index.example/simple`, which uv does not use",
            id="source of PDM",
        ),
        pytest.param(
            '[tool.pdm.resolution.overrides]\nbackport = "file:///${PROJECT_ROOT}/backport"',
            "pdm",
            "overrides.backport overrides what is asked for",
            id="override of PDM",
        ),
        pytest.param(
            '[tool.pdm.workspace]\nmembers = ["backp*"]',
            "pdm",
            "backport is a member of the pdm workspace",
            id="member of PDM",
        ),
        pytest.param(
            "[tool.rye]\nmanaged = true\n[tool.rye.workspace]",
            "rye",
            "backport is a member of the rye workspace",
            id="member of rye",
        ),
        pytest.param(
            '[[tool.rye.sources]]\nname = "default"\nurl = "https://index.example/simple"',
            "rye",
            "is the index `https://index.example/simple`, which uv does not use",
            id="source of rye",
        ),
        pytest.param(
            '[tool.hatch.envs.default.workspace]\nmembers = [{path = "backport"}]',
            "",
            "backport is a member of the hatch workspace",
            id="member of Hatch",
        ),
        pytest.param(
            '[tool.pixi.pypi-dependencies]\nbackport = {path = "backport"}',
            "",
            "tool.pixi.pypi-dependencies.backport names the path `backport`",
            id="path of pixi",
        ),
    ],
)
def test_stranger_is_never_locked_in_place_of_ours(
    workplace: Workplace, text: str, tool: str, line: str
) -> None:
    """What only the project's own tool reads is refused, and that tool is named."""
    a_local_package(workplace.project)
    tables(workplace, text)

    ran = workplace.does("lock")

    assert (ran.code, line in ran.errors, "s3cret" in ran.errors) == (3, True, False), ran.errors
    assert (f"`{tool} lock`" in ran.errors) is bool(tool)
    assert "[tool.uv.sources]" in ran.errors
    assert not (workplace.project / "pylock.lambda.toml").exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            '[tool.poetry.dependencies]\nbackport = {path = "backport"}\n'
            '[tool.uv.sources]\nbackport = {path = "backport"}',
            id="said to uv as well",
        ),
        pytest.param(
            '[tool.poetry.dependencies]\nelsewhere = {path = "backport"}', id="not asked for"
        ),
        pytest.param("[tool.poetry.dependencies]\nbackport = {extras = []}", id="no origin"),
        pytest.param(
            '[[tool.poetry.source]]\nname = "ours"\nurl = "@INDEX@"', id="index that uv uses"
        ),
        pytest.param(
            '[[tool.pdm.source]]\nname = "ours"\nurl = "${UV_DEFAULT_INDEX}"', id="same by variable"
        ),
        pytest.param(
            '[[tool.poetry.source]]\nname = "ours"\nurl = "https://index.example/simple"\n'
            'priority = "explicit"',
            id="explicit source that nothing names",
        ),
    ],
)
def test_what_uv_takes_from_the_same_place_is_locked(workplace: Workplace, text: str) -> None:
    """Tables of another tool do no harm where they say what uv does."""
    a_local_package(workplace.project)
    tables(workplace, text.replace("@INDEX@", workplace.environ["UV_DEFAULT_INDEX"]))

    assert workplace.locks().startswith("Locked 1 package for")


@pytest.mark.parametrize(
    ("dependency", "text"),
    [
        pytest.param(
            "backport @ {root:uri}/backport",
            "[tool.hatch.metadata]\nallow-direct-references = true",
            id="form of Hatch",
        ),
        pytest.param(
            "backport @ file:///${PROJECT_ROOT}/backport",
            "[tool.hatch.metadata]\nallow-direct-references = true",
            id="form of PDM",
        ),
        pytest.param(
            "backport", '[tool.uv.sources]\nbackport = {path = "backport"}', id="form of uv"
        ),
    ],
)
def test_local_package_is_locked_by_a_relative_path(
    workplace: Workplace, dependency: str, text: str
) -> None:
    """The lock serves every clone of the project."""
    a_local_package(workplace.project)
    tables(workplace, text, dependency=dependency)
    # Only hatchling knows `{root:uri}`; it is here, and not in the index of this test.
    workplace.environ["UV_NO_BUILD_ISOLATION"] = "1"

    workplace.locks()

    assert 'directory = { path = "backport"' in workplace.lock
    assert str(workplace.project) not in workplace.lock


def test_local_wheel_is_locked_by_a_relative_path(workplace: Workplace) -> None:
    """A wheel beside the project is one of its files, not one of this machine."""
    wheel = a_wheel("backport", "1.0")
    wheel.write_to(workplace.project.parent / "wheels")
    place = (workplace.project.parent / "wheels" / wheel.filename).as_uri()
    tables(
        workplace,
        "[tool.hatch.metadata]\nallow-direct-references = true",
        dependency=f"backport @ {place}",
    )

    workplace.locks()

    assert f'path = "../wheels/{wheel.filename}"' in workplace.lock
    assert names(workplace.builds("--runtime", "python3.13")) == {"backport"}


# --- what the lock was made from --------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        pytest.param('"web>=2"', '"web>=1"', "- web>=1: not in the lock", id="changed"),
        pytest.param('"web>=2"', "", "- web>=2: only in the lock", id="removed"),
        pytest.param(
            '["orjson"]',
            '["orjson", "backport"]',
            "- backport (extra `fast`): not in the lock",
            id="extra",
        ),
        pytest.param(
            'fast = ["orjson"]',
            'fast = ["orjson"]\nslow = ["backport"]',
            "- backport (extra `slow`): not in the lock",
            id="new extra",
        ),
        pytest.param(
            '["pytest"]', '["pytest<9"]', "- pytest<9 (group `dev`): not in the lock", id="group"
        ),
        pytest.param(
            '">=3.10"', '">=3.9"', "- requires-python: is `>=3.9`, locked for `>=3.10`", id="python"
        ),
        pytest.param(
            "[dependency-groups]",
            '[tool.uv]\nconstraint-dependencies = ["web<9"]\n[dependency-groups]',
            "- [tool.uv] constraint-dependencies has changed",
            id="settings of uv",
        ),
    ],
)
def test_lock_that_no_longer_answers_the_project_is_refused(
    workplace: Workplace, before: str, after: str, line: str
) -> None:
    """The message names what changed, and the command that locks the same again."""
    workplace.locks("--group", "dev")
    pyproject = workplace.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(before, after, 1))

    ran = workplace.does("--runtime", "python3.13")

    assert (ran.code, line in ran.errors) == (3, True), ran.errors
    assert "hint: run `lambda-build lock --group dev` and review the changes" in ran.errors


def test_lock_that_answers_the_project_in_other_words_is_fresh(workplace: Workplace) -> None:
    """Spelling, order, comments and what does not affect a lock make nothing stale."""
    workplace.locks("--extra", "fast")
    pyproject = workplace.project / "pyproject.toml"
    text = pyproject.read_text().replace('"web>=2"', "\n  # the web\n  'Web >= 2',\n")
    text = text.replace('fast = ["orjson"]', 'fast = ["orjson"]\nslow = ["backport"]')
    pyproject.write_text(text.replace('version = "1.0"', 'version = "1.1"') + "[tool.other]\na=1\n")

    assert names(workplace.builds("--runtime", "python3.13")) == {"web", "native", "backport"}


def test_logins_of_requirements_are_not_in_the_lock(workplace: Workplace) -> None:
    """The record of what the lock was made from keeps no secret, and is still comparable."""
    url = workplace.environ["UV_DEFAULT_INDEX"].replace("/simple/", "/files/")
    place = url.replace("://", "://me:s3cret@")
    tables(
        workplace,
        "[tool.hatch.metadata]\nallow-direct-references = true",
        dependency=f"backport @ {place}backport-1.0-py3-none-any.whl",
    )

    workplace.locks()

    assert "s3cret" not in workplace.lock
    assert "made-from" in workplace.lock
    assert names(workplace.builds("--runtime", "python3.13")) == {"backport"}
