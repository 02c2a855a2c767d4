"""Markers and requirements compared by meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.project import Project
from lambda_build_plugin.config.tables import Table
from lambda_build_plugin.lock.marker_meaning import same_meaning
from lambda_build_plugin.lock.uv_freshness import differences

if TYPE_CHECKING:
    from collections.abc import Sequence


def means_the_same(one: str, other: str, requires_python: str = ">=3.10") -> bool:
    """Compare two lists of alternatives, written with `|` between them."""
    return same_meaning(one.split("|"), other.split("|"), SpecifierSet(requires_python))


@pytest.mark.parametrize(
    ("asked", "locked"),
    [
        pytest.param("platform_system == 'Windows'", "sys_platform == 'win32'", id="windows"),
        pytest.param("platform_system == 'AIX'", "sys_platform == 'aix'", id="aix"),
        pytest.param("platform_system != 'Android'", "sys_platform != 'android'", id="android"),
        pytest.param("python_version > '3.10'", "python_full_version >= '3.11'", id="above"),
        pytest.param("python_version == '3.11'", "python_full_version == '3.11.*'", id="equal"),
        pytest.param("python_version >= '3.10'", "", id="what-requires-python-says-already"),
        pytest.param(
            "python_version in '3.11 3.12'",
            "python_full_version >= '3.11' and python_full_version < '3.13'",
            id="in-a-list",
        ),
        pytest.param("'linux' == sys_platform", 'sys_platform=="linux"', id="turned-round"),
        pytest.param(
            "os_name == 'nt' and python_version < '3.12'",
            "python_full_version < '3.12' and os_name == 'nt'",
            id="order-of-the-parts",
        ),
        pytest.param(
            "sys_platform == 'linux'|sys_platform != 'linux'", "", id="alternatives-that-cover-all"
        ),
        pytest.param("extra == 'My_Extra'", "extra == 'my-extra'", id="normalized-extra"),
        pytest.param("python_version < '3'", "python_version < '2'", id="never"),
    ],
)
def test_same_meaning_in_other_words(asked: str, locked: str) -> None:
    """What uv writes for a marker is that marker."""
    assert means_the_same(asked, locked)


@pytest.mark.parametrize(
    ("asked", "locked"),
    [
        pytest.param("sys_platform == 'linux'", "sys_platform == 'darwin'", id="system"),
        pytest.param("sys_platform == 'linux'", "", id="condition-gone"),
        pytest.param("os_name == 'java'", "os_name == 'riscos'", id="systems-nobody-knows"),
        pytest.param("platform_machine == 'ppc64le'", "platform_machine == 's390x'", id="machine"),
        pytest.param("python_version < '3.11'", "python_version < '3.12'", id="minor"),
        pytest.param(
            "python_full_version < '3.11.3'", "python_full_version <= '3.11.3'", id="patch"
        ),
        pytest.param(
            "implementation_version < '3.11'",
            "implementation_version < '3.12'",
            id="implementation",
        ),
        pytest.param("platform_release >= '6'", "platform_release >= '4'", id="kernel"),
        pytest.param("implementation_name == 'graalpy'", "implementation_name == 'x'", id="vm"),
        pytest.param("extra == 'a'", "extra == 'b'", id="extra"),
        pytest.param("extra == 'a' or extra == 'b'", "extra == 'a'", id="one-extra-fewer"),
        pytest.param(
            "extra == 'a' and sys_platform == 'linux'", "extra == 'a'", id="condition-of-an-extra"
        ),
    ],
)
def test_other_meaning(asked: str, locked: str) -> None:
    """A difference in any environment is one."""
    assert not means_the_same(asked, locked)


def test_versions_outside_of_requires_python_do_not_count() -> None:
    """Two markers that differ on a Python nobody may use are the same."""
    pair = ("python_version >= '3.10'", "python_version >= '3.11'")

    assert [means_the_same(*pair, ">=3.10"), means_the_same(*pair, ">=3.11")] == [False, True]


def test_what_nobody_could_compare_is_different() -> None:
    """Markers that tell too many environments apart are not tried for minutes."""
    many = " or ".join(
        f"{variable} == '{number}'"
        for variable in ("os_name", "platform_machine", "platform_release", "platform_version")
        for number in range(20)
    )

    assert not means_the_same(many, f"({many}) and python_version >= '3'")


_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", "and": "or", "or": "and"}
"""Operators by what denies them."""


def a_pair(left: str, operator: str, right: str) -> tuple[str, str]:
    """Write a marker and the one that denies it."""
    return f"{left} {operator} '{right}'", f"{left} {_OPPOSITE[operator]} '{right}'"


def a_joined_pair(one: tuple[str, str], operator: str, other: tuple[str, str]) -> tuple[str, str]:
    """Join two markers, and what denies them (De Morgan)."""
    opposite = _OPPOSITE[operator]
    return f"({one[0]} {operator} {other[0]})", f"({one[1]} {opposite} {other[1]})"


_atoms = st.one_of(
    st.builds(
        a_pair,
        st.sampled_from(["sys_platform", "platform_machine", "platform_system"]),
        st.sampled_from(["==", "!="]),
        st.sampled_from(["linux", "win32", "Windows", "x86_64", "arm64"]),
    ),
    st.builds(
        a_pair,
        st.sampled_from(["python_version", "python_full_version"]),
        st.sampled_from(["<", ">=", "==", "!="]),
        st.sampled_from(["3.10", "3.12", "3.11.4"]),
    ),
    st.builds(a_pair, st.just("extra"), st.sampled_from(["==", "!="]), st.sampled_from("ab")),
)
_pairs = st.recursive(
    _atoms,
    lambda inner: st.builds(a_joined_pair, inner, st.sampled_from(["and", "or"]), inner),
    max_leaves=3,
)


@settings(max_examples=25, deadline=None)
@given(_pairs)
def test_marker_means_what_it_means(pair: tuple[str, str]) -> None:
    """Words that add nothing change nothing."""
    assert means_the_same(pair[0], f"({pair[0]}) and python_version >= '3'")


@settings(max_examples=25, deadline=None)
@given(_pairs, _pairs)
def test_order_of_comparison_makes_no_difference(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Neither side is the one that decides."""
    assert means_the_same(one[0], other[0]) == means_the_same(other[0], one[0])


