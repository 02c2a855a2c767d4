"""Compare one run for 50 functions with 50 single runs, and with uv's recipe for each function.

In: the workspace of `workspace.py`. Out: a table of times, and with `--json` the same as data.
The zips of one run have to be those of the single runs, byte for byte; apart from that and
from commands that fail, nothing makes the exit code other than 0. What is measured, and how,
stands in `README.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import FailedProcessError, Sample, measured, together
from benchmarks.workspace import FUNCTIONS, function_names, write_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE / ".work" / "monorepo"
_LOCKS = _HERE.parent / "locks"
_PLATFORM = "aarch64-manylinux_2_34"
_MEASURED_OF_UV = 5

_SINGLE_GOAL = 5
_UV_GOAL = 50
_PEAK_GOAL = 150


class DifferentBytesError(Exception):
    """A function has other bytes if it is built together with others."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    environment = _environment()
    _prepare(environment)
    rounds = [dict(_round(environment)) for _ in range(arguments.rounds)]
    found = {
        name: Sample(
            seconds=statistics.median(each[name].seconds for each in rounds),
            cpu=statistics.median(each[name].cpu for each in rounds),
            peak=max(each[name].peak for each in rounds),
        )
        for name in rounds[0]
    }
    ratios = {
        name: statistics.median(each[name].seconds / each["one run"].seconds for each in rounds)
        for name in found
    }
    sys.stdout.write(_table(found, ratios))
    if arguments.json:
        data = {name: vars_of(sample) for name, sample in found.items()}
        text = json.dumps({"samples": data, "ratios": ratios}, indent=2, sort_keys=True)
        Path(arguments.json).write_text(f"{text}\n", encoding="utf-8")
    return 0


def vars_of(sample: Sample) -> dict[str, float]:
    """Give a sample as the JSON report has it."""
    return {"seconds": sample.seconds, "cpu": sample.cpu, "peak_mb": sample.peak}


def _environment() -> dict[str, str]:
    """Give the environment of every child; the caller's index settings stay in it."""
    kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    return {
        **kept,
        "LAMBDA_BUILD_CACHE_DIR": str(_ROOT / "cache" / "ours"),
        "UV_BUILD_CONSTRAINT": str(_LOCKS / "backends.txt"),
        "UV_CACHE_DIR": str(_ROOT / "cache" / "uv"),
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }


def _prepare(environment: Mapping[str, str]) -> None:
    """Generate and lock the workspace, and fill both caches by one run that does not count."""
    shutil.rmtree(_ROOT / "workspace", ignore_errors=True)
    write_workspace(_ROOT / "workspace")
    _say("locking, and filling the caches")
    _timed([_program("uv"), "lock"], environment)
    _timed([_program("lambda-build"), "--workspace"], environment)
    for name in _of_uv():
        _uv_recipe(name, environment)


def _round(environment: Mapping[str, str]) -> Iterator[tuple[str, Sample]]:
    """Measure everything once.

    Raises:
        DifferentBytesError: A zip depends on what is built beside it.
    """
    ours = _program("lambda-build")
    _say("single runs")
    _remove_zips()
    folders = [f"functions/{name}" for name in function_names()]
    yield (
        f"{FUNCTIONS} single runs",
        together(_timed([ours, folder], environment) for folder in folders),
    )
    alone = _digests()
    for name, options in (("one run", []), ("one run, --jobs 1", ["--jobs", "1"])):
        _say(name)
        _remove_zips()
        yield name, _timed([ours, "--workspace", *options], environment)
        if _digests() != alone:
            raise DifferentBytesError(name)
    yield "one run, nothing changed", _timed([ours, "--workspace"], environment)
    _say("uv's recipe")
    of_uv = together(_uv_recipe(name, environment) for name in _of_uv())
    share = FUNCTIONS / _MEASURED_OF_UV
    yield (
        f"{FUNCTIONS} times uv's recipe",
        Sample(seconds=of_uv.seconds * share, cpu=of_uv.cpu * share, peak=of_uv.peak),
    )


def _of_uv() -> list[str]:
    """Choose the functions that uv's recipe is measured with, spread over all of them."""
    return function_names()[:: FUNCTIONS // _MEASURED_OF_UV]


def _uv_recipe(name: str, environment: Mapping[str, str]) -> Sample:
    """Follow "Deploying a zip archive" of uv's guide for one member of the workspace."""
    uv, folder = _program("uv"), _ROOT / "peer"
    shutil.rmtree(folder, ignore_errors=True)
    packages = folder / "packages"
    packages.mkdir(parents=True)
    lines = str(folder / "requirements.txt")
    export = [uv, "export", "--frozen", "--no-dev", "--no-editable", "--package", name, "-o", lines]
    install = [uv, "pip", "install", "--offline", "--no-installer-metadata"]
    install += ["--no-compile-bytecode", "--python-platform", _PLATFORM]
    install += ["--python-version", "3.13", "--target", str(packages), "-r", lines]
    if not (_ROOT / "cache" / "uv" / name).exists():  # the first time, with an empty cache
        install.remove("--offline")
    archive = [_program("zip"), "-r", "-q", str(folder / "package.zip"), "."]
    sample = together(
        (
            _timed(export, environment),
            _timed(install, environment),
            _timed(archive, environment, packages),
        )
    )
    (_ROOT / "cache" / "uv" / name).touch()
    return sample


def _timed(
    command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> Sample:
    """Run one process to its end; one that fails ends the benchmark."""
    place = folder or _ROOT / "workspace"
    try:
        return measured(command, environment, folder=place, log=_ROOT / "log.txt")
    except FailedProcessError as error:
        sys.exit(str(error))


def _program(name: str) -> str:
    """Find a program, by preference beside the Python that runs this file."""
    found = shutil.which(
        name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if found is None:
        sys.exit(f"there is no program `{name}`")
    return found


def _zips() -> list[Path]:
    return sorted((_ROOT / "workspace").glob("functions/*/dist/*.zip"))


def _remove_zips() -> None:
    for path in _zips():
        path.unlink()


def _digests() -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _zips()}


def _say(news: str) -> None:
    print(f"{news} …", file=sys.stderr)


def _table(found: Mapping[str, Sample], ratios: Mapping[str, float]) -> str:
    goals = {f"{FUNCTIONS} single runs": _SINGLE_GOAL, f"{FUNCTIONS} times uv's recipe": _UV_GOAL}
    lines = [
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "",
        f"{'':26}{'seconds':>9}{'CPU':>9}{'peak MB':>9}{'times one run':>15}",
    ]
    for name, sample in found.items():
        goal = f"  (goal: {goals[name]})" if name in goals else ""
        lines.append(
            f"{name:26}{sample.seconds:>9.2f}{sample.cpu:>9.2f}{sample.peak:>9.0f}"
            f"{ratios[name]:>15.1f}{goal}"
        )
    lines += [
        "",
        f"The peak is that of the largest process (goal: below {_PEAK_GOAL} MB a worker).",
        f"Of uv's recipe, {_MEASURED_OF_UV} functions are measured, and counted "
        f"{FUNCTIONS // _MEASURED_OF_UV} times.",
        f"The bytes of all {FUNCTIONS} zips are those of the single runs.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
