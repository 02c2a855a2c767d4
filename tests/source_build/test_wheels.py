from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.elf import an_elf
from fakes.index import FakeIndex
from fakes.projects import quiet_environment
from fakes.wheels import a_wheel
from packaging.version import Version

from lambda_build_plugin.config.build_policy import BuildSettings
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.source_build import interpreter, isolation
from lambda_build_plugin.source_build.context import BuildContext
from lambda_build_plugin.source_build.errors import (
    BackendError,
    EmptyWheelError,
    ExcludedPythonError,
    NotAPackageError,
    OfflineRequirementsError,
    WrongWheelError,
)
from lambda_build_plugin.source_build.in_process import load_backend
from lambda_build_plugin.source_build.wheels import build_project
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.wheel.file import Wheel
from lambda_build_plugin.wheel.rewrite import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fakes.wheels import FakeWheel

_TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.X86_64)
# The running Python's own, which is found without a search.
_OWN = Target(
    runtime=RUNTIMES["python{}.{}".format(*sys.version_info)], architecture=Architecture.X86_64
)
_OWN_TAG = "cp{0}{1}-cp{0}{1}".format(*sys.version_info)
_BACKENDS = {
    "hatchling": "hatchling.build",
    "pdm-backend": "pdm.backend",
    "poetry-core": "poetry.core.masonry.api",
    "setuptools": "setuptools.build_meta",
}
_IN_PROCESS = ("hatchling", "pdm-backend", "poetry-core")

# A backend that hands over the wheels in the folder `ready`.
_READY = """\
import pathlib
import shutil

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    ready = sorted(pathlib.Path("ready").iterdir())
    for wheel in ready:
        shutil.copy(wheel, wheel_directory)
    return ready[0].name if ready else "none.whl"
"""
# One that hands over what lies in one of two folders, as its compiler works or not.
_COMPILING = """\
import pathlib
import shutil
import subprocess

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    works = subprocess.run(["cc"], capture_output=True).returncode == 0
    (wheel,) = pathlib.Path("yes" if works else "no").iterdir()
    shutil.copy(wheel, wheel_directory)
    return wheel.name
"""
# The same with a compiler that writes beside the source code, which is packaged.
_COMPILING_IN_PLACE = """\
import pathlib
import shutil
import subprocess

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    module = pathlib.Path("fast.so")
    if subprocess.run(["cc"], capture_output=True).returncode == 0:
        module.touch()
    (wheel,) = pathlib.Path("yes" if module.exists() else "no").iterdir()
    shutil.copy(wheel, wheel_directory)
    return wheel.name
"""
# One that names its wheel for the Python that runs it.
_TAGGED = """\
import pathlib
import shutil
import sys

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = "demo-1.0-cp%d%d-none-any.whl" % sys.version_info[:2]
    shutil.copy("ready/demo.whl", pathlib.Path(wheel_directory, name))
    return name
"""
_HATCH_HOOK = """\
import subprocess
import sys
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

class Hook(BuildHookInterface):
    def initialize(self, version, build_data):
        {}
"""
_CONSOLE = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"
# For root nothing is read-only, unless it gives that up: PR_CAPBSET_DROP, CAP_DAC_OVERRIDE.
_LIKE_ANYBODY = f"""\
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", {_CONSOLE!r}, *sys.argv[1:]])
"""
_PDM_HOOK = """\
def pdm_build_initialize(context):
    context.ensure_build_dir()
"""


class Notes(Reporter):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let uv find no package at all, whatever this machine is configured to use."""
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    for name in ("UV_NO_CONFIG", "UV_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))


def a_project(
    folder: Path,
    backend: str = "hatchling",
    *,
    requires: Sequence[str] | None = None,
    more: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a project with one package in `src`; `more` is the end of pyproject.toml."""
    requires = [backend] if requires is None else requires
    pyproject = f"""\
[build-system]
requires = {list(requires)}
build-backend = "{_BACKENDS[backend]}"

[project]
name = "Demo.App"
version = "1.0"
requires-python = ">=3.10"
{more}
"""
    package = {"src/demo_app/__init__.py": "answer = 42\n", "src/demo_app/data.txt": "text\n"}
    return written(folder, {"pyproject.toml": pyproject, **package, **(files or {})})


def a_project_with_wheels(
    folder: Path, *filenames: str, metadata: Sequence[str] = (), content: bytes | None = None
) -> Path:
    """Write a project whose own backend yields files of these names."""
    pyproject = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "demo"
