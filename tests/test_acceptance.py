"""What issue 2 asks of the whole pipeline, through the console script and with real packages."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import hmac
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.awslambda import Invocation, invoke, unpack
from fakes.locks import BUILDS, NEWEST

from lambda_build_plugin.runtime.target import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lambda_build_plugin.report import BuildReport

_ROOT = Path(__file__).parents[1]
_CACHE = _ROOT / ".cache" / "tests"
_QUICKSTART = _ROOT / "fixtures" / "projects" / "quickstart"
_SCRIPT = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
_UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}") or "uv"

_HOST = f"python{sys.version_info.major}.{sys.version_info.minor}"
_TARGETS = [
    pytest.param(runtime, architecture, id=f"{runtime} {architecture}")
    for runtime in ("python3.11", "python3.13")
    for architecture in ("x86_64", "arm64")
]
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
_ELF_MACHINES = {"x86_64": 62, "arm64": 183}  # EM_X86_64, EM_AARCH64

# --- the right wheels, for every runtime and architecture ------------------------------

_PURE = [
    "annotated_types-0.8.0-py3-none-any.whl",
    "certifi-2026.10.18-py3-none-any.whl",
    "idna-3.20-py3-none-any.whl",
    "pycparser-3.12-py3-none-any.whl",
    "pydantic-2.14.3-py3-none-any.whl",
    "quickstart-1.0.0-py3-none-any.whl",
    "requests-2.34.2-py3-none-any.whl",
    "typing_extensions-4.16.0-py3-none-any.whl",
    "typing_inspection-0.4.5-py3-none-any.whl",
    "urllib3-2.8.0-py3-none-any.whl",
]
_FILES = {
    "python3.11": [
        *_PURE,
        "async_timeout-5.0.1-py3-none-any.whl",
        "cffi-2.1.1-cp311-cp311-manylinux2014_{0}.manylinux_2_17_{0}.whl",
        "charset_normalizer-3.5.2-cp311-cp311-"
        "manylinux2014_{0}.manylinux_2_17_{0}.manylinux_2_28_{0}.whl",
        "cryptography-50.0.2-cp311-abi3-manylinux2014_{0}.manylinux_2_17_{0}.whl",
        "numpy-2.2.6-cp311-cp311-manylinux_2_17_{0}.manylinux2014_{0}.whl",
        "pydantic_core-2.50.4-cp311-cp311-manylinux2014_{0}.manylinux_2_17_{0}.whl",
    ],
    "python3.13": [
        *_PURE,
        "cffi-2.1.1-cp313-cp313-manylinux2014_{0}.manylinux_2_17_{0}.whl",
        "charset_normalizer-3.5.2-cp313-cp313-"
        "manylinux2014_{0}.manylinux_2_17_{0}.manylinux_2_28_{0}.whl",
        "cryptography-50.0.2-cp311-abi3-manylinux_2_34_{0}.whl",
        "numpy-2.5.5-cp313-cp313-manylinux_2_27_{0}.manylinux_2_28_{0}.whl",
        "pydantic_core-2.50.4-cp313-cp313-manylinux2014_{0}.manylinux_2_17_{0}.whl",
    ],
}
_LEFT_OUT = {
    "python3.11": [
        ("colorama", "0.4.6", 'its marker is false: sys_platform == "win32"'),
        ("numpy", "2.5.5", 'its marker is false: python_full_version >= "3.12"'),
    ],
    "python3.13": [
        ("async-timeout", "5.0.1", 'its marker is false: python_full_version < "3.12"'),
        ("colorama", "0.4.6", 'its marker is false: sys_platform == "win32"'),
        ("numpy", "2.2.6", 'its marker is false: python_full_version < "3.12"'),
    ],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Built:
    """An artifact and what was told of it."""

    path: Path
    report: BuildReport


def built(
    project: Path,
    *options: str,
    python: Path | None = None,
    environ: Mapping[str, str] | None = None,
    umask: int = -1,
) -> Built:
    """Build the project in a process of its own, into a new folder beside it."""
    path = Path(tempfile.mkdtemp(dir=project.parent)) / "artifact.zip"
    result = lambda_build(
        project,
        *("--output", str(path), "--json", *options),
        python=python,
        environ={**os.environ, **(environ or {})},
        umask=umask,
    )
    assert result.returncode == 0, result.stderr
    return Built(path=path, report=json.loads(result.stdout))


def lambda_build(
    project: Path,
    *options: str,
    python: Path | None = None,
    environ: Mapping[str, str],
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """Run the console script, with the downloads that all tests share."""
    # Isolated (-I) would ignore PYTHONHASHSEED.
    return subprocess.run(
        [python or sys.executable, "-c", _SCRIPT, project, *options],
        env={"LAMBDA_BUILD_CACHE_DIR": str(_CACHE / "downloads"), **environ},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    """Give a copy of the project that the documentation shows."""
    return a_copy(_QUICKSTART, tmp_path / "quickstart")


def a_copy(source: Path, folder: Path, *, reverse: bool = False) -> Path:
    """Copy a project's files, in alphabetical order or in reverse."""
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, reverse=reverse):
        relative = path.relative_to(source)
        if relative.parts[0] != "dist" and "__pycache__" not in relative.parts:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / relative)
    return folder


