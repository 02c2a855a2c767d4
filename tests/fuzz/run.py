"""Search for inputs that a parser does not answer: `python -m fuzz.run [TARGET ...]`.

Each target is searched for FUZZ_SECONDS (60 by default). An input that is found is made
small by hypothesis and written into `corpus/`, where the tests read it from then on.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis import strategies as st

from fuzz.seeds import SEEDS, WORDS
from fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["CORPUS", "changed", "main", "search"]

CORPUS = Path(__file__).parent / "corpus"

_LONGEST_SECONDS = 20  # for one input; a parser that is linear needs none of them

_ROUND = 2_000  # inputs between two looks at the clock


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Change a valid input in up to five places: cut, double, move, replace or insert bytes."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, 40)))
        other = draw(st.integers(0, len(content)))
        part = draw(
            st.sampled_from(WORDS)
            | st.binary(max_size=8)
            | st.just(content[start:stop] * 2)
            | st.just(content[other : other + 60])
        )
        # In formats with offsets, an insertion breaks everything behind it.
        end = start + len(part) if draw(st.booleans()) else stop
        content = content[:start] + part + content[end:]
    return content


class SlowInputError(Exception):
    """A parser has not answered in time."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Interrupt a parser that does not answer, where the system has such signals.

    Raises:
        SlowInputError: The time is over.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise SlowInputError(f"no answer within {_LONGEST_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def search(target: str, seconds: float) -> tuple[int, bytes | None]:
    """Search for an input that a target does not answer.

    Args:
        target: A name in `TARGETS`.
        seconds: When to give up.

    Returns:
        How many inputs were tried, and the small one that fails, if there is one.
    """
    deadline = time.monotonic() + seconds
    tried = 0
    failing: bytes | None = None

    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(content=changed(SEEDS[target]) | st.binary(max_size=200))
    def try_one(content: bytes) -> None:
        nonlocal tried, failing
        if failing is None and time.monotonic() > deadline:
            return
        tried += 1
        try:
            with time_limit():
                TARGETS[target](content)
        except Exception:
            failing = content  # the last one is the smallest
            raise

    while time.monotonic() < deadline:
        try:
            try_one()
        except Exception:  # noqa: BLE001 - whatever it is, it is a fault
            traceback.print_exc()
            break
    return tried, failing


def main(names: list[str]) -> int:
    """Search all targets, or the named ones; return the number of those that fail."""
    warnings.simplefilter("error")  # none of them is for the users of a parser
    seconds = float(os.environ.get("FUZZ_SECONDS", "60"))
    failures = 0
    for name in names or sorted(TARGETS):
        tried, failing = search(name, seconds)
        if failing is None:
            print(f"{name}: {tried:,} inputs, none fails", flush=True)
            continue
        failures += 1
        path = CORPUS / name / f"found-{hashlib.sha256(failing).hexdigest()[:12]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(failing)
        print(f"{name}: FAILS after {tried:,} inputs, see {path}", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
