"""Change the state of this process for a build: temporary files, streams, variables, `sys.path`.

This serves backends in this process and the programs that they start: they get no input,
their output is captured, and their temporary folder is removed afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.system.leftovers import empty_folder, temporary_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import TextIO

__all__ = ["new_folders_last", "no_input", "scratch", "variables", "working_in", "writing_to"]


@contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """Provide a folder that is also used for the temporary files of a build and its programs.

    A backend that is killed cannot clean up after itself, but this can.

    Args:
        folder: One that is used for one build after the other; None for a new one.
    """
    before = tempfile.tempdir
    with temporary_folder(ignore_errors=True) if folder is None else _used_again(folder) as name:
        tempfile.tempdir = name
        try:
            with variables({"TMPDIR": name}):
                yield Path(name)
        finally:
            tempfile.tempdir = before


@contextmanager
def _used_again(folder: Path) -> Iterator[str]:
    """Provide a folder that is left empty."""
    folder.mkdir(exist_ok=True)
    try:
        yield str(folder)
    finally:
        empty_folder(folder)


@contextmanager
def variables(more: Mapping[str, str], *, without: Collection[str] = ()) -> Iterator[None]:
    """Change the environment variables of this process, which backends and `build` pass on.

    Args:
        more: Variables to add, with their values.
        without: Names of variables to remove.
    """
    before = {name: os.environ.get(name) for name in {*more, *without}}
    for name in without:
        os.environ.pop(name, None)
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
    """Let programs that ask a question read the end of input, so that they do not wait."""
    before = sys.stdin
    with Path(os.devnull).open(encoding="utf-8") as nothing, _redirected(0, nothing):
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = before


@contextmanager
def _redirected(descriptor: int, file: TextIO) -> Iterator[None]:
    """Redirect a descriptor to a file, for this process and those that it starts."""
    kept = os.dup(descriptor)
    try:
        os.dup2(file.fileno(), descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


@contextmanager
def writing_to(file: TextIO) -> Iterator[None]:
    """Redirect the output of backends and of the programs that they start to a file.

    They must not use standard output, which another program may read the report from.
    """
    with ExitStack() as stack:
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            stack.enter_context(_redirected(descriptor, file))
        stack.enter_context(redirect_stdout(file))
        stack.enter_context(redirect_stderr(file))
        yield


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Change the working directory, as PEP 517 requires for hooks."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def new_folders_last() -> Iterator[None]:
    """Let what is imported put its folders behind all else on `sys.path`, and not first.

    poetry-core puts first what it brings along, its own `packaging` among it. A process that is
    started later with the same path would import that in place of ours.
    """
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path.sort(key=lambda folder: folder not in before)
