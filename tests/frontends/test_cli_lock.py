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
