"""What ELF files lack, as a linker has written it."""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from fakes.elf import an_elf

from lambda_build_plugin.source_build.compatibility import lacking_symbols
from lambda_build_plugin.wheel.elf import UnreadableElfError
from lambda_build_plugin.wheel.symbols import Symbols, read_symbols


@pytest.mark.skipif(sys.platform != "linux", reason="has other modules")
def test_a_module_of_this_python_lacks_only_what_python_has() -> None:
    """A linker has given a version to the symbols of glibc, and none to those of Python."""
    folder = Path(sysconfig.get_path("stdlib"), "lib-dynload")
    module = next(iter(sorted(folder.glob("_struct.*.so"))), None)
    if module is None:
        pytest.skip("this Python has the module inside")

    symbols = read_symbols(module.read_bytes())

    assert "PyInit__struct" in symbols.defined
    assert "PyModuleDef_Init" in symbols.lacking
    assert {name for name in symbols.lacking if not name.startswith(("Py", "_Py"))} == set()


def test_a_file_without_sections_tells_nothing() -> None:
    """What is stripped of all that can be lacks nothing that could be seen."""
    assert read_symbols(an_elf()) == Symbols(defined=frozenset(), lacking=frozenset())


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"\x7fELF\x02\x01\x01" + b"\xff" * 100],
    ids=["empty", "cut off", "numbers that do not fit"],
)
def test_a_broken_file_is_an_error(data: bytes) -> None:
    """A file that ends too early, or whose numbers do not fit together, is not guessed at."""
    with pytest.raises(UnreadableElfError):
        read_symbols(data)


def test_a_broken_file_of_a_wheel_is_named(tmp_path: Path) -> None:
    """A wheel may have many, and only one of them is broken."""
    wheel = tmp_path / "app-1-cp311-cp311-linux_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("app/text.so", "no machine code")
        archive.writestr("app/broken.so", b"\x7fELF")

    (problem,) = lacking_symbols(wheel)

    assert problem.startswith("app/broken.so cannot be checked: ")
