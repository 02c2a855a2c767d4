"""A build backend in a wheel, and sources that are built with it: it tells how it was run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes.wheels import a_wheel, an_sdist

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.wheels import FakeSdist

__all__ = ["a_made_sdist", "maker_links"]

_MAKER = """\
import base64
import hashlib
import json
import os
import pathlib
import zipfile

BY = "{version}"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    try:
        import helper
        helped = helper.version
    except ImportError:
        helped = None
    told = {{
        "by": BY,
        "config": config_settings or {{}},
        "helper": helped,
        "variables": dict(os.environ),
    }}
    name, version = pathlib.Path("name.txt").read_text().split()
    info = name + "-" + version + ".dist-info/"
    metadata = "Metadata-Version: 2.1\\nName: " + name + "\\nVersion: " + version + "\\n"
    files = {{
        name + ".json": json.dumps(told).encode(),
        name + ".py": b"",
        info + "METADATA": metadata.encode(),
        info + "WHEEL": (
            b"Wheel-Version: 1.0\\nGenerator: maker " + BY.encode() + b"\\n"
            b"Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        ),
    }}
    lines = [",".join((path, digest(data), str(len(data)))) for path, data in files.items()]
    files[info + "RECORD"] = "\\n".join([*lines, info + "RECORD,,\\n"]).encode()
    filename = name + "-" + version + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, filename), "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return filename


def digest(data):
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + encoded.rstrip(b"=").decode()
"""


def maker_links(folder: Path) -> Path:
    """Write wheels of the backend `maker` 1.0 and 2.0, and of `helper` 1.0 and 2.0."""
    folder.mkdir()
    for version in ("1.0", "2.0"):
        code = _MAKER.format(version=version)
        a_wheel("maker", version, files={"maker.py": code}).write_to(folder)
        helper = {"helper.py": f'version = "{version}"\n'}
        a_wheel("helper", version, files=helper).write_to(folder)
    return folder


def a_made_sdist(name: str = "lib", version: str = "1.0", *, requires: str = "maker") -> FakeSdist:
    """Make an sdist that `maker` builds; its module's JSON file tells how."""
    pyproject = f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "maker"\n'
    files = {"pyproject.toml": pyproject, "name.txt": f"{name} {version}"}
    return an_sdist(name, version, files=files)
