"""The key of the user lies outside of the cache, and nobody else can know it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from lambda_build_plugin.system.note_key import key_of_this_process, read_key

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are those of POSIX")


@posix
def test_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    """The first build makes the key, later ones read it, and nobody else can."""
    os.umask(before := os.umask(0))
    folder = tmp_path / "state"

    first = read_key(folder, cache=tmp_path / "cache")

    assert read_key(folder, cache=tmp_path / "cache") == first != key_of_this_process()
    assert [path.name for path in folder.iterdir()] == ["cache-key"]
    assert (folder / "cache-key").stat().st_mode & 0o777 == 0o600
    assert os.umask(before) == before


@posix
def test_key_that_others_can_read_is_replaced(tmp_path: Path) -> None:
    """Whoever has read the key can sign, so it is worth nothing any more."""
    first = read_key(tmp_path, cache=tmp_path / "cache")
    (tmp_path / "cache-key").chmod(0o640)

    second = read_key(tmp_path, cache=tmp_path / "cache")

    assert second not in {first, key_of_this_process()}
    assert read_key(tmp_path, cache=tmp_path / "cache") == second


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_key_of_another_user_is_replaced(tmp_path: Path) -> None:
    """A key that somebody else has put there is not the user's."""
    first = read_key(tmp_path, cache=tmp_path / "cache")
    os.chown(tmp_path / "cache-key", 12345, 12345)

    assert read_key(tmp_path, cache=tmp_path / "cache") != first


@pytest.mark.parametrize("content", [b"", b"short", b"long" * 9])
def test_damaged_key_is_replaced(tmp_path: Path, content: bytes) -> None:
    """A file of another length is not a key."""
    (tmp_path / "cache-key").write_bytes(content)
    (tmp_path / "cache-key").chmod(0o600)

    key = read_key(tmp_path, cache=tmp_path / "cache")

    assert (tmp_path / "cache-key").read_bytes() == key != content


@pytest.mark.parametrize("place", ["nowhere", "file", "inside"])
def test_without_a_place_the_key_is_of_this_process(tmp_path: Path, place: str) -> None:
    """A home that cannot be written is no reason to fail, and the cache is no place."""
    (tmp_path / "file").write_text("")
    folder = {"nowhere": None, "file": tmp_path / "file" / "state", "inside": tmp_path / "c" / "s"}

    key = read_key(folder[place], cache=tmp_path / "c")

    assert key == key_of_this_process()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_processes_agree_on_a_key(tmp_path: Path) -> None:
    """Of several that make a key at once, all use the same one."""
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: read_key(tmp_path, cache=tmp_path / "c"), range(40)))

    assert keys == {(tmp_path / "cache-key").read_bytes()}
