"""Wheels that lie, escape or explode, seen from the console script.

Each is exactly what the lock vouches for: a digest says which bytes, not good ones.
`tests/test_stage.py`, `tests/test_integrity.py` and `tests/test_archive.py` have more
of the same one layer below.
"""

from __future__ import annotations

import bz2
import io
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.wheels import a_wheel
from fakes.words import NO_ZIP
from fakes.worlds import World, pylock_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.projects import Run
    from fakes.wheels import FakeWheel

MEMBER = "pinned/data.txt"
TEXT = b"plain text, again and again\n" * 200
BOMB = 320 << 20  # bytes that a bomb of 320 KB inflates to
MOST_MEMORY = 200 << 20  # bytes that a build of it may take, Python itself included
MEASURED = """\
import pathlib, re, sys
from lambda_build_plugin.frontends.cli import main
code = main([])
print(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""
DIST_INFO = "pinned-1.0.dist-info"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project without a lock."""
    return World(tmp_path)


def build(world: World, *wheels: FakeWheel) -> Run:
    """Build with wheels that an index serves."""
    with FakeIndex(wheels) as index:
        world.lock(pylock_of(wheels, index.files_url))
        return world.build()


def a_member(name: str, *, mode: int = 0o100644) -> zipfile.ZipInfo:
    """Describe a member whose name may be anything."""
    info = zipfile.ZipInfo("x", (2020, 1, 1, 0, 0, 0))
    info.filename = name  # the constructor would tidy it up
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def with_member(name: str, data: bytes = b"x", *, mode: int = 0o100644) -> FakeWheel:
    """Make a wheel with one more member, of any name."""
    return a_wheel("pinned", "1.0", raw_members=[(a_member(name, mode=mode), data)])


def changed(wheel: FakeWheel, change: Callable[[bytearray], None]) -> FakeWheel:
    """Change bytes of a wheel."""
    content = bytearray(wheel.content)
    change(content)
    return replace(wheel, content=bytes(content))


def plain(*, method: int = zipfile.ZIP_DEFLATED, record: bytes | None = None) -> FakeWheel:
    """Make a sound wheel with a text."""
    return a_wheel("pinned", "1.0", files={MEMBER: TEXT}, compression=method, record=record)


# --- refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("../evil.py", id="above"),
        pytest.param("pinned/../../evil.py", id="above-from-inside"),
        pytest.param("/etc/evil.py", id="absolute"),
        pytest.param("pinned\\evil.py", id="backslash"),
        pytest.param("..\\evil.py", id="above-with-backslash"),
        pytest.param("C:/evil.py", id="drive-letter"),
        pytest.param("pinned/evil.py\0.txt", id="nul"),
        pytest.param(f"{DIST_INFO[:-10]}.data/scripts/../../../evil", id="script-above"),
        pytest.param(f"{DIST_INFO[:-10]}.data/data/../../evil", id="data-above"),
    ],
)
def test_path_that_escapes(world: World, name: str) -> None:
    """A path that leaves the artifact on any system ends the build."""
    run = build(world, with_member(name))

    first = f"error: {'pinned-1.0-py3-none-any.whl'} contains an unsafe path"
    assert (run.code, run.errors.splitlines()[0]) == (7, first)
    assert world.left_behind() == []


def test_entry_point_that_escapes(world: World) -> None:
    """So does a script that would lie elsewhere."""
    scripts = "[console_scripts]\n../../evil = pinned:main\n"

    run = build(world, a_wheel("pinned", "1.0", entry_points=scripts))

    assert (run.code, run.errors.splitlines()[0]) == (
        7,
        "error: pinned-1.0-py3-none-any.whl contains an unsafe path",
    )
    assert world.left_behind() == []


def set_crc(content: bytearray) -> None:
    """Let the directory tell another CRC of the first member."""
    place = content.index(b"PK\x01\x02")
    content[place + 16 : place + 20] = b"\x01\x02\x03\x04"


def set_encrypted(content: bytearray) -> None:
    """Let the directory call the first member encrypted."""
    place = content.index(b"PK\x01\x02")
    content[place + 8] |= 1


