from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.disks import small_disk
from fakes.wheels import a_wheel
from packaging.utils import canonicalize_name

from lambda_build_plugin.archive import Written, write_archive
from lambda_build_plugin.stage.contents import ChangedFileError, write_folder
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.stage.tree import PlainFile, PlainProject, StagedTree
from lambda_build_plugin.system.output import OutputError, moved_in
from lambda_build_plugin.wheel.file import Wheel
from lambda_build_plugin.wheel.members import DamagedMemberError, Member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fakes.wheels import FakeWheel

_LOCAL = 30  # bytes of a local header before the name
_CENTRAL = 46
_LONG = "".join(f"line {number}\n" for number in range(2000))


@pytest.fixture
def umask() -> Iterator[None]:
    """Leave the umask as it was, and begin with one that lets nobody read."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def a_tree(folder: Path, *fakes: FakeWheel, prefix: str = "") -> StagedTree:
    """Lay out wheels that are written into a folder."""
    return stage([_described(fake, fake.write_to(folder)) for fake in fakes], prefix=prefix)


def _described(fake: FakeWheel, path: Path) -> Wheel:
    return Wheel.of(path, sha256=fake.sha256, source="wheel", filename=fake.filename)


def archived(tree: StagedTree, folder: Path, *, epoch: int | None = None) -> Path:
    """Write the tree as a zip into a folder."""
    path = folder / "artifact.zip"
    write_archive(tree, path, epoch=epoch)
    return path


def infos(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Get the entries of the central directory by name."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename: info for info in archive.infolist()}


def contents(path: Path) -> dict[str, bytes]:
    """Get the members of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def compressed(path: Path, name: str) -> bytes:
    """Get the compressed bytes of a member, found by its local header."""
    info, content = infos(path)[name], path.read_bytes()
    name_length, extra_length = struct.unpack_from("<2H", content, info.header_offset + 26)
    start = info.header_offset + _LOCAL + int(name_length) + int(extra_length)
    return content[start : start + info.compress_size]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Get every path below a folder, with the bytes of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_written(tmp_path: Path) -> None:
    """What is told of the zip is true of the file."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": _LONG}))
    path = tmp_path / "artifact.zip"

    written = write_archive(tree, path, epoch=None)

    found = infos(path)
    assert written == Written(
        path=path,
        size=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).digest(),
        compressed=tuple(found[entry.path].compress_size for entry in tree.entries),
    )


def test_without_a_thread(tmp_path: Path) -> None:
    """Whether a second thread writes makes no difference, also with several blocks."""
    noise = random.Random(3).randbytes(3 << 20)  # noqa: S311 - bytes that cannot be compressed
    tree = a_tree(tmp_path, a_wheel(files={"a.py": _LONG, "noise": noise, "z.py": _LONG}))

    first, second = (
        write_archive(tree, tmp_path / f"{in_thread}.zip", epoch=None, in_thread=in_thread)
        for in_thread in (True, False)
    )

    assert first.sha256 == second.sha256 == hashlib.sha256(second.path.read_bytes()).digest()
    assert (first.records, first.packed_sha256) == (second.records, second.packed_sha256)


@pytest.mark.parametrize("in_thread", [True, False])
def test_disk_without_room(tmp_path: Path, in_thread: bool) -> None:  # noqa: FBT001 - a parameter
    """An error of the disk is raised, whichever thread writes."""
    noise = random.Random(3).randbytes(1 << 20)  # noqa: S311 - bytes that cannot be compressed
    tree = a_tree(tmp_path, a_wheel(files={"noise": noise}))

    with small_disk(tmp_path / "disk", size=1 << 18) as disk, pytest.raises(OSError, match="space"):
        write_archive(tree, disk / "a.zip", epoch=None, in_thread=in_thread)


def test_order(tmp_path: Path) -> None:
    """Members lie in the file, and are listed, sorted by path."""
    found = infos(archived(a_tree(tmp_path, a_wheel("b"), a_wheel("a")), tmp_path))

    assert list(found) == sorted(found)
    assert sorted(found.values(), key=lambda info: info.header_offset) == list(found.values())


@pytest.mark.usefixtures("umask")
def test_modes(tmp_path: Path) -> None:
    """A member is 0755 if it may be executed and 0644 otherwise, as a regular file of Unix."""
    fake = a_wheel(files={"data": "", "run": ""}, executable=["run"])

    found = infos(archived(a_tree(tmp_path, fake), tmp_path))

    assert {
        name: (info.create_system, oct(info.external_attr >> 16), info.external_attr & 0xFFFF)
        for name, info in found.items()
        if ".dist-info/" not in name
    } == {"data": (3, oct(0o100644), 0), "run": (3, oct(0o100755), 0)}


@pytest.mark.parametrize(
    "mode", [0o100777, 0o100711, 0o104755, 0o100100], ids=["open", "no reading", "setuid", "owner"]
)
def test_odd_modes(tmp_path: Path, mode: int) -> None:
    """Whatever the mode in the wheel, it becomes one of the two."""
    odd = zipfile.ZipInfo("run")
    odd.external_attr = mode << 16
    found = infos(archived(a_tree(tmp_path, a_wheel(raw_members=[(odd, b"")])), tmp_path))

    assert found["run"].external_attr >> 16 == 0o100755


@pytest.mark.parametrize(
    ("epoch", "date"),
    [
        pytest.param(None, (1980, 1, 1, 0, 0, 0), id="default"),
        pytest.param(1_700_000_001, (2023, 11, 14, 22, 13, 20), id="SOURCE_DATE_EPOCH in UTC"),
        pytest.param(0, (1980, 1, 1, 0, 0, 0), id="before zip begins"),
        pytest.param(10**12, (2107, 12, 31, 23, 59, 58), id="after zip ends"),
    ],
)
def test_dates(tmp_path: Path, epoch: int | None, date: tuple[int, ...]) -> None:
    """All members have the one date."""
    path = archived(a_tree(tmp_path, a_wheel()), tmp_path, epoch=epoch)

    assert {info.date_time for info in infos(path).values()} == {date}


def test_plain_format(tmp_path: Path) -> None:
    """No zip64, no data descriptors, no extra fields, no comments, no folders."""
    files: Mapping[str, bytes | str] = {
        "empty": "",
        "deep/er/file.py": _LONG,
        "stored.bin": os.urandom(50),
    }
    path = archived(a_tree(tmp_path, a_wheel(files=files), prefix="python/"), tmp_path)

    content = path.read_bytes()
    for info in infos(path).values():
        assert (info.create_version, info.extract_version, info.flag_bits) == (20, 20, 0)
        assert (info.extra, info.comment, info.internal_attr) == (b"", b"", 0)
        assert not info.is_dir()
        # The local header says the same as the directory.
        local = struct.unpack_from("<4s5H3L2H", content, info.header_offset)
        assert local[:3] == (b"PK\x03\x04", 20, 0)
        assert local[3] == info.compress_type
        assert local[6:9] == (info.CRC, info.compress_size, info.file_size)
        assert local[10] == 0
    count = len(infos(path))
    end = struct.unpack("<4s4H2LH", content[-22:])
    assert end[:5] == (b"PK\x05\x06", 0, 0, count, count)
    assert end[5] + end[6] + 22 == len(content)


def test_raw_copy(tmp_path: Path) -> None:
    """A member deflated in its wheel has the very same compressed bytes in the zip."""
    # Another level than ours would give, so that compressing again would show.
    content, data = _LONG.encode(), zlib.compressobj(1, zlib.DEFLATED, -15)
    level_1 = data.compress(content) + data.flush()
    level_6 = zlib.compressobj(6, zlib.DEFLATED, -15)
    assert level_1 != level_6.compress(content) + level_6.flush()
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.py", content)
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("demo-1.0.dist-info/METADATA", "Name: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")

    path = archived(stage([_described(a_wheel(), wheel)], prefix=""), tmp_path)

    assert compressed(path, "a.py") == compressed(wheel, "a.py") == level_1


def test_large_member(tmp_path: Path) -> None:
    """A member of several megabytes, compressed, is copied whole."""
    data = os.urandom(3_500_000)

    path = archived(a_tree(tmp_path, a_wheel(files={"big.bin": data})), tmp_path)

    assert contents(path)["big.bin"] == data


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "bzip2", "lzma"],
)
def test_other_methods(tmp_path: Path, method: int) -> None:
    """What is not deflated in its wheel is deflated at level 6: Lambda reads nothing else."""
    path = archived(a_tree(tmp_path, a_wheel(files={"a.py": _LONG}, compression=method)), tmp_path)

    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    assert compressed(path, "a.py") == deflate.compress(_LONG.encode()) + deflate.flush()
    assert contents(path)["a.py"] == _LONG.encode()


@pytest.mark.parametrize("data", [b"", b"x"], ids=["empty", "too short to gain"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_stored(tmp_path: Path, method: int, data: bytes) -> None:
    """What does not get smaller is stored."""
    fake = a_wheel(files={"a.bin": data}, compression=method)

    path = archived(a_tree(tmp_path, fake), tmp_path)

    assert infos(path)["a.bin"].compress_type == zipfile.ZIP_STORED
    assert contents(path)["a.bin"] == data


@pytest.mark.parametrize("name", ["naïve.py", "模块/数据.txt", "🐍.py", "a b.txt"])
def test_names(tmp_path: Path, name: str) -> None:
    """A name of any letters is UTF-8, flagged where it has to be."""
    path = archived(a_tree(tmp_path, a_wheel(files={name: _LONG})), tmp_path)

    assert name.encode() in path.read_bytes()
    assert infos(path)[name].flag_bits == (0 if name.isascii() else 0x800)
    assert contents(path)[name] == _LONG.encode()


def test_names_in_code_page_437(tmp_path: Path) -> None:
    """A name without the flag of UTF-8, as old tools write it, is read and becomes UTF-8."""
    fake = a_wheel(files={"naïve.py": _LONG})
    utf8, cp437 = "naïve.py".encode(), "naïve.py".encode("cp437")
    longer = "naïvee.py".encode("cp437")  # of one length with the UTF-8, so that all offsets stay
    assert len(longer) == len(utf8) == len(cp437) + 1
    content = bytearray(fake.content.replace(utf8, longer))
    for place in (content.index(longer) - _LOCAL + 6, content.rindex(longer) - _CENTRAL + 8):
        content[place + 1] &= ~0x08  # bit 11
    fake = replace(fake, content=bytes(content))

    path = archived(a_tree(tmp_path, fake), tmp_path)

    assert infos(path)["naïvee.py"].flag_bits == 0x800
    assert contents(path)["naïvee.py"] == _LONG.encode()


@pytest.mark.parametrize("size", [8, 300, 60_000])
def test_extra_fields(tmp_path: Path, size: int) -> None:
    """Extra fields of a local header are passed over, however long, and not copied."""
    entry = zipfile.ZipInfo("a.py")
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.extra = struct.pack("<2H", 0xCAFE, size) + b"x" * size

    path = archived(a_tree(tmp_path, a_wheel(raw_members=[(entry, _LONG.encode())])), tmp_path)

    assert infos(path)["a.py"].extra == b""
    assert contents(path)["a.py"] == _LONG.encode()


def test_data_descriptors(tmp_path: Path) -> None:
    """Members that a wheel was streamed with, sizes after the data, become plain ones."""
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    with (
        wheel.open("wb") as file,
        zipfile.ZipFile(_Stream(file), "w", zipfile.ZIP_DEFLATED) as archive,  # type: ignore[call-overload]
    ):
        archive.writestr("a.py", _LONG)
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("demo-1.0.dist-info/METADATA", "Name: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    assert infos(wheel)["a.py"].flag_bits & 0x8

    path = archived(stage([_described(a_wheel(), wheel)], prefix=""), tmp_path)

    assert infos(path)["a.py"].flag_bits == 0
    assert contents(path)["a.py"] == _LONG.encode()


class _Stream:
    """A file that cannot go back."""

    def __init__(self, file: object) -> None:
        self.write = file.write  # type: ignore[attr-defined]
        self.flush = file.flush  # type: ignore[attr-defined]


def test_empty_tree(tmp_path: Path) -> None:
    """A tree without entries is a zip without members."""
    path = archived(StagedTree(entries=(), distributions=(), prefix=""), tmp_path)

    assert infos(path) == {}


def test_readers(tmp_path: Path) -> None:
    """The standard library and Info-ZIP find nothing wrong."""
    files: Mapping[str, bytes | str] = {
        "a.py": _LONG,
        "empty": "",
        "bin.dat": os.urandom(70_000),
        "ü/ß.txt": "ü",
    }
    path = archived(a_tree(tmp_path, a_wheel("a"), a_wheel(files=files)), tmp_path)

    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    if shutil.which("unzip"):
        result = subprocess.run(["unzip", "-tq", path], capture_output=True, text=True, check=False)
        assert result.stdout.startswith("No errors detected")


@pytest.mark.parametrize(
    ("place", "data", "why"),
    [
        pytest.param(0, b"XX", "there is no local header where the directory says", id="signature"),
        pytest.param(_LOCAL, b"b", "its local header has another name", id="name"),
    ],
)
def test_damaged_header(tmp_path: Path, place: int, data: bytes, why: str) -> None:
    """A local header that contradicts the directory is an error."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": _LONG}))
    member = next(entry.data for entry in tree.entries if entry.path == "a.py")
    assert isinstance(member, Member)
    with member.wheel.open("r+b") as file:
        file.seek(member.header_offset + place)
        file.write(data)

    with pytest.raises(DamagedMemberError) as caught:
        archived(tree, tmp_path)

    assert (caught.value.what, caught.value.why) == (
        "`a.py` in a wheel is damaged",
        f"{member.wheel}: {why}",
    )


