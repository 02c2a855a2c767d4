from __future__ import annotations

import base64
import csv
import hashlib
import itertools
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel
from fakes.words import NO_FILE, NO_TEXT, NO_ZIP
from packaging.utils import canonicalize_name

from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.errors import StageError
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.stage.tree import StagedTree
from lambda_build_plugin.wheel.file import InvalidWheelError, UnsafePathError, Wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fakes.wheels import FakeWheel

_DIST_INFO = "demo-1.0.dist-info"


def staged(folder: Path, *fakes: FakeWheel, prefix: str = "") -> StagedTree:
    """Write the wheels, each into a folder of its own, and lay them out."""
    places = (folder / str(number) for number in itertools.count())
    return stage([a_wheel_at(fake, next(places)) for fake in fakes], prefix=prefix)


def a_wheel_at(fake: FakeWheel, folder: Path) -> Wheel:
    """Write a wheel and describe it."""
    return Wheel.of(fake.write_to(folder), sha256=fake.sha256, source="wheel")


def contents(tree: StagedTree, folder: Path) -> dict[str, bytes]:
    """Write the tree and read it back: what ships."""
    path = folder / "artifact.zip"
    write_archive(tree, path, epoch=None)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def code(found: Mapping[str, bytes]) -> dict[str, str]:
    """Get all but the metadata, as text."""
    return {name: data.decode() for name, data in found.items() if ".dist-info/" not in name}


def paths(tree: StagedTree) -> list[str]:
    """Get all paths but those of metadata."""
    return [entry.path for entry in tree.entries if ".dist-info/" not in entry.path]


def record(found: Mapping[str, bytes], name: str = f"{_DIST_INFO}/RECORD") -> list[list[str]]:
    """Get the rows of a RECORD."""
    return list(csv.reader(found[name].decode().splitlines()))