def set_size(size: int) -> Callable[[bytearray], None]:
    """Let both headers of the first member declare a size, with a CRC to match nothing."""

    def change(content: bytearray) -> None:
        struct.pack_into("<L", content, 22, size)
        struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, size)

    return change


def record_with(row: str) -> bytes:
    """Write a RECORD that says one thing about the text."""
    return f"{row}{DIST_INFO}/RECORD,,\n".encode()


WRONG = "sha256=" + "A" * 43


@pytest.mark.parametrize(
    ("wheel", "what", "why"),
    [
        pytest.param(changed(plain(), set_crc), "is damaged", "its CRC is", id="wrong-crc"),
        pytest.param(
            changed(plain(), set_encrypted), "cannot be laid out", "is encrypted", id="encrypted"
        ),
        pytest.param(
            changed(plain(), set_size(10)),
            "is damaged",
            "contains more than the 10 bytes that it declares",
            id="larger-than-declared",
        ),
        pytest.param(
            a_wheel("pinned", "1.0", raw_members=[(a_member("pinned/__init__.py"), b"twice")]),
            "cannot be laid out",
            "is there twice",
            id="duplicate-member",
        ),
        pytest.param(
            plain(record=record_with(f"{MEMBER},{WRONG},{len(TEXT)}\n")),
            "is damaged",
            f"RECORD says {WRONG[7:]}",
            id="record-with-another-digest",
        ),
        pytest.param(
            plain(record=record_with(f"{MEMBER},,1\n")),
            "cannot be laid out",
            "RECORD says that",
            id="record-with-another-size",
        ),
        pytest.param(
            a_wheel(
                "pinned", "1.0", files={f"{DIST_INFO}/METADATA": "Name: other\nVersion: 1.0\n"}
            ),
            "cannot be laid out",
            "its METADATA says other 1.0",
            id="metadata-of-another-name",
        ),
        pytest.param(
            a_wheel(
                "pinned", "1.0", files={f"{DIST_INFO}/METADATA": "Name: pinned\nVersion: 2.0\n"}
            ),
            "cannot be laid out",
            "its METADATA says pinned 2.0",
            id="metadata-of-another-version",
        ),
        pytest.param(
            replace(plain(), content=plain().content[:-30]),
            "cannot be laid out",
            NO_ZIP,
            id="without-its-end",
        ),
        pytest.param(replace(plain(), content=b""), "cannot be laid out", NO_ZIP, id="empty"),
    ],
)
def test_wheel_that_lies(world: World, wheel: FakeWheel, what: str, why: str) -> None:
    """What a wheel says of itself is held against what it holds."""
    run = build(world, wheel)

    first = f"error: {wheel.filename} {what}"
    assert (run.code, run.errors.splitlines()[0]) == (7, first)
    assert why in run.errors
    assert world.left_behind() == []


# --- bombs --------------------------------------------------------------------------------


@cache
def bomb_data() -> tuple[bytes, int]:
    """Compress very much of nothing; give its CRC as well."""
    compressor, block, crc = zlib.compressobj(9, zlib.DEFLATED, -15), bytes(1 << 20), 0
    pieces = []
    for _ in range(BOMB >> 20):
        pieces.append(compressor.compress(block))
        crc = zlib.crc32(block, crc)
    return b"".join((*pieces, compressor.flush())), crc


def a_bomb(declared: int, name: bytes) -> FakeWheel:
    """Make a wheel with a member that inflates to very much."""
    data, crc = bomb_data()
    base = plain().content
    place = base.index(b"PK\x01\x02")
    local = struct.pack(
        "<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, crc, len(data), declared, len(name), 0
    )
    central = struct.pack(
        "<4s4B4HL2L5H2L",
        b"PK\x01\x02", 20, 3, 20, 0, 0, 8, 0, 33, crc, len(data), declared,
        len(name), 0, 0, 0, 0, 0o100644 << 16, place,
    )  # fmt: skip
    directory = base[place : base.rindex(b"PK\x05\x06")] + central + name
    count = 1 + base.count(b"PK\x01\x02")
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory),
        place + len(local) + len(name) + len(data), 0,
    )  # fmt: skip
    return replace(plain(), content=base[:place] + local + name + data + directory + end)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told as Linux does")
