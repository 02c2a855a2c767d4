"""`StagedTree` → the same with bytecode, compiled by the Python that the runtime has.

Lambda's file system is read-only, so without bytecode every cold start compiles everything that it
imports. The files are unchecked hash-based ones (PEP 552): they contain no timestamp, and Python
does not compare them with their source. The path of the source in each of them is the one at which
Lambda unpacks it, below `/var/task` or `/opt`.

One process compiles one distribution, its files in their order and with a fixed hash
seed: what CPython writes depends on what it has compiled before. The result is kept
as a zip in the cache, with a note of the digests of its sources, so that the next build
copies compressed bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import tempfile
import threading
import zipfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from lambda_build_plugin.errors import FetchError, StageError, VerificationError
from lambda_build_plugin.runtime.limits import UNZIPPED_LIMIT, size_text
from lambda_build_plugin.stage.contents import contents
from lambda_build_plugin.stage.records import with_entries
from lambda_build_plugin.stage.tree import Entry
from lambda_build_plugin.system.hashes import Digest
from lambda_build_plugin.system.interpreters import without_python_variables
from lambda_build_plugin.wheel.members import member_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.source_build.context import BuildContext
    from lambda_build_plugin.stage.tree import StagedTree
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.system.hashes import Checked
    from lambda_build_plugin.system.interpreters import Interpreter
    from lambda_build_plugin.wheel.members import Member

__all__ = [
    "BytecodeOversizeError",
    "CompilerError",
    "compiler_key",
    "with_bytecode",
]

_NOTES = "bytecode"
_ROOT, _LAYER_ROOT = "/var/task/", "/opt/"
_LEAST_SHARE = 1.0
"""Bytes of bytecode for one byte of source.

50 MB of sources of 25 packages gave 1.26 for 3.13: 0.8 for one that is half comments, 1.4 for
pandas and numpy. It is on the low side, because only a certain failure may end the build before
compiling; what is too large afterwards is refused like any artifact.
"""

_LENGTH = struct.Struct(">I")
_NOTHING = 0xFFFFFFFF
_LEVEL = 6
_UNIX = 3
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_DATE = (1980, 1, 1, 0, 0, 0)

_COMPILE = """\
import marshal, sys, warnings
from importlib.util import MAGIC_NUMBER, source_hash

warnings.simplefilter("ignore")
sys.path[:] = filter(None, sys.path)  # without the current folder
stream = sys.stdin.buffer
jobs = []
while length := stream.read(4):
    name = stream.read(int.from_bytes(length, "big")).decode()
    jobs.append((name, stream.read(int.from_bytes(stream.read(4), "big"))))
