"""Measure `lambda-build invoke`: a cold and a warm invocation, beside plain Python.

In: fixtures/projects/quickstart, built for python3.13 and the processor of this machine. Out: a
table of times, and with `--json` the same as data. `README.md` says what is measured. Like
bench.py it is a report: only a command that fails makes the exit code other than 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from lambda_build_plugin.system.interpreters import find_interpreter

_HERE = Path(__file__).resolve().parent
_PROJECT = _HERE.parent / "fixtures" / "projects" / "quickstart"
_HANDLER = "quickstart.app.handler"
_WORK = _HERE / ".work" / "invoke"
_PYTHON = (3, 13)
_RUNTIME = "python3.13"
_COLD_LIMIT = 1.5  # seconds
_WARM_LIMIT = 5.0  # milliseconds
_REPEAT = 100
_ECHO = "def handler(event, context):\n    return event\n"
_PLAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); from quickstart import app; app.handler({}, None)"
)


def lambda_build() -> str:
    """Find the program beside the Python that runs this file."""
    program = shutil.which("lambda-build", path=str(Path(sys.executable).parent))
    if program is None:
        sys.exit(f"no `lambda-build` beside {sys.executable}: run `make bench`")
    return program


def output_of(*command: str | Path) -> str:
    """Run a program and return what it prints; end with its errors if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stderr}")
    return result.stdout


def seconds(command: list[str], rounds: int) -> dict[str, float]:
    """Run a program several times: the median and the least wall time, and the CPU time."""
    walls, cpus = [], []
    for _ in range(rounds):
        before, begin = os.times(), time.perf_counter()
        output_of(*command)
        walls.append(time.perf_counter() - begin)
        after = os.times()
        cpus.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return {
        "median_seconds": round(statistics.median(walls), 3),
        "min_seconds": round(min(walls), 3),
        "median_cpu_seconds": round(statistics.median(cpus), 3),
    }


def warm(program: str, artifact: Path, cache: Path) -> dict[str, float]:
    """Invoke a handler that returns its event, many times in one process: milliseconds."""
    options = ("--handler", "app.handler", "--runtime", _RUNTIME, "--repeat", str(_REPEAT))
    text = output_of(program, "invoke", artifact, *options, "--json", "-q", "--cache-dir", cache)
    durations = [each["duration"] for each in json.loads(text)["invocations"][1:]]
    return {
        "median_milliseconds": round(statistics.median(durations), 2),
        "min_milliseconds": round(min(durations), 2),
        "max_milliseconds": round(max(durations), 2),
        "limit_milliseconds": _WARM_LIMIT,
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Build what is needed, fill the cache by a run that does not count, and measure."""
    program, cache = lambda_build(), _WORK / "cache"
    shutil.rmtree(_WORK / "project", ignore_errors=True)
    shutil.copytree(_PROJECT, _WORK / "project")
    machine = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
    artifact, plain = _WORK / "package.zip", _WORK / "plain"
    target = ("--runtime", _RUNTIME, "--arch", machine, "--cache-dir", str(cache))
    output_of(program, _WORK / "project", *target, "--output", artifact)
    with zipfile.ZipFile(artifact) as archive:
        shutil.rmtree(plain, ignore_errors=True)
        archive.extractall(plain)
    echo = _WORK / "echo.zip"
    with zipfile.ZipFile(echo, "w") as archive:
        member = zipfile.ZipInfo("app.py")
        member.external_attr = 0o644 << 16
        archive.writestr(member, _ECHO)
    python = find_interpreter(_PYTHON, environ=os.environ, home=Path.home(), need="this").path
    invoke = [program, "invoke", str(artifact), "--handler", _HANDLER, *target]
    output_of(*invoke)
    return {
        "lambda-build invoke, quickstart's zip": {
            **seconds(invoke, rounds),
            "limit_seconds": _COLD_LIMIT,
        },
        "python -c, the same handler from an unpacked zip": seconds(
            [str(python), "-S", "-B", "-c", _PLAIN, str(plain)], rounds
        ),
        "lambda-build --version": seconds([program, "--version"], rounds),
        "a warm invocation of a handler that returns its event": warm(program, echo, cache),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure `lambda-build invoke`.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    for name, figures in found.items():
        print(name)
        for unit, value in figures.items():
            print(f"  {unit.replace('_', ' '):22} {value:8.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