version = "1.0"
"""
    written(folder, {"pyproject.toml": pyproject, "backend.py": _READY})
    (folder / "ready").mkdir()
    for filename in filenames:
        (folder / "ready" / filename).write_bytes(content or a_wheel(metadata=metadata).content)
    return folder


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """Write each text under its name."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def a_workshop(
    folder: Path,
    *,
    target: Target = _TARGET,
    reporter: Reporter | None = None,
    offline: bool = False,
) -> BuildContext:
    """Give a place to build in, on a machine that has no Python but the running one."""
    out = folder / "out"
    out.mkdir()
    return BuildContext(
        target=target,
        folder=out,
        cache=Cache(folder / "wheels"),
        home=folder / "home",
        environ={"PATH": str(folder / "bin"), "UV_PYTHON_INSTALL_DIR": str(folder / "pythons")},
        offline=offline,
        reporter=reporter or Reporter(),
    )


def built(root: Path, *, reporter: Reporter | None = None, offline: bool = False) -> Wheel:
    """Build the project into a new folder beside it."""
    context = a_workshop(root.parent, reporter=reporter, offline=offline)
    return build_project(read_project(root), context)


def contents(path: Path) -> dict[str, bytes]:
    """Get the members of a wheel with their bytes."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Get every path below a folder, with the bytes of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("backend", _IN_PROCESS)
def test_known_backend(tmp_path: Path, backend: str) -> None:
    """A project of one of the three backends is built in this process."""
    notes = Notes()

    wheel = built(a_project(tmp_path / "demo", backend), reporter=notes)

    path = tmp_path / "out" / "demo_app-1.0-py3-none-any.whl"
    assert notes.texts == [f"building demo-app with {backend} in this process"]
    assert wheel == Wheel(
        name=wheel.name,
        version=Version("1.0"),
        filename=path.name,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        source="local",
        built_by=f"{backend} {importlib.metadata.version(backend)}",
    )
    assert wheel.name == "demo-app"


@pytest.mark.parametrize("is_built", [True, False], ids=["built", "loaded ahead"])
def test_what_a_backend_brings_along_comes_last(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_built: bool,  # noqa: FBT001
) -> None:
    """poetry-core puts its own `packaging` first, which processes started later would import."""
    before = [each for each in sys.path if not each.endswith("_vendor")]
    sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "poetry"]:
        monkeypatch.delitem(sys.modules, name)
    project = a_project(tmp_path, "poetry-core")

    if is_built:
        built(project)
    else:
        load_backend(read_project(project), BuildSettings())

    assert sys.path[: len(before)] == before
    assert sys.path[-1].endswith("_vendor")


@pytest.mark.parametrize("backend", _IN_PROCESS)
def test_never_editable(tmp_path: Path, backend: str) -> None:
    """The wheel holds the files themselves, and no link to the project."""
    found = contents(built(a_project(tmp_path / "demo", backend)).path)

    code = {name: data for name, data in found.items() if ".dist-info/" not in name}
    assert code == {"demo_app/__init__.py": b"answer = 42\n", "demo_app/data.txt": b"text\n"}


@pytest.mark.index
@pytest.mark.parametrize("backend", _IN_PROCESS)
def test_here_is_as_in_isolation(tmp_path: Path, backend: str) -> None:
    """Building in this process makes the members that an isolated build makes, byte by byte."""
    pin = f"{backend}=={importlib.metadata.version(backend)}"
    here = a_project(tmp_path / "here" / "demo", backend, requires=[pin])
    apart = a_project(tmp_path / "apart" / "demo", backend, requires=[pin, "packaging"])
    notes = Notes()

    both = [contents(built(root, reporter=notes).path) for root in (here, apart)]

    assert notes.texts == [
        f"building demo-app with {backend} in this process",
        f"building demo-app with {_BACKENDS[backend]} in isolation",
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("backend", "requires", "more"),
    [
        pytest.param("hatchling", ["hatchling>=9999"], "", id="version not at hand"),
        pytest.param("hatchling", ["hatchling", "left-out"], "", id="further requirement"),
        pytest.param("hatchling", ["hatchling[left-out]"], "", id="extra of the backend"),
        pytest.param(
            "hatchling", ["hatchling @ file:///left-out.whl"], "", id="backend from elsewhere"
        ),
        pytest.param("poetry-core", ["hatchling"], "", id="another backend required"),
        pytest.param(
            "hatchling",
            None,
            '[tool.hatch.build.targets.wheel]\ndependencies = ["left-out"]',
            id="hatch build dependency",
        ),
        pytest.param(
            "pdm-backend", None, "[tool.pdm.build]\nrun-setuptools = true", id="pdm with setuptools"
        ),
        pytest.param("setuptools", None, "", id="another backend"),
    ],
)
@pytest.mark.usefixtures("offline")
def test_isolated_where_it_would_differ(
    tmp_path: Path, backend: str, requires: Sequence[str] | None, more: str
) -> None:
    """What this process would build otherwise than pip is built in isolation: not offline."""
    notes = Notes()

    with pytest.raises(BackendError):
        built(a_project(tmp_path / "demo", backend, requires=requires, more=more), reporter=notes)

    assert notes.texts == [f"building demo-app with {_BACKENDS[backend]} in isolation"]


@pytest.mark.usefixtures("offline")
def test_installer_output(tmp_path: Path) -> None:
    """What the installer says of a build requirement that it cannot find is shown."""
    with pytest.raises(BackendError, match="left-out"):
        built(a_project(tmp_path / "demo", requires=["left-out==1.0"]))


@pytest.mark.index
def test_setuptools(tmp_path: Path) -> None:
    """A project of setuptools is built in isolation."""
    root = a_project(
        tmp_path / "demo",
        "setuptools",
        more='[tool.setuptools.package-data]\n"*" = ["*.txt"]',
    )

    found = contents(built(root).path)

    code = {name: data for name, data in found.items() if ".dist-info/" not in name}
    assert code == {"demo_app/__init__.py": b"answer = 42\n", "demo_app/data.txt": b"text\n"}


@pytest.mark.index
def test_stale_build_folder(tmp_path: Path) -> None:
    """What an earlier build of setuptools left in `build` is not packed again."""
    stale = {"build/lib/demo_app/deleted.py": "", "build/lib/demo_app/__init__.py": "answer = 0"}
    root = a_project(tmp_path / "demo", "setuptools", files=stale)

    found = contents(built(root).path)

    code = {name: data for name, data in found.items() if ".dist-info/" not in name}
    assert code == {"demo_app/__init__.py": b"answer = 42\n"}


@pytest.mark.index
def test_project_without_pyproject(tmp_path: Path) -> None:
    """A project with a setup.py alone is built by setuptools, as pip does it."""
    setup = 'import setuptools\n\nsetuptools.setup(name="old", version="2", py_modules=["old"])\n'
    root = written(tmp_path / "old", {"setup.py": setup, "old.py": ""})

    wheel = built(root)

    assert (wheel.name, wheel.version, wheel.source) == ("old", Version("2"), "local")


@pytest.mark.parametrize(
    ("backend", "more", "files"),
    [
        *(pytest.param(backend, "", {}, id=backend) for backend in _IN_PROCESS),
        pytest.param(
            "hatchling",
            "[tool.hatch.build.hooks.custom]",
            {"hatch_build.py": _HATCH_HOOK.format("pass")},
            id="hatch hook",
        ),
        pytest.param(
            "pdm-backend",
            "",
            {"pdm_build.py": _PDM_HOOK},
            id="pdm hook",
        ),
        pytest.param("setuptools", "", {}, id="setuptools", marks=pytest.mark.index),
    ],
)
def test_no_trace(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    more: str,
    files: Mapping[str, str],
) -> None:
    """A build leaves nothing in the project's folder."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    root = a_project(tmp_path / "demo", backend, more=more, files=files)
    before = snapshot(root)

    built(root)

    assert snapshot(root) == before