@pytest.mark.parametrize(
    ("wheel", "code", "why"),
    [
        pytest.param(
            a_bomb(BOMB, b"pinned/bomb.bin"), 8, "the artifact is too large", id="declared"
        ),
        pytest.param(
            a_bomb(1000, b"pinned/bomb.bin"),
            7,
            "contains more than the 1,000 bytes that it declares",
            id="undeclared",
        ),
        pytest.param(
            a_bomb(BOMB, b"pinned-1.0.dist-info/entry_points.txt"),
            7,
            f"has {BOMB:,} bytes",
            id="metadata",
        ),
    ],
)
def test_bomb(world: World, wheel: FakeWheel, code: int, why: str) -> None:
    """What inflates without measure is neither unpacked nor held in memory."""
    with FakeIndex([wheel]) as index:
        world.lock(pylock_of([wheel], index.files_url))
        run = subprocess.run(
            [sys.executable, "-c", MEASURED],
            cwd=world.project,
            env=world.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    assert (run.returncode, why in run.stderr) == (code, True)
    assert world.left_behind() == []
    assert int(run.stdout) * 1024 < MOST_MEMORY


def test_more_members_than_a_zip_counts(world: World) -> None:
    """70,000 members are told of: what Lambda reads for certain ends at 65,535."""
    files = {f"pinned/f{number}.py": b"" for number in range(70_000)}

    run = build(world, a_wheel("pinned", "1.0", files=files))

    assert (run.code, run.errors.splitlines()[:2]) == (
        8,
        [
            "error: the artifact has 70,003 files",
            "  why: without zip64, which Lambda does not reliably read, a zip has at most 65,535",
        ],
    )
    assert world.left_behind() == []


# --- odd, and still sound -----------------------------------------------------------------


def methods() -> list[object]:
    """List the ways to compress that zipfile has here."""
    named = {"stored": 0, "deflated": 8, "bzip2": 12, "lzma": 14, "zstd": 93}
    there = getattr(zipfile, "ZIP_ZSTANDARD", None)
    missing = pytest.mark.skipif(there is None, reason="zipfile has zstd from Python 3.14 on")
    return [
        pytest.param(method, id=name, marks=missing if name == "zstd" else ())
        for name, method in named.items()
    ]


@pytest.mark.parametrize("method", methods())
def test_ways_to_compress(world: World, method: int) -> None:
    """However a wheel is compressed, the artifact is deflated: Lambda reads nothing else."""
    run = build(world, plain(method=method))

    assert (run.code, run.errors) == (0, "")
    assert world.members()[MEMBER] == TEXT
    with zipfile.ZipFile(world.output) as archive:
        assert {info.compress_type for info in archive.infolist()} <= {0, 8}
        assert archive.getinfo(MEMBER).compress_type == 8


def test_unknown_way_to_compress(world: World) -> None:
    """A way that this Python does not know is told, and nothing is guessed."""

    def change(content: bytearray) -> None:
        struct.pack_into("<H", content, 8, 77)
        struct.pack_into("<H", content, content.index(b"PK\x01\x02") + 10, 77)

    run = build(world, changed(plain(), change))

    assert (run.code, "compression" in run.errors) == (7, True)
    assert world.left_behind() == []


def streamed(*, zip64: bool) -> FakeWheel:
    """Write a wheel as a stream: sizes after the data, in zip64 fields if asked for."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.content += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    stream = Stream()
    source = io.BytesIO(plain().content)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            made = a_member(info.filename)
            with new.open(made, "w", force_zip64=zip64) as member:
                member.write(old.read(info))
    return replace(plain(), content=stream.content)


@pytest.mark.parametrize("zip64", [False, True], ids=["descriptors", "descriptors-and-zip64"])
def test_streamed_wheel(world: World, *, zip64: bool) -> None:
    """Data descriptors and zip64 fields are read, and not written."""
    run = build(world, streamed(zip64=zip64))

    assert (run.code, run.errors) == (0, "")
    assert world.members()[MEMBER] == TEXT
    with zipfile.ZipFile(world.output) as archive:
        assert {(info.flag_bits, info.extra) for info in archive.infolist()} == {(0, b"")}


def test_symbolic_link(world: World) -> None:
    """A member that says it is a link ships as the file it is: Lambda follows none it brings."""
    run = build(world, with_member("pinned/link", b"/etc/passwd", mode=stat.S_IFLNK | 0o777))

    assert (run.code, run.errors) == (0, "")
    assert world.members()["pinned/link"] == b"/etc/passwd"
    with zipfile.ZipFile(world.output) as archive:
        assert archive.getinfo("pinned/link").external_attr >> 16 == 0o100755


def test_record_without_a_row(world: World) -> None:
    """A file that RECORD forgets ships, and the new RECORD has it."""
    run = build(world, plain(record=record_with("")))

    assert (run.code, run.errors) == (0, "")
    assert MEMBER in world.members()[f"{DIST_INFO}/RECORD"].decode()


def test_record_with_a_row_too_many(world: World) -> None:
    """A file that RECORD dreams of is not in the new one."""
    run = build(world, plain(record=record_with("pinned/dream.py,,\n")))

    assert (run.code, run.errors) == (0, "")
    assert "dream" not in world.members()[f"{DIST_INFO}/RECORD"].decode()


def test_truncated_other_compression(world: World) -> None:
    """A member of another compression that ends early is told."""
    wheel = plain(method=zipfile.ZIP_BZIP2)
    data = bz2.compress(TEXT)
    place = wheel.content.index(data)

    def change(content: bytearray) -> None:
        content[place + 10 : place + 14] = bytes(4)

    run = build(world, changed(wheel, change))

    assert (run.code, run.errors.splitlines()[0]) == (7, f"error: {wheel.filename} is damaged")
    assert world.left_behind() == []


# --- offsets ------------------------------------------------------------------------------


def with_offset(wheel: FakeWheel, name: str, offset: int) -> FakeWheel:
    """Let the directory say in a zip64 field where a member lies."""
    start_of_end = wheel.content.rindex(b"PK\x05\x06")
    end = list(struct.unpack("<4s4H2LH", wheel.content[start_of_end:]))
    place = wheel.content.rindex(name.encode()) - 46
    header = list(struct.unpack("<4s6H3L5H2L", wheel.content[place : place + 46]))
    field = struct.pack("<2HQ", 1, 8, offset)
    header[11], header[16] = len(field), 0xFFFFFFFF
    after_name = place + 46 + len(name)
    end[5] += len(field)
    content = b"".join(
        (
            wheel.content[:place],
            struct.pack("<4s6H3L5H2L", *header),
            name.encode() + field,
            wheel.content[after_name:start_of_end],
            struct.pack("<4s4H2LH", *end),
        )
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.getinfo(name).header_offset == offset
    return replace(wheel, content=content)


@pytest.mark.parametrize("offset", [1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("name", [MEMBER, f"{DIST_INFO}/METADATA", f"{DIST_INFO}/RECORD"])
def test_offset_beyond_the_file(world: World, name: str, offset: int) -> None:
    """A zip64 field may name any offset; it is refused in our words."""
    wheel = with_offset(a_wheel("pinned", "1.0", files={MEMBER: TEXT}), name, offset)

    run = build(world, wheel)

    assert run.code in {5, 7}
    assert run.errors.startswith("error: pinned-1.0-py3-none-any.whl ")
    assert "unexpected failure" not in run.errors
    assert world.left_behind() == []


# --- many -------------------------------------------------------------------------------


LIMITED = """\
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from lambda_build_plugin.frontends.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize(
    "method",
    [pytest.param(zipfile.ZIP_DEFLATED, id="deflate"), pytest.param(zipfile.ZIP_BZIP2, id="bzip2")],
)
def test_more_wheels_than_open_files(world: World, method: int) -> None:
    """300 wheels are packaged by a process that may open 256 files, as on macOS."""
    wheels = [
        a_wheel(f"pinned{number}", files={f"pinned{number}.py": TEXT}, compression=method)
        for number in range(300)
    ]
    with FakeIndex(wheels) as index:
        world.lock(pylock_of(wheels, index.files_url))
        run = subprocess.run(
            [sys.executable, "-c", LIMITED, "--unpacked", world.folder / "tree"],
            cwd=world.project,
            env=world.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    assert (run.returncode, run.stderr) == (0, "")
    assert sum(name.endswith(".py") for name in world.members()) == 300
    assert len(list((world.folder / "tree").glob("*.py"))) == 300
