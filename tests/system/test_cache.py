from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from fakes.disks import read_only
from fakes.words import DENIED, NO_FOLDER

from lambda_build_plugin.system.cache import Cache, CacheError
from lambda_build_plugin.system.hashes import Checked, Digest, check_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"the content of a wheel" * 100
ALGORITHMS = ("sha256", "sha384", "sha512", "blake2b")

as_nobody = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)


def a_digest(content: bytes = CONTENT, algorithm: str = "sha256") -> Digest:
    """Give the digest of a content."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}")


def files_below(folder: Path) -> list[str]:
    """List what lies in a folder, temporary files too."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def chunks_of(content: bytes, size: int = 64) -> Iterator[bytes]:
    """Give a content piece by piece."""
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_file_lies_under_its_digest(tmp_path: Path, algorithm: str) -> None:
    """What was stored is found again, in the algorithm of the lock and in sha256."""
    cache, digest = Cache(tmp_path), a_digest(algorithm=algorithm)
    value = digest.partition(":")[2]
    stored = cache.store(chunks_of(CONTENT), digest)
    assert stored == Checked(
        path=tmp_path / "files" / algorithm / value[:2] / value,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        digest=digest,
    )
    assert cache.find(digest) == check_file(stored.path, algorithm) == stored


def test_file_without_a_digest_lies_under_its_own(tmp_path: Path) -> None:
    """A download that nothing vouches for is kept under what it turned out to be."""
    cache = Cache(tmp_path)
    stored = cache.store(chunks_of(CONTENT), None)
    assert (stored.digest, cache.find(a_digest())) == (a_digest(), stored)


def test_unknown_digest_is_not_found(tmp_path: Path) -> None:
    """An empty cache, not even there, has nothing and says so."""
    assert Cache(tmp_path / "absent").find(a_digest()) is None


def test_wrong_content_is_not_kept(tmp_path: Path) -> None:
    """A stream with another digest is told, and leaves nothing behind."""
    checked = Cache(tmp_path).store([b"something else"], a_digest())
    assert (checked.digest, files_below(tmp_path)) == (a_digest(b"something else"), [])


def test_broken_stream_leaves_nothing(tmp_path: Path) -> None:
    """A stream that fails half way is no file."""

    def broken() -> Iterator[bytes]:
        yield CONTENT[:50]
        raise EOFError

    with pytest.raises(EOFError):
        Cache(tmp_path).store(broken(), None)
    assert files_below(tmp_path) == []


def test_damaged_file_is_removed(tmp_path: Path) -> None:
    """A file that has lost its digest is not used, and makes room for a new one."""
    cache = Cache(tmp_path)
    cache.store([CONTENT], a_digest()).path.write_bytes(CONTENT[:-1])
    assert (cache.find(a_digest()), files_below(tmp_path)) == (None, [])


def test_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Many builds may store one file at once; all see it whole, and one copy stays."""
    digest = a_digest()

    def store(_: int) -> Checked:
        return Cache(tmp_path).store(chunks_of(CONTENT), digest)

    with ThreadPoolExecutor(8) as threads:
        stored = set(threads.map(store, range(40)))
    value = digest.partition(":")[2]
    assert (len(stored), files_below(tmp_path)) == (1, [f"files/sha256/{value[:2]}/{value}"])
    assert stored.pop() == Cache(tmp_path).find(digest)


def test_unusable_folder_is_one_error(tmp_path: Path) -> None:
    """A cache where there is a file says so, with the folder and the reason."""
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CacheError) as caught:
        Cache(tmp_path / "cache").store([CONTENT], a_digest())
    assert (caught.value.what, caught.value.why) == (
        f"cannot write the cache at {tmp_path / 'cache'}",
        NO_FOLDER,
    )


@as_nobody
def test_unwritable_folder_is_one_error(tmp_path: Path) -> None:
    """A cache that belongs to somebody else is an error, not a traceback."""
    tmp_path.chmod(0o500)
    with pytest.raises(CacheError) as caught:
        Cache(tmp_path).store([CONTENT], a_digest())
    assert caught.value.why == DENIED


@pytest.mark.parametrize("content", [b"x", CONTENT * 100], ids=["last-write", "first-write"])
def test_full_disk_is_one_error(tmp_path: Path, content: bytes) -> None:
    """A disk may turn out to be full in any write, or as late as when the file is closed."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(CacheError) as caught:
            Cache(tmp_path).store([content], a_digest(content))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (caught.value.why, files_below(tmp_path)) == ("File too large", [])