def test_leftovers_of_others_stay(tmp_path: Path) -> None:
    """What lay in the project before a build is not taken for a trace of it."""
    root = a_project(tmp_path / "demo", files={"__pycache__/mine.txt": ""})

    built(root)

    assert (root / "__pycache__" / "mine.txt").is_file()


def test_working_directory(tmp_path: Path) -> None:
    """The working directory is what it was, although hooks want to run in the project."""
    before = Path.cwd()

    built(a_project(tmp_path / "demo"))

    assert Path.cwd() == before


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param('print("heard")', id="print"),
        pytest.param('print("heard", file=sys.__stderr__, flush=True)', id="original stream"),
        pytest.param('subprocess.run([sys.executable, "-c", "print()"])', id="child process"),
    ],
)
def test_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str], statement: str) -> None:
    """Nothing that a backend or its hooks write mixes with our own output."""
    root = a_project(
        tmp_path / "demo",
        more="[tool.hatch.build.hooks.custom]",
        files={"hatch_build.py": _HATCH_HOOK.format(statement)},
    )

    built(root)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        pytest.param('raise OSError("no luck")', "heard\nno luck", id="exception"),
        pytest.param('self.app.abort("no luck", code=3)', "heard\nno luck\n3", id="exit"),
    ],
)
def test_failing_hook(tmp_path: Path, statement: str, why: str) -> None:
    """A backend that fails in this process is shown with all that it said."""
    hook = _HATCH_HOOK.format(f'print("heard"); {statement}')
    root = a_project(
        tmp_path / "demo", more="[tool.hatch.build.hooks.custom]", files={"hatch_build.py": hook}
    )

    with pytest.raises(BackendError) as caught:
        built(root)

    assert (caught.value.what, caught.value.why) == ("building demo-app failed in hatchling", why)


