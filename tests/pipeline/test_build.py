from __future__ import annotations

import datetime
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.wheels import a_wheel

from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.settings import Contents, Host, Layout, Settings
from lambda_build_plugin.pipeline.build import build
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.system.output import OutputError
from lambda_build_plugin.verify.findings import StrictError
from lambda_build_plugin.verify.handler import HandlerError
from lambda_build_plugin.verify.written import ArtifactError
from lambda_build_plugin.wheel.file import InvalidWheelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.wheels import FakeWheel

    from lambda_build_plugin.errors import LambdaBuildError

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "my-app"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["dep"]
"""


class Told(Reporter):
    """Keeps the stages and notes of a build."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


def a_project(folder: Path, *wheels: FakeWheel, pyproject: str = _PYPROJECT) -> Path:
    """Write a project whose lock names wheels in a folder beside it: no network is needed."""
    root, wheelhouse = folder / "project", folder / "wheelhouse"
    (root / "my_app").mkdir(parents=True)
    (root / "my_app" / "__init__.py").write_text("def handler(): ...\n", encoding="utf-8")
    (root / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    lines = ["--no-index", f"--find-links {wheelhouse}"]
    for wheel in wheels or [a_wheel("dep")]:
        wheel.write_to(wheelhouse)
        version = wheel.filename.split("-")[1]
        lines.append(f"{wheel.project}=={version} --hash=sha256:{wheel.sha256}")
    (root / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def settings_of(root: Path) -> Settings:
    """Make the settings of a build for python3.13 on arm64."""
    folder = root.parent
    host = Host(
        cwd=root,
        home=folder / "home",
        cache_dir=folder / "cache",
        today=datetime.date(2026, 11, 21),
        environ={},
    )
    return Settings(
        project=read_project(root),
        target=Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.ARM64),
        runtime_reason="",
        host=host,
    )


def members(path: Path) -> dict[str, bytes]:
    """Get the members of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files(folder: Path) -> dict[str, bytes]:
    """Get all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("contents", "names", "stages"),
    [
        pytest.param(
            Contents.ALL,
            ["dep", "my-app"],
            ["lock", "select", "fetch", "build", "stage", "verify", "archive", "verify"],
            id="all",
        ),
        pytest.param(
            Contents.DEPENDENCIES,
            ["dep"],
            ["lock", "select", "fetch", "stage", "verify", "archive", "verify"],
            id="dependencies",
        ),
        pytest.param(
            Contents.PROJECT,
            ["my-app"],
            ["build", "stage", "verify", "archive", "verify"],
            id="project",
        ),
    ],
)
def test_contents(tmp_path: Path, contents: Contents, names: list[str], stages: list[str]) -> None:
    """Only what is asked for is done, and ships."""
    told = Told()

    report = build(replace(settings_of(a_project(tmp_path)), contents=contents), told)

    assert [package["name"] for package in report["packages"]] == names
    assert told.stages == stages
    assert list(report["seconds"]) == list(dict.fromkeys(stages))


@pytest.mark.parametrize(
    ("contents", "layout", "name"),
    [
        pytest.param(
            Contents.ALL, Layout.FUNCTION, "my_app-1.0-function-python3.13-arm64.zip", id="function"
        ),
        pytest.param(
            Contents.DEPENDENCIES, Layout.LAYER, "my_app-1.0-layer-python3.13-arm64.zip", id="layer"
        ),
    ],
)
def test_default_name(tmp_path: Path, contents: Contents, layout: Layout, name: str) -> None:
    """Without a name the artifact gets one that says what it is, in `dist`."""
    root = a_project(tmp_path)

    report = build(replace(settings_of(root), contents=contents, layout=layout), Reporter())

    assert Path(report["artifact"]) == root / "dist" / name
    assert list(files(root / "dist")) == [name]


