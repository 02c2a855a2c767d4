from __future__ import annotations

import base64
import hashlib
import io
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.elf import an_elf
from fakes.wheels import a_wheel
from fakes.words import NO_ZIP

from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.wheel.elf import Elf, Kind
from lambda_build_plugin.wheel.file import ChangedArchiveError, InvalidWheelError, Wheel
from lambda_build_plugin.wheel.integrity import DamagedWheelsError, check
from lambda_build_plugin.wheel.machine_code import MachineCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fakes.wheels import FakeWheel

_RECORD = "demo-1.0.dist-info/RECORD"
_CONTENT = b"x = 1\n" * 100


def a_wheel_at(fake: FakeWheel, folder: Path, *, source: str = "wheel") -> Wheel:
    """Write a wheel and describe it."""
    return Wheel.of(fake.write_to(folder), sha256=fake.sha256, source=source)


def a_record(*rows: str) -> bytes:
    """Write a RECORD of some rows and its own."""
    return "".join(f"{row}\n" for row in (*rows, f"{_RECORD},,")).encode()


def a_digest(algorithm: str, data: bytes) -> str:
    """Spell a digest as RECORD does."""
    encoded = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest())
    return f"{algorithm}={encoded.rstrip(b'=').decode()}"


def saying(fake: FakeWheel, member: str, **fields: int) -> FakeWheel:
    """Change what both headers of a member say: its `crc`, `packed` or `size`."""
    content = bytearray(fake.content)
    with zipfile.ZipFile(io.BytesIO(fake.content)) as archive:
        local = archive.getinfo(member).header_offset
    central = content.rindex(member.encode()) - 46
    assert content[central : central + 4] == b"PK\x01\x02"
    for name, value in fields.items():
        place = ("crc", "packed", "size").index(name) * 4
        struct.pack_into("<L", content, local + 14 + place, value)
        struct.pack_into("<L", content, central + 16 + place, value)
    return replace(fake, content=bytes(content))


def a_bomb(size: int, *, declared: int) -> FakeWheel:
    """Make a wheel of a member that inflates to zeros, with headers that tell of less."""
    fake = a_wheel(files={"bomb.bin": bytes(size)}, record=a_record(f"bomb.bin,,{declared}"))
    return saying(fake, "bomb.bin", size=declared, crc=zlib.crc32(bytes(declared)))


def problem(folder: Path, fake: FakeWheel) -> tuple[str, str]:
    """Check a wheel that is damaged: which member, and what of it."""
    with pytest.raises(DamagedWheelsError) as caught:
        check([a_wheel_at(fake, folder)], Cache(folder / "cache"))
    (damage,) = caught.value.damages
    return damage.member, damage.problem


def notes(folder: Path) -> int:
    """Count what was noted."""
    return len([*folder.glob("cache/checked/*.note")])


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflated", "bzip2", "lzma"],
)
def test_sound_wheel(tmp_path: Path, method: int) -> None:
    """A wheel that is what it says passes, and is noted."""
    files = {"a.py": _CONTENT, "empty.py": b"", "big.bin": bytes(range(256)) * 4000}

    check(
        [a_wheel_at(a_wheel(files=files, compression=method), tmp_path)], Cache(tmp_path / "cache")
    )

    assert notes(tmp_path) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wrong_crc(tmp_path: Path, method: int) -> None:
    """A CRC that is not that of the content is refused."""
    fake = a_wheel(files={"a.py": _CONTENT}, compression=method)

    assert problem(tmp_path, saying(fake, "a.py", crc=1)) == (
        "a.py",
        f"its CRC is {zlib.crc32(_CONTENT):08x}, its header says 00000001",
    )


def test_wrong_crc_of_another_method(tmp_path: Path) -> None:
    """What only zipfile can read is refused in its words."""
    fake = a_wheel(files={"a.py": _CONTENT}, compression=zipfile.ZIP_BZIP2)

    path, why = problem(tmp_path, saying(fake, "a.py", crc=1))

    assert (path, why[:19]) == ("a.py", "it cannot be read: ")


