"""Check that machine code loads in the runtime: ELF files and extension modules.

What the dynamic linker and the import system do is predicted from names, headers and dynamic
sections (System V ABI; PEP 3149 for the tags in names of extension modules). Nothing is run.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.verify.findings import Findings, listed
from lambda_build_plugin.verify.libraries import LibraryFinder
from lambda_build_plugin.wheel.elf import Kind
from lambda_build_plugin.wheel.loadable import foreign, newest_above

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.view import ArtifactView
    from lambda_build_plugin.wheel.elf import Elf
    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = ["ForeignCodeError", "check_native"]

_DEVICES = frozenset({"machine 190", "machine 224", "machine 247"})
"""CUDA, AMD GPU, BPF: code that is not for the processor, and so is data here."""

_TAGGED = re.compile(
    r"(?P<stem>[^.]+)\.(?P<tag>(?P<implementation>cpython|pypy|graalpy)-?"
    r"(?P<python>\d+[a-z]*)(?P<rest>-[^.]*)?)\.so"
)
"""`_speedups.cpython-313-x86_64-linux-gnu.so`"""

_LAUNCHER = re.compile(r"(?:cli|gui)(?:-(?:32|64|arm64))?\.exe|[tw](?:32|64|64-arm)\.exe")
"""Launchers for Windows, which every copy of setuptools and distlib (pip, virtualenv) contains."""

_LISTED = 3  # files of one distribution

_ANY, _MODULE = "/any", "/module"
"""Other than file names, what may exist in a fitting version: any file, or an extension module."""


class ForeignCodeError(VerificationError):
    """The artifact contains machine code that the runtime cannot load."""

    def __init__(self, target: Target, problems: Mapping[str, Sequence[str]]) -> None:
        self.problems = {owner: tuple(lines) for owner, lines in problems.items()}
        count = sum(map(len, problems.values()))
        super().__init__(
            f"{'a file' if count == 1 else f'{count} files'} with machine code cannot load on "
            f"{target}",
            why=tuple(_lines(self.problems)),
            hint="use a version of the package that has a wheel for the target, or leave the "
            "file out if nothing loads it",
        )


def _lines(problems: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for owner, lines in sorted(problems.items()):
        yield from (f"{owner}: {line}" for line in lines[:_LISTED])
        if len(lines) > _LISTED:
            yield f"{owner}: {len(lines) - _LISTED} more files"


def check_native(
    artifact: ArtifactView, target: Target, *, beside: Sequence[ArtifactView] = ()
) -> Findings:
    """Check each file with machine code against the target.

    A distribution with files for several machines, of which one fits, chooses at run time: the
    other files are a warning. With files for other Pythons, it must have an extension module that
    fits, and with a file for a newer glibc, the same file in a version that fits: other files that
    it bundles prove nothing.

    Args:
        artifact: What ships.
        target: What it has to run on.
        beside: Layers, which may contain libraries.
    """
    found = _Examined(artifact, target)
    for path, code in sorted(artifact.code.items()):
        if not _is_data(path, code):
            found.examine(path, code)
    failures, spared = (
        _by_owner(
            (owner, text)
            for owner, key, text in found.wrong
            if ((owner, key) in found.fitting) is fits
        )
        for fits in (False, True)
    )
    finder = LibraryFinder(artifact, beside, {path: elf for _, path, elf in found.loadable})
    return Findings(
        errors=(ForeignCodeError(target, failures),) if failures else (),
        warnings=(
            *(
                f"{owner} contains machine code for targets other than {target}: {listed(lines)}"
                for owner, lines in sorted(spared.items())
            ),
            *(
                f"{owner}: {_quoted(paths)}: {text}"
                for (owner, text), paths in sorted(found.lacking.items())
            ),
            *_shortages(found.loadable, target, finder),
        ),
        notes=tuple(
            f"{owner} also contains extension modules for other Pythons than "
            f"{target.runtime.name}: {listed(paths)}; `exclude` leaves them out"
            for owner, paths in sorted(found.superfluous.items())
        ),
    )


class _Examined:
    """What has been found in the files of an artifact so far."""

    def __init__(self, artifact: ArtifactView, target: Target) -> None:
        self._artifact = artifact
        self._target = target
        self.wrong: list[tuple[str, str, str]] = []
        """Owner, what would excuse it, and the problem."""

        self.fitting: set[tuple[str, str]] = set()
        self.lacking: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.superfluous: defaultdict[str, list[str]] = defaultdict(list)
        """Extension modules for other Pythons, each next to one that fits."""

        self.loadable: list[tuple[str, str, Elf]] = []

    def examine(self, path: str, code: MachineCode) -> None:
        """Judge one file with machine code."""
        target = self._target
        owner = self._artifact.owner(path) or "no distribution"
        if code.kind is Kind.PE and path.lower().endswith(".exe"):
            self.lacking[owner, "programs for Windows, which Lambda cannot run"].append(path)
        elif problem := _problem(path, code, target):
            self.wrong.append((owner, _ANY, f"`{path}` {problem}"))
        elif problem := _too_new(code, target):
            self.wrong.append((owner, _stem(path), f"`{path}` {problem}"))
        elif misnamed := _misnamed(path, self._artifact.sizes.keys(), target):
            self._pass_over(owner, path, *misnamed)
        else:
            self.fitting |= {(owner, _ANY), (owner, _stem(path))}
            if path.endswith(".abi3.so") or _TAGGED.fullmatch(posixpath.basename(path)):
                self.fitting.add((owner, _MODULE))
            if code.elf is not None:
                self.loadable.append((owner, path, code.elf))

    def _pass_over(self, owner: str, path: str, instead: str, text: str) -> None:
        if instead.endswith(".so"):
            self.superfluous[owner].append(path)
        elif instead:
            self.lacking[owner, f"{text}; `{instead}` is imported instead"].append(path)
        else:
            self.wrong.append((owner, _MODULE, f"`{path}` {text}"))


def _by_owner(problems: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for owner, text in problems:
        found[owner].append(text)
    return dict(found)


def _shortages(
    loadable: Sequence[tuple[str, str, Elf]], target: Target, finder: LibraryFinder
) -> Iterator[str]:
    """Yield the libraries that the dynamic linker may not find, by distribution."""
    absent: defaultdict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
    newer: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for owner, path, elf in loadable:
        for library, folder in finder.missing(path, elf):
            absent[owner, folder].setdefault(path, []).append(library)
        if newest := newest_above(elf, target):
            newer[owner, newest].append(path)
    for (owner, folder), by_path in sorted(absent.items()):
        needed = dict.fromkeys(chain.from_iterable(by_path.values()))
        where = (
            f"which {'lies' if len(needed) == 1 else 'lie'} in `{folder}`, where the loader does "
            "not look"
            if folder
            else "which neither the artifact nor the runtime contains"
        )
        yield (
            f"{owner}: {_quoted(by_path)}: {_needs(by_path)} {', '.join(needed)}, {where}: ship "
            f"{'it' if len(needed) == 1 else 'them'} at the root, in `lib/`, or in `lib/` of a "
            "layer"
        )
    for (owner, newest), paths in sorted(newer.items()):
        yield (
            f"{owner}: {_quoted(paths)}: {_needs(paths)} {newest}, which may be newer than the "
            f"libraries of {target.runtime.name}"
        )


def _quoted(paths: Iterable[str]) -> str:
    return listed([f"`{path}`" for path in paths])


def _needs(paths: Collection[str]) -> str:
    return "needs" if len(paths) == 1 else "need"


def _is_data(path: str, code: MachineCode) -> bool:
    """Check whether machine code is not for this machine and is not meant to be."""
    if code.kind is Kind.PE:
        return bool(_LAUNCHER.fullmatch(posixpath.basename(path)))
    return code.elf is not None and code.elf.machine in _DEVICES


def _stem(path: str) -> str:
    return posixpath.basename(path).partition(".")[0]


def _problem(path: str, code: MachineCode, target: Target) -> str:
    """Say why a file cannot be loaded at all; empty if it can."""
    if code.kind is not Kind.ELF:
        return f"is a {code.kind.value} file, not one for Linux"
    if code.elf is None:
        return f"cannot be loaded: {code.trouble}"
    if problem := foreign(code.elf, target):
        return problem
    tagged = _TAGGED.fullmatch(posixpath.basename(path))
    if tagged and (tagged["rest"] or "").endswith("-musl"):
        return "is linked against musl, and the runtime has glibc"
    return ""


def _too_new(code: MachineCode, target: Target) -> str:
    """Say which glibc a file needs that the runtime does not have; empty if it has it."""
    newest = newest_above(code.elf, target) if code.elf is not None else ""
    if newest.startswith("GLIBC_"):
        return f"needs {newest}, and the runtime has glibc {target.runtime.glibc}"
    return ""


def _misnamed(path: str, paths: AbstractSet[str], target: Target) -> tuple[str, str] | None:
    """Find an extension module that the target's Python ignores because of its name.

    Returns:
        What is imported instead, if anything, and the reason.
    """
    tagged = _TAGGED.fullmatch(posixpath.basename(path))
    python = "".join(map(str, target.runtime.python))
    if tagged is None or (tagged["implementation"], tagged["python"]) == ("cpython", python):
        return None
    stem = posixpath.join(posixpath.dirname(path), tagged["stem"])
    tag = f"cpython-{python}-{target.architecture.machine}-linux-gnu"
    others = (f"{stem}.{ending}" for ending in (f"{tag}.so", "abi3.so", "so", "py", "pyc"))
    return (
        next(filter(paths.__contains__, others), ""),
        f"is an extension module for {_python(tagged)}, and {target.runtime.name} does not "
        "look for that name",
    )


def _python(tagged: re.Match[str]) -> str:
    """Spell out the tag of an extension module: `313t` is the free-threaded 3.13."""
    digits = tagged["python"]
    if tagged["implementation"] != "cpython":
        return tagged["tag"]
    threads = "free-threaded " if digits.endswith("t") else ""
    digits = digits.rstrip("dmtu")
    return f"{threads}Python {digits[0]}.{digits[1:]}"