def test_shortened_wheel(tmp_path: Path) -> None:
    """A wheel that ends inside a member is an error."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": os.urandom(2_000_000)}))
    wheel = tree.distributions[0].wheel.path
    os.truncate(wheel, 1_500_000)

    with pytest.raises(DamagedMemberError, match="damaged"):
        archived(tree, tmp_path)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(zipfile.ZIP_STORED, id="stored"),
        pytest.param(zipfile.ZIP_BZIP2, id="bzip2"),
        pytest.param(zipfile.ZIP_LZMA, id="lzma"),
    ],
)
def test_damaged_content(tmp_path: Path, method: int) -> None:
    """A member that has to be compressed anew is held against its CRC."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": _LONG}, compression=method))
    member = next(entry.data for entry in tree.entries if entry.path == "a.py")
    assert isinstance(member, Member)
    with member.wheel.open("r+b") as file:
        file.seek(member.header_offset + _LOCAL + len("a.py") + member.compressed_size // 2)
        file.write(b"\xff\xff\xff\xff")

    with pytest.raises(DamagedMemberError):
        archived(tree, tmp_path)


def test_ordinary_zip_differs(tmp_path: Path) -> None:
    """Control: what `ZipFile.write` makes depends on dates and modes; ours does not."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": _LONG}))
    pairs = []
    for number, (mode, seconds) in enumerate([(0o644, 1_600_000_000), (0o600, 1_700_000_000)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        wheel = tree.distributions[0].wheel
        path = folder / wheel.filename
        shutil.copy(wheel.path, path)
        path.chmod(mode)
        os.utime(path, (seconds, seconds))
        with zipfile.ZipFile(folder / "ordinary.zip", "w", zipfile.ZIP_DEFLATED) as ordinary:
            ordinary.write(path, "a.whl")
        ours = archived(stage([replace(wheel, path=path)], prefix=""), folder)
        pairs.append((ours.read_bytes(), (folder / "ordinary.zip").read_bytes()))

    (ours_1, ordinary_1), (ours_2, ordinary_2) = pairs
    assert ours_1 == ours_2
    assert ordinary_1 != ordinary_2


def test_appears_at_once(tmp_path: Path) -> None:
    """Until all is well nothing is at the place; then there is nothing but the file."""
    place = tmp_path / "new" / "deep" / "artifact.zip"

    with moved_in(place) as temporary:
        temporary.write_bytes(b"whole")
        assert not place.exists()

    assert snapshot(tmp_path / "new") == {"deep": None, "deep/artifact.zip": b"whole"}


def test_replaces(tmp_path: Path) -> None:
    """An older artifact is there until the newer one takes its place."""
    place = tmp_path / "artifact.zip"
    place.write_bytes(b"old")

    with moved_in(place) as temporary:
        temporary.write_bytes(b"new")
        assert place.read_bytes() == b"old"

    assert snapshot(tmp_path) == {"artifact.zip": b"new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("wrote", [True, False], ids=["half", "nothing"])
def test_leaves_no_trace(tmp_path: Path, error: type[BaseException], *, wrote: bool) -> None:
    """On any failure neither the file nor a folder made for it is left, but the older file is."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "artifact.zip").write_bytes(b"old")
    before = snapshot(tmp_path)

    for place in (tmp_path / "kept" / "new" / "deep" / "a.zip", tmp_path / "artifact.zip"):
        with pytest.raises(error), moved_in(place) as temporary:  # noqa: PT012
            if wrote:
                temporary.write_bytes(b"half")
            raise error

    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("file/artifact.zip", id="file for a folder"),
        pytest.param("file/deep/artifact.zip", id="file for a folder above"),
        pytest.param("new/" + "x" * 300 + ".zip", id="name too long"),
        pytest.param("folder", id="folder"),
    ],
)
def test_unwritable(tmp_path: Path, name: str) -> None:
    """A place that cannot be written is an error of ours, and nothing is left."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "full").write_bytes(b"")
    before = snapshot(tmp_path)

    with pytest.raises(OutputError) as caught, moved_in(tmp_path / name) as temporary:
        temporary.write_bytes(b"data")

    assert caught.value.what == f"cannot write {tmp_path / name}"
    assert snapshot(tmp_path) == before


def test_longest_name(tmp_path: Path) -> None:
    """A name may be as long as the file system allows."""
    place = tmp_path / ("x" * 251 + ".zip")

    with moved_in(place) as temporary:
        temporary.write_bytes(b"data")

    assert snapshot(tmp_path) == {place.name: b"data"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of processes")
def test_full_disk(tmp_path: Path) -> None:
    """A disk that is full is an `OSError`, not a hanging or broken zip."""
    tree = a_tree(tmp_path, a_wheel(files={"a.bin": os.urandom(8_000_000)}))
    limit = 1_000_000
    script = f"""