@pytest.mark.parametrize("declared", [0, 1000, 1_999_999])
def test_more_than_declared(tmp_path: Path, declared: int) -> None:
    """A member that inflates to more than its headers say is refused."""
    assert problem(tmp_path, a_bomb(2_000_000, declared=declared)) == (
        "bomb.bin",
        f"it contains more than the {declared:,} bytes that it declares",
    )


def test_memory(tmp_path: Path) -> None:
    """What inflates to very much is left off at once, and never in memory as a whole."""
    wheel = a_wheel_at(a_bomb(50_000_000, declared=1000), tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedWheelsError):
            check([wheel], Cache(tmp_path / "cache"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


def test_less_than_declared(tmp_path: Path) -> None:
    """A member that holds less than its headers say is refused."""
    fake = a_wheel(files={"a.py": _CONTENT}, record=a_record())

    assert problem(tmp_path, saying(fake, "a.py", size=601)) == (
        "a.py",
        "it contains 600 bytes but declares 601",
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(-1, "its compressed data ends too early", id="cut short"),
        pytest.param(1, "something follows the end of its compressed data", id="too long"),
    ],
)
def test_end_of_compressed_data(tmp_path: Path, change: int, why: str) -> None:
    """Compressed data ends where the headers say, and not elsewhere."""
    fake = a_wheel(files={"a.py": _CONTENT}, record=a_record())
    with zipfile.ZipFile(io.BytesIO(fake.content)) as archive:
        packed = archive.getinfo("a.py").compress_size

    assert problem(tmp_path, saying(fake, "a.py", packed=packed + change)) == ("a.py", why)


def test_broken_compressed_data(tmp_path: Path) -> None:
    """Compressed data that is none is refused."""
    fake = a_wheel(files={"a.py": _CONTENT}, record=a_record())
    with zipfile.ZipFile(io.BytesIO(fake.content)) as archive:
        start = archive.getinfo("a.py").header_offset + 30 + len("a.py")
    content = bytearray(fake.content)
    content[start] = 0xFF

    member, why = problem(tmp_path, replace(fake, content=bytes(content)))

    assert (member, why.partition(": ")[0]) == ("a.py", "it cannot be inflated")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
def test_wrong_digest(tmp_path: Path, algorithm: str) -> None:
    """A digest in RECORD that is not that of the member is refused, whatever its algorithm."""
    right, wrong = (a_digest(algorithm, data) for data in (_CONTENT, b"other"))
    fake = a_wheel(files={"a.py": _CONTENT}, record=a_record(f"a.py,{wrong},600"))

    assert problem(tmp_path, fake) == (
        "a.py",
        f"its {algorithm} is {right.partition('=')[2]}, RECORD says {wrong.partition('=')[2]}",
    )


def test_contradiction_in_record(tmp_path: Path) -> None:
    """Of two rows for one member both have to be right, in whatever order."""
    rows = [f"a.py,{a_digest('sha256', data)},600" for data in (b"other", _CONTENT)]

    for order in (rows, rows[::-1]):
        fake = a_wheel(files={"a.py": _CONTENT}, record=a_record(*order))
        assert problem(tmp_path, fake)[0] == "a.py"


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("", id="none"),
        pytest.param("a.py,,", id="empty"),
        pytest.param("a.py,sha256=,", id="hollow"),
        pytest.param("a.py,crc17=AAAA,", id="unknown algorithm"),
        pytest.param("a.py,shake_128=AAAA,", id="algorithm without a length"),
        pytest.param(f"a.py,{a_digest('sha256', _CONTENT)}=,600", id="padded"),
    ],
)
def test_rows_that_say_nothing_wrong(tmp_path: Path, row: str) -> None:
    """A row without a digest that can be compared is no contradiction, nor is padding."""
    record = a_record(*([row] if row else []))

    check(
        [a_wheel_at(a_wheel(files={"a.py": _CONTENT}, record=record), tmp_path)],
        Cache(tmp_path / "cache"),
    )

    assert notes(tmp_path) == 1


