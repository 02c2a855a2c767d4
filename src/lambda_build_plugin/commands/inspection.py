"""Any zip, also one that another tool made → the checks of a build, and the report.

What nobody says of it is guessed from what it holds, and said so. Nothing of it is
believed: sizes, names and contents may be made up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import zipfile
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, TypedDict

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lambda_build_plugin.errors import VerificationError, printable
from lambda_build_plugin.report import SizeReport, size_lines
from lambda_build_plugin.runtime.limits import MOST_ENTRIES, UNZIPPED_LIMIT, ZIPPED_LIMIT
from lambda_build_plugin.runtime.sdk import SDK
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target, newest_admitted
from lambda_build_plugin.verify import sizes
from lambda_build_plugin.verify.checks import check_contents
from lambda_build_plugin.verify.closure import Word
from lambda_build_plugin.verify.findings import Findings, listed, together
from lambda_build_plugin.verify.view import NO_CODE, ArtifactView, shipped
from lambda_build_plugin.verify.zip_format import check_format, is_folder, is_link
from lambda_build_plugin.wheel.file import BROKEN_ZIP
from lambda_build_plugin.wheel.machine_code import Examiner
from lambda_build_plugin.wheel.members import DamagedMemberError, MemberReader, member_of
from lambda_build_plugin.wheel.record import record_rows

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.runtime.target import Runtime
    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = [
    "DamagedZipError",
    "InspectionReport",
    "UnreadableZipError",
    "as_json",
    "as_text",
    "inspect",
]

SCHEMA = 1

_UNREADABLE = (*BROKEN_ZIP, MemoryError, OSError, OverflowError)
"""What reading a zip of unknown origin may raise."""

_LAYER = re.compile(r"python/(lib/python3\.\d+/site-packages/)?")
_OF_A_LAYER = re.compile(r"(python|bin|lib|extensions)/")
_DIST_INFO = re.compile(r"(?P<folder>(?P<root>.*?)[^/]+\.dist-info)/METADATA")
_PYTHON_TAG = re.compile(r"\.cpython-3(?P<minor>\d+)-|\.cp3(?P<windows>\d+)-")
_MOST_INFLATED = 2 * UNZIPPED_LIMIT
_LONGEST_LINK = 1 << 12  # bytes
_MOST_THREADS = 8
_SMALL = 1 << 16  # bytes
_BLOCK = 1 << 20
_CHUNK = 1 << 18  # bytes inflated at a time


class UnreadableZipError(VerificationError):
    """It is no zip, or not a whole one."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} cannot be read as a zip",
            why=problem,
            hint="Lambda could not unpack it either: build or download it again",
        )


