from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.wheels import an_sdist

from lambda_build_plugin.source_build.unpack import (
    BrokenSourceError,
    NoSuchFolderError,
    UnsafeSourceError,
    unpacked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILES = {"demo-1.0/pyproject.toml": b"[project]", "demo-1.0/src/demo.py": b"answer = 42"}


def a_file(name: str, content: bytes = b"", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    """Make a file of a tar."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    return entry, content


def an_entry(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """Make another kind of member of a tar."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


def a_tar(path: Path, *entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    """Write an archive with these entries."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(content))
    return path


def a_zip(path: Path, files: Mapping[str, bytes], *, mode: int = 0o100644) -> Path:
    """Write a zip whose members have this mode."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, mode << 16
            archive.writestr(entry, content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Get all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def failure(work: Callable[[], object]) -> Any:
    """Get the error that some work ends with."""
    with pytest.raises((BrokenSourceError, UnsafeSourceError, NoSuchFolderError)) as caught:
        work()
    return caught.value


# --- what is laid out -----------------------------------------------------------------


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("w:gz", id="gzip"),
        pytest.param("w:bz2", id="bzip2"),
        pytest.param("w:xz", id="xz"),
        pytest.param("w", id="plain"),
        pytest.param("zip", id="zip"),
    ],
)
def test_project_is_laid_out(tmp_path: Path, mode: str) -> None:
    """The top folder of an archive is the project, whatever kind the archive is of."""
    path = tmp_path / "no-name-tells-the-kind"
    if mode == "zip":
        a_zip(path, FILES)
    else:
        a_tar(path, *(a_file(name, content) for name, content in FILES.items()), mode=mode)
    project = unpacked(path, tmp_path / "folder")
    assert project == tmp_path / "folder" / "demo-1.0"
    assert contents(project) == {"pyproject.toml": b"[project]", "src/demo.py": b"answer = 42"}


def test_sdist_is_laid_out(tmp_path: Path) -> None:
    """An sdist yields the folder that PEP 625 names."""
    project = unpacked(an_sdist("My.Demo", "1.0").write_to(tmp_path), tmp_path / "folder")
    assert (project.name, sorted(contents(project))) == (
        "my_demo-1.0",
        ["PKG-INFO", "my_demo/__init__.py", "pyproject.toml"],
    )


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"pyproject.toml": b"", "src/demo.py": b""}, id="files"),
        pytest.param({"one/demo.py": b"", "two/demo.py": b""}, id="several folders"),
    ],
)
def test_archive_without_a_top_folder(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    """Where there is no one top folder the project is what was unpacked."""
    project = unpacked(a_zip(tmp_path / "a.zip", files), tmp_path / "folder")
    assert (project, contents(project)) == (tmp_path / "folder", dict(files))


def test_sub_directory_of_an_archive(tmp_path: Path) -> None:
    """The project may lie below the top folder, where the lock says so."""
    path = a_zip(tmp_path / "a.zip", FILES)
    project = unpacked(path, tmp_path / "folder", subdirectory="src")
    assert contents(project) == {"demo.py": b"answer = 42"}


@pytest.mark.parametrize("subdirectory", ["absent", "../..", "/", "pyproject.toml", "a\0b"])
def test_sub_directory_lies_in_the_archive(tmp_path: Path, subdirectory: str) -> None:
    """A sub-directory that is none, or leads out, is refused."""
    path = a_zip(tmp_path / "a.zip", FILES)
    error = failure(lambda: unpacked(path, tmp_path / "folder", subdirectory=subdirectory))
    assert (type(error), error.what) == (
        NoSuchFolderError,
        f"a.zip has no folder `{subdirectory}`",
    )


def test_modes_are_two(tmp_path: Path) -> None:
    """What is executable stays so; nothing else of a mode counts, nor does the umask."""
    path = a_tar(
        tmp_path / "a.tar.gz",
        a_file("a/run", mode=0o4700),
        a_file("a/text", mode=0o600),
        a_file("a/open", mode=0o666),
    )
    before = os.umask(0o077)
    try:
        project = unpacked(path, tmp_path / "folder")
    finally:
        os.umask(before)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in project.iterdir()}
    assert modes == {"run": 0o755, "text": 0o644, "open": 0o644}


def test_modes_of_a_zip(tmp_path: Path) -> None:
    """A zip made on a system with modes keeps what is executable."""
    path = a_zip(tmp_path / "a.zip", {"a/run": b""}, mode=0o100755)
    assert (unpacked(path, tmp_path / "folder") / "run").stat().st_mode & 0o777 == 0o755


