"""Modules are looked up by name as an import does, whatever else is in the artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lambda_build_plugin.verify.module_index import ModuleIndex
from lambda_build_plugin.verify.view import ArtifactView

if TYPE_CHECKING:
    from collections.abc import Iterable

RANKS = {"pyc": 1, "py": 2, "so": 3, "abi3.so": 3, "libs.so": 3, "libs.abi3.so": 3}
NAMES = st.sampled_from(["a", "b", "a.libs", "a-b", "__init__"])
FILES = st.builds(
    lambda folders, stem, ending: "/".join([*folders, f"{stem}{ending}"]),
    st.lists(NAMES, max_size=3),
    NAMES,
    st.sampled_from([".py", ".pyc", ".so", ".abi3.so", ".txt", ""]),
)


def a_view(paths: Iterable[str], *, root: str = "", own: Iterable[str] = ()) -> ArtifactView:
    """View an artifact with these files below a folder on `sys.path`."""
    return ArtifactView(
        sizes={f"{root}{path}": 1 for path in sorted(paths)},
        roots=(root,),
        read=lambda _: b"",
        owner=lambda _: "",
        code={},
        distributions=(),
        own=frozenset(f"{root}{path}" for path in own),
    )


def expected(paths: Iterable[str]) -> dict[str, str]:
    """Find all modules by looking at each file: packages first, then by the kind of file."""
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(paths):
        folder, _, file = path.rpartition("/")
        stem, _, ending = file.partition(".")
        parts = folder.split("/") if folder else []
        is_package = stem == "__init__"
        name = ".".join(parts if is_package else [*parts, stem])
        rank = RANKS.get(ending, 0) + 10 * is_package
        # A folder with a dot in its name cannot be imported from.
        is_name = name and not any("." in part for part in parts)
        if ending in RANKS and is_name and rank > found.get(name, (0, ""))[0]:
            found[name] = rank, path
    return {name: path for name, (_, path) in found.items()}


@given(paths=st.sets(FILES, max_size=12), root=st.sampled_from(["", "python/"]))
def test_every_module_is_found(paths: set[str], root: str) -> None:
    """What is looked up by name is what a walk over all files finds."""
    view = a_view(paths, root=root)

    found = {name: module.path for name, module in view.index.all().items()}

    assert found == {name: f"{root}{path}" for name, path in expected(paths).items()}


@given(paths=st.sets(FILES, max_size=12), root=st.sampled_from(["", "python/"]))
def test_names_in_a_folder(paths: set[str], root: str) -> None:
    """What lies together in the order of the paths belongs to one name."""
    # No zip has a file and a folder of one name.
    assume(not any(other.startswith(f"{path}/") for path in paths for other in paths))
    grouped: dict[str, list[str]] = {}
    for path in sorted(paths):
        grouped.setdefault(path.partition("/")[0], []).append(f"{root}{path}")

    view = a_view(paths, root=root)

    assert view.names == {root: grouped}


def test_first_artifact_wins() -> None:
    """The function comes before its layers, as in `sys.path`."""
    function, layer = a_view(["a.py"]), a_view(["a/__init__.py", "b.py"], root="python/")

    index = ModuleIndex([function, layer])

    assert [index[name].path for name in ("a", "b")] == ["a.py", "python/b.py"]


def test_own_modules() -> None:
    """Only the project's modules are listed, and not those that another file hides."""
    view = a_view(["a.py", "a/__init__.py", "b.py", "c.py"], own=["a.py", "b.py"])

    assert list(view.index.own()) == ["b"]


@pytest.mark.parametrize(("name", "is_there"), [("a", True), ("a.b", True), ("c", False)])
def test_folders(name: str, is_there: bool) -> None:  # noqa: FBT001 - a parameter
    """A folder without an `__init__` is a namespace package."""
    assert a_view(["a/b/data.txt", "c.py"]).index.has_folder(name) is is_there
