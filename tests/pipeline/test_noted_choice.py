"""What was chosen from a lock is noted: the lock is read once, and decides all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes.index import FakeIndex
from fakes.projects import a_project
from fakes.wheels import a_wheel
from fakes.worlds import World

from lambda_build_plugin.commands.api import load_all_settings, load_settings
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.lock.read import read_lock
from lambda_build_plugin.pipeline import target_lock
from lambda_build_plugin.pipeline.build import build_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.wheels import FakeWheel

    from lambda_build_plugin.report import BuildReport

ONE = a_wheel("one", "1.0", files={"one.py": "number = 1\n"})
NEWER = a_wheel("one", "2.0", files={"one.py": "number = 2\n"})
MORE = a_wheel("more", "1.0", files={"more.py": "more = True\n"})


@pytest.fixture
def index() -> Iterator[FakeIndex]:
    """Serve the wheels."""
    with FakeIndex([ONE, NEWER, MORE]) as index:
        yield index


@pytest.fixture
def world(tmp_path: Path, index: FakeIndex) -> World:
    """Give a project that has locked a package, and another one for an extra."""
    world = World(tmp_path)
    extra = '[project.optional-dependencies]\nmore = ["more"]\n'
    project = a_project(tmp_path / "app", dependencies=("one",), extra=extra)
    world.project = project.resolve()
    world.environ["LAMBDA_BUILD_CONTENTS"] = "all"
    world.lock(uv_lock(index, ONE), "uv.lock")
    return world


def uv_lock(index: FakeIndex, one: FakeWheel, *, more: str = "") -> str:
    """Write a lock with one of two versions."""
    return f"""\
version = 1
revision = 3
requires-python = ">=3.10"

[[package]]
name = "demo"
version = "1.0"
source = {{ editable = "." }}
dependencies = [{{ name = "one" }}]

[package.optional-dependencies]
more = [{{ name = "more" }}]

[package.metadata]
requires-dist = [{{ name = "one" }}, {{ name = "more", marker = "extra == 'more'" }}]
provides-extras = ["more"]
{_package(index, one)}{_package(index, MORE)}{more}"""


def _package(index: FakeIndex, wheel: FakeWheel) -> str:
    return f"""