def test_links_inside_are_kept(tmp_path: Path) -> None:
    """A symbolic link stays one, before or after its target; a hard link is a copy."""
    path = a_tar(
        tmp_path / "a.tar.gz",
        an_entry("a/docs/early", tarfile.SYMTYPE, "../src/text"),
        an_entry("a/folder", tarfile.SYMTYPE, "src"),
        a_file("a/src/text", b"text"),
        an_entry("a/hard", tarfile.LNKTYPE, "a/src/text"),
    )
    project = unpacked(path, tmp_path / "folder")
    assert contents(project) == {
        "docs/early": b"text",
        "hard": b"text",
        "src/text": b"text",
    }
    assert (project / "docs" / "early").readlink() == Path("../src/text")
    assert (project / "folder" / "text").read_bytes() == b"text"
    assert not (project / "hard").is_symlink()


def test_link_in_a_zip_is_kept(tmp_path: Path) -> None:
    """A zip stores where a link leads as its content."""
    path = a_zip(tmp_path / "a.zip", {"a/text": b"text"})
    with zipfile.ZipFile(path, "a") as archive:
        entry = zipfile.ZipInfo("a/link")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        archive.writestr(entry, "text")
    project = unpacked(path, tmp_path / "folder")
    assert (project / "link").readlink() == Path("text")


@pytest.mark.parametrize("link_first", [True, False])
def test_last_member_of_a_name_counts(tmp_path: Path, *, link_first: bool) -> None:
    """An archive that was added to holds the old member as well."""
    link = an_entry("a/name", tarfile.SYMTYPE, "other")
    entries = [link, a_file("a/name", b"file")]
    path = a_tar(
        tmp_path / "a.tar.gz",
        a_file("a/other", b"other"),
        *(entries if link_first else entries[::-1]),
    )
    project = unpacked(path, tmp_path / "folder")
    assert contents(project) == {
        "name": b"file" if link_first else b"other",
        "other": b"other",
    }


# --- what is refused ------------------------------------------------------------------

OUT = [
    pytest.param([a_file("../evil")], "`../evil` leads out of the archive", id="above"),
    pytest.param(
        [a_file("a/../../evil")], "`a/../../evil` leads out of the archive", id="on the way"
    ),
    pytest.param([a_file("/evil")], "`/evil` leads out of the archive", id="absolute"),
    pytest.param(
        [an_entry("a/evil", tarfile.SYMTYPE, "../../..")],
        "the link `a/evil` leads out of the archive, to `../../..`",
        id="link above",
    ),
    pytest.param(
        [an_entry("a/evil", tarfile.SYMTYPE, "/etc")],
        "the link `a/evil` leads out of the archive, to `/etc`",
        id="absolute link",
    ),
    pytest.param(
        [
            an_entry("a/b/c", tarfile.DIRTYPE),
            an_entry("a/l", tarfile.SYMTYPE, "b/c"),
            an_entry("a/m", tarfile.SYMTYPE, "l/../../../.."),
        ],
        "the link `a/m` leads out of the archive, to `l/../../../..`",
        id="link above through a link",
    ),
    pytest.param(
        [
            an_entry("a", tarfile.DIRTYPE),
            an_entry("l", tarfile.SYMTYPE, "."),
            an_entry("a/m", tarfile.SYMTYPE, "b/c/d/../../../.."),
            an_entry("a/b", tarfile.SYMTYPE, "../l/l"),
            an_entry("a/c", tarfile.SYMTYPE, "."),
            an_entry("c", tarfile.SYMTYPE, "."),
            an_entry("d", tarfile.DIRTYPE),
        ],
        "the link `a/m` leads out of the archive, to `b/c/d/../../../..`",
        id="link that looks as if it stayed inside",
    ),
    pytest.param(
        [an_entry("a/evil", tarfile.LNKTYPE, "../evil")],
        "`../evil` leads out of the archive",
        id="hard link",
    ),
    pytest.param(
        [an_entry("a/evil", tarfile.CHRTYPE)],
        "`a/evil` is a device, a pipe or something like it",
        id="device",
    ),
    pytest.param(
        [an_entry("a/evil", tarfile.FIFOTYPE)],
        "`a/evil` is a device, a pipe or something like it",
        id="pipe",
    ),
]


