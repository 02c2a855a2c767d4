"""`lambda-build invoke`: what a function finds, and what the user sees of it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.invoking import RUNTIME, SITE_PACKAGES
from fakes.locks import ROOT
from fakes.projects import a_project, run_lambda_build
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.invoking import Workplace

pytestmark = pytest.mark.index

ECHO = "def handler(event, context):\n    return event\n"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# Names that AWS's page has, and those that keep the user's own environment out.
EXPECTED = {
    *("AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
    *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE"),
    *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API"),
    *("AWS_REGION", "AWS_XRAY_CONTEXT_MISSING", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "LANG"),
    *("LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TZ", "_HANDLER", "_X_AMZN_TRACE_ID"),
    *("HOME", "TMPDIR", "AWS_EC2_METADATA_DISABLED"),
}


def own_architecture() -> str:
    """Name the architecture of this machine as Lambda does."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def gone(condition: Callable[[], bool]) -> bool:
    """Wait until something is gone, for at most ten seconds."""
    for _ in range(500):
        if not condition():
            return True
        time.sleep(0.02)
    return False


def runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


# --- answers and the log ----------------------------------------------------------------


def test_answer_and_log(workplace: Workplace) -> None:
    """The answer is all of standard output; the log has Lambda's lines around the handler's."""
    code = "def handler(event, context):\n    print('hello')\n    return {'got': event}\n"

    run = workplace.call(code, "--event", '{"name": "ü"}')

    assert (run.code, json.loads(run.output)) == (0, {"got": {"name": "ü"}})
    assert re.fullmatch(
        rf"INIT_START Runtime Version: python:3\.\d+\.\S+\n"
        rf"START RequestId: (?P<id>{UUID}) Version: \$LATEST\n"
        rf"hello\n"
        rf"END RequestId: (?P=id)\n"
        rf"REPORT RequestId: (?P=id)\tDuration: [\d.]+ ms\tMemory Size: 128 MB"
        rf"(\tMax Memory Used: \d+ MB)?\tInit Duration: [\d.]+ ms\n",
        run.errors,
    )


def test_quiet_shows_the_answer_only(workplace: Workplace) -> None:
    """With `-q` there is no log."""
    run = workplace.call("def handler(*_):\n    print('hello')\n    return 1\n", "-q")

    assert run == type(run)(code=0, output="1\n", errors="")


def test_warm_invocations_share_a_process(workplace: Workplace) -> None:
    """`--repeat` initializes once, and each invocation gets its own event and request."""
    code = (
        "seen = []\n"
        "def handler(event, context):\n"
        "    seen.append(context.aws_request_id)\n"
        "    return len(set(seen))\n"
    )

    run = workplace.call(code, "--repeat", "3")

    assert run.output.splitlines() == ["1", "2", "3"]
    assert run.errors.count("INIT_START") == run.errors.count("Init Duration") == 1
    assert run.errors.count("REPORT") == 3


def test_a_new_process_follows_one_that_ended(workplace: Workplace) -> None:
    """After the process has ended, the next event meets a new one."""
    run = workplace.call("import os\ndef handler(*_):\n    os._exit(3)\n", "--repeat", "2")

    assert run.code == 9
    assert run.errors.count("INIT_START") == 2
    assert run.errors.count("Error: Runtime exited with error: exit status 3") == 3  # and ours


def test_binary_output_is_shown(workplace: Workplace) -> None:
    """Bytes that are no text end up in the log, with escapes."""
    code = (
        "import sys\n"
        "def handler(*_):\n"
        "    sys.stdout.buffer.write(b'a\\xffb\\n')\n"
        "    sys.stdout.buffer.flush()\n"
        "    return 1\n"
    )

    run = workplace.call(code)

    assert (run.code, run.output) == (0, "1\n")
    assert "\na\\xffb\n" in run.errors


def test_bytes_are_passed_on(workplace: Workplace) -> None:
    """A handler may return bytes, which are the answer as they are."""
    run = workplace.call("def handler(*_):\n    return b'<p>'\n")

    assert (run.code, run.output) == (0, "<p>\n")