@pytest.mark.parametrize(
    ("noise", "most_lines"),
    [
        pytest.param('print("heard\\n" * 50_000, file=sys.stderr)', 60, id="lines"),
        pytest.param('print("heard" * 60_000, file=sys.stderr)', 30, id="one line"),
    ],
)
def test_noisy_backend(tmp_path: Path, noise: str, most_lines: int) -> None:
    """Of 300 KB that a failing backend writes, the end is shown."""
    root = a_project_with_wheels(tmp_path / "demo")
    backend = f"    import sys\n    {noise}\n    raise OSError('no luck')\n    ready ="
    written(root, {"backend.py": _READY.replace("    ready =", backend)})

    with pytest.raises(BackendError) as caught:
        built(root)

    assert caught.value.why.startswith("…\n")
    assert "OSError: no luck" in caught.value.why
    assert len(caught.value.why.splitlines()) <= most_lines
    assert len(caught.value.why) < 10_000


# A backend of its own that warns, and then does what is filled in.
_WARNING = """\
import shutil
import warnings

def get_requires_for_build_wheel(config_settings=None):
    warnings.warn("a setting of long ago")
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    {}
"""


def test_warnings_of_a_backend_are_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a backend in isolation warns its authors of is not for who packages a function."""
    filename = "demo-1.0-py3-none-any.whl"
    root = a_project_with_wheels(tmp_path / "demo", filename)
    copy = f'return shutil.copy("ready/{filename}", wheel_directory)'
    written(root, {"backend.py": _WARNING.format(copy)})

    assert built(root).filename == filename
    assert capfd.readouterr() == ("", "")


def test_warnings_of_a_failing_backend(tmp_path: Path) -> None:
    """What a backend has warned of before it failed is told with its error."""
    root = a_project_with_wheels(tmp_path / "demo")
    written(root, {"backend.py": _WARNING.format('raise SystemExit("no")')})

    with pytest.raises(BackendError) as caught:
        built(root)

    assert "a setting of long ago" in caught.value.why
    assert "no" in caught.value.why.splitlines()


def test_failing_backend_in_isolation(tmp_path: Path) -> None:
    """A backend that fails in isolation is shown with all that it said."""
    root = a_project_with_wheels(tmp_path / "demo")
    backend = _READY.replace(
        "    ready =", '    print("heard")\n    raise OSError("no luck")\n    #'
    )
    written(root, {"backend.py": backend})

    with pytest.raises(BackendError) as caught:
        built(root)

    assert caught.value.what == "building demo failed in backend"
    assert caught.value.why.startswith("heard\n")
    assert "OSError: no luck\n" in caught.value.why


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param("py3-none-any", id="pure"),
        pytest.param("cp313-cp313-manylinux_2_34_x86_64", id="for the target"),
        pytest.param("cp38-abi3-manylinux2014_x86_64.linux_x86_64", id="one of several"),
    ],
)
def test_fitting_wheel(tmp_path: Path, tag: str) -> None:
    """A wheel that the target can load is taken."""
    filename = f"demo-1.0-{tag}.whl"

    assert built(a_project_with_wheels(tmp_path / "demo", filename)).filename == filename


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param("cp313-cp313-linux_x86_64", id="made on this machine"),
        pytest.param("py3-none-linux_x86_64", id="with a library of this machine"),
        pytest.param("cp312-cp312-manylinux_2_34_x86_64", id="for another Python"),
        pytest.param("cp313-cp313-manylinux_2_34_aarch64", id="for another machine"),
        pytest.param("cp313-cp313-macosx_14_0_arm64", id="for another system"),
    ],
)
def test_wrong_wheel(tmp_path: Path, tag: str) -> None:
    """A wheel that the target cannot load for certain is refused."""
    filename = f"demo-1.0-{tag}.whl"
    wheel = a_wheel(files={"demo/fast.so": an_elf()})

    with pytest.raises(WrongWheelError) as caught:
        built(a_project_with_wheels(tmp_path / "demo", filename, content=wheel.content))

    assert caught.value.what == "the wheel of demo does not load in python3.13 x86_64"
    assert [attempt.filename for attempt in caught.value.attempts] == [filename, filename]


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        pytest.param({"demo/fast.so": an_elf()}, (), id="within the runtime"),
        pytest.param(
            {"demo/fast.so": an_elf(needed=["libown.so"]), "demo.libs/libown.so": an_elf()},
            (),
            id="own library",
        ),
        pytest.param(
            {"demo/fast.so": an_elf(needed=["libown.so"])},
            ("demo/fast.so needs libown.so, which the runtime does not have",),
            id="library of this machine",
        ),
        pytest.param(
            {"demo/fast.so": an_elf(versions={"libc.so.6": ["GLIBC_2.99"]})},
            (f"demo/fast.so needs GLIBC_2.99, and the runtime has glibc {_OWN.runtime.glibc}",),
            id="newer glibc",
        ),
        pytest.param(
            {"demo/fast.so": an_elf("aarch64")},
            ("demo/fast.so is made for 64-bit aarch64, not for x86_64",),
            id="another machine",
        ),
        pytest.param(
            {"demo/fast.so": b"\xcf\xfa\xed\xfe" + bytes(60)},
            ("demo/fast.so is a Mach-O file, not one for Linux",),
            id="another system",
        ),
        pytest.param(
            {"demo/fast.so": b"\x7fELF"},
            ("demo/fast.so cannot be checked: it is no readable ELF file: ",),
            id="broken",
        ),
    ],
)
def test_wheel_compiled_for_the_target(
    tmp_path: Path, files: Mapping[str, bytes], problems: tuple[str, ...]
) -> None:
    """What the target's own Python has compiled ships if the runtime has all that it needs."""
    filename = f"demo-1.0-{_OWN_TAG}-linux_x86_64.whl"
    content = a_wheel(files=files).content
    root = a_project_with_wheels(tmp_path / "demo", filename, content=content)
    context = a_workshop(tmp_path, target=_OWN)

    if not problems:
        assert build_project(read_project(root), context).filename == filename
        return
    with pytest.raises(WrongWheelError) as caught:
        build_project(read_project(root), context)
    (problem,) = caught.value.attempts[0].problems
    assert problem.startswith(problems[0])