class DamagedZipError(VerificationError):
    """Members do not hold what the directory of the zip says."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(
            "the zip is damaged",
            why="\n".join(problems),
            hint="Lambda could not unpack it either: build or download it again",
        )


class InspectedPackage(TypedDict):
    """One distribution in the zip."""

    name: str
    version: str
    files: int
    unzipped: int
    zipped: int


class FailureReport(TypedDict):
    """One check that failed."""

    what: str
    why: str
    hint: str


class InspectionReport(TypedDict):
    """Schema 1. Sizes are bytes."""

    schema: int
    artifact: str
    layout: str
    runtime: str
    runtime_reason: str
    architecture: str
    architecture_reason: str
    handler: str | None
    files: int
    size: SizeReport
    sha256: str
    """Hexadecimal."""

    code_sha256: str
    """Base64, as Lambda shows it."""

    packages: list[InspectedPackage]
    failures: list[FailureReport]
    warnings: list[str]


def inspect(
    path: Path,
    *,
    runtime: Runtime | None,
    architecture: Architecture | None,
    handler: str | None,
    layers: Sequence[Path],
    today: datetime.date,
) -> InspectionReport:
    """Check a zip.

    Args:
        path: The zip of a function or of a layer.
        runtime: What it is for; guessed where it is None.
        architecture: The same.
        handler: What the runtime will be told; not checked where it is None.
        layers: Zips that are used together with it, in their order.
        today: On which a runtime may be deprecated.

    Raises:
        UnreadableZipError: One of the files is no zip.
    """
    sha256 = _digest(path)
    with ExitStack() as stack:
        found = _Zip(path, stack.enter_context(_opened(path)))
        beside = [_Zip(layer, stack.enter_context(_opened(layer))) for layer in layers]
        chosen, runtime_reason = (runtime, "asked for") if runtime else _runtime([found, *beside])
        machine, machine_reason = (
            (architecture, "asked for") if architecture else _architecture([found, *beside])
        )
        target = Target(runtime=chosen, architecture=machine)
        findings = together(
            check_format(found.infos, found.link),
            _limits(found, path),
            check_contents(
                found.importable(chosen),
                target,
                Word(doubtful=SDK),
                handler=handler,
                beside=[layer.importable(chosen) for layer in beside],
            ),
        )
        packages = found.packages()
        # What could not be read shows only after all has been asked for.
        damage = (DamagedZipError(sorted(found.damages)),) if found.damages else ()
    return InspectionReport(
        schema=SCHEMA,
        artifact=str(path),
        layout=found.layout,
        runtime=chosen.name,
        runtime_reason=runtime_reason,
        architecture=machine.value,
        architecture_reason=machine_reason,
        handler=handler,
        files=len(found.artifact.sizes),
        size=SizeReport(
            zipped=path.stat().st_size,
            unzipped=found.unzipped,
            limit_zipped=ZIPPED_LIMIT,
            limit_unzipped=UNZIPPED_LIMIT,
        ),
        sha256=sha256.hex(),
        code_sha256=base64.b64encode(sha256).decode(),
        packages=packages,
        failures=[
            FailureReport(what=error.what, why=error.why, hint=error.hint)
            for error in (*damage, *findings.errors)
        ],
        warnings=[*target.warnings(today), *found.warnings, *findings.warnings],
    )


def as_json(report: InspectionReport) -> str:
    """Write the report for machines."""
    return json.dumps(report, indent=2, sort_keys=True) + "\n"


def as_text(report: InspectionReport) -> str:
    """Write the report for people, the failures last."""
    packages = [f"{each['name']} {each['version']}" for each in report["packages"]]
    lines = [
        f"Inspected {report['artifact']}",
        "",
        f"  runtime    {report['runtime']} ({report['runtime_reason']})",
        f"  machine    {report['architecture']} ({report['architecture_reason']})",
        f"  layout     {report['layout']}"
        + (f", handler {report['handler']}" if report["handler"] else ""),
        *size_lines(report["size"], report["code_sha256"]),
        f"  files      {report['files']:,}",
        f"  packages   {listed(packages, 8) or 'none that says so'}",
        "",
        *(f"warning: {warning}" for warning in report["warnings"]),
        *(
            str(VerificationError(each["what"], why=each["why"], hint=each["hint"]))
            for each in report["failures"]
        ),
        f"{len(report['failures'])} failed, {len(report['warnings'])} to be looked at"
        if report["failures"] or report["warnings"]
        else "nothing found",
    ]
    return printable("\n".join(lines)) + "\n"


def _digest(path: Path) -> bytes:
    hashing = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                hashing.update(block)
    except OSError as error:
        raise UnreadableZipError(path, error.strerror or str(error)) from error
    return hashing.digest()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise UnreadableZipError(path, str(error) or type(error).__name__) from error
    with archive:
        yield archive


class _Zip:
    """A zip of unknown origin, and what could not be read of it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self.damages: list[str] = []
        self._unseen: list[str] = []
        self._read_so_far = 0
        self.infos = archive.infolist()
        files = [info for info in self.infos if not is_folder(info) and not is_link(info)]
        self._files = {info.filename: info for info in sorted(files, key=lambda i: i.filename)}
        self.unzipped = sum(info.file_size for info in self.infos)
        self.layout, roots = _layout(self._files)
        metadata = {
            match["folder"]: shipped(self._read(name))
            for name in self._files
            if (match := _DIST_INFO.fullmatch(name)) and match["root"] in roots
        }
        self._metadata = metadata
        self._owners = cache(self._owned)
        self.artifact = ArtifactView(
            sizes={name: info.file_size for name, info in self._files.items()},
            roots=roots,
            read=self._read,
            owner=lambda path: self._owners().get(path, ""),
            code=self._code(),
            distributions=tuple(metadata.values()),
        )

    def importable(self, runtime: Runtime) -> ArtifactView:
        """Take what the runtime looks into: of a layer not the folders of other Pythons."""
        own = {"", "python/", f"python/lib/{runtime.name}/site-packages/"}
        return replace(
            self.artifact,
            roots=tuple(root for root in self.artifact.roots if root in own),
            distributions=tuple(
                each
                for folder, each in self._metadata.items()
                if folder[: folder.rfind("/") + 1] in own
            ),
        )

    def _read(self, name: str) -> bytes:
        info = self._files[name]
        try:
            self._read_so_far += info.file_size
            if self._read_so_far > _MOST_INFLATED:
                raise ValueError("there is more in this zip than Lambda would unpack")
            # Without a number of bytes zipfile inflates first, and cuts off what is too much.
            with self._archive.open(info) as stream:
                return stream.read(info.file_size)
        except _UNREADABLE as error:
            self.damages.append(f"`{name}` cannot be read: {error}")
            return b""

    def link(self, info: zipfile.ZipInfo) -> str:
        """Read where a symbolic link points to."""
        try:
            with self._archive.open(info) as stream:
                return stream.read(_LONGEST_LINK).decode("utf-8", "replace")
        except _UNREADABLE as error:
            self.damages.append(f"`{info.filename}` cannot be read: {error}")
            return ""

    def _owned(self) -> Mapping[str, str]:
        """Map paths to distributions by what each RECORD says (PEP 376)."""
        owners: dict[str, str] = {}
        for folder, each in self._metadata.items():
            root = folder[: folder.rfind("/") + 1]
            if f"{folder}/RECORD" in self._files:
                rows = self._read(f"{folder}/RECORD").decode("utf-8", "replace")
                try:
                    owners |= {root + name: each.shown for name, _, _ in record_rows(rows)}
                except Exception as error:  # noqa: BLE001 - csv's and installer's own
                    self.damages.append(f"`{folder}/RECORD` cannot be read: {error}")
        return owners

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not looked at, because a zip may unpack to anything."""
        if not self._unseen:
            return ()
        return (f"there is too much to look for machine code in all of it: {listed(self._unseen)}",)

    def packages(self) -> list[InspectedPackage]:
        """Add up what each distribution takes."""
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

    def _code(self) -> Mapping[str, MachineCode]:
        """Look at all members that may be machine code; only those that are, are inflated whole."""
        looked_at = [
            info
            for name, info in self._files.items()
            if not name.endswith(NO_CODE)
            and not info.flag_bits & 1
            and info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
        ]
        bounded, total = [], 0
        for info in sorted(looked_at, key=lambda info: info.file_size):
            total += info.file_size
            if total <= _MOST_INFLATED:
                bounded.append(info)
            else:
                self._unseen.append(f"`{info.filename}`")
        # Threads are for inflating; with small files they would only wait for each other.
        small = deque(info for info in bounded if info.file_size < _SMALL)
        rows = self._some(small)
        # The largest first: it would be waited for at the end.
        large = deque(info for info in reversed(bounded) if info.file_size >= _SMALL)
        count = min(os.cpu_count() or 1, _MOST_THREADS)
        with ThreadPoolExecutor(max_workers=count) as threads:
            for found in threads.map(self._some, [large] * count):
                rows += found
        return dict(sorted(rows, key=itemgetter(0)))

    def _some(self, waiting: deque[zipfile.ZipInfo]) -> list[tuple[str, MachineCode]]:
        """Take from what is waiting until nothing is left."""
        rows: list[tuple[str, MachineCode]] = []
        with ExitStack() as stack:
            reader = MemberReader(stack, chunk=_CHUNK, check_names=False)
            for info in _taken(waiting):
                size = 0
                try:
                    with Examiner() as examiner:
                        for block in reader.blocks(member_of(self._path, info)):
                            size += len(block)
                            examiner.hear(block)
                            if examiner.is_bored or size > info.file_size:
                                break
                        found = examiner.found()
                except (DamagedMemberError, OSError) as error:
                    problem = error.problem if isinstance(error, DamagedMemberError) else error
                    self.damages.append(f"`{info.filename}`: {problem}")
                    continue
                if size > info.file_size:
                    self.damages.append(
                        f"`{info.filename}` contains more than the {info.file_size:,} bytes "
                        "that it declares"
                    )
                if found is not None:
                    rows.append((info.filename, found))
        return rows


def _taken(waiting: deque[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    """Yield what no other thread has taken."""
    with suppress(IndexError):
        while True:
            yield waiting.popleft()


def _layout(files: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Tell a layer from a function, and where each is imported from."""
    names = list(files)
    if any(name.startswith("python/") for name in names) and all(map(_OF_A_LAYER.match, names)):
        roots = {match[0] for name in names if (match := _LAYER.match(name))}
        return "layer", tuple(sorted(roots, key=len, reverse=True))
    return "function", ("",)


