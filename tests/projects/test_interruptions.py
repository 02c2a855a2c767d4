"""A run of several projects that is interrupted, or loses a worker, leaves nothing half done."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment

from lambda_build_plugin.commands.api import load_all_settings
from lambda_build_plugin.projects.build import build_projects
from lambda_build_plugin.projects.model import ProjectBuild
from lambda_build_plugin.projects.pool import Pool
from lambda_build_plugin.projects.worker import Orders, work

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from lambda_build_plugin.projects.pool import Worker

CONSOLE = "from lambda_build_plugin.frontends.console import entry_point; entry_point()"

# The hook's shell is the child of the worker; the first artifact is already written then.
KILLS_ITS_WORKER = """
[tool.lambda-build.artifacts.first]
output = "new/first.zip"
[tool.lambda-build.artifacts.second]
output = "second.zip"
hooks = { before-build = ["kill -9 $PPID; sleep 60"] }
"""
WAITS = """
[tool.lambda-build.artifacts.first]
output = "new/first.zip"
[tool.lambda-build.artifacts.second]
output = "second.zip"
hooks = {{ before-build = ["sleep 0.5; echo $PPID $$ >> {note}; sleep 60"] }}
"""

# Of all children of the run, only the worker that this hook belongs to is alive in the end.
IS_THE_LAST_WORKER = """
run=$(ps -o ppid= -p $1)
for attempt in $(seq 300); do
    test $(ps -o stat= --ppid $run | grep -vc ^Z) = 1 && exit
    sleep 0.1
done
exit 1
"""


class Repository:
    """Three projects, of which the one in the middle is special, and what a run may touch."""

    def __init__(self, folder: Path, table: str) -> None:
        self.root = folder / "repo"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.note = folder / "note"
        for name in ("a", "b", "c"):
            extra = table.format(note=self.note) if name == "b" else ""
            a_project(self.root / name, name=name, extra=extra)
        self.environ = quiet_environment(
            folder / "home", LAMBDA_BUILD_RUNTIME="python3.13", TMPDIR=str(self.temporary)
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a run of all projects in two processes."""
        return subprocess.Popen(
            [sys.executable, "-c", CONSOLE, "a", "b", "c", "--jobs", "2", *arguments],
            cwd=self.root,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def waiting(self, process: subprocess.Popen[str]) -> list[int]:
        """Wait until the hook runs, and get the numbers of its worker and of its shell."""
        while not (self.note.is_file() and self.note.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.02)
        return [int(number) for number in self.note.read_text().split()]

    def left(self) -> list[str]:
        """List what a run has left: results, and anything that is unfinished."""
        found = [*self.root.rglob("*.zip"), *self.root.rglob("*.part"), *self.temporary.iterdir()]
        return sorted(path.name.partition("-")[0] for path in (*found, *self.root.rglob("new")))


def is_gone(number: int) -> bool:
    """Tell whether a process ends; one that was killed needs a moment."""
    for _ in range(1500):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False
        ).stdout
        if not state.strip() or state.startswith("Z"):
            return True
        time.sleep(0.02)
    return False


