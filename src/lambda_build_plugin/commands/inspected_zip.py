"""A zip of unknown origin → what the checks need, read with care.

Nothing in it is trusted: sizes, names and contents may be made up. Members that cannot be
read are noted as damage, and no more is unpacked than Lambda itself would unpack. The
runtime and the architecture that the zip is made for are guessed from its contents.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections import Counter, defaultdict, deque
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, TypedDict

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.runtime.limits import UNZIPPED_LIMIT
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, newest_admitted
from lambda_build_plugin.system.threads import map_in_threads
from lambda_build_plugin.verify.findings import listed
from lambda_build_plugin.verify.view import NO_CODE, ArtifactView, shipped
from lambda_build_plugin.verify.view import is_layer as looks_like_layer
from lambda_build_plugin.verify.zip_format import is_folder, is_link
from lambda_build_plugin.verify.zip_structure import read_structure
from lambda_build_plugin.wheel.file import BROKEN_ZIP
from lambda_build_plugin.wheel.licences import licence
from lambda_build_plugin.wheel.machine_code import Examiner
from lambda_build_plugin.wheel.members import DamagedMemberError, MemberReader, member_of
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.runtime.target import Runtime
    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = [
    "DamagedZipError",
    "InspectedPackage",
    "InspectedZip",
    "UnreadableZipError",
    "guess_architecture",
    "guess_runtime",
    "opened_zip",
    "raising",
]

_UNREADABLE = (*BROKEN_ZIP, MemoryError, OSError, OverflowError)
"""What `zipfile` may raise for a zip of unknown origin, apart from decompressors."""

_DECOMPRESSORS = frozenset({"lzma", "_lzma", "compression.zstd"})
"""Modules with exceptions of their own, which need not be installed."""

_LAYER_ROOT = re.compile(r"python/(lib/python3\.\d+/site-packages/)?")
_NO_MODULES = frozenset({"bin/", "lib/", "extensions/"})
"""Folders of a layer in which modules are not meant to be imported."""

_METADATA = re.compile(r"(?P<folder>(?P<root>.*?)[^/]+\.dist-info)/METADATA")
_PYTHON_TAG = re.compile(r"\.cpython-3(?P<minor>\d+)-|\.cp3(?P<windows>\d+)-")
_MOST_UNPACKED = 2 * UNZIPPED_LIMIT
_LONGEST_LINK = 1 << 12  # bytes
_MOST_THREADS = 8
_CHUNK = 1 << 18  # bytes inflated at a time
_SMALL = 1 << 16  # bytes


class UnreadableZipError(VerificationError):
    """A file is not a zip, or not a complete one."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} cannot be read as a zip",
            why=problem,
            hint="Lambda could not unpack it either: build or download it again",
        )


class DamagedZipError(VerificationError):
    """Members do not contain what the directory of the zip says."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(
            "the zip is damaged",
            why=problems,
            hint="Lambda could not unpack it either: build or download it again",
        )


class InspectedPackage(TypedDict):
    """One distribution in the zip."""

    name: str
    version: str
    files: int
    unzipped: int
    zipped: int


@contextmanager
def raising(make: Callable[[str], Exception]) -> Iterator[None]:
    """Turn whatever reading a zip of unknown origin raises into an error made from its reason."""
    try:
        yield
    except OSError as error:
        raise make(error.strerror or str(error)) from error
    except _UNREADABLE as error:
        raise make(str(error) or type(error).__name__) from error
    except Exception as error:
        if type(error).__module__ not in _DECOMPRESSORS:
            raise
        raise make(str(error)) from error


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip of unknown origin.

    Raises:
        UnreadableZipError: It is not a zip.
    """
    with raising(lambda problem: UnreadableZipError(path, problem)):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


class _UnreadableMemberError(Exception):
    """A member cannot be read; the message is the reason."""