def _limits(found: _Zip, path: Path) -> Findings:
    errors: list[VerificationError] = []
    if not found.artifact.sizes:
        errors.append(sizes.EmptyArtifactError(layer=False))
    if len(found.infos) > MOST_ENTRIES:
        errors.append(sizes.TooManyEntriesError(len(found.infos)))
    if found.unzipped >= UNZIPPED_LIMIT:
        largest = sorted(found.packages(), key=lambda each: -each["unzipped"])[:5]
        by_name = [(each["name"], each["unzipped"]) for each in largest]
        errors.append(sizes.OversizeError(found.unzipped, by_name))
    warnings = () if errors else sizes.doubtful_size(found.unzipped)
    return Findings(
        errors=tuple(errors), warnings=(*warnings, *sizes.large_zip(path.stat().st_size))
    )


def _runtime(zips: Sequence[_Zip]) -> tuple[Runtime, str]:
    """Guess the runtime: extension modules say it, or a folder, else any that all admit."""
    artifacts = [found.artifact for found in zips]
    named = Counter(
        f"python3.{match['minor'] or match['windows']}"
        for artifact in artifacts
        for name in artifact.sizes
        if (match := _PYTHON_TAG.search(name.rpartition("/")[2]))
    )
    named.update(
        root.split("/")[2]
        for artifact in artifacts
        for root in artifact.roots
        if root.startswith("python/lib/")
    )
    for name, _ in named.most_common():
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
    return newest_admitted(None) or RUNTIMES["python3.13"], "guessed: nothing tells"


def _architecture(zips: Sequence[_Zip]) -> tuple[Architecture, str]:
    """Guess the architecture by what most of the machine code is for."""
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
    return Architecture.X86_64, "guessed: nothing in it is made for one machine"
