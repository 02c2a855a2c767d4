"""Metadata that means the same is spelled the same."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel

from lambda_build_plugin.wheel.rewrite import normalize
from lambda_build_plugin.wheel.spelling import respelled_metadata, respelled_wheel

if TYPE_CHECKING:
    from pathlib import Path

_HEAD = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


def respelled(*lines: str, body: str = "") -> list[str]:
    """Get the lines of METADATA after its head."""
    text = _HEAD + "".join(f"{line}\n" for line in lines) + body
    head, *rest = respelled_metadata(text.encode()).decode().partition("Version: 1.0\n")
    assert head == "Metadata-Version: 2.4\nName: demo\n"
    return rest[1].splitlines()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            ["Requires-Dist: requests (>=2,<3)"], ["Requires-Dist: requests<3,>=2"], id="version"
        ),
        pytest.param(
            ["Requires-Dist: a[y,x]; sys_platform=='linux'"],
            ['Requires-Dist: a[x,y] ; sys_platform == "linux"'],
            id="marker",
        ),
        pytest.param(
            ["Requires-Dist: b", "Requires-Dist: a", "Summary: s"],
            ["Summary: s", "Requires-Dist: a", "Requires-Dist: b"],
            id="order",
        ),
        pytest.param(
            ["License: MIT", "Classifier: License :: OSI Approved :: MIT License"],
            ["License-Expression: MIT"],
            id="license",
        ),
        pytest.param(
            ["Home-page: https://example.org"],
            ["Project-URL: Homepage, https://example.org"],
            id="home page",
        ),
        pytest.param(
            ["Requires-Python: >=3.9, <4", "Dynamic: requires-python"],
            ["Requires-Python: <4,>=3.9"],
            id="Python",
        ),
        pytest.param(
            ["Classifier: Programming Language :: Python :: 3.14", "Classifier: Typing :: Typed"],
            ["Classifier: Typing :: Typed"],
            id="classifiers",
        ),
    ],
)
def test_two_spellings(first: list[str], second: list[str]) -> None:
    """Two backends that mean the same give the same."""
    assert respelled(*first) == respelled(*second) != []


@pytest.mark.parametrize(
    "lines",
    [
        ["License: All rights reserved,", "        really"],
        ["Requires-Dist: ==broken", "Requires-Python: ~~3"],
        ["Requires-Dist: common"],
        ["Author: M\N{LATIN SMALL LETTER U WITH DIAERESIS}"],
    ],
)
def test_what_stays(lines: list[str]) -> None:
    """What has one spelling only, or cannot be read, stays as it is."""
    assert sorted(respelled(*lines)) == sorted(lines)


def test_description() -> None:
    """The description stays, without the empty lines at its end."""
    assert respelled("Summary: s", body="\n# Demo\n\nName: x\n\n\n") == [
        "Summary: s",
        "",
        "# Demo",
        "",
        "Name: x",
    ]


@pytest.mark.parametrize("line", ["Metadata-Version: 3.0\n", "Import-Name: demo\n"])
def test_later_formats(line: str) -> None:
    """Metadata that an older version cannot express keeps its version."""
    head = "" if "Version" in line else "Metadata-Version: 2.5\n"
    text = f"{head}{line}Name: demo\nVersion: 1.0\n"

    assert respelled_metadata(text.encode()).decode().partition("\n")[0] == text.partition("\n")[0]


def test_twice() -> None:
    """What is spelled once stays as it is."""
    once = respelled_metadata(f"{_HEAD}License: MIT\nRequires-Dist: a (>1)\n\ntext".encode())

    assert respelled_metadata(once) == once


def test_wheel_file() -> None:
    """The file names neither the backend nor its version, and keeps the order of tags."""
    text = b"Wheel-Version: 1.0\r\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n"

    assert (
        respelled_wheel(text + b"Generator: x (2)\n").decode()
        == "Wheel-Version: 1.0\nGenerator: lambda-build-plugin\nRoot-Is-Purelib: true\n"
        "Tag: py2-none-any\nTag: py3-none-any\n"
    )


def test_license_beside_the_metadata(tmp_path: Path) -> None:
    """A license lies where newer backends have it, and RECORD and METADATA say so."""
    files = {"demo.py": "", "demo-1.0.dist-info/LICENSE": "free"}
    path = a_wheel(files=files).write_to(tmp_path)

    assert normalize(path).built_by == "a_wheel 1.0"

    with zipfile.ZipFile(path) as archive:
        assert archive.read("demo-1.0.dist-info/licenses/LICENSE") == b"free"
        assert "demo-1.0.dist-info/LICENSE" not in archive.namelist()
        assert b"License-File: LICENSE\n" in archive.read("demo-1.0.dist-info/METADATA")
        record = archive.read("demo-1.0.dist-info/RECORD").decode()
    assert "demo-1.0.dist-info/licenses/LICENSE,sha256=" in record
