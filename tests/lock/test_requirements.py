"""Requirements files, in pip's format, as locks."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

import pytest
from fakes.words import NO_FILE, NO_URL
from packaging.utils import canonicalize_name
from packaging.version import Version

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.project import Project, read_project
from lambda_build_plugin.errors import LockError
from lambda_build_plugin.lock import requirements, requirements_lines
from lambda_build_plugin.lock.fields import Context
from lambda_build_plugin.lock.markers import LockMarker
from lambda_build_plugin.lock.model import LockedDirectory, LockedFile, LockedPackage, LockedVcs
from lambda_build_plugin.system.hashes import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.lock.model import Lock

A, B, C = "a" * 64, "b" * 64, "c" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def a_lock(
    folder: Path,
    text: str | bytes,
    *,
    name: str = "requirements.txt",
    environ: Mapping[str, str] | None = None,
    beside: Mapping[str, str] | None = None,
) -> Lock:
    """Write a file and those beside it, and read it."""
    for other, content in (beside or {}).items():
        (folder / other).write_text(content, encoding="utf-8")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    project = Project(root=folder.resolve(), name=canonicalize_name("demo"))
    return requirements.read(path, Context(project=project, environ=environ or {}))


def a_package(folder: Path, text: str) -> LockedPackage:
    """Read the one package of a lock."""
    (package,) = a_lock(folder, text).packages
    return package


def pins(lock: Lock) -> list[str]:
    """Name packages with the digests that vouch for them."""
    return [
        " ".join((str(package), *(str(file.digest) for file in package.unnamed)))
        for package in lock.packages
    ]


def refusal(folder: Path, text: str, *, beside: Mapping[str, str] | None = None) -> str:
    """Read a lock that is not right, and show the message."""
    with pytest.raises(LockError) as caught:
        a_lock(folder, text, beside=beside)
    return str(caught.value)


# --- pins -----------------------------------------------------------------------------


def test_pin_with_hashes(tmp_path: Path) -> None:
    """A name, a version, and digests of files whose names the index will tell."""
    package = a_package(
        tmp_path,
        f"""# made by a tool

Idna_Ext[Extra] == 3.10 ; python_version < "3.14" \\
    --hash=sha256:{A} \\
    --hash=sha512:{B}{B}
    # via demo
