from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.wheels import a_wheel
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

    from lambda_build_plugin.stage.tree import StagedTree

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LETTERS = st.characters(
    codec="utf-8", exclude_characters='/\\:\0\r\n"', exclude_categories=("Z", "C")
)
# A name with a digit in front is none of a folder, so that no file stands where one is needed.
_FOLDERS = st.lists(st.sampled_from(["pkg", "deep", "ü"]), max_size=3)
_PATHS = st.builds(
    lambda folders, name: "/".join([*folders, f"0{name}"]), _FOLDERS, st.text(_LETTERS, max_size=8)
)
_FILES = st.dictionaries(_PATHS, st.binary(max_size=300) | st.just(b"long " * 500), max_size=6)


def a_tree(folder: Path, wheels: Mapping[str, Mapping[str, bytes]], method: int) -> StagedTree:
    """Lay out one wheel a name, in the order of the mapping; what ends in `x` may be executed."""
    return stage([a_described_wheel(folder, *item, method) for item in wheels.items()], prefix="")


def a_described_wheel(folder: Path, name: str, files: Mapping[str, bytes], method: int) -> Wheel:
    """Write a wheel into the folder."""
    executable = [file for file in files if file.endswith("x")]
    fake = a_wheel(name, files=files, executable=executable, compression=method)
    return Wheel.of(fake.write_to(folder), sha256=fake.sha256, source="wheel")


@settings(max_examples=60, deadline=None)
@given(files=_FILES, method=st.sampled_from(_METHODS))
def test_read_back(files: Mapping[str, bytes], method: int) -> None:
    """What was written reads back equal: names, bytes and modes, whatever the compression."""
    with tempfile.TemporaryDirectory() as folder:
        tree = a_tree(Path(folder), {"demo": files}, method)
        path = Path(folder, "artifact.zip")
        written = write_archive(tree, path, epoch=None)
        with zipfile.ZipFile(path) as archive:
            found = {
                info.filename: (archive.read(info), bool(info.external_attr >> 16 & stat.S_IXUSR))
                for info in archive.infolist()
                if ".dist-info/" not in info.filename
            }
        assert written.sha256 == hashlib.sha256(path.read_bytes()).digest()

    assert found == {name: (data, name.endswith("x")) for name, data in files.items()}


@settings(max_examples=30, deadline=None)
@given(
    wheels=st.dictionaries(st.sampled_from("abcdef"), _FILES, min_size=1, max_size=4),
    umask=st.sampled_from([0o000, 0o022, 0o077]),
    order=st.randoms(use_true_random=False),
    moment=st.integers(min_value=0, max_value=2**31),
)
def test_tree_alone(
    wheels: Mapping[str, Mapping[str, bytes]], umask: int, order: Random, moment: int
) -> None:
    """Neither the order of the wheels, nor umask, nor folder, nor dates of files leave a trace."""
    names = list(wheels)
    order.shuffle(names)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first = _bytes_of(one, a_tree(Path(one), wheels, zipfile.ZIP_DEFLATED))
        before = os.umask(umask)
        try:
            tree = a_tree(Path(two), {name: wheels[name] for name in names}, zipfile.ZIP_DEFLATED)
            _age(Path(two).iterdir(), moment)
            second = _bytes_of(two, tree)
        finally:
            os.umask(before)

    assert first == second


def _bytes_of(folder: str, tree: StagedTree) -> bytes:
    path = Path(folder, "artifact.zip")
    write_archive(tree, path, epoch=None)
    return path.read_bytes()


def _age(paths: Iterable[Path], moment: int) -> None:
    for path in paths:
        os.utime(path, (moment, moment))