def targeted(runtime: str, architecture: str) -> tuple[str, ...]:
    """Spell a target as options."""
    return ("--runtime", runtime, "--arch", architecture)


def contents(path: Path) -> dict[str, bytes]:
    """Get the members of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.index
@pytest.mark.parametrize(("runtime", "architecture"), _TARGETS)
def test_wheels(quickstart: Path, runtime: str, architecture: str) -> None:
    """Each target gets its own wheels, and what its markers leave out is told."""
    report = built(quickstart, *targeted(runtime, architecture)).report

    machine = _MACHINES[architecture]
    assert sorted(package["file"] for package in report["packages"]) == sorted(
        file.format(machine) for file in _FILES[runtime]
    )
    assert [
        (item["name"], item["version"], item["reason"]) for item in report["left_out"]
    ] == _LEFT_OUT[runtime]
    # A runtime is deprecated one day, and a build says so from then on.
    assert [warning for warning in report["warnings"] if "is deprecated" not in warning] == []


@pytest.mark.index
@pytest.mark.parametrize(("runtime", "architecture"), _TARGETS)
def test_machine_code(quickstart: Path, runtime: str, architecture: str) -> None:
    """Every binary in the zip is of the target's machine, by its own header."""
    path = built(quickstart, *targeted(runtime, architecture)).path

    binaries = [data for data in contents(path).values() if data.startswith(b"\x7fELF")]
    machines = [int.from_bytes(data[18:20], "little") for data in binaries]
    assert machines
    assert set(machines) == {_ELF_MACHINES[architecture]}


# --- the same tree as uv makes ---------------------------------------------------------

_INSTALLERS_FILES = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
_UV_PLATFORMS = {"python3.11": "manylinux_2_17", "python3.13": "manylinux_2_34"}
"""uv's names of platforms that lead to the wheels which the runtime gets from us."""


def is_ours_too(path: str) -> bool:
    """Tell whether a file that uv leaves is one that we ship: the whole list of differences.

    Into each metadata folder uv writes who installed it, and notes for itself; into
    the root its lock; it makes scripts, which a function has no use for; and it keeps
    bytecode caches that a wheel brings (numpy 2.2 does).
    """
    folder, _, name = path.rpartition("/")
    if folder.endswith(".dist-info") and name in _INSTALLERS_FILES:
        return False
    return path != ".lock" and not path.startswith("bin/") and "__pycache__" not in folder


