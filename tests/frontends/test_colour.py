"""Colours appear on a terminal, unless the user says otherwise."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

import pytest
from fakes.projects import a_project, quiet_environment, run_lambda_build

from lambda_build_plugin.frontends.colour import coloured, shows_colours

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        pytest.param({}, True, id="terminal"),
        pytest.param({"TERM": "xterm"}, True, id="xterm"),
        pytest.param({"TERM": "dumb"}, False, id="dumb"),
        pytest.param({"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param({"NO_COLOR": ""}, True, id="empty NO_COLOR"),
        pytest.param({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, id="both"),
    ],
)
def test_on_a_terminal(environ: dict[str, str], *, shown: bool) -> None:
    """A terminal shows them, unless it or the user does not want them."""
    controller, terminal = pty.openpty()
    with open(terminal, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        found = shows_colours(stream, environ)
    os.close(controller)

    assert found is shown


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        pytest.param({}, False, id="file"),
        pytest.param({"FORCE_COLOR": "1", "TERM": "dumb"}, True, id="FORCE_COLOR"),
        pytest.param({"FORCE_COLOR": ""}, False, id="empty FORCE_COLOR"),
    ],
)
def test_elsewhere(tmp_path: Path, environ: dict[str, str], *, shown: bool) -> None:
    """A file or a pipe gets none, unless the user forces them."""
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        assert shows_colours(stream, environ) is shown


def test_words_that_begin_a_line() -> None:
    """Only the words at the beginning are coloured, so no name in a message changes."""
    text = "error: a warning: b\n\nhint: c\n"

    shown = coloured(text)

    assert shown == "\x1b[1;31merror:\x1b[0m a warning: b\n\n\x1b[36mhint:\x1b[0m c\n"


def test_report_and_errors(tmp_path: Path) -> None:
    """The report of a build and the messages are coloured, and JSON never is."""
    project = a_project(tmp_path / "project")
    forced = quiet_environment(
        tmp_path / "home", LAMBDA_BUILD_RUNTIME="python3.13", FORCE_COLOR="1"
    )

    built = run_lambda_build(cwd=project, environ=forced)
    as_json = run_lambda_build("--json", cwd=project, environ=forced)
    failed = run_lambda_build("--handler", "demo.gone.handler", cwd=project, environ=forced)

    assert built.output.startswith("\x1b[1m\x1b[32mBuilt\x1b[0m ")
    assert "\x1b" not in as_json.output
    assert failed.errors.startswith("\x1b[1;31merror:\x1b[0m ")