""",
    )

    assert package == LockedPackage(
        name=canonicalize_name("idna-ext"),
        version=Version("3.10"),
        at="requirements.txt, line 3",
        marker=LockMarker('python_version < "3.14"'),
        unnamed=(
            LockedFile(digest=Digest(f"sha256:{A}")),
            LockedFile(digest=Digest(f"sha512:{B}{B}")),
        ),
    )


def test_pin_without_hashes(tmp_path: Path) -> None:
    """The version is locked, the files are not, and that is worth one warning."""
    lock = a_lock(tmp_path, "idna==3.10\nurllib3===2.2\n")

    assert [(str(package), package.unhashed) for package in lock.packages] == [
        ("idna 3.10", True),
        ("urllib3 2.2", True),
    ]
    assert lock.warnings == (
        "requirements.txt has no hashes: versions are pinned, "
        "but the index decides which files they are",
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"idna==3.10 --hash=sha256:{A}", id="equals-sign"),
        pytest.param(f"idna==3.10 --hash sha256:{A}", id="space"),
        pytest.param(f'idna==3.10 --hash="sha256:{A}"', id="quoted"),
        pytest.param(f"idna==3.10 --hash=SHA256:{A.upper()}", id="upper-case"),
        pytest.param(f"idna==3.10 --hash=sha256:{A}  # a comment", id="inline-comment"),
        pytest.param(f"idna\\\n==3.\\\n10 --hash=sha256:{A[:9]}\\\n{A[9:]}", id="broken-anywhere"),
        pytest.param(f"idna==3.10 \\\r\n  --hash=sha256:{A}\r\n", id="windows-line-ends"),
        pytest.param(f"idna==3.10 --hash=sha256:{A} \\", id="continued-into-nothing"),
        pytest.param(f"idna==3.10 --hash=sha256:{A} \\\n# comment\n", id="comment-ends-a-line"),
        pytest.param(
            codecs.BOM_UTF8 + f"idna==3.10 --hash=sha256:{A}".encode(), id="byte-order-mark"
        ),
        pytest.param(f"idna==3.10 --hash=sha256:{A}".encode("utf-16"), id="utf-16-of-powershell"),
    ],
)
def test_spellings_of_one_pin(tmp_path: Path, text: str | bytes) -> None:
    """What pip reads as this pin is this pin."""
    assert pins(a_lock(tmp_path, text)) == [f"idna 3.10 sha256:{A}"]


def test_hash_sign_within_a_word_begins_no_comment(tmp_path: Path) -> None:
    """A fragment belongs to its URL."""
    package = a_package(tmp_path, f"idna @ https://files.example/idna.zip#sha256={A}")

    assert package.archive == LockedFile(
        digest=Digest(f"sha256:{A}"), filename="idna.zip", url="https://files.example/idna.zip"
    )


def test_one_version_under_several_markers_is_one_package(tmp_path: Path) -> None:
    """Lines that repeat a pin hold if one of them does, with all their digests."""
    package = a_package(
        tmp_path,
        f"idna==3.10 ; os_name == 'nt' --hash=sha256:{A}\n"
        f"idna==3.10 ; sys_platform == 'linux' --hash=sha256:{B}\n",
    )

    assert package.marker == LockMarker('(os_name == "nt") or (sys_platform == "linux")')
    assert [file.digest for file in package.unnamed] == [f"sha256:{A}", f"sha256:{B}"]


def test_repeated_line_without_marker_always_holds(tmp_path: Path) -> None:
    """A condition in one line does not weaken the other."""
    assert a_package(tmp_path, "idna==3.10\nidna==3.10 ; os_name == 'nt'").marker is None


def test_versions_under_several_markers_are_several_packages(tmp_path: Path) -> None:
    """A universal lock forks by marker."""
    lock = a_lock(tmp_path, "a==1 ; os_name == 'nt'\na==2 ; os_name != 'nt'")

    assert [str(package) for package in lock.packages] == ["a 1", "a 2"]


# --- other files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("-r sub/base.txt", id="short"),
        pytest.param("-rsub/base.txt", id="without-space"),
        pytest.param("--requirement sub/base.txt", id="long"),
        pytest.param("--requirement=sub/base.txt", id="equals-sign"),
        pytest.param("-r 'sub/base.txt'", id="quoted"),
    ],
)
def test_included_file(tmp_path: Path, line: str) -> None:
    """`-r` brings the lines of another file, whose own includes start from it."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.txt").write_text("-r more.txt\na==1\n")
    (tmp_path / "sub" / "more.txt").write_text("b==2\n")

    assert pins(a_lock(tmp_path, f"{line}\nc==3")) == ["b 2", "a 1", "c 3"]


def test_file_may_be_included_twice(tmp_path: Path) -> None:
    """Only a circle is a mistake."""
    lock = a_lock(
        tmp_path,
        "-r x.txt\n-r y.txt",
        beside={"x.txt": "-r z.txt", "y.txt": "-r z.txt", "z.txt": "a==1"},
    )

    assert pins(lock) == ["a 1"]


def test_circle_of_includes(tmp_path: Path) -> None:
    """Files that include each other would never end."""
    assert (
        refusal(tmp_path, "-r x.txt", beside={"x.txt": "-c requirements.txt\n"})
        == """\
error: cannot read the lock requirements.txt
  why: its -r and -c lines form a circle: requirements.txt → x.txt → requirements.txt

hint: remove one of them"""
    )


def test_included_file_has_to_be_there(tmp_path: Path) -> None:
    """The message names the file that is missing."""
    assert (
        refusal(tmp_path, "-r x.txt")
        == f"""\
error: cannot read the lock x.txt
  why: cannot read {tmp_path / "x.txt"}: {NO_FILE}

hint: check the path"""
    )


def test_includes_that_double_at_each_level_end(tmp_path: Path) -> None:
    """Twenty-five levels would be read thirty million times."""
    levels = {f"{level}.txt": f"-r {level + 1}.txt\n" * 2 for level in range(25)}

    assert refusal(tmp_path, "-r 0.txt", beside=levels | {"25.txt": "a==1"}) == (
        "error: cannot read the lock requirements.txt\n"
        "  why: its -r and -c lines include more than 1000 files\n\n"
        "hint: include each file once"
    )


