"""Ranges of sorted paths are those that a look at each path would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambda_build_plugin.verify.paths import by_top_name, range_starting

NAMES = st.lists(st.text("ab-.0\U0010ffff", min_size=1, max_size=3), min_size=1, max_size=3)


def without_folders(paths: set[str]) -> list[str]:
    """Take away what is the folder of another path: nothing can be a file as well."""
    return sorted(path for path in paths if not any(each.startswith(f"{path}/") for each in paths))


PATHS = st.sets(NAMES.map("/".join), max_size=12).map(without_folders)


@given(PATHS, st.text("ab-./0\U0010fffe", min_size=1, max_size=3))
def test_paths_that_begin_with_a_text(paths: list[str], start: str) -> None:
    """All of them are in the range, and no others."""
    places = range_starting(paths, start)

    assert paths[places.start : places.stop] == [path for path in paths if path.startswith(start)]


@given(PATHS, st.sampled_from(["", "a/", "b/a/"]))
def test_names_in_a_folder(paths: list[str], folder: str) -> None:
    """Each name directly in a folder comes once, with all of its files."""
    found = {name: paths[at.start : at.stop] for name, at in by_top_name(paths, folder)}

    within = [path for path in paths if path.startswith(folder)]
    expected: dict[str, list[str]] = {}
    for path in within:
        expected.setdefault(path[len(folder) :].partition("/")[0], []).append(path)
    assert found == expected
