"""Results that are moved to their destinations: all of them, or none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.system.output import OutputError, Outputs, moved_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.system.output import PlacedOutputs

NAMES = ("a.zip", "b.zip", "c.zip")


def contents(folder: Path) -> dict[str, str | None]:
    """Read all files below a folder; a folder has no content."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else None
        for path in folder.rglob("*")
    }


def write_all(folder: Path, names: Sequence[str] = NAMES) -> None:
    """Write a new result to each destination."""
    with Outputs() as outputs:
        for name in names:
            outputs.place(folder / name).write_text(f"new {name}")


def test_all_results_replace_older_ones(tmp_path: Path) -> None:
    """New files are at the destinations, and nothing else is left."""
    (tmp_path / "a.zip").write_text("old")

    write_all(tmp_path)

    assert contents(tmp_path) == {name: f"new {name}" for name in NAMES}


@pytest.mark.parametrize("links", [True, False], ids=["links", "no-links"])
@pytest.mark.parametrize("spoiled", NAMES)
def test_move_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str, *, links: bool
) -> None:
    """If one result cannot be moved, every destination has what it had before."""
    before: dict[str, str | None] = {spoiled: None, f"{spoiled}/file": "precious"}
    (tmp_path / spoiled).mkdir()
    (tmp_path / spoiled / "file").write_text("precious")
    for name in NAMES:
        if name != spoiled:
            (tmp_path / name).write_text(f"old {name}")
            before[name] = f"old {name}"
    if not links:
        monkeypatch.setattr(os, "link", _fails)

    with pytest.raises(OutputError) as raised:
        write_all(tmp_path)

    assert raised.value.path == tmp_path / spoiled
    assert contents(tmp_path) == before


@pytest.mark.parametrize("spoiled", NAMES)
def test_move_that_fails_where_nothing_was(tmp_path: Path, spoiled: str) -> None:
    """Destinations that were free, and folders that were not there, are so again."""
    (tmp_path / spoiled).mkdir()

    with pytest.raises(OutputError):
        write_all(tmp_path, [*NAMES, "new/folder/d.zip"])

    assert contents(tmp_path) == {spoiled: None}


def _fails(*_: object) -> None:
    raise OSError(1, "Operation not permitted")


@pytest.mark.parametrize("existed", [True, False])
def test_folder_that_is_rolled_back(tmp_path: Path, *, existed: bool) -> None:
    """A folder of unpacked files disappears again, and an empty one is back."""
    (tmp_path / "b.zip").mkdir()
    if existed:
        (tmp_path / "tree").mkdir(mode=0o700)

    with pytest.raises(OutputError), Outputs() as outputs:  # noqa: PT012
        folder = outputs.place(tmp_path / "tree")
        folder.mkdir()
        (folder / "file").write_text("new")
        outputs.place(tmp_path / "b.zip").write_text("new")

    assert contents(tmp_path) == {"b.zip": None, **({"tree": None} if existed else {})}
    if existed:
        assert (tmp_path / "tree").stat().st_mode & 0o777 == 0o700


def test_folder_that_is_no_longer_empty(tmp_path: Path) -> None:
    """A folder that somebody has filled in the meantime is not replaced."""
    with pytest.raises(OutputError), moved_in(tmp_path / "tree") as temporary:  # noqa: PT012
        temporary.mkdir()
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "file").write_text("precious")

    assert contents(tmp_path) == {"tree": None, "tree/file": "precious"}


def test_previous_file_that_cannot_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says where the previous file is."""
    (tmp_path / "a.zip").write_text("old")
    (tmp_path / "b.zip").mkdir()
    replace = Path.replace

    def fail_for_old(self: Path, target: Path) -> Path:
        if self.suffix == ".old":
            _fails()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_for_old)

    with pytest.raises(OutputError) as raised:
        write_all(tmp_path, ["a.zip", "b.zip"])

    (kept,) = tmp_path.glob(".*.old")
    assert f"is now {kept}" in str(raised.value)
    assert kept.read_text() == "old"


def test_block_that_fails(tmp_path: Path) -> None:
    """An error of the caller's leaves the destinations alone."""
    (tmp_path / "a.zip").write_text("old")

    with pytest.raises(ZeroDivisionError), Outputs() as outputs:  # noqa: PT012
        outputs.place(tmp_path / "a.zip").write_text("new")
        outputs.place(tmp_path / "new" / "b.zip").write_text("new")
        _ = 1 / 0

    assert contents(tmp_path) == {"a.zip": "old"}


