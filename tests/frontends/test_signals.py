"""How the console script ends where it is made to: by signals, full disks, mistakes of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex, Slow, Status
from fakes.projects import Run, a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.words import NO_SPACE

from lambda_build_plugin.frontends.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

PINNED = a_wheel("pinned", "1.0")
CONSOLE = "from lambda_build_plugin.frontends.console import entry_point; entry_point()"
FULL = Path("/dev/full")

# Starts a child, leaves a temporary folder, tells both of them, and waits.
WAITING = """\
import pathlib
import subprocess
import sys
import tempfile

def wait():
    made = tempfile.mkdtemp()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path({note!r}).write_text(f"{{child.pid}}\\n", encoding="utf-8")
    child.wait()
"""
BACKEND = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    wait()
"""
OWN_BACKEND = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "demo"
version = "1.0"
"""
HOOK = """
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        subprocess.run([sys.executable, "-c", "import backend; backend.wait()"], check=True)
"""


class Workplace:
    """A project, and everything that a build of it may touch."""

    def __init__(self, folder: Path) -> None:
        self.project = a_project(folder / "project")
        self.note = folder / "note"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.environ = quiet_environment(
            folder / "home", LAMBDA_BUILD_RUNTIME="python3.13", TMPDIR=str(self.temporary)
        )

    def waits_in_isolation(self) -> None:
        """Let the project's own backend wait."""
        (self.project / "pyproject.toml").write_text(OWN_BACKEND)
        (self.project / "backend.py").write_text(self.waiting() + BACKEND)

    def waits_here(self) -> None:
        """Let a program wait that a hook of hatchling starts."""
        with (self.project / "pyproject.toml").open("a") as file:
            file.write("[tool.hatch.build.hooks.custom]\n")
        (self.project / "backend.py").write_text(self.waiting())
        (self.project / "hatch_build.py").write_text(self.waiting() + HOOK)

    def waiting(self) -> str:
        """Write a module with a function that starts a child and waits for it."""
        return WAITING.format(note=str(self.note))

    def start(self, code: str = CONSOLE) -> subprocess.Popen[str]:
        """Start a build."""
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=self.project,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def child(self, process: subprocess.Popen[str]) -> int:
        """Wait until the build has come to its child."""
        while not (self.note.is_file() and self.note.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.02)
        return int(self.note.read_text())


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """Give a project and its surroundings."""
    return Workplace(tmp_path)


@pytest.fixture
def slow_index(workplace: Workplace) -> Iterator[FakeIndex]:
    """Let the project need a file that takes long to come."""
    with FakeIndex([PINNED]) as index:
        index.fail(PINNED.filename, Slow(20))
        lock = f"--index-url {index.url}\npinned==1.0 --hash=sha256:{PINNED.sha256}\n"
        (workplace.project / "requirements.txt").write_text(lock)
        yield index


def ended(process: subprocess.Popen[str]) -> Run:
    """Wait for the end."""
    output, errors = process.communicate(timeout=30)
    return Run(code=process.returncode, output=output, errors=errors)


def soon_ended(process: subprocess.Popen[str]) -> Run:
    """Wait for an end that comes within a second, or a few on a busy machine."""
    try:
        output, errors = process.communicate(timeout=8)
    finally:
        process.kill()
    return Run(code=process.returncode, output=output, errors=errors)


def is_running(number: int) -> bool:
    """Tell whether there is such a process, and it is more than a name nobody asked for yet."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def is_gone(number: int) -> bool:
    """Tell whether a process ends; one that was killed needs a moment."""
    for _ in range(250):
        if not is_running(number):
            return True
        time.sleep(0.02)
    return False


def wait_for_request(index: FakeIndex, process: subprocess.Popen[str]) -> None:
    """Wait until the slow file has been asked for."""
    while not any(PINNED.filename in request.path for request in index.requests):
        assert process.poll() is None
        time.sleep(0.02)


SIGNALS = [
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
    pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    pytest.param(signal.SIGHUP, 129, id="SIGHUP"),
]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_signal_while_fetching(
    workplace: Workplace, slow_index: FakeIndex, number: signal.Signals, code: int
) -> None:
    """A build that is told to end says so in a word, and leaves nothing."""
    process = workplace.start()
    wait_for_request(slow_index, process)

    process.send_signal(number)

    assert ended(process) == Run(code=code, output="", errors="interrupted\n")
    assert list(workplace.temporary.iterdir()) == []
    assert not (workplace.project / "dist").exists()


# Starts the console script again and again, each time with Ctrl-C at a later moment, until a
# moment never comes; prints how each of them ended.
EVERY_MOMENT = """\
import _signal
import os
import sys
from lambda_build_plugin.frontends.console import entry_point

