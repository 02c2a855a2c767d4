"""The console script: what it accepts, where it writes, and how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex, Slow
from fakes.projects import Run, a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from pathlib import Path

PINNED = a_wheel("pinned", "1.0")
DEFAULT_NAME = "demo-1.0-function-python3.13-x86_64.zip"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project without dependencies."""
    return a_project(tmp_path / "project")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give an environment of no one's, with a runtime."""
    return quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")


def test_default_output_is_named_for_what_it_is(project: Path, environ: dict[str, str]) -> None:
    """Without options the zip goes to dist/ under its full name."""
    run = run_lambda_build(cwd=project, environ=environ)

    assert run.code == 0
    assert [path.name for path in (project / "dist").iterdir()] == [DEFAULT_NAME]


def test_project_may_be_named_from_elsewhere(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """PROJECT_DIR starts from the current folder, and so does --output."""
    run = run_lambda_build("project", "--output", "out/", cwd=tmp_path, environ=environ)

    assert run.code == 0
    assert (tmp_path / "out" / DEFAULT_NAME).is_file()
    assert not (project / "dist").exists()


def test_json_is_alone_on_standard_output(project: Path, environ: dict[str, str]) -> None:
    """--json prints the report and nothing else."""
    run = run_lambda_build("--json", cwd=project, environ=environ)

    assert json.loads(run.output)["packages"][0]["name"] == "demo"
    assert run.errors == ""


def test_json_warnings_are_on_standard_error_too(project: Path, environ: dict[str, str]) -> None:
    """With --json a person still sees the warnings."""
    run = run_lambda_build("--json", "--runtime", "python3.15", cwd=project, environ=environ)

    assert run.errors == "warning: " + json.loads(run.output)["warnings"][0] + "\n"


def test_report_file_holds_the_same_as_json(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """--report writes the report beside the text."""
    run = run_lambda_build("--report", "../report.json", cwd=project, environ=environ)

    report = json.loads((tmp_path / "report.json").read_text())
    assert run.output.startswith(f"Built {report['artifact']}\n")


def test_report_says_whether_the_zip_is_the_same(project: Path, environ: dict[str, str]) -> None:
    """A person reads that there is nothing to deploy, in the words of the table of a run."""

    def state() -> list[str]:
        lines = run_lambda_build(cwd=project, environ=environ).output.splitlines()
        return [line for line in lines if line.startswith("  zip  ")]

    assert state() == []
    assert state() == ["  zip        same (was already there, and is left alone)"]
    (project / "src" / "demo" / "more.py").touch()
    assert state() == ["  zip        changed (replaces another zip)"]


def test_quiet_says_nothing(project: Path, environ: dict[str, str]) -> None:
    """-q leaves both streams empty when all goes well."""
    assert run_lambda_build("-q", cwd=project, environ=environ) == Run(code=0, output="", errors="")


def test_quiet_json_is_the_report_alone(project: Path, environ: dict[str, str]) -> None:
    """-q takes nothing from a machine: it silences what a person would see."""
    run = run_lambda_build("-q", "--json", "--runtime", "python3.15", cwd=project, environ=environ)

    assert (len(json.loads(run.output)["warnings"]), run.errors) == (1, "")


def test_verbose_names_the_files(project: Path, environ: dict[str, str]) -> None:
    """-v says where each file came from, on standard error."""
    with FakeIndex([PINNED]) as index:
        lock = f"--index-url {index.url}\npinned==1.0 --hash=sha256:{PINNED.sha256}\n"
        (project / "requirements.txt").write_text(lock)
        run = run_lambda_build("-v", cwd=project, environ=environ)

        assert f"get {index.file_url(PINNED.filename)}\nhave {PINNED.filename}\n" in run.errors


def test_progress_moves_on_a_terminal_only(project: Path, environ: dict[str, str]) -> None:
    """On a terminal a line is drawn and cleared; elsewhere nothing is."""
    controller, terminal = pty.openpty()
    code = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=True,
    )
    os.close(terminal)
    drawn = os.read(controller, 10_000).decode()
    os.close(controller)

    assert "archive …" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert run_lambda_build(cwd=project, environ=environ).errors == ""


def test_unknown_option_is_a_usage_error(project: Path, environ: dict[str, str]) -> None:
    """Argparse's own exit code is the one of settings and usage."""
    assert run_lambda_build("--archh", "arm64", cwd=project, environ=environ).code == 2


def test_abbreviated_options_are_refused(project: Path, environ: dict[str, str]) -> None:
    """An option added later must not change what a script means."""
    assert run_lambda_build("--run", "python3.12", cwd=project, environ=environ).code == 2


def test_interrupt_leaves_nothing(project: Path, environ: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C ends with 130, one word, and no file."""
    with FakeIndex([PINNED]) as index:
        index.fail(PINNED.filename, Slow(20))
        lock = f"--index-url {index.url}\npinned==1.0 --hash=sha256:{PINNED.sha256}\n"
        (project / "requirements.txt").write_text(lock)
        code = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=project,
            env=environ,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while not any(PINNED.filename in request.path for request in index.requests):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (130, "interrupted\n")
    assert not (project / "dist").exists()


def test_strict_makes_warnings_errors(project: Path, environ: dict[str, str]) -> None:
    """--strict fails in verification and leaves nothing."""
    run = run_lambda_build("--strict", "--runtime", "python3.15", cwd=project, environ=environ)

    assert run.code == 8
    assert run.errors.startswith("error: there are warnings, and the build is strict\n")
    assert not (project / "dist").exists()


def test_failure_keeps_the_artifact_of_before(project: Path, environ: dict[str, str]) -> None:
    """A failed build does not touch what an earlier one left."""
    run_lambda_build(cwd=project, environ=environ)
    before = (project / "dist" / DEFAULT_NAME).read_bytes()

    run = run_lambda_build("--handler", "demo.gone.handler", cwd=project, environ=environ)

    assert run.code == 8
    assert [path.read_bytes() for path in (project / "dist").iterdir()] == [before]


def test_cache_folder_may_be_set(project: Path, environ: dict[str, str], tmp_path: Path) -> None:
    """--cache-dir says where fetched files go, and --offline finds them there."""
    with FakeIndex([PINNED]) as index:
        lock = f"--index-url {index.url}\npinned==1.0 --hash=sha256:{PINNED.sha256}\n"
        (project / "requirements.txt").write_text(lock)
        first = run_lambda_build("--cache-dir", "../cache", cwd=project, environ=environ)
    second = run_lambda_build("--cache-dir", "../cache", "--offline", cwd=project, environ=environ)

    assert (first.code, second.code) == (0, 0)
    assert (tmp_path / "cache" / "files").is_dir()


def test_group_without_any_lock_is_an_error(project: Path, environ: dict[str, str]) -> None:
    """Where nothing is locked, a group that is asked for cannot be found."""
    run = run_lambda_build("--group", "dev", cwd=project, environ=environ)

    assert run.code == 3
    assert run.errors.startswith(f"error: cannot find a lock in {project}\n")


# --- places ---------------------------------------------------------------------------


def test_pipe_as_report_is_written_into(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """`--report >(jq .)`: what is no file is written into, not replaced."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    run = run_lambda_build("-q", "--report", tmp_path / "pipe", cwd=project, environ=environ)

    assert (run.code, json.loads(os.read(reader, 100_000))["schema"]) == (0, 1)
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_device_as_output_is_refused(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """A zip cannot be moved onto a device or a pipe; as root it would take its place."""
    os.mkfifo(tmp_path / "pipe")

    run = run_lambda_build("--output", tmp_path / "pipe", cwd=project, environ=environ)

    assert run.code == 7
    assert (tmp_path / "pipe").is_fifo()


def test_link_as_output_stays_a_link(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """What a link points to is written, and the link is kept."""
    (tmp_path / "link.zip").symlink_to(tmp_path / "real.zip")

    run = run_lambda_build("--output", tmp_path / "link.zip", cwd=project, environ=environ)

    assert run.code == 0
    assert (tmp_path / "link.zip").is_symlink()
    assert (tmp_path / "real.zip").is_file()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("--report", "src"), 2, id="report is a folder"),
        pytest.param(("--report", "pyproject.toml/x"), 2, id="report below a file"),
        pytest.param(("--report", "x.zip", "-o", "x.zip"), 2, id="report is the zip"),
        pytest.param(
            ("--report", "dist/demo-1.0-function-python3.13-x86_64.zip"),
            2,
            id="report is the zip of the default name",
        ),
        pytest.param(("--report", "src/../x.zip", "-o", "x.zip"), 2, id="the zip by another path"),
        pytest.param(("--report", "x" * 300), 2, id="report's name too long"),
        pytest.param(("--unpacked", "x", "-o", "x"), 7, id="zip is the folder"),
        pytest.param(("-o", "x" * 300), 7, id="name too long"),
        pytest.param(("--unpacked", "x" * 300), 7, id="folder's name too long"),
        pytest.param(("--lock", "x" * 300), 3, id="lock's name too long"),
    ],
)
def test_bad_places_leave_nothing(
    project: Path, environ: dict[str, str], arguments: tuple[str, ...], code: int
) -> None:
    """A place that cannot serve is refused before anything is written."""
    before = sorted(project.rglob("*"))

    run = run_lambda_build(*arguments, cwd=project, environ=environ)

    assert (run.code, run.errors.partition(":")[0]) == (code, "error")
    assert sorted(project.rglob("*")) == before


def test_folder_that_is_gone_is_told(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """A shell in a deleted folder gets a message."""
    code = (
        "import os; os.rmdir(os.getcwd());"
        "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
    )
    (tmp_path / "gone").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code, str(project)],
        cwd=tmp_path / "gone",
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    assert "the current folder does not exist any more" in result.stderr


def test_narrow_encoding_spells_names_out(environ: dict[str, str], tmp_path: Path) -> None:
    """A stream that cannot write a letter is no reason to fail when all is done."""
    project = a_project(tmp_path / "año")

    run = run_lambda_build(cwd=project, environ={**environ, "PYTHONIOENCODING": "ascii"})

    assert (run.code, "a\\xf1o" in run.output) == (0, True)


def test_unknown_variable_is_a_mistake(project: Path, environ: dict[str, str]) -> None:
    """A variable that is spelled like the flag must not be passed over in silence."""
    run = run_lambda_build(cwd=project, environ={**environ, "LAMBDA_BUILD_ARCH": "arm64"})

    assert run.code == 2
    assert "environment variable LAMBDA_BUILD_ARCH: is not a setting" in run.errors


def test_lock_that_does_not_know_the_project_is_refused(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """What the project requires and the lock does not hold is told, not shipped in silence."""
    asking = a_project(tmp_path / "asking", name="asking", dependencies=("pinned",))
    (asking / "requirements.txt").write_text("")

    run = run_lambda_build(cwd=asking, environ=environ)

    assert run.code == 8
    assert "asking 1.0 requires pinned, which does not ship\n" in run.errors
    assert not (asking / "dist").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(
            "build",
            "error: there is no command `build`, and no folder of this name\n\n"
            "hint: leave the word out: `lambda-build` itself builds the project\n",
            id="build",
        ),
        pytest.param(
            "help",
            "error: there is no command `help`, and no folder of this name\n\n"
            "hint: did you mean `lambda-build --help`?\n",
            id="help",
        ),
        pytest.param(
            "version --runtime python3.13",
            "error: there is no command `version`, and no folder of this name\n\n"
            "hint: did you mean `lambda-build --version`?\n",
            id="version",
        ),
        pytest.param(
            "inspekt a.zip",
            "error: there is no command `inspekt`, and no folder of this name\n\n"
            "hint: did you mean `lambda-build inspect`?\n",
            id="misspelt-command",
        ),
        pytest.param(
            "--runtme python3.13",
            "error: there is no option `--runtme`; did you mean `--runtime`?\n\n"
            "hint: `lambda-build --help` lists the options\n",
            id="misspelt-option",
        ),
        pytest.param(
            "--python=3.13 --with=dev",
            "error: the settings contain 2 mistakes\n"
            "  why: there is no option `--python`; did you mean `--runtime`?\n"
            "       there is no option `--with`; did you mean `--group`?\n\n"
            "hint: `lambda-build --help` lists the options\n",
            id="options-of-other-tools",
        ),
        pytest.param(
            "inspect a.zip --hander a.b",
            "error: there is no option `--hander`; did you mean `--handler`?\n\n"
            "hint: `lambda-build inspect --help` lists the options\n",
            id="option-of-a-command",
        ),
        pytest.param(
            "inspect a.zip b.zip",
            "error: `b.zip` is one argument too many\n\n"
            "hint: `lambda-build inspect --help` lists the options\n",
            id="too-many",
        ),
        pytest.param(
            "--arch aarch64 --runtime 3.13",
            "error: the settings contain 2 mistakes\n"
            "  why: --runtime: is `3.13`; did you mean `python3.13`?\n"
            "       --arch: is `aarch64`; did you mean `arm64`?\n\n"
            "hint: `lambda-build --help` lists the options and their values\n",
            id="values",
        ),
    ],
)
def test_misspelt_words_get_a_suggestion(
    project: Path, environ: dict[str, str], words: str, expected: str
) -> None:
    """The message names the mistake, and what is probably meant."""
    run = run_lambda_build(*words.split(), cwd=project, environ=environ)

    assert (run.code, run.output, run.errors) == (2, "", expected)


