"""`--html`: the page says what the report says, with text of any kind, and the same each time."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from fakes.artifacts import a_zip, metadata
from fakes.pages import HOSTILE, a_hostile_zip, a_large_zip, as_shown, sizes_by_group, views_of
from fakes.projects import a_project, quiet_environment, run_lambda_build
from fakes.wheels import a_wheel
from fakes.worlds import World, pylock_of

from lambda_build_plugin.page.chains import chains
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.verify.view import shipped
from lambda_build_plugin.wheel.licences import licence

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.projects import Run

TARGET = Target(runtime=RUNTIMES["python3.13"], architecture=Architecture.X86_64)

WHEELS = (
    a_wheel("one", metadata=("Requires-Dist: two", "License-Expression: MIT")),
    a_wheel("two", files={"two/data/big.txt": "big\n" * 500, "two/__init__.py": ""}),
    a_wheel("unused-on-linux", "3.0"),
)


def a_world(folder: Path) -> World:
    """Write a project with locked wheels, of which one does not ship."""
    world = World(folder)
    for wheel in WHEELS:
        (world.folder / wheel.filename).write_bytes(wheel.content)
    lock = pylock_of(WHEELS, f"{world.folder.as_uri()}/")
    never = "marker = \"sys_platform == 'win32'\"\n"
    name = 'name = "unused-on-linux"\n'
    world.lock(lock.replace(name, f"{name}{never}"))
    return world


def built(world: World, *arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Build, and give the report and the view of it."""
    page = world.folder / "page.html"
    run = world.build("--json", "--html", page, *arguments)
    assert run.code == 0, run.errors
    (view,) = views_of(page)
    report: dict[str, Any] = json.loads(run.output)
    return report, view


