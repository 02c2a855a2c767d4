"""Sources of the package index, compiled with zig, looked at, and used.

What is compiled for arm64 runs under qemu-user with Debian's Python for arm64. `make arm64`
runs these tests alone and says why any are skipped; `make nightly` runs them with all others.
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from fakes.arm64 import arm64_python
from fakes.hosts import uv
from fakes.locks import ROOT
from fakes.zig import a_cache, zig_folder

from lambda_build_plugin.runtime.target import RUNTIMES, Glibc
from lambda_build_plugin.system.interpreters import find_interpreters

pytestmark = [
    pytest.mark.index,
    pytest.mark.nightly,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Python's headers for Linux"),
]

_SOURCES = {
    "argon2-cffi-bindings": "==26.2.0",  # scikit-build-core and cffi
    "cmarkgfm": "==2025.10.22",  # setuptools and cffi
    "contourpy": "==1.3.1",  # meson-python, pybind11 and C++
    "crc32c": "==2.7.1",  # setuptools and C with instructions of the processor
    "editdistance": "==0.8.1",  # pdm-backend, Cython and C++
    "murmurhash": "==1.0.12",  # setuptools, Cython and C++
    "pymongo": "==4.20.1",  # hatchling with a hook that calls setuptools
    "wrapt": "==1.17.2",  # setuptools and C
}
_OPTIONAL = {"pymongo", "wrapt"}
"""Those that do without their extensions where they cannot be compiled."""

_OWN = "python{}.{}".format(*sys.version_info)
_TARGETS = ((_OWN, "arm64"), (_OWN, "x86_64"), ("python3.13", "arm64"), ("python3.11", "arm64"))
_MACHINES = {"arm64": "EM_AARCH64", "x86_64": "EM_X86_64"}
_LOADERS = {"arm64": "ld-linux-aarch64.so.1", "x86_64": "ld-linux-x86-64.so.2"}
_OF_GLIBC = {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"}

_COMMAND = "from lambda_build_plugin.frontends.cli import entry_point; entry_point()"

_USES = {
    "argon2-cffi-bindings": """\
from _argon2_cffi_bindings import ffi, lib
assert ffi.string(lib.argon2_error_message(0)) == b"OK"
""",
    "cmarkgfm": """\
import cmarkgfm
assert cmarkgfm.github_flavored_markdown_to_html("**a**") == "<p><strong>a</strong></p>\\n"
""",
    "contourpy": """\
import contourpy
(line,) = contourpy.contour_generator(z=[[0, 1], [0, 1]]).lines(0.5)
assert sorted(line.tolist()) == [[0.5, 0], [0.5, 1]]
""",
    "crc32c": """\
import crc32c
assert crc32c.crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
""",
    "editdistance": """\
import editdistance
assert editdistance.eval("banana", "bahama") == 2
""",
    "murmurhash": """\
import murmurhash.mrmr
assert murmurhash.mrmr.hash("hello") & 0xFFFFFFFF == 0x248BFA47
""",
    "pymongo": """\
import bson
assert bson.has_c()
assert bson.encode({"a": 1}) == bytes.fromhex("0c0000001061000100000000")
""",
    "wrapt": """\
import wrapt, wrapt._wrappers
assert wrapt.ObjectProxy is wrapt._wrappers.ObjectProxy
assert wrapt.ObjectProxy([1, 2]) == [1, 2]
""",
}
"""What each source is used for, in Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The artifact of one target."""

    runtime: str
    arch: str
    folder: Path
    """The unpacked artifact."""

    scratch: Path
    """Where it was built."""

    compiled_by: dict[str, str]

    @property
    def modules(self) -> dict[str, bytes]:
        """The extension modules by their paths, but those of wheels from the index."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*.so"))
        return {
            str(path): (self.folder / path).read_bytes()
            for path in sorted(paths)
            if not path.parts[0].startswith("numpy") and not path.name.startswith("_cffi_backend.")
        }


@cache
def _built(runtime: str, arch: str, scratch: Path) -> Built:
    """Build all sources for one target, as a user would who has the extra."""
    arguments = ("--cross-compile", "always", "--runtime", runtime, "--arch", arch)
    ran = _run(scratch, tuple(_SOURCES), *arguments, has_zig=True)
    assert ran.returncode == 0, ran.stderr
    with zipfile.ZipFile(scratch / "demo.zip") as archive:
        archive.extractall(scratch / "unpacked")
    packages = json.loads(ran.stdout)["packages"]
    return Built(
        runtime=runtime,
        arch=arch,
        folder=scratch / "unpacked",
        scratch=scratch,
        compiled_by={package["name"]: package["compiled_by"] for package in packages},
    )