@pytest.mark.parametrize(
    ("contents", "name"),
    [
        pytest.param(Contents.ALL, "my_app-7.0-function-python3.13-arm64.zip", id="built"),
        pytest.param(Contents.DEPENDENCIES, "my_app-function-python3.13-arm64.zip", id="not built"),
    ],
)
def test_dynamic_version(tmp_path: Path, contents: Contents, name: str) -> None:
    """A version that the backend computes is in the name where the project has been built."""
    dynamic = '[tool.hatch.version]\npath = "my_app/version.py"\n'
    root = a_project(
        tmp_path, pyproject=_PYPROJECT.replace('version = "1.0"', 'dynamic = ["version"]') + dynamic
    )
    (root / "my_app" / "version.py").write_text('__version__ = "7.0"\n', encoding="utf-8")

    report = build(replace(settings_of(root), contents=contents), Reporter())

    assert Path(report["artifact"]).name == name


def test_output_folder(tmp_path: Path) -> None:
    """A folder as output gets the default name into it, and is made if need be."""
    settings = replace(
        settings_of(a_project(tmp_path)), output=tmp_path / "new" / "out", output_is_folder=True
    )

    report = build(settings, Reporter())

    assert Path(report["artifact"]).parent == tmp_path / "new" / "out"


def test_unpacked(tmp_path: Path) -> None:
    """The tree as files is what the zip holds, byte by byte."""
    settings = replace(settings_of(a_project(tmp_path)), unpacked=tmp_path / "unpacked")

    report = build(settings, Reporter())

    assert files(tmp_path / "unpacked") == members(Path(report["artifact"]))


def test_unpacked_into_an_empty_folder(tmp_path: Path) -> None:
    """A folder that is there already may be used if it is empty."""
    (tmp_path / "unpacked").mkdir()
    settings = replace(settings_of(a_project(tmp_path)), unpacked=tmp_path / "unpacked")

    report = build(settings, Reporter())

    assert files(tmp_path / "unpacked") == members(Path(report["artifact"]))


def test_warnings(tmp_path: Path) -> None:
    """What runtime, lock and tree have to say is told in one list."""
    wheels = [a_wheel(name, files={"same.py": name}) for name in ("dep", "other")]
    root = a_project(tmp_path, *wheels)
    lock = root / "requirements.txt"
    lines = [line.partition(" --hash")[0] for line in lock.read_text(encoding="utf-8").splitlines()]
    lock.write_text("\n".join(lines), encoding="utf-8")
    target = Target(runtime=RUNTIMES["python3.10"], architecture=Architecture.ARM64)

    report = build(replace(settings_of(root), target=target), Reporter())
    of_runtime, of_lock, of_requirements, of_tree = report["warnings"]

    assert of_runtime.startswith("python3.10 is deprecated since 2026-10-31")
    assert "no hashes" in of_lock
    assert of_requirements.startswith("other 1.0 ships because requirements.txt has it")
    assert of_tree == (
        "`same.py` comes from dep and from other with different content: the one from other ships"
    )


def _with_handler(settings: Settings) -> Settings:
    return replace(settings, handler="nowhere.handler")


def _strict(settings: Settings) -> Settings:
    target = Target(runtime=RUNTIMES["python3.10"], architecture=Architecture.ARM64)
    return replace(settings, strict=True, target=target)


def _into_a_file(settings: Settings) -> Settings:
    return replace(settings, unpacked=settings.project.root / "pyproject.toml" / "unpacked")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(_with_handler, HandlerError, id="what was written lacks the handler"),
        pytest.param(_strict, StrictError, id="after the zip is written"),
        pytest.param(_into_a_file, OutputError, id="after the zip is verified"),
    ],
)
@pytest.mark.parametrize(
    "older", [b"PK\x05\x06" + bytes(18), None], ids=["an older artifact", "none yet"]
)
def test_failure(
    tmp_path: Path,
    change: Callable[[Settings], Settings],
    error: type[LambdaBuildError],
    older: bytes | None,
) -> None:
    """Whatever fails, at the output path there is what was there before."""
    root = a_project(tmp_path)
    output = tmp_path / "out" / "artifact.zip"
    if older is not None:
        output.parent.mkdir()
        output.write_bytes(older)

    with pytest.raises(error):
        build(replace(change(settings_of(root)), output=output), Reporter())

    assert files(tmp_path / "out") == ({} if older is None else {"artifact.zip": older})
    assert output.parent.exists() is (older is not None)


