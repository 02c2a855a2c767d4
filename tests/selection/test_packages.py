"""Which packages of a lock with edges belong to a target, and why the others do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.errors import LockError
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import Edge, Lock, LockedPackage, Roots
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.left_out import LeftOut
from lambda_build_plugin.selection.packages import asked_for, reached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.utils import NormalizedName

    from lambda_build_plugin.selection.packages import Reached

TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)
PACKAGES = ("root", "a", "b", "c", "d")
"""The places that edges name; the first is the project."""


def an_edge(text: str, places: tuple[str, ...] = PACKAGES) -> Edge:
    """Make an edge of `name`, `name[extra]` or either with `; marker`."""
    requirement, _, marker = text.partition("; ")
    name, _, extras = requirement.rstrip("]").partition("[")
    return Edge(
        name=canonicalize_name(name),
        candidates=tuple(index for index, place in enumerate(places) if place == name),
        extras=_names(extras.replace(",", " ")),
        marker=LockMarker.parse(marker) if marker else None,
    )


def edges(*texts: str) -> tuple[Edge, ...]:
    """Make several edges."""
    return tuple(map(an_edge, texts))


def a_lock(
    *main: str,
    extras: Mapping[str, tuple[str, ...]] | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    needs: Mapping[str, tuple[str, ...]] | None = None,
    virtual: str = "",
) -> Lock:
    """Make a lock of `PACKAGES`.

    Args:
        main: What the project needs.
        extras: What the project's extras need.
        groups: What the project's groups need.
        needs: What a package needs, or `package[extra]` does.
        virtual: The name of a package of which nothing ships.
    """
    needs = needs or {}
    root_extras = {canonicalize_name(key): edges(*value) for key, value in (extras or {}).items()}
    root_groups = {canonicalize_name(key): edges(*value) for key, value in (groups or {}).items()}
    packages = [
        LockedPackage(
            name=canonicalize_name(name),
            version=Version("1"),
            at=f"package[{index}]",
            virtual=name == virtual,
            edges=edges(*needs.get(name, ())) if index else edges(*main),
            extra_edges={
                canonicalize_name(key.partition("[")[2].rstrip("]")): edges(*value)
                for key, value in needs.items()
                if key.startswith(f"{name}[")
            }
            if index
            else root_extras,
        )
        for index, name in enumerate(PACKAGES)
    ]
    return Lock(
        path=Path("uv.lock"),
        kind="uv.lock",
        remedy="uv lock",
        packages=tuple(packages),
        extras=frozenset(root_extras),
        groups=frozenset(root_groups),
        roots=Roots(main=edges(*main), extras=root_extras, groups=root_groups),
        project=0,
    )


def walked(lock: Lock, *, extras: str = "", groups: str = "") -> Reached:
    """Walk for python3.13 on arm64."""
    target = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)
    return reached(lock, target, extras=_names(extras), groups=_names(groups))


def shipped(lock: Lock, *, extras: str = "", groups: str = "") -> str:
    """Name what ships."""
    result = walked(lock, extras=extras, groups=groups)
    return " ".join(package.name for package in result.packages)


def _names(text: str) -> frozenset[NormalizedName]:
    return frozenset(map(canonicalize_name, text.split()))


def test_what_is_needed_is_reached() -> None:
    """Needs of needs ship, sorted by name, and nothing else."""
    assert shipped(a_lock("c", "a", needs={"a": ("b",), "d": ("a",)})) == "a b c"


def test_circles_end() -> None:
    """Packages may need each other, and the project."""
    assert shipped(a_lock("a", needs={"a": ("b",), "b": ("a", "root")})) == "a b"


def test_markers_on_edges_decide() -> None:
    """An edge whose marker is false for the target leads nowhere."""
    lock = a_lock(
        "a; sys_platform == 'win32'", "b; platform_machine == 'aarch64'", needs={"a": ("c",)}
    )

    assert shipped(lock) == "b"


def test_extras_of_packages() -> None:
    """`a[x]` brings what the extra needs; without it that stays out."""
    needs: dict[str, tuple[str, ...]] = {"a[x]": ("b",), "a[y]": ("c",), "d": ("a[y]",)}

    assert [shipped(a_lock(*main, needs=needs)) for main in (("a",), ("a[x]",), ("a", "d"))] == [
        "a",
        "a b",
        "a c d",
    ]


@pytest.mark.parametrize(
    ("extras", "groups", "expected"),
    [
        pytest.param("", "", "a", id="neither"),
        pytest.param("fast", "", "a b", id="extra"),
        pytest.param("", "dev", "a c", id="group"),
        pytest.param("all", "", "a b d", id="extra-that-asks-for-another"),
    ],
)
def test_extras_and_groups_of_the_project(extras: str, groups: str, expected: str) -> None:
    """They come on top of the main dependencies, when asked for."""
    lock = a_lock(
        "a",
        extras={"fast": ("b",), "all": ("root[fast]", "d")},
        groups={"dev": ("c",)},
    )

    assert shipped(lock, extras=extras, groups=groups) == expected


@pytest.mark.parametrize(
    ("extras", "expected"),
    [
        pytest.param("", "a", id="none"),
        pytest.param("fast", "a b", id="asked-for"),
        pytest.param("all", "a b", id="through-another"),
    ],
)
def test_gate_for_an_extra_of_the_project(extras: str, expected: str) -> None:
    """An edge deep in the graph may ask which extras are active."""
    lock = a_lock(
        "a",
        extras={"fast": (), "all": ("root[fast]",)},
        needs={"a": ("b; 'fast' in extras",)},
    )

    assert shipped(lock, extras=extras) == expected


def test_gate_for_an_extra_of_another_package() -> None:
    """An edge to `a[x]` opens the gates for that extra, its own first."""
    lock = a_lock(
        "a",
        "a[x]; 'a[x]' in extras",
        "c; 'a[y]' in extras",
        needs={"a[x]": ("b",)},
    )

    assert shipped(lock) == "a b"


def test_gate_before_the_edge_that_opens_it() -> None:
    """It does not matter where on the walk an extra is met."""
    for main in (("d; 'a[x]' in extras", "b"), ("b", "d; 'a[x]' in extras")):
        assert shipped(a_lock(*main, needs={"b": ("c",), "c": ("a[x]",)})) == "a b c d"


def test_virtual_package_ships_its_needs_only() -> None:
    """Of a package that says it is none, there is nothing to install."""
    result = walked(a_lock("a", needs={"a": ("b",)}, virtual="a"))

    assert [package.name for package in result.packages] == ["b"]
    assert result.left_out[0] == LeftOut(
        name="a", version="1", reason="it is not a package: only its dependencies ship"
    )


def test_everything_left_out_has_its_reason() -> None:
    """Nothing vanishes silently; the project itself is no omission."""
    lock = a_lock(
        "a; python_version < '3.9'",
        extras={"fast": ("b",)},
        groups={"dev": ("c",)},
    )

    assert [(item.name, item.reason) for item in walked(lock).left_out] == [
        ("a", "the project needs it only if python_version < '3.9'"),
        ("b", "it is needed only by an extra that was not requested"),
        ("c", "it is needed only by a dependency group that was not requested"),
        ("d", "nothing that ships needs it"),
    ]


# --- forks ----------------------------------------------------------------------------


def a_fork(*markers: str | None, edge: str = "a") -> Lock:
    """Make a lock with one entry of `a` for each marker, versions 0, 1, …."""
    places = ("root", *("a" for _ in markers))
    root = LockedPackage(name=canonicalize_name("root"), at="package[0]")
    entries = (
        LockedPackage(
            name=canonicalize_name("a"),
            version=Version(str(index)),
            at=f"package[{index + 1}]",
            marker=LockMarker.parse(marker) if marker else None,
        )
        for index, marker in enumerate(markers)
    )
    return Lock(
        path=Path("uv.lock"),
        kind="uv.lock",
        remedy="uv lock",
        packages=(root, *entries),
        roots=Roots(main=(an_edge(edge, places),)),
        project=0,
    )


def test_forks_are_chosen_by_their_own_markers() -> None:
    """Where an edge may mean several entries, the one resolved for the target is meant."""
    lock = a_fork("python_version < '3.13'", "python_version >= '3.13'")

    assert [str(package) for package in walked(lock).packages] == ["a 1"]


def test_marker_of_the_only_entry_does_not_count() -> None:
    """It says where the entry was resolved, not where it is needed."""
    lock = a_fork("python_version < '3.13'")

    assert [str(package) for package in walked(lock).packages] == ["a 0"]


@pytest.mark.parametrize(
    ("markers", "count"),
    [
        pytest.param(("os_name == 'nt'", "os_name == 'java'"), 0, id="none-holds"),
        pytest.param((None, "os_name == 'posix'"), 2, id="both-hold"),
    ],
)
def test_fork_without_one_answer_is_an_error(markers: tuple[str | None, ...], count: int) -> None:
    """The lock does not say which; nothing is guessed."""
    with pytest.raises(LockError) as caught:
        walked(a_fork(*markers))

    assert (
        str(caught.value)
        == f"""\
