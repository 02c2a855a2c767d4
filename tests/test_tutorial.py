"""A newcomer who follows the tutorial gets what it shows."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.locks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.index

_PAGE = (ROOT / "docs" / "tutorial" / "first-function.md").read_text(encoding="utf-8")
_APP = Path("src", "my_project", "app.py")


def steps(language: str) -> Iterator[str]:
    """Find the blocks that this module tries."""
    pattern = rf"<!-- tested by tests/test_tutorial\.py -->\n```{language}\n(.*?)^```"
    yield from re.findall(pattern, _PAGE, flags=re.MULTILINE | re.DOTALL)


def follow(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the tutorial with the programs of this environment."""
    beside = Path(sys.executable).parent
    path = f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    program, *arguments = shlex.split(line)
    return subprocess.run(
        [beside / program, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Follow all steps, and give the project and the last report."""
    folder = tmp_path_factory.mktemp("tutorial")
    (handler,) = steps("python")
    output = ""
    for line in "".join(steps("sh")).splitlines():
        if line.startswith("lambda-build invoke"):
            continue  # which not every machine can do
        if line.startswith("cd "):
            folder /= line.removeprefix("cd ")
            (folder / _APP).write_text(handler, encoding="utf-8")
            continue
        ran = follow(line, folder)
        assert ran.returncode == 0, ran.stderr
        output = ran.stdout
    return folder, output


def test_steps_give_what_is_shown(report: tuple[Path, str]) -> None:
    """The report has the lines that the tutorial shows; sizes and versions change with time."""
    folder, output = report
    (shown,) = re.findall(r"^```text\n(Built .*?)^```", _PAGE, flags=re.MULTILINE | re.DOTALL)
    labels = [line.split()[0] for line in shown.splitlines() if line.strip() not in {"", "…"}]

    assert [label for label in labels if label not in output.split()] == []
    assert (folder / "dist" / Path(shown.splitlines()[0]).name).is_file()


def test_settings_are_those_that_are_shown(report: tuple[Path, str]) -> None:
    """`lambda-build init` writes the table that the tutorial shows."""
    folder, _ = report
    (table,) = re.findall(r"^```toml\n(.*?)^```", _PAGE, flags=re.MULTILINE | re.DOTALL)

    assert table in (folder / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="the tutorial runs machine code for x86_64 Linux",
)
def test_the_function_gives_the_answer_that_is_shown(report: tuple[Path, str]) -> None:
    """`lambda-build invoke` prints the answer of the handler."""
    folder, _ = report
    (line,) = (text for text in "".join(steps("sh")).splitlines() if " invoke " in text)
    (answer,) = steps("json")

    # The Python of the tests is there; the one of the tutorial need not be.
    ran = follow(f"{line} --runtime python3.{sys.version_info.minor}", folder)

    assert ran.stdout == answer, ran.stderr


def test_the_mistake_gives_the_message_that_is_shown(report: tuple[Path, str]) -> None:
    """A missing module fails the build with the message in the tutorial, and changes nothing."""
    folder, _ = report
    (message,) = steps("text")
    before = {path: path.stat().st_mtime_ns for path in (folder / "dist").iterdir()}
    handler = (folder / _APP).read_text(encoding="utf-8")

    (folder / _APP).write_text(f"import requests\n{handler}", encoding="utf-8")
    ran = follow("lambda-build", folder)
    (folder / _APP).write_text(handler, encoding="utf-8")

    assert ran.returncode == 8
    assert ran.stderr.startswith(message)
    assert {path: path.stat().st_mtime_ns for path in (folder / "dist").iterdir()} == before
