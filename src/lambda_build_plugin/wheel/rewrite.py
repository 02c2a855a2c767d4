"""Replace files in a wheel that was built on this machine, and update its RECORD (PEP 427)."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from lambda_build_plugin.urls import without_login
from lambda_build_plugin.wheel.metadata import headers
from lambda_build_plugin.wheel.record import record_content, record_row, record_rows
from lambda_build_plugin.wheel.spelling import respelled_metadata, respelled_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Normalized", "normalize", "rewrite"]

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_WHEEL = re.compile(r"[^/]+\.dist-info/WHEEL")
_LICENSES = "licenses/"
_LICENSE = re.compile(
    r"(?P<folder>[^/]+\.dist-info/)(?P<file>(?:LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)",
    re.IGNORECASE,
)
_REQUIREMENT = re.compile(rb"^(Requires-Dist:[ \t]*)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")


class Normalized(NamedTuple):
    """What the metadata of a wheel says."""

    built_by: str
    """The backend and its version as `WHEEL` named them, such as `hatchling 1.27.0`; empty if it
    did not."""

    requires_python: str
    """As in METADATA, where backends may add to pyproject.toml; empty if it has none."""


def normalize(path: Path) -> Normalized:
    """Remove from a wheel what depends on this machine, and spell its metadata in one way.

    Backends write where a path dependency lies, `common @ file:///home/me/common`, and the
    whole address of a repository. The first is true on this machine alone, so only the name
    stays; of the second, the login does not. `wheel.spelling` explains the rest.

    Raises:
        ValueError: The metadata or RECORD cannot be read.
        BadZipFile: It is not a zip file.
    """
    new = path.with_name(f"{path.name}.new")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        licenses = {name: place for name in names if (place := _license_place(name)) is not None}
        files = [place.partition(_LICENSES)[2] for place in licenses.values()]
        metadata = {
            name: respelled_metadata(_without_traces(archive.read(name)), license_files=files)
            for name in filter(_METADATA.fullmatch, names)
        }
        (only,) = metadata.values()
        wheel = {name: archive.read(name) for name in filter(_WHEEL.fullmatch, names)}
        changed = {**metadata, **{name: respelled_wheel(data) for name, data in wheel.items()}}
        _copy(archive, new, changed, licenses)
    new.replace(path)
    named = " ".join(headers(data).get("generator", "") for data in wheel.values())
    return Normalized(
        built_by=re.sub(r"\((.*?)\)", r"\1", named).strip(),
        requires_python=headers(only).get("requires-python", ""),
    )


def _license_place(name: str) -> str | None:
    """Return where version 2.4 of the metadata has a license file; None if it is not one.

    Backends before it write the file beside METADATA.
    """
    match = _LICENSE.fullmatch(name)
    return None if match is None else f"{match['folder']}{_LICENSES}{match['file']}"


def _without_traces(metadata: bytes) -> bytes:
    end = _END_OF_HEADERS.search(metadata)
    headers = metadata[: end.start()] if end else metadata
    return _REQUIREMENT.sub(_without_trace, headers) + metadata[len(headers) :]


def _without_trace(match: re.Match[bytes]) -> bytes:
    text = match[2].decode("utf-8", errors="surrogateescape")
    try:
        url = Requirement(text).url
    except InvalidRequirement:
        return match[0]
    if url is None:
        return match[0]
    scheme = urlsplit(url).scheme.rpartition("+")[2]
    # The rest stays as the backend spelled it: versions of `packaging` spell differently.
    if scheme == "file":
        text = re.sub(rf"\s*@\s*{re.escape(url)}", "", text, count=1)
    elif scheme.startswith("http"):  # the user of `ssh://git@…` is no secret
        text = text.replace(url, without_login(url), 1)
    return match[1] + text.encode("utf-8", errors="surrogateescape")


def rewrite(path: Path, new: Path, changed: Mapping[str, bytes]) -> None:
    """Copy a wheel with new contents for some members, and update RECORD.

    Raises:
        ValueError: RECORD cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        _copy(archive, new, changed, {})


def _copy(
    archive: zipfile.ZipFile, new: Path, changed: Mapping[str, bytes], names: Mapping[str, str]
) -> None:
    """Copy a wheel with new contents and names for some members, and update RECORD."""
    with zipfile.ZipFile(new, "w") as copy:
        for info in archive.infolist():
            data = changed.get(info.filename)
            if data is None:
                data = archive.read(info)
            if info.filename.endswith(".dist-info/RECORD"):
                data = _updated_record(data, changed, names)
            compression = info.compress_type
            info.filename = names.get(info.filename, info.filename)
            copy.writestr(info, data, compression)


def _updated_record(data: bytes, changed: Mapping[str, bytes], renamed: Mapping[str, str]) -> bytes:
    """Replace the rows of changed files and the names of renamed ones, and sort all rows.

    Raises:
        ValueError: RECORD cannot be read.
    """
    try:
        rows = list(record_rows(data.decode("utf-8")))
    except ValueError as error:
        raise ValueError(f"RECORD: {error}") from error
    return record_content(
        sorted(
            record_row(name, changed[name])
            if name in changed
            else (renamed.get(name, name), digest, size)
            for name, digest, size in rows
        )
    )
