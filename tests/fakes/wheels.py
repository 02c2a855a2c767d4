"""Make wheels and sdists in memory, the same bytes every time.

In go names, versions and contents as a test would state them; out come files
that are right by the wheel and sdist specifications unless asked otherwise.
"""

from __future__ import annotations

import base64
import copy
import csv
import gzip
import hashlib
import io
import itertools
import re
import tarfile
import warnings
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

__all__ = ["FakeSdist", "FakeWheel", "a_wheel", "an_sdist"]

# Neither the zip epoch nor a date that a build tool would choose by itself.
_DATE = (2019, 3, 4, 5, 6, 8)
_MTIME = 1_551_675_968
_UNIX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _FakeFile:
    """A file as an index offers it."""

    filename: str
    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """The digest of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def write_to(self, folder: Path) -> Path:
        """Write the file into a folder, which is made if absent, and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.filename
        path.write_bytes(self.content)
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeWheel(_FakeFile):
    """A wheel in memory."""

    @property
    def project(self) -> str:
        """The normalized name (PEP 503) that the filename states."""
        return _normalized(self.filename.partition("-")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeSdist(_FakeFile):
    """A source distribution in memory."""

    @property
    def project(self) -> str:
        """The normalized name (PEP 503) that the filename states."""
        return _normalized(self.filename.rpartition("-")[0])


def a_wheel(
    name: str = "demo",
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    build: str = "",
    files: Mapping[str, bytes | str] | None = None,
    metadata: Sequence[str] = (),
    entry_points: str | None = None,
    executable: Collection[str] = (),
    compression: int = zipfile.ZIP_DEFLATED,
    record: bytes | None = None,
    raw_members: Sequence[tuple[zipfile.ZipInfo, bytes]] = (),
    root_is_purelib: bool = True,
) -> FakeWheel:
    """Make a wheel.

    Args:
        name: The project's name; filename and folders get its escaped form.
        version: The project's version.
        tag: The tag of the filename; a compressed set is expanded in WHEEL.
        build: The build tag, such as `1`.
        files: Contents by name inside the wheel, in place of one small package.
            A name in the `.dist-info` folder replaces the generated file.
        metadata: Further header lines of METADATA, such as `Requires-Dist: x`.
        entry_points: The text of `entry_points.txt`.
        executable: The names that get the mode 0755.
        compression: How zipfile compresses all but the raw members.
        record: The content of RECORD, in place of the right one.
        raw_members: Entries written as they are after all others. RECORD lists
            them; one that repeats an earlier name takes over its line.
        root_is_purelib: What WHEEL says of the root.
    """
    escaped, escaped_version = _escaped(name), version.replace("-", "_")
    dist_info = f"{escaped}-{escaped_version}.dist-info"
    generated = {
        f"{dist_info}/METADATA": _metadata(name, version, metadata),
        f"{dist_info}/WHEEL": _wheel(tag, build, root_is_purelib=root_is_purelib),
    }
    if entry_points is not None:
        generated[f"{dist_info}/entry_points.txt"] = entry_points
    content = _encoded(_package(escaped, version) if files is None else files, generated)

    record_name = f"{dist_info}/RECORD"
    if record is None:
        record = _record(
            content | {entry.filename: data for entry, data in raw_members}, record_name
        )
    # The specification would have the .dist-info files at the end of the archive.
    order = sorted(content, key=lambda member: (member.startswith(f"{dist_info}/"), member))
    members = [(member, content[member]) for member in order if member != record_name]

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        # A name given twice is what some tests are about.
        warnings.filterwarnings("ignore", "Duplicate name", UserWarning)
        for member, data in [*members, (record_name, record)]:
            entry = _entry(member, compression, executable=member in executable)
            archive.writestr(entry, data)
        for raw, data in raw_members:
            # zipfile notes sizes and offsets in the entry, which is the caller's.
            archive.writestr(copy.copy(raw), data)

    parts = [escaped, escaped_version, *([build] if build else []), tag]
    return FakeWheel(filename="-".join(parts) + ".whl", content=buffer.getvalue())


def an_sdist(
    name: str = "demo",
    version: str = "1.0",
    *,
    files: Mapping[str, bytes | str] | None = None,
    metadata: Sequence[str] = (),
    executable: Collection[str] = (),
) -> FakeSdist:
    """Make a source distribution that hatchling could build.

    Args:
        name: The project's name; filename and folder get its escaped form.
        version: The project's version.
        files: Contents by name inside the top folder, in place of one small
            package. `PKG-INFO` and `pyproject.toml` replace the generated ones.
        metadata: Further header lines of PKG-INFO.
        executable: The names that get the mode 0755.
    """
    escaped = _escaped(name)
    generated = {
        "PKG-INFO": _metadata(name, version, metadata),
        "pyproject.toml": _pyproject(name, version),
    }
    content = _encoded(_package(escaped, version) if files is None else files, generated)

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in sorted(content.items()):
            entry = tarfile.TarInfo(f"{escaped}-{version}/{member}")
            entry.size, entry.mtime = len(data), _MTIME
            entry.mode = 0o755 if member in executable else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return FakeSdist(
        filename=f"{escaped}-{version}.tar.gz",
        content=gzip.compress(buffer.getvalue(), mtime=0),
    )


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _escaped(name: str) -> str:
    return _normalized(name).replace("-", "_")


def _package(escaped: str, version: str) -> dict[str, bytes | str]:
    return {f"{escaped}/__init__.py": f'__version__ = "{version}"\n'}


def _encoded(files: Mapping[str, bytes | str], generated: Mapping[str, str]) -> dict[str, bytes]:
    return {
        name: data.encode() if isinstance(data, str) else data
        for name, data in {**generated, **files}.items()
    }


def _metadata(name: str, version: str, further: Sequence[str]) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *further]
    return "\n".join(lines) + "\n"


def _wheel(tag: str, build: str, *, root_is_purelib: bool) -> str:
    expanded = itertools.product(*(part.split(".") for part in tag.split("-")))
    lines = [
        "Wheel-Version: 1.0",
        "Generator: a_wheel (1.0)",
        f"Root-Is-Purelib: {str(root_is_purelib).lower()}",
        *(f"Tag: {'-'.join(parts)}" for parts in expanded),
        *([f"Build: {build}"] if build else []),
    ]
    return "\n".join(lines) + "\n"


def _record(content: Mapping[str, bytes], record_name: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, data in sorted(content.items()):
        # Folders have no line in RECORD, and RECORD has no digest of itself.
        if not name.endswith("/") and name != record_name:
            writer.writerow([name, f"sha256={_record_digest(data)}", len(data)])
    writer.writerow([record_name, "", ""])
    return text.getvalue().encode()


def _record_digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _entry(name: str, compression: int, *, executable: bool) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = compression
    # On Windows zipfile would write 0 here, and the modes would be ignored.
    entry.create_system = _UNIX
    entry.external_attr = (0o100755 if executable else 0o100644) << 16
    return entry


def _pyproject(name: str, version: str) -> str:
    return f"""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
"""
