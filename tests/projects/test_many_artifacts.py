"""One project with many artifacts: in several processes as in one, all of them or none."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from fakes.disks import second_place
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.repositories import a_counting_library, a_function, locked
from fakes.wheels import a_wheel

from lambda_build_plugin.commands.api import load_all_settings
from lambda_build_plugin.errors import (
    FetchError,
    FunctionError,
    LambdaBuildError,
    LockError,
    SelectionError,
    SettingsError,
    SourceBuildError,
    StageError,
    VerificationError,
)
from lambda_build_plugin.frontends import cli_projects
from lambda_build_plugin.frontends.session import Session
from lambda_build_plugin.frontends.terminal_projects import ProjectsTerminal
from lambda_build_plugin.projects.build import build_projects
from lambda_build_plugin.projects.model import (
    Failure,
    Part,
    ProjectBuild,
    ProjectResult,
    ProjectsReporter,
)
from lambda_build_plugin.projects.parts import parts_of
from lambda_build_plugin.projects.pool import Pool

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.projects import Run

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.projects.pool import Worker

BRANCHES = (
    LambdaBuildError,
    SettingsError,
    LockError,
    SelectionError,
    FetchError,
    SourceBuildError,
    StageError,
    VerificationError,
    FunctionError,
)
ONE = a_wheel("one", "1.0", files={"one.py": "x = 1\n"})

RUNTIMES = 'runtime = ["python3.12", "python3.13"]\narchitecture = ["x86_64", "arm64"]\n'
TABLE = f"""\
[tool.lambda-build]
{RUNTIMES}
[tool.lambda-build.artifacts.worker]
provided-by = ["deps"]
contents = "project"
[tool.lambda-build.artifacts.deps]
layout = "layer"
contents = "dependencies"
[tool.lambda-build.artifacts.api]
"""
HOOK = 'hooks = { before-build = ["true"] }\n'


def a_divided_project(folder: Path, table: str = TABLE) -> Path:
    """Write a project with artifacts, whose build adds a line to `count`."""
    project = a_function(folder, "many", ONE, table=table)
    (folder / "count").unlink(missing_ok=True)
    with (project / "pyproject.toml").open("a") as file:
        file.write("[tool.hatch.build.hooks.custom]\n")
    library = a_counting_library(folder, "with_the_hook")
    (project / "hatch_build.py").write_text((library / "hatch_build.py").read_text())
    return project


def ran(project: Path, *arguments: str) -> Run:
    """Run the console script in the project."""
    environ = quiet_environment(project.parent / "home", LAMBDA_BUILD_RUNTIME="")
    return run_lambda_build(*arguments, cwd=project, environ=environ)


def zips(folder: Path) -> dict[str, str]:
    """Get the digests of all zips below a folder."""
    found = sorted(folder.rglob("*.zip"))
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in found}


def without_times(reports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Remove what differs from run to run out of reports."""
    differ = {"seconds", "changed"}
    return [{key: each[key] for key in each.keys() - differ} for each in reports]


def parts(folder: Path, table: str) -> list[list[str]]:
    """Divide a project, and name the artifacts of each part."""
    project = a_project(folder / "demo", extra=table)
    environ = quiet_environment(folder / "home")
    artifacts = load_all_settings(project, environ=environ)
    return [[artifacts[number].label for number in part] for part in parts_of(artifacts)]


# --- how a project is divided -------------------------------------------------------------


def test_each_artifact_is_a_part(tmp_path: Path) -> None:
    """Artifacts that need nothing of each other can be built by different processes."""
    table = f"[tool.lambda-build]\n{RUNTIMES}"

    assert parts(tmp_path, table) == [
        ["python3.12 x86_64"],
        ["python3.12 arm64"],
        ["python3.13 x86_64"],
        ["python3.13 arm64"],
    ]