def a_row(path: str, data: bytes) -> list[str]:
    """Make the row of a file as PEP 376 and PEP 427 have it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return [path, f"sha256={digest}", str(len(data))]


def a_member(name: str) -> zipfile.ZipInfo:
    """Make an entry with a name that `ZipInfo` would tidy."""
    entry = zipfile.ZipInfo("tidy")
    entry.filename = name
    return entry


def encrypted(fake: FakeWheel, name: str) -> FakeWheel:
    """Set the flag of encryption in the central directory."""
    content = bytearray(fake.content)
    place = content.rindex(name.encode()) - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    content[place + 8] |= 1
    return replace(fake, content=bytes(content))


@pytest.mark.parametrize("prefix", ["", "python/", "python/lib/python3.13/site-packages/"])
def test_prefix(tmp_path: Path, prefix: str) -> None:
    """All files lie below the prefix, sorted by path."""
    tree = staged(tmp_path, a_wheel("b"), a_wheel("a"), prefix=prefix)

    assert [entry.path for entry in tree.entries] == [
        f"{prefix}{path}"
        for path in (
            "a-1.0.dist-info/METADATA",
            "a-1.0.dist-info/RECORD",
            "a-1.0.dist-info/WHEEL",
            "a/__init__.py",
            "b-1.0.dist-info/METADATA",
            "b-1.0.dist-info/RECORD",
            "b-1.0.dist-info/WHEEL",
            "b/__init__.py",
        )
    ]
    assert tree.prefix == prefix


def test_distributions(tmp_path: Path) -> None:
    """Each wheel is one distribution of the tree, by name, with its metadata folder."""
    tree = staged(tmp_path, a_wheel("b-c", "2.0"), a_wheel("a"))

    assert [(item.wheel.name, item.dist_info) for item in tree.distributions] == [
        ("a", "a-1.0.dist-info"),
        ("b-c", "b_c-2.0.dist-info"),
    ]


def test_owner_and_size(tmp_path: Path) -> None:
    """Every entry knows whose it is, and its size adds to that of the tree."""
    tree = staged(tmp_path, a_wheel("a", files={"a.py": "12345"}))

    assert {entry.owner for entry in tree.entries} == {"a"}
    assert tree.size == sum(len(data) for data in contents(tree, tmp_path).values())


@pytest.mark.parametrize("root_is_purelib", [True, False])
def test_data_directories(tmp_path: Path, *, root_is_purelib: bool) -> None:
    """What `.data` holds of libraries and data goes to the root; headers and scripts do not."""
    files = {
        "root.py": "root",
        "demo-1.0.data/purelib/pure.py": "pure",
        "demo-1.0.data/platlib/pkg/plat.so": "plat",
        "demo-1.0.data/data/etc/demo.conf": "data",
        "demo-1.0.data/data/bin/tool": "tool",
        "demo-1.0.data/headers/demo.h": "header",
        "demo-1.0.data/scripts/demo": "#!python",
    }

    tree = staged(tmp_path, a_wheel(files=files, root_is_purelib=root_is_purelib))

    assert code(contents(tree, tmp_path)) == {
        "etc/demo.conf": "data",
        "pkg/plat.so": "plat",
        "pure.py": "pure",
        "root.py": "root",
    }


def test_data_directories_in_a_layer(tmp_path: Path) -> None:
    """The root of `.data` is the prefix as well."""
    tree = staged(
        tmp_path, a_wheel(files={"demo-1.0.data/data/etc/demo.conf": ""}), prefix="python/"
    )

    assert paths(tree) == ["python/etc/demo.conf"]


def test_package_named_bin(tmp_path: Path) -> None:
    """A package called `bin` is code, not scripts."""
    assert paths(staged(tmp_path, a_wheel(files={"bin/__init__.py": ""}))) == ["bin/__init__.py"]


def test_entry_points(tmp_path: Path) -> None:
    """Entry points are kept as metadata, and make no script."""
    text = "[console_scripts]\ndemo = demo:main\n\n[gui_scripts]\nwindow = demo:main [extra]\n"

    found = contents(staged(tmp_path, a_wheel(files={}, entry_points=text)), tmp_path)

    assert sorted(found) == [
        f"{_DIST_INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")
    ]
    assert found[f"{_DIST_INFO}/entry_points.txt"].decode() == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("demo = demo:main\n", id="no section"),
        pytest.param("[console_scripts]\ndemo = !!!\n", id="no object reference"),
        pytest.param("[console_scripts]\ndemo = demo\n", id="no attribute"),
        pytest.param("[console_scripts]\nd%e = demo:%(main)s\n", id="interpolation"),
        pytest.param("[console_scripts]\na = demo:main\na = demo:main\n", id="twice"),
    ],
)
def test_broken_entry_points(tmp_path: Path, text: str) -> None:
    """Scripts are not made, so that entry points which cannot be read do no harm."""
    found = contents(staged(tmp_path, a_wheel(files={}, entry_points=text)), tmp_path)

    assert found[f"{_DIST_INFO}/entry_points.txt"].decode() == text


def test_bytecode_caches(tmp_path: Path) -> None:
    """Bytecode caches stay behind, whatever made them; a module without source does not."""
    files = {"demo/__pycache__/a.cpython-313.pyc": "", "__pycache__/b.pyc": "", "demo/c.pyc": ""}

    assert paths(staged(tmp_path, a_wheel(files=files))) == ["demo/c.pyc"]


def test_signatures(tmp_path: Path) -> None:
    """Signatures of RECORD stay behind: RECORD is another one."""
    files = {f"{_DIST_INFO}/RECORD.jws": "", f"{_DIST_INFO}/RECORD.p7s": ""}

    found = contents(staged(tmp_path, a_wheel(files=files)), tmp_path)

    assert sorted(found) == [f"{_DIST_INFO}/{name}" for name in ("METADATA", "RECORD", "WHEEL")]


def test_folders(tmp_path: Path) -> None:
    """Entries of folders are no files."""
    fake = a_wheel(files={"demo/a.py": ""}, raw_members=[(a_member("demo/"), b"")])

    assert paths(staged(tmp_path, fake)) == ["demo/a.py"]


def test_executables(tmp_path: Path) -> None:
    """A file that may be executed in the wheel may be in the tree."""
    fake = a_wheel(files={"run": "", "data": ""}, executable=["run"])

    tree = staged(tmp_path, fake)

    assert [entry.path for entry in tree.entries if entry.executable] == ["run"]


@pytest.mark.parametrize("prefix", ["", "python/"])
def test_record(tmp_path: Path, prefix: str) -> None:
    """RECORD is sorted, relative to its own root, and true to every byte that ships."""
    files = {
        "demo/b.py": "b",
        "demo/a.py": "a",
        "demo/ü, or so.txt": "ü",
        "demo-1.0.data/purelib/c.py": "c",
        "demo-1.0.data/scripts/demo": "#!python",
        "demo/__pycache__/a.pyc": "",
    }

    found = contents(staged(tmp_path, a_wheel(files=files), prefix=prefix), tmp_path)

    own = f"{prefix}{_DIST_INFO}/RECORD"
    assert record(found, own) == [
        *(
            a_row(name.removeprefix(prefix), data)
            for name, data in sorted(found.items())
            if name != own
        ),
        [f"{_DIST_INFO}/RECORD", "", ""],
    ]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("", id="none"),
        pytest.param("a.py,,\n", id="empty"),
        pytest.param("a.py,md5=DMF1ucDxtqgxw5niaXcmYQ,1\n", id="weak"),
        pytest.param("a.py,sha256=,1\n", id="hollow"),
    ],
)
def test_row_without_digest(tmp_path: Path, row: str) -> None:
    """A file of which RECORD tells no sha256 is hashed."""
    fake = a_wheel(files={"a.py": "a"}, record=f"{row}{_DIST_INFO}/RECORD,,\n".encode())

    found = contents(staged(tmp_path, fake), tmp_path)

    assert a_row("a.py", b"a") in record(found)


@pytest.mark.parametrize("size", ["2", "0", "x"])
def test_lying_record(tmp_path: Path, size: str) -> None:
    """A size in RECORD that is not the member's is refused."""
    fake = a_wheel(files={"a.py": "a"}, record=f"a.py,,{size}\n{_DIST_INFO}/RECORD,,\n".encode())

    with pytest.raises(InvalidWheelError) as caught:
        staged(tmp_path, fake)

    assert caught.value.why == f"RECORD says that `a.py` has {size} bytes; it has 1"


