"""The table of runtimes, and the tags and markers of the targets they make."""

from __future__ import annotations

import datetime
import os
import platform
import sys
import sysconfig
from dataclasses import replace
from itertools import product

import pytest
from packaging import tags
from packaging.markers import Marker, default_environment
from packaging.specifiers import SpecifierSet
from packaging.tags import parse_tag
from packaging.version import Version

from lambda_build_plugin.runtime.target import (
    AS_OF,
    RUNTIMES,
    Architecture,
    Target,
    default_runtimes,
    newest_admitted,
)

LINUX_X86_64_GLIBC_2_26 = """
manylinux_2_26 manylinux_2_25 manylinux_2_24 manylinux_2_23 manylinux_2_22 manylinux_2_21
manylinux_2_20 manylinux_2_19 manylinux_2_18 manylinux_2_17 manylinux2014 manylinux_2_16
manylinux_2_15 manylinux_2_14 manylinux_2_13 manylinux_2_12 manylinux2010 manylinux_2_11
manylinux_2_10 manylinux_2_9 manylinux_2_8 manylinux_2_7 manylinux_2_6 manylinux_2_5 manylinux1
linux
"""

LINUX_AARCH64_GLIBC_2_34 = """
manylinux_2_34 manylinux_2_33 manylinux_2_32 manylinux_2_31 manylinux_2_30 manylinux_2_29
manylinux_2_28 manylinux_2_27 manylinux_2_26 manylinux_2_25 manylinux_2_24 manylinux_2_23
manylinux_2_22 manylinux_2_21 manylinux_2_20 manylinux_2_19 manylinux_2_18 manylinux_2_17
manylinux2014 linux
"""


def a_target(runtime: str = "python3.12", architecture: str = "x86_64") -> Target:
    """Make a target from Lambda's own words."""
    return Target(runtime=RUNTIMES[runtime], architecture=Architecture(architecture))


EVERY_TARGET = [
    pytest.param(a_target(runtime, architecture.value), id=f"{runtime}-{architecture.value}")
    for runtime, architecture in product(RUNTIMES, Architecture)
]


def become_another_host(patch: pytest.MonkeyPatch) -> None:
    """Let the interpreter seem a free-threaded debug build on another system.

    Only a patch can do this: packaging looks straight at the interpreter.
    """
    flags = {"Py_GIL_DISABLED": 1, "Py_DEBUG": 1, "SOABI": "cpython-399td-riscv64-linux-gnu"}
    patch.setattr(sysconfig, "get_config_var", flags.get)
    patch.setattr(sysconfig, "get_platform", lambda: "win-arm64")
    patch.setattr(platform, "system", lambda: "Windows")
    patch.setattr(platform, "machine", lambda: "ARM64")
    patch.setattr(platform, "release", lambda: "11")
    patch.setattr(platform, "version", lambda: "10.0.26100")
    patch.setattr(platform, "python_implementation", lambda: "PyPy")
    patch.setattr(platform, "python_version", lambda: "3.99.9")
    patch.setattr(platform, "python_version_tuple", lambda: ("3", "99", "9"))
    patch.setattr(sys, "platform", "win32")
    patch.setattr(os, "name", "nt")


# --- runtimes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "glibc", "deprecated", "preview"),
    [
        pytest.param(*row, id=row[0])
        for row in (
            ("python3.8", "2.26", "2024-10-14", False),
            ("python3.9", "2.26", "2025-12-15", False),
            ("python3.10", "2.26", "2026-10-31", False),
            ("python3.11", "2.26", "2027-06-30", False),
            ("python3.12", "2.34", "2028-10-31", False),
            ("python3.13", "2.34", "2029-06-30", False),
            ("python3.14", "2.34", "2029-06-30", False),
            ("python3.15", "2.34", "None", True),
        )
    ],
)
def test_runtime_as_aws_documents_it(
    name: str, glibc: str, deprecated: str, *, preview: bool
) -> None:
    """A runtime's glibc, deprecation date and state are those that AWS names."""
    runtime = RUNTIMES[name]

    assert (str(runtime.glibc), str(runtime.deprecated), runtime.preview) == (
        glibc,
        deprecated,
        preview,
    )


def test_runtimes_are_listed_oldest_first() -> None:
    """The table is complete and in the order of the Python versions."""
    assert list(RUNTIMES) == [f"python3.{minor}" for minor in range(8, 16)]


@pytest.mark.parametrize("name", RUNTIMES)
def test_full_version_belongs_to_the_name(name: str) -> None:
    """`python_full_version` is a release of the Python that the identifier names."""
    version = Version(RUNTIMES[name].full_version)

    assert (f"python{version.major}.{version.minor}", len(version.release)) == (name, 3)


