"""What files of machine code say of themselves, and whether a target loads them."""

from __future__ import annotations

import _ctypes
import io
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from fakes.elf import an_elf

from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.wheel.elf import (
    Elf,
    Identity,
    Kind,
    UnreadableElfError,
    identify,
    read_elf,
)
from lambda_build_plugin.wheel.loadable import load_problems

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEW = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.X86_64)
_OLD = Target(runtime=RUNTIMES["python3.11"], architecture=Architecture.X86_64)


@pytest.mark.parametrize(
    ("head", "identity"),
    [
        pytest.param(
            an_elf("aarch64"), Identity(kind=Kind.ELF, machine="aarch64", bits=64), id="ELF"
        ),
        pytest.param(
            b"\x7fELF\1\2\1".ljust(18, b"\0") + b"\0\x28",
            Identity(kind=Kind.ELF, machine="arm", bits=32),
            id="ELF of 32 bits, big end first",
        ),
        pytest.param(
            b"\x7fELF\2\1\1".ljust(18, b"\0") + b"\x16\0",
            Identity(kind=Kind.ELF, machine="machine 22", bits=64),
            id="ELF of a rare machine",
        ),
        pytest.param(b"\xcf\xfa\xed\xfe\x0c\0\0\1", Identity(kind=Kind.MACH_O), id="Mach-O"),
        pytest.param(
            b"\xca\xfe\xba\xbe\0\0\0\2", Identity(kind=Kind.MACH_O), id="Mach-O for two machines"
        ),
        pytest.param(b"\xca\xfe\xba\xbe\0\0\0\x34", None, id="Java class"),
        pytest.param(b"MZ".ljust(60, b"\0") + b"\x80\0\0\0", Identity(kind=Kind.PE), id="Windows"),
        pytest.param(
            b"MZ is what this text begins with, and then it goes on and on and on", None, id="text"
        ),
        pytest.param(b"#!/bin/sh\n", None, id="script"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_kind_of_a_file(head: bytes, identity: Identity | None) -> None:
    """The first bytes of a file tell whether it is machine code, and for which machine."""
    assert identify(head[:64]) == identity


def test_what_an_elf_file_needs() -> None:
    """Libraries and versions of symbols are found without any section, by the segments."""
    data = an_elf(
        needed=["libm.so.6", "libc.so.6"],
        versions={"libm.so.6": ["GLIBC_2.29"], "libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.14"]},
    )

    assert read_elf(io.BytesIO(data)) == Elf(
        machine="x86_64",
        bits=64,
        needed=("libm.so.6", "libc.so.6"),
        versions=("GLIBC_2.14", "GLIBC_2.2.5", "GLIBC_2.29"),
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(an_elf(needed=["libc.musl-x86_64.so.1"]), id="library"),
        pytest.param(an_elf(interpreter="/lib/ld-musl-x86_64.so.1"), id="linker"),
    ],
)
def test_musl(data: bytes) -> None:
    """A file that is linked against musl names it."""
    assert read_elf(io.BytesIO(data)).musl


def libraries_here() -> list[Path]:
    """Find shared libraries and extension modules of this machine."""
    folders = [Path(_ctypes.__file__).parent, Path("/usr/lib/x86_64-linux-gnu")]
    return sorted(path for folder in folders for path in folder.glob("*.so*"))[:60]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other formats")
def test_other_readers_agree() -> None:
    """Pyelftools finds the same in real files, by their sections."""
    found, expected = {}, {}
    for path in libraries_here():
        with path.open("rb") as file, suppress(ELFError):
            elf = ELFFile(file)
            dynamic = [each for each in elf.iter_sections() if isinstance(each, DynamicSection)]
            tags = [tag for section in dynamic for tag in section.iter_tags()]
            versions = {
                version.name
                for section in elf.iter_sections()
                if isinstance(section, GNUVerNeedSection)
                for _, required in section.iter_versions()
                for version in required
            }
            expected[path] = (
                [vars(tag)["needed"] for tag in tags if tag.entry.d_tag == "DT_NEEDED"],
                sorted(versions),
                elf.elfclass,
            )
            read = read_elf(file)
            found[path] = ([*read.needed], [*read.versions], read.bits)

    assert len(found) > 10
    assert found == expected


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("bits", [32, 64])
def test_class_and_order_of_bytes(order: Literal["little", "big"], bits: int) -> None:
    """Files of each class and order are read."""
    head = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2, 1]) + bytes(9)
    mark = "<" if order == "little" else ">"
    word = "I" if bits == 32 else "Q"
    header = struct.Struct(f"{mark}HHI3{word}I6H")
    segment = struct.Struct(mark + ("8I" if bits == 32 else "2I6Q"))
    tag = struct.Struct(mark + 2 * word)
    start = len(head) + header.size
    tags_at = start + segment.size
    strings_at = tags_at + 3 * tag.size
    fields = (3, 40, 1, 0, start, 0, 0, len(head) + header.size, segment.size, 1, 0, 0, 0)
    size = 3 * tag.size
    places = (tags_at, 0, 0, size, size)
    dynamic = (2, *places, 0, 0) if bits == 32 else (2, 0, *places, 0)
    data = b"".join(
        (
            head,
            header.pack(*fields),
            segment.pack(*dynamic),
            tag.pack(5, strings_at) + tag.pack(1, 1) + tag.pack(0, 0),
            b"\0libm.so.6\0".ljust(2000, b"\0"),
        )
    )

    assert read_elf(io.BytesIO(data)) == Elf(machine="arm", bits=bits, needed=("libm.so.6",))


