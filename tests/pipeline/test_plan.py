"""Dependencies are copied by a plan: the artifact is the same, whatever happens to the plan."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.elf import an_elf
from fakes.wheels import a_wheel
from fakes.worlds import World

from lambda_build_plugin import __version__
from lambda_build_plugin.commands.api import load_all_settings, load_settings
from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.pipeline import plan as plan_module
from lambda_build_plugin.pipeline import staging
from lambda_build_plugin.pipeline.build import build_all
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.stage.packed import Packed, as_bytes, from_bytes
from lambda_build_plugin.system import interpreters
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.note_key import read_key
from lambda_build_plugin.verify import sizes

if TYPE_CHECKING:
    from fakes.wheels import FakeWheel

    from lambda_build_plugin.report import BuildReport

NOISE = hashlib.sha256(b"noise").digest() * 100_000
ONE = a_wheel(
    "one",
    "1.0",
    files={"one/__init__.py": "number = 1\n" * 100, "one/empty.py": "", "one/ü.txt": "ü" * 99},
    executable=["one/empty.py"],
    metadata=["Requires-Dist: two"],
)
TWO = a_wheel("two", "1.0", files={"two.py": "x = 2\n" * 9, "big.bin": NOISE, "zz": "z"})
STORED = a_wheel("stored", "1.0", files={"stored.py": "s = 3\n" * 99}, compression=0)
USED = "copying 3 packages as planned before"


class Told(Reporter):
    """Keeps what a build notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a project with code of its own, and three wheels that are locked."""
    world = World(tmp_path)
    world.environ["LAMBDA_BUILD_CONTENTS"] = "all"
    lock(world, ONE, TWO, STORED)
    return world


def lock(world: World, *wheels: FakeWheel) -> None:
    """Lock wheels that are in the cache, as if an index had served them, and in a folder."""
    lines = ["--no-index", f"--find-links {world.folder / 'wheels'}"]
    for wheel in wheels:
        wheel.write_to(world.folder / "wheels")
        Cache(world.cache).store([wheel.content], None)
        lines.append(f"{wheel.project}==1.0 --hash=sha256:{wheel.sha256}")
    world.lock("\n".join(lines), "requirements.txt")


def built(world: World, **settings: Any) -> tuple[BuildReport, bool]:
    """Build in this process; tell whether a plan was used as well."""
    told = Told()
    options = load_settings(world.project, environ=world.environ, **settings)
    (report,) = build_all([options], told)
    return report, USED in told.notes


def facts(report: BuildReport) -> dict[str, object]:
    """Take what is not about time, nor about what was there before."""
    return {key: value for key, value in report.items() if key not in {"seconds", "changed"}}


def plans(world: World) -> list[Path]:
    """List the plans in the cache."""
    return sorted((world.cache / "plans").glob("*.note"))


def signed_by_user(world: World) -> Cache:
    """Open the cache with the key of the user."""
    state = world.folder / "home" / "state" / "lambda-build"
    return Cache(world.cache, key=read_key(state, cache=world.cache))


def test_plan_knows_what_would_make_the_zip_smaller(world: World) -> None:
    """The report of a large artifact says so each time, without looking into the wheels again."""
    incompressible = hashlib.shake_128(b"noise").digest(27 << 20)
    tests: dict[str, bytes | str] = {
        "large/tests/test_a.py": "",
        "large/tests/data.bin": incompressible,
    }
    lock(world, ONE, TWO, a_wheel("large", "1.0", files=tests, compression=0))

    (first, _), (again, planned) = built(world), built(world)

    assert planned
    assert first["savings"] == again["savings"]
    assert [each["setting"] for each in first["savings"]] == ['exclude-presets = ["tests"]']


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="function"),
        pytest.param({"layout": "layer"}, id="layer"),
        pytest.param({"contents": "dependencies"}, id="dependencies"),
        pytest.param({"exclude": ["zz", "app.py", "nowhere"], "include": ["zz"]}, id="patterns"),
        pytest.param({"exclude": ["*.py"], "layout": "layer"}, id="patterns in a layer"),
        pytest.param({"exclude_presets": ["tests", "stubs", "docs"]}, id="presets"),
        pytest.param({"bytecode": True}, id="bytecode"),
        pytest.param({"bytecode_only": True, "layout": "layer"}, id="bytecode only, layer"),
    ],
)
def test_planned_artifact_is_the_same(world: World, settings: dict[str, Any]) -> None:
    """The second build copies by the plan: same bytes, same report, nothing is laid out."""
    first, planned = built(world, **settings)
    before = world.output.read_bytes()
    assert not planned
    shutil.rmtree(world.cache / "layouts")
    shutil.rmtree(world.cache / "checked")

    second, planned = built(world, **settings)

    assert planned
    assert world.output.read_bytes() == before
    assert facts(second) == facts(first)
    assert list(first["seconds"]) == list(second["seconds"])
    assert not (world.cache / "layouts").exists()


def test_edited_project(world: World) -> None:
    """An edit of the project's code still finds the plan, and ships."""
    built(world)
    source = next(world.project.rglob("app.py"))
    source.write_text("def handler(event, context):\n    return 'edited'\n")

    _, planned = built(world)

    assert planned
    assert b"edited" in world.members()[source.relative_to(world.project).as_posix()[4:]]
    digest = world.digest()
    shutil.rmtree(world.cache / "plans")
    _, planned = built(world)
    assert (planned, world.digest()) == (False, digest)