import resource, signal, sys
from pathlib import Path
from packaging.version import Version
from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.wheel.file import Wheel

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
wheel = Path(sys.argv[1])
tree = stage([Wheel(name="demo", version=Version("1.0"), filename=wheel.name, path=wheel,
                    sha256="", source="wheel")], prefix="")
try:
    write_archive(tree, wheel.with_name("artifact.zip"), epoch=None)
except OSError as error:
    print(error.strerror)
"""
    wheel = tree.distributions[0].wheel.path

    result = subprocess.run(
        [sys.executable, "-c", script, wheel],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert (result.stdout, result.stderr) == ("File too large\n", "")


@pytest.mark.usefixtures("umask")
def test_folder(tmp_path: Path) -> None:
    """As a folder the tree has the members of the zip, byte by byte, with their modes."""
    files: Mapping[str, bytes | str] = {"deep/a.py": _LONG, "run": "", "b.bin": os.urandom(50)}
    tree = a_tree(tmp_path, a_wheel(files=files, executable=["run"]), prefix="python/")
    folder = tmp_path / "folder"

    write_folder(tree, folder)

    zipped = archived(tree, tmp_path)
    found = {name: data for name, data in snapshot(folder).items() if data is not None}
    assert found == contents(zipped)
    assert {name: (folder / name).stat().st_mode for name in found} == {
        name: info.external_attr >> 16 for name, info in infos(zipped).items()
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_folder_of_damaged_content(tmp_path: Path, method: int) -> None:
    """What is unpacked is held against its CRC."""
    tree = a_tree(tmp_path, a_wheel(files={"a.py": _LONG}, compression=method))
    member = next(entry.data for entry in tree.entries if entry.path == "a.py")
    assert isinstance(member, Member)
    with member.wheel.open("r+b") as file:
        file.seek(member.header_offset + _LOCAL + len("a.py") + member.compressed_size // 2)
        file.write(b"\xff\xff\xff\xff")

    with pytest.raises(DamagedMemberError):
        write_folder(tree, tmp_path / "folder")


def test_file_that_changes(tmp_path: Path) -> None:
    """A file that is written to while it is packed would make RECORD and report untrue."""
    place = tmp_path / "app.py"
    place.write_text("A = 1\n")
    project = PlainProject(
        name=canonicalize_name("demo"), files=(PlainFile(path="app.py", place=place),)
    )
    tree = stage([], prefix="", project=project)
    place.write_text("A = 2\n")

    with pytest.raises(ChangedFileError):
        archived(tree, tmp_path)


def test_mode_of_the_zip_itself(tmp_path: Path) -> None:
    """The file is an ordinary one, as the umask has it, not one for its owner alone."""
    before = os.umask(0o022)
    try:
        path = archived(a_tree(tmp_path, a_wheel()), tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644