def other_spellings(algorithm: str, data: bytes) -> dict[str, str]:
    """Spell a digest in the ways that are found in wheels, apart from the right one."""
    raw = hashlib.new(algorithm, data).digest()
    standard, urlsafe = base64.b64encode(raw), base64.urlsafe_b64encode(raw)
    return {
        "hexadecimal": raw.hex(),
        "capitals": raw.hex().upper(),
        "padded": urlsafe.decode(),
        "standard base64": standard.decode(),
        "standard base64 without padding": standard.decode().rstrip("="),
    }


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512", "sha3_256", "blake2b"])
@pytest.mark.parametrize("spelling", other_spellings("sha256", b""))
def test_right_digest_in_another_spelling(tmp_path: Path, spelling: str, algorithm: str) -> None:
    """A digest that is right is no damage, however it is spelled."""
    row = f"a.py,{algorithm}={other_spellings(algorithm, _CONTENT)[spelling]},600"
    fake = a_wheel(files={"a.py": _CONTENT}, record=a_record(row))

    check([a_wheel_at(fake, tmp_path)], Cache(tmp_path / "cache"))

    assert notes(tmp_path) == 1


@pytest.mark.parametrize("spelling", other_spellings("sha256", b""))
def test_wrong_digest_in_another_spelling(tmp_path: Path, spelling: str) -> None:
    """A digest that is wrong is damage, however it is spelled."""
    row = f"a.py,sha256={other_spellings('sha256', b'other')[spelling]},600"

    member, _ = problem(tmp_path, a_wheel(files={"a.py": _CONTENT}, record=a_record(row)))

    assert member == "a.py"


@pytest.mark.parametrize("value", ["!", "A", "é", "0" * 64, "=", "a" * 10_000])
def test_value_that_is_no_digest(tmp_path: Path, value: str) -> None:
    """A value that spells no digest of that algorithm is damage."""
    fake = a_wheel(files={"a.py": _CONTENT}, record=a_record(f"a.py,sha256={value},600"))

    assert problem(tmp_path, fake)[0] == "a.py"


def test_rows_with_a_dot(tmp_path: Path) -> None:
    """The row of a member is found where one of them begins with `./` and the other does not."""
    wrong = a_digest("sha256", b"other")
    fake = a_wheel(files={"./a.py": _CONTENT}, record=a_record(f"a.py,{wrong},600"))

    assert problem(tmp_path, fake)[0] == "a.py"


def test_files_that_stay_behind(tmp_path: Path) -> None:
    """Files that do not ship are checked, too: the note is about the whole wheel."""
    name = "demo-1.0.data/scripts/demo"

    assert problem(tmp_path, saying(a_wheel(files={name: "#!python"}), name, crc=1))[0] == name


def test_message(tmp_path: Path) -> None:
    """All damaged wheels are told of together, each with its first member; no sound one is."""
    fakes = [a_wheel(name, files={f"{name}.py": _CONTENT}) for name in ("b", "a", "c")]
    fakes = [saying(fake, f"{fake.project}.py", crc=1) for fake in fakes[:2]] + fakes[2:]

    with pytest.raises(DamagedWheelsError) as caught:
        check([a_wheel_at(fake, tmp_path) for fake in fakes], Cache(tmp_path / "cache"))

    said = f"its CRC is {zlib.crc32(_CONTENT):08x}, its header says 00000001"
    assert (caught.value.what, caught.value.why) == (
        "a-1.0-py3-none-any.whl, b-1.0-py3-none-any.whl are damaged",
        f"`a.py` in a-1.0-py3-none-any.whl: {said}\n`b.py` in b-1.0-py3-none-any.whl: {said}",
    )
    assert "lock another version" in caught.value.hint
    assert notes(tmp_path) == 1


