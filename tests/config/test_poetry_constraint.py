"""Poetry's constraints, held against poetry-core's own reading of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lambda_build_plugin.config.poetry_constraint import Constraint, platform_marker
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.source_build.process_state import new_folders_last

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONSTRAINTS = (
    *("*", "x", "v1.2", "1", "1.2", "1.2.3", "=1.2", "==1.2.3", "!=1.2", "1!2.0"),
    *("^1", "^1.2", "^1.2.3", "^0", "^0.0", "^0.2", "^0.2.3", "^0.0.3", "^1.0a1", "^1!2.1"),
    *("~1", "~1.2", "~1.2.3", "~0.1", "~1.2b1", "~=1", "~=1.2", "~=1.2.3"),
    *("1.*", "1.2.*", "1.*.*", "==1.*", "!=1.2.*", ">=1.2.*"),
    *("<1.2", "<=1.2", ">1.2", ">=1.2", "^ 1.2", ">= 1.0, < 2.0", ">=1.0 <2.0"),
    *("^0.1|^1.2", "1.2 || 1.3.*", ">=1.0,!=1.2.*,", "*,>=1", ">=1.0, < 1.2 || ^3.1"),
)
_VERSIONS = (
    *("0", "0.0.1", "0.0.3", "0.0.4", "0.1", "0.2", "0.2.3", "0.3", "1.0a1", "1.0a2", "1.0"),
    *("1.0.1", "1.2.dev1", "1.2a1", "1.2b1", "1.2rc1", "1.2", "1.2.0", "1.2.3", "1.2.4"),
    *("1.2.post1", "1.2+cpu", "1.2.3+cpu", "1.3a1", "1.3", "1.9", "2.0.dev1", "2.0rc1", "2"),
    *("2.0.1", "3.0", "3.1", "4", "1!2.0", "1!2.1", "1!3"),
)
_PYTHONS = (
    *("*", "^3.11", "~3.12", "~3.12.3", "3.12", "3.12.*", "3.12.13", "==3.12", "!=3.12.*"),
    *("!=3.12", ">3.11", ">=3.11.5", "<=3.12", "<3.13", ">=3.11,<4,!=3.12.*", "~3.11 || ~3.13"),
)


@pytest.fixture(autouse=True)
def _path_in_order() -> Iterator[None]:
    """Keep what poetry-core brings along from processes that later tests start."""
    with new_folders_last():
        yield


@pytest.mark.parametrize("text", _CONSTRAINTS)
def test_admits_what_poetry_admits(text: str) -> None:
    """A constraint admits the same versions here and in poetry-core."""
    # Before 2.5 it had other rules for pre-releases, local versions and `~=1`.
    pytest.importorskip("poetry.core", minversion="2.5")
    version = pytest.importorskip("poetry.core.constraints.version")
    theirs = version.parse_constraint(text)

    ours = Constraint.parse(text)

    assert {v for v in _VERSIONS if ours.admits(Version(v))} == {
        v for v in _VERSIONS if theirs.allows(version.Version.parse(v))
    }


@pytest.mark.parametrize("text", _PYTHONS)
def test_python_marker_means_what_poetry_means(text: str) -> None:
    """`python = "…"` of a dependency holds for the same runtimes here and in poetry-core."""
    factory = pytest.importorskip("poetry.core.factory")
    theirs = factory.Factory.create_dependency("demo", {"version": "*", "python": text}).marker

    ours = Constraint.parse(text).python_marker

    assert [not ours or Marker(ours).evaluate(environment) for environment in _environments()] == [
        theirs.validate(environment) for environment in _environments()
    ]


@pytest.mark.parametrize(
    "text", ["*", "linux", "win32 || darwin", "!=win32", "==linux", "!=win32,!=darwin"]
)
def test_platform_marker_means_what_poetry_means(text: str) -> None:
    """`platform = "…"` of a dependency holds on the same systems here and in poetry-core."""
    factory = pytest.importorskip("poetry.core.factory")
    theirs = factory.Factory.create_dependency("demo", {"version": "*", "platform": text}).marker
    environments = [
        {**next(_environments()), "sys_platform": system} for system in ("linux", "win32", "darwin")
    ]

    ours = platform_marker(text)

    assert [not ours or Marker(ours).evaluate(environment) for environment in environments] == [
        theirs.validate(environment) for environment in environments
    ]


@pytest.mark.parametrize("text", ["", "latest", "^", ">=", "^1.2 ||", "1.2 - 2.0", "<>1.2", "^^1"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    """Text that is no constraint is an error that shows it."""
    with pytest.raises(ValueError, match="is not a Poetry version constraint"):
        Constraint.parse(text)


def test_what_is_no_platform_is_refused() -> None:
    """A platform that is left out of a list is an error."""
    with pytest.raises(ValueError, match="is not a Poetry platform constraint"):
        platform_marker("linux ||")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("^3.11", SpecifierSet(">=3.11,<4.0"), id="one-range"),
        pytest.param("^3.11 || ^2.7", None, id="alternatives-have-no-words"),
    ],
)
def test_specifier_is_exact_or_nothing(text: str, expected: SpecifierSet | None) -> None:
    """A specifier says the same as the constraint, or there is none."""
    assert Constraint.parse(text).specifier == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("^3.11", SpecifierSet(">=3.11,<4.0"), id="one-range"),
        pytest.param("~3.11 || ~3.13", SpecifierSet(">=3.11,<3.14,!=3.12.*"), id="with-a-gap"),
        pytest.param("~3.11 || >=3.13", SpecifierSet(">=3.11,!=3.12.*"), id="open-above"),
        pytest.param("^2.7 || <2", None, id="no-python-3"),
    ],
)
def test_requires_python_covers_alternatives(text: str, expected: SpecifierSet | None) -> None:
    """Alternatives of Python become one specifier with the minor versions between left out."""
    assert Constraint.parse(text).requires_python == expected


def _environments() -> Iterator[dict[str, str]]:
    for runtime in RUNTIMES.values():
        yield Target(runtime=runtime, architecture=Architecture.X86_64).marker_environment
