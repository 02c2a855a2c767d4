from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_build_plugin.config.patterns import make_spec, parse_pattern

if TYPE_CHECKING:
    from pathlib import Path


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
            "contains `**` more than 3 times",
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
def test_fast_matching_matches_the_same(text: str, folders: list[str]) -> None:
    """What makes matching fast does not change what is matched."""
    path = "/".join(folders)
    try:
        pattern = parse_pattern(text)
    except ValueError:
        return
    (original,) = make_spec([text]).patterns

    assert pattern.matches(path) is (original.match_file(path) is not None)


_LINES = (
    *("a", "a/", "/a", "*", "*/", "**", "**/", "a/**", "**/a", "a/**/b", "a/*", "a*b", "a?b"),
    *("a**b", "a/b**", "a/**b", "a/***/b", "a***b", "***", "foo/", "*.py", "/*.py", "d/**/x.py"),
    *("[ab]", "[!a]", "[^a]", "a[!b]c", "x[!a]y", "**/x[!a]y", "*[!a]*", "*.[!p]*", "a[/]b"),
    *("[]a]", "[!]a]", "[a-c]", "[!a-c]", "a[+-0]b", "[\\]]", "[a\\-z]", "a[]b", "[", "[a-", "[!]"),
    *("[[:alpha:]]", "[[:digit:]]b", "[![:alpha:]]", "[[:punct:]a]", "[[:space:]]", "a\\*b"),
    *("\\!a", "a ", "a\\ ", "\\a", " a", "{a,b}", "a//b", "/a/b/", "*/b/", "**/b/**", "A"),
)
_PATHS = (
    *("a", "b", "ab", "a/b", "a/b/c", "a/c", "axb", "a/x/b", "xay", "x/y", "xby", "a/xby", "aab"),
    *("a b", "!a", "a*b", "a ", " a", "p.py", "d/p.py", "d/e/x.py", "x.pyc", "a.b/c", "foo/bar"),
    *("e/foo/bar", "]", "1b", "-", "A", "z", "[", "[a", "a]", "a[]b", "{a,b}", "a+b", "x/a/b/y"),
)


def test_git_matches_the_same(tmp_path: Path) -> None:
    """Every line matches what it matches in a `.gitignore`.

    Only `a**/b` is left out: gitignore(5) says that such stars are like one, but git lets them
    match slashes where the text before them has no wildcard.
    """

    def git(*words: str, given: str = "") -> str:
        command = ["git", "-C", str(tmp_path), *words]
        ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        return ran.stdout

    git("init", "--quiet")
    different = []
    for line in _LINES:
        (tmp_path / ".gitignore").write_text(f"{line}\n")
        listed = git("check-ignore", "--no-index", "-z", "--stdin", given="\0".join(_PATHS))
        by_git = {path for path in listed.split("\0") if path}
        try:
            pattern = parse_pattern(line)
            ours = {path for path in _PATHS if pattern.matches(path)}
        except ValueError:
            ours = set()
        if ours != by_git:
            different.append((line, sorted(ours ^ by_git)))

    assert different == []


def test_unknown_class() -> None:
    """A class of characters that does not exist matches nothing, so it is a mistake."""
    with pytest.raises(ValueError, match="is not a valid"):
        parse_pattern("[[:word:]]")