def test_include_that_is_not_a_file(tmp_path: Path) -> None:
    """A device or a pipe may never end."""
    assert refusal(tmp_path, "-r /dev/zero") == (
        "error: cannot read the lock zero\n"
        "  why: /dev/zero is not a regular file\n\n"
        "hint: name a requirements file"
    )


def test_too_large_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real lock is that large, and it would take minutes and all memory."""
    monkeypatch.setattr(requirements_lines, "LARGEST", 2_000_000)
    monkeypatch.setattr(requirements, "LARGEST", 2_000_000)

    assert refusal(tmp_path, "#" * 2_000_001) == (
        "error: cannot read the lock requirements.txt\n"
        f"  why: {tmp_path / 'requirements.txt'} is larger than 2 MB\n\n"
        "hint: check that it is a requirements file, and shorten it"
    )
    included = f"a==1; python_version{' ' * 1_500_000}>= '3'"
    assert "it is larger than 2 MB with the files that it includes" in refusal(
        tmp_path, "-r x.txt\n-r x.txt\n", beside={"x.txt": included}
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a=={blanks}1.0", id="version"),
        pytest.param("a{blanks}==1.0{blanks}# x", id="comment"),
        pytest.param("a @ {blanks}https://files.example/a-1.0-py3-none-any.whl", id="url"),
        pytest.param("-i{blanks}https://index.example\na==1.0", id="option"),
        pytest.param("a==1.0;{blanks}python_version{blanks}>{blanks}'3'", id="marker"),
    ],
)
def test_blanks_take_linear_time(tmp_path: Path, text: str) -> None:
    """Half a million blanks would take an hour if each was where a comment might begin."""
    assert a_package(tmp_path, text.format(blanks=" " * 500_000)).name == "a"


# --- constraints ----------------------------------------------------------------------


def test_constraint_pins_what_a_line_leaves_open(tmp_path: Path) -> None:
    """A constraint brings version and digests, and no package of its own."""
    lock = a_lock(
        tmp_path,
        "-c pins.txt\nA[x]>=1 ; os_name == 'posix'",
        beside={"pins.txt": f"a==1.5 --hash=sha256:{A}\nother==2 --hash=sha256:{B}\n"},
    )

    assert pins(lock) == [f"a 1.5 sha256:{A}"]
    assert lock.packages[0].marker == LockMarker('os_name == "posix"')


def test_constraint_adds_its_hashes(tmp_path: Path) -> None:
    """The digests of both lines vouch, as in pip."""
    lock = a_lock(
        tmp_path,
        f"-c pins.txt\na==1.5 --hash=sha256:{A}",
        beside={"pins.txt": f"a==1.5 --hash=sha256:{A} --hash=sha256:{B}"},
    )

    assert pins(lock) == [f"a 1.5 sha256:{A} sha256:{B}"]


@pytest.mark.parametrize(
    ("line", "constraint"),
    [
        pytest.param("a==1", "a==2", id="pin-and-pin"),
        pytest.param("a==1", "a>=2", id="pin-and-range"),
        pytest.param("a<2", "a==2", id="range-and-pin"),
    ],
)
def test_constraint_that_contradicts(tmp_path: Path, line: str, constraint: str) -> None:
    """Nothing can satisfy both."""
    assert (
        refusal(tmp_path, f"-c pins.txt\n{line}", beside={"pins.txt": constraint})
        == f"""\
error: cannot read the lock requirements.txt
  why: requirements.txt, line 2 asks for {line}, but pins.txt, line 1 for {constraint}

hint: change or remove one of them"""
    )


def test_constraint_with_a_marker_pins_nothing(tmp_path: Path) -> None:
    """It binds in some environments, and here none is known."""
    beside = {"pins.txt": "a==2 ; os_name == 'nt'"}

    assert pins(a_lock(tmp_path, "-c pins.txt\na==1", beside=beside)) == ["a 1"]
    assert "requirements.txt, line 2: a\n" in refusal(tmp_path, "-c pins.txt\na", beside=beside)


# --- options --------------------------------------------------------------------------


def test_indexes(tmp_path: Path) -> None:
    """Where files are to be had, in every spelling; the last --index-url wins."""
    lock = a_lock(
        tmp_path,
        """-i https://one.example/simple/
