"""Whatever comes in, out comes a value or an error of ours, and nothing else.

Valid inputs are changed in places that hypothesis chooses: text is taken out, doubled,
moved, and replaced by what the formats are made of.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project
from fakes.wheels import a_wheel
from fuzz.seeds import JSON_PAGE, LOCKS, PAGE, SHA256
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lambda_build_plugin.archive import write_archive
from lambda_build_plugin.commands.diff import as_text, compare
from lambda_build_plugin.config.patterns import parse_pattern
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.fetch.index_pages import Page, UnknownPageError
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.files import select
from lambda_build_plugin.selection.packages import reached
from lambda_build_plugin.stage.stage import stage
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.hashes import Digest
from lambda_build_plugin.wheel.file import Wheel
from lambda_build_plugin.wheel.integrity import check

if TYPE_CHECKING:
    from lambda_build_plugin.config.project import Project

WORDS = (
    *"[]{}()=,.;:#@\"'\\/-_*~^<>!| \n\t\r\0",
    *("name", "version", "marker", "hash", "sha256:", "url", "path", "git", "extra", "-r", "-e"),
    *("[[package]]", "[[packages]]", "true", "-1", "1e999", "nan", "1979-05-27", "{}", "[]"),
    *("://", "file:///", "https://[", "../", "9" * 5000, "and", "or", "in", "python_version"),
    *("\ud7ff", "\ufeff", "\x85", "\u2028", "\u0663", "${HOME}", "==", "===", "1!2.0+local"),
)
TARGETS = [
    Target(runtime=RUNTIMES["python3.13"], architecture=architecture)
    for architecture in Architecture
]
BOUNDED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@st.composite
def changed(draw: st.DrawFn, text: str) -> str:
    """Change a text in up to four places."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 40)))
        part = draw(
            st.sampled_from(WORDS)
            | st.text(max_size=5)
            | st.just("")
            | st.just(text[start:stop] * 2)
            | st.integers(0, len(text)).map(lambda place: text[place : place + 30])  # noqa: B023
        )
        text = text[:start] + part + text[stop:]
    return text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give the project that the locks are of."""
    folder = tmp_path_factory.mktemp("fuzz")
    a_project(folder, dependencies=("pinned; sys_platform == 'linux'",))
    return read_project(folder)


def use(project: Project, name: str, content: bytes) -> None:
    """Read a lock and choose from it, as a build would."""
    path = project.root / name
    path.write_bytes(content)
    try:
        lock = read_lock(path, project, {}, lock_is_fresh=True)
        for target in TARGETS:
            found = reached(lock, target, extras=frozenset(), groups=frozenset(), main=True)
            select(found.packages, target)
    except LambdaBuildError as error:
        str(error)  # it can be shown


@pytest.mark.parametrize("name", LOCKS)
def test_lock_before_it_is_changed(project: Project, name: str) -> None:
    """Control: what is changed below is a lock that is read to its end."""
    (project.root / name).write_text(LOCKS[name], encoding="utf-8")

    lock = read_lock(project.root / name, project, {}, lock_is_fresh=True)

    assert lock.packages


@pytest.mark.parametrize("name", LOCKS)
@BOUNDED
@given(data=st.data())
def test_changed_lock(project: Project, name: str, data: st.DataObject) -> None:
    """A lock that was damaged is read, or refused in our words."""
    text = data.draw(changed(LOCKS[name]))
    use(project, name, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("name", LOCKS)
@BOUNDED
@given(content=st.binary(max_size=200))
@example(content=b"\xff\xfe")
@example(content=b"[" * 10_000)
@example(content=b"a = " + b"[" * 10_000)
@example(content=b"a." * 5_000 + b"b = 1")
@example(content=b"a = " + b"9" * 10_000)
def test_bytes_as_a_lock(project: Project, name: str, content: bytes) -> None:
    """Bytes that are no lock are refused in our words."""
    use(project, name, content)


@BOUNDED
@given(data=st.data())
def test_changed_project(data: st.DataObject) -> None:
    """A pyproject.toml that was damaged is read, or refused in our words."""
    with tempfile.TemporaryDirectory() as folder:
        file = a_project(Path(folder), dependencies=("pinned",)) / "pyproject.toml"
        text = data.draw(changed(file.read_text(encoding="utf-8")))
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            read_project(Path(folder))
        except LambdaBuildError as error:
            str(error)


@BOUNDED
@given(
    line=changed("!/demo/**/data[a-z]*/\\#x?.py") | st.text(max_size=20),
    path=st.text(min_size=1, max_size=20),
)
@example(line="[", path="a")
@example(line="[!]a-]", path="a")
@example(line="[z-a]", path="a")
@example(line="a" + "*a" * 12 + "/", path="a" * 24)
@example(line="**/" * 20 + "a", path="b/" * 20 + "c")
def test_any_line_as_a_pattern(line: str, path: str) -> None:
    """A line means some paths, or is refused as a `ValueError`, of which the settings tell."""
    try:
        pattern = parse_pattern(line)
    except ValueError:
        return
    assert pattern.matches(path) in {True, False}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(PAGE, "text/html", id="html"),
        pytest.param(JSON_PAGE, "application/vnd.pypi.simple.v1+json", id="json"),
    ],
)
@BOUNDED
@given(data=st.data())
def test_changed_page(text: str, kind: str, data: st.DataObject) -> None:
    """A page that was damaged lists links with addresses, or is refused."""
    body = data.draw(changed(text) | st.text(max_size=100)).encode("utf-8", "surrogatepass")
    try:
        page = Page(body, url="https://index.example/simple/pinned/", content_type=kind)
    except UnknownPageError:
        return
    assert all(link.url and link.filename for link in page.links())
    digest = Digest(f"sha256:{SHA256}")
    found = page.by_digest(digest)
    assert found is None or digest in found.digests


def a_given_wheel(folder: Path, content: bytes) -> Wheel:
    """Write a wheel that is what was locked, whatever that is."""
    path = folder / "pinned-1.0-py3-none-any.whl"
    path.write_bytes(content)
    return Wheel.of(path, sha256="0" * 64, source="wheel")


SOUND = a_wheel(
    "pinned", "1.0", files={"pinned/a.py": b"x = 1\n" * 50, "pinned-1.0.data/data/d": b"data"}
).content


@settings(BOUNDED, max_examples=200)
@given(
    places=st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    ),
    end=st.none() | st.integers(0, len(SOUND)),
)
def test_changed_wheel(places: list[tuple[int, bytes]], end: int | None) -> None:
    """A wheel that was damaged is refused in our words, or what is made of it is sound."""
    content = bytearray(SOUND)
    for place, data in places:
        content[place : place + len(data)] = data
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = a_given_wheel(folder, bytes(content[:end]))
        try:
            check([wheel], Cache(folder / "cache"))
            write_archive(stage([wheel], prefix=""), folder / "made.zip", epoch=None)
        except LambdaBuildError as error:
            str(error)
            return
        with zipfile.ZipFile(folder / "made.zip") as archive:
            assert archive.testzip() is None


# --- what we write, read by others --------------------------------------------------------

LETTERS = st.characters(
    codec="utf-8", exclude_characters='/\\:\0\r\n"*?<>|[]', exclude_categories=("Z", "C")
)
FILES = st.dictionaries(
    st.text(LETTERS, min_size=1, max_size=12).map(lambda name: f"pkg/0{name}"),
    st.binary(max_size=100) | st.just(b"again and again " * 500),
    max_size=5,
)


def made(folder: Path, files: dict[str, bytes]) -> Path:
    """Write a zip of a wheel with the files."""
    wheel = a_given_wheel(folder, a_wheel("pinned", "1.0", files=files).content)
    path = folder / "made.zip"
    write_archive(stage([wheel], prefix=""), path, epoch=None)
    return path


def by_zipfile(path: Path, into: Path) -> None:
    """Unpack with the standard library."""
    with zipfile.ZipFile(path) as archive:
        archive.extractall(into)


def by_unzip(path: Path, into: Path) -> None:
    """Test and unpack with Info-ZIP."""
    locale = {"LC_ALL": "C.UTF-8"}
    subprocess.run(["unzip", "-tqq", path], check=True, capture_output=True, env=locale)
    subprocess.run(["unzip", "-qq", path, "-d", into], check=True, capture_output=True, env=locale)


def by_seven_zip(path: Path, into: Path) -> None:
    """Test and unpack with 7-Zip."""
    program = _seven_zip()
    assert program
    subprocess.run([program, "t", path], check=True, capture_output=True)
    subprocess.run([program, "x", f"-o{into}", path], check=True, capture_output=True)


def _seven_zip() -> str | None:
    return next(filter(None, map(shutil.which, ("7zz", "7z", "7za", "7zr"))), None)


@pytest.mark.parametrize(
    "unpack",
    [
        pytest.param(by_zipfile, id="zipfile"),
        pytest.param(
            by_unzip,
            marks=pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip here"),
            id="info-zip",
        ),
        pytest.param(
            by_seven_zip,
            marks=pytest.mark.skipif(_seven_zip() is None, reason="no 7-Zip here"),
            id="7-zip",
        ),
    ],
)
@settings(BOUNDED, max_examples=25)
@given(files=FILES)
@example(files={"pkg/0ü计🚀": b"any letters"})
@example(files={})
def test_every_reader_finds_the_same(unpack: object, files: dict[str, bytes]) -> None:
    """What is in the zip is what each program unpacks."""
    assert callable(unpack)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        into = folder / "into"
        unpack(made(folder, files), into)
        found = {
            path.relative_to(into).as_posix(): path.read_bytes()
            for path in into.rglob("*")
            if path.is_file() and ".dist-info" not in path.parent.name
        }
    assert found == files


@settings(BOUNDED, max_examples=150)
@given(place=st.integers(0, len(SOUND) - 1), data=st.binary(min_size=1, max_size=4))
def test_changed_zip_is_compared(place: int, data: bytes) -> None:
    """`diff` tells how a zip was changed, or that it cannot be read."""
    changed_content = SOUND[:place] + data + SOUND[place + len(data) :]
    with tempfile.TemporaryDirectory() as name:
        one, other = Path(name, "a.zip"), Path(name, "b.zip")
        one.write_bytes(SOUND)
        other.write_bytes(changed_content)
        try:
            difference = compare(one, other)
        except LambdaBuildError as error:
            str(error)
            return
    assert difference["same"] is (changed_content == SOUND)
    assert bool(difference["why"]) is not difference["same"]
    assert as_text(difference, ("a", "b"), verbose=True)
