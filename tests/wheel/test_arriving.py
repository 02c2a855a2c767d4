"""What is found out about the members of a wheel while its bytes arrive."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from fakes.elf import an_elf
from fakes.wheels import a_wheel

from lambda_build_plugin.wheel.arriving import ArrivingMembers
from lambda_build_plugin.wheel.elf import Elf, Kind
from lambda_build_plugin.wheel.file import Wheel
from lambda_build_plugin.wheel.integrity import Damage, examine
from lambda_build_plugin.wheel.machine_code import MachineCode
from lambda_build_plugin.wheel.open_wheel import open_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fakes.wheels import FakeWheel

    from lambda_build_plugin.wheel.arriving import Content

_NOISE = random.Random(0).randbytes(400_000)  # noqa: S311 - bytes that cannot be deflated
_FILES = {
    "demo/__init__.py": b"x = 1\n" * 100,
    "demo/empty.py": b"",
    "demo/zeros.bin": bytes(3_000_000),
    "demo/noise.bin": _NOISE,
    "demo/small.so": an_elf("aarch64", needed=["libm.so.6"]),
    "demo/large.so": an_elf("aarch64", needed=["libc.so.6"]) + bytes(2_500_000),
}


class _Pipe(io.BytesIO):
    """A stream in which nobody goes back to write a size."""

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation

    tell = seek


def heard(content: bytes, *, chunk: int = 1 << 16) -> ArrivingMembers:
    """Let a wheel arrive in chunks."""
    arriving = ArrivingMembers()
    for start in range(0, len(content), chunk):
        arriving.hear(content[start : start + chunk])
    return arriving


def by_name(content: bytes, found: Mapping[int, Content]) -> dict[str, Content]:
    """Name the members that were found, by the directory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {info.header_offset: info.filename for info in archive.infolist()}
    return {names[offset]: each for offset, each in found.items()}


def saying(content: bytes, member: str, *, place: int, value: int) -> bytes:
    """Change four bytes of a member's local header, and nothing of the directory."""
    changed = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        struct.pack_into("<L", changed, archive.getinfo(member).header_offset + place, value)
    return bytes(changed)


def test_a_bomb_is_not_inflated() -> None:
    """More than Lambda unpacks is left for later, when the wheel has the hash that was locked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(12):
            archive.writestr(f"demo/{number}.bin", bytes(25 << 20))
    content = stream.getvalue()

    found = by_name(content, heard(content).finish())

    assert len(content) < 1 << 20
    assert list(found) == [f"demo/{number}.bin" for number in range(10)]


@pytest.mark.parametrize("chunk", [1, 1000, 1 << 16, 1 << 30])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_member_is_found(method: int, chunk: int) -> None:
    """However the bytes are cut, each member is found, with its content and its machine code."""
    files = dict(_FILES)
    if chunk == 1:  # of millions of bytes, each would be a call
        files = {name: data for name, data in files.items() if len(data) < 100_000}
    wheel = a_wheel(files=files, compression=method)

    found = by_name(wheel.content, heard(wheel.content, chunk=chunk).finish())

    with zipfile.ZipFile(io.BytesIO(wheel.content)) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        assert {name: each[:5] for name, each in found.items()} == {
            name: (
                info.compress_type,
                info.compress_size,
                info.file_size,
                info.CRC,
                hashlib.sha256(archive.read(info)).digest(),
            )
            for name, info in infos.items()
        }
    code = {name: each.code for name, each in found.items() if each.code is not None}
    assert code == {
        name: MachineCode(kind=Kind.ELF, elf=Elf(machine="aarch64", bits=64, needed=(needed,)))
        for name, needed in (("demo/small.so", "libm.so.6"), ("demo/large.so", "libc.so.6"))
        if name in files
    }


def test_sizes_behind_the_data() -> None:
    """Where a header does not tell the size, it takes the directory to go on."""
    stream = _Pipe()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", b"x = 1\n")

    assert heard(stream.getvalue()).finish() == {}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<!DOCTYPE html>" * 100, id="page"),
        pytest.param(b"PK\x03\x04" * 5000, id="signatures"),
        pytest.param(b"PK\x03\x04" + bytes(100_000), id="empty headers"),
        pytest.param(_NOISE, id="noise"),
    ],
)
def test_what_is_no_wheel(content: bytes) -> None:
    """Bytes of any kind are taken; who needs a wheel says later that they are none."""
    heard(content)


def test_cut_off() -> None:
    """What has not arrived as a whole is not found."""
    content = a_wheel(files=_FILES).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.getinfo("demo/noise.bin").header_offset

    found = by_name(content, heard(content[: start + 300_000]).finish())

    assert sorted(found) == ["demo/__init__.py", "demo/empty.py", "demo/large.so"]


@pytest.mark.parametrize("size", [1000, 2_000_000])
def test_more_than_the_header_says(size: int) -> None:
    """What inflates to very much is left off at once, and never in memory as a whole."""
    wheel = a_wheel(files={"bomb.bin": bytes(50_000_000)})
    content = saying(wheel.content, "bomb.bin", place=22, value=size)
    tracemalloc.start()
    try:
        found = heard(content).finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found == {}
    assert peak < 5_000_000


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a large library cannot be kept, the download goes on."""

    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    content = a_wheel(files={"a.py": b"x", "demo/large.so": _FILES["demo/large.so"]}).content

    assert [*by_name(content, heard(content).finish())] == ["a.py"]


