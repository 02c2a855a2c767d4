"""`lambda-build diff`: two zips in, what is not the same out."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from fakes.projects import quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.words import NO_FILE, NO_ZIP

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fakes.projects import Run

DATE = (1980, 1, 1, 0, 0, 0)
MODULE = b"x = 1\n" * 20


def a_zip(
    path: Path,
    files: Mapping[str, bytes],
    *,
    mode: int = 0o644,
    method: int = zipfile.ZIP_DEFLATED,
    date: tuple[int, int, int, int, int, int] = DATE,
    comment: bytes = b"",
) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date)
            info.create_system = 3
            info.external_attr = (0o100000 | mode) << 16
            info.compress_type = method
            archive.writestr(info, content)
        archive.comment = comment
    return path


def metadata(name: str, version: str) -> dict[str, bytes]:
    """Give the one file that makes a distribution."""
    return {f"{name}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n".encode()}


def diff(*arguments: str | Path, folder: Path) -> Run:
    """Run the command."""
    return run_lambda_build("diff", *arguments, cwd=folder, environ=quiet_environment(folder))


def found(folder: Path, before: Path, after: Path) -> dict[str, Any]:
    """Run the command for machines; give what differs, without the digests and sizes."""
    run = diff(before, after, "--json", folder=folder)
    result: dict[str, Any] = json.loads(run.output)
    assert (run.code, run.errors) == (0 if result["same"] else 1, "")
    assert result.pop("sha256") == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (before, after)
    ]
    assert result.pop("size") == [path.stat().st_size for path in (before, after)]
    assert result.pop("schema") == 1
    return result


def changed(name: str, *fields: tuple[str, str, str]) -> dict[str, object]:
    """Spell a change."""
    keys = ("what", "before", "after")
    return {
        "name": name,
        "change": "changed",
        "differs": [dict(zip(keys, field, strict=True)) for field in fields],
    }


def test_same(tmp_path: Path) -> None:
    """The same bytes are no difference, and the exit code says so."""
    one, other = (a_zip(tmp_path / name, {"a.py": MODULE}) for name in ("a.zip", "b.zip"))

    assert found(tmp_path, one, other) == {
        "same": True,
        "files_are_same": True,
        "packages": [],
        "files": [],
        "why": [],
    }


def test_packages_and_files(tmp_path: Path) -> None:
    """What came, went and changed is told, by package and by file."""
    one = a_zip(
        tmp_path / "a.zip",
        {"a.py": MODULE, "old.py": b"", **metadata("gone", "1.0"), **metadata("moved", "1.0")},
    )
    other = a_zip(
        tmp_path / "b.zip",
        {"a.py": b"y", "new.py": b"", **metadata("came", "3"), **metadata("moved", "2.0")},
    )

    result = found(tmp_path, one, other)

    assert result["packages"] == [
        {"name": "came", "change": "added", "differs": []},
        {"name": "gone", "change": "removed", "differs": []},
        changed("moved", ("version", "1.0", "2.0")),
    ]
    assert [(file["name"], file["change"]) for file in result["files"]] == [
        ("a.py", "changed"),
        ("came-3.dist-info/METADATA", "added"),
        ("gone-1.0.dist-info/METADATA", "removed"),
        ("moved-1.0.dist-info/METADATA", "removed"),
        ("moved-2.0.dist-info/METADATA", "added"),
        ("new.py", "added"),
        ("old.py", "removed"),
    ]
    assert (result["files_are_same"], result["why"]) == (
        False,
        [
            "1 package added",
            "1 package removed",
            "3 files added",
            "3 files removed",
            "1 package with a different version",
            "1 file whose content differs",
        ],
    )


@pytest.mark.parametrize(
    ("options", "fields", "why"),
    [
        pytest.param({"mode": 0o755}, [("mode", "0644", "0755")], "mode", id="mode"),
        pytest.param(
            {"method": zipfile.ZIP_STORED},
            [("compression", "deflated", "stored")],
            "compression",
            id="compression",
        ),
        pytest.param(
            {"date": (2024, 2, 29, 1, 2, 4)},
            [("date", "1980-01-01 00:00:00", "2024-02-29 01:02:04")],
            "date",
            id="date",
        ),
    ],
)
def test_same_files(
    tmp_path: Path, options: dict[str, Any], fields: list[tuple[str, str, str]], why: str
) -> None:
    """Where the contents are the same, it is said what makes other bytes of them."""
    one = a_zip(tmp_path / "a.zip", {"a.py": MODULE})
    other = a_zip(tmp_path / "b.zip", {"a.py": MODULE}, **options)

    assert found(tmp_path, one, other) == {
        "same": False,
        "files_are_same": True,
        "packages": [],
        "files": [changed("a.py", *fields)],
        "why": [f"1 file whose {why} differs"],
    }


def test_order(tmp_path: Path) -> None:
    """The order of the files alone makes other bytes."""
    one = a_zip(tmp_path / "a.zip", {"a.py": MODULE, "b.py": MODULE})
    other = a_zip(tmp_path / "b.zip", {"b.py": MODULE, "a.py": MODULE})

    assert found(tmp_path, one, other) == {
        "same": False,
        "files_are_same": True,
        "packages": [],
        "files": [],
        "why": ["the files are in a different order"],
    }


def test_what_is_between_the_files(tmp_path: Path) -> None:
    """Where no file differs in anything, that is told."""
    one = a_zip(tmp_path / "a.zip", {"a.py": MODULE})
    other = a_zip(tmp_path / "b.zip", {"a.py": MODULE}, comment=b"made on Friday")

    assert found(tmp_path, one, other)["why"] == [
        "all files, their order and their properties are the same: "
        "the compressed data or the bytes between the files differ"
    ]


def test_text(tmp_path: Path) -> None:
    """For people there are signs, and control characters of names are spelled out."""
    one = a_zip(tmp_path / "a.zip", {"a.py": b"x"})
    other = a_zip(tmp_path / "b.zip", {"a.py": b"x", "n\x1b[2J.py": b""}, mode=0o755)
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other))

    run = diff("a.zip", "b.zip", folder=tmp_path)

    assert (run.code, run.errors) == (1, "")
    assert run.output == (
        f"- a.zip: {one.stat().st_size:,} bytes, sha256 {first}\n"
        f"+ b.zip: {other.stat().st_size:,} bytes, sha256 {second}\n"
        "\nfiles:\n"
        "  ~ a.py\n"
        "      mode: 0644 → 0755\n"
        "  + n\\x1b[2J.py\n"
        "\nReasons:\n"
        "  1 file added\n"
        "  1 file whose mode differs\n"
    )


@pytest.mark.parametrize(("flags", "listed"), [((), 20), (("-v",), 30)], ids=["normal", "verbose"])
def test_long_list(tmp_path: Path, flags: tuple[str, ...], listed: int) -> None:
    """A long list is cut, and says how to see the rest."""
    one = a_zip(tmp_path / "a.zip", {})
    other = a_zip(tmp_path / "b.zip", {f"{number}.py": b"" for number in range(30)})

    run = diff(one, other, *flags, folder=tmp_path)

    assert run.output.count("\n  + ") == listed
    assert ("  … and 10 more; use -v or --json to list them\n" in run.output) is (listed == 20)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, NO_FILE, id="absent"),
        pytest.param(b"no zip", NO_ZIP, id="no-zip"),
        pytest.param(
            a_wheel().content.replace(b"demo/__init__.py", b"demo/__init__.xx", 1),
            "",
            id="damaged",
        ),
    ],
)
def test_unreadable(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """What cannot be read is not compared, and that is no difference."""
    one = a_zip(tmp_path / "a.zip", {})
    other = tmp_path / "b.zip"
    if content is not None:
        other.write_bytes(content)

    run = diff(one, other, folder=tmp_path)

    start = f"error: {other} cannot be compared: {problem}"
    assert (run.code, run.output, run.errors[: len(start)]) == (2, "", start)
    assert run.errors.endswith("\n\nhint: name two undamaged zips\n")


@pytest.mark.parametrize(("content", "code"), [(b"x = 1\n", 0), (b"x = 2\n", 1)])
def test_quiet_answers_by_the_exit_code(tmp_path: Path, content: bytes, code: int) -> None:
    """With -q nothing is printed, unless it is asked for as JSON."""
    one = a_zip(tmp_path / "a.zip", {"a.py": b"x = 1\n"})
    other = a_zip(tmp_path / "b.zip", {"a.py": content})

    run = diff(one, other, "-q", folder=tmp_path)

    assert (run.code, run.output, run.errors) == (code, "", "")
    plain = diff(one, other, "--json", folder=tmp_path)
    assert diff(one, other, "--json", "--quiet", folder=tmp_path) == plain


def test_one_zip_is_not_enough(tmp_path: Path) -> None:
    """Usage is told as everywhere."""
    run = diff("a.zip", folder=tmp_path)

    assert (run.code, run.output) == (2, "")
    assert run.errors.endswith(": B.zip\n")
