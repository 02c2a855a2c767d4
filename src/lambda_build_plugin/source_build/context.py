"""What all sources of one build have in common: the target, the cache, the interpreter."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from lambda_build_plugin.config.build_policy import BuildPolicy
from lambda_build_plugin.config.settings import CrossCompile
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.source_build.cross import CrossCompiler
    from lambda_build_plugin.system.cache import Cache
    from lambda_build_plugin.system.interpreters import Interpreter
    from lambda_build_plugin.system.sharing import SharedFolder

__all__ = ["BuildContext"]


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """Where sources are built, and for which target."""

    target: Target
    folder: Path
    """Where the wheels are written; it exists until the artifact is written."""

    scratch: Path | None = None
    """A folder for temporary files, used for one build after the other; None for a new one each
    time."""

    cache: Cache
    home: Path
    environ: Mapping[str, str] = field(repr=False)
    """The environment variables of backends and installers, to which some are added."""

    build_environment: frozenset[str] = frozenset()
    """Variables that builds of somebody else's sources get although they look like secrets."""

    policy: BuildPolicy = field(default_factory=BuildPolicy)
    """What the user prescribes for builds."""

    cross_compile: CrossCompile = CrossCompile.AUTO
    """When zig takes the place of this machine's compilers."""

    offline: bool
    reporter: Reporter
    shared: SharedFolder | None = None
    """Where wheels of local folders are kept for all builds of a run; None to build each time."""

    @cached_property
    def interpreter(self) -> Interpreter:
        """The Python to build with, found when the first source needs it."""
        from lambda_build_plugin.source_build import interpreter  # not needed in this process

        return interpreter.find(self.target.runtime.python, environ=self.environ, home=self.home)

    @cached_property
    def cross_compiler(self) -> CrossCompiler | None:
        """What compiles for the target; None if the compilers of this machine do.

        Raises:
            NoZigError: The user asks for zig, and there is none.
        """
        from lambda_build_plugin.source_build import cross

        return cross.find_cross_compiler(
            self.cross_compile,
            self.target,
            self.interpreter,
            environ=self.environ,
            cache_dir=self.cache.folder("zig", "cache"),
        )

    @property
    def cross_remedy(self) -> str:
        """What lets zig compile what this machine's compilers cannot; empty if nothing does."""
        from lambda_build_plugin.source_build import cross

        return cross.remedy(self.cross_compile, self.target, self.interpreter, environ=self.environ)