def a_project_that_compiles(folder: Path, with_compiler: FakeWheel, without: FakeWheel) -> Path:
    """Write a project whose backend makes another wheel where its compiler fails."""
    root = a_project_with_wheels(folder)
    written(root, {"backend.py": _COMPILING})
    for name, wheel in (("yes", with_compiler), ("no", without)):
        wheel.write_to(root / name)
    return root


@pytest.fixture
def _compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a compiler on PATH that succeeds without arguments, as no real one does."""
    compiler = tmp_path / "bin" / "cc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\nexit 0\n")
    compiler.chmod(0o755)
    # `build` makes the backend's PATH of this one.
    monkeypatch.setenv("PATH", f"{compiler.parent}{os.pathsep}{os.environ['PATH']}")


_FAST = a_wheel(tag="cp313-cp313-linux_x86_64", files={"demo/fast.so": an_elf()})


@pytest.mark.usefixtures("_compiler")
def test_optional_extension(tmp_path: Path) -> None:
    """A package whose extension is optional ends as the pure one that its backend makes."""
    slow = a_wheel()

    wheel = built(a_project_that_compiles(tmp_path / "demo", _FAST, slow))

    assert (wheel.filename, wheel.built_by) == (slow.filename, "a_wheel 1.0")


@pytest.mark.usefixtures("_compiler")
def test_what_one_attempt_compiles_in_place_is_not_packaged_by_the_next(tmp_path: Path) -> None:
    """Hooks compile beside the source code; what does not fit there is removed again."""
    slow = a_wheel()
    root = a_project_that_compiles(tmp_path / "demo", _FAST, slow)
    written(root, {"backend.py": _COMPILING_IN_PLACE})

    wheel = built(root)

    assert wheel.filename == slow.filename
    assert not (root / "fast.so").exists()


@pytest.mark.usefixtures("_compiler")
def test_platform_tag_without_machine_code(tmp_path: Path) -> None:
    """Setuptools tags a wheel for a platform although its extension was left out: not true."""
    slow = a_wheel(tag=f"{_OWN_TAG}-linux_x86_64", root_is_purelib=False)

    wheel = built(a_project_that_compiles(tmp_path / "demo", _FAST, slow))

    found = contents(wheel.path)
    text = found["demo-1.0.dist-info/WHEEL"]
    assert wheel.filename == "demo-1.0-py3-none-any.whl"
    assert text.decode().splitlines() == [
        "Wheel-Version: 1.0",
        "Generator: lambda-build-plugin",
        "Root-Is-Purelib: true",
        "Tag: py3-none-any",
    ]
    digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    line = f"demo-1.0.dist-info/WHEEL,sha256={digest},{len(text)}"
    assert line in found["demo-1.0.dist-info/RECORD"].decode().splitlines()


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(
    "tag", ["cp310-cp310-linux_x86_64", "py3-none-macosx_11_0_arm64", "py3-none-win_amd64"]
)
def test_tag_of_another_python_or_system(tmp_path: Path, tag: str) -> None:
    """A wheel that is meant for another machine is not shipped as one for any machine."""
    other = a_wheel(tag=tag, root_is_purelib=False)

    with pytest.raises(WrongWheelError) as caught:
        built(a_project_that_compiles(tmp_path / "demo", other, other))

    assert caught.value.why.count(f"demo-1.0-{tag}.whl\n  its tags do not match") == 2


@pytest.mark.usefixtures("_compiler")
def test_wheel_file_that_is_not_text(tmp_path: Path) -> None:
    """A backend that writes nonsense has failed, and this program has not."""
    odd = a_wheel(
        tag=f"{_OWN_TAG}-linux_x86_64", files={"demo-1.0.dist-info/WHEEL": b"Tag: \xff\xfe"}
    )

    with pytest.raises(BackendError, match="is damaged: "):
        built(a_project_that_compiles(tmp_path / "demo", _FAST, odd))


@pytest.mark.usefixtures("_compiler")
def test_extension_that_is_not_optional(tmp_path: Path) -> None:
    """The error of a package that needs its extension tells of each attempt."""
    root = a_project_that_compiles(tmp_path / "demo", _FAST, _FAST)
    python = sys.version.split()[0]

    with pytest.raises(WrongWheelError) as caught:
        built(root)

    assert caught.value.why.splitlines() == [
        f"built with Python {python}: demo-1.0-cp313-cp313-linux_x86_64.whl",
        f"  it was compiled for Python {python}, not for Python 3.13",
        f"built with Python {python}, without a compiler: demo-1.0-cp313-cp313-linux_x86_64.whl",
        f"  it was compiled for Python {python}, not for Python 3.13",
    ]


def test_backend_that_returns_nothing(tmp_path: Path) -> None:
    """A backend whose `build_wheel` returns None has failed, and this program has not."""
    root = a_project_with_wheels(tmp_path / "demo", "demo-1.0-py3-none-any.whl")
    text = "def build_wheel(folder, config_settings=None, metadata_directory=None):\n    pass\n"
    written(root, {"backend.py": text})

    with pytest.raises(BackendError) as caught:
        built(root)

    assert "a hook of the backend returned no valid result" in caught.value.why


@pytest.mark.index
@pytest.mark.parametrize("backend", ["hatchling", "pdm-backend", "poetry-core", "setuptools"])
def test_upgrade_of_the_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """The oldest and the newest version of a backend make wheels with the same content."""
    for name in ("UV_CONSTRAINT", "PIP_CONSTRAINT"):  # the tests' own: the newest versions
        monkeypatch.delenv(name, raising=False)
    files = {"README.md": "# Demo\n", "LICENSE": "Do what you like.\n"}
    more = """\
