"""Check whether the target can load a wheel that was built on this machine.

A wheel with the tag `none-any` fits. A `linux_*` tag only says that the wheel was made on
some Linux, so its ELF files are read and what they need is compared with the runtime.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

from lambda_build_plugin.errors import quoted
from lambda_build_plugin.runtime.libraries import GLIBC_LIBRARIES
from lambda_build_plugin.wheel import elf
from lambda_build_plugin.wheel.elf import Kind, UnreadableElfError, identify, read_elf
from lambda_build_plugin.wheel.loadable import load_problems
from lambda_build_plugin.wheel.metadata import headers
from lambda_build_plugin.wheel.rewrite import rewrite
from lambda_build_plugin.wheel.symbols import read_symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from packaging.tags import Tag

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.system.interpreters import Interpreter
    from lambda_build_plugin.wheel.symbols import Symbols

__all__ = [
    "holds_code",
    "is_pure",
    "lacking_symbols",
    "misfits",
    "requires_python",
    "without_machine_code",
]

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_WHEEL = re.compile(r"[^/]+\.dist-info/WHEEL")
_NO_CODE = re.compile(r"[^/]+\.dist-info/|[^/]+\.data/(?!purelib/|platlib/)")
_COMPILED = (".a", ".dylib", ".dll", ".o", ".pyd", ".so")
_PURE = "py3-none-any"
_MOST_SYMBOLS = 3
"""Symbols that a message names of each file."""


def is_pure(filename: str) -> bool:
    """Check by its tags whether a wheel is for every platform.

    Raises:
        InvalidWheelFilename: It is not the file name of a wheel.
    """
    return all(tag.platform == "any" for tag in parse_wheel_filename(filename)[3])


def misfits(path: Path, target: Target, interpreter: Callable[[], Interpreter]) -> tuple[str, ...]:
    """List the reasons why a target cannot load a wheel; empty if it can.

    Args:
        path: A wheel under its own name.
        target: What has to load it.
        interpreter: Finds the Python that ran its backend. That takes a while, and is
            not needed for a wheel for every platform.

    Raises:
        InvalidWheelFilename: It does not have the file name of a wheel.
        BadZipFile: It is not a zip file.
    """
    fitting = [tag for tag in parse_wheel_filename(path.name)[3] if tag in target.rank]
    if not fitting:
        return (f"its tags do not match {target}",)
    if any(tag.platform == "any" for tag in fitting):
        return ()
    unproven = all(tag.platform.startswith("linux_") for tag in fitting)
    if unproven and not (python := interpreter()).loads_like(target.runtime.python):
        major, minor = target.runtime.python
        return (f"it was compiled for {python}, not for Python {major}.{minor}",)
    return tuple(_misfitting_files(path, target))


def _misfitting_files(path: Path, target: Target) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        bundled = {posixpath.basename(info.filename) for info in files}
        for info in files:
            with archive.open(info) as file:
                head = file.read(elf.HEAD)
            found = identify(head)
            if found is not None and found.kind is Kind.ELF:
                problems = _misfits_of(archive.read(info), target, bundled)
                yield from (f"{info.filename} {problem}" for problem in problems)
            elif found is not None:
                yield f"{info.filename} is a {found.kind.value} file, not one for Linux"


def _misfits_of(data: bytes, target: Target, bundled: Collection[str]) -> Iterator[str]:
    try:
        yield from load_problems(read_elf(io.BytesIO(data)), target, bundled)
    except UnreadableElfError as error:
        yield f"cannot be checked: {error}"


def lacking_symbols(path: Path) -> tuple[str, ...]:
    """List the files of a wheel that lack symbols which neither Python nor the wheel has.

    Code for OpenMP whose library is not linked is such a case. Files that are linked against
    other libraries than glibc's are left out, since those may have the symbols.

    Raises:
        BadZipFile: It is not a zip file.
    """
    symbols: dict[str, Symbols] = {}
    needed: dict[str, frozenset[str]] = {}
    for name, data in _elf_files(path):
        try:
            symbols[name] = read_symbols(data)
            needed[name] = frozenset(read_elf(io.BytesIO(data)).needed)
        except UnreadableElfError as error:
            return (f"{name} cannot be checked: {error}",)
    known = {*GLIBC_LIBRARIES, *map(posixpath.basename, symbols)}
    defined = frozenset().union(*(each.defined for each in symbols.values()))
    return tuple(
        f"{name} lacks {quoted(lacking, most=_MOST_SYMBOLS)}, which none of its libraries has"
        for name, each in symbols.items()
        if known.issuperset(needed[name])
        and (lacking := sorted(filter(_is_not_of_python, each.lacking - defined)))
    )


def _elf_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of ELF files, one at a time: together they may be huge."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                is_elf = file.read(len(elf.MAGIC)) == elf.MAGIC
            if is_elf:
                yield info.filename, archive.read(info)


def _is_not_of_python(symbol: str) -> bool:
    return not symbol.startswith(("Py", "_Py"))


def holds_code(path: Path) -> bool:
    """Check whether a wheel has any files other than metadata, scripts and data."""
    with zipfile.ZipFile(path) as archive:
        return any(
            not name.endswith("/") and not _NO_CODE.match(name) for name in archive.namelist()
        )


def requires_python(path: Path) -> SpecifierSet:
    """Read `Requires-Python` from the metadata, where backends may add to pyproject.toml.

    Raises:
        ValueError: There is no metadata, or it is invalid.
        BadZipFile: It is not a zip file.
    """
    with zipfile.ZipFile(path) as archive:
        (name,) = filter(_METADATA.fullmatch, archive.namelist())
        metadata = headers(archive.read(name))
    return SpecifierSet(metadata.get("requires-python", ""))


def without_machine_code(path: Path, interpreter: Interpreter) -> Path | None:
    """Return the wheel with a pure tag if nothing in it is compiled, else None.

    setuptools uses a platform tag for every project that declares an extension, even if
    it was optional and was left out. A tag for any other Python or system than those that
    built the wheel is not such a one: the wheel is really meant for them.
    The new wheel is written next to the old one.
    """
    if not all(_is_own(tag, interpreter) for tag in parse_wheel_filename(path.name)[3]):
        return None
    with zipfile.ZipFile(path) as archive:
        if any(_is_compiled(archive, info) for info in archive.infolist()):
            return None
        changed = {
            name: _pure_wheel_file(archive.read(name))
            for name in filter(_WHEEL.fullmatch, archive.namelist())
        }
    name, version = path.name.split("-")[:2]
    pure = path.with_name(f"{name}-{version}-{_PURE}.whl")
    rewrite(path, pure, changed)
    return pure


def _is_own(tag: Tag, interpreter: Interpreter) -> bool:
    """Tell whether a Python would use a tag for what it compiles on its own system."""
    major, minor = interpreter.version.split(".")[:2]
    pythons = {f"cp{major}{minor}", f"py{major}{minor}", f"py{major}", "py2"}
    abis = {"none", f"abi{major}", f"cp{major}{minor}{interpreter.abi_flags}"}
    platform = re.sub(r"[-. ]", "_", interpreter.platform)
    stable = tag.abi == f"abi{major}" and tag.interpreter.startswith(f"cp{major}")
    return (
        tag.platform in {platform, "any"}
        and tag.abi in abis
        and (tag.interpreter in pythons or stable)
    )


def _is_compiled(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    if info.filename.endswith(_COMPILED) or ".so." in posixpath.basename(info.filename):
        return True
    with archive.open(info) as file:
        return identify(file.read(elf.HEAD)) is not None


def _pure_wheel_file(data: bytes) -> bytes:
    kept = [
        line
        for line in data.decode("utf-8").splitlines()
        if line and not line.lower().startswith(("tag:", "root-is-purelib:", "build:"))
    ]
    return "\n".join((*kept, "Root-Is-Purelib: true", f"Tag: {_PURE}", "")).encode()
