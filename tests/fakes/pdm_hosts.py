"""Real PDM, in environments of its own with this plugin installed from the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fakes.hosts import host

if TYPE_CHECKING:
    from fakes.hosts import Host

__all__ = ["NEWEST", "OLDEST", "WITH_BACKEND", "pdm_host"]

NEWEST = ("pdm[locked]>=2.29",)
"""PDM as its own installer makes it: with the versions that it was tested with."""

OLDEST = ("pdm>=2.20,<2.21", "hishel<1", "unearth<0.19", "packaging==24.2")
"""The oldest PDM that is supported, beside the oldest packaging."""

WITH_BACKEND = (*NEWEST, "pdm-backend>=2.4")
"""PDM that can build a project in its own process."""


def pdm_host(*requirements: str, with_plugin: bool = True) -> Host:
    """Give the environment that holds these requirements, PDM's among them."""
    if requirements == NEWEST and not with_plugin:
        requirements = WITH_BACKEND  # one environment less to make, and no lock is another for it
    return host("pdm", *requirements, with_plugin=with_plugin)