@pytest.mark.parametrize("name", ["one", "ONE", "zz"])
def test_project_with_a_folder_in_common(world: World, name: str) -> None:
    """What the project could replace or collide with is not planned; nor does a plan hide it."""
    built(world)
    package = next(world.project.rglob("app.py")).parent
    shutil.copytree(package, package.parent / name)
    pyproject = world.project / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text()
        + f'\n[tool.hatch.build.targets.wheel]\npackages = ["src/{package.name}", "src/{name}"]\n'
    )

    if name == "zz":
        with pytest.raises(Exception, match="both a file and a folder"):
            built(world)
        return
    report, _planned = built(world)
    digest = world.digest()
    shutil.rmtree(world.cache / "plans")

    again, _ = built(world)

    assert facts(again) == facts(report)
    assert world.digest() == digest
    assert plans(world) == []


def test_altered_plan(world: World) -> None:
    """A plan that somebody else has altered has no effect."""
    built(world)
    before = world.digest()
    (plan,) = plans(world)
    content = plan.read_bytes()
    plan.write_bytes(content.replace(b"two.py", b"evil.p"))

    _, planned = built(world)

    assert (planned, world.digest()) == (False, before)
    assert plan.read_bytes() == content


def test_last_build_is_believed_of_the_user_only(world: World) -> None:
    """What the last zip was is signed too, and no other hash than that of the zip passes."""
    for _ in range(3):
        built(world)
    before = world.digest()
    (note,) = (world.cache / "planned").iterdir()
    content = note.read_bytes()
    assert before.encode() in content
    note.write_bytes(content.replace(before.encode(), b"0" * 64))

    _, planned = built(world)

    assert (planned, world.digest(), note.read_bytes()) == (True, before, content)


def test_wrong_plan(world: World) -> None:
    """Even with the right signature, a plan that copies other bytes is not followed."""
    built(world)
    before = world.digest()
    (plan,) = plans(world)
    sound = plan.read_bytes()
    cache = signed_by_user(world)
    wheels = [Path("one"), Path("stored"), Path("two")]
    packed = from_bytes(sound[32:], lambda _: wheels, ["one", "stored", "two"])
    moved = [
        entry._replace(data=entry.data._replace(start=entry.data.start + 1))
        for entry in packed.entries
        if isinstance(entry.data, Packed)
    ]
    altered = as_bytes(packed._replace(entries=tuple(moved)), wheels, ["one", "stored", "two"])
    cache.keep_signed("plans", plan_key(plan, cache), altered)

    _, _planned = built(world)

    assert world.digest() == before
    assert plan.read_bytes() == sound


def plan_key(plan: Path, cache: Cache) -> str:
    """Say what a plan is kept under."""
    files = (f"{wheel.sha256} {wheel.filename}" for wheel in (ONE, STORED, TWO))
    key = "\n".join(("3", __version__, "", "None", "[[], [], [], []]", *files))
    assert cache.signed("plans", key) == plan.read_bytes()[32:]
    return key