@pytest.mark.parametrize(
    ("requires_python", "newest"),
    [
        pytest.param(None, "python3.14", id="nothing-said"),
        pytest.param("", "python3.14", id="everything-admitted"),
        pytest.param(">=3.10", "python3.14", id="floor"),
        pytest.param(">=3.10,<3.13", "python3.12", id="floor-and-ceiling"),
        pytest.param("==3.11.*", "python3.11", id="one-minor-version"),
        pytest.param(">=3.13.2,<3.14", "python3.13", id="patch-level-that-the-runtime-has"),
        pytest.param("<3.11", "python3.10", id="deprecated-where-nothing-newer-will-do"),
        pytest.param(">=3.15", None, id="preview-only"),
        pytest.param("==3.12.99", None, id="patch-level-that-no-runtime-has"),
        pytest.param("<3", None, id="python-2"),
    ],
)
def test_newest_admitted_runtime(requires_python: str | None, newest: str | None) -> None:
    """The default runtime is the newest out of preview that requires-python admits."""
    specifier = None if requires_python is None else SpecifierSet(requires_python)

    found = newest_admitted(specifier)

    assert (found and found.name) == newest


# --- tags -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "platforms"),
    [
        pytest.param(
            a_target("python3.11", "x86_64"),
            [f"{platform}_x86_64" for platform in LINUX_X86_64_GLIBC_2_26.split()],
            id="amazon-linux-2-x86_64",
        ),
        pytest.param(
            a_target("python3.13", "arm64"),
            [f"{platform}_aarch64" for platform in LINUX_AARCH64_GLIBC_2_34.split()],
            id="amazon-linux-2023-arm64",
        ),
    ],
)
def test_platforms_from_the_ceiling_downwards(target: Target, platforms: list[str]) -> None:
    """Every manylinux level and legacy name stands in order, `linux_*` at the end."""
    abi = f"cp{target.runtime.name.removeprefix('python').replace('.', '')}"

    assert [tag.platform for tag in target.tags if tag.abi == abi] == platforms


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_ceiling_is_the_glibc_of_the_runtime(target: Target) -> None:
    """The best tag asks for the runtime's glibc on the target's machine."""
    _, minor = target.runtime.glibc
    machine = {"x86_64": "x86_64", "arm64": "aarch64"}[target.architecture.value]

    assert target.tags[0].platform == f"manylinux_2_{minor}_{machine}"


def test_interpreters_and_abis_from_the_most_specific() -> None:
    """Own ABI, stable ABI and none; then older stable ABIs; then pure Python."""
    pairs = [f"{tag.interpreter}-{tag.abi}" for tag in a_target("python3.11").tags]

    assert list(dict.fromkeys(pairs)) == [
        "cp311-cp311",
        "cp311-abi3",
        "cp311-none",
        *(f"cp3{minor}-abi3" for minor in range(10, 1, -1)),
        "py311-none",
        "py3-none",
        *(f"py3{minor}-none" for minor in range(10, -1, -1)),
    ]


def test_wheels_for_any_platform_come_last() -> None:
    """Pure wheels rank behind every wheel that was made for the platform."""
    platforms = [tag.platform == "any" for tag in a_target().tags]

    assert platforms == sorted(platforms)


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_each_tag_has_one_rank(target: Target) -> None:
    """No tag stands twice, and its rank is its place."""
    assert [target.rank[tag] for tag in target.tags] == list(range(len(target.tags)))


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param("cp313-cp313t-manylinux_2_17_x86_64", id="free-threaded"),
        pytest.param("cp313-cp313d-manylinux_2_17_x86_64", id="debug"),
        pytest.param("cp313-cp313-musllinux_1_2_x86_64", id="musl"),
        pytest.param("cp313-cp313-manylinux_2_35_x86_64", id="newer-glibc"),
        pytest.param("cp313-cp313-manylinux_2_17_i686", id="32-bit"),
        pytest.param("pp313-pypy313_pp73-manylinux_2_17_x86_64", id="pypy"),
        pytest.param("cp314-abi3-manylinux_2_17_x86_64", id="newer-stable-abi"),
        pytest.param("py314-none-any", id="newer-pure-python"),
        pytest.param("py2-none-any", id="python-2"),
    ],
)
def test_tag_that_the_target_does_not_load(tag: str) -> None:
    """Nothing for another interpreter, build, C library or machine is accepted."""
    assert parse_tag(tag).isdisjoint(a_target("python3.13").tags)


# --- markers --------------------------------------------------------------------------


def test_marker_environment_of_an_x86_64_target() -> None:
    """All variables have the values that the function will see."""
    assert a_target("python3.13", "x86_64").marker_environment == {
        "implementation_name": "cpython",
        "implementation_version": "3.13.12",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "5.10",
        "platform_system": "Linux",
        "platform_version": "0",
        "python_full_version": "3.13.12",
        "python_version": "3.13",
        "sys_platform": "linux",
    }


