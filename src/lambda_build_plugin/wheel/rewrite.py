"""Replace files in a wheel that was built on this machine, and update its RECORD (PEP 427)."""

from __future__ import annotations

import re
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from lambda_build_plugin.urls import without_login
from lambda_build_plugin.wheel.record import record_content, record_row, record_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["rewrite", "take_traces_out"]

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_REQUIREMENT = re.compile(rb"^(Requires-Dist:[ \t]*)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")


def take_traces_out(path: Path) -> None:
    """Keep this machine's folders, and logins, out of the requirements of a wheel.

    Backends write where a path dependency lies, `common @ file:///home/me/common`, and of
    a repository the whole address. The first is true on this machine alone: the name stays.

    Raises:
        ValueError: The metadata or RECORD cannot be read.
    """
    changed = {}
    with zipfile.ZipFile(path) as archive:
        for name in filter(_METADATA.fullmatch, archive.namelist()):
            before = archive.read(name)
            after = _without_traces(before)
            if after != before:
                changed[name] = after
    if changed:
        new = path.with_name(f"{path.name}.new")
        rewrite(path, new, changed)
        new.replace(path)


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
    """Copy a wheel with new content for some members, and update RECORD.

    Raises:
        ValueError: RECORD cannot be read.
    """
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(new, "w") as copy:
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename.endswith(".dist-info/RECORD"):
                data = _updated_record(data, changed)
            copy.writestr(info, changed.get(info.filename, data), info.compress_type)


def _updated_record(data: bytes, changed: Mapping[str, bytes]) -> bytes:
    """Replace the rows of changed files.

    Raises:
        ValueError: RECORD cannot be read.
    """
    try:
        rows = list(record_rows(data.decode("utf-8")))
    except ValueError as error:
        raise ValueError(f"RECORD: {error}") from error
    return record_content(
        record_row(row[0], changed[row[0]]) if row[0] in changed else row for row in rows
    )