def test_artifact_stays_with_its_providers(tmp_path: Path) -> None:
    """A function is built where its layer for the same target is, and after it."""
    found = parts(tmp_path, TABLE)

    assert ["`deps` for python3.13 arm64", "`worker` for python3.13 arm64"] in found
    assert ["`api` for python3.13 arm64"] in found
    assert len(found) == 8


def test_providers_of_one_artifact_stay_together(tmp_path: Path) -> None:
    """Two layers of one function are built by one process, also with a runtime by default."""
    table = """
[tool.lambda-build.artifacts.one]
layout = "layer"
[tool.lambda-build.artifacts.other]
layout = "layer"
[tool.lambda-build.artifacts.function]
provided-by = ["one", "other"]
[tool.lambda-build.artifacts.alone]
"""

    found = parts(tmp_path, table)

    assert sorted(len(part) for part in found) == [1, 3]


@pytest.mark.parametrize("setting", [HOOK, 'no-binary = ["one"]\n'])
def test_project_that_is_not_divided(tmp_path: Path, setting: str) -> None:
    """Commands of the user may change the project, and ways to build it make other wheels."""
    assert len(parts(tmp_path, TABLE + setting)) == 1


@pytest.mark.parametrize("setting", ['contents = "project"', 'lock = "other.txt"'])
def test_locks_that_differ(tmp_path: Path, setting: str) -> None:
    """A lock has a say in how the project's wheel is built, and all artifacts ship the same one."""
    table = f"{TABLE}[tool.lambda-build.artifacts.other]\n{setting}\n"

    assert len(parts(tmp_path, table)) == 1
    assert len(parts(tmp_path / "source", f'{table}project = "source"\n')) == 12


# --- what is built --------------------------------------------------------------------------


def test_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    """Zips and reports are the same, and the project is built once for each runtime."""
    project = a_divided_project(tmp_path)
    found = []
    for jobs in ("1", "3"):
        (tmp_path / "count").unlink(missing_ok=True)
        run = ran(project, "--json", "--jobs", jobs)
        assert (run.code, run.errors) == (0, "")
        reports = json.loads(run.output)["artifacts"]
        found.append((zips(project), without_times(reports)))
        assert (tmp_path / "count").read_text() == "built\n" * 2
        for path in project.glob("dist/*.zip"):
            path.unlink()

    assert len(found[0][0]) == 12
    assert found[0] == found[1]