class InspectedZip:
    """A zip of unknown origin, and what could not be read in it."""

    def __init__(
        self,
        path: Path,
        archive: zipfile.ZipFile,
        *,
        is_layer: bool = False,
        examine: bool = True,
    ) -> None:
        """Read a zip.

        Args:
            path: The file.
            archive: The same, opened.
            is_layer: Whether it is used as a layer, whatever it looks like.
            examine: Whether to read all members and look for machine code. A caller that reads
                them anyway does without it.
        """
        self._path = path
        self._archive = archive
        self.damages: list[str] = []
        """What could not be read so far; members are read when a check needs them."""

        self._not_examined: list[str] = []
        self._unpacked_so_far = 0
        self.infos = archive.infolist()
        self._unreadable = self._check_structure()
        files = [info for info in self.infos if not is_folder(info) and not is_link(info)]
        self._files = {info.filename: info for info in sorted(files, key=lambda i: i.filename)}
        self.unzipped = sum(info.file_size for info in self.infos)
        self.layout, roots = _find_layout(self._files, is_layer=is_layer)
        self._metadata = {
            match["folder"]: shipped(self._read(name))
            for name in self._files
            if (match := _METADATA.fullmatch(name)) and match["root"] in roots
        }
        self._owners = cache(self._read_owners)
        self.artifact = ArtifactView(
            sizes={name: info.file_size for name, info in self._files.items()},
            roots=roots,
            read=self._read,
            owner=lambda path: self._owners().get(path, ""),
            code=self._examine() if examine else {},
            distributions=tuple(self._metadata.values()),
        )

    def _check_structure(self) -> frozenset[str]:
        """Note what contradicts itself, and return the members that cannot be read at all."""
        # What `zip_format` reports of a name is enough.
        infos = [info for info in self.infos if "\0" not in info.orig_filename]
        structure = read_structure(self._path, infos, count=len(self.infos))
        self.damages += structure.problems
        return structure.unreadable

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not examined, because a zip may unpack to any size."""
        if not self._not_examined:
            return ()
        return (
            "the zip is too large to look for machine code in all of it; not examined: "
            f"{listed(self._not_examined)}",
        )

    def importable(self, runtime: Runtime, own: frozenset[str] = frozenset()) -> ArtifactView:
        """Return what a runtime can import: in a layer, not the folders of other Pythons.

        Args:
            runtime: Whose Python imports it.
            own: The files that are the project's own code.
        """
        roots = {"", "python/", f"python/lib/{runtime.name}/site-packages/"}
        return replace(
            self.artifact,
            own=own,
            roots=tuple(root for root in self.artifact.roots if root in roots),
            distributions=tuple(
                distribution
                for folder, distribution in self._metadata.items()
                if _parent(folder) in roots
            ),
        )

    def own(self, handler: str | None) -> frozenset[str]:
        """Name the files that are the project's own code, as far as the zip tells.

        These are the files that belong to no distribution, and those of the distribution that
        the handler is in. If a distribution does not say which files it has, only what lies
        next to the handler is known to be the project's.
        """
        owners = self._owners()
        top = re.split(r"[./]", handler or "", maxsplit=1)[0]
        home = [
            name
            for root in self.artifact.roots
            for name in self._files
            if top and (name == f"{root}{top}.py" or name.startswith(f"{root}{top}/"))
        ]
        has_records = self._metadata and all(
            f"{folder}/RECORD" in self._files for folder in self._metadata
        )
        own = {name for name in self._files if name not in owners} if has_records else set()
        handlers = {owners.get(name, "") for name in home}
        if "" in handlers or not has_records:
            own.update(name for name in home if name not in owners)
        own.update(name for name, owner in owners.items() if owner in handlers)
        return frozenset(name for name in own if name.endswith(".py") and name in self._files)

    def unimportable(self, runtime: Runtime) -> Iterator[str]:
        """Warn of a layer with modules of which none can be imported."""
        folders = ("python/", f"python/lib/{runtime.name}/site-packages/")
        modules = [name for name in self._files if name.endswith((".py", ".pyc", ".so"))]
        if not modules or any(name.startswith(folders[0]) for name in modules):
            return
        places = list(dict.fromkeys(re.sub(r"/.*", "/", name) for name in modules))
        if all(place in _NO_MODULES for place in places):
            return
        yield (
            f"nothing in the layer {self._path} can be imported: functions look in "
            f"`{folders[0]}` and `{folders[1]}` of a layer, and its modules lie in "
            f"{listed([f'`{place}`' for place in places])}"
        )

    def link(self, info: zipfile.ZipInfo) -> str:
        """Read where a symbolic link points to."""
        try:
            with raising(_UnreadableMemberError), self._archive.open(info) as stream:
                return stream.read(_LONGEST_LINK).decode("utf-8", "replace")
        except _UnreadableMemberError as error:
            self.damages.append(f"`{info.filename}` cannot be read: {error}")
            return ""

    def packages(self) -> list[InspectedPackage]:
        """Add up the size of each distribution."""
        by_owner: dict[str, InspectedPackage] = {
            each.shown: InspectedPackage(
                name=each.name,
                version=each.shown.removeprefix(each.name).strip(),
                files=0,
                unzipped=0,
                zipped=0,
            )
            for each in self._metadata.values()
        }
        for name, info in self._files.items():
            package = by_owner.get(self._owners().get(name, ""))
            if package is not None:
                package["files"] += 1
                package["unzipped"] += info.file_size
                package["zipped"] += info.compress_size
        return [by_owner[shown] for shown in sorted(by_owner)]

    def licences(self) -> Mapping[str, str]:
        """Read the licence of each distribution, by its name and version as a person reads them."""
        return {
            each.shown: licence(self._read(f"{folder}/METADATA"))
            for folder, each in self._metadata.items()
        }

    def _read(self, name: str) -> bytes:
        info = self._files[name]
        if name in self._unreadable:
            return b""
        try:
            self._count_unpacked(info.file_size)
            # `read` without a size would inflate everything first, and only then cut it.
            with raising(_UnreadableMemberError), self._archive.open(info) as stream:
                return stream.read(info.file_size)
        except _UnreadableMemberError as error:
            self.damages.append(f"`{name}` cannot be read: {error}")
            return b""

    def _count_unpacked(self, size: int) -> None:
        self._unpacked_so_far += size
        if self._unpacked_so_far > _MOST_UNPACKED:
            raise _UnreadableMemberError("the zip contains more than Lambda would unpack")

    def _read_owners(self) -> Mapping[str, str]:
        """Map paths to distributions by the RECORD of each (PEP 376)."""
        owners: dict[str, str] = {}
        for folder, distribution in self._metadata.items():
            record = f"{folder}/RECORD"
            if record in self._files:
                rows = self._read(record).decode("utf-8", "replace")
                try:
                    owners |= {
                        _parent(folder) + name: distribution.shown
                        for name, _, _ in record_rows(rows)
                    }
                except Exception as error:  # noqa: BLE001 - those of csv and installer
                    self.damages.append(f"`{record}` cannot be read: {error}")
        return owners

    def _examine(self) -> Mapping[str, MachineCode]:
        """Read all members: are they what the directory says, and which are machine code?"""
        bounded, total = [], 0
        readable = (info for info in self._files.values() if self._is_readable(info))
        for info in sorted(readable, key=lambda i: i.file_size):
            total += info.file_size
            if total <= _MOST_UNPACKED:
                bounded.append(info)
            else:
                self._not_examined.append(f"`{info.filename}`")
        # Threads speed up inflating; with small files they would only wait for each other.
        rows = self._examine_queue(deque(info for info in bounded if info.file_size < _SMALL))
        # The largest come first, so that no thread is left with one at the end.
        large = deque(info for info in reversed(bounded) if info.file_size >= _SMALL)
        count = min(os.cpu_count() or 1, _MOST_THREADS)
        for found in map_in_threads(self._examine_queue, [large] * count, threads=count):
            rows += found
        return dict(sorted(rows, key=itemgetter(0)))

    def _examine_queue(self, queue: deque[zipfile.ZipInfo]) -> list[tuple[str, MachineCode]]:
        """Take members from the queue until it is empty; several threads may do so."""
        rows: list[tuple[str, MachineCode]] = []
        with ExitStack() as stack:
            reader = MemberReader(stack, chunk=_CHUNK, check_names=False)
            for info in _taken(queue):
                try:
                    with Examiner() as examiner:
                        self._check_content(info, reader, examiner)
                        found = examiner.found()
                except (DamagedMemberError, OSError) as error:
                    problem = error.problem if isinstance(error, DamagedMemberError) else error
                    self.damages.append(f"`{info.filename}`: {problem}")
                    continue
                if found is not None and not info.filename.endswith(NO_CODE):
                    rows.append((info.filename, found))
        return rows

    def _check_content(
        self, info: zipfile.ZipInfo, reader: MemberReader, examiner: Examiner
    ) -> None:
        """Inflate a member, and compare its size and its CRC with what the directory says.

        Raises:
            DamagedMemberError: It cannot be inflated.
        """
        size = crc = 0
        for block in reader.blocks(member_of(self._path, info)):
            size += len(block)
            if size > info.file_size:
                self.damages.append(
                    f"`{info.filename}` contains more than the {info.file_size:,} bytes "
                    "that it declares"
                )
                return
            crc = zlib.crc32(block, crc)
            if not examiner.is_bored:
                examiner.hear(block)
        if size < info.file_size:
            self.damages.append(
                f"`{info.filename}` contains {size:,} bytes but declares {info.file_size:,}"
            )
        elif crc != info.CRC:
            self.damages.append(
                f"`{info.filename}`: its CRC is {crc:08x}, the directory says {info.CRC:08x}"
            )

    def _is_readable(self, info: zipfile.ZipInfo) -> bool:
        is_encrypted = info.flag_bits & 1
        return (
            info.filename not in self._unreadable
            and not is_encrypted
            and info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        )


def _find_layout(files: Collection[str], *, is_layer: bool) -> tuple[str, tuple[str, ...]]:
    """Tell a layer from a function, and say which folders it is imported from."""
    if is_layer or looks_like_layer(files):
        roots = {match[0] for name in files if (match := _LAYER_ROOT.match(name))}
        return "layer", tuple(sorted(roots, key=len, reverse=True))
    return "function", ("",)


def _parent(folder: str) -> str:
    """Return the folder that contains another one, with a slash at its end."""
    return folder[: folder.rfind("/") + 1]


def _taken(queue: deque[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    with suppress(IndexError):
        while True:
            yield queue.popleft()


def guess_runtime(zips: Sequence[InspectedZip]) -> tuple[Runtime, str]:
    """Guess the runtime of a function and its layers, and say why.

    Extension modules and versioned folders name it: the newest one that all of them serve, or
    the one that most of them serve. Without them, it is the newest one that all packages admit.
    """
    artifacts = [found.artifact for found in zips]
    served = _runtimes_served(artifacts)
    by_all = set.intersection(*served) if served else set()
    for runtime in reversed(RUNTIMES.values()):
        if runtime.name in by_all:
            return runtime, "guessed: the newest that everything is compiled for"
    for name, _ in Counter(chain.from_iterable(served)).most_common():
        if name in RUNTIMES:
            return RUNTIMES[name], "guessed from what is compiled for it"
    admitted = SpecifierSet()
    for each in chain.from_iterable(artifact.distributions for artifact in artifacts):
        try:
            admitted &= SpecifierSet(each.requires_python)
        except InvalidSpecifier:
            continue
    newest = newest_admitted(admitted)
    if newest is not None:
        return newest, "guessed: the newest that all packages admit"
    return newest_admitted(None) or RUNTIMES["python3.13"], "guessed: nothing in the zip shows it"


def _runtimes_served(artifacts: Sequence[ArtifactView]) -> list[set[str]]:
    """Name the runtimes that each extension module is there for, and those of layers' folders."""
    modules: defaultdict[str, set[str]] = defaultdict(set)
    for path in chain.from_iterable(artifact.sizes for artifact in artifacts):
        folder, _, name = path.rpartition("/")
        if match := _PYTHON_TAG.search(name):
            minor = match["minor"] or match["windows"]
            modules[f"{folder}/{name.partition('.')[0]}"].add(f"python3.{minor}")
    folders = {
        root.split("/")[2]
        for artifact in artifacts
        for root in artifact.roots
        if root.startswith("python/lib/")
    }
    return [*modules.values(), *([folders] if folders else [])]


def guess_architecture(zips: Sequence[InspectedZip]) -> tuple[Architecture, str]:
    """Guess the architecture by what most of the machine code is for, and say why."""
    machines = Counter(
        code.elf.machine
        for found in zips
        for code in found.artifact.code.values()
        if code.elf is not None
    )
    for machine, _ in machines.most_common():
        for architecture in Architecture:
            if architecture.machine == machine:
                return architecture, "guessed from its machine code"
    return Architecture.X86_64, "guessed: it contains no machine code"