--index-url https://index.example/simple/ --extra-index-url=https://two.example/simple/
--extra-index-url https://three.example/simple/  # comment
--find-links https://files.example/
-f wheels
--no-index
--trusted-host one.example --pre
--only-binary :all:
a==1
""",
    )

    assert lock.indexes == IndexOptions(
        index_url="https://index.example/simple/",
        extra_index_urls=("https://two.example/simple/", "https://three.example/simple/"),
        find_links=("https://files.example/", str(tmp_path.resolve() / "wheels")),
        no_index=True,
    )


def test_find_links_beside_the_file_come_first(tmp_path: Path) -> None:
    """As in pip, a folder is looked for beside the file, then where pip would run."""
    (tmp_path / "locks" / "near").mkdir(parents=True)

    lock = a_lock(tmp_path, "-f near\n-f far", name="locks/prod.txt")

    assert lock.indexes.find_links == (
        str(tmp_path.resolve() / "locks" / "near"),
        str(tmp_path.resolve() / "far"),
    )


def test_variables_in_urls(tmp_path: Path) -> None:
    """`${NAME}` is filled in; what is not set or not so spelled stays, as in pip."""
    lock = a_lock(
        tmp_path,
        "-i https://${USER_NAME}:${TOKEN}@index.example/${EMPTY}/$TOKEN/${token}/",
        environ={"USER_NAME": "me", "TOKEN": "secret", "EMPTY": ""},
    )

    assert lock.indexes.index_url == "https://me:secret@index.example/${EMPTY}/$TOKEN/${token}/"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("--frobnicate x", "unknown option `--frobnicate`", id="unknown"),
        pytest.param("-x", "unknown option `-x`", id="unknown-letter"),
        pytest.param("--pre idna==1", "unknown option `idna`", id="pin-behind-an-option"),
        pytest.param("--index-url", "the option `--index-url` has no value", id="no-value"),
        pytest.param("-r 'x", "no closing quotation in its options", id="open-quote"),
        pytest.param(
            "-r https://me:secret@files.example/x.txt",
            "`https://files.example/x.txt` is on a server, and only local files can be included",
            id="include-from-a-server",
        ),
        pytest.param(
            "idna==1 ; python_version ~= '3'",
            '`python_version ~= "3"` compares values that cannot be compared (PEP 508)',
            id="marker",
        ),
    ],
)
def test_line_that_cannot_be_read(tmp_path: Path, line: str, why: str) -> None:
    """The number of the line and what is wrong with it."""
    assert (
        refusal(tmp_path, f"\n{line}")
        == f"""\
error: cannot read the lock requirements.txt
  why: line 2: {why}

hint: fix the line, or report a bug if pip accepts it"""
    )


# --- local sources --------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("-e file:.", id="rye"),
        pytest.param("-e .", id="editable"),
        pytest.param("-e.", id="editable-without-space"),
        pytest.param("--editable=.[extra]", id="editable-with-extra"),
        pytest.param(".", id="folder"),
        pytest.param("./", id="folder-with-slash"),
        pytest.param("{url}", id="file-url"),
        pytest.param("demo @ {url}", id="named-file-url"),
        pytest.param("-e {url}#egg=demo", id="egg"),
    ],
)
def test_project_itself_is_no_dependency(tmp_path: Path, line: str) -> None:
    """Tools list the project too; it is built from its source."""
    lock = a_lock(
        tmp_path, line.format(url=tmp_path.resolve().as_uri()), beside={"pyproject.toml": ""}
    )

    assert lock.packages == ()


def test_project_is_found_from_a_lock_in_a_folder_below(tmp_path: Path) -> None:
    """Local paths start from where pip runs, and that is the project."""
    lock = a_lock(tmp_path, "-e .\na==1", name="locks/prod.txt", beside={"pyproject.toml": ""})

    assert pins(lock) == ["a 1"]


def a_library(folder: Path) -> Path:
    """Write the project of a library."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "My_Lib"\n')
    return folder


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("./some lib", id="path"),
        pytest.param("some lib/", id="slash"),
        pytest.param("-e file:some%20lib", id="relative-url"),
        pytest.param("{url}", id="url"),
        pytest.param("my-lib @ {url}", id="named"),
        pytest.param("./some lib[extra]", id="extra"),
    ],
)
def test_folder(tmp_path: Path, line: str) -> None:
    """A folder of source code, named by its own metadata."""
    library = a_library(tmp_path / "some lib")

    package = a_package(tmp_path, line.format(url=library.as_uri()))

    assert package == LockedPackage(
        name=canonicalize_name("my-lib"),
        at="requirements.txt, line 1",
        directory=LockedDirectory(path=library),
    )