def test_events_from_a_file_and_from_standard_input(workplace: Workplace) -> None:
    """`--event` names a file, or `-` for standard input."""
    (workplace.folder / "event.json").write_text('{"from": "file"}', encoding="utf-8")
    artifact = workplace.artifact({"app.py": ECHO})
    options = (artifact, "--handler", "app.handler", "-q", "--event")

    assert workplace.invoke(*options, "event.json").output == '{"from": "file"}\n'
    with workplace.started(*options, "-") as process:
        assert process.communicate('["stdin"]', timeout=60)[0] == '["stdin"]\n'


def test_results_as_json(workplace: Workplace) -> None:
    """`--json` has the answers, the figures and what ran them."""
    run = workplace.call(ECHO, "--event", "[1]", "--repeat", "2", "--json")
    report = json.loads(run.output)

    schema = json.loads((ROOT / "docs" / "schema" / "invoke.schema.json").read_text("utf-8"))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(report)] == []
    assert [each["answer"] for each in report["invocations"]] == [[1], [1]]
    assert [each["init_duration"] is None for each in report["invocations"]] == [False, True]
    assert all(each["error_type"] is None for each in report["invocations"])
    assert (report["schema"], report["handler"], report["runtime"]) == (1, "app.handler", RUNTIME)


def test_failure_as_json(workplace: Workplace) -> None:
    """With `--json` a failure is in the one document that is printed."""
    run = workplace.call("def handler(*_):\n    raise ValueError('no')\n", "--json")
    (result,) = json.loads(run.output)["invocations"]

    assert run.code == 9
    assert (result["error_type"], result["error_message"]) == ("ValueError", "no")
    assert result["answer"]["errorType"] == "ValueError"


# --- failures ---------------------------------------------------------------------------

FAILURES = {
    "exception": (
        "def handler(*_):\n    raise ValueError('no number')\n",
        "ValueError",
        "no number",
        "the log above has the traceback",
    ),
    "at-import": ("raise OSError('no disk')\n", "OSError", "no disk", "the log above"),
    "missing-module": (
        "import missing_module\n",
        "Runtime.ImportModuleError",
        "Unable to import module 'app': No module named 'missing_module'",
        "`missing_module` is neither in the artifact nor in its layers",
    ),
    "no-handler": (
        "other = 1\n",
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'app'",
        "define `handler` in the module `app`",
    ),
    "syntax": (
        "def handler(:\n",
        "Runtime.UserCodeSyntaxError",
        "Syntax error in module 'app'",
        "the code is read by Python 3.",
    ),
    "exit": (
        "import os\ndef handler(*_):\n    os._exit(0)\n",
        "Runtime.ExitError",
        "Error: Runtime exited without providing a reason",
        "the process of the function has ended",
    ),
    "exit-at-import": (
        "import os\nos._exit(4)\n",
        "Runtime.ExitError",
        "Error: Runtime exited with error: exit status 4",
        "the process of the function has ended",
    ),
    "killed": (
        "import os\ndef handler(*_):\n    os.kill(os.getpid(), 11)\n",
        "Runtime.ExitError",
        "Error: Runtime exited with error: signal: segmentation fault",
        "a crash in machine code",
    ),
    "no-json": (
        "def handler(*_):\n    return object()\n",
        "Runtime.MarshalError",
        "Unable to marshal response: Object of type object is not JSON serializable",
        "return what JSON can contain",
    ),
    "too-large": (
        "def handler(*_):\n    return 'x' * 7_000_000\n",
        "Function.ResponseSizeTooLarge",
        "Response payload size (7000002 bytes) exceeded maximum allowed payload size",
        "return less",
    ),
    "timeout": (
        "import time\ndef handler(*_):\n    time.sleep(60)\n",
        "Sandbox.Timedout",
        "Error: Task timed out after 1.50 seconds",
        "allow more than 1.5 seconds with `--timeout`",
    ),
    "memory": (
        "import time\ndef handler(*_):\n    kept = bytearray(300_000_000)\n    time.sleep(60)\n",
        "Runtime.OutOfMemory",
        "Error: Runtime exited with error: signal: killed",
        "allow more with `--memory`",
    ),
}


RARE = {"at-import", "exit-at-import", "no-handler", "syntax", "exit"}
"""Failures that say little when the others are as they should be."""