def _run(
    scratch: Path, sources: tuple[str, ...], *arguments: str, has_zig: bool
) -> subprocess.CompletedProcess[str]:
    """Lock a project that needs some of the sources, and build it into `demo.zip`."""
    project = scratch / "demo"
    project.mkdir(parents=True)  # so that what has failed is not built once more
    # Newer wheels of numpy, which contourpy needs, ask for a newer glibc than python3.11 has.
    listed = ["numpy<2.3", *(f"{name}{_SOURCES[name]}" for name in sources)]
    (project / "pyproject.toml").write_text(
        '[project]\nname = "demo"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
        f"dependencies = {listed}\n[tool.uv]\nno-binary-package = {list(sources)}\n",
        encoding="utf-8",
    )
    uv("lock", "--project", project)
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    if has_zig:
        folders.insert(0, str(zig_folder()))
    return subprocess.run(
        [
            *(sys.executable, "-c", _COMMAND, "--json", "--contents", "dependencies"),
            *("--output", str(scratch / "demo.zip"), *arguments),
        ],
        cwd=project,
        env={
            **os.environ,
            "PATH": os.pathsep.join(folders),
            "LAMBDA_BUILD_CACHE_DIR": str(a_cache(scratch / "cache")),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which each target is built once."""
    return tmp_path_factory.mktemp("real-sources")


@pytest.fixture(params=sorted(set(_TARGETS)), ids="-".join)
def built(request: pytest.FixtureRequest, scratch: Path) -> Built:
    """Give the artifact of each target."""
    runtime, arch = request.param
    _skip_without_python(runtime)
    return _built(runtime, arch, scratch / f"{runtime}-{arch}")


def _skip_without_python(runtime: str) -> None:
    python = RUNTIMES[runtime].python
    found = find_interpreters(python, environ=os.environ, home=Path.home())
    if not any(each.loads_like(python) for each in found):
        pytest.skip(f"there is no Python for {runtime} here to build with")


def test_each_source_is_compiled_by_zig(built: Built) -> None:
    """No source takes another way, such as a build without its extensions."""
    missing = [name for name in _SOURCES if not built.compiled_by[name].startswith("zig ")]

    assert missing == []


def test_each_module_is_for_the_target(built: Built) -> None:
    """Architecture, file name, symbols of glibc and libraries are what the runtime has."""
    machine = "aarch64" if built.arch == "arm64" else built.arch
    version = built.runtime.removeprefix("python").replace(".", "")
    endings = (f".cpython-{version}-{machine}-linux-gnu.so", ".abi3.so")
    modules = built.modules

    assert modules
    for name, content in modules.items():
        module = ELFFile(io.BytesIO(content))
        assert module["e_machine"] == _MACHINES[built.arch], name
        assert name.endswith(endings), name
        assert _newest_glibc(module) <= RUNTIMES[built.runtime].glibc, name
        assert _libraries(module) <= {*_OF_GLIBC, _LOADERS[built.arch]}, name


def test_no_module_names_the_build(built: Built) -> None:
    """Neither the folder of the build nor the user's home is in any module."""
    for name, content in built.modules.items():
        for folder in (built.scratch, Path.home(), Path(tempfile.gettempdir()), ROOT):
            assert f"{folder}/".encode() not in content, name


@pytest.mark.parametrize("source", sorted(_SOURCES))
def test_what_is_built_for_this_machine_works(scratch: Path, source: str) -> None:
    """A module gives the right answer here."""
    arch = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    if arch is None:
        pytest.skip(f"Lambda has no {platform.machine()}")
    result = _built(_OWN, arch, scratch / f"{_OWN}-{arch}")

    ran = _use(source, result, sys.executable, "-I")

    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(platform.machine() == "aarch64", reason="this machine runs it without qemu")
@pytest.mark.parametrize("source", sorted(_SOURCES))
def test_what_is_built_for_arm64_works(scratch: Path, source: str) -> None:
    """A module gives the right answer on an arm64 processor, which qemu stands in for."""
    python = arm64_python(_OWN.removeprefix("python"))
    result = _built(_OWN, "arm64", scratch / f"{_OWN}-arm64")

    ran = _use(source, result, *python.command, "-I")

    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(platform.machine() == "aarch64", reason="its own compilers are for arm64")
@pytest.mark.parametrize("source", sorted(_SOURCES))
def test_without_zig_the_extra_is_named(tmp_path: Path, source: str) -> None:
    """Where there is no zig, nothing is compiled for arm64, and the hint says what to install."""
    target = ("--runtime", _OWN, "--arch", "arm64")

    ran = _run(tmp_path, (source,), *target, has_zig=False)

    if source in _OPTIONAL:
        assert ran.returncode == 0, ran.stderr
        with zipfile.ZipFile(tmp_path / "demo.zip") as archive:
            names = [name for name in archive.namelist() if name.endswith(".so")]
        assert [name for name in names if not name.startswith("numpy")] == []
    else:
        assert ran.returncode == 6
        assert "install `lambda-build-plugin[cross]`" in ran.stderr


def _use(source: str, result: Built, *python: str | Path) -> subprocess.CompletedProcess[str]:
    """Use a source with a Python that sees its own modules and the artifact, nothing else."""
    code = f"import sys; sys.path.insert(0, {str(result.folder)!r})\n{_USES[source]}"
    return subprocess.run([*python, "-S", "-c", code], capture_output=True, text=True, check=False)


def _newest_glibc(module: ELFFile) -> Glibc:
    """Return the newest glibc whose symbols a module needs."""
    section = module.get_section_by_name(".gnu.version_r")
    names = [
        auxiliary.name.removeprefix("GLIBC_")
        for _, auxiliaries in (
            section.iter_versions() if isinstance(section, GNUVerNeedSection) else ()
        )
        for auxiliary in auxiliaries
        if auxiliary.name.startswith("GLIBC_")
    ]
    return max((Glibc(*map(int, name.split(".")[:2])) for name in names), default=Glibc(0, 0))


def _libraries(module: ELFFile) -> set[str]:
    section = module.get_section_by_name(".dynamic")
    assert isinstance(section, DynamicSection)
    return {str(tag.needed) for tag in section.iter_tags("DT_NEEDED")}  # type: ignore[attr-defined]