def run(moment):
    passed = 0

    def interrupt():
        nonlocal passed
        passed += _signal.getsignal(2) is not _signal.default_int_handler
        if passed == moment:
            os.kill(os.getpid(), 2)

    def importing(event, arguments):
        if event == "import":
            interrupt()

    def tracing(frame, event, argument):
        code = frame.f_code
        if code.co_filename.endswith(("console.py", "cli.py")) and code.co_name != "<module>":
            if event == "line":
                interrupt()
            return tracing

    {start}
    entry_point()

sys.argv = ["lambda-build", "--version"]
{before}
for moment in range(1, 1000):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
        run(moment)
    os.close(writer)
    with open(reader, "rb") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, said, flush=True)
    if status == 0:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the moments are reached by forked processes")
@pytest.mark.parametrize(
    ("before", "start"),
    [
        pytest.param("", "sys.addaudithook(importing)", id="while-loading"),
        pytest.param(
            "import lambda_build_plugin.frontends.cli", "sys.settrace(tracing)", id="at-each-line"
        ),
    ],
)
def test_interrupted_at_the_start(workplace: Workplace, before: str, start: str) -> None:
    """Ctrl-C ends the script in a word while it loads, starts, and ends."""
    process = workplace.start(EVERY_MOMENT.format(before=before, start=start))

    output, errors = process.communicate(timeout=120)

    assert errors == ""
    *interrupted, last = output.splitlines()
    assert len(interrupted) > 20
    assert last.startswith("0 b'lambda-build ")
    version = last.removeprefix("0 b'").removesuffix("'")  # also where it was printed before
    assert {line.replace(version, "") for line in interrupted} == {"130 b'interrupted\\n'"}


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130), pytest.param(signal.SIGTERM, -15)]
)
def test_signal_in_a_program_that_ends_as_usual(
    workplace: Workplace, slow_index: FakeIndex, number: signal.Signals, code: int
) -> None:
    """Inside of Poetry and PDM nobody waits for a download either, which takes 20 seconds."""
    process = workplace.start(
        "import sys; from lambda_build_plugin.frontends.cli import main; sys.exit(main([]))"
    )
    wait_for_request(slow_index, process)

    process.send_signal(number)

    assert soon_ended(process).code == code


PAGES = [
    pytest.param("text/html", b"<p>" * 10_000_000, id="html"),
    pytest.param("text/html", b"<p " + b"x " * 15_000_000, id="html-tag"),
    pytest.param("application/vnd.pypi.simple.v1+json", b'{"' + b'x":1,"' * 5_000_000, id="json"),
    pytest.param(
        "application/vnd.pypi.simple.v1+json",
        b'{"files": [' + b'{"url":"a","filename":"b"},' * 1_000_000,
        id="json-files",
    ),
]


@pytest.mark.parametrize(("kind", "page"), PAGES)
@pytest.mark.parametrize(("number", "code"), SIGNALS[:2])
def test_signal_while_parsing(
    workplace: Workplace, number: signal.Signals, code: int, kind: str, page: bytes
) -> None:
    """A page that takes long to read does not keep a signal from ending the process."""
    with FakeIndex([PINNED]) as index:
        pages = [Status(200, {"Content-Type": kind}, page)] * 8
        index.fail("/simple/pinned/", *pages)
        lock = f"--index-url {index.url}\npinned==1.0 --hash=sha256:{PINNED.sha256}\n"
        (workplace.project / "requirements.txt").write_text(lock)
        process = workplace.start()
        while not index.requests:
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.2)  # of which the page needs some to arrive

        process.send_signal(number)

        run = soon_ended(process)
    assert (run.code, list(workplace.temporary.iterdir())) in [(code, []), (5, [])]


