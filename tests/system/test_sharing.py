"""Processes and threads do each piece of work once, also if one of them is killed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from lambda_build_plugin.system.sharing import SharedFolder
from lambda_build_plugin.system.threads import map_in_threads

if TYPE_CHECKING:
    from pathlib import Path

_HOLD = """\
import sys
from pathlib import Path
from lambda_build_plugin.system.sharing import SharedFolder
with SharedFolder(Path(sys.argv[1])).alone("key"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_work_on_a_key_is_done_once(tmp_path: Path) -> None:
    """Of many threads, one makes the result of a key, and the others find it."""
    shared = SharedFolder(tmp_path / "shared")
    made: list[int] = []

    def work(number: int) -> str:
        with shared.alone(f"key {number % 2}") as place:
            if not place.exists():
                made.append(number)
                place.write_text(f"result {number % 2}")
            return place.read_text()

    results = map_in_threads(work, range(16), threads=8)

    assert results == [f"result {number % 2}" for number in range(16)]
    assert sorted(number % 2 for number in made) == [0, 1]


def test_nobody_waits_for_a_killed_process(tmp_path: Path) -> None:
    """A lock ends with the process that holds it."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()

    with SharedFolder(tmp_path).alone("key") as place:
        assert not place.exists()