@settings(max_examples=25, deadline=None)
@given(_pairs)
def test_marker_never_means_its_opposite(pair: tuple[str, str]) -> None:
    """What denies a marker differs from it in every environment."""
    assert not means_the_same(*pair)


# --- requirements ---------------------------------------------------------------------


def found(
    asked: Sequence[str],
    locked: Sequence[dict[str, Any]],
    *,
    sources: dict[str, Any] | None = None,
    inherits: bool = False,
) -> list[str]:
    """List the differences between requirements and a `requires-dist`."""
    project = Project(
        root=Path("demo"),
        name=canonicalize_name("demo"),
        dependencies=tuple(map(Requirement, asked)),
        tool=Table({"uv": {"sources": sources or {}}}, at="pyproject.toml: tool"),
    )
    metadata = Table({"requires-dist": list(locked)}, at="uv.lock: package[0].metadata")
    lock = Table({"requires-python": ">=3.10"}, at="uv.lock")
    return list(differences(project, metadata, lock, inherited=None if inherits else {}))


COMMIT = "https://git.example/a/b"


@pytest.mark.parametrize(
    ("asked", "locked"),
    [
        pytest.param(
            "A_b [X] >=1.0 , <2",
            {"name": "a-b", "extras": ["x"], "specifier": "<2,>=1"},
            id="spelling",
        ),
        pytest.param(
            f"a @ git+{COMMIT}.git@v1#subdirectory=x/y",
            {"name": "a", "git": f"{COMMIT}?subdirectory=x%2Fy&rev=v1"},
            id="git",
        ),
        pytest.param(f"a @ git+{COMMIT}", {"name": "a", "git": COMMIT}, id="git-head"),
        pytest.param(
            f"a @ git+{COMMIT.replace('//', '//user:secret@')}@v1",
            {"name": "a", "git": f"{COMMIT}?rev=v1"},
            id="git-with-credentials",
        ),
        pytest.param(
            "a @ https://files.example/a-1%2Bx.zip#sha256=00",
            {"name": "a", "url": "https://files.example/a-1+x.zip"},
            id="url",
        ),
        pytest.param(
            "a @ https://me:se%40c@ret@files.example/a-1.zip",
            {"name": "a", "url": "https://files.example/a-1.zip"},
            id="url-with-at-signs-in-its-password",
        ),
        pytest.param("a @ file:///srv/a.whl", {"name": "a", "path": "../srv/a.whl"}, id="file"),
    ],
)
def test_requirement_in_uv_s_spelling(asked: str, locked: dict[str, Any]) -> None:
    """The lock spells names, versions and addresses its own way."""
    assert found([asked], [locked]) == []