def files(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rows(records: Mapping[str, bytes]) -> set[tuple[str, ...]]:
    """Get the rows of all RECORDs that stand for files of ours."""
    return {
        tuple(row)
        for name, data in records.items()
        if name.endswith(".dist-info/RECORD")
        for row in csv.reader(data.decode().splitlines())
        if is_ours_too(row[0])
    }


@pytest.fixture
def installed(quickstart: Path, tmp_path: Path) -> Iterator[Path]:
    """Give an empty folder to install into, and the project's wheel beside it."""
    wheels = tmp_path / "wheels"
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", wheels], cwd=quickstart, check=True, capture_output=True
    )
    yield tmp_path / "installed"
    shutil.rmtree(tmp_path / "installed", ignore_errors=True)


@pytest.mark.index
@pytest.mark.parametrize(("runtime", "architecture"), _TARGETS)
def test_tree(
    quickstart: Path, installed: Path, tmp_path: Path, runtime: str, architecture: str
) -> None:
    """The tree is what `uv pip install --target` leaves, file by file and byte by byte."""
    install = [_UV, "pip", "install", "--quiet", "--no-deps", "--target", str(installed)]
    install += ["--python-version", runtime.removeprefix("python")]
    install += ["--python-platform", f"{_MACHINES[architecture]}-{_UV_PLATFORMS[runtime]}"]
    for what in (
        ["--only-binary", ":all:", "--requirement", str(quickstart / "requirements.txt")],
        [str(wheel) for wheel in (tmp_path / "wheels").iterdir()],
    ):
        subprocess.run([*install, *what], check=True)

    built(quickstart, *targeted(runtime, architecture), "--unpacked", str(tmp_path / "ours"))

    ours = files(tmp_path / "ours")
    theirs = {path: data for path, data in files(installed).items() if is_ours_too(path)}
    assert sorted(ours) == sorted(theirs)
    # RECORD lists what is there, so it differs as the files do, and in its order.
    # These of the project's own wheel are spelled without traces of the backend's version.
    spelled = {f"quickstart-1.0.0.dist-info/{name}" for name in ("METADATA", "WHEEL")}
    assert {row for row in rows(ours) if row[0] not in spelled} == {
        row for row in rows(theirs) if row[0] not in spelled
    }
    assert [
        path
        for path, data in ours.items()
        if data != theirs[path] and path not in spelled and not path.endswith(".dist-info/RECORD")
    ] == []


# --- an artifact that answers ----------------------------------------------------------

_EVENT = {"name": "four", "values": [1.0, 2.0, 4.0, 9.0]}
_SUMMARY = {"name": "four", "count": 4, "mean": 4.0, "deviation": 3.559026, "slope": 2.6}

can_run_here = pytest.mark.skipif(
    _HOST not in RUNTIMES or sys.version_info < (3, 11) or platform.machine() != "x86_64",
    reason=f"{_HOST} on {platform.machine()} is no target of the fixture that runs here",
)


def an_answer(report: BuildReport) -> dict[str, object]:
    """Compute what the fixture's function answers, from the versions that were packed."""
    key = b"not a secret: the seal must be the same every time"
    body = json.dumps(_SUMMARY, sort_keys=True).encode()
    versions = {package["name"]: package["version"] for package in report["packages"]}
    return {
        "summary": _SUMMARY,
        "seal": hmac.new(key, body, hashlib.sha256).hexdigest(),
        "request": "POST https://measurements.example.com/summaries?name=four",
        "timeout": "async_timeout" if sys.version_info < (3, 12) else "asyncio",
        "python": platform.python_version(),
        "machine": "x86_64",
        "versions": {
            name: versions[name] for name in ("cryptography", "numpy", "pydantic", "requests")
        },
    }


@can_run_here
@pytest.mark.index
def test_function_answers(quickstart: Path, tmp_path: Path, runtime_interface_client: Path) -> None:
    """The artifact for this Python answers an event through AWS's own client."""
    artifact = built(quickstart, *targeted(_HOST, "x86_64"))

    invocation = invoke(
        "quickstart.app.handler",
        _EVENT,
        task=unpack(artifact.path, tmp_path / "task"),
        python=Path(sys.executable),
        runtime=_HOST,
        ric=runtime_interface_client,
    )

    assert invocation == Invocation(result=an_answer(artifact.report), error=None, logs="")