STUCK = """import time
import lambda_build_plugin.pipeline.build
from pathlib import Path

def build_all(artifacts, reporter):
    Path({note!r}).write_text("waiting")
    try:
        time.sleep(60)
    finally:
        time.sleep(60)

lambda_build_plugin.pipeline.build.build_all = build_all
"""


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_cleanup_that_never_ends(workplace: Workplace, number: signal.Signals, code: int) -> None:
    """A process that was told to end does, though it waits for something in its cleanup."""
    process = workplace.start(STUCK.format(note=str(workplace.note)) + CONSOLE)
    while not (workplace.note.is_file() and workplace.note.read_text()):
        assert process.poll() is None
        time.sleep(0.02)

    process.send_signal(number)

    assert soon_ended(process) == Run(code=code, output="", errors="interrupted\n")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_signal_while_building_in_isolation(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    """The backend ends with the build, its children too, and their files go."""
    workplace.waits_in_isolation()
    process = workplace.start()
    child = workplace.child(process)

    process.send_signal(number)

    assert ended(process) == Run(code=code, output="", errors="interrupted\n")
    assert list(workplace.temporary.iterdir()) == []
    assert is_gone(child)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_signal_while_building_here(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    """A backend in our own process is stopped as well, and its files go."""
    workplace.waits_here()
    process = workplace.start()
    workplace.child(process)

    process.send_signal(number)

    assert ended(process) == Run(code=code, output="", errors="interrupted\n")
    assert list(workplace.temporary.iterdir()) == []


def test_second_signal_does_not_stop_the_cleaning(
    workplace: Workplace, slow_index: FakeIndex
) -> None:
    """Who asks twice gets the answer of the first time."""
    process = workplace.start()
    wait_for_request(slow_index, process)

    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
        time.sleep(0.001)

    run = ended(process)
    assert run.code in {143, 129}  # the system may hand out several at once, in any order
    assert (run.output, run.errors) == ("", "interrupted\n")
    assert list(workplace.temporary.iterdir()) == []


def test_ignored_signal_stays_ignored(workplace: Workplace, slow_index: FakeIndex) -> None:
    """Under `nohup` a lost terminal ends nothing."""
    process = workplace.start(
        f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {CONSOLE}"
    )
    wait_for_request(slow_index, process)

    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)

    assert ended(process).code == 143


def test_signals_of_a_caller_are_its_own(tmp_path: Path) -> None:
    """The function `main` changes nothing in how its process takes signals."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]

    assert main([str(tmp_path / "absent")]) == 2

    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is full")
@pytest.mark.parametrize("argument", ["--json", "--help", "--version"])
def test_full_standard_output(workplace: Workplace, argument: str) -> None:
    """What cannot be written to standard output is a failure, told in a line."""
    with FULL.open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", CONSOLE, argument],
            cwd=workplace.project,
            env=workplace.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (run.returncode, run.stderr) == (
        7,
        f"error: cannot write to standard output: {NO_SPACE}\n",
    )


def test_nobody_listens_to_errors(workplace: Workplace) -> None:
    """The exit code is the same where the message reaches no one."""
    reader, writer = os.pipe()
    os.close(reader)

    run = subprocess.run(
        [sys.executable, "-c", CONSOLE, "--group", "dev"],
        cwd=workplace.project,
        env=workplace.environ,
        stderr=writer,
        check=False,
    )
    os.close(writer)

    assert run.returncode == 3


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams(workplace: Workplace, closed: tuple[int, ...]) -> None:
    """A build needs none of the standard streams."""
    code = f"import os, sys; [os.close(each) for each in {closed}]; "
    code += f"os.execv(sys.executable, [sys.executable, '-c', {CONSOLE!r}])"

    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace.project,
        env=workplace.environ,
        capture_output=True,
        check=False,
    )

    assert run.returncode == 0
    assert len(list((workplace.project / "dist").iterdir())) == 1


UNEXPECTED = """\
error: unexpected failure: KeyError: 'nobody foresaw this'
  why: this is a bug in lambda-build, which should have explained what is wrong

hint: please report it with the traceback"""
FAULTY = f"""\
import lambda_build_plugin.pipeline.build

def build_all(artifacts, reporter):
    raise KeyError("nobody foresaw this")

lambda_build_plugin.pipeline.build.build_all = build_all
{CONSOLE}
"""


def test_unexpected_failure(workplace: Workplace) -> None:
    """A mistake of ours has the shape of every other error."""
    run = ended(workplace.start(FAULTY))

    assert run == Run(code=1, output="", errors=f"{UNEXPECTED}, which `-v` prints\n")


def test_unexpected_failure_in_detail(workplace: Workplace) -> None:
    """With -v the traceback stands before the error."""
    run = ended(
        workplace.start(FAULTY.replace("import", "import sys; sys.argv.append('-v'); import", 1))
    )

    assert (run.code, run.output) == (1, "")
    assert run.errors.startswith("Traceback (most recent call last):\n")
    assert run.errors.endswith(f"KeyError: 'nobody foresaw this'\n{UNEXPECTED}\n")


def test_text_that_the_terminal_cannot_show(workplace: Workplace) -> None:
    """A character that standard output has no code for does not spoil a build."""
    workplace.environ["PYTHONIOENCODING"] = "ascii"

    run = run_lambda_build(
        "--output", "gr\u00f6\u00dfe.zip", cwd=workplace.project, environ=workplace.environ
    )

    assert (run.code, run.errors) == (0, "")


# --- kill -9 --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes")
@pytest.mark.parametrize("what", ["backend", "hook", "hook's shell"])
def test_killed_build_takes_its_programs_along(workplace: Workplace, what: str) -> None:
    """After kill -9 a backend or a hook does not run on, nor does what it has started."""
    if what == "backend":
        workplace.waits_in_isolation()
    else:
        (workplace.project / "backend.py").write_text(workplace.waiting())
        line = f"{sys.executable} -c 'import backend; backend.wait()'"
        command = [sys.executable, "-c", "import backend; backend.wait()"]
        with (workplace.project / "pyproject.toml").open("a") as file:
            hook = command if what == "hook" else f"true; {line}"
            file.write(f"[tool.lambda-build.hooks]\nbefore-build = [{hook!r}]\n")
    process = workplace.start()
    child = workplace.child(process)

    process.kill()
    process.communicate()

    assert is_gone(child)


# --- leftovers --------------------------------------------------------------------------

OLD = time.time() - 25 * 60 * 60
LEFT = "0123456789abcdef"


def a_leftover(path: Path, *, old: bool = True) -> Path:
    """Write a file, or a folder with one, as a killed build would leave it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.write_bytes(b"half")
    else:
        path.mkdir()
        (path / "file").write_bytes(b"half")
    if old:
        os.utime(path, (OLD, OLD))
    return path


def test_old_leftovers_are_removed(workplace: Workplace) -> None:
    """A build removes what killed builds have left for a day, and nothing else."""
    dist, temporary = workplace.project / "dist", workplace.temporary
    cache = Path(workplace.environ["HOME"], "cache")
    workplace.environ["LAMBDA_BUILD_CACHE_DIR"] = str(cache)
    gone = [
        a_leftover(dist / f".lambda-build-{LEFT}.part"),
        a_leftover(dist / f"pylock.lambda-build-{LEFT}.toml"),
        a_leftover(temporary / "lambda-build-12-abcdefgh"),
        a_leftover(cache / "files" / ".part-abcdefgh"),
    ]
    os.utime(a_leftover(dist / f".lambda-build-{LEFT[::-1]}.part", old=False))
    kept = [
        dist / f".lambda-build-{LEFT[::-1]}.part",
        a_leftover(dist / f".{LEFT}.part"),
        a_leftover(dist / ".lambda-build.part"),
        a_leftover(temporary / "lambda-build-12-hgfedcba", old=False),
        a_leftover(temporary / "lambda-build-projects"),
        a_leftover(temporary / "other"),
        a_leftover(cache / "files" / ".part-hgfedcba", old=False),
    ]
    link = temporary / "lambda-build-13-abcdefgh"
    link.symlink_to(temporary / "other")
    os.utime(link, (OLD, OLD), follow_symlinks=False)

    assert ended(workplace.start()).code == 0

    assert [path for path in gone if path.exists()] == []
    assert [path for path in (*kept, link, temporary / "other" / "file") if not path.exists()] == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_leftovers_of_others_are_kept(workplace: Workplace) -> None:
    """In a folder that users share, each removes its own leftovers only."""
    path = a_leftover(workplace.temporary / "lambda-build-12-abcdefgh")
    os.chown(path, 12345, 12345)
    os.utime(path, (OLD, OLD))

    assert ended(workplace.start()).code == 0

    assert path.exists()


def test_leftovers_are_looked_for_once_a_day(workplace: Workplace) -> None:
    """The folders of the cache and of temporary files are not searched at every build."""
    cache = Path(workplace.environ["HOME"], "cache")
    cache.mkdir(parents=True)
    workplace.environ["LAMBDA_BUILD_CACHE_DIR"] = str(cache)
    assert ended(workplace.start()).code == 0
    path = a_leftover(workplace.temporary / "lambda-build-12-abcdefgh")

    assert ended(workplace.start()).code == 0
    assert path.exists()

    os.utime(cache / "swept", (OLD, OLD))
    assert ended(workplace.start()).code == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("left", "said"),
    [
        pytest.param("atexit.register(print, 'later')", ["later"], id="function"),
        pytest.param(
            "threading.Thread(target=lambda: (time.sleep(0.3), print('later'))).start()",
            ["later"],
            id="thread",
        ),
        pytest.param("atexit.register(sys.stdout.close)", [], id="closed-output"),
    ],
)
def test_what_is_left_to_the_end(left: str, said: list[str]) -> None:
    """What a build hook leaves to the end of the process is done, although it ends quickly."""
    program = f"import atexit, sys, threading, time; {left}; {CONSOLE}"

    ended = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True, check=True
    )

    assert ended.stdout.splitlines()[1:] == said
    assert ended.stderr == ""
