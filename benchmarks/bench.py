"""Compare `lambda-build` with the recipe of uv's guide for AWS Lambda.

In: the project beside this file, every version of which is pinned. Out: a table
of times, and with `--json` the same as data. The same project with a poetry.lock and with
a pdm.lock shows what `poetry build-lambda` and `pdm build --lambda` take beyond the start
of Poetry and PDM, and with Hatch what `hatch build -t lambda` takes beyond `-t wheel`. A
second project shows what `--bytecode` costs a build and saves an import. What is
measured, and how, stands in
`README.md`; each figure is that of whole processes, and it is a report: only a
command that fails makes the exit code other than 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.processes import FailedProcessError, measured, together

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.fetch.configuration import read_sources
from lambda_build_plugin.system.interpreters import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.processes import Sample

_HERE = Path(__file__).resolve().parent
_LOCKS = _HERE.parent / "locks"
_PYTHON = "3.13"
_RUNTIME = f"python{_PYTHON}"
_ARCHITECTURE = "arm64"
# The guide's aarch64-manylinux2014 is older than this runtime and leaves wheels out.
_PLATFORM = "aarch64-manylinux_2_34"
_PEAK_LIMIT = 100
_GOAL = 20
_DOOR_LIMIT = 1.4
"""Times the warm build: what a command of a host may take beyond the start of the host."""

_MEGABYTE = 1_000_000

_OURS = "lambda-build"
_GUIDE = "uv's guide"
_GUIDE_WITHOUT_ZIP = "uv's guide up to zip"
_FLOOR = "lambda-build --version"
_EDITED = "lambda-build after an edit"
_CAT = "cat of the wheels"
_CAT_LIMIT = 8
_WIDE = "lambda-build, large lock"
_WIDE_PACKAGES = 1000
_WIDE_LIMIT = 1.3
_MANY = "lambda-build, many artifacts"
_MANY_ARTIFACTS = 20
_MANY_LIMIT = 4
_COLD_UV = "uv pip install alone"
_COLD_LIMIT = 0.8
_POETRY = "poetry build-lambda"
_POETRY_FLOOR = "poetry --version"
_PDM = "pdm build --lambda"
_PDM_FLOOR = "pdm --version"
_HATCH = "hatch build -t lambda"
_HATCH_FLOOR = "hatch build -t wheel"

_IMPORTED = ("pandas", "boto3", "fastapi")
_IMPORTS_PROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "imports"
version = "1.0.0"
requires-python = ">=3.10"
dependencies = ["boto3==1.44.5", "fastapi==0.119.1", "numpy==2.2.6", "pandas==2.3.3"]

[tool.uv]
constraint-dependencies = [
    "annotated-types==0.8.0",
    "anyio==4.16.0",
    "botocore==1.44.8",
    "exceptiongroup==1.3.2",
    "idna==3.20",
    "jmespath==1.1.0",
    "pydantic==2.14.4",
    "pydantic-core==2.50.5",
    "python-dateutil==2.9.0.post0",
    "pytz==2026.6",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "starlette==0.48.0",
    "typing-extensions==4.16.0",
    "typing-inspection==0.4.5",
    "tzdata==2026.6",
    "urllib3==2.8.0",
]
"""
_IMPORT = """\
import importlib, sys, time
start = time.perf_counter()
importlib.import_module(sys.argv[1])
print(time.perf_counter() - start)
"""
_WITH_BYTECODE = "lambda-build --bytecode"
_BYTECODE_LIMIT = 1.5
_SAVING_LIMIT = 40


class BenchmarkError(Exception):
    """Nothing can be measured: a program is missing, or it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What is started; uv and ours stand beside the Python that runs this file."""

    uv: str
    ours: str | None
    """None where only the peer is measured."""

    zip: str | None
    """None where this machine has no such program."""

    with_poetry: bool = True
    """Whether Poetry, which is installed on the way, is measured too."""

    with_pdm: bool = True
    """The same of PDM."""

    with_hatch: bool = True
    """The same of Hatch."""

    @classmethod
    def found(
        cls, *, peer_only: bool, with_poetry: bool, with_pdm: bool, with_hatch: bool
    ) -> Programs:
        """Find the programs.

        Raises:
            BenchmarkError: one of our two is not installed.
        """
        return cls(
            uv=_beside_python("uv"),
            ours=None if peer_only else _beside_python("lambda-build"),
            zip=shutil.which("zip"),
            with_poetry=with_poetry and not peer_only,
            with_pdm=with_pdm and not peer_only,
            with_hatch=with_hatch and not peer_only,
        )


