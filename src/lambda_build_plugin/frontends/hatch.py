"""The build target `lambda` of hatchling: what Hatch loads, and no more.

`hatch build -t lambda` runs hatchling in the project's build environment, which loads this
module when a target's name is not one of its own; the core is imported when it builds.
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
    """Translates from hatchling and back."""

    PLUGIN_NAME = "lambda"

    is_given = False
    """Whether the folder was named for this build, and not in a table."""

    def get_version_api(self) -> dict[str, Callable[..., str]]:
        """Name what can be built: `-t lambda:layer`, `-t lambda:function,layer`."""
        return {name: partial(self.build_version, name) for name in ("function", "layer")}

    def get_default_versions(self) -> list[str]:
        """Build the layout that is configured."""
        from lambda_build_plugin.frontends.hatch_handler import configured_layout

        return [configured_layout(self)]

    def build(
        self, *, directory: str | None = None, versions: list[str] | None = None, **options: Any
    ) -> Generator[str, None, None]:
        """Build each version, and name mistakes in a message where hatchling has a traceback."""
        from lambda_build_plugin.frontends.hatch_handler import checked_versions

        self.is_given = directory is not None or BuildEnvVars.LOCATION in os.environ
        yield from super().build(
            directory=directory, versions=checked_versions(self, versions), **options
        )

    def build_version(self, version: str, directory: str, **_: Any) -> str:
        """Build one zip and give its path."""
        from lambda_build_plugin.frontends.hatch_handler import build_zip

        return build_zip(self, version, directory)

    def clean(self, directory: str, versions: list[str]) -> None:
        """Remove earlier zips of these versions."""
        from lambda_build_plugin.frontends.hatch_handler import remove_zips

        remove_zips(self, directory, versions)


@hookimpl
def hatch_register_builder() -> type[LambdaBuilder]:
    """Answer hatchling's question for builders."""
    return LambdaBuilder