description = "A demo"
readme = "README.md"
keywords = ["a", "b"]
authors = [{ name = "Me", email = "me@example.org" }]
dependencies = ["urllib3[socks]~=2.0", "six>=1,<2; python_version >= '3.8'"]
optional-dependencies = { fast = ["orjson>=3"] }
scripts = { demo = "demo_app:main" }
urls = { Homepage = "https://example.org/" }
"""
    found = []
    for lock in ("lowest.txt", "backends.txt"):
        version = locked_version(backend, lock)
        folder = tmp_path / lock
        folder.mkdir()
        requires = [f"{backend}=={version}"]
        root = a_project(folder / "demo", backend, requires=requires, more=more, files=files)
        wheel = built(root)
        assert wheel.built_by == f"{backend} {version}"
        found.append(contents(wheel.path))

    assert {name: found[0].get(name) for name in found[1]} == found[1]
    assert found[0].keys() == found[1].keys()


def locked_version(name: str, lock: str) -> str:
    """Get the version of a backend in a lock of this repository, or one of setuptools."""
    text = (Path(__file__).parents[2] / "locks" / lock).read_text(encoding="utf-8")
    match = re.search(rf"^{name}==(\S+)", text, re.MULTILINE)
    return match[1] if match else "77.0.1"


@pytest.mark.parametrize("has_uv", [pytest.param(True, id="uv"), pytest.param(False, id="pip")])
def test_python_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_uv: bool
) -> None:
    """A source is built by a Python of the target's minor version where there is one."""
    if not has_uv:
        for module in (isolation, interpreter):
            monkeypatch.setattr(module, "uv_of", lambda _: None)
    target, environ = an_other_python()
    root = a_project_with_wheels(tmp_path / "demo")
    written(root, {"backend.py": _TAGGED})
    (root / "ready" / "demo.whl").write_bytes(a_wheel().content)
    context = replace(a_workshop(tmp_path, target=target), environ=environ)

    wheel = build_project(read_project(root), context)

    major, minor = target.runtime.python
    assert wheel.filename == f"demo-1.0-cp{major}{minor}-none-any.whl"


def an_other_python() -> tuple[Target, Mapping[str, str]]:
    """Find a runtime whose Python is on this machine and is not the running one."""
    environ = dict(os.environ)
    # An old one has an old pip, and a new one may not have been tried yet.
    for name in ("python3.12", "python3.11", "python3.13", "python3.10"):
        runtime = RUNTIMES[name]
        found = interpreter.find(runtime.python, environ=environ, home=Path.home())
        if not found.is_running:
            return Target(runtime=runtime, architecture=Architecture.X86_64), environ
    pytest.skip("there is no other Python on this machine")


