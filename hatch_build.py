"""Make the README readable on the package index, which has none of the files that it links to.

Hatchling runs the hook when it makes the metadata of the package.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_REPOSITORY = "https://github.com/lambda-build-plugin/lambda-build-plugin"


def with_absolute_links(readme: str) -> str:
    """Let links and images of a README lead to the repository."""
    images = re.sub(r"(!\[[^]]*\]\()(?!https?:)", rf"\1{_REPOSITORY}/raw/main/", readme)
    return re.sub(r"(?<!!)(\[[^]]*\]\()(?!https?:|#)", rf"\1{_REPOSITORY}/blob/main/", images)


class ReadmeHook(MetadataHookInterface):
    """Set the field `readme`, which is dynamic in pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the text of the README."""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(readme),
        }
