"""The shared libraries that every runtime has, and the newest symbols in them.

Dated facts about Amazon Linux 2 and Amazon Linux 2023, not about ELF files.
"""

from __future__ import annotations

from lambda_build_plugin.runtime.target import Glibc

__all__ = ["GLIBC_LIBRARIES", "NEWEST_SYMBOLS", "PRESENT_LIBRARIES", "VersionNumbers"]

GLIBC_LIBRARIES = frozenset(
    {
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libanl.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libm.so.6",
        "libmvec.so.1",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libutil.so.1",
    }
)
"""Those of glibc itself, all of whose symbols have versions."""

PRESENT_LIBRARIES = GLIBC_LIBRARIES | {"libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"}
"""What every runtime has. The wheel policy (PEP 600) allows more, such as libexpat and
libGL, which are not there when a function runs."""

VersionNumbers = tuple[int, ...]

NEWEST_SYMBOLS: dict[Glibc, dict[str, VersionNumbers]] = {
    # Amazon Linux 2: gcc 7.3, zlib 1.2.7; Amazon Linux 2023: gcc 11, zlib 1.2.11.
    Glibc(2, 26): {
        "CXXABI": (1, 3, 11),
        "GCC": (7, 0, 0),
        "GLIBCXX": (3, 4, 24),
        "ZLIB": (1, 2, 7),
    },
    Glibc(2, 34): {
        "CXXABI": (1, 3, 13),
        "GCC": (7, 0, 0),
        "GLIBCXX": (3, 4, 29),
        "ZLIB": (1, 2, 9),
    },
}
"""The newest version of symbols that the libraries beside glibc have, by the glibc of the
runtime (policies of auditwheel for manylinux_2_26 and manylinux_2_34)."""
