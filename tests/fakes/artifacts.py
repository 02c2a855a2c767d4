"""Zips as other tools make them, and artifacts as the checks see them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from lambda_build_plugin.verify.view import ArtifactView, shipped
from lambda_build_plugin.wheel.machine_code import Examiner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["a_member", "a_zip", "an_artifact", "metadata"]

_UNIX = 3


def metadata(name: str, version: str = "1.0", *lines: str) -> dict[str, str]:
    """Make the METADATA of a distribution, with further header lines, by its path."""
    headers = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines)
    return {f"{name.replace('-', '_')}-{version}.dist-info/METADATA": "\n".join(headers) + "\n"}


def an_artifact(
    files: Mapping[str, str | bytes],
    *,
    roots: tuple[str, ...] = ("",),
    owners: Mapping[str, str] | None = None,
) -> ArtifactView:
    """Make an artifact of files, without a zip."""
    contents = {
        path: data.encode() if isinstance(data, str) else data
        for path, data in sorted(files.items())
    }
    code = {}
    for path, data in contents.items():
        with Examiner() as examiner:
            examiner.hear(data)
            if found := examiner.found():
                code[path] = found
    return ArtifactView(
        sizes={path: len(data) for path, data in contents.items()},
        roots=roots,
        read=contents.__getitem__,
        owner=lambda path: (owners or {}).get(path, ""),
        code=code,
        distributions=tuple(
            shipped(data) for path, data in contents.items() if path.endswith(".dist-info/METADATA")
        ),
    )


def a_member(
    name: str,
    *,
    mode: int = 0o100644,
    compression: int = zipfile.ZIP_DEFLATED,
    system: int = _UNIX,
) -> zipfile.ZipInfo:
    """Make the header of a member."""
    info = zipfile.ZipInfo(name, (2019, 3, 4, 5, 6, 8))
    info.compress_type, info.create_system = compression, system
    info.external_attr = mode << 16
    return info


def a_zip(
    path: Path,
    files: Mapping[str, str | bytes],
    *,
    further: Sequence[tuple[zipfile.ZipInfo, bytes]] = (),
) -> Path:
    """Write a zip as a careful tool would, and then further members as they are given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(a_member(name), data)
        for info, content in further:
            archive.writestr(info, content)
    path.write_bytes(buffer.getvalue())
    return path