def test_folder_that_setuptools_leaves_behind_is_not_the_project(
    project: Path, environ: dict[str, str]
) -> None:
    """`lambda-build build` means the project, although there is a folder `build`."""
    (project / "build").mkdir()

    run = run_lambda_build("build", cwd=project, environ=environ)

    assert run.errors.startswith("error: there is no command `build`\n")


def test_long_list_of_a_message_is_cut_unless_verbose(tmp_path: Path) -> None:
    """`-v` shows what the short message leaves out."""
    wrong = "".join(f"wrong-{number:02} = 1\n" for number in range(12))
    root = a_project(tmp_path / "project", extra=f"[tool.lambda-build]\n{wrong}")
    environ = quiet_environment(tmp_path)

    short, long = (
        run_lambda_build(*words, cwd=root, environ=environ).errors for words in ([], ["-v"])
    )

    assert ("wrong-11" in short, "and 2 more, `-v` lists all" in short) == (False, True), short
    assert ("wrong-11" in long, "lists all" in long) == (True, False), long


# --- failures for machines ------------------------------------------------------------


def test_failure_is_a_json_document_too(project: Path, environ: dict[str, str]) -> None:
    """With --json a failure is told on both streams, in the same words."""
    run = run_lambda_build("--json", "--lock", "none.lock", cwd=project, environ=environ)

    error = json.loads(run.output)["error"]
    assert (run.code, error["exit_code"], error["kind"]) == (3, 3, "lock")
    assert run.errors.startswith(f"error: {error['what']}\n")
    assert error["hint"] in run.errors


def test_failure_replaces_an_earlier_report(
    project: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    """The file of --report never says that a build succeeded which has failed."""
    report = tmp_path / "report.json"
    assert run_lambda_build("--report", report, cwd=project, environ=environ).code == 0

    run = run_lambda_build(
        "--report", report, "--handler", "no.handler", cwd=project, environ=environ
    )

    assert run.code == 8
    assert json.loads(report.read_text())["error"]["kind"] == "verification"


def test_failure_does_not_replace_what_is_no_report(project: Path, environ: dict[str, str]) -> None:
    """A file that the user has named by mistake stays as it is, whatever fails."""
    before = (project / "pyproject.toml").read_bytes()

    run = run_lambda_build("--report", "pyproject.toml", cwd=project, environ=environ)

    assert run.code == 2
    assert (project / "pyproject.toml").read_bytes() == before


def test_mistake_in_the_settings_is_a_json_document(project: Path, environ: dict[str, str]) -> None:
    """What fails before anything is read has the same form."""
    run = run_lambda_build("--json", "--runtime", "python2.7", cwd=project, environ=environ)

    assert json.loads(run.output)["error"]["kind"] == "settings"