def command(*arguments: str | Path, folder: Path) -> Run:
    """Run a command in a folder."""
    return run_lambda_build(*arguments, cwd=folder, environ=quiet_environment(folder))


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="dependencies"),
        pytest.param(("--contents", "all"), id="with the project"),
        pytest.param(("--contents", "all", "--project-as", "source"), id="project as source"),
        pytest.param(("--layout", "layer"), id="layer"),
        pytest.param(("--layout", "layer", "--layer-file", "tool.sh"), id="layer files"),
        pytest.param(("--exclude", "*.txt"), id="filtered"),
    ],
)
def test_sizes_add_up_to_the_report(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """All files together are the zip, and those of a package are what the report says of it."""
    world = a_world(tmp_path / "world")
    (world.project / "tool.sh").write_text("#!/bin/sh\n")

    report, view = built(world, *arguments)

    groups = sizes_by_group(view)
    total = [sum(each) for each in zip(*groups.values(), strict=True)]
    assert total == [report["size"]["unzipped"], report["size"]["zipped"]]
    packages = {
        each["name"]: (each["unzipped"], each["zipped"])
        for each in report["packages"]
        if each["files"]
    }
    others = {"", *(["layer files"] if report["layer_files"] else [])}
    assert {name: sizes for name, sizes in groups.items() if name not in others} == packages


def test_inspection_shows_the_same_files(tmp_path: Path) -> None:
    """A zip that is inspected has the tree and the packages that its build has shown."""
    world = a_world(tmp_path / "world")
    _, view = built(world)

    run = command("inspect", world.output, "--html", "page.html", folder=world.folder)

    assert run.code == 0
    (inspected,) = views_of(world.folder / "page.html")
    same = ("tree", "packages", "size", "title")
    assert {key: inspected[key] for key in same} == {key: view[key] for key in same}


def test_folders_of_any_depth_are_cut(tmp_path: Path) -> None:
    """Folders nobody could look through are part of a file's name."""
    deep = "a/" * 3000 + "end.py"
    path = a_zip(tmp_path / "deep.zip", {deep: "x = 1\n"})

    run = command("inspect", path, "--html", "page.html", folder=tmp_path)

    (view,) = views_of(tmp_path / "page.html")
    assert run.code in {0, 8}
    assert len(view["tree"]["folders"]) < 80
    assert [name for name, _, _ in view["tree"]["files"] if name.endswith("a/end.py")]


# --- what is told -----------------------------------------------------------------------------


def test_packages_have_licence_and_reason(tmp_path: Path) -> None:
    """A row says what the metadata in the zip says, and who requires the package."""
    _, view = built(a_world(tmp_path / "world"))

    rows = {each["name"]: (each["licence"], each["why"]) for each in view["packages"]}

    assert rows == {"one": ("MIT", []), "two": ("", ["one"])}


def test_left_out_and_excluded_are_shown(tmp_path: Path) -> None:
    """What does not ship has its place on the page, with the reason."""
    _, view = built(a_world(tmp_path / "world"), "--exclude", "big.txt")

    lines = {each["title"]: each["lines"] for each in view["sections"]}

    (left_out,) = lines["Left out"]
    assert left_out.startswith("unused-on-linux 3.0: its marker is false")
    assert lines["Excluded by rules"] == ["big.txt: 1 file, 2.0 KB"]


def test_failures_come_first(tmp_path: Path) -> None:
    """What an inspection has found is at the head of the lists."""
    path = a_zip(
        tmp_path / "a.zip", {"app.py": "def (:\n", **metadata("x", "1", "Requires-Dist: y")}
    )

    run = command("inspect", path, "--html", "page.html", folder=tmp_path)

    (view,) = views_of(tmp_path / "page.html")
    assert run.code == 8
    assert view["sections"][0]["kind"] == "failure"
    assert "x 1 requires y" in " ".join(view["sections"][0]["lines"])


def test_several_artifacts_share_a_page(tmp_path: Path) -> None:
    """Each artifact of a run is a view of its own, by the name of its zip."""
    world = a_world(tmp_path / "world")
    with (world.project / "pyproject.toml").open("a") as file:
        file.write('[tool.lambda-build.artifacts]\none = {}\nother = { layout = "layer" }\n')
    del world.environ["LAMBDA_BUILD_OUTPUT"]
    page = world.folder / "page.html"

    assert world.build("--html", page, "-q").code == 0

    assert [view["label"] for view in views_of(page)] == [
        "demo-1.0-one-function-python3.13-x86_64.zip",
        "demo-1.0-other-layer-python3.13-x86_64.zip",
    ]


def test_several_projects_share_a_page(tmp_path: Path) -> None:
    """So is each project that was built, with its name; without any, there is no page."""
    for name in ("good", "bad"):
        a_project(tmp_path / name, name=name)
    (tmp_path / "bad" / "requirements.txt").write_text("one\n")
    environ = quiet_environment(tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13")

    some = run_lambda_build("good", "bad", "--html", "some.html", cwd=tmp_path, environ=environ)
    none = run_lambda_build(
        "bad", "bad/", "./b*", "--html", "no.html", cwd=tmp_path, environ=environ
    )

    assert (some.code, none.code) == (3, 3)
    (view,) = views_of(tmp_path / "some.html")
    assert view["label"] == "good: good-1.0-function-python3.13-x86_64.zip"
    assert not (tmp_path / "no.html").exists()


def test_what_grew_and_what_shrank(tmp_path: Path) -> None:
    """Two zips are one tree with the sizes of both, in which versions of metadata meet."""
    one = a_zip(tmp_path / "a.zip", {"a.py": "x = 1\n" * 9, "old.py": "x", **metadata("p", "1")})
    other = a_zip(tmp_path / "b.zip", {"a.py": "x = 1\n", "new.py": "xy", **metadata("p", "1.1")})

    run = command("diff", one, other, "--html", "page.html", folder=tmp_path)

    (view,) = views_of(tmp_path / "page.html")
    files = {name: (sizes[0], sizes[2]) for name, _, sizes in view["tree"]["files"]}
    headers = len("Metadata-Version: 2.1\nName: p\nVersion: 1\n")
    assert run.code == 1
    assert files == {
        "METADATA": (headers, headers + 2),
        "a.py": (54, 6),
        "headers and directory of the zip": (0, 0),
        "new.py": (0, 2),
        "old.py": (1, 0),
    }
    (change,) = view["changes"]
    assert (change["name"], change["versions"]) == ("p", ["1", "1.1"])
    assert view["sections"][0]["lines"][-1] == "1 file whose content differs"
    for side, path in enumerate((one, other)):
        assert view["sizes"][side][1] == path.stat().st_size
        assert (
            sum(sizes[2 * side + 1] for *_, sizes in view["tree"]["files"]) == path.stat().st_size
        )


def test_identical_zips_have_a_page(tmp_path: Path) -> None:
    """It says that nothing differs."""
    path = a_zip(tmp_path / "a.zip", {"a.py": ""})

    assert command("diff", path, path, "--html", "page.html", folder=tmp_path).code == 0

    (view,) = views_of(tmp_path / "page.html")
    assert view["sections"][0]["lines"] == ["The zips are identical."]


# --- chains of requirements -------------------------------------------------------------------


def chains_of(**requires: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Find the chains in a zip of these distributions."""
    texts = (
        "\n".join([f"Name: {name}", "Version: 1", *(f"Requires-Dist: {each}" for each in lines)])
        for name, lines in requires.items()
    )
    return {
        str(name): why
        for name, why in chains([shipped(text.encode()) for text in texts], TARGET).items()
    }


def test_chain_is_a_shortest_one() -> None:
    """Of two ways to a package, the shorter one is told."""
    assert chains_of(app=("a", "b"), a=("b", "c"), b=(), c=("d",), d=()) == {
        "app": (),
        "a": ("app",),
        "b": ("app",),
        "c": ("app", "a"),
        "d": ("app", "a", "c"),
    }


def test_markers_are_those_of_the_target() -> None:
    """A requirement for another system leads nowhere."""
    found = chains_of(app=("a; sys_platform == 'win32'", "b; python_version >= '3.13'"), a=(), b=())

    assert found == {"app": (), "a": (), "b": ("app",)}


@pytest.mark.parametrize(
    ("requires", "why"),
    [
        pytest.param(("web[fast]",), ("app", "web[fast]"), id="requested"),
        pytest.param(("web",), ("app", "web[fast]"), id="not requested in the zip"),
    ],
)
def test_extra_is_named(requires: tuple[str, ...], why: tuple[str, ...]) -> None:
    """What is there for an extra says for which one."""
    assert chains_of(app=requires, web=("loop; extra == 'fast'",), loop=())["loop"] == why


def test_circle_has_a_beginning() -> None:
    """Packages that require each other are told, too, also if nothing leads to them."""
    assert chains_of(a=("b",), b=("a",)) == {"a": (), "b": ("a",)}


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (("License-Expression: MIT OR Apache-2.0", "License: other"), "MIT OR Apache-2.0"),
        (
            ("Classifier: License :: OSI Approved :: MIT License", "License: long text"),
            "MIT License",
        ),
        (("Classifier: License :: OSI Approved", "License: BSD"), "BSD"),
        (("License: Copyright (c) me", "        and you"), "Copyright (c) me"),
        (("License: UNKNOWN",), ""),
        ((), ""),
    ],
)
def test_licence(lines: tuple[str, ...], named: str) -> None:
    """The expression of PEP 639 wins, then the classifiers, then the first line of the text."""
    assert licence("\n".join(["Name: x", *lines, "", "License: in the text"]).encode()) == named


# --- the file ---------------------------------------------------------------------------------


def test_hostile_names_are_data(tmp_path: Path) -> None:
    """No name can leave the block of data: what ends one is escaped in it."""
    path = a_hostile_zip(tmp_path / "a.zip")

    command("inspect", path, "--html", "page.html", folder=tmp_path)

    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = text.partition('id="data">')[2].partition("</script>\n<script>")[0]
    (view,) = views_of(tmp_path / "page.html")
    assert not re.search(r"[<>&\u2028\u2029\u202e]", data)
    parts = {name for name, *_ in (*view["tree"]["files"], *view["tree"]["folders"])}
    assert parts >= {part for name in map(as_shown, HOSTILE) for part in name.split("/")}
    assert view["packages"][0]["licence"] == "<script>window.broken = 1</script>"
    assert text.count("<script") == 2


def test_same_input_gives_the_same_page(tmp_path: Path) -> None:
    """Neither the place of the project nor that of the zip is on the page, nor the time."""
    pages = []
    for number, folder in enumerate(("here", "over/there")):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        world = a_world(tmp_path / folder)
        built(world, "--contents", "all", *(["--jobs", "1"] * number))
        pages.append((world.folder / "page.html").read_bytes())
        assert str(tmp_path).encode() not in pages[-1]

    assert pages[0] == pages[1]


def test_messages_name_files_without_their_folders(tmp_path: Path) -> None:
    """A message about a layer says which one, and not where it is on this machine."""
    path = a_zip(tmp_path / "a.zip", {"app.py": ""})
    layer = a_zip(tmp_path / "layer.zip", {"lib/module.py": "", "other/module.py": ""})

    run = command("inspect", path, "--layer", layer, "--html", "page.html", folder=tmp_path)

    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert str(layer) in run.output
    assert "nothing in the layer layer.zip can be imported" in text
    assert str(tmp_path) not in text


def test_page_fetches_nothing(tmp_path: Path) -> None:
    """Its policy allows its own script and style, and nothing else."""
    command(
        "inspect", a_large_zip(tmp_path / "a.zip", packages=1), "--html", "p.html", folder=tmp_path
    )

    text = (tmp_path / "p.html").read_text(encoding="utf-8")

    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert [part.split()[0] for part in policy[0].split("; ")] == [
        "default-src",
        "style-src",
        "script-src",
        "base-uri",
        "form-action",
    ]
    assert "unsafe" not in policy[0]
    assert not re.search(
        r"(?:https?:)?//[a-z]|\ssrc=|\shref=|@import|url\(", text.partition("</style>")[0]
    )


def test_earlier_page_is_replaced(tmp_path: Path) -> None:
    """A page may be written again, and over an empty file."""
    path = a_zip(tmp_path / "a.zip", {"a.py": ""})
    (tmp_path / "page.html").write_bytes(b"")

    for _ in range(2):
        assert command("inspect", path, "--html", "page.html", folder=tmp_path).code == 0

    assert views_of(tmp_path / "page.html")


@pytest.mark.parametrize("name", ["inspect", "diff"])
@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("a.zip", "already exists and is not a page of lambda-build"),
        ("notes.html", "already exists and is not a page of lambda-build"),
        ("folder", "is a folder"),
    ],
)
def test_nothing_else_is_replaced(tmp_path: Path, name: str, file: str, problem: str) -> None:
    """What is not an earlier page stays, and the command ends before it does anything."""
    path = a_zip(tmp_path / "a.zip", {"a.py": ""})
    (tmp_path / "notes.html").write_text("<!doctype html>precious")
    (tmp_path / "folder").mkdir()
    before = [path.read_bytes(), (tmp_path / "notes.html").read_bytes()]
    zips = [path] if name == "inspect" else [path, path]

    run = command(name, *zips, "--html", file, folder=tmp_path)

    assert (run.code, run.output) == (2, "")
    assert f"error: --html: `{tmp_path / file}` {problem}" in run.errors
    assert [path.read_bytes(), (tmp_path / "notes.html").read_bytes()] == before
