"""What files of machine code say of themselves, and whether a target loads them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
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