output = sys.stdout.buffer
for name, source in jobs:
    try:
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
        data = marshal.dumps(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        output.write(b"\\xff\\xff\\xff\\xff")
        continue
    # PEP 552: magic number, flags (bit 0: by hash; bit 1, unset: never checked), hash
    data = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(source) + data
    output.write(len(data).to_bytes(4, "big") + data)
output.flush()
"""


class BytecodeOversizeError(VerificationError):
    """With bytecode the artifact would be larger than Lambda unpacks."""

    def __init__(self, size: int, *, only: bool) -> None:
        self.size = size
        super().__init__(
            f"with bytecode the artifact would be too large: about {size_text(size)} unzipped, "
            f"Lambda requires less than {size_text(UNZIPPED_LIMIT)}",
            why=f"bytecode takes at least {_LEAST_SHARE:.1f} times the space of its sources",
            hint="leave files out with `exclude` or `exclude-presets`, or build without bytecode"
            + ("" if only else "; `bytecode-only` ships it without the sources"),
        )


class CompilerError(StageError):
    """The interpreter gave up instead of compiling."""

    def __init__(self, owner: str, interpreter: Interpreter, problem: str) -> None:
        self.owner, self.interpreter = owner, interpreter
        super().__init__(
            f"cannot compile the bytecode of `{owner}`",
            why=f"{interpreter.path} ({interpreter.build}): {problem}",
            hint="try another Python of this version, or build without `bytecode`",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The modules of one distribution; they are compiled together or not at all."""

    owner: str
    sources: tuple[Entry, ...]
    key: str
    """A string of everything that the result depends on."""

    @property
    def size(self) -> int:
        """Bytes of all sources."""
        return sum(source.size for source in self.sources)


def with_bytecode(
    tree: StagedTree,
    *,
    full: StagedTree,
    only: bool,
    context: BuildContext,
    find_compiler: Callable[[], Interpreter],
) -> StagedTree:
    """Add the bytecode of all modules, or replace their sources with it.

    Modules that do not compile (code for another Python, templates) ship as they are.

    Args:
        tree: What will ship.
        full: The tree before anything was left out. Distributions are compiled whole, so
            that a build with another filter finds them in the cache.
        only: Whether the sources stay out.
        context: The target, the cache, and a folder that exists until the zip is written.
        find_compiler: Finds a Python of the runtime's version.

    Raises:
        BytecodeOversizeError: The artifact would certainly exceed Lambda's limit.
        NoInterpreterError: This machine has no Python of the runtime's version.
        CompilerError: The Python that was found fails.
    """
    runtime, reporter = context.target.runtime, context.reporter
    modules = [entry for entry in tree.entries if _is_module(entry)]
    if not modules:
        return tree
    _check_estimate(tree, modules, only=only)
    interpreter = find_compiler()
    reporter.note(f"bytecode by {interpreter.path} ({interpreter.build})")
    batches = _batches(full, tree, modules, compiler_key(interpreter, tree.prefix))
    compiler = _Compiler(
        interpreter, context.environ, context.cache, context.folder, _root(tree.prefix)
    )
    compiled = compiler.members(batches)
    tag = "cpython-" + "".join(map(str, runtime.python))
    entries = {entry.path: entry for entry in tree.entries}
    for module in modules:
        if member := compiled.get(_pyc(module.path)):
            if only:
                del entries[module.path]
            path = _pyc(module.path) if only else _cached(module.path, tag)
            entries[path] = Entry(path, module.owner, member, "", member.size)
    missing = sum(_pyc(module.path) not in compiled for module in modules)
    if missing:
        reporter.note(f"{missing} of {len(modules)} modules do not compile: they ship as they are")
    return replace(with_entries(tree, entries.values()), bytecode=compiler.kept)


def compiler_key(interpreter: Interpreter, prefix: str) -> str:
    """Name everything that bytecode depends on beside its source."""
    return "\n".join((_COMPILE, interpreter.magic, interpreter.build, _root(prefix)))


def _root(prefix: str) -> str:
    """Say where Lambda unpacks an artifact, which is part of the bytecode."""
    return _LAYER_ROOT if prefix else _ROOT


def _is_module(entry: Entry) -> bool:
    return entry.path.endswith(".py")


def _pyc(path: str) -> str:
    return f"{path}c"


def _cached(path: str, tag: str) -> str:
    """Say where CPython looks for bytecode beside the source (PEP 3147)."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


def _check_estimate(tree: StagedTree, modules: Sequence[Entry], *, only: bool) -> None:
    sources = sum(module.size for module in modules)
    size = tree.size + int(sources * _LEAST_SHARE) - (sources if only else 0)
    if size >= UNZIPPED_LIMIT:
        raise BytecodeOversizeError(size, only=only)


def _batches(
    full: StagedTree,
    tree: StagedTree,
    modules: Sequence[Entry],
    compiler: str,
) -> list[_Batch]:
    """Gather the modules by their owners, without those whose owner ships none."""
    wanted = {module.owner for module in modules}
    found = {entry.path: entry for entry in (*full.entries, *tree.entries) if _is_module(entry)}
    by_owner: defaultdict[str, list[Entry]] = defaultdict(list)
    for path in sorted(found):
        by_owner[found[path].owner].append(found[path])
    return [
        _Batch(
            owner=owner,
            sources=tuple(sources),
            key="\n".join((compiler, *(f"{source.digest} {source.path}" for source in sources))),
        )
        for owner, sources in by_owner.items()
        if owner in wanted
    ]


class _Compiler:
    """Starts an interpreter for each distribution, and ends them all when the build ends."""

    def __init__(
        self,
        interpreter: Interpreter,
        environ: Mapping[str, str],
        cache: Cache,
        scratch: Path,
        root: str,
    ) -> None:
        self._interpreter = interpreter
        self._environ = {**without_python_variables(environ), "PYTHONHASHSEED": "0"}
        self._cache = cache
        self._scratch = scratch
        self._root = root
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False
        self._kept: list[Checked] = []

    @property
    def kept(self) -> tuple[Checked, ...]:
        """The files in the cache that contain the results."""
        return tuple(sorted(self._kept, key=lambda checked: checked.digest))

    def members(self, batches: Sequence[_Batch]) -> dict[str, Member]:
        """Find or make the bytecode of all modules, by the path of the module and a `c`."""
        # The largest first: it would be waited for at the end.
        ordered = sorted(batches, key=lambda batch: (-batch.size, batch.owner))
        found: dict[str, Member] = {}
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as threads:
            try:
                for members in threads.map(self._members, ordered):
                    found |= members
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                self._end()
                raise
        return found

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()

    def _members(self, batch: _Batch) -> Mapping[str, Member]:
        """Get the bytecode of one distribution, from the cache if it is there and sound."""
        note = self._cache.note(_NOTES, batch.key) or {}
        digest = Digest(note.get("zip", ""))
        if _DIGEST.fullmatch(digest) and (kept := self._cache.find(digest)):
            with suppress(zipfile.BadZipFile, FileNotFoundError):
                return self._members_of(kept)
        name = hashlib.sha256(batch.key.encode()).hexdigest()
        file = self._scratch / f"{name}.zip"
        self._compile(batch, file)
        # A cache that cannot be written, or that somebody removes, only costs time.
        with suppress(FetchError, FileNotFoundError):
            kept = self._cache.store_file(file, None)
            self._cache.keep_note(_NOTES, batch.key, {"zip": kept.digest})
            return self._members_of(kept)
        return _members_of(file)

    def _members_of(self, kept: Checked) -> Mapping[str, Member]:
        members = _members_of(kept.path)
        self._kept.append(kept)
        return members

    def _compile(self, batch: _Batch, file: Path) -> None:
        with tempfile.TemporaryFile() as errors, self._process(errors) as process:
            assert process.stdin is not None  # noqa: S101 - both are pipes
            assert process.stdout is not None  # noqa: S101
            try:
                self._send(batch, process.stdin)
                self._receive(batch, process.stdout, file)
            except (BrokenPipeError, EOFError) as error:
                process.wait()
                errors.seek(0)
                said = errors.read().decode("utf-8", errors="replace").strip()
                problem = said.rpartition("\n")[2] or f"it exited with {process.returncode}"
                raise CompilerError(batch.owner, self._interpreter, problem) from error

    def _process(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the interpreter in isolation: without site, user folder and environment.

        Not with `-I`, which would also ignore the hash seed.
        """
        with self._lock:
            if self._ended:
                raise EOFError
            process = subprocess.Popen(
                [self._interpreter.path, "-S", "-s", "-B", "-X", "utf8", "-c", _COMPILE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environ,
                cwd=self._scratch,
            )
            self._running.add(process)
        return process

    def _send(self, batch: _Batch, stream: IO[bytes]) -> None:
        """Write name and source of each module; the interpreter reads all before it answers."""
        with stream:
            for source, content in zip(batch.sources, contents(batch.sources), strict=True):
                for part in ((self._root + source.path).encode(), content):
                    stream.write(_LENGTH.pack(len(part)))
                    stream.write(part)

    def _receive(self, batch: _Batch, stream: IO[bytes], file: Path) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for source in batch.sources:
                (size,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
                if size != _NOTHING:
                    entry = zipfile.ZipInfo(_pyc(source.path), _DATE)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    entry.create_system = _UNIX  # else it is the host's
                    archive.writestr(entry, _exactly(stream, size), compresslevel=_LEVEL)


def _members_of(file: Path) -> dict[str, Member]:
    with zipfile.ZipFile(file) as archive:
        return {info.filename: member_of(file, info) for info in archive.infolist()}


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """Read exactly this many bytes.

    Raises:
        EOFError: The stream ends before.
    """
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