def test_folder_without_metadata_has_the_folder_s_name(tmp_path: Path) -> None:
    """Whatever it is called, the lock can be read."""
    (tmp_path / "(my) Lib!").mkdir()

    assert a_package(tmp_path, "./(my) Lib!").name == "my-lib"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("./lib ; os_name == 'nt'", id="path"),
        pytest.param("-e ./lib; os_name == 'nt'", id="editable"),
        pytest.param("my-lib @ {url} ; os_name == 'nt'", id="named"),
    ],
)
def test_marker_of_a_folder(tmp_path: Path, line: str) -> None:
    """A local source may be conditional too."""
    library = a_library(tmp_path / "lib")

    package = a_package(tmp_path, line.format(url=library.as_uri()))

    assert package.marker == LockMarker('os_name == "nt"')


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("./wheels/idna-3.10-py3-none-any.whl", id="path"),
        pytest.param("wheels/idna-3.10-py3-none-any.whl", id="bare"),
        pytest.param("idna @ {url}/wheels/idna-3.10-py3-none-any.whl", id="named"),
    ],
)
def test_local_wheel(tmp_path: Path, line: str) -> None:
    """A wheel on this machine ships as any other, checked if there is a hash."""
    package = a_package(
        tmp_path, f"{line.format(url=tmp_path.resolve().as_uri())} --hash=sha256:{A}"
    )

    assert package == LockedPackage(
        name=canonicalize_name("idna"),
        at="requirements.txt, line 1",
        wheels=(
            LockedFile(
                digest=Digest(f"sha256:{A}"),
                filename="idna-3.10-py3-none-any.whl",
                path=tmp_path / "wheels" / "idna-3.10-py3-none-any.whl",
            ),
        ),
    )


# --- URLs -----------------------------------------------------------------------------


def test_url_of_a_wheel(tmp_path: Path) -> None:
    """A wheel by its address ships as any other."""
    package = a_package(
        tmp_path, f"x @ https://files.example/x-1%2Ba-py3-none-any.whl --hash=sha256:{A}"
    )

    assert package.wheels == (
        LockedFile(
            digest=Digest(f"sha256:{A}"),
            filename="x-1+a-py3-none-any.whl",
            url="https://files.example/x-1%2Ba-py3-none-any.whl",
        ),
    )


def test_hash_in_a_url_is_one(tmp_path: Path) -> None:
    """A fragment vouches as `--hash` does, also among hashed lines."""
    lock = a_lock(
        tmp_path,
        f"x @ https://files.example/x.zip#sha256={A}&subdirectory=lib\n"
        f"idna==3.10 --hash=sha256:{B}",
    )

    assert lock.packages[0].archive == LockedFile(
        digest=Digest(f"sha256:{A}"),
        filename="x.zip",
        url="https://files.example/x.zip",
        subdirectory="lib",
    )


@pytest.mark.parametrize(
    ("line", "url", "subdirectory"),
    [
        pytest.param(
            f"lib @ git+https://git.example/a/b.git@{COMMIT}",
            "https://git.example/a/b.git",
            None,
            id="https",
        ),
        pytest.param(
            f"lib @ git+ssh://git@git.example/a/b@{COMMIT}#subdirectory=x/y",
            "ssh://git@git.example/a/b",
            "x/y",
            id="ssh-with-user",
        ),
        pytest.param(
            f"-e git+https://git.example/a/b@{COMMIT}#egg=lib&subdirectory=x",
            "https://git.example/a/b",
            "x",
            id="pip-freeze",
        ),
    ],
)
def test_commit(tmp_path: Path, line: str, url: str, subdirectory: str | None) -> None:
    """A commit of a repository needs no hash: it is one."""
    lock = a_lock(tmp_path, f"{line}\nidna==3.10 --hash=sha256:{A}")

    assert lock.packages[0] == LockedPackage(
        name=canonicalize_name("lib"),
        at="requirements.txt, line 1",
        vcs=LockedVcs(kind="git", url=url, commit=COMMIT, subdirectory=subdirectory),
    )


# --- what is no lock ------------------------------------------------------------------


