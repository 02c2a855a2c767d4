"""Choose the Python that sources are built with: one of the target's minor version if possible.

A setup.py asks the Python that runs it what to build, and an extension module loads only
in the minor version that compiled it. Nothing is downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.system.interpreters import Interpreter, find_interpreters, uv_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["find"]


def find(python: tuple[int, int], *, environ: Mapping[str, str], home: Path) -> Interpreter:
    """Find a Python of a minor version that can build wheels; else take the running one."""
    running = Interpreter.running()
    if running.loads_like(python):
        return running
    # uv puts what is needed into an environment itself; otherwise that takes pip.
    needs_pip = uv_of(environ) is None
    for found in find_interpreters(python, environ=environ, home=home):
        if found.loads_like(python) and (found.has_ensurepip or not needs_pip):
            return found
    return running
