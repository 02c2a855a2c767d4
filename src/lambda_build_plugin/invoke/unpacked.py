"""Zips → the folders that stand for `/var/task` and `/opt`, read-only, and what lies in them."""

from __future__ import annotations

import os
import re
import zipfile
from typing import TYPE_CHECKING

from lambda_build_plugin.commands.inspected_zip import (
    DamagedZipError,
    InspectedZip,
    UnreadableZipError,
    opened_zip,
    raising,
)
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.runtime.limits import UNZIPPED_LIMIT
from lambda_build_plugin.system.threads import map_in_threads
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.findings import raised
from lambda_build_plugin.verify.sizes import OversizeError
from lambda_build_plugin.verify.view import NO_CODE
from lambda_build_plugin.verify.zip_format import check_format, is_folder, is_link
from lambda_build_plugin.wheel.elf import HEAD, identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.wheel.elf import Identity

__all__ = ["Facts", "make_read_only", "unpack_function", "unpack_layers"]

_THREADS = 4

_PIECE = 1 << 18  # bytes; imports are at the beginning of a module

_SDK = (b"boto3", b"botocore", b"s3transfer", b"jmespath", b"urllib3", b"dateutil", b"six")
"""Modules of the AWS SDK that a function may import without bringing them."""

_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+|import[ \t]+(?:[\w., \t]*[, \t])?)(" + rb"|".join(_SDK) + rb")\b",
    re.MULTILINE,
)
_IN_BYTECODE = re.compile(rb"(?<![\w.])(boto3|botocore)(?![\w])")
_LAYER_ROOT = re.compile(r"python/(?:lib/python3\.\d+/site-packages/)?")
_MODULES = (".py", ".pyc", ".so")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was noticed while a zip was unpacked."""

    code: dict[str, Identity]
    """Files with machine code, by their path in the zip."""

    imported: frozenset[str]
    """Modules of the AWS SDK that some module imports."""

    modules: frozenset[str]
    """Top-level modules and packages."""

    has_extensions: bool = False
    """Whether there are programs in `extensions/`, which Lambda would start."""

    @property
    def needs_sdk(self) -> bool:
        """Whether a part of the SDK is imported that is not brought along."""
        return bool(self.imported - self.modules)

    @classmethod
    def joined(cls, facts: Sequence[Facts]) -> Facts:
        """Put what was noticed in several zips together."""
        return cls(
            code={path: found for each in facts for path, found in each.code.items()},
            imported=frozenset().union(*(each.imported for each in facts)),
            modules=frozenset().union(*(each.modules for each in facts)),
            has_extensions=any(each.has_extensions for each in facts),
        )


def unpack_function(artifact: Path, folder: Path) -> Facts:
    """Unpack the zip of a function into a new folder.

    Raises:
        VerificationError: Lambda could not unpack it, or it is too large.
        SettingsError: It is a layer.
    """
    with opened_zip(artifact) as archive:
        found = InspectedZip(artifact, archive, examine=False)
        if found.layout == "layer":
            raise SettingsError(
                [f"{artifact} is a layer, which has no handler"],
                hint="name the zip of a function, and the layer with `--layer`",
            )
        return _unpack(artifact, archive, found, folder)


def make_read_only(folder: Path) -> None:
    """Forbid new files in a folder and below; the files themselves are read-only already."""
    for root, _, _ in os.walk(folder, topdown=False):
        os.chmod(root, 0o555)  # noqa: PTH101, S103 - nobody may write


def unpack_layers(layers: Sequence[Path], folder: Path) -> list[Facts]:
    """Unpack layers into a new folder, in their order: files of the last one win.

    Raises:
        VerificationError: Lambda could not unpack one of them, or it is too large.
    """
    folder.mkdir()
    facts = []
    for layer in layers:
        with opened_zip(layer) as archive:
            found = InspectedZip(layer, archive, is_layer=True, examine=False)
            facts.append(_unpack(layer, archive, found, folder))
    return facts


def _unpack(path: Path, archive: zipfile.ZipFile, found: InspectedZip, folder: Path) -> Facts:
    """Unpack a zip whose members are all known to have a place below the folder."""
    raised(check_format(found.infos, found.link))
    if found.unzipped >= UNZIPPED_LIMIT:
        raise OversizeError(found.unzipped, [])
    files = [info for info in found.infos if not is_folder(info)]
    parents = {folder} | {(folder / info.filename).parent for info in files}
    with raising(lambda problem: UnreadableZipError(path, problem)):
        for parent in sorted(parents):  # an earlier layer may have a file there
            parent.mkdir(parents=True, exist_ok=True)
    # The largest first and dealt out in turn, so that all threads have the same to do.
    files.sort(key=lambda info: -info.file_size)
    count = min(os.cpu_count() or 1, _THREADS)
    parts = [_Part(path, archive, files[start::count], folder) for start in range(count)]
    map_in_threads(_Part.unpack, parts, threads=count)
    if damages := [*found.damages, *(text for part in parts for text in part.damages)]:
        raise DamagedZipError(sorted(damages))
    return Facts(
        code={name: found for part in parts for name, found in part.code.items()},
        imported=frozenset(name for part in parts for name in part.imported),
        modules=frozenset(_tops(info.filename for info in files)),
        has_extensions=any(info.filename.startswith("extensions/") for info in files),
    )


def _tops(names: Iterable[str]) -> Iterator[str]:
    """Yield the first part of the name of each module."""
    for name in names:
        if name.endswith(_MODULES):
            root = _LAYER_ROOT.match(name)
            yield re.split(r"[/.]", name[root.end() if root else 0 :], maxsplit=1)[0]


class _Part:
    """Some members of a zip, which one thread unpacks."""

    def __init__(
        self,
        path: Path,
        archive: zipfile.ZipFile,
        infos: Sequence[zipfile.ZipInfo],
        folder: Path,
    ) -> None:
        self._path = path
        self._archive = archive  # threads may share it: it has a lock, and each member a place
        self._infos = infos
        self._folder = folder
        self.code: dict[str, Identity] = {}
        self.imported: set[str] = set()
        self.damages: list[str] = []

    def unpack(self) -> None:
        """Write the files, each with the mode that it has on Lambda."""
        with raising(lambda problem: UnreadableZipError(self._path, problem)):
            for info in self._infos:
                try:
                    self._unpack_member(self._archive, info)
                except (zipfile.BadZipFile, EOFError) as error:
                    self.damages.append(f"`{info.filename}` cannot be read: {error}")

    def _unpack_member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        place = f"{self._folder}/{info.filename}"
        if os.path.lexists(place):  # of an earlier layer
            os.unlink(place)  # noqa: PTH108 - there may be ten thousand files
        if is_link(info):
            os.symlink(archive.read(info).decode("utf-8"), place)  # noqa: PTH211
            return
        is_program = info.external_attr >> 16 & 0o111
        # In one step, and whatever the umask: a `chmod` for each file would take longer.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(place, flags, 0o555 if is_program else 0o444)
        with open(descriptor, "wb") as file, archive.open(info) as member:  # noqa: PTH123
            # In pieces: a thread that allocates the whole of a large file makes others wait.
            content = member.read(_PIECE)
            file.write(content)
            while piece := member.read(_PIECE):
                file.write(piece)
        self._notice(info.filename, content)

    def _notice(self, name: str, content: bytes) -> None:
        if name.endswith(".py"):
            # Few modules name the SDK at all, and the expression takes longer to say so.
            if any(module in content for module in _SDK):
                self.imported.update(match.decode() for match in _IMPORT.findall(content))
        elif name.endswith(".pyc"):
            self.imported.update(match.decode() for match in _IN_BYTECODE.findall(content))
        elif not name.endswith(NO_CODE) and (found := identify(content[:HEAD])):
            self.code[name] = found
