"""The build target `lambda` of hatchling: the part that hatchling always loads.

`hatch build -t lambda` runs hatchling in the project's build environment. Hatchling loads
this module for any target that is not its own, so the core is imported only for a build.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.constants import BuildEnvVars
from hatchling.builders.plugin.interface import BuilderInterface
from hatchling.plugin import hookimpl
from hatchling.plugin.manager import PluginManager

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["LambdaBuilder", "hatch_register_builder"]


class LambdaBuilder(BuilderInterface[BuilderConfig, PluginManager]):
    """Translates between hatchling and the core."""

    PLUGIN_NAME = "lambda"

    is_given = False
    """Whether the output folder was given for this build, and not in a table."""

    def get_version_api(self) -> dict[str, Callable[..., str]]:
        """List what can be built: `-t lambda:layer`, `-t lambda:function,layer`."""
        return {name: partial(self.build_version, name) for name in ("function", "layer")}

    def get_default_versions(self) -> list[str]:
        """Build the configured layout by default."""
        from lambda_build_plugin.frontends.hatch_handler import configured_layout

        return [configured_layout(self)]

    def build(
        self, *, directory: str | None = None, versions: list[str] | None = None, **options: Any
    ) -> Generator[str, None, None]:
        """Build each version; a mistake is a message, where hatchling would show a traceback."""
        from lambda_build_plugin.frontends.hatch_handler import checked_versions

        self.is_given = directory is not None or BuildEnvVars.LOCATION in os.environ
        yield from super().build(
            directory=directory, versions=checked_versions(self, versions), **options
        )

    def build_version(self, version: str, directory: str, **_: Any) -> str:
        """Build one zip and return its path."""
        from lambda_build_plugin.frontends.hatch_handler import build_zip

        return build_zip(self, version, directory)

    def clean(self, directory: str, versions: list[str]) -> None:
        """Remove the zips of these versions that earlier builds have written."""
        from lambda_build_plugin.frontends.hatch_handler import remove_zips

        remove_zips(self, directory, versions)


@hookimpl
def hatch_register_builder() -> type[LambdaBuilder]:
    """Register the builder with hatchling."""
    return LambdaBuilder