def test_wheel_without_code(tmp_path: Path) -> None:
    """A project's wheel that holds metadata alone is a mistake in what its backend was told."""
    filename = "demo-1.0-py3-none-any.whl"
    root = a_project_with_wheels(tmp_path / "demo", filename, content=a_wheel(files={}).content)

    with pytest.raises(EmptyWheelError) as caught:
        built(root)

    assert (
        caught.value.why == f"{filename} contains only metadata: backend found no code to package"
    )


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        pytest.param("lib @ file:///home/me/lib", "lib", id="folder"),
        pytest.param(
            "lib[fast] @ file:///home/me/lib-1.whl ; python_version < '4' and extra == 'x'",
            "lib[fast] ; python_version < '4' and extra == 'x'",
            id="extra and marker",
        ),
        pytest.param("lib @ git+file:///srv/lib@a1b2c3", "lib", id="repository on the disk"),
        pytest.param(
            "lib @ git+https://me:t0ken@git.example/lib@a1b2c3#subdirectory=python",
            "lib @ git+https://git.example/lib@a1b2c3#subdirectory=python",
            id="login",
        ),
        pytest.param(
            "lib @ git+ssh://git@git.example/lib", "lib @ git+ssh://git@git.example/lib", id="ssh"
        ),
        pytest.param("lib  >= 1", "lib  >= 1", id="index"),
        pytest.param("no requirement", "no requirement", id="unreadable"),
    ],
)
def test_requirements_tell_of_no_machine(tmp_path: Path, written: str, kept: str) -> None:
    """Folders of this machine and logins leave METADATA, and RECORD is true to it."""
    filename, lines = "demo-1.0-py3-none-any.whl", ("Requires-Dist: plain", "")
    text = "Requires-Dist: body @ file:///is/kept"
    before = a_wheel(metadata=[f"Requires-Dist: {written}", *lines, text])
    root = a_project_with_wheels(tmp_path / "demo", filename, content=before.content)

    wheel = built(root)

    expected = tmp_path / "expected.whl"
    expected.write_bytes(a_wheel(metadata=[f"Requires-Dist: {kept}", *lines, text]).content)
    normalize(expected)
    assert contents(wheel.path) == contents(expected)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([], id="any"),
        pytest.param(["Requires-Python: >=3.13.1,<3.14"], id="patch level"),
    ],
)
def test_admitted_python(tmp_path: Path, metadata: Sequence[str]) -> None:
    """A wheel whose metadata admits the target's Python, to the patch level, is taken."""
    filename = "demo-1.0-py3-none-any.whl"
    root = a_project_with_wheels(tmp_path / "demo", filename, metadata=metadata)

    assert built(root).filename == filename


@pytest.mark.parametrize(
    "specifier",
    [
        pytest.param("<3.13", id="older"),
        pytest.param(">=3.13.99", id="patch level"),
    ],
)
def test_excluded_python(tmp_path: Path, specifier: str) -> None:
    """What the metadata of the wheel requires counts, wherever the project says it."""
    root = a_project_with_wheels(
        tmp_path / "demo",
        "demo-1.0-py3-none-any.whl",
        metadata=[f"Requires-Python: {specifier}"],
    )

    with pytest.raises(ExcludedPythonError) as caught:
        built(root)

    assert (caught.value.what, caught.value.why) == (
        "the wheel of demo does not support python3.13 x86_64",
        f"its Requires-Python is `{specifier}`, but python3.13 has Python {_TARGET.python_version}",
    )


@pytest.mark.parametrize(
    "wheel",
    [
        pytest.param({"content": b"no zip"}, id="no zip"),
        pytest.param({"content": b"PK\5\6" + bytes(18)}, id="none"),
        pytest.param({"metadata": ["Requires-Python: 3"]}, id="no specifier"),
    ],
)
def test_unreadable_metadata(tmp_path: Path, wheel: dict[str, Any]) -> None:
    """A wheel whose metadata says nothing that can be understood is the backend's failure."""
    root = a_project_with_wheels(tmp_path / "demo", "demo-1.0-py3-none-any.whl", **wheel)

    with pytest.raises(BackendError, match="building demo failed in backend") as caught:
        built(root)

    assert caught.value.why.startswith("cannot read the metadata of demo-1.0-py3-none-any.whl: ")