error: cannot read the lock uv.lock
  why: the project needs a, but {count} of its 2 entries apply to the target

hint: lock again: `uv lock`"""
    )


def test_two_versions_reached_are_an_error() -> None:
    """Conflicting extras that are asked for together bring two versions of one package."""
    entries = tuple(
        LockedPackage(name=canonicalize_name("a"), version=Version(version), at=f"package[{place}]")
        for place, version in enumerate(("1", "2"))
    )
    sides = {
        canonicalize_name(extra): (Edge(name=canonicalize_name("a"), candidates=(place,)),)
        for place, extra in enumerate(("cpu", "gpu"))
    }
    lock = Lock(
        path=Path("uv.lock"),
        kind="uv.lock",
        remedy="uv lock",
        packages=entries,
        extras=frozenset(sides),
        roots=Roots(extras=sides),
    )

    assert shipped(lock, extras="gpu") == "a"
    with pytest.raises(LockError) as caught:
        walked(lock, extras="cpu gpu")
    assert (
        str(caught.value)
        == """\
error: the lock uv.lock has `a` more than once for python3.13 arm64
  why: a 1: package[0], marker: none
       a 2: package[1], marker: none

hint: if extras or groups conflict, ask for only one of them; otherwise lock again, so that \
the markers exclude each other: `uv lock`"""
    )


# --- what the project itself asks for -------------------------------------------------


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        pytest.param(a_lock("a", needs={"a": ("b",)}), ["a"], id="not what that needs"),
        pytest.param(
            a_lock("a[fast]", "b; sys_platform == 'win32'"), ["a[fast]"], id="extra, marker"
        ),
        pytest.param(
            a_lock("a", extras={"x": ("b",), "y": ("c",)}, groups={"g": ("d",), "h": ("c",)}),
            ["a", "b", "d"],
            id="an extra and a group",
        ),
        pytest.param(
            a_lock("a", virtual="a", needs={"a": ("b",), "b": ("c",)}),
            ["a", "b"],
            id="behind what is no package",
        ),
        pytest.param(
            a_lock("a", extras={"y": ("d",)}, groups={"g": ("root[y]",)}),
            ["a", "d", "root[y]"],
            id="behind the project itself",
        ),
    ],
)
def test_asked_for(lock: Lock, asked: list[str]) -> None:
    """What the project names counts, with the extras and groups that are asked for."""
    found = asked_for(lock, TARGET, extras=_names("x"), groups=_names("g"))

    assert [str(requirement) for requirement in found] == asked


def test_asked_for_without_main() -> None:
    """Where the main dependencies do not ship, only what groups name counts."""
    lock = a_lock("a", groups={"g": ("b",)})

    found = asked_for(lock, TARGET, extras=_names(""), groups=_names("g"), main=False)

    assert [str(requirement) for requirement in found] == ["b"]
