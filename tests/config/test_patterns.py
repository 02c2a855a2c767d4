from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from lambda_build_plugin.config.patterns import parse_pattern


@pytest.mark.parametrize(
    ("text", "matched", "other"),
    [
        pytest.param("*.txt", ["a.txt", "pkg/a.txt"], ["a.txt.gz"], id="suffix, at every depth"),
        pytest.param("/a.txt", ["a.txt"], ["pkg/a.txt"], id="at the root"),
        pytest.param("pkg/data", ["pkg/data", "pkg/data/a/b"], ["x/pkg/data"], id="below a folder"),
        pytest.param("data/", ["data/a", "pkg/data/a"], ["data"], id="folders alone"),
        pytest.param("pkg/**/x", ["pkg/x", "pkg/a/b/x"], ["x"], id="any folders between"),
        pytest.param("!keep.py", ["keep.py", "a/keep.py"], ["a.py"], id="taken back"),
        pytest.param("\\#a", ["#a"], ["a"], id="name that begins like a comment"),
        pytest.param("\\!a", ["!a"], ["a"], id="name that begins like a negation"),
    ],
)
def test_language(text: str, matched: list[str], other: list[str]) -> None:
    """A line means what it means in `.gitignore`."""
    pattern = parse_pattern(text)

    assert [path for path in [*matched, *other] if pattern.matches(path)] == matched


@pytest.mark.parametrize(("text", "negated"), [("a", False), ("!a", True), ("\\!a", False)])
def test_negation(text: str, *, negated: bool) -> None:
    """A line that begins with `!` takes files back in."""
    assert parse_pattern(text).negated is negated


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "matches nothing", id="empty"),
        pytest.param("  ", "matches nothing", id="blank"),
        pytest.param("!", "matches nothing", id="negation of nothing"),
        pytest.param("/", "matches nothing", id="root"),
        pytest.param("# a", "is a comment: write `\\# a` for a name that begins with `#`", id="#"),
        pytest.param("a\0b", "contains a character that no path can have", id="NUL"),
        pytest.param(
            "../a", "contains a part `.` or `..`, which no path in the archive has", id="outside"
        ),
        pytest.param(
            "./a", "contains a part `.` or `..`, which no path in the archive has", id="dot"
        ),
        pytest.param(
            "a/**/b/**/c/**/d/**/e",
            "contains `**` or `[!…]` more than 3 times",
            id="slow",
        ),
        pytest.param("a\\", "is not a valid .gitignore pattern", id="backslash at the end"),
        pytest.param("[z-a]", "is not a valid .gitignore pattern", id="range from the end"),
    ],
)
def test_unreadable(text: str, problem: str) -> None:
    """A line that can match nothing is refused, with the reason."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        parse_pattern(text)


@pytest.mark.parametrize("text", ["*a*a*a*a*a*a*a*a*a*ab", "x/*a*a*a*a*a*a*a*a*a*ab/**/c"])
def test_many_stars_take_linear_time(text: str) -> None:
    """A pattern that fits a name in countless ways would not end if each was tried."""
    assert not parse_pattern(text).matches("x/" + "a" * 255)


_PARTS = st.sampled_from(["*", "*", "?", "a", "b", "/", "[ab]", "[!a]", "**/"])


@settings(deadline=None)
@given(
    st.lists(_PARTS, min_size=1, max_size=8).map("".join),
    st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab"]), min_size=1, max_size=4),
)
def test_matches_what_pathspec_matches(text: str, folders: list[str]) -> None:
    """What makes matching fast does not change what is matched."""
    path = "/".join(folders)
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    (original,) = GitIgnoreSpec.from_lines([text]).patterns

    assert pattern.matches(path) is (original.match_file(path) is not None)