@pytest.mark.parametrize(
    ("code", "kind", "message", "hint"),
    [
        pytest.param(*each, id=name, marks=[pytest.mark.nightly] if name in RARE else [])
        for name, each in FAILURES.items()
    ],
)
def test_failures_are_lambdas(
    workplace: Workplace, code: str, kind: str, message: str, hint: str
) -> None:
    """A failure is answered as Lambda answers it, with a remedy, and exit code 9."""
    if kind == "Runtime.OutOfMemory" and sys.platform != "linux":
        pytest.skip("the system does not tell how much memory a process has")

    run = workplace.call(code, "--timeout", "1.5" if kind == "Sandbox.Timedout" else "30")
    answer = json.loads(run.output)

    assert run.code == 9
    assert answer["errorType"] == kind
    assert message in answer["errorMessage"]
    assert f"error: the function failed: {kind}\n" in run.errors
    assert hint in run.errors.rpartition("\nhint: ")[2]


def test_deep_recursion_is_an_error_like_others(workplace: Workplace) -> None:
    """Awslambdaric sends a traceback of a thousand lines in a header."""
    run = workplace.call("def handler(*_):\n    return handler(*_)\n")

    assert run.code == 9
    assert json.loads(run.output)["errorType"] == "RecursionError"


def test_answer_that_only_python_takes_for_json(workplace: Workplace) -> None:
    """`NaN` is passed on as Lambda does it, and is a text in the document of `--json`."""
    run = workplace.call("def handler(*_):\n    return float('nan')\n", "--json")

    assert json.loads(run.output)["invocations"][0]["answer"] == "NaN"


def test_handler_that_is_not_there(workplace: Workplace) -> None:
    """A handler in a module that the zip does not contain is told from a missing package."""
    run = workplace.call(ECHO, name="ap.handler")

    assert run.code == 9
    assert "nothing in the artifact is called `ap`: name another one with `--handler`" in run.errors


def test_module_that_a_package_does_not_have(workplace: Workplace) -> None:
    """A missing module of a package is told from a missing package, without `__init__.py` too."""
    files = {"app.py": "import space.other\n", "space/part.py": ""}

    run = workplace.invoke(workplace.artifact(files), "--handler", "app.handler")

    assert run.code == 9
    assert "the artifact contains `space`, but not `space.other`" in run.errors


def test_tracebacks_are_lines(workplace: Workplace) -> None:
    """Awslambdaric separates the lines of a traceback by carriage returns; a terminal would not."""
    run = workplace.call("def handler(*_):\n    raise KeyError('k')\n")

    assert "[ERROR] KeyError: 'k'\nTraceback (most recent call last):\n" in run.errors


# --- the environment --------------------------------------------------------------------


def environment_of(run_output: str) -> dict[str, str]:
    """Read what a handler returned."""
    found: dict[str, str] = json.loads(run_output)
    return {name: value for name, value in found.items() if name != "LC_CTYPE"}  # of Python


def test_nothing_of_the_users_environment(workplace: Workplace) -> None:
    """The function sees Lambda's variables and those that it is given."""
    artifact = workplace.artifact({"app.py": "import os\ndef handler(*_): return dict(os.environ)"})
    secrets = {
        "AWS_ACCESS_KEY_ID": "AKIASECRET",
        "AWS_SECRET_ACCESS_KEY": "sesame-aws",
        "AWS_PROFILE": "sesame-profile",
        "DATABASE_URL": "postgres://user:sesame-db@db.example",
        "UV_INDEX_OWN_PASSWORD": "sesame-index",
        "PYTHONSTARTUP": "sesame-file",
    }
    (workplace.folder / "vars").write_text("# mine\nexport GREETING='hello # you'\nN=1\n\n")
    options = ("--handler", "app.handler", "--env-file", "vars", "--env", "N=2=3")

    run = workplace.invoke(artifact, *options, **secrets)
    found = environment_of(run.output)

    assert "sesame" not in run.output
    assert "AKIASECRET" not in run.output
    assert set(found) == EXPECTED | {"GREETING", "N"}
    assert (found["GREETING"], found["N"]) == ("hello # you", "2=3")
    assert found["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{RUNTIME}"
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "function"
    assert found["_HANDLER"] == "app.handler"
    assert (found["TZ"], found["AWS_REGION"]) == (":UTC", "us-east-1")
    assert not Path(found["HOME"]).exists()


def test_credentials_are_passed_on_demand(workplace: Workplace) -> None:
    """With `--pass-credentials` the SDK finds what it would find, and nothing else is passed."""
    artifact = workplace.artifact({"app.py": "import os\ndef handler(*_): return dict(os.environ)"})
    given = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_PROFILE": "mine",
    }

    run = workplace.invoke(
        *(artifact, "--handler", "app.handler", "--pass-credentials"),
        **given,
        DATABASE_URL="sesame",
    )
    found = environment_of(run.output)

    assert {name: found[name] for name in given} == given
    assert found["AWS_SHARED_CREDENTIALS_FILE"] == str(
        workplace.folder / "home" / ".aws" / "credentials"
    )
    assert set(found) == EXPECTED - {"AWS_EC2_METADATA_DISABLED"} | {
        *given,
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
    }


