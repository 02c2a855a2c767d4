"""docs/how-to/invoke.md keeps its word: what it shows runs."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
from fakes.locks import ROOT
from fakes.projects import a_project

if TYPE_CHECKING:
    from fakes.invoking import Workplace

_PAGE = (ROOT / "docs" / "how-to" / "invoke.md").read_text(encoding="utf-8")
_SHOWN = [
    shlex.split(line)[2:]
    for block in re.findall(r"^```sh\n(.*?)^```", _PAGE, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("lambda-build invoke")
]


@pytest.mark.index
@pytest.mark.parametrize("arguments", _SHOWN, ids=" ".join)
def test_shown_commands_run(workplace: Workplace, arguments: list[str]) -> None:
    """Each command answers, or listens."""
    app = "def handler(event, context):\n    return event\n"
    workplace.artifact({"app.py": app}, "package.zip")
    (workplace.folder / "event.json").write_text("{}")
    a_project(workplace.folder / "made", extra='[tool.lambda-build]\nhandler = "demo.app.handler"')
    for path in (workplace.folder / "made").iterdir():
        path.rename(workplace.folder / path.name)

    if "--listen" in arguments:
        arguments = ["0" if each == "9000" else each for each in arguments]
        with workplace.started(*arguments) as process:
            assert process.stderr
            assert any(line.startswith("listening on http://127.0.0.1:") for line in process.stderr)
    else:
        run = workplace.invoke(*arguments)
        assert run.code == 0, run.errors
