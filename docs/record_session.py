"""Record the terminal session that the README shows, as an SVG, from a real run.

`make session` runs it. It builds a copy of `fixtures/projects/quickstart`, whose packages
come from the index that pip or uv is configured with.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

_HERE = Path(__file__).resolve().parent
_PROJECT = _HERE.parent / "fixtures" / "projects" / "quickstart"
_RECORDING = _HERE / "session.svg"
_COLUMNS = 92

_COMMANDS = (
    "lambda-build --runtime python3.13 --arch arm64",
    "lambda-build diff first.zip dist/*.zip | tail -n 1",
)
"""What is shown, one after the other; before the second, the first is run once more."""


def recorded(folder: Path) -> Text:
    """Run the commands in a folder, and give what a reader would see in the terminal."""
    environ = {
        **os.environ,
        "COLUMNS": str(_COLUMNS),
        "FORCE_COLOR": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }

    def output_of(command: str) -> str:
        ran = subprocess.run(  # noqa: S602 - the commands are written above
            command,
            shell=True,
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return ran.stdout.replace(f"{folder}{os.sep}", "").rstrip("\n")

    build, compare = _COMMANDS
    output_of(f"{build} --output first.zip")  # fills the cache, so that the next is a usual build
    session = Text()
    for command in (build, compare):
        session.append("$ ", style="bold green")
        session.append(f"{command}\n", style="bold")
        session.append_text(Text.from_ansi(output_of(command)))
        session.append("\n\n")
    session.rstrip()
    return session


def main() -> None:
    """Write the recording."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "my-project"
        shutil.copytree(_PROJECT, folder, ignore=shutil.ignore_patterns("dist", "__pycache__"))
        console.print(recorded(folder), soft_wrap=False)
    console.save_svg(str(_RECORDING), title="lambda-build", theme=MONOKAI, unique_id="session")
    # Without the address of fonts, for which a reader's browser would ask somebody else.
    text = _RECORDING.read_text(encoding="utf-8")
    start, end = text.find("@font-face"), text.find(".session-matrix")
    _RECORDING.write_text(text[:start] + text[end:], encoding="utf-8")


if __name__ == "__main__":
    main()
