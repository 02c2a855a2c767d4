"""Measure the page of `--html`: how long it takes to write it, to open it, and to use it.

In: a zip of 5,000 files, which the tests make, too. Out: a table of times, and with `--json` the
same as data. Like bench.py it is a report: only a command that fails makes the exit code other
than 0. It needs Chromium with its chromedriver, and the folder `tests` on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakes.hosts import host
from fakes.pages import a_large_zip

if TYPE_CHECKING:
    from fakes.hosts import Host

_HERE = Path(__file__).resolve().parent
_WORK = _HERE / ".work" / "page"
_BROWSER = _HERE.parent / "tests" / "fakes" / "browser.py"
_LIMIT = 2000.0  # milliseconds until the page is open
_QUERY = "needle7.py"


def program(name: str) -> str:
    """Find a program beside the Python that runs this file, or on PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        sys.exit(f"there is no `{name}`: run `make bench`, and install chromium-driver for it")
    return found


def output_of(*command: str | Path) -> str:
    """Run a program and return what it prints; end with its errors if it fails."""
    result = subprocess.run(command, cwd=_WORK, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stderr}")
    return result.stdout


def written(*options: str) -> float:
    """Inspect the zip, and return the milliseconds that it takes."""
    begin = time.perf_counter()
    output_of(program("lambda-build"), "inspect", "large.zip", *options)
    return 1000 * (time.perf_counter() - begin)


def used(selenium: Host) -> dict[str, float]:
    """Open the page in a new browser, and return the milliseconds of what is done there."""
    words = (_BROWSER, "page.html", program("chromium"), program("chromedriver"), _QUERY)
    ran = selenium.run_python(*words, cwd=_WORK, home=_WORK)
    if ran.returncode:
        sys.exit(ran.stderr)
    seen: dict[str, Any] = json.loads(ran.stdout)
    times: dict[str, float] = seen["milliseconds"]
    return times


def measured(rounds: int) -> dict[str, float]:
    """Return the median of each time."""
    selenium = host("selenium", "selenium>=4.20", with_plugin=False)
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        times = {
            "inspect": written(),
            "inspect --html": written("--html", "page.html"),
            **used(selenium),
        }
        for name, value in times.items():
            found.setdefault(name, []).append(value)
    return {name: round(statistics.median(values), 1) for name, values in found.items()}


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    shutil.rmtree(_WORK, ignore_errors=True)
    _WORK.mkdir(parents=True)
    a_large_zip(_WORK / "large.zip")
    figures = measured(arguments.rounds)
    figures["bytes of the page"] = float((_WORK / "page.html").stat().st_size)
    for name, value in figures.items():
        unit = "" if name.startswith("bytes") else " ms"
        limit = f" (should stay below {_LIMIT:,.0f} ms)" if name == "open" else ""
        print(f"{name:20} {value:10,.1f}{unit}{limit}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