# --- the directory decides ----------------------------------------------------------------


def examined(
    folder: Path, fake: FakeWheel, arrived: Mapping[int, Content]
) -> Damage | Mapping[str, MachineCode]:
    """Examine a wheel of which something was found out before."""
    wheel = Wheel.of(fake.write_to(folder), sha256=fake.sha256, source="wheel")
    with open_wheel(wheel) as source:
        return examine(source, arrived)


def test_nothing_is_inflated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel of which every member was found is sound without another look at them."""
    fake = a_wheel(files=_FILES)
    arrived = heard(fake.content).finish()
    asked: list[str] = []
    monkeypatch.setattr(
        "lambda_build_plugin.wheel.integrity._examine_member",
        lambda member, *_: asked.append(member.name),
    )

    code = examined(tmp_path, fake, arrived)

    assert asked == []
    assert sorted(code) == ["demo/large.so", "demo/small.so"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"crc": 1}, id="CRC"),
        pytest.param({"size": 1}, id="size"),
        pytest.param({"compressed_size": 1}, id="compressed size"),
        pytest.param({"method": zipfile.ZIP_STORED}, id="method"),
        pytest.param({"sha256": bytes(32)}, id="digest"),
    ],
)
def test_what_does_not_fit_is_looked_at_again(tmp_path: Path, wrong: dict[str, object]) -> None:
    """What was found before is nothing that the file itself could not correct."""
    fake = a_wheel(files=_FILES)
    arrived = {
        offset: each._replace(code=None, **wrong)  # type: ignore[arg-type]
        for offset, each in heard(fake.content).finish().items()
    }

    code = examined(tmp_path, fake, arrived)

    assert sorted(code) == ["demo/large.so", "demo/small.so"]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["demo/__init__.py", "demo/zeros.bin", "demo/noise.bin"])
def test_damage_is_told_as_ever(tmp_path: Path, name: str) -> None:
    """A member that RECORD says something else of is damage, whether or not it was found."""
    record = f"{name},sha256={'A' * 43},\ndemo-1.0.dist-info/RECORD,,\n".encode()
    fake = a_wheel(files=_FILES, record=record)

    damage = examined(tmp_path, fake, heard(fake.content).finish())

    assert isinstance(damage, Damage)
    assert damage == examined(tmp_path, fake, {})
    assert (damage.member, damage.problem[:13]) == (name, "its sha256 is")


def test_other_sizes_in_front_of_a_member(tmp_path: Path) -> None:
    """Where a local header and the directory differ, the directory counts."""
    fake = a_wheel(files={"a.py": b"x = 1\n" * 100, "b.py": b"y = 2\n"})
    content = saying(fake.content, "a.py", place=22, value=7)

    assert zlib.crc32(content) != zlib.crc32(fake.content)
    assert examined(tmp_path, fake, heard(content).finish()) == {}
