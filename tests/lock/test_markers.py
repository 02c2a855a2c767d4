"""Markers of locks: the gates of PEP 751 and several extras at once, on any packaging."""

from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name

from lambda_build_plugin.lock.markers import Activated, LockMarker
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target

ENVIRONMENT = Target(
    runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64
).marker_environment


def holds(text: str, *, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> bool:
    """Parse and evaluate a marker for python3.13 on arm64."""
    activated = Activated(
        extras=frozenset(extras),
        groups=frozenset(map(canonicalize_name, groups)),
    )
    return LockMarker.parse(text).holds(ENVIRONMENT, activated)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("python_version >= '3.12'", True, id="version"),
        pytest.param("python_full_version < '3.12.5'", False, id="full-version"),
        pytest.param("platform_machine == 'aarch64'", True, id="machine-of-the-target"),
        pytest.param("platform_machine == 'x86_64'", False, id="machine-of-another"),
        pytest.param("sys_platform == 'win32' or os_name == 'posix'", True, id="or"),
        pytest.param("'linux' in sys_platform", True, id="in-a-variable"),
        pytest.param("platform_release >= '5'", True, id="release-of-the-kernel"),
        pytest.param("platform_version >= '5'", False, id="version-of-a-platform-without-one"),
    ],
)
def test_variables_are_the_targets(text: str, *, expected: bool) -> None:
    """All eleven variables come from the target, none from this machine."""
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "extras", "expected"),
    [
        pytest.param("'fast' in extras", ("fast",), True, id="in"),
        pytest.param("'fast' in extras", (), False, id="in-without-any"),
        pytest.param("'fast' not in extras", ("fast",), False, id="not-in"),
        pytest.param("'fast' not  in extras", ("slow",), True, id="not-in-another"),
        pytest.param('"Fast_Lane" in extras', ("fast-lane",), True, id="normalized"),
        pytest.param("extra == 'fast'", ("fast", "slow"), True, id="one-of-two"),
        pytest.param("extra == 'fast' and extra == 'slow'", ("fast", "slow"), True, id="both"),
        pytest.param("extra != 'fast'", ("fast",), False, id="unequal"),
        pytest.param("'fast' == extra", ("fast",), True, id="value-first"),
        pytest.param("'slow' != extra", ("fast",), True, id="value-first-unequal"),
        pytest.param(
            "('a' in extras or 'b' in extras) and sys_platform == 'linux'",
            ("b",),
            True,
            id="joined-with-a-variable",
        ),
        pytest.param("'lib[cpu]' in extras", ("lib[cpu]",), True, id="of-another-package"),
    ],
)
def test_extras_are_a_set(text: str, extras: tuple[str, ...], *, expected: bool) -> None:
    """Any number of extras is active, in the spelling of PEP 508 and of PEP 751."""
    assert holds(text, extras=extras) is expected


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param(("docs-all",), True, id="asked-for"),
        pytest.param(("docs",), False, id="another"),
        pytest.param((), False, id="none"),
    ],
)
def test_groups_gate_packages(groups: tuple[str, ...], *, expected: bool) -> None:
    """`dependency_groups` is what was asked for, under normalized names."""
    assert holds("'Docs.All' in dependency_groups", groups=groups) is expected


def test_extra_of_the_name_of_a_group_is_another_thing() -> None:
    """An active extra does not open the gate of a group."""
    assert not holds("'fast' in dependency_groups", extras=("fast",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("python_version", "is not a marker (PEP 508)", id="no-comparison"),
        pytest.param("color == 'red'", "is not a marker (PEP 508)", id="unknown-variable"),
        pytest.param("", "is not a marker (PEP 508)", id="empty"),
        pytest.param(
            "python_version ~= '3'",
            "compares values that cannot be compared (PEP 508)",
            id="no-order",
        ),
    ],
)
def test_bad_marker_is_refused_when_it_is_read(text: str, problem: str) -> None:
    """A mistake shows at the lock's door, not in the middle of a build."""
    with pytest.raises(ValueError, match="PEP 508") as caught:
        LockMarker.parse(text)

    assert str(caught.value) == f"`{text}` {problem}"


def test_marker_is_shown_as_the_lock_has_it() -> None:
    """Messages quote the lock."""
    assert str(LockMarker.parse("'a'  in extras")) == "'a'  in extras"
