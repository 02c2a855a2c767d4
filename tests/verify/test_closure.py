"""What ships is held against what it requires."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from packaging.utils import canonicalize_name

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.verify.closure import UnmetRequirementsError, Word, check_closure
from lambda_build_plugin.verify.findings import Findings
from lambda_build_plugin.verify.view import shipped

if TYPE_CHECKING:
    from lambda_build_plugin.verify.view import Shipped

TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64)


def a_distribution(name: str, version: str = "1.0", *requires: str) -> Shipped:
    """Make a distribution that requires these."""
    lines = [
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {each}" for each in requires),
    ]
    return shipped("\n".join(lines).encode())


def a_word(*, left_out: str = "", on_its_own: str = "", **extras: str) -> Word:
    """Make a word of the user's; extras are spelled `demo="a b"`."""
    return Word(
        extras={
            canonicalize_name(name): frozenset(map(canonicalize_name, asked.split()))
            for name, asked in extras.items()
        },
        left_out=frozenset(left_out.split()),
        on_their_own=frozenset(on_its_own.split()),
    )


def unmet(*distributions: Shipped, word: Word | None = None) -> list[str]:
    """List what is not met."""
    found = check_closure(distributions, TARGET, word or Word())
    return [
        line
        for error in found.errors
        if isinstance(error, UnmetRequirementsError)
        for line in error.unmet
    ]


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        pytest.param("idna", [], id="any version"),
        pytest.param("IDNA>=3", [], id="admitted version, other spelling of the name"),
        pytest.param("idna>=3; python_full_version >= '3.13.1'", [], id="full version"),
        pytest.param("six", ["demo 1.0 requires six, which does not ship"], id="absent"),
        pytest.param(
            "six[fast]>=1", ["demo 1.0 requires six>=1, which does not ship"], id="absent version"
        ),
        pytest.param(
            "six @ https://index.example/six.zip",
            ["demo 1.0 requires six, which does not ship"],
            id="absent URL",
        ),
        pytest.param("idna @ https://index.example/idna.zip", [], id="URL"),
        pytest.param("six; sys_platform == 'win32'", [], id="not for the target"),
        pytest.param(
            "six; platform_machine == 'aarch64'",
            ["demo 1.0 requires six, which does not ship"],
            id="for the target",
        ),
        pytest.param("six; extra == 'fast'", [], id="extra that nobody asks for"),
        pytest.param("six; (os_name == 'posix') and extra == 'a'", [], id="extra and more"),
        pytest.param(
            "six; extra == 'a' or os_name == 'posix'",
            ["demo 1.0 requires six, which does not ship"],
            id="extra or more",
        ),
        pytest.param(
            "six; extra != 'a'", ["demo 1.0 requires six, which does not ship"], id="not an extra"
        ),
        pytest.param("no requirement!", [], id="unreadable"),
        pytest.param("six; python_version > '3' + '1'", [], id="unreadable marker"),
    ],
)
def test_requirement(line: str, missing: list[str]) -> None:
    """A requirement counts where its marker holds for the target."""
    assert unmet(a_distribution("demo", "1.0", line), a_distribution("idna", "3.7")) == missing


def test_every_distribution_counts() -> None:
    """What a dependency requires is checked like what the project requires."""
    found = unmet(a_distribution("a", "1.0", "b"), a_distribution("b", "2.0", "c>1"))

    assert found == ["b 2.0 requires c>1, which does not ship"]


def test_extra_that_the_user_asks_for() -> None:
    """What the project's extra requires has to ship when the extra does."""
    demo = a_distribution("demo", "1.0", "six; extra == 'Fast.Lane'", "toml; extra == 'slow'")

    assert unmet(demo, word=a_word(demo="fast-lane")) == [
        "demo 1.0 requires six, which does not ship"
    ]


def test_extra_that_a_distribution_asks_for() -> None:
    """Extras are followed over several steps, also to oneself."""
    a = a_distribution("a", "1.0", "b[one]")
    b = a_distribution("b", "1.0", "b[two]; extra == 'one'", "c; extra == 'two'")

    assert unmet(a, b) == ["b 1.0 requires c, which does not ship"]


def test_left_out_is_the_users_word() -> None:
    """What is provided or not wanted is not missed."""
    assert unmet(a_distribution("demo", "1.0", "Boto3"), word=a_word(left_out="boto3")) == []


def test_project_on_its_own() -> None:
    """Where the project ships alone, its requirements come from elsewhere."""
    demo, other = a_distribution("demo", "1.0", "six"), a_distribution("other", "1.0", "toml")

    assert unmet(demo, other, word=a_word(on_its_own="demo")) == [
        "other 1.0 requires toml, which does not ship"
    ]


def test_layer_meets_a_requirement() -> None:
    """What a layer holds is there."""
    found = check_closure(
        [a_distribution("demo", "1.0", "six")], TARGET, Word(), beside=[a_distribution("six")]
    )

    assert found == Findings()


@pytest.mark.parametrize(
    ("asked", "version", "warnings"),
    [
        pytest.param("idna>=4", "3.7", ("demo 1.0 requires idna>=4, but 3.7 ships",), id="too old"),
        pytest.param("idna>=3", "4.0rc1", (), id="pre-release"),
        pytest.param("idna==3.7", "3.7+local", (), id="local version"),
        pytest.param("idna>=3", "unknown", (), id="no version"),
    ],
)
def test_version(asked: str, version: str, warnings: tuple[str, ...]) -> None:
    """A version outside of what is asked for is a warning: a lock may override metadata."""
    found = check_closure(
        [a_distribution("demo", "1.0", asked), a_distribution("idna", version)], TARGET, Word()
    )

    assert found == Findings(warnings=warnings)


def test_what_the_runtime_brings_is_doubtful() -> None:
    """A package that the runtime has in some version is a warning where it does not ship."""
    found = check_closure(
        [a_distribution("demo", "1.0", "boto3>=1")], TARGET, Word(doubtful=frozenset({"boto3"}))
    )

    assert found == Findings(
        warnings=(
            "demo 1.0 requires boto3>=1, which does not ship: the runtime's own copy is used, "
            "whatever its version",
        )
    )


def test_requirements_in_the_text_do_not_count() -> None:
    """What stands below the headers of METADATA is a description."""
    data = b"Name: demo\r\nVersion: 1\r\n\r\nRequires-Dist: six\r\n"

    assert shipped(data).requires == ()