[[package]]
name = "{wheel.project}"
version = "{wheel.filename.split("-")[1]}"
source = {{ registry = "{index.url}" }}
wheels = [
    {{ url = "{index.file_url(wheel.filename)}", hash = "sha256:{wheel.sha256}" }},
]
"""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the locks that are read, by name."""
    found: list[str] = []

    def listed(path: Path, *arguments: object, **options: object) -> object:
        found.append(path.name)
        return read_lock(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(target_lock, "read_lock", listed)
    return found


def built(world: World, **settings: object) -> BuildReport:
    """Build in this process."""
    options = load_settings(world.project, environ=world.environ, **settings)  # type: ignore[arg-type]
    (report,) = build_all([options])
    return report


def facts(report: BuildReport) -> dict[str, object]:
    """Take what is about neither time nor the artifact that was there before."""
    return {key: value for key, value in report.items() if key not in {"changed", "seconds"}}


def notes(world: World) -> list[Path]:
    """List what is noted about choices."""
    return sorted((world.cache / "choices").glob("*.note"))


def test_lock_is_read_once(world: World, reads: list[str]) -> None:
    """The second build reads no lock: same bytes, same report."""
    first = built(world)
    before = world.digest()

    second = built(world)

    assert reads == ["uv.lock"]
    assert (facts(second), world.digest()) == (facts(first), before)
    assert [item["name"] for item in second["left_out"]] == ["more"]


def test_all_artifacts_of_a_run_are_noted(world: World, reads: list[str]) -> None:
    """The lock is read once in the first run, for all artifacts, and not at all in the next."""
    del world.environ["LAMBDA_BUILD_OUTPUT"]
    pyproject = world.project / "pyproject.toml"
    tables = "[tool.lambda-build.artifacts.a]\n[tool.lambda-build.artifacts.b]\nextras = ['more']\n"
    pyproject.write_text(pyproject.read_text() + tables)
    for _ in range(2):
        build_all(load_all_settings(world.project, environ=world.environ))

    assert reads == ["uv.lock"]
    assert len(notes(world)) == len(["a", "b"])


def test_another_lock_decides(world: World, index: FakeIndex, reads: list[str]) -> None:
    """A lock that has changed is read, and what it says ships."""
    built(world)
    world.lock(uv_lock(index, NEWER), "uv.lock")

    built(world)

    assert reads == ["uv.lock"] * 2
    assert world.members()["one.py"] == b"number = 2\n"


def test_lock_that_changes_before_it_is_read(
    world: World, index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another lock says is not noted for the one that was hashed."""

    def changed(path: Path, *arguments: object, **options: object) -> object:
        world.lock(uv_lock(index, NEWER), "uv.lock")
        return read_lock(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(target_lock, "read_lock", changed)

    built(world)

    assert notes(world) == []


def test_settings_decide(world: World) -> None:
    """With an extra, more ships than what was noted without it."""
    built(world)

    built(world, extras=["more"])
    assert "more.py" in world.members()
    built(world)
    assert "more.py" not in world.members()


def test_project_decides(world: World) -> None:
    """A lock that does not fit the project any more is refused, although it has not changed."""
    built(world)
    pyproject = world.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"one"', '"one>=2"'))

    with pytest.raises(LambdaBuildError, match="out of date"):
        built(world)


def test_policy_decides(world: World) -> None:
    """What uv is told about builds counts, although neither lock nor project has changed."""
    built(world)
    world.environ["UV_NO_BINARY_PACKAGE"] = "one"

    with pytest.raises(LambdaBuildError, match="no source for packages"):
        built(world)


@pytest.mark.parametrize(
    "wrong",
    [
        '\n[[package]]\nname = "unused"\nversion = "not a version"\n',
        '\n[[package]]\nname = "unused"\nversion = 1\n',
    ],
    ids=["version", "kind"],
)
def test_errors_of_unused_packages_come(world: World, index: FakeIndex, wrong: str) -> None:
    """A lock with an error is never noted, and the error comes each time."""
    built(world)
    world.lock(uv_lock(index, ONE, more=wrong), "uv.lock")

    for _ in range(2):
        with pytest.raises(LambdaBuildError, match=r"uv\.lock"):
            built(world)
    assert len(notes(world)) == 1


def test_altered_note(world: World, reads: list[str]) -> None:
    """A note that somebody else has altered has no effect, and is written again."""
    built(world)
    built(world, extras=["more"])
    before = world.digest()
    for note in notes(world):
        content = note.read_bytes()
        note.write_bytes(content.replace(ONE.sha256.encode(), MORE.sha256.encode()))
        assert note.read_bytes() != content

    built(world, extras=["more"])

    assert world.digest() == before
    assert reads == ["uv.lock"] * 3


def test_note_of_another_choice(world: World, reads: list[str]) -> None:
    """A note is signed for its key, so that it cannot take the place of another one."""
    built(world)
    (without,) = notes(world)
    built(world, extras=["more"])
    (other,) = set(notes(world)) - {without}
    other.write_bytes(without.read_bytes())

    built(world, extras=["more"])

    assert "more.py" in world.members()
    assert len(reads) == len(["without", "with", "again"])


def test_wheel_that_is_gone(world: World, reads: list[str]) -> None:
    """A wheel that is not in the cache any more is fetched, with the address of the lock."""
    built(world)
    before = world.digest()
    (world.cache / "files" / "sha256" / ONE.sha256[:2] / ONE.sha256).unlink()

    built(world)

    assert (world.digest(), reads) == (before, ["uv.lock"] * 2)


def test_lock_is_read_for_what_it_explains(world: World, reads: list[str]) -> None:
    """A module that is missing is explained with the packages of the lock, noted or not."""
    source = world.project / "src" / "demo" / "app.py"
    source.write_text("import more\n\ndef handler(event, context): pass\n")

    first, second = built(world), built(world)

    assert any("more 1.0 contains it" in warning for warning in first["warnings"])
    assert facts(second) == facts(first)
    assert reads == ["uv.lock"] * 2


def test_local_packages_are_read_each_time(world: World, reads: list[str]) -> None:
    """What a folder on this machine says is no part of the lock, so nothing is noted."""
    lib = a_project(world.folder / "app" / "lib", name="lib")
    pyproject = world.project / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace('"one"', '"one", "lib"')
        + '[tool.uv.sources]\nlib = { path = "lib" }\n'
    )
    text = (world.project / "uv.lock").read_text()
    text = text.replace('= [{ name = "one" }]', '= [{ name = "one" }, { name = "lib" }]')
    text = text.replace(
        'dist = [{ name = "one" }', 'dist = [{ name = "one" }, { name = "lib", directory = "lib" }'
    )
    local = '\n[[package]]\nname = "lib"\nversion = "1.0"\nsource = { directory = "lib" }\n'
    world.lock(text + local, "uv.lock")

    for _ in range(2):
        built(world)

    assert (lib.name, reads, notes(world)) == ("lib", ["uv.lock"] * 2, [])


def test_notes_hold_no_address(world: World, index: FakeIndex) -> None:
    """A note has names and hashes; addresses may contain logins."""
    built(world)
    (note,) = notes(world)

    found = json.loads(note.read_bytes()[32:])

    assert found["files"] == [[ONE.filename, f"sha256:{ONE.sha256}"]]
    assert index.url not in note.read_text(errors="replace")