def test_open_versions_are_listed_by_line(tmp_path: Path) -> None:
    """All lines that leave something open come in one error."""
    text = """a
b>=1,<2
c==1.*
d==1,==1
e~=1.0 ; os_name == 'nt'
f @ git+https://me:secret@git.example/f@main
g @ git+ssh://git@git.example/g
h==1
-r more.txt
"""

    assert (
        refusal(tmp_path, text, beside={"more.txt": "\n# comment\ni!=1\n"})
        == """\
error: requirements.txt is not a lock: it does not pin every version
  why: requirements.txt, line 1: a
       requirements.txt, line 2: b>=1,<2
       requirements.txt, line 3: c==1.*
       requirements.txt, line 5: e~=1.0 ; os_name == 'nt'
       requirements.txt, line 6: f @ git+https://git.example/f@main
       requirements.txt, line 7: g @ git+ssh://git.example/g
       more.txt, line 3: i!=1

hint: pin every line with `==`, and repositories with a commit (`…@` and its 40 digits); \
a tool can do that, with hashes:
      uv pip compile --universal --generate-hashes pyproject.toml -o requirements.txt"""
    )


@pytest.mark.parametrize(
    "hashed",
    [
        pytest.param(f"h==1 --hash=sha256:{A}", id="some-lines-hashed"),
        pytest.param("--require-hashes", id="hashes-required"),
    ],
)
def test_hashes_for_some_lines_only(tmp_path: Path, hashed: str) -> None:
    """A file that promises hashes has them for every line."""
    text = f"{hashed}\na==1\nb @ https://me:secret@files.example/b-1-py3-none-any.whl\n-e ./lib\n"

    assert (
        refusal(tmp_path, text)
        == """\
error: the lock requirements.txt does not have a hash for every file
  why: requirements.txt, line 2: a==1: has no sha256 or stronger hash
       requirements.txt, line 3: b @ https://files.example/b-1-py3-none-any.whl: has no sha256 \
or stronger hash

hint: lock again with hashes: `uv pip compile --universal --generate-hashes pyproject.toml -o \
requirements.txt`"""
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param("sha256:abc", "`abc` is no sha256 digest", id="too-short"),
        pytest.param(f"sha256:{'x' * 64}", f"`{'x' * 64}` is no sha256 digest", id="no-hex"),
        pytest.param(f"md5:{A[:32]}", "`md5` is not a hash that is strong enough", id="weak"),
        pytest.param(f"sha265:{A}", "`sha265` is not a hash that is strong enough", id="typo"),
        pytest.param(A, f"`{A}` is not a hash that is strong enough", id="no-algorithm"),
    ],
)
def test_hash_that_is_none(tmp_path: Path, value: str, why: str) -> None:
    """A hash is never passed over in silence."""
    assert (
        refusal(tmp_path, f"a==1 --hash=sha256:{B} --hash={value}")
        == f"""\
error: cannot read the lock requirements.txt
  why: line 1: {why}

hint: lock again: `uv pip compile --universal --generate-hashes pyproject.toml -o \
requirements.txt`"""
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param("idna=3.10", "idna=3.10", id="one-equals-sign"),
        pytest.param("idna==3.10 ; linux", "idna==3.10 ; linux", id="marker"),
        pytest.param(
            "https://me:secret@files.example/x.zip", "https://files.example/x.zip", id="bare-url"
        ),
    ],
)
def test_line_that_is_no_requirement(tmp_path: Path, line: str, shown: str) -> None:
    """The line is shown, without what may be a password."""
    assert (
        refusal(tmp_path, line)
        == f"""\
error: cannot read the lock requirements.txt
  why: line 1: `{shown}` is not a requirement (PEP 508)

hint: write `name==version`, followed by its hashes as `--hash=sha256:…`"""
    )


def test_version_that_is_none(tmp_path: Path) -> None:
    """`===` takes any text, and an index knows versions only."""
    assert (
        refusal(tmp_path, "idna===latest")
        == """\
error: cannot read the lock requirements.txt
  why: line 1: `latest` is not a version (PEP 440)

hint: pin a version that the index has"""
    )


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """Text that is not UTF-8 is not guessed at."""
    with pytest.raises(LockError) as caught:
        a_lock(tmp_path, b"idna==3.10  # caf\xe9")

    assert caught.value.why == "it is not UTF-8 text"


