"""Find the wheels of a plan in the cache, without hashing or opening them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.wheel.file import Wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.system.hashes import Digest

__all__ = ["find_cached_wheels", "tell_of_cached"]


def find_cached_wheels(
    artifact: ArtifactBuild, files: Iterable[tuple[str, Digest]]
) -> tuple[Wheel, ...] | None:
    """Find all wheels, given by file name and sha256; None if one is missing."""
    wheels: list[Wheel] = []
    for filename, digest in files:
        path = artifact.context.cache.unchecked(digest)
        if path is None:
            return None
        sha256 = digest.removeprefix("sha256:")
        wheels.append(Wheel.of(path, sha256=sha256, source="wheel", filename=filename))
    return tuple(wheels)


def tell_of_cached(artifact: ArtifactBuild, wheels: Sequence[Wheel]) -> None:
    """Tell the reporter of wheels that need not be fetched."""
    reporter = artifact.context.reporter
    reporter.fetching(files=len(wheels))
    for wheel in wheels:
        reporter.fetched(wheel.filename, cached=True)