def test_marker_environment_of_an_arm64_target_differs_in_the_machine() -> None:
    """Lambda's `arm64` is `aarch64` to Python on Linux."""
    x86_64 = a_target("python3.10", "x86_64").marker_environment
    arm64 = a_target("python3.10", "arm64").marker_environment

    assert set(arm64.items()) - set(x86_64.items()) == {("platform_machine", "aarch64")}


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_no_marker_variable_is_left_to_the_host(target: Target) -> None:
    """The eleven variables are just those that packaging would fill in from the host."""
    assert set(target.marker_environment) == set(default_environment())


@pytest.mark.parametrize("variable", ["platform_release", "platform_version"])
def test_kernel_variables_compare_as_versions(variable: str) -> None:
    """A marker that holds the kernel against a version has an answer on every packaging."""
    assert Version(a_target().marker_environment[variable]) >= Version("0")


@pytest.mark.parametrize(
    ("runtime", "marker", "holds"),
    [
        pytest.param("python3.11", 'python_full_version < "3.11.3"', False, id="patch-level"),
        pytest.param("python3.10", 'python_full_version < "3.11.3"', True, id="minor-level"),
        pytest.param("python3.10", 'python_version < "3.9"', False, id="ten-is-above-nine"),
        pytest.param("python3.12", 'sys_platform == "win32"', False, id="windows"),
        pytest.param("python3.12", 'platform_machine == "arm64"', False, id="macos-spelling"),
        pytest.param("python3.12", 'platform_version >= "10.0.17134"', False, id="kernel"),
    ],
)
def test_marker_for_a_target(runtime: str, marker: str, *, holds: bool) -> None:
    """Markers of real locks are answered for the runtime."""
    assert Marker(marker).evaluate(a_target(runtime).marker_environment) is holds


# --- whatever the host ----------------------------------------------------------------


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_tags_are_the_same_on_another_host(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A free-threaded debug build on Windows finds the same tags in the same order."""
    with monkeypatch.context() as patch:
        become_another_host(patch)
        elsewhere = Target(runtime=target.runtime, architecture=target.architecture).tags

    assert elsewhere == target.tags


@pytest.mark.parametrize("target", EVERY_TARGET)
def test_markers_are_the_same_on_another_host(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another system, machine and interpreter do not show in the marker environment."""
    with monkeypatch.context() as patch:
        become_another_host(patch)
        elsewhere = Target(
            runtime=target.runtime, architecture=target.architecture
        ).marker_environment

    assert elsewhere == target.marker_environment


def test_another_host_would_mislead_packaging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the simulated host does change what packaging itself answers."""
    with monkeypatch.context() as patch:
        become_another_host(patch)
        abis = {tag.abi for tag in tags.cpython_tags((3, 13), platforms=["linux_x86_64"])}

    assert "cp313" not in abis
    assert "cp313td" in abis


# --- warnings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "today", "warnings"),
    [
        pytest.param("python3.11", "2027-06-29", (), id="the-day-before"),
        pytest.param(
            "python3.11",
            "2027-06-30",
            (
                "python3.11 is deprecated since 2027-06-30: "
                f"AWS no longer patches it (table of {AS_OF})",
            ),
            id="the-day",
        ),
        pytest.param(
            "python3.8",
            "2026-11-21",
            (
                "python3.8 is deprecated since 2024-10-14: "
                f"AWS no longer patches it (table of {AS_OF})",
            ),
            id="long-after",
        ),
        pytest.param(
            "python3.15",
            "2026-11-21",
            ("python3.15 is a preview: AWS gives no support and may change it",),
            id="preview",
        ),
    ],
)
def test_warnings_of_a_runtime_by_date(runtime: str, today: str, warnings: tuple[str, ...]) -> None:
    """Deprecated and preview runtimes are warned about, and never refused."""
    assert a_target(runtime).warnings(datetime.date.fromisoformat(today)) == warnings


def test_target_is_shown_in_lambda_words() -> None:
    """Messages name the runtime and the architecture as AWS does."""
    assert str(a_target("python3.13", "arm64")) == "python3.13 arm64"


@pytest.mark.parametrize("requires_python", [None, ">=3.10", "==3.12.*", ">=3.15"])
def test_new_runtimes_change_no_default(
    monkeypatch: pytest.MonkeyPatch, requires_python: str | None
) -> None:
    """An upgrade of this package moves no function to another Python."""
    specifier = None if requires_python is None else SpecifierSet(requires_python)
    released = replace(RUNTIMES["python3.15"], preview=False)
    monkeypatch.setitem(RUNTIMES, "python3.15", released)
    before = default_runtimes(specifier)[0]
    newer = replace(RUNTIMES["python3.15"], name="python3.16", python=(3, 16))
    monkeypatch.setitem(RUNTIMES, "python3.16", newer)

    assert default_runtimes(specifier)[0] == before
    assert default_runtimes(None)[0].name == "python3.14"