@can_run_here
@pytest.mark.index
@pytest.mark.parametrize("prefix", ["python", f"python/lib/{_HOST}/site-packages"])
def test_layer_answers(
    quickstart: Path, tmp_path: Path, runtime_interface_client: Path, prefix: str
) -> None:
    """Dependencies as a layer and the project as a function answer like the one artifact."""
    target = targeted(_HOST, "x86_64")
    parts = ("--contents", "dependencies", "--layout", "layer", "--layer-prefix", prefix)
    layer = built(quickstart, *target, *parts)
    function = built(quickstart, *target, "--contents", "project")

    invocation = invoke(
        "quickstart.app.handler",
        _EVENT,
        task=unpack(function.path, tmp_path / "task"),
        opt=unpack(layer.path, tmp_path / "opt"),
        python=Path(sys.executable),
        runtime=_HOST,
        ric=runtime_interface_client,
    )

    assert invocation == Invocation(result=an_answer(layer.report), error=None, logs="")
    assert [package["name"] for package in function.report["packages"]] == ["quickstart"]
    assert "quickstart" not in [package["name"] for package in layer.report["packages"]]


# --- the same bytes --------------------------------------------------------------------

_MINORS = [f"3.{minor}" for minor in range(10, 16)]


@pytest.mark.index
def test_same_bytes(tmp_path: Path) -> None:
    """Folder, umask, dates, time zone, hash seed and order of creation leave no trace."""
    one = a_copy(_QUICKSTART, tmp_path / "one")
    two = a_copy(_QUICKSTART, tmp_path / "two" / "elsewhere", reverse=True)
    for path in two.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
        path.chmod(0o700 if path.is_dir() else 0o600)
    target = targeted("python3.13", "arm64")

    first = built(one, *target, umask=0o022, environ={"PYTHONHASHSEED": "1", "TZ": "UTC"})
    second = built(
        two, *target, umask=0o077, environ={"PYTHONHASHSEED": "2", "TZ": "Pacific/Auckland"}
    )

    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.report["sha256"] == hashlib.sha256(first.path.read_bytes()).hexdigest()


@pytest.mark.index
def test_source_date_epoch(quickstart: Path) -> None:
    """Control: with another date for the members the bytes are other ones."""
    target = targeted("python3.13", "arm64")

    one, two = (
        built(quickstart, *target, environ={"SOURCE_DATE_EPOCH": seconds})
        for seconds in ("0", "1000000000")
    )

    assert one.report["sha256"] != two.report["sha256"]


@pytest.mark.index
@pytest.mark.parametrize("minor", _MINORS)
@pytest.mark.parametrize(
    ("runtime", "architecture"),
    [
        pytest.param("python3.11", "arm64", marks=pytest.mark.nightly),
        ("python3.13", "x86_64"),
    ],
)
def test_same_bytes_on_any_host(
    quickstart: Path, minor: str, runtime: str, architecture: str
) -> None:
    """Whatever Python the tool itself runs on, it chooses the same files and writes the same."""
    if minor == _HOST.removeprefix("python"):
        pytest.skip("this is the Python that runs the tests")
    python = an_interpreter(minor)
    if python is None:
        pytest.skip(f"no Python {minor} on PATH, nor one of pyenv or uv")
    host = a_host(python, minor)
    if said_by(host, "import zlib; print(zlib.ZLIB_RUNTIME_VERSION)") != zlib.ZLIB_RUNTIME_VERSION:
        pytest.skip("it has another zlib, which may deflate to other bytes")
    target = targeted(runtime, architecture)

    here, there = built(quickstart, *target), built(quickstart, *target, python=host)

    assert there.report["packages"] == here.report["packages"]
    assert there.report["sha256"] == here.report["sha256"]