KILLED = """\
error: b: the process that built it was ended by the signal SIGKILL
  why: something outside of lambda-build has ended it, such as the system when memory is short; \
nothing of the project is left

hint: build it again, with fewer processes at once if memory is short: `--jobs 1`
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_killed_worker(tmp_path: Path) -> None:
    """The project of a worker that was killed fails, and the others are built."""
    repository = Repository(tmp_path, KILLS_ITS_WORKER.replace("{", "{{").replace("}", "}}"))

    output, errors = repository.start("--json").communicate(timeout=60)

    document = json.loads(output)
    assert errors == KILLED
    assert [each["project"] for each in document["projects"]] == ["a", "c"]
    assert [each["exit_code"] for each in document["failures"]] == [1]
    assert repository.left() == ["a", "c"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another `ps`")
def test_worker_is_ended_when_nothing_is_left_for_it(tmp_path: Path) -> None:
    """Its memory is free while the last project is still built."""
    program = tmp_path / "is-the-last-worker"
    program.write_text(IS_THE_LAST_WORKER)
    hook = f'before-build = ["sh {program} $PPID"]'
    repository = Repository(tmp_path, f"\n[tool.lambda-build.hooks]\n{hook}\n")

    output, errors = repository.start("--json").communicate(timeout=60)

    assert errors == ""
    assert [each["project"] for each in json.loads(output)["projects"]] == ["a", "b", "c"]
    assert repository.left() == ["a", "b", "c"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupted_run(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """An interruption ends all workers and their programs; projects that are done stay."""
    repository = Repository(tmp_path, WAITS)
    process = repository.start()
    children = repository.waiting(process)
    while not {"a", "c"} <= set(repository.left()):
        time.sleep(0.02)

    process.send_signal(number)
    output, errors = process.communicate(timeout=60)

    assert (process.returncode, output, errors) == (code, "", "interrupted\n")
    assert repository.left() == ["a", "c"]
    assert all(map(is_gone, children))


@pytest.mark.skipif(shutil.which("setsid") is None, reason="needs a terminal of its own")
def test_interruption_from_the_keyboard(tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of a terminal at once; one message is shown."""
    repository = Repository(tmp_path, WAITS)
    main, other = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-c", CONSOLE, "a", "b", "--jobs", "2"],
        cwd=repository.root,
        env={**repository.environ, "COLUMNS": "80", "LINES": "24"},
        stdin=other,
        stdout=other,
        stderr=other,
        text=True,
    ) as process:
        os.close(other)
        children = repository.waiting(process)
        os.write(main, b"\x03")
        written = _all_of(main)

    assert (process.returncode, written.count("interrupted")) == (130, 1)
    assert "Traceback" not in written
    assert "of 2 projects done" in written
    assert "b: hooks …" in written
    assert all(map(is_gone, children))
    assert "first.zip" not in repository.left()


def _all_of(descriptor: int) -> str:
    """Read all that a terminal shows."""
    chunks = []
    while True:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(descriptor)
    return b"".join(chunks).decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_killed_run_takes_its_workers_along(tmp_path: Path) -> None:
    """After kill -9 of the run, no worker goes on, nor what it has started."""
    repository = Repository(tmp_path, WAITS)
    process = repository.start()
    children = repository.waiting(process)

    process.kill()
    process.communicate()

    assert all(map(is_gone, children))


def ended_at_once(connection: Connection, orders: Orders) -> None:
    """Work, although a signal has come while signals were held back."""
    os.kill(os.getpid(), signal.SIGTERM)
    work(connection, orders)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_worker_that_is_ended_while_it_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It ends without a traceback, whenever the signal comes."""
    orders = Orders(
        projects=(),
        folder=tmp_path,
        shared=tmp_path,
        hears=frozenset(),
        verbose=False,
        is_among_others=False,
    )
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=ended_at_once, args=(theirs, orders)
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    process.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.join(30)

    assert (process.exitcode, capfd.readouterr().err) == (1, "")
    ours.close()
    theirs.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_worker_that_is_killed_while_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends before it gets a project is replaced, and nothing fails."""
    repository = Repository(tmp_path, "")
    projects = [
        ProjectBuild(
            label=name,
            folder=repository.root / name,
            artifacts=load_all_settings(repository.root / name, environ=repository.environ),
        )
        for name in ("a", "b")
    ]
    start = Pool.start
    killed: list[Worker] = []

    def start_and_kill_the_first(pool: Pool) -> Worker:
        worker = start(pool)
        if not killed:
            worker.process.kill()
            worker.process.join()
            killed.append(worker)
        return worker

    monkeypatch.setattr(Pool, "start", start_and_kill_the_first)

    results = build_projects(projects, workers=1)

    assert len(killed) == 1
    assert [result.failure for result in results] == [None, None]
    assert sorted(path.name[0] for path in repository.root.rglob("*.zip")) == ["a", "b"]


@pytest.mark.parametrize("folders", [["a"], ["a", "b", "c"]])
def test_reader_of_the_progress_goes_away(tmp_path: Path, folders: list[str]) -> None:
    """`lambda-build -v 2>&1 | head` builds all the same, and the document is written."""
    repository = Repository(tmp_path, "")
    with subprocess.Popen(
        [sys.executable, "-c", CONSOLE, *folders, "-v", "--json"],
        cwd=repository.root,
        env=repository.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        document = json.loads(process.stdout.read())

    assert process.returncode == 0
    assert "error" not in document
    assert repository.left() == folders
