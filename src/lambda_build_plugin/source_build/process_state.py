"""What a build may touch: its folder for temporary files, its input, output and variables.

Backends in this process and the programs that they start see the same: nobody to answer
a question, nobody to read what they print, and a folder that is removed afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

__all__ = ["no_input", "scratch", "variables", "working_in", "writing_to"]


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that also holds what a build and its programs leave for temporary.

    A build that is killed cannot clean up after itself; this does.
    """
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="lambda-build-", ignore_cleanup_errors=True) as name:
        tempfile.tempdir = name
        try:
            with variables({"TMPDIR": name}):
                yield Path(name)
        finally:
            tempfile.tempdir = before


@contextmanager
def variables(more: Mapping[str, str]) -> Iterator[None]:
    """Add to the variables of this process, which backends and `build` hand on."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def no_input() -> Iterator[None]:
    """Let whoever asks a question meet the end of input at once, and not wait for ever."""
    before = sys.stdin
    with Path(os.devnull).open(encoding="utf-8") as nothing, _led(0, nothing):
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before


@contextmanager
def _led(descriptor: int, file: TextIO) -> Iterator[None]:
    """Lead a descriptor to a file, for this process and those that it starts."""
    kept = os.dup(descriptor)
    try:
        os.dup2(file.fileno(), descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


@contextmanager
def writing_to(file: TextIO) -> Iterator[None]:
    """Lead what backends and the programs they start write into a file.

    Standard output is not theirs: a report may be on its way to another program.
    """
    with ExitStack() as stack:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            stack.enter_context(_led(descriptor, file))
        stack.enter_context(redirect_stdout(file))
        stack.enter_context(redirect_stderr(file))
        yield


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Change the working directory, as PEP 517 wants it for hooks."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