LOOK = """\
import os, stat, sys, tempfile

def modes(folder):
    for root, folders, files in os.walk(folder):
        for name in (".", *files):
            yield stat.S_IMODE(os.stat(os.path.join(root, name)).st_mode)

def handler(event, context):
    return {
        "path": sys.path,
        "cwd": os.getcwd(),
        "task": os.environ["LAMBDA_TASK_ROOT"],
        "modes": sorted({oct(mode) for mode in modes(os.getcwd())}),
        "temporary": [tempfile.gettempdir(), os.listdir(tempfile.gettempdir())],
        "own": [name for name in ("pytest", "packaging") if find(name)],
        "remaining": context.get_remaining_time_in_millis(),
    }

def find(name):
    import importlib.util
    return importlib.util.find_spec(name)
"""


def test_folders_and_module_search(workplace: Workplace) -> None:
    """Code, layers, runtime, standard library: in this order, and nothing of the user's Python."""
    run = workplace.call(LOOK, "--timeout", "20")
    found = json.loads(run.output)
    task = found["task"]
    opt = str(Path(task).with_name("opt"))

    assert found["cwd"] == task
    assert found["path"][:3] == [task, f"{opt}/{SITE_PACKAGES}", f"{opt}/python"]
    assert "/packages/" in found["path"][3]
    assert any(each.endswith(f"/lib/{RUNTIME}") for each in found["path"][4:])
    assert found["own"] == []
    assert found["modes"] == ["0o444", "0o555"]
    assert found["temporary"] == [str(Path(task).with_name("tmp")), []]
    assert 10_000 < found["remaining"] <= 20_000


def test_layers_in_their_order(workplace: Workplace) -> None:
    """The last layer that has a file wins; the versioned folder comes before the other one."""
    first = {"python/a.py": "n = 1", "python/b.py": "n = 1", f"{SITE_PACKAGES}/c.py": "n = 1"}
    second = {"python/b.py": "n = 2", "python/c.py": "n = 2", "lib/data": "x"}
    layers = [workplace.artifact(first, "1.zip"), workplace.artifact(second, "2.zip")]
    code = "import a, b, c\ndef handler(*_): return [a.n, b.n, c.n]\n"

    run = workplace.call(code, "-q", "--layer", str(layers[0]), "--layer", str(layers[1]))

    assert run.output == "[1, 2, 1]\n"


@pytest.mark.parametrize(
    "name",
    [
        "1st.handler",
        "src/handlers/x.handler",
        pytest.param("ns.sub.app.handler", marks=pytest.mark.nightly),
    ],
)
def test_forms_of_handlers(workplace: Workplace, name: str) -> None:
    """A handler may lie in a folder, or in a file that Python could not import by a statement."""
    module = name.rpartition(".")[0].replace(".", "/")
    artifact = workplace.artifact({f"{module}.py": ECHO})

    assert workplace.invoke(artifact, "--handler", name, "-q").output == "{}\n"


# --- projects ---------------------------------------------------------------------------


def test_project_is_built_first(workplace: Workplace) -> None:
    """The zip is the one that a build writes, and its handler is called."""
    setting = f'\n[tool.lambda-build]\nhandler = "demo.app.handler"\nruntime = "{RUNTIME}"\n'
    project = a_project(workplace.folder / "project", extra=setting)

    run = workplace.invoke(project, "--event", "[1]", "-q")
    (built,) = (project / "dist").glob("*.zip")
    content = built.read_bytes()
    run_lambda_build(cwd=project, environ=workplace.environ())

    assert (run.code, run.output) == (0, "[1]\n"), run.errors
    assert built.read_bytes() == content


