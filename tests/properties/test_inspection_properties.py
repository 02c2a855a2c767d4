"""Whatever a zip is made of, `inspect` answers: a report, or an error of ours."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from fakes.artifacts import a_member, a_zip, metadata
from fakes.elf import an_elf
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_build_plugin.frontends.cli import main

_FILES: dict[str, str | bytes] = {
    "a.cpython-313-x86_64-linux-gnu.so": an_elf(versions={"libc.so.6": ["GLIBC_2.17"]}),
    "app.py": "def handler(event, context): ...\n",
    **metadata("demo", "1.0", "Requires-Dist: six[x]>=1; python_version > '3'"),
    "demo-1.0.dist-info/RECORD": "app.py,,\n",
    "x.pth": "import x\n",
}


def _sound() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        further = [(a_member("link", mode=0o120777), b"app.py")]
        return a_zip(Path(folder, "a.zip"), _FILES, further=further).read_bytes()


SOUND = _sound()
DIRECTORY = SOUND.index(b"PK\x01\x02")

places = st.integers(0, len(SOUND) - 1) | st.integers(DIRECTORY, len(SOUND) - 1)
edits = st.lists(st.tuples(places, st.integers(0, 20), st.binary(max_size=20)), max_size=6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(edits)
def test_any_damage_is_told(edits: list[tuple[int, int, bytes]]) -> None:
    """Bytes that were changed, cut out or put in lead to no traceback."""
    content = SOUND
    for place, removed, added in edits:
        content = content[:place] + added + content[place + removed :]
    errors = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.zip")
        path.write_bytes(content)
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            code = main(["inspect", str(path), "--handler", "app.handler", "-v"])

    assert code in {0, 8}, errors.getvalue()