def test_unwritable_unpacked(tmp_path: Path) -> None:
    """The place that cannot be written is the one that is named."""
    settings = _into_a_file(settings_of(a_project(tmp_path)))

    with pytest.raises(OutputError) as caught:
        build(settings, Reporter())

    assert caught.value.path == settings.unpacked


@pytest.mark.parametrize("content", ["a file", "a folder"])
def test_unpacked_place_is_taken(tmp_path: Path, content: str) -> None:
    """What holds something else is never touched, and the build does not begin."""
    place = tmp_path / "taken"
    if content == "a folder":
        place.mkdir()
    (place / "kept" if content == "a folder" else place).write_bytes(b"kept")
    told = Told()

    with pytest.raises(OutputError) as caught:
        build(replace(settings_of(a_project(tmp_path)), unpacked=place), told)

    assert caught.value.path == place
    assert told.stages == []
    assert b"kept" in files(tmp_path).values()


def test_output_is_a_folder(tmp_path: Path) -> None:
    """A folder as the name of the zip is refused with the remedy, before any work."""
    settings = replace(settings_of(a_project(tmp_path)), output=tmp_path)
    told = Told()

    with pytest.raises(OutputError) as caught:
        build(settings, told)

    assert (caught.value.why, told.stages) == ("it is a folder", [])
    assert "end the name with `/`" in caught.value.hint


def test_stranger_in_a_wheel(tmp_path: Path) -> None:
    """A wheel that brings another distribution along is refused, and nothing is left."""
    stranger = {"dep-1.0.data/purelib/other-2.0.dist-info/METADATA": "Name: other\nVersion: 2.0\n"}
    root = a_project(tmp_path, a_wheel("dep", files=stranger))

    with pytest.raises(ArtifactError) as caught:
        build(settings_of(root), Reporter())

    assert caught.value.why == "other-2.0.dist-info belongs to `other`, which was not selected"
    assert not (root / "dist").exists()


def test_liar(tmp_path: Path) -> None:
    """A wheel whose metadata is of another version than was locked is refused."""
    metadata = {"dep-1.0.dist-info/METADATA": "Name: dep\nVersion: 6.6\n"}
    root = a_project(tmp_path, a_wheel("dep", files=metadata))

    with pytest.raises(InvalidWheelError) as caught:
        build(settings_of(root), Reporter())

    assert caught.value.why == "its file name says that it is dep 1.0, its METADATA says dep 6.6"


def test_other_locks(tmp_path: Path) -> None:
    """Which lock is read, where there are several, is a warning: the wrong one may be stale."""
    root = a_project(tmp_path)
    (root / "requirements.txt").rename(root / "requirements.lock")
    (root / "requirements.txt").write_text("", encoding="utf-8")

    report = build(replace(settings_of(root), contents=Contents.DEPENDENCIES), Told())

    assert report["warnings"][-1] == (
        "using requirements.lock and ignoring requirements.txt beside it: "
        "choose a lock with the setting `lock`"
    )
    assert report["lock"] == str(root / "requirements.lock")


def test_twice(tmp_path: Path) -> None:
    """A second build, everything cached and the first artifact in place, gives the same bytes."""
    settings = settings_of(a_project(tmp_path))
    first = build(settings, Reporter())
    before = Path(first["artifact"]).read_bytes()

    second = build(replace(settings, offline=True), Reporter())

    assert second["sha256"] == first["sha256"]
    assert Path(second["artifact"]).read_bytes() == before