def _beside_python(name: str) -> str:
    folder = Path(sys.executable).parent
    program = shutil.which(name, path=str(folder))
    if program is None:
        raise BenchmarkError(f"no `{name}` beside {sys.executable}: run `make bench`")
    return program


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """The folder that all is made in; the caches stay there from run to run."""

    root: Path

    @property
    def project(self) -> Path:
        """The copy of the project, with its lock."""
        return self.root / "project"

    @property
    def edited_project(self) -> Path:
        """A copy of the project that is edited before each build."""
        return self.root / "edited-project"

    @property
    def wide_project(self) -> Path:
        """A copy of the project with a lock that has many packages that it does not use."""
        return self.root / "wide-project"

    @property
    def many_project(self) -> Path:
        """A copy of the project with many artifacts."""
        return self.root / "many-project"

    @property
    def poetry_project(self) -> Path:
        """The same project for Poetry, with its lock."""
        return self.root / "poetry-project"

    @property
    def poetry_zip(self) -> Path:
        """The package that `poetry build-lambda` writes."""
        return self.root / "poetry" / "package.zip"

    @property
    def poetry_host(self) -> Path:
        """The environment that holds Poetry and this plugin."""
        return self.root / "cache" / "poetry"

    @property
    def poetry(self) -> str:
        """Poetry itself."""
        return str(self.poetry_host / "bin" / "poetry")

    @property
    def pdm_project(self) -> Path:
        """The same project for PDM, with its lock."""
        return self.root / "pdm-project"

    @property
    def pdm_zip(self) -> Path:
        """The package that `pdm build --lambda` writes."""
        return self.root / "pdm" / "package.zip"

    @property
    def pdm_host(self) -> Path:
        """The environment that holds PDM, its backend and this plugin."""
        return self.root / "cache" / "pdm"

    @property
    def pdm(self) -> str:
        """PDM itself."""
        return str(self.pdm_host / "bin" / "pdm")

    @property
    def hatch_project(self) -> Path:
        """The same project for Hatch, with the lock of uv."""
        return self.root / "hatch-project"

    @property
    def hatch_output(self) -> Path:
        """What Hatch builds."""
        return self.root / "hatch"

    @property
    def hatch_host(self) -> Path:
        """The environment that holds Hatch."""
        return self.root / "cache" / "hatch"

    @property
    def hatch(self) -> str:
        """Hatch itself."""
        return str(self.hatch_host / "bin" / "hatch")

    @property
    def hatch_environment(self) -> dict[str, str]:
        """Where Hatch makes its build environment, anew for each state of our tree."""
        return {
            "HATCH_DATA_DIR": str(self.root / "hatch-data"),
            "LAMBDA_BUILD_CACHE_DIR": str(self.our_cache),
            "UV_CONSTRAINT": str(_LOCKS / "builds.txt"),
            # It would lead what Hatch installs into the environment of the benchmarks.
            "UV_PYTHON": "",
        }

    @property
    def peer(self) -> Path:
        """What the guide's commands make."""
        return self.root / "peer"

    @property
    def wheel(self) -> Path:
        """What building and installing the project's wheel makes."""
        return self.root / "wheel"

    @property
    def cold(self) -> Path:
        """The caches and results that are empty at the start of each cold run."""
        return self.root / "cold"

    @property
    def our_zip(self) -> Path:
        """The package that ours writes."""
        return self.root / "ours" / "package.zip"

    @property
    def peer_zip(self) -> Path:
        """The package that the guide's commands write."""
        return self.peer / "package.zip"

    @property
    def requirements(self) -> Path:
        """The lock as uv exports it."""
        return self.peer / "requirements.txt"

    @property
    def imports(self) -> Path:
        """The project whose packages are imported, and what is built of it."""
        return self.root / "imports"

    @property
    def our_cache(self) -> Path:
        """The cache of ours that is warm."""
        return self.root / "cache" / "ours"

    @property
    def uv_cache(self) -> Path:
        """The cache of uv that is warm: on one disk with the rest, so that uv can link."""
        return self.root / "cache" / "uv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One process."""

    name: str
    command: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Steps that are timed one after the other, from the same state each time."""

    name: str
    steps: tuple[Step, ...]
    fresh: tuple[Path, ...] = ()
    """Folders that are emptied before each run, outside the time taken."""

    edited: Path | None = None
    """A file that has another content in each run."""

    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: all runs of a contestant, or of one of its steps."""

    name: str
    samples: tuple[Sample, ...]
    steps: tuple[Row, ...] = ()

    @property
    def median(self) -> float:
        """The median of the times, in seconds."""
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def cpu(self) -> float:
        """The median of the times that processors were busy, in seconds."""
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def least(self) -> float:
        """The shortest time, in seconds."""
        return min(sample.seconds for sample in self.samples)

    @property
    def peak(self) -> float:
        """The largest resident set of all runs, in MB."""
        return max(sample.peak for sample in self.samples)

    def as_data(self) -> dict[str, object]:
        """Give the row as the JSON report holds it."""
        return {
            "name": self.name,
            "median_seconds": round(self.median, 4),
            "min_seconds": round(self.least, 4),
            "median_cpu_seconds": round(self.cpu, 4),
            "seconds": [round(sample.seconds, 4) for sample in self.samples],
            "peak_mb": round(self.peak, 1),
            "steps": [step.as_data() for step in self.steps],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """How long one package takes to import from an unpacked artifact."""

    name: str
    without: tuple[float, ...]
    with_bytecode: tuple[float, ...]
    """Seconds of each fresh process, which find no bytecode but that of the artifact."""

    @property
    def saving(self) -> float:
        """How much less it takes with bytecode, in percent."""
        medians = statistics.median(self.with_bytecode), statistics.median(self.without)
        return 100 * (1 - medians[0] / medians[1])

    def as_data(self) -> dict[str, object]:
        """Give the row as the JSON report holds it."""
        return {
            "name": self.name,
            "seconds_without": [round(value, 4) for value in self.without],
            "seconds_with_bytecode": [round(value, 4) for value in self.with_bytecode],
            "saving_percent": round(self.saving, 1),
            "saving_limit_percent": _SAVING_LIMIT,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that was measured."""

    packages: int
    """How many the peer installed, the project not counted."""

    warm: tuple[Row, ...]
    cold: tuple[Row, ...]
    our_size: float | None
    peer_size: float | None
    """Sizes of the packages in MB, where there are any."""

    bytecode: tuple[Row, ...] = ()
    imports: tuple[Import, ...] = ()

    @property
    def ratio_bytecode(self) -> float | None:
        """How many times as long a build takes with bytecode, with full caches."""
        return _ratio(self.bytecode, _WITH_BYTECODE)

    @property
    def ratio_edited(self) -> float | None:
        """How many times as long the guide's commands take as a build after an edit."""
        return _ratio(self.warm, _GUIDE, to=_EDITED)

    @property
    def ratio_edited_cpu(self) -> float | None:
        """The same of the time that processors are busy."""
        return _ratio(self.warm, _GUIDE, _cpu, to=_EDITED)

    @property
    def ratio_cat(self) -> float | None:
        """How many times as long processors are busy as with reading the wheels alone."""
        return _ratio(self.warm, _OURS, _cpu, to=_CAT)

    @property
    def ratio_wide(self) -> float | None:
        """How many times as long a build takes if the lock has many packages more."""
        return _ratio(self.warm, _WIDE)

    @property
    def ratio_many(self) -> float | None:
        """How many times as long a build of many artifacts takes."""
        return _ratio(self.warm, _MANY)

    @property
    def ratio_warm(self) -> float | None:
        """How many times as long the guide's commands take with full caches."""
        return _ratio(self.warm, _GUIDE)

    @property
    def ratio_warm_cpu(self) -> float | None:
        """The same of the time that processors are busy."""
        return _ratio(self.warm, _GUIDE, _cpu)

    @property
    def ratio_cold(self) -> float | None:
        """How many times as long a build takes as uv's install alone, with empty caches."""
        return _ratio(self.cold, _OURS, to=_COLD_UV)

    @property
    def poetry_share(self) -> float | None:
        """How many seconds `poetry build-lambda` takes beyond the start of Poetry."""
        return _share(self.warm, _POETRY, _POETRY_FLOOR)

    @property
    def pdm_share(self) -> float | None:
        """How many seconds `pdm build --lambda` takes beyond the start of PDM."""
        return _share(self.warm, _PDM, _PDM_FLOOR)

    @property
    def hatch_share(self) -> float | None:
        """How many seconds `hatch build -t lambda` takes beyond `hatch build -t wheel`."""
        return _share(self.warm, _HATCH, _HATCH_FLOOR)

    def door(self, share: float | None) -> float | None:
        """Compare what a door takes beyond its host with a build by our own command."""
        ours = next((row.median for row in self.warm if row.name == _OURS), None)
        return None if share is None or ours is None else share / ours

    @property
    def peak(self) -> float | None:
        """Our largest resident set, warm or cold, in MB."""
        names = (_OURS, _EDITED, _WIDE, _MANY)
        ours = [row.peak for row in (*self.warm, *self.cold) if row.name in names]
        return max(ours, default=None)

    def as_data(self) -> dict[str, object]:
        """Give the results as the JSON report holds them."""
        return {
            "schema": 2,
            "runtime": _RUNTIME,
            "architecture": _ARCHITECTURE,
            "packages": self.packages,
            "warm": [row.as_data() for row in self.warm],
            "cold": [row.as_data() for row in self.cold],
            "ratio_warm": _rounded(self.ratio_warm),
            "ratio_warm_cpu": _rounded(self.ratio_warm_cpu),
            "ratio_edited": _rounded(self.ratio_edited),
            "ratio_edited_cpu": _rounded(self.ratio_edited_cpu),
            "ratio_goal": _GOAL,
            "door_limit": _DOOR_LIMIT,
            "ratio_cat_cpu": _rounded(self.ratio_cat),
            "ratio_cat_cpu_limit": _CAT_LIMIT,
            "ratio_large_lock": _rounded(self.ratio_wide),
            "ratio_large_lock_limit": _WIDE_LIMIT,
            "ratio_many_artifacts": _rounded(self.ratio_many),
            "ratio_many_artifacts_limit": _MANY_LIMIT,
            "ratio_cold": _rounded(self.ratio_cold),
            "ratio_cold_limit": _COLD_LIMIT,
            "poetry_share_seconds": _rounded(self.poetry_share),
            "pdm_share_seconds": _rounded(self.pdm_share),
            "hatch_share_seconds": _rounded(self.hatch_share),
            "peak_mb": _rounded(self.peak),
            "peak_limit_mb": _PEAK_LIMIT,
            "bytecode": [row.as_data() for row in self.bytecode],
            "ratio_bytecode": _rounded(self.ratio_bytecode),
            "ratio_bytecode_limit": _BYTECODE_LIMIT,
            "imports": [each.as_data() for each in self.imports],
            "artifact_mb": _rounded(self.our_size),
            "peer_artifact_mb": _rounded(self.peer_size),
        }


def _seconds(sample: Sample) -> float:
    return sample.seconds


def _cpu(sample: Sample) -> float:
    return sample.cpu


def _ratio(
    rows: Sequence[Row],
    name: str,
    figure: Callable[[Sample], float] = _seconds,
    *,
    to: str = _OURS,
) -> float | None:
    """Compare the runs of each round, which met the same machine, and take the median."""
    samples = {row.name: row.samples for row in rows}
    if name not in samples or to not in samples:
        return None
    pairs = zip(samples[name], samples[to], strict=True)
    return statistics.median(figure(one) / figure(other) for one, other in pairs)


def _share(rows: Sequence[Row], door: str, floor: str) -> float | None:
    medians = {row.name: row.median for row in rows}
    return medians[door] - medians[floor] if door in medians else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


class _Arguments(argparse.Namespace):
    """The command line, typed."""

    rounds: int
    cold_rounds: int
    peer_only: bool
    poetry: bool
    pdm: bool
    hatch: bool
    import_rounds: int
    json: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit code."""
    arguments = _parser().parse_args(argv, namespace=_Arguments())
    try:
        programs = Programs.found(
            peer_only=arguments.peer_only,
            with_poetry=arguments.poetry,
            with_pdm=arguments.pdm,
            with_hatch=arguments.hatch,
        )
        results = measure(
            programs,
            rounds=arguments.rounds,
            cold_rounds=arguments.cold_rounds,
            import_rounds=0 if arguments.peer_only else arguments.import_rounds,
        )
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(results))
    if programs.zip is None:
        print("\nThere is no `zip` on this machine: the guide was followed up to it, no ratio.")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results.as_data(), indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare lambda-build with uv and zip.")
    parser.add_argument("--rounds", type=_at_least(1), default=7, help="with full caches (7)")
    parser.add_argument("--cold-rounds", type=_at_least(0), default=3, help="with empty ones (3)")
    parser.add_argument("--peer-only", action="store_true", help="leave lambda-build out")
    parser.add_argument(
        "--no-poetry", action="store_false", dest="poetry", help="leave Poetry's door out"
    )
    parser.add_argument("--no-pdm", action="store_false", dest="pdm", help="leave PDM's door out")
    parser.add_argument(
        "--no-hatch", action="store_false", dest="hatch", help="leave Hatch's door out"
    )
    parser.add_argument(
        "--import-rounds", type=_at_least(0), default=5, help="with and without bytecode (5)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    return parser


def _at_least(limit: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        number = int(text)
        if number < limit:
            raise argparse.ArgumentTypeError(f"{number} is below {limit}")
        return number

    return whole_number


def measure(programs: Programs, *, rounds: int, cold_rounds: int, import_rounds: int) -> Results:
    """Measure everything, with full caches and then with empty ones.

    Raises:
        BenchmarkError: a command failed.
    """
    shop = Workshop(root=_HERE / ".work")
    environment = _environment(shop)
    _prepare(programs, shop, environment)

    warm = _warm_contestants(programs, shop)
    _say("filling the caches")
    for contestant in warm:
        _run(contestant, environment)
    if programs.ours is not None:
        warm = (*warm, _cat(shop))
        _run(warm[-1], environment)
    # From here on neither side has anything to ask of the index.
    warm_rows = _alternated(warm, {**environment, "UV_OFFLINE": "1"}, rounds, "warm")
    cold_rows = _alternated(_cold_contestants(programs, shop), environment, cold_rounds, "cold")
    bytecode_rows, imports = _bytecode(programs, shop, environment, import_rounds)

    return Results(
        packages=sum(1 for _ in (shop.peer / "packages").glob("*.dist-info")),
        warm=warm_rows,
        cold=cold_rows,
        our_size=_size(shop.our_zip),
        peer_size=_size(shop.peer_zip),
        bytecode=bytecode_rows,
        imports=imports,
    )


def _environment(shop: Workshop) -> dict[str, str]:
    """Give the environment of every child; the caller's index settings stay in it."""
    unwanted = {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
    return {
        **{key: value for key, value in os.environ.items() if key not in unwanted},
        "UV_BUILD_CONSTRAINT": str(_LOCKS / "backends.txt"),
        "UV_CACHE_DIR": str(shop.uv_cache),
        "UV_NO_PROGRESS": "1",
        # Looking for a Python, or fetching one, is not what is compared.
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }


def _prepare(programs: Programs, shop: Workshop, environment: Mapping[str, str]) -> None:
    """Copy the project and lock it there: its lock names an index, so it is never committed."""
    _emptied(shop.root, keep=shop.our_cache.parent)
    shutil.copytree(_HERE / "project", shop.project)
    for folder in (shop.our_zip.parent, shop.peer, shop.wheel, shop.cold):
        folder.mkdir()
    lock = Step(name="uv lock", command=(programs.uv, "lock"), folder=shop.project)
    _run_step(lock, environment)
    _prepare_growth(shop)
    if programs.with_poetry:
        _prepare_poetry(programs, shop, environment)
    if programs.with_pdm:
        _prepare_pdm(programs, shop, environment)
    if programs.with_hatch:
        _prepare_hatch(programs, shop, environment)


def _prepare_growth(shop: Workshop) -> None:
    """Copy the locked project, to be edited, to have a large lock, and to have many artifacts."""
    for folder in (shop.edited_project, shop.wide_project, shop.many_project):
        shutil.copytree(shop.project, folder)
    packages = "".join(map(_unused_package, range(_WIDE_PACKAGES)))
    with (shop.wide_project / "uv.lock").open("a", encoding="utf-8") as lock:
        lock.write(packages)
    tables = (
        f'[tool.lambda-build.artifacts.a{number}]\nhandler = "ledger.app.handler"\n'
        for number in range(_MANY_ARTIFACTS)
    )
    with (shop.many_project / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        pyproject.write("\n" + "".join(tables))


def _unused_package(number: int) -> str:
    """Write a package of a lock, with as many wheels as one with an extension module has."""
    name, version = f"unused-{number}", "1.0.0"
    files = "".join(
        f'    {{ url = "https://files.example/unused_{number}-{version}-cp3{minor}-cp3{minor}'
        f'-{platform}.whl", hash = "sha256:{number:060x}{minor:04x}", size = 1000 }},\n'
        for minor in range(9, 14)
        for platform in ("macosx_11_0_arm64", "manylinux_2_17_x86_64", "win_amd64")
    )
    return (
        f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n'
        'source = { registry = "https://index.example/simple" }\n'
        f'dependencies = [{{ name = "unused-{max(number - 1, 0)}" }}]\n'
        f"wheels = [\n{files}]\n"
    )


def _prepare_poetry(programs: Programs, shop: Workshop, environment: Mapping[str, str]) -> None:
    """Install Poetry with this plugin, and lock the project with it."""
    _say("installing Poetry")
    shutil.copytree(_HERE / "project", shop.poetry_project)
    shop.poetry_zip.parent.mkdir()
    pyproject = shop.poetry_project / "pyproject.toml"
    pyproject.write_text(_for_poetry(pyproject), encoding="utf-8")
    for step in (
        *_host_steps(programs, shop, shop.poetry_host, "poetry-with-plugin"),
        Step(name="poetry lock", command=(shop.poetry, "lock"), folder=shop.poetry_project),
    ):
        _run_step(step, environment)


def _prepare_hatch(programs: Programs, shop: Workshop, environment: Mapping[str, str]) -> None:
    """Install Hatch, and let it have this plugin in its build environment."""
    _say("installing Hatch")
    shutil.copytree(shop.project, shop.hatch_project)
    shop.hatch_output.mkdir()
    with (shop.hatch_project / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        pyproject.write(
            "[tool.hatch.build.targets.lambda]\n"
            f'runtime = "{_RUNTIME}"\narchitecture = "{_ARCHITECTURE}"\n'
            f'dependencies = ["lambda-build-plugin @ {_HERE.parent.as_uri()}"]\n'
        )
    python = str(shop.hatch_host / "bin" / "python")
    for step in (
        Step(
            name="uv venv",
            command=(programs.uv, "venv", "--clear", str(shop.hatch_host)),
            folder=shop.root,
        ),
        Step(
            name="uv pip install hatch",
            command=_pip_install(programs, python, *_locked("hatch")),
            folder=shop.root,
        ),
    ):
        _run_step(step, environment)


def _host_steps(programs: Programs, shop: Workshop, host: Path, lock: str) -> tuple[Step, ...]:
    """Make an environment with a host, of the lock of that name, and this plugin."""
    python = str(host / "bin" / "python")
    # The lock has what this plugin needs.
    ours = ("--no-deps", "--reinstall-package", "lambda-build-plugin", str(_HERE.parent))
    return (
        Step(
            name="uv venv",
            command=(programs.uv, "venv", "--clear", str(host)),
            folder=shop.root,
        ),
        Step(
            name=f"uv pip install ({lock})",
            command=_pip_install(programs, python, *_locked(lock)),
            folder=shop.root,
        ),
        Step(
            name="uv pip install (this plugin)",
            command=_pip_install(programs, python, *ours),
            folder=shop.root,
        ),
    )


def _pip_install(programs: Programs, python: str, *words: str) -> tuple[str, ...]:
    return (programs.uv, "pip", "install", "--python", python, *words)


def _locked(lock: str) -> tuple[str, ...]:
    """Name what the lock of a host holds, to `uv pip install`."""
    path = _LOCKS / "hosts" / f"{lock}.txt"
    return ("--require-hashes", "--no-deps", "--requirement", str(path))


def _prepare_pdm(programs: Programs, shop: Workshop, environment: Mapping[str, str]) -> None:
    """Install PDM with its backend and this plugin, and lock the project with it."""
    _say("installing PDM")
    shutil.copytree(_HERE / "project", shop.pdm_project)
    shop.pdm_zip.parent.mkdir()
    pyproject = shop.pdm_project / "pyproject.toml"
    pyproject.write_text(_for_pdm(pyproject), encoding="utf-8")
    named = {**environment, "PDM_PYTHON": str(shop.pdm_host / "bin" / "python")}
    for step in (
        *_host_steps(programs, shop, shop.pdm_host, "pdm-and-backend-with-plugin"),
        Step(name="pdm lock", command=(shop.pdm, "lock"), folder=shop.pdm_project),
    ):
        _run_step(step, named)


def _for_pdm(pyproject: Path) -> str:
    """Rewrite the project for PDM: its backend, uv's constraints as overrides, the index."""
    constraints = read_toml(pyproject).table("tool").table("uv").texts("constraint-dependencies")
    pins = (pin.replace("==", ' = "') + '"' for pin in constraints)
    text = pyproject.read_text(encoding="utf-8").partition("[tool.uv]")[0]
    return "\n".join(
        [
            text.replace("hatchling>=1.27", "pdm-backend>=2.4").replace(
                "hatchling.build", "pdm.backend"
            ),
            "[tool.pdm.resolution.overrides]",
            *pins,
            "[[tool.pdm.source]]",
            'name = "pypi"',
            f'url = "{_index()}"',
            "",
        ]
    )


def _index() -> str:
    """Get the package index that this machine is configured with."""
    return read_sources(
        IndexOptions(), environ=os.environ, home=Path.home(), project=_HERE
    ).indexes[-1]


def _for_poetry(pyproject: Path) -> str:
    """Rewrite the project for Poetry: its backend, uv's constraints as a group, the index."""
    constraints = read_toml(pyproject).table("tool").table("uv").texts("constraint-dependencies")
    pins = (pin.replace("==", ' = "') + '"' for pin in constraints)
    text = pyproject.read_text(encoding="utf-8").partition("[tool.uv]")[0]
    for uvs, poetrys in (
        ("hatchling>=1.27", "poetry-core>=2"),
        ("hatchling.build", "poetry.core.masonry.api"),
        ('">=3.10"', '">=3.10,<4"'),  # Poetry locks for the whole range
    ):
        text = text.replace(uvs, poetrys)
    return "\n".join(
        [
            text,
            "[tool.poetry]",
            'packages = [{ include = "ledger", from = "src" }]',
            "[tool.poetry.group.constraints.dependencies]",
            *pins,
            "[[tool.poetry.source]]",
            f'name = "index"\nurl = "{_index()}"\npriority = "primary"\n',
        ]
    )


def _emptied(folder: Path, *, keep: Path | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry == keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _warm_contestants(programs: Programs, shop: Workshop) -> tuple[Contestant, ...]:
    peer = _guide(programs, shop)
    if programs.ours is None:
        return (peer,)
    build = _our_build(programs.ours, shop, shop.our_zip, shop.our_cache)
    ours = Contestant(name=_OURS, steps=(build,), fresh=(shop.our_zip.parent,))
    growth = _growth(programs.ours, shop)
    version = Step(name=_FLOOR, command=(programs.ours, "--version"), folder=shop.root)
    floor = Contestant(name=_FLOOR, steps=(version,))
    doors = (
        *(_poetry(shop) if programs.with_poetry else ()),
        *(_pdm(shop) if programs.with_pdm else ()),
        *(_hatch(shop) if programs.with_hatch else ()),
    )
    return (ours, peer, floor, *growth, *doors)


def _growth(program: str, shop: Workshop) -> tuple[Contestant, ...]:
    """Build after an edit, from a lock with many more packages, and many artifacts."""
    target = ("--runtime", _RUNTIME, "--arch", _ARCHITECTURE)
    found = []
    for name, project in (
        (_EDITED, shop.edited_project),
        (_WIDE, shop.wide_project),
        (_MANY, shop.many_project),
    ):
        output = project / "dist"
        places = ("--output", f"{output}/", "--cache-dir", str(shop.our_cache))
        command = (program, str(project), *target, *places)
        step = Step(name=name, command=command, folder=shop.root)
        edited = project / "src" / "ledger" / "edited.py" if name == _EDITED else None
        found.append(Contestant(name=name, steps=(step,), fresh=(output,), edited=edited))
    return tuple(found)


def _cat(shop: Workshop) -> Contestant:
    """Copy the wheels that ship: less is not possible."""
    lock = (shop.project / "uv.lock").read_text(encoding="utf-8")
    files = sorted((shop.our_cache / "files" / "sha256").glob("*/*"))
    wheels = [shlex.quote(str(file)) for file in files if file.name in lock]
    folder = shop.root / "cat"
    command = ("sh", "-c", f"cat {' '.join(wheels)} >{shlex.quote(str(folder / 'copy'))}")
    return Contestant(
        name=_CAT, steps=(Step(name=_CAT, command=command, folder=shop.root),), fresh=(folder,)
    )


def _poetry(shop: Workshop) -> tuple[Contestant, ...]:
    """Give Poetry's door, and the start of Poetry, which it cannot avoid."""
    build = Step(
        name=_POETRY,
        command=(
            *(shop.poetry, "build-lambda", "--runtime", _RUNTIME, "--arch", _ARCHITECTURE),
            *("--output", str(shop.poetry_zip), "--cache-dir", str(shop.our_cache)),
        ),
        folder=shop.poetry_project,
    )
    version = Step(
        name=_POETRY_FLOOR, command=(shop.poetry, "--version"), folder=shop.poetry_project
    )
    return (
        Contestant(name=_POETRY, steps=(build,), fresh=(shop.poetry_zip.parent,)),
        Contestant(name=_POETRY_FLOOR, steps=(version,)),
    )


def _hatch(shop: Workshop) -> tuple[Contestant, ...]:
    """Give Hatch's door, and the build of a wheel, which takes the same way."""
    return tuple(
        Contestant(
            name=name,
            steps=(
                Step(
                    name=name,
                    command=(shop.hatch, "build", "-t", target, str(shop.hatch_output)),
                    folder=shop.hatch_project,
                ),
            ),
            fresh=(shop.hatch_output,),
            environment=shop.hatch_environment,
        )
        for name, target in ((_HATCH, "lambda"), (_HATCH_FLOOR, "wheel"))
    )


def _pdm(shop: Workshop) -> tuple[Contestant, ...]:
    """Give PDM's door, and the start of PDM, which it cannot avoid."""
    build = Step(
        name=_PDM,
        command=(
            *(shop.pdm, "build", "--lambda", "--runtime", _RUNTIME, "--arch", _ARCHITECTURE),
            *("--output", str(shop.pdm_zip), "--cache-dir", str(shop.our_cache)),
        ),
        folder=shop.pdm_project,
    )
    version = Step(name=_PDM_FLOOR, command=(shop.pdm, "--version"), folder=shop.pdm_project)
    return (
        Contestant(name=_PDM, steps=(build,), fresh=(shop.pdm_zip.parent,)),
        Contestant(name=_PDM_FLOOR, steps=(version,)),
    )


def _our_build(program: str, shop: Workshop, output: Path, cache: Path) -> Step:
    target = ("--runtime", _RUNTIME, "--arch", _ARCHITECTURE)
    places = ("--output", str(output), "--cache-dir", str(cache))
    return Step(
        name=_OURS,
        command=(program, str(shop.project), *target, *places),
        folder=shop.root,
    )


def _guide(programs: Programs, shop: Workshop) -> Contestant:
    """Follow "Deploying a zip archive" of uv's guide, for the same project and target."""
    export = Step(
        name="uv export",
        command=(
            *(programs.uv, "export", "--frozen", "--no-dev", "--no-editable"),
            *("--no-emit-project", "-o", str(shop.requirements)),
        ),
        folder=shop.project,
    )
    install = _install(programs, shop, shop.peer / "packages")
    if programs.zip is None:
        return Contestant(name=_GUIDE_WITHOUT_ZIP, steps=(export, install), fresh=(shop.peer,))
    archive = Step(
        name="zip -r",
        command=(programs.zip, "-r", str(shop.peer_zip), "."),
        folder=shop.peer / "packages",
    )
    steps = (export, install, *_project_wheel(programs, shop), archive)
    return Contestant(name=_GUIDE, steps=steps, fresh=(shop.peer, shop.wheel))


def _install(programs: Programs, shop: Workshop, target: Path) -> Step:
    return Step(
        name="uv pip install",
        command=(
            *(programs.uv, "pip", "install", "--no-installer-metadata", "--no-compile-bytecode"),
            *("--python-platform", _PLATFORM, "--python-version", _PYTHON),
            *("--target", str(target), "-r", str(shop.requirements)),
        ),
        folder=shop.project,
    )


def _project_wheel(programs: Programs, shop: Workshop) -> tuple[Step, ...]:
    """Build the project's wheel and install it beside its dependencies."""
    wheel = shop.wheel / "ledger-1.0.0-py3-none-any.whl"
    build = Step(
        name="uv build --wheel",
        command=(programs.uv, "build", "--wheel", "--out-dir", str(shop.wheel)),
        folder=shop.project,
    )
    install = Step(
        name="uv pip install (the project)",
        command=(
            *(programs.uv, "pip", "install", "--no-deps", "--no-installer-metadata"),
            *("--target", str(shop.peer / "packages"), str(wheel)),
        ),
        folder=shop.project,
    )
    return (build, install)


def _cold_contestants(programs: Programs, shop: Workshop) -> tuple[Contestant, ...]:
    """Give ours as a whole, and of the peer only the install."""
    peer = Contestant(
        name=_COLD_UV,
        steps=(_install(programs, shop, shop.cold / "packages"),),
        fresh=(shop.cold,),
        environment={"UV_CACHE_DIR": str(shop.cold / "cache")},
    )
    if programs.ours is None:
        return (peer,)
    build = _our_build(programs.ours, shop, shop.cold / "package.zip", shop.cold / "cache")
    return (Contestant(name=_OURS, steps=(build,), fresh=(shop.cold,)), peer)


def _bytecode(
    programs: Programs, shop: Workshop, environment: Mapping[str, str], rounds: int
) -> tuple[tuple[Row, ...], tuple[Import, ...]]:
    """Measure builds and imports with and without bytecode, for this machine itself.

    Raises:
        BenchmarkError: a command failed, or no Python of the runtime's version is here.
    """
    if programs.ours is None or not rounds:
        return (), ()
    try:
        python = find_interpreter((3, 13), environ=environment, home=Path.home(), need="importing")
    except LambdaBuildError as error:
        raise BenchmarkError(f"{error.what}: `--import-rounds 0` does without") from error
    shop.imports.mkdir()
    (shop.imports / "pyproject.toml").write_text(_IMPORTS_PROJECT, encoding="utf-8")
    (shop.imports / "imports.py").write_text("import boto3, fastapi, pandas\n", encoding="utf-8")
    lock = Step(name="uv lock", command=(programs.uv, "lock"), folder=shop.imports)
    _run_step(lock, environment)
    contestants = []
    for name, flags in ((_OURS, ()), (_WITH_BYTECODE, ("--bytecode",))):
        machine = "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"
        command = (
            *(programs.ours, str(shop.imports), "--runtime", _RUNTIME, "--arch", machine),
            *("--cache-dir", str(shop.our_cache), *flags, "--output"),
        )
        unpacked = shop.imports / _folder(name)
        target = (str(shop.imports / "first.zip"), "--unpacked", str(unpacked))
        _run_step(Step(name=name, command=(*command, *target), folder=shop.root), environment)
        output = shop.imports / "built" / f"{_folder(name)}.zip"
        step = Step(name=name, command=(*command, str(output)), folder=shop.root)
        contestants.append(Contestant(name=name, steps=(step,), fresh=(output.parent,)))
    rows = _alternated(contestants, environment, rounds, "bytecode")
    return rows, tuple(_imported(name, python.path, shop, rounds) for name in _IMPORTED)


def _folder(name: str) -> str:
    return name.replace(" ", "")


def _imported(module: str, python: Path, shop: Workshop, rounds: int) -> Import:
    """Import a module in fresh processes, from the two artifacts in turn."""
    _say(f"importing {module}")
    found: dict[str, list[float]] = {_OURS: [], _WITH_BYTECODE: []}
    for _ in range(rounds):
        for name, seconds in found.items():
            folder = shop.imports / _folder(name)
            result = subprocess.run(
                [python, "-S", "-B", "-c", _IMPORT, module],
                env={"PYTHONPATH": str(folder)},
                cwd=shop.root,
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode:
                raise BenchmarkError(f"`import {module}` failed in {folder}\n{result.stderr}")
            seconds.append(float(result.stdout))
    return Import(
        name=module, without=tuple(found[_OURS]), with_bytecode=tuple(found[_WITH_BYTECODE])
    )


def _alternated(
    contestants: Sequence[Contestant],
    environment: Mapping[str, str],
    rounds: int,
    title: str,
) -> tuple[Row, ...]:
    """Run the contestants in turn, so that a slow moment of the machine meets them all."""
    runs: dict[str, list[tuple[Sample, ...]]] = {each.name: [] for each in contestants}
    for number in range(rounds):
        _say(f"{title}, round {number + 1} of {rounds}")
        for contestant in contestants:
            runs[contestant.name].append(_run(contestant, environment))
    return tuple(_row(each, runs[each.name]) for each in contestants if rounds)


def _run(contestant: Contestant, environment: Mapping[str, str]) -> tuple[Sample, ...]:
    for folder in contestant.fresh:
        _emptied(folder)
    if contestant.edited is not None:
        contestant.edited.write_text(f"number = {time.time_ns()}\n", encoding="utf-8")
    # Else the disk is still busy with what the one before has left.
    os.sync()
    return tuple(
        _run_step(step, {**environment, **contestant.environment}) for step in contestant.steps
    )


def _run_step(step: Step, environment: Mapping[str, str]) -> Sample:
    """Run one process to its end.

    Raises:
        BenchmarkError: it failed; the message holds what it said.
    """
    log = _HERE / ".work" / "log.txt"
    try:
        return measured(step.command, environment, folder=step.folder, log=log)
    except FailedProcessError as error:
        raise BenchmarkError(f"`{step.name}` has failed: {error}") from error


def _row(contestant: Contestant, runs: Sequence[tuple[Sample, ...]]) -> Row:
    """Add up the steps of each run; a single step needs no line of its own."""
    steps = tuple(
        Row(name=step.name, samples=samples)
        for step, samples in zip(contestant.steps, zip(*runs, strict=True), strict=True)
    )
    return Row(
        name=contestant.name,
        samples=tuple(together(run) for run in runs),
        steps=steps if len(steps) > 1 else (),
    )


def _size(file: Path) -> float | None:
    return file.stat().st_size / _MEGABYTE if file.exists() else None


def _say(news: str) -> None:
    print(news, file=sys.stderr, flush=True)


def table(results: Results) -> str:
    """Give the results as text."""
    head = f"{results.packages} packages for {_RUNTIME} on {_ARCHITECTURE}"
    return "\n".join(
        [
            *_section(f"{head}, full caches", results.warm),
            *_section(f"{head}, empty caches", results.cold),
            *_section(f"{', '.join(_IMPORTED)} for this machine, full caches", results.bytecode),
            *(_figure(name, value, "x", remark) for name, value, remark in _reach(results)),
            _figure(
                "with bytecode",
                results.ratio_bytecode,
                "x",
                f"{_WITH_BYTECODE} / {_OURS}, full caches, limit {_BYTECODE_LIMIT} x",
            ),
            *(
                _figure(
                    f"import {each.name}",
                    each.saving,
                    "%",
                    f"less with bytecode ({statistics.median(each.without):.3f} s -> "
                    f"{statistics.median(each.with_bytecode):.3f} s), at least {_SAVING_LIMIT} %",
                )
                for each in results.imports
            ),
            _figure("our peak memory", results.peak, "MB", f"limit {_PEAK_LIMIT} MB"),
            _figure("our package", results.our_size, "MB", ""),
            _figure("the guide's package", results.peer_size, "MB", ""),
        ]
    )


def _reach(results: Results) -> list[tuple[str, float | None, str]]:
    """List the ratios that have goals, each with what is compared."""
    return [
        ("full caches", results.ratio_warm, f"{_GUIDE} / {_OURS}, goal {_GOAL} x"),
        ("the same, CPU", results.ratio_warm_cpu, f"goal {_GOAL} x"),
        ("after an edit", results.ratio_edited, f"{_GUIDE} / {_EDITED}, goal {_GOAL} x"),
        ("the same, CPU", results.ratio_edited_cpu, f"goal {_GOAL} x"),
        ("copying alone, CPU", results.ratio_cat, f"{_OURS} / {_CAT}, limit {_CAT_LIMIT} x"),
        (
            f"{_WIDE_PACKAGES} more locked",
            results.ratio_wide,
            f"{_WIDE} / {_OURS}, limit {_WIDE_LIMIT} x",
        ),
        (
            f"{_MANY_ARTIFACTS} artifacts",
            results.ratio_many,
            f"{_MANY} / {_OURS}, limit {_MANY_LIMIT} x",
        ),
        ("empty caches", results.ratio_cold, f"{_OURS} / {_COLD_UV}, limit {_COLD_LIMIT} x"),
        *(
            (
                f"{door.partition(' ')[0]}'s door",
                results.door(share),
                f"({door} - {floor}) / {_OURS}, limit {_DOOR_LIMIT} x",
            )
            for door, floor, share in (
                (_POETRY, _POETRY_FLOOR, results.poetry_share),
                (_PDM, _PDM_FLOOR, results.pdm_share),
                (_HATCH, _HATCH_FLOOR, results.hatch_share),
            )
        ),
    ]


def _section(title: str, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    return [
        f"{title}, rounds: {len(rows[0].samples)}",
        f"  {'':<30}{'median s':>10}{'min s':>10}{'CPU s':>10}{'peak MB':>10}",
        *(line for row in rows for line in _lines(row, indent=1)),
        "",
    ]


def _lines(row: Row, *, indent: int) -> list[str]:
    name = "  " * indent + row.name
    line = f"{name:<32}{row.median:>10.3f}{row.least:>10.3f}{row.cpu:>10.3f}{row.peak:>10.0f}"
    return [line, *(more for step in row.steps for more in _lines(step, indent=indent + 1))]


def _figure(name: str, value: float | None, unit: str, remark: str) -> str:
    shown = "not measured" if value is None else f"{value:.{2 if unit == 's' else 1}f} {unit}"
    return f"{name + ':':<22}{shown:>14}  {remark}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
