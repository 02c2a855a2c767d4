"""Source code that builds into a wheel anywhere: it brings its own backend and needs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["a_source"]

_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "{name}"
version = "{version}"
"""
_BACKEND = """\
import base64
import hashlib
import pathlib
import zipfile

STEM = "{name}-{version}"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    files = {{
        path.name: path.read_bytes()
        for path in sorted(pathlib.Path().glob("*.py"))
        if path.name != "backend.py"
    }}
    info = STEM + ".dist-info/"
    files[info + "METADATA"] = b"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    files[info + "WHEEL"] = (
        b"Wheel-Version: 1.0\\nGenerator: backend\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    )
    lines = [",".join((name, digest(data), str(len(data)))) for name, data in files.items()]
    files[info + "RECORD"] = "\\n".join([*lines, info + "RECORD,,\\n"]).encode()
    filename = STEM + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, filename), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return filename


def digest(data):
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + encoded.rstrip(b"=").decode()
"""


def a_source(
    name: str = "lib", version: str = "1.0", modules: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make a project of plain modules; by default one that is named like the project.

    Args:
        name: A name that needs no escape in a file name.
        version: The version of the wheel.
        modules: Contents by file name.

    Returns:
        Contents by path.
    """
    return {
        "pyproject.toml": _PYPROJECT.format(name=name, version=version),
        "backend.py": _BACKEND.format(name=name, version=version),
        **({f"{name}.py": f'origin = "{name}"\n'} if modules is None else modules),
    }