@pytest.mark.skipif(sys.version_info < (3, 11), reason="quickstart needs Python 3.11")
@pytest.mark.skipif(sys.platform != "linux", reason="its packages have machine code")
def test_quickstart(workplace: Workplace) -> None:
    """numpy, pydantic, cryptography and requests do their work."""
    project = shutil.copytree(ROOT / "fixtures" / "projects" / "quickstart", workplace.folder / "q")
    options = ("--runtime", RUNTIME, "--arch", own_architecture(), "--timeout", "60", "-q")

    run = run_lambda_build(
        *("invoke", project, "--memory", "512", *options),
        cwd=workplace.folder,
        environ={**os.environ, **workplace.runtime},
    )

    assert run.code == 0, run.errors
    assert set(json.loads(run.output)["versions"]) == {
        *("cryptography", "numpy", "pydantic", "requests")
    }


SPLIT = f"""
[tool.lambda-build]
runtime = "{RUNTIME}"

[tool.lambda-build.artifacts.code]
contents = "project"
handler = "demo.app.handler"
provided-by = ["{{layer}}"]

[tool.lambda-build.artifacts.copy]
handler = "demo.app.handler"
"""


def test_provided_layers_are_there(workplace: Workplace) -> None:
    """Of several artifacts one is chosen, and what it is provided by is its layer."""
    workplace.artifact({"python/extra.py": "n = 5"}, "layer.zip")
    project = a_project(
        workplace.folder / "project", extra=SPLIT.format(layer=workplace.folder / "layer.zip")
    )
    app = project / "src" / "demo" / "app.py"
    app.write_text("def handler(event, context):\n    import extra\n    return extra.n\n")

    chosen = workplace.invoke(project, "--artifact", "code", "-q")
    either = workplace.invoke(project)

    assert (chosen.code, chosen.output) == (0, "5\n"), chosen.errors
    assert either.code == 2
    assert "the project builds 2 functions" in either.errors


def test_bytecode_without_sources(workplace: Workplace) -> None:
    """An artifact of bytecode runs in the Python that it was compiled for."""
    setting = (
        f'\n[tool.lambda-build]\nhandler = "demo.app.handler"\nruntime = "{RUNTIME}"\n'
        "bytecode-only = true\n"
    )
    project = a_project(workplace.folder / "project", extra=setting)

    run = workplace.invoke(project, "--event", "[2]", "-q")

    assert (run.code, run.output) == (0, "[2]\n"), run.errors


# --- nothing is left behind -------------------------------------------------------------

HIDING = """\
import os
def handler(event, context):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.chdir("/")
        pid = os.fork()
        if pid:
            os.write(writing, str(pid).encode())
            os._exit(0)
        os.closerange(0, 100)
        os.execve("/bin/sleep", ["sleep", "300"], {})
    return int(os.read(reading, 100))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who started what")
def test_daemon_that_hides_ends_with_the_function(workplace: Workplace) -> None:
    """A daemon without environment, files, and working directory of the function is found."""
    run = workplace.call(HIDING)

    assert run.code == 0
    assert gone(lambda: runs(int(run.output)))


FORKING = """\
import os, subprocess, sys
def handler(event, context):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
        start_new_session=True, env={})
    if event:
        with open(event, "w") as file:
            file.write(f"{os.getpid()} {child.pid}\\n")
        import time
        time.sleep(300)
    return child.pid
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who left the session")
def test_children_of_the_handler_end_with_it(workplace: Workplace) -> None:
    """A child in a session of its own is ended, and no folder stays."""
    run = workplace.call(FORKING, "--event", "null")

    assert run.code == 0
    assert gone(lambda: runs(int(run.output)))
    assert list(workplace.temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who left the session")
@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.nightly)],
)
def test_nothing_is_left_of_a_killed_command(workplace: Workplace, number: int) -> None:
    """Whatever ends the command ends the function, and removes the folder."""
    note = workplace.folder / "note"
    artifact = workplace.artifact({"app.py": FORKING})
    options = ("--handler", "app.handler", "--timeout", "300", "--event", json.dumps(str(note)))
    with workplace.started(artifact, *options) as process:
        assert gone(lambda: not note.exists() or not note.read_text().endswith("\n"))
        pids = [int(pid) for pid in note.read_text().split()]
        assert all(map(runs, pids))
        process.send_signal(number)
        process.communicate(timeout=30)

    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert gone(lambda: any(map(runs, pids)))
    assert gone(lambda: any(workplace.temporary.iterdir()))
