"""Machine code is held against the runtime; the files are made here, headers and no code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.artifacts import an_artifact
from fakes.elf import an_elf

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.verify.findings import Findings
from lambda_build_plugin.verify.native import ForeignCodeError, check_native

if TYPE_CHECKING:
    from collections.abc import Mapping

ARM = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)
OLD = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.X86_64)
PE = b"MZ".ljust(60, b"\0") + b"\x80\0\0\0" + b"\0" * 100
MACH_O = b"\xcf\xfa\xed\xfe" + b"\0" * 100


def check(files: Mapping[str, bytes], target: Target = ARM) -> Findings:
    """Check files that all came with one distribution."""
    return check_native(an_artifact(files, owners=dict.fromkeys(files, "fast 1.0")), target)


def problems(found: Findings) -> list[str]:
    """List what cannot load."""
    return [
        line
        for error in found.errors
        if isinstance(error, ForeignCodeError)
        for line in error.problems["fast 1.0"]
    ]


@pytest.mark.parametrize(
    "name",
    [
        "fast.so",
        "fast.abi3.so",
        "fast.cpython-313-aarch64-linux-gnu.so",
        "fast.libs/libx-1.so.2",
        "tool",
    ],
)
def test_fitting_file(name: str) -> None:
    """A file for the machine passes under each name that the runtime loads."""
    assert check({name: an_elf("aarch64")}) == Findings()


@pytest.mark.parametrize(
    ("path", "data", "problem"),
    [
        pytest.param(
            "a.so", an_elf("x86_64"), "is made for 64-bit x86_64, not for aarch64", id="machine"
        ),
        pytest.param("a.pyd", PE, "is a PE file, not one for Linux", id="Windows"),
        pytest.param("a.so", MACH_O, "is a Mach-O file, not one for Linux", id="macOS"),
        pytest.param(
            "a.so",
            an_elf("aarch64", needed=["libc.musl-aarch64.so.1"]),
            "is linked against musl, and the runtime has glibc",
            id="musl",
        ),
        pytest.param(
            "tool",
            an_elf("aarch64", interpreter="/lib/ld-musl-aarch64.so.1"),
            "is linked against musl, and the runtime has glibc",
            id="program for musl",
        ),
        pytest.param(
            "a.cpython-313-aarch64-linux-musl.so",
            an_elf("aarch64"),
            "is linked against musl, and the runtime has glibc",
            id="name for musl",
        ),
        pytest.param(
            "a.cpython-312-aarch64-linux-gnu.so",
            an_elf("aarch64"),
            "is an extension module for Python 3.12, and python3.13 does not look for that name",
            id="another Python",
        ),
        pytest.param(
            "a.cpython-313t-aarch64-linux-gnu.so",
            an_elf("aarch64"),
            "is an extension module for free-threaded Python 3.13, and python3.13 does not look "
            "for that name",
            id="free-threaded",
        ),
        pytest.param(
            "a.so",
            an_elf("aarch64", versions={"libc.so.6": ["GLIBC_2.38"]}),
            "needs GLIBC_2.38, and the runtime has glibc 2.34",
            id="newer glibc",
        ),
    ],
)
def test_foreign_file(path: str, data: bytes, problem: str) -> None:
    """A file that cannot load is an error that names it and who brought it."""
    found = check({path: data})

    assert (problems(found), found.warnings) == ([f"`{path}` {problem}"], ())


def test_broken_file() -> None:
    """A file that begins like machine code and ends there cannot load."""
    (problem,) = problems(check({"a.so": an_elf("aarch64")[:40]}))

    assert problem.startswith("`a.so` cannot be loaded: ")


def test_foreign_file_beside_one_that_fits() -> None:
    """A package that brings files for several machines chooses by itself: a warning."""
    found = check({"linux-arm64/a.so": an_elf("aarch64"), "linux-x64/a.so": an_elf("x86_64")})

    assert found == Findings(
        warnings=(
            "fast 1.0 contains machine code for targets other than python3.13 arm64: "
            "`linux-x64/a.so` is made for 64-bit x86_64, not for aarch64",
        )
    )


@pytest.mark.parametrize(
    ("files", "errors", "warnings"),
    [
        pytest.param(
            ["_a.cpython-312-aarch64-linux-gnu.so", "fast.libs/libx.so.1"], 1, 0, id="library"
        ),
        pytest.param(["_a.cpython-312-aarch64-linux-gnu.so", "_b.abi3.so"], 0, 1, id="stable ABI"),
        pytest.param(
            ["_a.cpython-312-aarch64-linux-gnu.so", "_b.cpython-313-aarch64-linux-gnu.so"],
            0,
            1,
            id="own ABI",
        ),
    ],
)
def test_extension_of_another_python(files: list[str], errors: int, warnings: int) -> None:
    """A library that fits does not excuse extensions that no import finds; an extension does."""
    found = check(dict.fromkeys(files, an_elf("aarch64")))

    assert (len(found.errors), len(found.warnings)) == (errors, warnings)


@pytest.mark.parametrize(
    ("other", "errors", "warnings"),
    [
        pytest.param("b.so", 1, 0, id="another module"),
        pytest.param("old/a.so", 0, 1, id="the same"),
    ],
)
def test_newer_glibc_beside_one_that_fits(other: str, errors: int, warnings: int) -> None:
    """A file for a newer glibc is missed, unless the same one is there for an older."""
    newer = an_elf("aarch64", versions={"libc.so.6": ["GLIBC_2.38"]})

    found = check({"a.so": newer, other: an_elf("aarch64")})

    assert (len(found.errors), len(found.warnings)) == (errors, warnings)


def test_windows_programs_are_a_warning() -> None:
    """Programs for Windows are data to Linux."""
    found = check({"demo/windows/manager.exe": PE, "demo/windows/helper.exe": PE})

    assert found == Findings(
        warnings=(
            "fast 1.0: `demo/windows/helper.exe`, `demo/windows/manager.exe`: programs for "
            "Windows, which Lambda cannot run",
        )
    )


@pytest.mark.parametrize(
    "path",
    [
        "pip/_vendor/distlib/t64-arm.exe",
        "distlib/w32.exe",
        "setuptools/cli.exe",
        "setuptools/gui-arm64.exe",
    ],
)
def test_launchers_of_installers(path: str) -> None:
    """What each copy of setuptools and distlib carries along is no news."""
    assert check({path: PE}) == Findings()


def test_extension_with_a_substitute() -> None:
    """An extension of another Python beside the plain module is a warning."""
    found = check({"a.cpython-312-aarch64-linux-gnu.so": an_elf("aarch64"), "a.py": b""})

    assert (problems(found), len(found.warnings)) == ([], 1)


def test_many_files_of_one_package_are_counted() -> None:
    """Three files of a package are named, the rest is counted."""
    (error,) = check({f"{name}.so": an_elf("x86_64") for name in "abcde"}).errors

    assert error.what == "5 files with machine code cannot load on python3.13 arm64"
    assert error.why.splitlines()[-1] == "fast 1.0: 2 more files"


@pytest.mark.parametrize(
    ("elf", "warning"),
    [
        pytest.param(
            an_elf(
                "x86_64",
                needed=["libc.so.6", "libexpat.so.1", "libown.so.1"],
                runpath="$ORIGIN/fast.libs",
            ),
            "fast 1.0: `a.so`: needs libexpat.so.1, which neither the artifact nor the runtime "
            "contains: ship it at the root, in `lib/`, or in `lib/` of a layer",
            id="library",
        ),
        pytest.param(
            an_elf("x86_64", versions={"libstdc++.so.6": ["GLIBCXX_3.4.29"]}),
            "fast 1.0: `a.so`: needs GLIBCXX_3.4.29, which may be newer than the libraries of "
            "python3.11",
            id="version of a library",
        ),
    ],
)
def test_what_the_linker_may_miss(elf: bytes, warning: str) -> None:
    """What a file needs and nobody brings is a warning with the remedy."""
    found = check({"a.so": elf, "fast.libs/libown.so.1": an_elf("x86_64")}, OLD)

    assert found == Findings(warnings=(warning,))


def test_what_several_files_of_one_package_miss() -> None:
    """A package is told of once, with all that its files lack."""
    found = check(
        {
            f"{name}.so": an_elf("x86_64", needed=needed)
            for name, needed in {
                "a": ["libGL.so.1"],
                "b": ["libX11.so.6", "libGL.so.1"],
                "c": ["libSM.so.6"],
                "d": ["libGL.so.1"],
            }.items()
        },
        OLD,
    )

    assert found.warnings == (
        "fast 1.0: `a.so`, `b.so`, `c.so` and 1 more: need libGL.so.1, libX11.so.6, libSM.so.6, "
        "which neither the artifact nor the runtime contains: ship them at the root, in `lib/`, or "
        "in `lib/` of a layer",
    )


def test_layer_brings_a_library() -> None:
    """A library of a layer is found."""
    function = an_artifact({"a.so": an_elf("aarch64", needed=["libown.so.1"])})
    layer = an_artifact({"lib/libown.so.1": an_elf("aarch64")}, roots=())

    assert check_native(function, ARM, beside=[layer]) == Findings()


def test_every_file_may_hold_machine_code_by_another_name() -> None:
    """What a file is stands in its first bytes, not in its name."""
    assert problems(check({"data.bin": an_elf("x86_64")})) == [
        "`data.bin` is made for 64-bit x86_64, not for aarch64"
    ]


_LIBRARY = "libown.so.1"


@pytest.mark.parametrize(
    ("place", "runpath", "folder"),
    [
        (_LIBRARY, None, None),
        (f"lib/{_LIBRARY}", None, None),
        (f"pkg/{_LIBRARY}", None, "pkg/"),
        (f"pkg/{_LIBRARY}", "$ORIGIN", None),
        (f"pkg/libs/{_LIBRARY}", "/usr/lib:${ORIGIN}/libs", None),
        (f"fast.libs/{_LIBRARY}", "$ORIGIN/../fast.libs", None),
        (f"assets/native/{_LIBRARY}", "$ORIGIN/../fast.libs", "assets/native/"),
        (f"opt/{_LIBRARY}", "/var/task/opt", None),
        (f"python/lib/{_LIBRARY}", None, "python/lib/"),
    ],
)
def test_where_the_linker_looks(place: str, runpath: str | None, folder: str | None) -> None:
    """A library counts where the dynamic linker finds it, and not because it is somewhere."""
    elf = an_elf("aarch64", needed=[_LIBRARY], runpath=runpath)
    found = check({"pkg/a.so": elf, place: an_elf("aarch64")})

    assert found.warnings == (
        (
            f"fast 1.0: `pkg/a.so`: needs {_LIBRARY}, which lies in `{folder}`, where the loader "
            "does not look: ship it at the root, in `lib/`, or in `lib/` of a layer",
        )
        if folder
        else ()
    )


@pytest.mark.parametrize(("place", "is_found"), [("lib", True), ("python/lib", False), ("", False)])
def test_where_the_linker_looks_in_a_layer(place: str, *, is_found: bool) -> None:
    """Of a layer, `lib/` at its root counts."""
    function = an_artifact({"a.so": an_elf("aarch64", needed=[_LIBRARY])})
    path = f"{place}/{_LIBRARY}".lstrip("/")
    layer = an_artifact({path: an_elf("aarch64")}, roots=("python/",))

    assert (not check_native(function, ARM, beside=[layer]).warnings) is is_found


def test_library_that_another_one_needs() -> None:
    """The folders of a file that loads a library count for what the library needs."""
    files = {
        "pkg/a.so": an_elf("aarch64", needed=["libone.so"], runpath="$ORIGIN/../libs"),
        "libs/libone.so": an_elf("aarch64", needed=["libtwo.so"]),
        "libs/libtwo.so": an_elf("aarch64", needed=["libone.so"]),
    }

    assert check(files) == Findings()


def test_extension_modules_for_other_pythons() -> None:
    """Beside modules that fit, those for other Pythons are one line, and only on request."""
    files = {
        f"pkg/_{name}.cpython-3{minor}-aarch64-linux-gnu.so": an_elf("aarch64")
        for minor in (9, 10, 11, 12, 13, 14)
        for name in ("one", "two")
    }
    found = check(files)

    assert (found.errors, found.warnings) == ((), ())
    (note,) = found.notes
    assert note.startswith("fast 1.0 also contains extension modules for other Pythons than ")
    assert note.endswith(" and 7 more; `exclude` leaves them out")
