"""Real Hatch and hatchling, in environments of their own.

Hatch makes the project's build environment itself and installs this plugin there, so its
own environment is without it; that of hatchling has it from the tree.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fakes.hosts import host
from fakes.locks import BUILDS
from fakes.locks import NEWEST as NEWEST_OF_ALL
from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.fetch.configuration import read_sources

if TYPE_CHECKING:
    from fakes.hosts import Host
    from fakes.index import FakeIndex

__all__ = ["NEWEST", "OLDEST_HATCHLING", "UNHELD", "hatch_host", "hatchling_host", "indexes"]

NEWEST = "hatch>=1.18"
"""The version of Hatch that tests run through: locks came with 1.17."""

OLDEST_HATCHLING = ("hatchling>=1.27,<1.28", "packaging==24.2")
"""The oldest hatchling that is supported, beside the oldest packaging."""

UNHELD = {"UV_CONSTRAINT": ""}
"""For `hatch lock`: uv installs from a pylock.toml only if no constraints are given."""

_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def hatch_host() -> Host:
    """Give Hatch."""
    return host("hatch", NEWEST, with_plugin=False)


def hatchling_host(*requirements: str) -> Host:
    """Give a hatchling with the plugin beside it."""
    return host("hatchling", *requirements)


def indexes(first: FakeIndex | None = None) -> dict[str, str]:
    """Tell uv where to get things, the given index before this machine's, and which versions."""
    sources = read_sources(IndexOptions(), environ=os.environ, home=Path.home(), project=Path("/"))
    return {
        "UV_DEFAULT_INDEX": sources.indexes[-1],
        **({"UV_INDEX": first.url} if first else {}),
        **({} if NEWEST_OF_ALL else {"UV_CONSTRAINT": str(BUILDS)}),
        **{key: os.environ[key] for key in _NETWORK if key in os.environ},
    }