# --- the same content -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "changed"), [(None, None), ("new a.zip", False), ("old a.zip", True), ("", True)]
)
def test_comparison_with_what_is_there(
    tmp_path: Path, before: str | None, *, changed: bool | None
) -> None:
    """A result says whether it differs from the file at its destination."""
    path = tmp_path / "a.zip"
    if before is not None:
        path.write_text(before)

    with Outputs() as outputs:
        temporary = outputs.place(path)
        temporary.write_text("new a.zip")
        found = outputs.compare(temporary)

    assert (found, contents(tmp_path)) == (changed, {"a.zip": "new a.zip"})


def test_same_content_is_left_alone(tmp_path: Path) -> None:
    """A file with the same content keeps its date, while another one is replaced."""
    same, other = tmp_path / "a.zip", tmp_path / "b.zip"
    for path in (same, other):
        path.write_text("new a.zip")
        os.utime(path, (1, 1))

    with Outputs() as outputs:
        for path, text in ((same, "new a.zip"), (other, "new b.zip")):
            temporary = outputs.place(path)
            temporary.write_text(text)
            outputs.compare(temporary)

    assert same.stat().st_mtime == 1
    assert contents(tmp_path) == {"a.zip": "new a.zip", "b.zip": "new b.zip"}


def test_same_content_survives_a_move_that_fails(tmp_path: Path) -> None:
    """If another result cannot be moved, a file with the same content is still there."""
    same = tmp_path / "a.zip"
    same.write_text("same")
    (tmp_path / "b.zip").mkdir()
    (tmp_path / "b.zip" / "file").write_text("precious")

    with pytest.raises(OutputError), Outputs() as outputs:  # noqa: PT012
        temporary = outputs.place(same)
        temporary.write_text("same")
        outputs.compare(temporary)
        outputs.place(tmp_path / "b.zip").write_text("new")

    assert contents(tmp_path) == {"a.zip": "same", "b.zip": None, "b.zip/file": "precious"}


# --- for another process ------------------------------------------------------------------


def test_results_are_told_before_they_are_written(tmp_path: Path) -> None:
    """Another process can remove what was prepared, whenever the one that did it ends."""
    told: list[PlacedOutputs] = []
    outputs = Outputs(tell=told.append)
    outputs.place(tmp_path / "new" / "a.zip").write_text("half")

    with pytest.raises(ZeroDivisionError), Outputs(told[-1]):
        1 / 0  # noqa: B018

    assert (len(told), contents(tmp_path)) == (1, {})


def test_results_are_moved_by_another_process(tmp_path: Path) -> None:
    """What one process has prepared, another one moves, and leaves alone what is the same."""
    same = tmp_path / "b.zip"
    same.write_text("new b.zip")
    os.utime(same, (1, 1))
    outputs = Outputs()
    discarded = outputs.place(tmp_path / "c.zip")
    for name in ("new/a.zip", "b.zip"):
        temporary = outputs.place(tmp_path / name)
        temporary.write_text(f"new {Path(name).name}")
        outputs.compare(temporary)
    outputs.discard(discarded)

    with Outputs(outputs.placed):
        pass

    assert same.stat().st_mtime == 1
    assert contents(tmp_path) == {"new": None, "new/a.zip": "new a.zip", "b.zip": "new b.zip"}


@pytest.mark.parametrize("change", ["removed", "altered", "touched"])
def test_file_that_changes_after_it_was_found_to_be_the_same(tmp_path: Path, change: str) -> None:
    """A command of the build may clean its folder: then the result would be missing silently."""
    path = tmp_path / "a.zip"
    path.write_text("same")
    outputs = Outputs()
    temporary = outputs.place(path)
    sha256 = hashlib.sha256(b"same").digest()
    assert outputs.find_same(temporary, size=4, sha256=sha256) == path
    if change == "removed":
        path.unlink()
    elif change == "altered":
        path.write_text("else")
    os.utime(path if path.exists() else tmp_path, (1, 1))

    if change == "touched":
        with outputs:
            pass
        assert path.read_text() == "same"
    else:
        with pytest.raises(OutputError, match="changed or removed"), outputs:
            pass


def test_file_that_changes_after_it_was_compared(tmp_path: Path) -> None:
    """What was written is still there, and takes its place."""
    path = tmp_path / "a.zip"
    path.write_text("same")
    with Outputs() as outputs:
        temporary = outputs.place(path)
        temporary.write_text("same")
        assert outputs.compare(temporary) is False
        path.unlink()

    assert contents(tmp_path) == {"a.zip": "same"}


def test_links_that_form_a_circle(tmp_path: Path) -> None:
    """They lead to no file, so the result replaces one of them."""
    path, other = tmp_path / "a.zip", tmp_path / "b.zip"
    path.symlink_to(other)
    other.symlink_to(path)

    write_all(tmp_path, ["a.zip"])

    assert path.read_text() == "new a.zip"