def test_own_wheel(tmp_path: Path) -> None:
    """The project's own wheel is checked each time, and nobody is told to lock another."""
    damaged = saying(a_wheel(files={"a.py": _CONTENT}), "a.py", crc=1)

    check([a_wheel_at(a_wheel("sound"), tmp_path, source="local")], Cache(tmp_path / "cache"))
    with pytest.raises(DamagedWheelsError) as caught:
        check([a_wheel_at(damaged, tmp_path, source="local")], Cache(tmp_path / "cache"))

    assert notes(tmp_path) == 0
    assert caught.value.hint == (
        "this wheel was just built from the project itself: look at its build backend"
    )


def test_known_wheel(tmp_path: Path) -> None:
    """A wheel that was checked is not read again, wherever it lies."""
    cache = Cache(tmp_path / "cache")
    wheel = a_wheel_at(a_wheel(), tmp_path / "here")
    check([wheel], cache)

    check([replace(wheel, path=tmp_path / "gone" / wheel.filename)], cache)

    assert notes(tmp_path) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_machine_code(tmp_path: Path, method: int) -> None:
    """What is machine code in a wheel is found on the way, and known the next time."""
    elf = an_elf("aarch64", needed=["libc.so.6"], versions={"libc.so.6": ["GLIBC_2.17"]})
    files = {
        "a.so": elf,
        "large.so": elf + bytes(20_000_000),
        "broken": b"\x7fELF",
        "a.py": _CONTENT,
    }
    wheel = a_wheel_at(a_wheel(files=files, compression=method), tmp_path)
    known = MachineCode(
        kind=Kind.ELF,
        elf=Elf(machine="aarch64", bits=64, needed=("libc.so.6",), versions=("GLIBC_2.17",)),
    )

    first = check([wheel], Cache(tmp_path / "cache"))
    second = check([wheel], Cache(tmp_path / "cache"))

    found = dict(first[wheel.path])
    broken = found.pop("broken")
    assert (broken.kind, broken.elf, bool(broken.trouble)) == (Kind.ELF, None, True)
    assert found == {"a.so": known, "large.so": known}
    assert second == first


def test_other_bytes_of_one_name(tmp_path: Path) -> None:
    """A note is about bytes: another file of the same name and place is checked anew."""
    cache = Cache(tmp_path / "cache")
    fake = a_wheel(files={"a.py": _CONTENT})
    check([a_wheel_at(fake, tmp_path)], cache)

    assert problem(tmp_path, saying(fake, "a.py", crc=1))[0] == "a.py"


def test_damage_is_not_noted(tmp_path: Path) -> None:
    """A damaged wheel is refused each time."""
    fake = saying(a_wheel(files={"a.py": _CONTENT}), "a.py", crc=1)

    assert problem(tmp_path, fake) == problem(tmp_path, fake)


@pytest.mark.parametrize(
    "note",
    [
        {},
        {"check": "1"},
        {"check": "3"},
        {"check": "3", "code": "[]"},
        {"check": "3", "code": '{"a.py": 1}'},
        {"check": "3", "code": '{"a.py": ["ELF", "", ["x86_64"]]}'},
        {"passed": "1"},
    ],
    ids=str,
)
def test_note_of_another_check(tmp_path: Path, note: dict[str, str]) -> None:
    """What an older check has passed is checked again."""
    fake = saying(a_wheel(files={"a.py": _CONTENT}), "a.py", crc=1)
    Cache(tmp_path / "cache").keep_note("checked", fake.sha256, note)

    assert problem(tmp_path, fake)[0] == "a.py"