@pytest.mark.parametrize("has_uv", [pytest.param(True, id="uv"), pytest.param(False, id="pip")])
@pytest.mark.parametrize(
    "requirement",
    [
        pytest.param("left-out", id="index"),
        pytest.param("left-out @ {files}left_out-1.0-py3-none-any.whl", id="address"),
    ],
)
def test_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirement: str, *, has_uv: bool
) -> None:
    """Offline no build requirement is asked for anywhere, with uv or pip as installer."""
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    if not has_uv:
        monkeypatch.setattr(isolation, "uv_of", lambda _: None)
    with FakeIndex([a_wheel("left-out")]) as index:
        for name, value in (
            ("UV_NO_CONFIG", "1"),
            ("UV_CACHE_DIR", str(tmp_path / "cache")),
            ("UV_DEFAULT_INDEX", index.url),
            ("UV_FIND_LINKS", index.url),
            ("PIP_CONFIG_FILE", os.devnull),
            ("PIP_INDEX_URL", index.url),
            ("PIP_FIND_LINKS", index.url),
        ):
            monkeypatch.setenv(name, value)
        text = requirement.format(files=index.files_url)
        root = a_project(tmp_path / "demo", "setuptools", requires=[text])

        with pytest.raises(OfflineRequirementsError) as caught:
            built(root, offline=True)

        assert [request.path for request in index.requests] == []
    assert caught.value.what == "cannot find the build requirements of demo-app"
    assert caught.value.hint.startswith("`--offline` forbids fetching the build requirements")


def test_offline_ends_with_the_build(tmp_path: Path) -> None:
    """An offline build leaves the variables of this process as they were."""
    root = a_project_with_wheels(tmp_path / "demo", "demo-1.0-py3-none-any.whl")
    before = dict(os.environ)

    built(root, offline=True)

    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "isolated", [pytest.param(False, id="here"), pytest.param(True, id="isolated")]
)
def test_no_answers(tmp_path: Path, *, isolated: bool) -> None:
    """A backend that asks a question gets no answer, and does not wait for one."""
    if isolated:
        root = a_project_with_wheels(tmp_path / "demo")
        written(root, {"backend.py": _READY.replace("    ready =", "    input()\n    ready =")})
    else:
        hook = {"hatch_build.py": _HATCH_HOOK.format("input()")}
        root = a_project(tmp_path / "demo", more="[tool.hatch.build.hooks.custom]", files=hook)
    unanswered, silent = os.pipe()

    run = subprocess.run(
        [sys.executable, "-c", _CONSOLE, "--runtime", "python3.13", "--contents", "project"],
        cwd=root,
        env=quiet_environment(tmp_path / "home"),
        stdin=unanswered,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    os.close(unanswered)
    os.close(silent)

    assert run.returncode == 6
    assert "error: building " in run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="root can be told to obey on Linux only")
@pytest.mark.parametrize("backend", _IN_PROCESS)
def test_read_only_project(tmp_path: Path, backend: str) -> None:
    """A project that cannot be written to is built like any other, and left alone."""
    root = a_project(tmp_path / "demo", backend)
    written(root, {".venv/pyvenv.cfg": "", ".venv/large.txt": ""})
    before = snapshot(root)
    root.chmod(0o555)
    arguments = ["--runtime", "python3.13", "--contents", "project", "--output", "../demo.zip"]

    run = subprocess.run(
        [sys.executable, "-c", _LIKE_ANYBODY, *arguments],
        cwd=root,
        env=quiet_environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    root.chmod(0o755)

    assert (run.returncode, run.stderr) == (0, "")
    code = {
        name: data for name, data in contents(tmp_path / "demo.zip").items() if "info/" not in name
    }
    assert code == {"demo_app/__init__.py": b"answer = 42\n", "demo_app/data.txt": b"text\n"}
    assert snapshot(root) == before


def test_temporary_files_of_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a backend leaves in the folder for temporary files goes when the build ends."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    root = a_project_with_wheels(tmp_path / "demo", "demo-1.0-py3-none-any.whl")
    leaving = "    import tempfile\n    tempfile.mkdtemp()\n    ready ="
    written(root, {"backend.py": _READY.replace("    ready =", leaving)})

    built(root)

    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("filenames", "why"),
    [
        pytest.param([], "it wrote 0 wheels instead of one", id="none"),
        pytest.param(
            ["demo-1.0-py3-none-any.whl", "demo-1.0-py2-none-any.whl"],
            "it wrote 2 wheels instead of one",
            id="two",
        ),
    ],
)
def test_disorderly_backend(tmp_path: Path, filenames: Sequence[str], why: str) -> None:
    """A backend has to write one wheel."""
    with pytest.raises(BackendError) as caught:
        built(a_project_with_wheels(tmp_path / "demo", *filenames))

    assert caught.value.why == why


def test_misnamed_wheel(tmp_path: Path) -> None:
    """A backend has to give its wheel a wheel's name."""
    with pytest.raises(BackendError, match="building demo failed in backend"):
        built(a_project_with_wheels(tmp_path / "demo", "demo.whl"))


def test_no_package(tmp_path: Path) -> None:
    """A folder of which no wheel can be made says how to go on without one."""
    (tmp_path / "scripts").mkdir()

    with pytest.raises(NotAPackageError) as caught:
        built(tmp_path / "scripts")

    assert caught.value.what == "scripts is not a package: there is nothing to build a wheel from"
    assert "--contents dependencies" in caught.value.hint