@pytest.mark.parametrize("letter", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_odd_line_ends(tmp_path: Path, letter: str) -> None:
    """A row of RECORD ends where CSV says, not at every character that may break a line."""
    name = f"a{letter}b.txt"

    assert paths(staged(tmp_path, a_wheel(files={name: ""}))) == [name]


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "in reverse"])
def test_collision(tmp_path: Path, *, reverse: bool) -> None:
    """Of two files with one path the later by name of its owner ships, and both are named."""
    fakes = [a_wheel(name, files={"same.py": name, f"{name}.py": ""}) for name in ("a", "b")]

    tree = staged(tmp_path, *(reversed(fakes) if reverse else fakes))

    found = contents(tree, tmp_path)
    assert tree.warnings == (
        "`same.py` comes from a and from b with different content: the one from b ships",
    )
    assert code(found) == {"a.py": "", "b.py": "", "same.py": "b"}


def test_record_after_a_collision(tmp_path: Path) -> None:
    """The RECORD of the distribution that lost drops the row, that of the winner has it."""
    fakes = [a_wheel(name, files={"same.py": name, f"{name}.py": ""}) for name in ("a", "b")]

    found = contents(staged(tmp_path, *fakes), tmp_path)

    listed = {
        name: [row[0] for row in record(found, f"{name}-1.0.dist-info/RECORD")] for name in "ab"
    }
    assert listed == {
        "a": [f"a-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL")]
        + ["a.py", "a-1.0.dist-info/RECORD"],
        "b": [f"b-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL")]
        + ["b.py", "same.py", "b-1.0.dist-info/RECORD"],
    }


def test_equal_files(tmp_path: Path) -> None:
    """Two distributions may bring the same file: both own it, and nobody is warned."""
    tree = staged(tmp_path, *(a_wheel(name, files={"same.py": "same"}) for name in ("a", "b")))

    found = contents(tree, tmp_path)
    row = a_row("same.py", b"same")
    assert tree.warnings == ()
    assert [row in record(found, f"{name}-1.0.dist-info/RECORD") for name in "ab"] == [True, True]


def test_equal_files_of_one_wheel(tmp_path: Path) -> None:
    """A wheel that brings a file twice, by two ways, has one row for it."""
    fake = a_wheel(files={"same.py": "same", "demo-1.0.data/purelib/same.py": "same"})

    found = contents(staged(tmp_path, fake), tmp_path)

    assert [row[0] for row in record(found)].count("same.py") == 1


