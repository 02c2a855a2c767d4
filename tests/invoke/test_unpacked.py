"""What is noticed while a zip is unpacked."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from fakes.artifacts import a_zip
from fakes.elf import an_elf

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.invoke.unpacked import unpack_function, unpack_layers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "needed"),
    [
        ({"app.py": "import os, boto3\n"}, True),
        ({"app.py": "def f():\n    from botocore.config import Config\n"}, True),
        ({"app.py": "import urllib3.util as u\n"}, True),
        ({"app.pyc": b"\x00\x05boto3\x00"}, True),
        ({"app.py": "import boto3\n", "boto3/__init__.py": ""}, False),
        ({"app.py": "import boto3_like, os\n# import boto3\n"}, False),
        ({"app.py": "text = 'from six to seven'\n"}, False),
    ],
)
def test_sdk_is_needed_if_it_is_imported_and_not_there(
    tmp_path: Path, files: Mapping[str, str | bytes], *, needed: bool
) -> None:
    """A part of the SDK that some module imports has to come from somewhere."""
    facts = unpack_function(a_zip(tmp_path / "f.zip", files), tmp_path / "task")

    assert facts.needs_sdk is needed


def test_machine_code_is_found_by_its_content(tmp_path: Path) -> None:
    """Whatever a file is called."""
    files = {"bin/tool": an_elf("aarch64"), "a.py": b"", "data.bin": b"\x00" * 100}

    facts = unpack_function(a_zip(tmp_path / "f.zip", files), tmp_path / "task")

    assert {name: found.machine for name, found in facts.code.items()} == {"bin/tool": "aarch64"}


def test_large_members_are_whole(tmp_path: Path) -> None:
    """A member that is read in pieces arrives as it was."""
    content = bytes(range(256)) * 4000

    unpack_function(a_zip(tmp_path / "f.zip", {"data": content}), tmp_path / "task")

    assert (tmp_path / "task" / "data").read_bytes() == content


def test_member_that_only_its_owner_can_read(tmp_path: Path) -> None:
    """What `ZipFile.writestr` makes of a name cannot be read on Lambda; the remedy is told."""
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("app.py", "x = 1\n")

    with pytest.raises(VerificationError, match=r"mode 0600\): `app\.py`") as raised:
        unpack_function(tmp_path / "f.zip", tmp_path / "task")

    assert "`ZipInfo.external_attr`" in str(raised.value.hint)


def test_damaged_member(tmp_path: Path) -> None:
    """A member with another CRC than the directory says is damage."""
    path = a_zip(tmp_path / "f.zip", {"app.py": "x = 1\n" * 50})
    data = bytearray(path.read_bytes())
    start = data.index(b"app.py") + len("app.py")
    data[start + 1] ^= 0xFF
    path.write_bytes(data)

    with pytest.raises(VerificationError, match=r"damaged|cannot be read"):
        unpack_function(path, tmp_path / "task")


def test_file_of_one_layer_is_a_folder_of_another(tmp_path: Path) -> None:
    """Layers that cannot be unpacked over each other are refused."""
    layers = [
        a_zip(tmp_path / "1.zip", {"python/a": ""}),
        a_zip(tmp_path / "2.zip", {"python/a/b.py": ""}),
    ]

    with pytest.raises(VerificationError, match=r"2\.zip"):
        unpack_layers(layers, tmp_path / "opt")