def test_processes_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifacts of one project are given to all processes that may be started."""
    project = a_divided_project(tmp_path)
    environ = quiet_environment(tmp_path / "home")
    artifacts = load_all_settings(project, environ=environ)
    started: list[Worker] = []
    start = Pool.start

    def counted(pool: Pool) -> Worker:
        started.append(start(pool))
        return started[-1]

    monkeypatch.setattr(Pool, "start", counted)
    few = ProjectBuild(label="few", folder=project, artifacts=artifacts[:1])
    many = ProjectBuild(
        label="many", folder=project, artifacts=artifacts, parts=tuple(parts_of(artifacts))
    )

    results = build_projects([few], workers=2)
    assert (len(started), results[0].failure) == (1, None)
    results = build_projects([many], workers=2)

    assert (len(started), results[0].failure) == (3, None)


@pytest.mark.parametrize(
    ("jobs", "count", "is_divided"),
    [(None, 3, False), (None, 4, True), ("2", 2, True), ("1", 4, False)],
)
def test_when_processes_are_started(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jobs: str | None,
    count: int,
    is_divided: bool,  # noqa: FBT001 - a parameter
) -> None:
    """A few artifacts are built by one process, unless the user wants more with `--jobs`."""
    monkeypatch.setattr(cli_projects, "usable_processors", lambda: 2)
    project = a_project(tmp_path / "demo", extra=f"[tool.lambda-build]\n{RUNTIMES}")
    environ = quiet_environment(tmp_path / "home")
    artifacts = load_all_settings(project, environ=environ)[:count]
    session = Session.of({"jobs": jobs}, environ, quiet=True, verbose=False)

    reports = cli_projects.build_artifacts(session, artifacts, parts_of(artifacts))

    assert (reports is not None) is is_divided
    assert len(zips(project)) == (count if is_divided else 0)


def test_progress_counts_artifacts(tmp_path: Path) -> None:
    """On a terminal, each artifact that is being built has a line, and the others wait."""
    project = a_project(tmp_path / "demo", extra=f"[tool.lambda-build]\n{RUNTIMES}")
    artifacts = load_all_settings(project, environ=quiet_environment(tmp_path / "home"))
    build = ProjectBuild(
        label="", folder=project, artifacts=artifacts, parts=tuple(parts_of(artifacts))
    )
    stream = io.StringIO()
    terminal = ProjectsTerminal(stream, verbose=False, live=True)
    first, second = (Part(project=0, artifacts=(number,)) for number in (0, 1))

    terminal.waiting([build])
    terminal.started(build, first).stage("lock")
    terminal.started(build, second)
    terminal.built(build, first)

    before, last = stream.getvalue().split("\x1b[J")[-2:]
    assert before.splitlines()[:3] == [
        "python3.12 x86_64: lock …",
        "python3.12 arm64: …",
        "0 of 4 artifacts done, 2 waiting: python3.13 x86_64, python3.13 arm64",
    ]
    assert last.splitlines() == [
        "python3.12 arm64: …",
        "1 of 4 artifacts done, 2 waiting: python3.13 x86_64, python3.13 arm64",
    ]


def test_progress_counts_projects(tmp_path: Path) -> None:
    """A project with several artifacts among others is done when all of them are."""
    project = a_project(tmp_path / "demo", extra=f"[tool.lambda-build]\n{RUNTIMES}")
    artifacts = load_all_settings(project, environ=quiet_environment(tmp_path / "home"))
    divided = ProjectBuild(
        label="demo", folder=project, artifacts=artifacts, parts=tuple(parts_of(artifacts))
    )
    other = ProjectBuild(label="other", folder=tmp_path, artifacts=artifacts[:1])
    stream = io.StringIO()
    terminal = ProjectsTerminal(stream, verbose=False, live=True)

    terminal.waiting([divided, other])
    for part in (Part(project=0, artifacts=each) for each in divided.parts[:2]):
        terminal.started(divided, part)
        terminal.built(divided, part)
    assert stream.getvalue().endswith("0 of 2 projects done, 1 waiting: other\n")
    terminal.ended(ProjectResult(project=divided))

    assert stream.getvalue().endswith("1 of 2 projects done, 1 waiting: other\n")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_line_names_its_artifact(tmp_path: Path, jobs: str) -> None:
    """With -v it is clear what is built for which artifact, also by one process."""
    table = f"[tool.lambda-build]\n{RUNTIMES}[tool.lambda-build.artifacts.api]\n"
    project = a_divided_project(tmp_path, table)

    run = ran(project, "--jobs", jobs, "-v")

    assert run.code == 0, run.errors
    start = "" if jobs == "2" else "many "
    assert {line.partition(": ")[0] for line in run.errors.splitlines()} == {
        f"{start}api {runtime} {architecture}"
        for runtime in ("python3.12", "python3.13")
        for architecture in ("x86_64", "arm64")
    }


def test_each_line_names_the_artifact_of_a_project(tmp_path: Path) -> None:
    """A project with several artifacts among others is named together with them."""
    table = '[tool.lambda-build]\nruntime = ["python3.12", "python3.13"]\n'
    a_divided_project(tmp_path, f"{table}{HOOK}")
    other = a_function(tmp_path, "other", ONE, table='[tool.lambda-build]\nruntime="python3.13"\n')

    run = ran(other, "../many", ".", "--jobs", "2", "-v")

    assert run.code == 0, run.errors
    assert {line.partition(": ")[0] for line in run.errors.splitlines()} == {
        "many python3.12 x86_64",
        "many python3.13 x86_64",
        "other",
    }


SOURCE = """\
[tool.lambda-build]
runtime = "python3.12"
[tool.lambda-build.artifacts.source]
architecture = "arm64"
project = "source"
[tool.lambda-build.artifacts.wheel]
architecture = "x86_64"
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_wheel_is_not_built_for_the_target_of_sources(tmp_path: Path, jobs: str) -> None:
    """The first target that the project's wheel is built for is one that ships a wheel."""
    project = a_divided_project(tmp_path, SOURCE)
    hook = project / "hatch_build.py"
    tag = '        build_data.update(pure_python=False, tag="py3-none-manylinux_2_17_x86_64")\n'
    hook.write_text(hook.read_text() + tag)

    run = ran(project, "--jobs", jobs)

    assert (run.code, run.errors) == (0, "")
    assert (tmp_path / "count").read_text() == "built\n"