@pytest.mark.parametrize(
    ("asked", "locked", "expected"),
    [
        pytest.param(
            ["a", "b>=2"],
            [{"name": "a"}],
            ["- b>=2: not in the lock"],
            id="added",
        ),
        pytest.param(
            [],
            [{"name": "a", "marker": "sys_platform == 'linux'"}],
            ["- a (`sys_platform == 'linux'`): only in the lock"],
            id="removed",
        ),
        pytest.param(
            ["a>=2"],
            [{"name": "a", "specifier": ">=1"}],
            ["- a>=2: not in the lock", "- a>=1: only in the lock"],
            id="version",
        ),
        pytest.param(
            ["a[x]"],
            [{"name": "a"}],
            ["- a[x]: not in the lock", "- a: only in the lock"],
            id="extra",
        ),
        pytest.param(
            ["a; os_name == 'nt'"],
            [{"name": "a"}],
            ['- a: asked for as `(os_name == "nt")`, locked as always'],
            id="marker",
        ),
        pytest.param(
            [f"a @ git+{COMMIT}@v2"],
            [{"name": "a", "git": f"{COMMIT}?rev=v1"}],
            [
                "- a @ https://git.example/a/b@v2: not in the lock",
                "- a @ https://git.example/a/b@v1: only in the lock",
            ],
            id="commit",
        ),
        pytest.param(
            ["a @ https://files.example/a-2.zip"],
            [{"name": "a", "url": "https://files.example/a-1.zip"}],
            [
                "- a @ https://files.example/a-2.zip: not in the lock",
                "- a @ https://files.example/a-1.zip: only in the lock",
            ],
            id="url",
        ),
        pytest.param(
            ["a @ git+https://user:pa@ssw0rd@git.example/a.git@v2#subdirectory=x"],
            [{"name": "a", "url": "https://files.example/a-1.zip?sig=t%23oken"}],
            [
                "- a @ https://git.example/a@v2#subdirectory=x: not in the lock",
                "- a @ https://files.example/a-1.zip: only in the lock",
            ],
            id="secrets",
        ),
    ],
)
def test_difference_is_named(
    asked: list[str], locked: list[dict[str, Any]], expected: list[str]
) -> None:
    """Each side of a difference is written as a person would."""
    assert found(asked, locked) == expected


@pytest.mark.parametrize(
    ("source", "locked", "expected"),
    [
        pytest.param(
            {"git": COMMIT, "tag": "v1"}, {"git": f"{COMMIT}?tag=v1"}, [], id="git-as-locked"
        ),
        pytest.param(
            {"git": COMMIT, "tag": "v2"},
            {"git": f"{COMMIT}?tag=v1"},
            [
                "- a @ https://git.example/a/b@v2: not in the lock",
                "- a @ https://git.example/a/b@v1: only in the lock",
            ],
            id="other-tag",
        ),
        pytest.param({"path": "../a"}, {"editable": "../a"}, [], id="path-as-locked"),
        pytest.param({"workspace": True}, {"virtual": "a"}, [], id="member"),
        pytest.param(
            {"index": "mine"},
            {"index": "https://index.example/", "specifier": ">=1"},
            [],
            id="index",
        ),
        pytest.param(
            {"path": "../a"},
            {"specifier": ">=1"},
            ["- a: not in the lock", "- a>=1: only in the lock"],
            id="source-is-new",
        ),
        pytest.param(
            None,
            {"directory": "../a"},
            ["- a>=1: not in the lock", "- a: only in the lock"],
            id="source-is-gone",
        ),
        pytest.param(
            [{"git": COMMIT, "marker": "os_name == 'nt'"}],
            {"specifier": ">=1"},
            [],
            id="conditional-source-is-not-compared",
        ),
    ],
)
def test_sources_of_uv_are_part_of_a_requirement(
    source: object, locked: dict[str, Any], expected: list[str]
) -> None:
    """`[tool.uv.sources]` decides where a requirement comes from."""
    sources = {} if source is None else {"a": source}

    assert found(["a>=1"], [{"name": "a", **locked}], sources=sources) == expected


def test_member_may_inherit_a_source() -> None:
    """What the workspace's root says of sources is not known here, so the lock is believed."""
    assert found(["a>=1"], [{"name": "a", "git": f"{COMMIT}?rev=v1"}], inherits=True) == []


def test_dynamic_dependencies_are_not_compared() -> None:
    """Only the build backend knows them."""
    project = Project(root=Path("demo"), name=canonicalize_name("demo"), dependencies=None)
    metadata = Table({"requires-dist": [{"name": "a"}]}, at="uv.lock")

    assert differences(project, metadata, Table({}, at="uv.lock"), inherited={}) == []