def an_interpreter(minor: str) -> Path | None:
    """Find a Python of that minor version which starts."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = shutil.which(f"python{minor}")
    candidates = [
        *([Path(found)] if found else []),
        *sorted(pyenv.glob(f"{minor}.*/bin/python3")),
        *sorted(_uv_pythons().glob(f"cpython-{minor}.*/bin/python3")),
    ]
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    return next((path for path in candidates if said_by(path, question) == minor), None)


def _uv_pythons() -> Path:
    result = subprocess.run([_UV, "python", "dir"], capture_output=True, text=True, check=True)
    return Path(result.stdout.strip())


def said_by(python: Path, program: str) -> str | None:
    """Run a program and get what it prints; nothing if the interpreter does not start."""
    result = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    return result.stdout.strip() if result.returncode == 0 else None


def a_host(python: Path, minor: str) -> Path:
    """Make an environment with this package and the backend that runs here, once a machine."""
    backend = f"hatchling=={importlib.metadata.version('hatchling')}"
    pyproject = hashlib.sha256((_ROOT / "pyproject.toml").read_bytes()).hexdigest()[:12]
    folder = _CACHE / "hosts" / f"{minor}-{backend.replace('==', '-')}-{pyproject}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch, "environment")
            subprocess.run([_UV, "venv", "--quiet", "--python", python, made], check=True)
            install = [_UV, "pip", "install", "--quiet", "--python", str(made / "bin" / "python")]
            held = [] if NEWEST else ["--constraint", str(BUILDS)]
            subprocess.run([*install, *held, backend, "--editable", str(_ROOT)], check=True)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():  # or another worker has been quicker
                    raise
    return folder / "bin" / "python"


# --- hardly anything to pack -----------------------------------------------------------


def a_project(folder: Path) -> Path:
    """Write a project that needs nothing."""
    pyproject = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "lonely"
version = "1.0"
requires-python = ">=3.10"
"""
    (folder / "lonely").mkdir(parents=True)
    (folder / "lonely" / "__init__.py").write_text(
        "def handler(event, context): ...\n", encoding="utf-8"
    )
    (folder / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    return folder


def a_bare_environment(tmp_path: Path) -> dict[str, str]:
    """Make an environment without anything that the developer has configured."""
    return {
        "HOME": str(tmp_path / "home"),
        "LAMBDA_BUILD_CACHE_DIR": str(tmp_path / "cache"),
        "PATH": os.defpath,
    }


def names_in(folder: Path) -> Sequence[str]:
    """List all paths below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_no_dependencies(tmp_path: Path) -> None:
    """A project without dependencies is built without any lock."""
    project = a_project(tmp_path / "lonely")

    result = lambda_build(
        project,
        *("--handler", "lonely.handler", "--runtime", "python3.13", "--json"),
        environ=a_bare_environment(tmp_path),
    )

    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert (report["lock"], [package["name"] for package in report["packages"]]) == (
        None,
        ["lonely"],
    )
    artifact = project / "dist" / "lonely-1.0-function-python3.13-x86_64.zip"
    assert Path(report["artifact"]) == artifact
    assert sorted(contents(artifact)) == [
        "lonely-1.0.dist-info/METADATA",
        "lonely-1.0.dist-info/RECORD",
        "lonely-1.0.dist-info/WHEEL",
        "lonely/__init__.py",
    ]


def test_empty_layer(tmp_path: Path) -> None:
    """A layer with nothing in it is an error, and leaves nothing behind."""
    project = a_project(tmp_path / "lonely")
    before = names_in(project)

    result = lambda_build(
        project,
        *("--layout", "layer", "--contents", "dependencies"),
        environ=a_bare_environment(tmp_path),
    )

    assert (result.returncode, result.stdout) == (8, "")
    assert result.stderr == (
        "error: the layer would be empty\n"
        "  why: it contains no files\n"
        "\n"
        "hint: add dependencies to the project, name extras or groups, or check `contents` and "
        "`exclude`\n"
    )
    assert names_in(project) == before
