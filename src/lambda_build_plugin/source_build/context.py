"""Where and for what sources are built: the same for all sources of one build."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from lambda_build_plugin.source_build import interpreter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.system.interpreters import Interpreter

__all__ = ["BuildContext"]


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """What every source that is built has in common."""

    target: Target
    folder: Path
    """Where the wheels go; it lasts until the artifact is written."""

    cache: Cache
    home: Path
    environ: Mapping[str, str] = field(repr=False)
    """What backends and installers see, but for what is ours."""

    offline: bool
    reporter: Reporter

    @cached_property
    def interpreter(self) -> Interpreter:
        """The Python to build with, searched for when the first source asks for it."""
        return interpreter.find(self.target.runtime.python, environ=self.environ, home=self.home)
