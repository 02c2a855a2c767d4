"""Progress for people: a line that is overwritten on a terminal, plain notes elsewhere."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.limits import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TerminalReporter"]

_CLEAR = "\r\x1b[K"


class TerminalReporter(Reporter):
    """Show each step in a line that is overwritten, if the stream is a terminal."""

    def __init__(self, stream: TextIO, *, verbose: bool, live: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._live = live
        self._lock = threading.Lock()
        self._expected = self._done = self._received = 0

    def stage(self, name: str) -> None:
        """Show the stage."""
        self._draw(f"{name} …")

    def note(self, text: str) -> None:
        """Write the note on its own line, with `--verbose`."""
        if self._verbose:
            self._line(text)

    def fetching(self, *, files: int) -> None:
        """Count the expected files; more may follow later."""
        with self._lock:
            self._expected += files

    def received(self, size: int) -> None:
        """Show how much has been downloaded."""
        with self._lock:
            self._received += size
        self._draw(self._fetch_line())

    def fetched(self, filename: str, *, cached: bool) -> None:
        """Count the file as done."""
        with self._lock:
            self._done += 1
        self.note(f"have {filename}" + (" (cached)" if cached else ""))

    def building(self, name: str) -> None:
        """Show the package."""
        self._draw(f"build {name} …")

    def built(self, name: str, *, seconds: float) -> None:
        """Write on its own line that a package was built, also without a terminal."""
        self._line(f"built {name} from source in {seconds:.1f} s")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Clear the line at the end, also after a failure."""
        try:
            yield
        finally:
            if self._live:
                self._stream.write(_CLEAR)
                self._stream.flush()

    def _fetch_line(self) -> str:
        return f"fetch {self._done}/{self._expected} files, {size_text(self._received)}"

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{_CLEAR if self._live else ''}{text}\n")
            self._stream.flush()

    def _draw(self, text: str) -> None:
        if not self._live:
            return
        with self._lock:
            self._stream.write(f"{_CLEAR}{text}")
            self._stream.flush()