def test_forged_note(tmp_path: Path) -> None:
    """That a wheel has passed is believed of the user's own builds only."""
    fake = saying(a_wheel(files={"a.py": _CONTENT}), "a.py", crc=1)
    passed = {"check": "3", "code": "{}"}
    Cache(tmp_path / "cache", key=b"another's").keep_note("checked", fake.sha256, passed)
    assert problem(tmp_path, fake)[0] == "a.py"

    cache = Cache(tmp_path / "cache")
    cache.keep_note("checked", fake.sha256, passed)
    check([a_wheel_at(fake, tmp_path)], cache)  # the note would have counted


def test_wheel_that_has_changed(tmp_path: Path) -> None:
    """A sound wheel in the place of another one does not pass as that one."""
    wheel = a_wheel_at(a_wheel(files={"a.py": _CONTENT}), tmp_path)
    other = a_wheel(files={"a.py": b"other"})
    wheel.path.write_bytes(other.content)

    with pytest.raises(ChangedArchiveError) as caught:
        check([wheel], Cache(tmp_path / "cache"))

    assert caught.value.what == f"{wheel.filename} has changed during the build"
    assert notes(tmp_path) == 0


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """A cache that takes no notes is no reason to fail."""
    place = tmp_path / "cache"
    place.write_text("a file", encoding="utf-8")

    check([a_wheel_at(a_wheel(), tmp_path)], Cache(place))

    assert place.read_text(encoding="utf-8") == "a file"


@pytest.mark.parametrize(
    "content", [pytest.param(b"no zip", id="no zip"), pytest.param(b"", id="empty")]
)
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    """What is no wheel at all is refused in the words of staging."""
    wheel = a_wheel_at(replace(a_wheel(), content=content), tmp_path)

    with pytest.raises(InvalidWheelError) as caught:
        check([wheel], Cache(tmp_path / "cache"))

    assert caught.value.why == NO_ZIP


def test_moved_member(tmp_path: Path) -> None:
    """A directory that points elsewhere than at a member is refused."""
    fake = a_wheel(files={"a.py": _CONTENT})
    content = bytearray(fake.content)
    struct.pack_into("<L", content, content.rindex(b"a.py") - 4, 7)

    assert problem(tmp_path, replace(fake, content=bytes(content))) == (
        "a.py",
        "there is no local header where the directory says",
    )


def in_order(
    content: bytes, order: Callable[[list[zipfile.ZipInfo]], list[zipfile.ZipInfo]]
) -> bytes:
    """Write the directory of a wheel in another order; its members stay where they are."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.filelist[:] = order(archive.filelist)
        archive.comment = b"."  # so that it is written again
    return stream.getvalue()


@pytest.mark.parametrize("wrong", [None, "f30.py"])
@pytest.mark.parametrize(
    "order",
    [
        pytest.param(lambda infos: infos[::-1], id="backwards"),
        pytest.param(lambda infos: infos[::2] + infos[1::2], id="every second"),
        pytest.param(lambda infos: sorted(infos, key=lambda info: info.CRC), id="any"),
    ],
)
def test_order_of_the_directory(
    tmp_path: Path,
    order: Callable[[list[zipfile.ZipInfo]], list[zipfile.ZipInfo]],
    wrong: str | None,
) -> None:
    """A directory may list the members in any order, whatever is read ahead."""
    names = [f"f{number}.py" for number in range(60)]
    fake = a_wheel(files={name: name.encode() * 9000 for name in names}, compression=0)
    if wrong is not None:
        fake = saying(fake, wrong, crc=1)
    fake = replace(fake, content=in_order(fake.content, order))

    if wrong is None:
        check([a_wheel_at(fake, tmp_path)], Cache(tmp_path / "cache"))
        assert notes(tmp_path) == 1
    else:
        assert problem(tmp_path, fake)[0] == wrong


def test_many_wheels(tmp_path: Path) -> None:
    """Each of many wheels gets its own note."""
    fakes = [a_wheel(f"demo{number}") for number in range(20)]

    check([a_wheel_at(fake, tmp_path) for fake in fakes], Cache(tmp_path / "cache"))

    assert notes(tmp_path) == 20