@pytest.mark.parametrize(
    ("name", "beside", "remedy"),
    [
        pytest.param("requirements.lock", "", "rye lock --generate-hashes", id="rye"),
        pytest.param(
            "prod.txt",
            "prod.in",
            "uv pip compile --universal --generate-hashes prod.in -o prod.txt",
            id="compiled-from-a-list",
        ),
        pytest.param(
            "prod.txt",
            "",
            "uv pip compile --universal --generate-hashes pyproject.toml -o prod.txt",
            id="compiled-from-the-project",
        ),
    ],
)
def test_remedy(tmp_path: Path, name: str, beside: str, remedy: str) -> None:
    """Hints name the command that makes this very file."""
    files = {beside: ""} if beside else {}

    assert a_lock(tmp_path, "", name=name, beside=files).remedy == remedy


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        pytest.param(
            {"requirements.txt": "idna"},
            "requirements.txt -o requirements.lock",
            id="no-pyproject",
        ),
        pytest.param(
            {
                "requirements.txt": "idna",
                "pyproject.toml": '[project]\nname = "a"\nversion = "1"\n'
                'dynamic = ["dependencies"]\n[tool.setuptools.dynamic]\n'
                'dependencies = {file = ["requirements.txt"]}\n',
            },
            "requirements.txt -o requirements.lock",
            id="read-by-the-backend",
        ),
        pytest.param({"prod.txt": "idna"}, "prod.txt -o requirements-prod.lock", id="other-name"),
        pytest.param(
            {"requirements.lock": "idna", "requirements.txt": "idna"},
            "requirements.txt -o requirements.lock",
            id="second-time",
        ),
    ],
)
def test_remedy_does_not_overwrite_what_is_written_by_hand(
    tmp_path: Path, files: dict[str, str], remedy: str
) -> None:
    """The command makes a lock beside the file, under a name that is found first."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    context = Context(project=read_project(tmp_path), environ={})

    with pytest.raises(LockError) as caught:
        requirements.read(tmp_path / next(iter(files)), context)

    assert caught.value.hint.endswith(f"\nuv pip compile --universal --generate-hashes {remedy}")


@pytest.mark.parametrize(
    "url",
    [
        f"git+https://git.example/group/my-lib.git@{COMMIT}",
        f"git+ssh://git@git.example/my-lib@{COMMIT}#subdirectory=a",
        "git+https://git.example/my-lib",
    ],
)
def test_repository_without_a_name(tmp_path: Path, url: str) -> None:
    """PEP 508 wants the name in front, and the hint writes it there."""
    hint = refusal(tmp_path, url).partition("hint: ")[2]

    scheme = url.partition("://")[0]
    assert hint == f"write the name of the package in front of the URL: `my-lib @ {scheme}://…`"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("pkg-resources==0.0.0", "delete the line"),
        ("pkg_resources==0.0.0", "delete the line"),
        ("UNKNOWN==0.0.0", "delete the line"),
        *(
            (
                f"certifi @ file://{folder}/certifi_1690232220950/work/certifi",
                "write `certifi==VERSION`; `pip list --format=freeze` lists the versions of all "
                "packages",
            )
            for folder in (
                "/croot",
                "/home/conda/feedstock_root/build_artifacts",
                "/tmp/build/80754af9",  # noqa: S108 - nothing is written there
            )
        ),
    ],
)
def test_artefacts_of_pip_freeze(tmp_path: Path, line: str, hint: str) -> None:
    """No index has them, and the message says what to write instead."""
    text = refusal(tmp_path, f"idna==3.10\n{line}\n")

    assert f"line 2: `{line}`" in text
    assert text.endswith(f"hint: {hint}")


# --- what libraries choke on, and what is nobody's business ---------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param(
            f"idna @ https://[oops/idna-3.10-py3-none-any.whl#sha256={A}",
            f"`https://[oops/idna-3.10-py3-none-any.whl` is not a URL: {NO_URL}",
            id="url",
        ),
        pytest.param("file://[oops/lib", f"`file://[oops/lib` is not a URL: {NO_URL}", id="file"),
        pytest.param("-r file://[oops", f"`file://[oops` is not a URL: {NO_URL}", id="include"),
        pytest.param("-r a\0.txt", "contains a NUL character", id="nul"),
        pytest.param("file:a%00b", "`file:a%00b` contains a NUL character", id="quoted-nul"),
        pytest.param(
            "file:///a%00b", "`file:///a%00b` contains a NUL character", id="nul-in-a-url"
        ),
        pytest.param(
            f"idna==1 ; {'(' * 2500}os_name == 'nt'{')' * 2500}",
            f"`idna==1 ; {'(' * 190}…` is nested too deep",
            id="parentheses",
        ),
    ],
)
def test_line_that_libraries_choke_on(tmp_path: Path, line: str, why: str) -> None:
    """What Python or packaging cannot digest is a mistake in its line, and no traceback."""
    assert (
        refusal(tmp_path, f"\n{line}")
        == f"""\