SAME = """\
[tool.lambda-build]
runtime = "python3.12"
architecture = "x86_64"
[tool.lambda-build.artifacts.one]
[tool.lambda-build.artifacts.two]
output = "dist/many-2.5-one-function-python3.12-x86_64.zip"
exclude = ["one.py"]
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_same_path_that_is_known_late(tmp_path: Path, jobs: str) -> None:
    """With a version of the build backend's, one artifact must not replace another."""
    project = a_divided_project(tmp_path, SAME)
    settings = project / "pyproject.toml"
    text = settings.read_text().replace('version = "1.0"', 'dynamic = ["version"]')
    settings.write_text(f'{text}[tool.hatch.version]\npath = "src/many/__init__.py"\n')
    (project / "src" / "many" / "__init__.py").write_text('__version__ = "2.5"\n')

    run = ran(project, "--jobs", jobs)

    assert run.code == StageError.exit_code
    assert "another artifact of the same build is written there" in run.errors
    assert not (project / "dist").exists()


LINKED = """\
[tool.lambda-build]
runtime = "python3.12"
[tool.lambda-build.artifacts.one]
output = "one.zip"
[tool.lambda-build.artifacts.two]
output = "two.zip"
exclude = ["one.py"]
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_outputs_that_are_links_to_one_file(tmp_path: Path, jobs: str) -> None:
    """With symbolic links one would replace the other, which is told before anything is built."""
    project = a_divided_project(tmp_path, LINKED)
    (project / "two.zip").symlink_to("one.zip")

    run = ran(project, "--jobs", jobs)

    assert run.code == SettingsError.exit_code
    assert f"{project / 'one.zip'} would be written by `one`" in run.errors
    assert not (project / "one.zip").exists()
    assert not (tmp_path / "count").exists()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_outputs_that_are_two_names_of_one_file(tmp_path: Path, jobs: str) -> None:
    """A hard link does no harm, since a new zip takes the place of one name only."""
    project = a_divided_project(tmp_path, LINKED)
    assert ran(project).code == 0
    first, second = (project / f"{name}.zip" for name in ("one", "two"))
    expected = zips(project)
    second.unlink()
    second.hardlink_to(first)

    run = ran(project, "--jobs", jobs)

    assert (run.code, run.errors) == (0, "")
    assert zips(project) == expected


@pytest.mark.parametrize("there", [False, True], ids=["new", "same"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_two_spellings_of_one_path(tmp_path: Path, jobs: str, *, there: bool) -> None:
    """In a folder that is mounted twice, one zip must not replace another in silence."""
    table = LINKED.replace('"one.zip"', '"dist/a.zip"').replace('"two.zip"', '"again/a.zip"')
    project = a_divided_project(tmp_path, table)
    if there:
        assert ran(project, "--artifact", "one").code == 0
    before = zips(project)
    (project / "dist").mkdir(exist_ok=True)

    with second_place(project / "dist", project / "again"):
        run = ran(project, "--jobs", jobs)

    assert (run.code, run.output) == (StageError.exit_code, "")
    assert f"{project / 'again' / 'a.zip'}\n  why: another artifact of the same" in run.errors
    assert zips(project) == before


# --- failures ---------------------------------------------------------------------------------

WRONG = """\
[tool.lambda-build]
architecture = ["x86_64", "arm64"]
runtime = "python3.13"
[tool.lambda-build.artifacts.good]
[tool.lambda-build.artifacts.wrong]
handler = "many.app.lost"
[tool.lambda-build.artifacts.later]
handler = "many.app.gone"
"""


@pytest.mark.parametrize("jobs", ["1", "2", "6"])
def test_first_failure_is_told(tmp_path: Path, jobs: str) -> None:
    """It is that of the first artifact in their order, and nothing of the project is left."""
    project = a_divided_project(tmp_path, WRONG)

    run = ran(project, "--jobs", jobs, "--json")

    failure = json.loads(run.output)["error"]
    assert (run.code, failure["exit_code"], failure["kind"]) == (8, 8, "verification")
    assert run.errors.startswith("error: `wrong` for python3.13 x86_64: ")
    assert run.errors.count("error: ") == 1
    assert not (project / "dist").exists()


def test_earlier_results_stay_after_a_failure(tmp_path: Path) -> None:
    """What lies at the outputs is replaced by all new artifacts, or by none."""
    project = a_divided_project(tmp_path, WRONG)
    assert ran(project, "--artifact", "good").code == 0
    before = zips(project)
    (project / "src" / "many" / "app.py").write_text("other = 1\n")

    assert ran(project, "--jobs", "3").code == 8

    assert zips(project) == before


def test_failure_in_a_message_of_one_process(tmp_path: Path) -> None:
    """The message is that of a build in one process, to the letter."""
    project = a_divided_project(tmp_path, WRONG)

    first, second = (ran(project, "--jobs", jobs) for jobs in ("1", "3"))

    assert first.errors == second.errors != ""


def test_killed_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of its processes is killed, nothing of the project is left; others are built."""
    project = a_divided_project(tmp_path)
    other = locked(a_project(tmp_path / "functions" / "other", name="other"))
    environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")
    artifacts = load_all_settings(project, environ=environ)
    workers: list[Worker] = []
    killed: list[str] = []
    start = Pool.start

    def kept(pool: Pool) -> Worker:
        workers.append(start(pool))
        return workers[-1]

    class Killing(ProjectsReporter):
        """Kills the process of the third part."""

        begun = 0

        def started(self, project: ProjectBuild, part: Part) -> Reporter:
            self.begun += 1
            if self.begun == 3:
                killed.append(project.artifacts[part.artifacts[0]].label)
                next(each for each in workers if each.part == part).process.kill()
            return super().started(project, part)

    monkeypatch.setattr(Pool, "start", kept)
    projects = [
        ProjectBuild(
            label="many", folder=project, artifacts=artifacts, parts=tuple(parts_of(artifacts))
        ),
        ProjectBuild(
            label="other", folder=other, artifacts=load_all_settings(other, environ=environ)
        ),
    ]

    many, last = build_projects(projects, workers=2, reporter=Killing())

    assert isinstance(many.failure, Failure)
    assert many.failure.message.startswith(
        f"{killed[0]}: the process that built it was ended by the signal SIGKILL"
    )
    assert (many.reports, len(last.reports)) == ((), 1)
    assert not (project / "dist").exists()
    assert len(zips(other)) == 1


@pytest.mark.parametrize("branch", BRANCHES)
def test_failure_as_an_error(branch: type[LambdaBuildError]) -> None:
    """A failure of another process is raised as an error of the same branch."""
    error = branch.__new__(branch)
    LambdaBuildError.__init__(error, "what", why=["one", "two"], hint="hint")

    found = Failure.of(error, "", verbose=False).error()

    assert (type(found), str(found)) == (branch, str(error))
