"""Two zips → their differences, down to the reasons why their sha256 differ.

Members are compared by what the directory of the zip says about them (APPNOTE 4.3.12), and
their contents by sha256. It does not matter which tool made a zip, or whether it is a
function or a layer.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from packaging.utils import canonicalize_name

from lambda_build_plugin.commands.inspected_zip import raising
from lambda_build_plugin.errors import SettingsError, printable
from lambda_build_plugin.report import json_text
from lambda_build_plugin.system.hashes import check_file
from lambda_build_plugin.wheel.file import read_text
from lambda_build_plugin.wheel.metadata import headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Change", "Difference", "Field", "as_json", "as_text", "compare"]

SCHEMA = 1
_CHUNK = 1 << 18
_LISTED = 20
_SHORT = 12  # digits of a digest for people
_METADATA = ".dist-info/METADATA"
_METHODS = {0: "stored", 8: "deflated", 12: "bzip2", 14: "lzma", 93: "zstd"}
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


class Field(TypedDict):
    """One property of a member that differs."""

    what: str
    """`content`, `mode`, `compression`, `date`, `compressed size` or `header`."""

    before: str
    after: str


class Change(TypedDict):
    """A package or a file that is not the same in both zips."""

    name: str
    change: str
    """`added`, `removed` or `changed`."""

    differs: list[Field]
    """For a package, its `version`; empty if only one of the zips has it."""


class Difference(TypedDict):
    """All differences between two zips."""

    schema: int
    same: bool
    """Whether they are equal byte by byte."""

    files_are_same: bool
    """Whether names and contents are equal; dates and modes, for example, may differ."""

    sha256: list[str]
    """Of both zips, hexadecimal."""

    size: list[int]
    """Of both zips, in bytes."""

    packages: list[Change]
    files: list[Change]
    why: list[str]
    """The reasons why the sha256 differ, as sentences; empty if they are the same."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of a zip."""

    sha256: str
    size: int
    mode: int
    method: int
    compressed_size: int
    date: tuple[int, ...]
    header: tuple[object, ...]
    """What else the directory says about it."""

    def fields(self) -> Mapping[str, tuple[object, str]]:
        """List the compared properties, each with its value and how it is shown."""
        moment = "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*self.date)
        content = f"{self.size:,} bytes, sha256 {self.sha256[:_SHORT]}…"
        header = "flags {}, system {}, extra {}, comment {}".format(*self.header)
        return {
            "content": (self.sha256, content),
            "mode": (self.mode, f"{self.mode & 0o7777:04o}"),
            "compression": (self.method, _METHODS.get(self.method, f"method {self.method}")),
            "date": (self.date, moment),
            "compressed size": (self.compressed_size, f"{self.compressed_size:,} bytes"),
            "header": (self.header, header),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """What one of the zips contains."""

    sha256: str
    size: int
    members: Mapping[str, _Member]
    """By name, in their order; a repeated name has a number behind it."""

    packages: Mapping[str, str]
    """Name → versions."""


def compare(one: Path, other: Path) -> Difference:
    """Compare two zips.

    Raises:
        SettingsError: One of them cannot be read, or is not an undamaged zip.
    """
    before, after = _read(one), _read(other)
    same = before.sha256 == after.sha256
    files = [] if same else _changes(before.members, after.members)
    packages = [] if same else _package_changes(before.packages, after.packages)
    return Difference(
        schema=SCHEMA,
        same=same,
        files_are_same=not any(_affects_contents(file) for file in files),
        sha256=[before.sha256, after.sha256],
        size=[before.size, after.size],
        packages=packages,
        files=files,
        why=[] if same else _why(before, after, packages, files),
    )


def _read(path: Path) -> _Contents:
    with raising(lambda problem: _unreadable(path, problem)):
        checked = check_file(path)
        with zipfile.ZipFile(path) as archive:
            return _Contents(
                sha256=checked.sha256,
                size=checked.size,
                members=_members(archive),
                packages=_packages(archive),
            )


def _unreadable(path: Path, problem: str) -> SettingsError:
    return SettingsError([f"{path} cannot be compared: {problem}"], hint="name two undamaged zips")


def _members(archive: zipfile.ZipFile) -> dict[str, _Member]:
    times: Counter[str] = Counter()
    found: dict[str, _Member] = {}
    for info in archive.infolist():
        times[info.filename] += 1
        count = times[info.filename]
        name = info.filename if count == 1 else f"{info.filename} ({count})"
        found[name] = _member(archive, info)
    return found


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    hashing = hashlib.sha256()
    with archive.open(info) as stream:  # which also checks the CRC
        while block := stream.read(_CHUNK):
            hashing.update(block)
    return _Member(
        sha256=hashing.hexdigest(),
        size=info.file_size,
        mode=info.external_attr >> 16,
        method=info.compress_type,
        compressed_size=info.compress_size,
        date=info.date_time,
        header=(info.flag_bits, info.create_system, info.extra.hex(), info.comment.hex()),
    )


def _packages(archive: zipfile.ZipFile) -> dict[str, str]:
    """Find the distributions by their core metadata, wherever they are in the zip."""
    found: dict[str, list[str]] = {}
    for info in archive.infolist():
        if info.filename.endswith(_METADATA):
            metadata = headers(read_text(archive, info))
            name = canonicalize_name(metadata.get("name", ""))
            found.setdefault(name, []).append(metadata.get("version", ""))
    return {name: ", ".join(versions) for name, versions in found.items()}


def _changes(before: Mapping[str, _Member], after: Mapping[str, _Member]) -> list[Change]:
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            changes.append(_on_one_side(name, added=name in after))
        elif differs := _differs(before[name], after[name]):
            changes.append(Change(name=name, change="changed", differs=differs))
    return changes


def _differs(one: _Member, other: _Member) -> list[Field]:
    fields, others = one.fields(), other.fields()
    differing = [what for what in fields if fields[what][0] != others[what][0]]
    if {"content", "compression"} & set(differing) and "compressed size" in differing:
        differing.remove("compressed size")  # follows from the other one
    return [Field(what=what, before=fields[what][1], after=others[what][1]) for what in differing]


def _package_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    changes: list[Change] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            changes.append(_on_one_side(name, added=name in after))
        elif before[name] != after[name]:
            field = Field(what="version", before=before[name], after=after[name])
            changes.append(Change(name=name, change="changed", differs=[field]))
    return changes


def _on_one_side(name: str, *, added: bool) -> Change:
    return Change(name=name, change="added" if added else "removed", differs=[])


def _affects_contents(change: Change) -> bool:
    return not change["differs"] or any(field["what"] == "content" for field in change["differs"])


def _why(
    before: _Contents, after: _Contents, packages: Sequence[Change], files: Sequence[Change]
) -> list[str]:
    """Say in sentences why the bytes differ, the most important reason first."""
    kinds = Counter(package["change"] for package in packages)
    kinds_of_files = Counter(file["change"] for file in files)
    reasons = [
        f"{_count(counts[kind], thing)} {kind}"
        for counts, thing in ((kinds, "package"), (kinds_of_files, "file"))
        for kind in ("added", "removed")
        if counts[kind]
    ]
    if kinds["changed"]:
        reasons.append(f"{_count(kinds['changed'], 'package')} with a different version")
    fields = Counter(field["what"] for file in files for field in file["differs"])
    reasons += [
        f"{_count(count, 'file')} whose {what} differs"
        for what, count in sorted(fields.items(), key=lambda item: (item[0] != "content", item[0]))
    ]
    if set(before.members) == set(after.members) and list(before.members) != list(after.members):
        reasons.append("the files are in a different order")
    return reasons or [
        "all files, their order and their properties are the same: "
        "the compressed data or the bytes between the files differ"
    ]


def _count(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def as_json(difference: Difference) -> str:
    """Write the difference for machines."""
    return json_text(difference)


def as_text(difference: Difference, names: Sequence[str], *, verbose: bool) -> str:
    """Write the difference for people; long lists are cut unless `verbose` is set."""
    lines = [
        f"{sign} {name}: {size:,} bytes, sha256 {sha256}"
        for sign, name, size, sha256 in zip(
            "-+", names, difference["size"], difference["sha256"], strict=True
        )
    ]
    for title, changes in (("packages", difference["packages"]), ("files", difference["files"])):
        if changes:
            lines += ["", f"{title}:", *_listed(changes, verbose=verbose)]
    if difference["same"]:
        lines += ["", "The zips are identical."]
    else:
        title = "Reasons"
        if difference["files_are_same"]:
            title = "The files are the same, but the zips differ"
        lines += ["", f"{title}:", *(f"  {reason}" for reason in difference["why"])]
    return printable("\n".join(lines)) + "\n"


def _listed(changes: Sequence[Change], *, verbose: bool) -> list[str]:
    shown = changes if verbose else changes[:_LISTED]
    lines = [
        f"  {_SIGNS[change['change']]} {change['name']}"
        + "".join(
            f"\n      {field['what']}: {field['before']} → {field['after']}"
            for field in change["differs"]
        )
        for change in shown
    ]
    if len(changes) > len(shown):
        lines.append(f"  … and {len(changes) - len(shown):,} more; use -v or --json to list them")
    return lines
