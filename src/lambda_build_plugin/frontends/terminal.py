"""Progress for people: a line that is overwritten on a terminal, plain notes elsewhere."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.errors import printable
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.runtime.limits import size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Progress", "TerminalReporter", "labelled", "moves"]

_CLEAR = "\r\x1b[K"

_BETWEEN_COUNTS = 0.1
"""Seconds between two updates of what has been downloaded; each chunk would be one too many."""


def moves(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a line may be overwritten: on a terminal that can, before a person's eyes.

    Services for continuous integration set `CI`, and some of them give a terminal.
    """
    return stream.isatty() and environ.get("TERM") != "dumb" and not environ.get("CI")


def labelled(label: str, text: str) -> str:
    """Begin each line of a text with a label, so that it can be told from those of others."""
    return "\n".join(f"{label}: {line}".rstrip() for line in text.splitlines() or [""])


class Progress:
    """A stream for progress: if its reader goes away, as `head` does, the build goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_gone = False

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return self._stream.encoding

    def write(self, text: str) -> None:
        """Write a text, if somebody still reads it."""
        self._try(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Show what was written."""
        self._try(self._stream.flush)

    def _try(self, write: Callable[[], object]) -> None:
        if self._is_gone:
            return
        try:
            write()
        except OSError:
            self._is_gone = True
            # Else Python would fail to write the rest at its end.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class TerminalReporter(Reporter):
    """Show each step in a line that is overwritten, if the stream is a terminal.

    Other lines stay. If there are several artifacts, each line begins with the name of its own.
    """

    def __init__(self, stream: TextIO, *, verbose: bool, live: bool, several: bool = False) -> None:
        self._stream = Progress(stream)
        self._verbose = verbose
        self._live = live
        self._several = several
        self._lock = threading.Lock()
        self._artifact = ""
        self._expected = self._done = self._announced = self._received = 0
        self._counted_at = 0.0

    def artifact(self, label: str) -> None:
        """Name the artifact from now on."""
        self._artifact = label

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

    def announced(self, size: int) -> None:
        """Count the bytes as expected."""
        with self._lock:
            self._announced += size

    def received(self, size: int) -> None:
        """Show how much has been downloaded, ten times a second at most."""
        with self._lock:
            self._received += size
            now = time.monotonic()
            if now - self._counted_at < _BETWEEN_COUNTS:
                return
            self._counted_at = now
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
        # A server need not say how much it sends.
        total = size_text(max(self._announced, self._received))
        files = f"{self._done} of {self._expected} files"
        return f"fetch {files}, {size_text(self._received)} of {total}"

    def _line(self, text: str) -> None:
        if self._several and self._artifact:
            text = labelled(self._artifact, text)
        with self._lock:
            self._stream.write(f"{_CLEAR if self._live else ''}{text}\n")
            self._stream.flush()

    def _draw(self, text: str) -> None:
        if not self._live:
            return
        line = f"{self._artifact}: {text}" if self._artifact else text
        width = shutil.get_terminal_size().columns  # only one line can be cleared
        with self._lock:
            self._stream.write(f"{_CLEAR}{printable(line)[: width - 1]}")
            self._stream.flush()