@pytest.mark.parametrize(("entries", "problem"), OUT)
def test_escape_is_refused(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], problem: str
) -> None:
    """No member touches anything outside the folder."""
    path = a_tar(tmp_path / "a.tar.gz", *entries)
    error = failure(lambda: unpacked(path, tmp_path / "one" / "two"))
    assert (type(error), error.what, error.why) == (
        UnsafeSourceError,
        "a.tar.gz is not safe to unpack",
        problem,
    )
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.tar.gz", "one"]
    assert [entry.name for entry in (tmp_path / "one").iterdir()] == ["two"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_escape_from_a_zip_is_refused(tmp_path: Path, name: str) -> None:
    """A zip is held to the same rules."""
    path = a_zip(tmp_path / "a.zip", {name: b""})
    error = failure(lambda: unpacked(path, tmp_path / "folder"))
    assert (type(error), error.why) == (UnsafeSourceError, f"`{name}` leads out of the archive")


def test_device_in_a_zip_is_refused(tmp_path: Path) -> None:
    """A mode may name a device in a zip, too."""
    path = a_zip(tmp_path / "a.zip", {"a/evil": b""}, mode=0o020644)
    error = failure(lambda: unpacked(path, tmp_path / "folder"))
    assert error.why == "`a/evil` is a device, a pipe or something like it"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A link and a member below its name do not go together."""
    outside = tmp_path / "outside"
    outside.mkdir()
    path = a_tar(
        tmp_path / "a.tar.gz",
        an_entry("a/link", tarfile.SYMTYPE, str(outside)),
        a_file("a/link/evil"),
    )
    failure(lambda: unpacked(path, tmp_path / "folder"))
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_bomb_is_refused(tmp_path: Path, kind: str) -> None:
    """What would fill the disk is refused before it does."""
    path = tmp_path / "archive"
    names = ["a/one", "a/two", "a/three"]
    if kind == "zip":
        a_zip(path, dict.fromkeys(names, b"0" * 400))
    else:
        a_tar(path, *(a_file(name, b"0" * 400) for name in names))
    folder = tmp_path / "folder"
    error = failure(lambda: unpacked(path, folder, name="a-1.tar.gz", most_bytes=1000))
    assert (type(error), error.what, error.why) == (
        UnsafeSourceError,
        "a-1.tar.gz is not safe to unpack",
        "it unpacks to more than 1,000 bytes",
    )
    assert sum(len(content) for content in contents(folder).values()) == 800


def test_bomb_of_hard_links_is_refused(tmp_path: Path) -> None:
    """Each copy of a hard link counts, though it has no size of its own."""
    links = [an_entry(f"a/{number}", tarfile.LNKTYPE, "a/file") for number in range(3)]
    path = a_tar(tmp_path / "a.tar.gz", a_file("a/file", b"0" * 400), *links)
    error = failure(lambda: unpacked(path, tmp_path / "folder", most_bytes=1000))
    assert error.why == "it unpacks to more than 1,000 bytes"


def test_zip_that_lies_about_sizes_is_no_bomb(tmp_path: Path) -> None:
    """A member of which more comes than was declared is cut, and its digest is wrong."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/file", b"0" * 100_000)
    size, lie = (100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, lie))
    error = failure(lambda: unpacked(path, tmp_path / "folder", most_bytes=1000))
    assert type(error) is BrokenSourceError


# --- what cannot be read --------------------------------------------------------------


def broken(content: bytes) -> bytes:
    """Cut the second half off."""
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>not found</html>", id="a page"),
        pytest.param(b"PK\x03\x04 but no zip", id="no zip"),
        pytest.param(broken(an_sdist(files={"a.py": "1" * 5000}).content), id="cut short"),
        pytest.param(b"\x1f\x8b\x08\x00 but no gzip", id="no gzip"),
        pytest.param(b"BZh91AY&SY but no bzip2", id="no bzip2"),
        pytest.param(b"\xfd7zXZ\x00 but no xz", id="no xz"),
    ],
)
def test_broken_archive_is_told(tmp_path: Path, content: bytes) -> None:
    """What is no archive is an error with its name, and no traceback."""
    path = tmp_path / "8f3e"
    path.write_bytes(content)
    error = failure(lambda: unpacked(path, tmp_path / "folder", name="demo-1.0.tar.gz"))
    assert (type(error), error.what) == (
        BrokenSourceError,
        "cannot unpack demo-1.0.tar.gz",
    )


def test_archive_of_nothing_is_told(tmp_path: Path) -> None:
    """An archive without a member holds no project."""
    path = a_zip(tmp_path / "a.zip", {})
    error = failure(lambda: unpacked(path, tmp_path / "folder"))
    assert (type(error), error.why) == (BrokenSourceError, "it is empty")


def test_file_below_a_file_is_told(tmp_path: Path) -> None:
    """Members that contradict each other are a broken archive."""
    path = a_tar(tmp_path / "a.tar.gz", a_file("a/file"), a_file("a/file/below"))
    error = failure(lambda: unpacked(path, tmp_path / "folder"))
    assert type(error) is BrokenSourceError


def test_links_in_a_circle_do_no_harm(tmp_path: Path) -> None:
    """Links that lead to each other stay inside and lead nowhere."""
    path = a_tar(
        tmp_path / "a.tar.gz",
        a_file("a/file"),
        an_entry("a/one", tarfile.SYMTYPE, "two"),
        an_entry("a/two", tarfile.SYMTYPE, "one"),
    )
    assert list(contents(unpacked(path, tmp_path / "folder"))) == ["file"]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x", b"g"])
def test_header_of_two_gigabytes(tmp_path: Path, kind: bytes) -> None:
    """A name that would fill the memory is refused before it is read."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, 2 << 30
    path = tmp_path / "demo-1.0.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)))

    with pytest.raises(BrokenSourceError, match="it has a header of more than"):
        unpacked(path, tmp_path / "out")