error: cannot read the lock requirements.txt
  why: line 2: {why}

hint: fix the line, or report a bug if pip accepts it"""
    )


@pytest.mark.parametrize("operator", ["==", "==="])
def test_version_with_too_many_digits(tmp_path: Path, operator: str) -> None:
    """Python reads no number of thousands of digits; the message shows where it begins."""
    message = refusal(tmp_path, f"idna{operator}{'9' * 5000}")

    # Which of the two `===` is depends on packaging.
    assert re.search(r"9…` is not a (requirement \(PEP 508\)|version \(PEP 440\))\n", message)
    assert len(message) < 500


def test_chain_of_includes_has_an_end(tmp_path: Path) -> None:
    """A chain that is longer than any that people write is refused."""
    beside = {f"{number}.txt": f"-r {number + 1}.txt" for number in range(1500)}

    assert (
        refusal(tmp_path, "-r 0.txt", beside=beside)
        == """\
error: cannot read the lock 100.txt
  why: its -r and -c lines are nested more than 100 files deep

hint: include the files from one that lists them all"""
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param(
            "a @ https://h.example/a.whl?sig=${TOKEN} --wat",
            "`a @ https://h.example/a.whl --wat` is not a requirement (PEP 508)",
            id="query",
        ),
        pytest.param(
            "a==${TOKEN}=1 --wat",
            "`a==${TOKEN}=1 --wat` is not a requirement (PEP 508)",
            id="no-url",
        ),
        pytest.param("a===${TOKEN}", "`a===${TOKEN}` is not a version (PEP 440)", id="version"),
        pytest.param(
            "a==1 ; platform_release ~= '${TOKEN}'",
            "the marker of `a==1 ; platform_release ~= '${TOKEN}'` is not valid",
            id="marker",
        ),
        pytest.param(
            "a==1 --hash=sha256:${TOKEN}",
            "the value of a variable is not a hash that is strong enough",
            id="hash",
        ),
        pytest.param("--wat${TOKEN}", "unknown option `--wat${TOKEN}`", id="option"),
        pytest.param(
            "-r https://${TOKEN}@h.example/r.txt",
            "`-r https://h.example/r.txt` is on a server, and only local files can be included",
            id="include",
        ),
        pytest.param(
            "a @ https://[${TOKEN}/a.whl",
            "`a @ https://[${TOKEN}/a.whl` does not contain a valid URL",
            id="address",
        ),
    ],
)
def test_values_of_variables_are_not_shown(tmp_path: Path, line: str, shown: str) -> None:
    """A line is shown as it stands in the file: a variable is where people keep secrets."""
    with pytest.raises(LockError) as caught:
        a_lock(tmp_path, line, environ={"TOKEN": "hunter2"})

    assert caught.value.why == f"line 1: {shown}"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param(
            "git+https://u:sek@ret@h.example/x.git@main#egg=x",
            "requirements.txt, line 1: git+https://h.example/x.git@main",
            id="open",
        ),
        pytest.param(
            "-r https://u:p@ss@h.example/r.txt?key=1",
            "line 1: `https://h.example/r.txt` is on a server, "
            "and only local files can be included",
            id="include",
        ),
        pytest.param(
            "-e git+ssh://${USER}:${TOKEN}@h.example/x@main#egg=x",
            "requirements.txt, line 1: -e git+ssh://h.example/x@main",
            id="variables",
        ),
        pytest.param(
            "x @ https://u:p ss@h.example/x",
            "line 1: `x @ https://h.example/x` is not a requirement (PEP 508)",
            id="space",
        ),
    ],
)
def test_password_with_signs_in_it_is_not_shown(tmp_path: Path, line: str, shown: str) -> None:
    """Nothing of it is left over, whichever characters it holds."""
    with pytest.raises(LockError) as caught:
        a_lock(tmp_path, line, environ={"TOKEN": "hunter2", "USER": "me"})

    assert caught.value.why == shown