def test_note_is_kept(tmp_path: Path) -> None:
    """A note is found under its kind and key, and under no other."""
    cache = Cache(tmp_path)
    cache.keep_note("names", "demo 1.0", {"sha256:00": "demo.whl"})
    assert [
        cache.note(kind, key)
        for kind, key in (("names", "demo 1.0"), ("names", "demo 2.0"), ("other", "demo 1.0"))
    ] == [{"sha256:00": "demo.whl"}, None, None]


def the_note(root: Path) -> Path:
    """Find the one note of a cache."""
    (note,) = root.rglob("*.note")
    return note


@pytest.mark.parametrize("end", [0, 10, 32, -1], ids=["empty", "cut", "no-text", "short"])
def test_damaged_note_is_none(tmp_path: Path, end: int) -> None:
    """A note that cannot be read can be found out again."""
    cache = Cache(tmp_path)
    cache.keep_note("names", "demo", {"a": "b"})
    note = the_note(tmp_path)
    note.write_bytes(note.read_bytes()[:end])
    assert cache.note("names", "demo") is None


def test_forged_note_is_none(tmp_path: Path) -> None:
    """Whoever can write to the cache cannot sign: neither alter a note nor add one."""
    cache = Cache(tmp_path, key=b"the user's")
    cache.keep_note("names", "demo", {"a": "b"})
    assert Cache(tmp_path, key=b"the user's").note("names", "demo") == {"a": "b"}
    note = the_note(tmp_path)
    note.write_bytes(note.read_bytes().replace(b'"b"', b'"c"'))
    assert cache.note("names", "demo") is None

    Cache(tmp_path, key=b"another's").keep_note("names", "demo", {"a": "b"})
    assert cache.note("names", "demo") is None


def test_moved_note_is_none(tmp_path: Path) -> None:
    """A note is signed for its kind and key, and is worth nothing in the place of another."""
    cache = Cache(tmp_path)
    for kind, key in (("names", "one"), ("names", "two"), ("digests", "one")):
        cache.keep_note(kind, key, {"note": f"{kind} {key}"})
    notes = {cache_note.name: cache_note for cache_note in (tmp_path / "names").iterdir()}
    content = (tmp_path / "digests" / the_note(tmp_path / "digests").name).read_bytes()
    one = notes.pop(the_note(tmp_path / "digests").name)
    (two,) = notes.values()

    two.write_bytes(one.read_bytes())
    one.write_bytes(content)

    assert (cache.note("names", "one"), cache.note("names", "two")) == (None, None)


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_modes_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """What is in the cache can be read by those whom the user lets read new files."""
    before = os.umask(umask)
    try:
        cache = Cache(tmp_path / "cache")
        cache.store([CONTENT], None)
        cache.keep_note("names", "demo", {})
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in files] == [mode, mode]


@as_root
def test_cache_of_another_user(tmp_path: Path) -> None:
    """A folder of somebody else is not written to; of it only hashed copies are used."""
    root, spare = tmp_path / "cache", tmp_path / "spare"
    theirs = Cache(root, key=b"key")
    kept, damaged = theirs.store([CONTENT], None), theirs.store([b"other"], None)
    damaged.path.write_bytes(b"third")
    theirs.keep_note("names", "demo", {"a": "b"})
    os.chown(root, 12345, 12345)
    before = files_below(root)

    cache = Cache(root, key=b"key", spare=spare)
    found = cache.find(Digest(kept.digest))

    assert found is not None
    assert found.path.is_relative_to(spare)
    assert found.path.read_bytes() == CONTENT
    assert cache.find(Digest(damaged.digest)) is None
    assert cache.find(a_digest(b"unknown")) is None
    assert cache.note("names", "demo") is None
    cache.keep_note("names", "demo", {"c": "d"})
    assert cache.note("names", "demo") == {"c": "d"}
    assert cache.store([b"new"], None).path.is_relative_to(spare)
    assert cache.folder("git", "key").is_relative_to(spare)
    assert files_below(root) == before
    (warning,) = cache.warnings
    assert warning.startswith(f"the cache at {root} belongs to another user: ")


def test_spare_folder(tmp_path: Path) -> None:
    """Where the folder may only be read, new files lie in the spare one, and that is told."""
    root, spare = tmp_path / "cache", tmp_path / "spare"
    Cache(root).store([b"old"], None)
    cache = Cache(root, spare=spare)
    told_before = cache.warnings
    with read_only(root):
        stored = cache.store([CONTENT], a_digest())
        cache.keep_note("kind", "key", {"a": "b"})
        assert cache.find(Digest(stored.digest)) == stored
        assert cache.find(Digest(f"sha256:{hashlib.sha256(b'old').hexdigest()}")) is not None
    assert stored.path.is_relative_to(spare)
    assert told_before == ()
    (warning,) = cache.warnings
    assert warning.startswith(f"the cache at {root} cannot be written (")
