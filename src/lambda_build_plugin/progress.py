"""News of a running build: the pipeline tells a `Reporter`, which may show it.

The library neither prints nor exits; a frontend that wants to show something
overrides what it cares for. All methods may be called from worker threads.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Clock", "Reporter"]


class Reporter:
    """Hear of each step and stay silent."""

    def artifact(self, label: str) -> None:
        """The build of an artifact begins; the label names it among those of the run."""

    def stage(self, name: str) -> None:
        """A stage of the pipeline begins, such as `lock`, `fetch` or `archive`."""

    def note(self, text: str) -> None:
        """Something worth a line with `--verbose`; holds no credentials."""

    def fetching(self, *, files: int) -> None:
        """So many files are wanted."""

    def announced(self, size: int) -> None:
        """`size` bytes are about to come over the network."""

    def received(self, size: int) -> None:
        """`size` more bytes came over the network."""

    def fetched(self, filename: str, *, cached: bool) -> None:
        """One file is here and its digest is right."""

    def building(self, name: str) -> None:
        """A wheel is made of the source of a package, which may take minutes."""

    def built(self, name: str, *, seconds: float) -> None:
        """Hear that a wheel was built from the source of a package, and how long that took."""

    @contextmanager
    def live(self) -> Iterator[None]:
        """Surround the build, so that a display can be cleared whatever happens."""
        yield


@dataclass()
class Clock:
    """Times the stages of one build, and tells of each when it begins."""

    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage."""
        self.reporter.stage(name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
