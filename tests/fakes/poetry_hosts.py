"""Real Poetry, in environments of its own with this plugin installed from the tree."""

from __future__ import annotations

from fakes.hosts import Host, host, our_wheel, uv

__all__ = ["NEWEST", "OLDEST", "PoetryHost", "our_wheel", "poetry_host", "uv"]

NEWEST, OLDEST = "poetry>=2.5", "poetry>=2.1,<2.2"
"""The versions of Poetry that tests run through."""

PoetryHost = Host


def poetry_host(*requirements: str, with_plugin: bool = True) -> PoetryHost:
    """Give the environment that holds these requirements, Poetry's among them."""
    if requirements == (OLDEST,):
        requirements = (OLDEST, "packaging==24.2")  # one environment less to make
    return host("poetry", *requirements, with_plugin=with_plugin)