@pytest.mark.parametrize("byte", [4, 5])
def test_unknown_class_or_order(byte: int) -> None:
    """A file of a class or an order that nobody has defined is one error, too."""
    data = bytearray(an_elf())
    data[byte] = 7

    with pytest.raises(UnreadableElfError):
        read_elf(io.BytesIO(data))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x7fELF", id="magic alone"),
        pytest.param(an_elf()[:100], id="cut off in a header"),
        pytest.param(an_elf()[:-20], id="cut off in the dynamic section"),
        pytest.param(an_elf(needed=["ab"]).replace(b"ab", b"\xff\xfe"), id="name not in UTF-8"),
        pytest.param(b"#!/bin/sh\n" * 20, id="script"),
    ],
)
def test_broken_elf_file(data: bytes) -> None:
    """A file that cannot be read is one error, whatever is wrong with it."""
    with pytest.raises(UnreadableElfError):
        read_elf(io.BytesIO(data))


@pytest.mark.parametrize(
    ("elf", "target", "problems"),
    [
        pytest.param(an_elf("x86_64"), _NEW, [], id="nothing special"),
        pytest.param(
            an_elf("aarch64"), _NEW, ["is made for 64-bit aarch64, not for x86_64"], id="machine"
        ),
        pytest.param(
            an_elf(needed=["libc.musl-x86_64.so.1"]),
            _NEW,
            ["is linked against musl, and the runtime has glibc"],
            id="musl",
        ),
        pytest.param(
            an_elf(needed=["libown-1.so", "libexpat.so.1", "libstdc++.so.6"]),
            _NEW,
            ["needs libexpat.so.1, which the runtime does not have"],
            id="library",
        ),
        pytest.param(
            an_elf(versions={"libc.so.6": ["GLIBC_2.34", "GLIBC_2.4"]}), _NEW, [], id="newest glibc"
        ),
        pytest.param(
            an_elf(versions={"libc.so.6": ["GLIBC_2.34", "GLIBC_2.4"]}),
            _OLD,
            ["needs GLIBC_2.34, and the runtime has glibc 2.26"],
            id="glibc of a newer runtime",
        ),
        pytest.param(
            an_elf(versions={"libc.so.6": ["GLIBC_2.38", "GLIBC_2.104"]}),
            _NEW,
            ["needs GLIBC_2.104, and the runtime has glibc 2.34"],
            id="newest of several",
        ),
        pytest.param(
            an_elf(versions={"libc.so.6": ["GLIBC_ABI_DT_RELR"]}),
            _NEW,
            ["needs GLIBC_ABI_DT_RELR, and the runtime has glibc 2.34"],
            id="packed relocations",
        ),
        pytest.param(
            an_elf(versions={"libstdc++.so.6": ["GLIBCXX_3.4.29", "CXXABI_TM_1"]}),
            _NEW,
            [],
            id="newest libstdc++",
        ),
        pytest.param(
            an_elf(versions={"libstdc++.so.6": ["GLIBCXX_3.4.30"]}),
            _NEW,
            ["needs GLIBCXX_3.4.30, and the runtime has glibc 2.34"],
            id="newer libstdc++",
        ),
        pytest.param(
            an_elf(versions={"libown-1.so": ["OWN_99.0"]}), _NEW, [], id="library of the package"
        ),
    ],
)
def test_what_keeps_a_file_from_loading(
    elf: bytes, target: Target, problems: Sequence[str]
) -> None:
    """Machine, C library, libraries and versions are held against the runtime."""
    found = load_problems(read_elf(io.BytesIO(elf)), target, {"libown-1.so"})

    assert list(found) == problems


def test_every_runtime_has_ceilings() -> None:
    """No runtime is without the versions that its libraries have."""
    elf = read_elf(io.BytesIO(an_elf(versions={"libgcc_s.so.1": ["GCC_99.0.0"]})))
    targets = [
        Target(runtime=runtime, architecture=Architecture.X86_64) for runtime in RUNTIMES.values()
    ]

    assert all(list(load_problems(elf, target, ())) for target in targets)