def test_paths_that_differ_in_case(tmp_path: Path) -> None:
    """Lambda keeps both, and a warning names them with their owners."""
    fakes = (a_wheel("a", files={"pkg/A.py": ""}), a_wheel("b", files={"pkg/a.py": ""}))

    tree = staged(tmp_path, *fakes)

    assert {"pkg/A.py", "pkg/a.py"} <= set(paths(tree))
    assert tree.warnings == (
        "`pkg/A.py` of a and `pkg/a.py` of b differ only in case: on Windows and macOS "
        "they unpack to one file",
    )


def test_collision_of_three(tmp_path: Path) -> None:
    """All that lose are named."""
    fakes = (a_wheel(name, files={"same.py": name}) for name in ("c", "a", "b"))

    assert staged(tmp_path, *fakes).warnings == (
        "`same.py` comes from a, b and from c with different content: the one from c ships",
    )


def test_file_where_a_folder_is(tmp_path: Path) -> None:
    """A file cannot ship where another distribution needs a folder."""
    fakes = [a_wheel("a", files={"same": ""}), a_wheel("b", files={"same/deep/file.py": ""})]

    with pytest.raises(StageError) as caught:
        staged(tmp_path, *fakes)

    assert (caught.value.what, caught.value.why) == (
        "`same` is both a file and a folder",
        "a contains the file, b contains `same/deep/file.py`",
    )


def test_two_wheels_of_one_name(tmp_path: Path) -> None:
    """One distribution cannot come from two wheels."""
    fakes = [a_wheel(files={"a.py": ""}), a_wheel(files={"b.py": ""})]

    with pytest.raises(StageError):
        staged(tmp_path, *fakes)


@pytest.mark.parametrize("where", ["", "demo-1.0.data/purelib/", "demo-1.0.data/scripts/"])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("../up.py", "escapes or is not normalized", id="parent"),
        pytest.param("demo/../../up.py", "escapes or is not normalized", id="hidden parent"),
        pytest.param("demo/./up.py", "escapes or is not normalized", id="dot"),
        pytest.param("demo\\up.py", "is a Windows path", id="backslash"),
        pytest.param("C:/up.py", "is a Windows path", id="drive"),
        pytest.param("C:up.py", "is a Windows path", id="drive without root"),
        pytest.param("demo/a\0.py", "holds a NUL byte", id="NUL"),
    ],
)
def test_unsafe_paths(tmp_path: Path, where: str, name: str, problem: str) -> None:
    """A path that leaves the artifact on any system is refused, even of what does not ship."""
    fake = a_wheel(files={}, raw_members=[(a_member(f"{where}{name}"), b"")])

    with pytest.raises(UnsafePathError) as caught:
        staged(tmp_path, fake)

    assert caught.value.why == f"`{caught.value.path!r}` {problem}"


def test_unnormalized_path(tmp_path: Path) -> None:
    """A path with an empty part is refused: two spellings would be one file."""
    fake = a_wheel(files={}, raw_members=[(a_member("demo//a.py"), b"")])

    with pytest.raises(UnsafePathError) as caught:
        staged(tmp_path, fake)

    assert caught.value.why == "`'demo//a.py'` escapes or is not normalized"


def test_absolute_path(tmp_path: Path) -> None:
    """An absolute path is refused."""
    fake = a_wheel(files={}, raw_members=[(a_member("/etc/passwd"), b"")])

    with pytest.raises(UnsafePathError) as caught:
        staged(tmp_path, fake)

    assert caught.value.why == "`'/etc/passwd'` is absolute"


@pytest.mark.parametrize("name", ["../demo", "/bin/demo", "..\\demo", "C:demo"])
def test_unsafe_scripts(tmp_path: Path, name: str) -> None:
    """An entry point whose script would lie elsewhere is refused."""
    fake = a_wheel(entry_points=f"[console_scripts]\n{name} = demo:main\n")

    with pytest.raises(UnsafePathError) as caught:
        staged(tmp_path, fake)

    assert caught.value.path == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("demo-1.0.data/bogus/a.py", id="unknown kind of data"),
        pytest.param("demo-1.0.data/../a.py", id="parent of data"),
        pytest.param("demo-1.0.data/purelib", id="file for a kind"),
        pytest.param("demo-1.0.data", id="file for data"),
    ],
)
def test_broken_data(tmp_path: Path, name: str) -> None:
    """What `.data` cannot hold by PEP 427 is refused."""
    fake = a_wheel(files={}, raw_members=[(a_member(name), b"")])

    with pytest.raises(StageError):
        staged(tmp_path, fake)


