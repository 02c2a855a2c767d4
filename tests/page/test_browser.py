"""The page in a real browser: it opens, zooms and searches, and shows names as text."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from fakes.artifacts import a_zip
from fakes.hosts import host
from fakes.locks import ROOT
from fakes.pages import HOSTILE, a_hostile_zip, a_large_zip, as_shown
from fakes.projects import a_project, quiet_environment, run_lambda_build

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.index,
    pytest.mark.nightly,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER),
        reason="there is no chromium with its chromedriver: `apt-get install chromium-driver`",
    ),
]


def opened(folder: Path, *command: str | Path, query: str = ".py") -> Mapping[str, Any]:
    """Run a command, use the page that it writes in the browser, and give what was seen."""
    environ = quiet_environment(folder / "home", LAMBDA_BUILD_RUNTIME="python3.13")
    run = run_lambda_build(*command, "--html", "page.html", cwd=folder, environ=environ)
    assert run.code in {0, 1, 8}, run.errors
    assert CHROMIUM
    assert CHROMEDRIVER
    selenium = host("selenium", "selenium>=4.20", with_plugin=False)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    words = (ROOT / "tests/fakes/browser.py", "page.html", CHROMIUM, CHROMEDRIVER, query)
    ran = selenium.run_python(*words, cwd=folder, home=home)
    assert ran.returncode == 0, ran.stderr
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Use the page of a zip of 5,000 files."""
    folder = tmp_path_factory.mktemp("large")
    return opened(folder, "inspect", a_large_zip(folder / "large.zip"), query="needle7.py")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Use the page of a zip whose names try to be markup."""
    folder = tmp_path_factory.mktemp("hostile")
    return opened(folder, "inspect", a_hostile_zip(folder / "<b>&amp;.zip"))


@pytest.fixture(scope="module")
def difference(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Use the page of two zips."""
    folder = tmp_path_factory.mktemp("difference")
    before = a_zip(folder / "a.zip", {"grows.py": "x\n", "shrinks.py": "x\n" * 99, "stays.py": "x"})
    after = a_zip(folder / "b.zip", {"grows.py": "x\n" * 50, "new.py": "x\n", "stays.py": "x"})
    return opened(folder, "diff", before, after)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Use the page of two projects that are built in one run."""
    folder = tmp_path_factory.mktemp("several")
    for name in ("first", "second"):
        a_project(folder / name, name=name)
    return opened(folder, "first", "second")


def test_large_zip_opens(large: Mapping[str, Any]) -> None:
    """All files count, and the map shows what is large enough to be seen, in its frame."""
    seen = large["opened"]

    assert ", 5,0" in seen["status"]
    assert seen["heading"] == seen["title"] == "large.zip"
    assert 50 < seen["tiles"] <= 1500
    assert seen["inside"]
    assert len(seen["packages"]) == 50


def test_console_has_no_error_and_nothing_is_fetched(
    large: Mapping[str, Any],
    hostile: Mapping[str, Any],
    difference: Mapping[str, Any],
    several: Mapping[str, Any],
) -> None:
    """No page breaks its own policy, or asks the network for anything."""
    for seen in (large, hostile, difference, several):
        assert seen["console"] == []
        assert seen["sorted"]["fetched"] == 0


def test_click_zooms(large: Mapping[str, Any]) -> None:
    """A click on a package shows what is in it, and Escape leads back to where it is."""
    largest = large["opened"]["labels"][0]

    assert large["clicked"]["crumbs"].split("\n") == ["large.zip", "package49"]
    assert all(label.startswith("package49") for label in large["clicked"]["labels"])
    assert large["back"]["crumbs"] == "large.zip"
    assert large["back"]["focus"] == largest


def test_keyboard_moves_and_zooms(large: Mapping[str, Any]) -> None:
    """Arrows go to what is beside, Enter opens it; Tab stops once in the whole map."""
    assert large["right"]["focus"].startswith("package48: ")
    assert large["entered"]["crumbs"].split("\n") == ["large.zip", "package48"]
    assert large["entered"]["focus"] == large["entered"]["labels"][0]
    assert {seen["stops"] for name, seen in large.items() if name in {"opened", "right"}} == {1}


def test_everything_has_a_name_for_screen_readers(large: Mapping[str, Any]) -> None:
    """Each button and field is called something."""
    assert large["opened"]["nameless"] == 0


def test_search_finds_files(large: Mapping[str, Any]) -> None:
    """What is searched for is listed and counted, or it is said that there is nothing."""
    (row,) = large["found"]["list"]

    assert row.startswith("package07/needle7.py")
    assert large["found"]["status"].startswith("1 file found")
    assert large["not found"]["status"].startswith("0 files found")
    assert large["not found"]["list"] == []


def test_sizes_can_be_those_in_the_zip(large: Mapping[str, Any]) -> None:
    """The switch draws the map anew."""
    assert large["zipped"]["labels"] != large["opened"]["labels"]


def test_packages_can_be_sorted(large: Mapping[str, Any]) -> None:
    """A click on a title sorts by it, and screen readers hear that."""
    before, after = large["opened"], large["sorted"]

    assert before["packages"][0].startswith("package49")
    assert after["packages"][0].startswith("package00")
    assert after["sorted"][0] == "ascending"


def test_chain_of_requirements_is_shown(large: Mapping[str, Any]) -> None:
    """A package says who requires it, and who requires that."""
    rows = {row.split("\t")[0]: row for row in large["opened"]["packages"]}

    assert rows["package02"].endswith("package00 → package01")


def test_hostile_names_are_text(hostile: Mapping[str, Any]) -> None:
    """They appear as they are spelled, and nothing of them runs or becomes an element."""
    seen = hostile["opened"]
    listed = "\n".join(hostile["found"]["list"])

    assert seen["title"] == "<b>&amp;.zip"
    assert hostile["sorted"]["broken"] is None
    assert (seen["scripts"], seen["images"]) == (2, 0)
    assert "<script>window.broken = 1</script>" in seen["packages"][0]
    assert all(as_shown(name) in listed for name in HOSTILE)


def test_difference_shows_what_grew_and_what_shrank(difference: Mapping[str, Any]) -> None:
    """Each file that has another size has its area, and its sign; others have none."""
    seen = difference["clicked"]

    names = [label.partition(":")[0] for label in seen["labels"]]
    assert names == ["shrinks.py", "grows.py", "new.py"]
    assert {"grew", "shrank"} <= set(seen["kinds"])
    changes = [row.split("\t")[-1] for row in seen["list"]]
    assert changes == ["\N{MINUS SIGN}198 B", "+98 B", "+2 B"]


def test_menu_chooses_between_artifacts(several: Mapping[str, Any]) -> None:
    """The page begins with the first artifact, and shows the one that is chosen."""
    before, after = several["opened"], several["chosen"]

    assert before["title"].startswith("first-1.0")
    assert after["title"] == after["heading"]
    assert after["title"].startswith("second-1.0")
    assert after["packages"][0].startswith("second")
