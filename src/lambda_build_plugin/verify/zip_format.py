"""Check that Lambda can unpack a zip, and that the function can read the files.

AWS names stored and deflated members, and permissions of 644 for files and 755 for
programs (https://docs.aws.amazon.com/lambda/latest/dg/python-package.html); the process
of a function is not the owner of its files.
"""

from __future__ import annotations

import posixpath
import re
import stat
import zipfile
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import VerificationError, excerpt
from lambda_build_plugin.verify.findings import Findings, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["UnpackableZipError", "check_format", "is_folder", "is_link"]

_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNIX = 3
_ZIP64 = 45  # version needed to extract
_ESCAPES = re.compile(r"^/|[\\\0]|^[^/]*:|(?:^|/)\.{1,2}(?:/|$)|//")
_METHODS = {12: "bzip2", 14: "lzma", 93: "zstd"}
_PROGRAMS = ("bin/", "extensions/")

_PRIVATE = "can only be read by its owner"
_PRIVATE_HINT = (
    "; a function runs as another user than the owner of its files: `chmod -R a+rX` before `zip`, "
    "and with Python's `zipfile`, `write` a file or set `ZipInfo.external_attr`, since "
    "`writestr(name, ...)` chooses 0600"
)


class UnpackableZipError(VerificationError):
    """The zip has members that Lambda cannot unpack, or that a function cannot read."""

    def __init__(self, problems: Mapping[str, Sequence[str]]) -> None:
        self.problems = {problem: tuple(names) for problem, names in problems.items()}
        private = any(problem.startswith(_PRIVATE) for problem in problems)
        super().__init__(
            "Lambda cannot use this zip",
            why=[f"{problem}: {listed(names)}" for problem, names in problems.items()],
            hint="make it again with stored or deflated members, relative paths, and modes 0644 "
            "and 0755" + (_PRIVATE_HINT if private else ""),
        )


def check_format(
    infos: Sequence[zipfile.ZipInfo], link_of: Callable[[zipfile.ZipInfo], str]
) -> Findings:
    """Check the directory of a zip.

    Args:
        infos: Its members.
        link_of: Reads the target of a symbolic link.
    """
    failures: defaultdict[str, list[str]] = defaultdict(list)
    doubts: defaultdict[str, list[str]] = defaultdict(list)
    for info in infos:
        shown = f"`{excerpt(info.orig_filename)}`"
        for problem in _failures(info):
            failures[problem].append(shown)
        for doubt in _doubts(info):
            doubts[doubt].append(shown)
    for problem, names in _doubled(infos):
        failures[problem] += names
    paths = {info.filename for info in infos}
    places = paths | _folders(paths)
    for info in filter(is_link, infos):
        problem, fails = _link(info.filename, link_of(info), places)
        (failures if fails else doubts)[problem].append(f"`{excerpt(info.filename)}`")
    return Findings(
        errors=(UnpackableZipError(failures),) if failures else (),
        warnings=tuple(f"{doubt}: {listed(names)}" for doubt, names in doubts.items()),
    )


def is_folder(info: zipfile.ZipInfo) -> bool:
    """Check whether a member is a folder; `ZipInfo.is_dir` fails on one without a name."""
    return info.filename.endswith("/")


def is_link(info: zipfile.ZipInfo) -> bool:
    """Check whether a member is a symbolic link."""
    return info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16)


def _failures(info: zipfile.ZipInfo) -> Iterator[str]:
    if info.flag_bits & _ENCRYPTED:
        yield "is encrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        yield f"is compressed with {method}"
    if _ESCAPES.search(info.orig_filename) or not info.orig_filename:
        yield "has a path that leaves the artifact or is not normalized"
    mode = info.external_attr >> 16
    if info.create_system == _UNIX and not is_folder(info) and not is_link(info):
        if not mode & stat.S_IROTH:
            yield f"{_PRIVATE} (mode {stat.S_IMODE(mode):04o})"
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            yield "is neither a file nor a folder"


def _doubts(info: zipfile.ZipInfo) -> Iterator[str]:
    if info.extract_version >= _ZIP64:
        yield "needs zip64, which Lambda has sometimes refused"
    if not info.flag_bits & _UTF8 and not info.filename.isascii():
        yield "has a name in an unknown encoding"
    if is_folder(info) or is_link(info):
        return
    mode = info.external_attr >> 16
    if info.create_system != _UNIX and not mode:
        yield "has no permissions, so that Lambda chooses them"
    elif info.filename.startswith(_PROGRAMS) and not mode & stat.S_IXOTH:
        yield "is in a folder for programs, but is not executable"


def _doubled(infos: Iterable[zipfile.ZipInfo]) -> Iterator[tuple[str, list[str]]]:
    """Find members that cannot exist together in one folder."""
    counts = Counter(info.filename for info in infos)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        yield "is present more than once", [f"`{excerpt(name)}`" for name in twice]
    if both := sorted(_folders(counts) & counts.keys()):
        yield "is both a file and a folder", [f"`{excerpt(name)}`" for name in both]


def _folders(names: Iterable[str]) -> set[str]:
    """Name every folder that contains something or is a member itself; without a slash."""
    folders: set[str] = set()
    for name in names:
        parent = name.rstrip("/") if name.endswith("/") else posixpath.dirname(name)
        while parent and parent not in folders:
            folders.add(parent)
            parent = posixpath.dirname(parent)
    return folders


def _link(name: str, target: str, places: AbstractSet[str]) -> tuple[str, bool]:
    """Check a symbolic link; True if it leads nowhere."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if target.startswith("/") or place.startswith(".."):
        return "is a symbolic link that leaves the artifact", True
    if place not in places:
        return "is a symbolic link to nothing", True
    return "is a symbolic link, which not every deployment tool keeps", False