def test_duplicate_members(tmp_path: Path) -> None:
    """A member that is there twice is refused: nobody knows which one is meant."""
    fake = a_wheel(files={"a.py": "1"}, raw_members=[(zipfile.ZipInfo("a.py"), b"2")])

    with pytest.raises(InvalidWheelError) as caught:
        staged(tmp_path, fake)

    assert caught.value.why == "`a.py` is there twice"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("demo/__init__.py", id="file"),
        pytest.param(f"{_DIST_INFO}/WHEEL", id="WHEEL"),
        pytest.param(f"{_DIST_INFO}/RECORD", id="RECORD"),
    ],
)
def test_encrypted_members(tmp_path: Path, name: str) -> None:
    """An encrypted member is refused."""
    with pytest.raises(InvalidWheelError, match="encrypted"):
        staged(tmp_path, encrypted(a_wheel(), name))


@pytest.mark.parametrize(
    ("files", "why"),
    [
        pytest.param(
            {"other-1.0.dist-info/METADATA": ""},
            "it has 2 .dist-info folders instead of one",
            id="another's metadata",
        ),
        pytest.param(
            {f"{_DIST_INFO}/WHEEL": b"\xff"},
            NO_TEXT,
            id="WHEEL is no text",
        ),
    ],
)
def test_invalid_wheels(tmp_path: Path, files: Mapping[str, bytes | str], why: str) -> None:
    """A wheel that breaks PEP 427 is refused with the reason."""
    with pytest.raises(InvalidWheelError) as caught:
        staged(tmp_path, a_wheel(files=files))

    assert (caught.value.what, caught.value.why) == (
        "demo-1.0-py3-none-any.whl cannot be laid out",
        why,
    )


def test_unknown_wheel_version(tmp_path: Path) -> None:
    """A wheel of a later major format is refused in plain words."""
    wheel = "Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"

    with pytest.raises(InvalidWheelError) as caught:
        staged(tmp_path, a_wheel(files={f"{_DIST_INFO}/WHEEL": wheel}))

    assert "2.0" in caught.value.why
    assert "object at 0x" not in caught.value.why


def test_malformed_record(tmp_path: Path) -> None:
    """A RECORD whose rows are no rows is refused."""
    with pytest.raises(InvalidWheelError):
        staged(tmp_path, a_wheel(record=b"a,b\n"))


def test_wheel_of_a_stranger(tmp_path: Path) -> None:
    """A wheel whose metadata folder bears another name than its file is refused."""
    fake = replace(a_wheel("other"), filename="demo-1.0-py3-none-any.whl")

    with pytest.raises(InvalidWheelError) as caught:
        staged(tmp_path, fake)

    assert (
        caught.value.why == "its metadata folder is `other-1.0.dist-info`: "
        "that is another distribution"
    )


def test_unnormalized_metadata_folder(tmp_path: Path) -> None:
    """A metadata folder may spell the name otherwise."""
    files = {
        "Demo.App-1.0.dist-info/METADATA": "Name: Demo.App\nVersion: 1.0\n",
        "Demo.App-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
        "Demo.App-1.0.dist-info/RECORD": "",
    }
    path = tmp_path / "demo_app-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)

    tree = stage([Wheel.of(path, sha256="", source="wheel")], prefix="")

    assert [item.dist_info for item in tree.distributions] == ["Demo.App-1.0.dist-info"]
    assert {entry.owner for entry in tree.entries} == {canonicalize_name("demo-app")}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no zip at all", id="something else"),
        pytest.param(a_wheel().content[:-30], id="cut short"),
    ],
)
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    """A file that is no zip is refused."""
    with pytest.raises(InvalidWheelError) as caught:
        staged(tmp_path, replace(a_wheel(), content=content))

    assert caught.value.why == NO_ZIP


def test_missing_wheel(tmp_path: Path) -> None:
    """A wheel that has gone is an error of ours."""
    wheel = a_wheel_at(a_wheel(), tmp_path)
    wheel.path.unlink()

    with pytest.raises(InvalidWheelError) as caught:
        stage([wheel], prefix="")

    assert caught.value.why == f"it cannot be read: {NO_FILE}"


def test_nothing(tmp_path: Path) -> None:
    """No wheels make an empty tree."""
    assert staged(tmp_path) == StagedTree(entries=(), distributions=(), prefix="")