@pytest.mark.parametrize("edited", [False, True], ids=["same project", "edited project"])
@pytest.mark.parametrize("change", ["one byte", "cut off", "gone"])
def test_altered_wheel(world: World, change: str, *, edited: bool) -> None:
    """A wheel that is not what was locked any more is fetched again, and does not ship."""
    for _ in range(3):
        built(world)
    if edited:
        next(world.project.rglob("app.py")).write_text("edited = True\n")
        built(world, output=str(world.folder / "other.zip"))
        next(world.project.rglob("app.py")).write_text("edited = 1234\n")
        shutil.copytree(world.cache, world.folder / "sound")
        built(world, cache_dir=str(world.folder / "sound"))
    before = world.digest()
    path = world.cache / "files" / "sha256" / TWO.sha256[:2] / TWO.sha256
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(content if change == "one byte" else content[: len(content) // 2])
    world.output.unlink()  # or else it would be found to be the same, and no wheel would be read

    report, _ = built(world)

    assert world.digest() == before
    assert {package["sha256"] for package in report["packages"]} >= {TWO.sha256}
    assert list(world.output.parent.iterdir()) == [world.output]


def test_altered_wheel_offline(world: World) -> None:
    """If it cannot be fetched again, the build fails and leaves the old artifact alone."""
    built(world)
    before = world.digest()
    shutil.rmtree(world.folder / "wheels")
    path = world.cache / "files" / "sha256" / TWO.sha256[:2] / TWO.sha256
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    # The last byte belongs to no member, so that the plan does not need it.
    built(world)
    assert world.digest() == before
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    next(world.project.rglob("app.py")).write_text("edited = True\n")

    run = world.build("--offline")

    assert run.code == 5
    assert world.digest() == before
    assert world.left_behind() == ["out/artifact.zip"]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_umask(world: World, umask: int) -> None:
    """Whatever the umask was when the plan was made and used, the artifact is the same."""
    built(world)
    before = world.digest()
    shutil.rmtree(world.cache / "plans")
    old = os.umask(umask)
    try:
        built(world)
        os.umask(0o777 & ~umask & 0o077)
        _, planned = built(world)
    finally:
        os.umask(old)

    assert (planned, world.digest()) == (True, before)


def test_processes_share_a_plan(world: World) -> None:
    """Builds at the same time write and use one plan, and all get the same artifact."""
    outputs = [world.folder / f"{number}.zip" for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda output: world.build("--output", output), outputs))

    assert [run.code for run in runs] == [0] * 4
    assert len({output.read_bytes() for output in outputs}) == 1
    assert len(plans(world)) == 1
    _, planned = built(world)
    assert planned
    assert world.output.read_bytes() == outputs[0].read_bytes()


def test_artifacts_of_the_same_content_have_their_own_handlers(world: World) -> None:
    """What is known of a zip is shared, and the handler of each artifact is looked for in it."""
    del world.environ["LAMBDA_BUILD_OUTPUT"]
    pyproject = world.project / "pyproject.toml"
    text = pyproject.read_text()
    built(world)

    def run(handler: str) -> None:
        pyproject.write_text(
            f"{text}[tool.lambda-build.artifacts.a]\nhandler = 'two.x'\n"
            f"[tool.lambda-build.artifacts.b]\nhandler = '{handler}'\n"
        )
        build_all(load_all_settings(world.project, environ=world.environ))

    run("two.x")
    with pytest.raises(VerificationError, match=r"`two\.missing`"):
        run("two.missing")


def test_artifacts_share_what_is_written(world: World) -> None:
    """Artifacts of one run with the same files are written once; one with others is not shared."""
    del world.environ["LAMBDA_BUILD_OUTPUT"]
    pyproject = world.project / "pyproject.toml"
    names, layer = ("a", "b", "c"), "layout = 'layer'\n"
    tables = (
        f"[tool.lambda-build.artifacts.{name}]\n{layer if name == 'c' else ''}" for name in names
    )
    pyproject.write_text(pyproject.read_text() + "".join(tables))

    def run() -> list[tuple[dict[str, object], str]]:
        reports = build_all(load_all_settings(world.project, environ=world.environ))
        return [
            (facts(report), hashlib.sha256(Path(report["artifact"]).read_bytes()).hexdigest())
            for report in reports
        ]

    first = run()

    assert run() == first
    assert first[0][1] == first[1][1] != first[2][1]
    path = world.cache / "files" / "sha256" / TWO.sha256[:2] / TWO.sha256
    path.write_bytes(path.read_bytes()[:-400])
    assert run() == first


@pytest.mark.parametrize(
    "settings",
    [
        {"unpacked": "folder"},
        {"scripts": True},
        {"contents": "project"},
        {"provided": ["two"]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_without_a_plan(world: World, settings: dict[str, object]) -> None:
    """What looks at the files of dependencies, or changes them, does it without a plan."""
    built(world)
    if "unpacked" in settings:
        settings = {"unpacked": str(world.folder / "unpacked")}
    options = load_settings(world.project, environ=world.environ, **settings)  # type: ignore[arg-type]
    told = Told()
    build_all([options], told)

    assert USED not in told.notes
    assert len(plans(world)) == 1


@pytest.mark.parametrize("only", [False, True], ids=["bytecode", "bytecode only"])
def test_edited_project_with_bytecode(world: World, *, only: bool) -> None:
    """The project is compiled again, and the bytecode of its dependencies is copied."""
    settings = {"bytecode": True, "bytecode_only": only}
    built(world, **settings)
    before = world.members()
    source = next(world.project.rglob("app.py"))
    source.write_text("def handler(event, context):\n    return 'edited'\n")

    _, planned = built(world, **settings)

    changed = {path for path, content in world.members().items() if before.get(path) != content}
    assert planned
    assert {Path(path).name.partition(".")[0] for path in changed} - {"RECORD"} == {"app"}
    digest = world.digest()
    shutil.rmtree(world.cache / "plans")
    _, planned = built(world, **settings)
    assert (planned, world.digest()) == (False, digest)


def test_bytecode_that_is_gone(world: World) -> None:
    """Without the bytecode in the cache, it is compiled again, to the same bytes."""
    built(world, bytecode_only=True)
    before = world.digest()
    wheels = {wheel.sha256 for wheel in (ONE, TWO, STORED)}
    for file in (world.cache / "files" / "sha256").glob("*/*"):
        if file.name not in wheels:
            file.unlink()

    _, planned = built(world, bytecode_only=True)

    assert (planned, world.digest()) == (False, before)
    assert built(world, bytecode_only=True)[1]


def test_plan_without_a_compiler(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the Python of the runtime has gone, the error is the one of a build without a plan."""
    built(world, bytecode=True)
    before = world.digest()
    monkeypatch.setattr(interpreters, "find_interpreters", lambda *_, **__: iter(()))

    with pytest.raises(interpreters.NoInterpreterError, match="bytecode needs a Python of exactly"):
        built(world, bytecode=True)

    assert world.digest() == before


def test_handler_of_bytecode_alone(world: World) -> None:
    """Verification reads the source of a handler that ships as bytecode, with a plan as well."""
    source = next(world.project.rglob("app.py"))
    handler = f"{source.parent.name}.app.handler"
    built(world, bytecode_only=True, handler=handler)
    source.write_text("def handel(event, context): ...\n")

    with pytest.raises(VerificationError, match="did you mean"):
        built(world, bytecode_only=True, handler=handler)


def test_zip_that_is_there_is_not_written_again(world: World) -> None:
    """If it has the hash of the last build, no wheel is read, and the file stays as it is."""
    built(world)
    built(world)
    before, status = world.digest(), world.output.stat()
    for wheel in (ONE, TWO, STORED):
        path = world.cache / "files" / "sha256" / wheel.sha256[:2] / wheel.sha256
        path.write_bytes(bytes(len(path.read_bytes())))

    report, planned = built(world)

    assert (planned, report["changed"], world.digest()) == (True, False, before)
    assert report["sha256"] == before
    assert world.output.stat().st_mtime_ns == status.st_mtime_ns
    assert world.output.stat().st_ino == status.st_ino


@pytest.mark.parametrize("through_link", [False, True], ids=["file", "symbolic link"])
def test_zip_that_somebody_has_altered(world: World, *, through_link: bool) -> None:
    """Another content of the same size is replaced, and the report says that it was another one."""
    built(world)
    built(world)
    before = world.digest()
    if through_link:
        world.output.rename(world.folder / "real.zip")
        world.output.symlink_to(world.folder / "real.zip")
    content = bytearray(world.output.read_bytes())
    content[len(content) // 2] ^= 1
    world.output.write_bytes(content)

    report, planned = built(world)

    assert (planned, report["changed"], world.digest()) == (True, True, before)
    assert world.output.is_symlink() == through_link


def excluded(report: BuildReport) -> dict[str, int]:
    """Count the files that each rule leaves out."""
    return {each["rule"]: each["files"] for each in report["excluded"]}


def test_what_is_left_out_is_part_of_the_plan(world: World) -> None:
    """Artifacts with other rules have other files, and plans of their own."""
    built(world)
    whole = set(world.members())
    _, planned = built(world, exclude=["zz"])
    filtered = set(world.members())

    _, again = built(world, exclude=["zz"])

    assert (planned, again) == (False, True)
    assert whole - filtered == {"zz"}
    assert set(world.members()) == filtered
    assert len(plans(world)) == 2


def test_rules_see_the_project_beside_a_plan(world: World) -> None:
    """An edit of the project may give a rule more to do; what it leaves out is counted together."""
    package = next(world.project.rglob("app.py")).parent
    rules = {"exclude": ["*.txt", "*.data"], "exclude_presets": ["tests"]}
    first, _ = built(world, **rules)
    assert "`*.data` of `exclude` matches nothing" in first["warnings"]
    (package / "notes.txt").touch()
    (package / "table.data").touch()
    (package / "tests").mkdir()
    (package / "tests" / "test_app.py").touch()

    planned, is_planned = built(world, **rules)

    assert is_planned
    assert excluded(planned) == {"tests": 1, "*.txt": 2, "*.data": 1}
    assert not [text for text in planned["warnings"] if "matches nothing" in text]
    before = world.digest()
    shutil.rmtree(world.cache / "plans")
    again, _ = built(world, **rules)
    assert (facts(again), world.digest()) == (facts(planned), before)


@pytest.mark.parametrize("of_project", [False, True], ids=["dependency", "project"])
def test_reader_of_stubs(world: World, *, of_project: bool) -> None:
    """Who reads `__init__.pyi` keeps those of all others, with a plan as well."""
    lazy = a_wheel("lazy-loader", "1.0", files={"lazy_loader.py": "x = 1\n"})
    stubs = a_wheel("stubby", "1.0", files={"stubby/__init__.py": "", "stubby/__init__.pyi": ""})
    lock(world, TWO, stubs, *(() if of_project else (lazy,)))
    package = next(world.project.rglob("app.py")).parent
    (package / "__init__.pyi").touch()
    own = f"{package.name}/__init__.pyi"
    built(world, exclude_presets=["stubs"])
    if of_project:
        assert not {own, "stubby/__init__.pyi"} & set(world.members())
        pyproject = world.project / "pyproject.toml"
        text = re.sub(r'(?m)^name = ".*"', 'name = "lazy-loader"', pyproject.read_text(), count=1)
        packages = f'\n[tool.hatch.build.targets.wheel]\npackages = ["src/{package.name}"]\n'
        pyproject.write_text(text + packages)

    built(world, exclude_presets=["stubs"])

    assert {own, "stubby/__init__.pyi"} <= set(world.members())


def test_metadata_that_is_left_out(world: World) -> None:
    """A distribution without METADATA is not planned; the artifact is the same each time."""
    first, _ = built(world, exclude=["two-1.0.dist-info"])
    before = world.digest()

    second, _ = built(world, exclude=["two-1.0.dist-info"])

    assert facts(second) == facts(first)
    assert world.digest() == before
    assert plans(world) == []


def test_module_that_is_left_out_of_a_planned_artifact(world: World) -> None:
    """The message about a missing module still says which rule has left it out."""
    source = next(world.project.rglob("app.py"))
    built(world, exclude=["/two.py"])
    source.write_text("import two\n\ndef handler(event, context): ...\n")

    with pytest.raises(VerificationError) as failure:
        built(world, exclude=["/two.py"], handler=f"{source.parent.name}.app.handler")

    assert "`two.py` of two is left out by `exclude`" in str(failure.value)


def test_date_is_part_of_the_plan(world: World) -> None:
    """With another SOURCE_DATE_EPOCH the local headers are other ones."""
    built(world)
    world.environ["SOURCE_DATE_EPOCH"] = "1700000000"

    _, planned = built(world)
    digest = world.digest()
    _, again = built(world)

    assert (planned, again, world.digest()) == (False, True, digest)
    assert len(plans(world)) == 2


def test_findings_are_the_same(world: World) -> None:
    """What verification finds in the dependencies, it finds with the plan too."""
    odd = a_wheel("odd", "1.0", files={"odd.pth": "import os\n", "json.py": ""})
    lock(world, TWO, odd)
    first = facts(built(world)[0])

    second = facts(built(world)[0])

    assert len(json.dumps(first["warnings"])) > len("[]")
    assert second == first
    assert len(plans(world)) == 1


def test_handler_in_a_dependency(world: World) -> None:
    """A handler that a dependency has is read from the zip."""
    world.environ["LAMBDA_BUILD_HANDLER"] = "two.absent"
    runs = [world.build() for _ in range(2)]
    world.environ["LAMBDA_BUILD_HANDLER"] = "one.number"
    good = [world.build() for _ in range(3)]

    assert [run.code for run in runs] == [8, 8]
    assert runs[0].errors == runs[1].errors
    assert [run.code for run in good] == [0, 0, 0]


def test_foreign_code_is_refused_by_the_plan_too(world: World) -> None:
    """A plan that was made for one architecture does not vouch for the other."""
    native = a_wheel("native", "1.0", tag="py3-none-any", files={"native/a.so": an_elf("aarch64")})
    lock(world, native)
    world.environ["LAMBDA_BUILD_ARCHITECTURE"] = "arm64"
    assert world.build().code == 0
    world.environ["LAMBDA_BUILD_ARCHITECTURE"] = "x86_64"

    run = world.build()

    assert (run.code, len(plans(world))) == (8, 1)


# --- local folders ------------------------------------------------------------------------


def a_library(world: World, name: str, module: str, text: str = "edition = 1\n") -> None:
    """Write a local folder, and lock it beside the wheels."""
    folder = world.folder / name
    package = folder / module
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(text)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
        f'[tool.hatch.build.targets.wheel]\ninclude = ["{module}"]\n'
    )
    requirements = world.project / "requirements.txt"
    line = f"{name} @ {folder.as_uri()}\n"
    if line not in requirements.read_text():
        with requirements.open("a") as file:
            file.write(f"\n{line}")


@pytest.mark.parametrize("settings", [{}, {"contents": "dependencies"}])
def test_local_folders_are_built_beside_a_plan(world: World, settings: dict[str, str]) -> None:
    """What a project needs from local folders is no part of the plan: an edit still finds it."""
    a_library(world, "library", "library")
    a_library(world, "empty", "nothing")
    (world.folder / "empty" / "nothing" / "__init__.py").unlink()
    first, planned = built(world, **settings)
    before = world.output.read_bytes()
    assert not planned
    assert any(
        "the wheel of empty 1.0, built from its folder, is empty" in each
        for each in first["warnings"]
    )

    second, planned = built(world, **settings)

    assert planned
    assert (world.output.read_bytes(), facts(second)) == (before, facts(first))
    assert list(first["seconds"]) == list(second["seconds"])

    a_library(world, "library", "library", "edition = 2\n")
    third, planned = built(world, **settings)

    assert planned
    assert third["changed"]
    assert read_member(world, "library/__init__.py") == b"edition = 2\n"


def test_local_folder_with_a_folder_of_a_wheel(world: World) -> None:
    """If a local folder adds to a package of a wheel, nothing is planned."""
    a_library(world, "library", "one/more")

    built(world)
    _, planned = built(world)

    assert (planned, plans(world)) == (False, [])


def test_local_folders_that_write_the_same_file(world: World) -> None:
    """A warning about two local folders is given once, with a plan and without."""
    a_library(world, "library", "shared")
    a_library(world, "other", "shared")

    first, _ = built(world)
    second, planned = built(world)

    assert planned
    assert facts(second) == facts(first)


def read_member(world: World, name: str) -> bytes:
    """Read a file of the zip."""
    with zipfile.ZipFile(world.output) as archive:
        return archive.read(name)


def test_library_of_the_project_is_no_source(world: World) -> None:
    """Bytecode alone has a source: with a plan, machine code is not read as one either."""
    package = next(world.project.rglob("app.py")).parent
    (package / "native.so").write_bytes(b"\x7fELF, and then nonsense")

    failures = []
    built(world, exclude=["native.so"])
    for _ in range(2):
        with pytest.raises(VerificationError) as failure:
            built(world, layout="layer")
        failures.append(str(failure.value))
        (package / "native.so").rename(world.folder / "native.so")
        built(world, layout="layer")
        (world.folder / "native.so").rename(package / "native.so")

    assert failures[0] == failures[1]


def test_nothing_to_compile_and_no_compiler(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An artifact of data needs no Python of the runtime's version, and has no plan."""
    lock(world, a_wheel("data", "1.0", files={"data/table.txt": "1 2 3\n"}))
    monkeypatch.setattr(interpreters, "find_interpreters", lambda *_, **__: iter(()))

    for _ in range(2):
        built(world, bytecode=True, contents="dependencies")

    assert "data/table.txt" in world.members()
    assert plans(world) == []


def test_project_that_makes_a_planned_artifact_too_large(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the one of a build without a plan."""
    tested = {"pkg/__init__.py": "", "pkg/one_test.py": "#\n" * 50_000, "pkg/tests/test_a.py": ""}
    lock(world, TWO, a_wheel("pkg", "1.0", files=tested))
    built(world)
    package = next(world.project.rglob("app.py")).parent
    (package / "tests").mkdir()
    (package / "tests" / "test_app.py").write_text("#" * 100_000)
    for module in (sizes, staging):
        monkeypatch.setattr(module, "UNZIPPED_LIMIT", len(NOISE) + 150_000)

    with pytest.raises(sizes.OversizeError) as planned:
        built(world)
    shutil.rmtree(world.cache / "plans")
    with pytest.raises(sizes.OversizeError) as failure:
        built(world)

    assert str(planned.value) == str(failure.value)


def test_savings_of_several_artifacts(world: World) -> None:
    """Each of them knows what would make it smaller, though the plan does not yet."""
    artifacts = "".join(f'artifacts.{name}.output = "{name}.zip"\n' for name in "ab")
    with (world.project / "pyproject.toml").open("a") as file:
        file.write(f"\n[tool.lambda-build]\n{artifacts}")
    environ = {**world.environ}
    del environ["LAMBDA_BUILD_OUTPUT"]
    package = next(world.project.rglob("app.py")).parent
    (package / "tests").mkdir()
    (package / "tests" / "test_app.py").touch()
    build_all(load_all_settings(world.project, environ=environ))
    incompressible = hashlib.shake_128(b"tests").digest(26 << 20)
    (package / "tests" / "data.bin").write_bytes(incompressible)

    reports = build_all(load_all_settings(world.project, environ=environ))

    savings = [saving["setting"] for report in reports for saving in report["savings"]]
    assert savings == ['exclude-presets = ["tests"]'] * 2


def test_savings_are_those_of_today(world: World) -> None:
    """Whether an artifact is large, and what would make it smaller, may change with the project."""
    package = next(world.project.rglob("app.py")).parent
    (package / "tests").mkdir()
    (package / "tests" / "test_app.py").touch()
    built(world)
    data = package / "tests" / "data.bin"
    data.write_bytes(hashlib.shake_128(b"tests").digest(26 << 20))
    large, _ = built(world)
    data.write_bytes(b"")
    small, planned = built(world)

    assert [saving["setting"] for saving in large["savings"]] == ['exclude-presets = ["tests"]']
    assert (planned, small["savings"]) == (True, [])


def test_plan_of_another_version(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may leave other files out by the same rules."""
    built(world, exclude_presets=["tests"])
    monkeypatch.setattr(plan_module, "__version__", "0.0.1")

    _, planned = built(world, exclude_presets=["tests"])

    assert not planned


def test_warnings_come_in_the_same_order(world: World) -> None:
    """A plan knows those about the dependencies, and the others are found each time."""
    lock(world, TWO, a_wheel("pkg", "1.0", files={"pkg/a.py": "", "pkg/A.py": ""}))
    package = next(world.project.rglob("app.py")).parent
    (package / "APP.py").write_text("x = 1\n")

    (first, _), (again, _) = built(world), built(world)

    assert len(first["warnings"]) == 2
    assert again["warnings"] == first["warnings"]
