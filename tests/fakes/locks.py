"""The locks of the repository: what tests install from the package index.

`make lock` renews them, from `locks/environments.toml`. Where the environment variable
`TEST_NEWEST` is 1, as `make newest` sets it, nothing is held to them. `TEST_WHEEL` names
the wheel that is tested in place of the tree, as `make built` sets it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "AWSLAMBDARIC",
    "BACKENDS",
    "BUILDS",
    "BUILT_WHEEL",
    "CACHE",
    "FUNCTIONS",
    "NEWEST",
    "ROOT",
    "added_by_plugin",
    "held",
    "host_lock",
    "hosts",
    "requirements_of",
]

ROOT = Path(__file__).parents[2]

NEWEST = os.environ.get("TEST_NEWEST") == "1"
"""Whether tests run with the newest of everything instead of what is locked."""

BUILT_WHEEL = Path(ROOT, os.environ["TEST_WHEEL"]) if "TEST_WHEEL" in os.environ else None
"""The wheel of this plugin that is tested; None where it is the tree."""

CACHE = ROOT / ".cache" / ("newest" if NEWEST else "tests")
"""Where environments are kept that several tests use."""

_LOCKS = ROOT / "locks"
AWSLAMBDARIC = ROOT / "src" / "lambda_build_plugin" / "invoke" / "runtime-client.txt"
"""What `lambda-build invoke` installs as well."""

FUNCTIONS = _LOCKS / "functions.txt"
"""Clients of Lambda's API, and what real functions are written with."""

BACKENDS = _LOCKS / "backends.txt"
"""Build backends and what they need, and nothing that a project in a test depends on."""

BUILDS = _LOCKS / "builds.txt"
"""The same with what this plugin needs."""

_PACKAGES = _LOCKS / "packages.txt"


def host_lock(requirements: tuple[str, ...], *, with_plugin: bool) -> Path | None:
    """Find the lock of the environment of a host, if there is one.

    Args:
        requirements: Of the host, spelled as in `locks/environments.toml`.
        with_plugin: Whether what this plugin needs is in it, too.
    """
    ending = "-with-plugin.txt" if with_plugin else ".txt"
    paths = (
        _LOCKS / "hosts" / f"{name}{ending}"
        for name, table in _host_tables().items()
        if set(table["requires"]) == set(requirements)
    )
    return next(filter(Path.is_file, paths), None)


def hosts() -> list[tuple[str, ...]]:
    """List the requirements of every host that tests use each time."""
    tables = _host_tables().values()
    return [tuple(table["requires"]) for table in tables if "on_demand" not in table]


def requirements_of(name: str) -> tuple[str, ...]:
    """Get the requirements of a host by its name in `locks/environments.toml`."""
    return tuple(_host_tables()[name]["requires"])


def added_by_plugin(requirements: tuple[str, ...]) -> list[str]:
    """List the versions that this plugin brings into a host which has not got them."""
    if NEWEST:
        return []
    alone, together = (host_lock(requirements, with_plugin=each) for each in (False, True))
    assert alone
    assert together
    there = _pins(alone)
    return [pin for pin in _pins(together) if pin not in there]


def held() -> str:
    """Give the end of the pyproject.toml of a project whose real packages uv is to lock.

    It holds them, and what they need, to the versions of `locks/packages.txt`.
    """
    if NEWEST:
        return ""
    return f"\n[tool.uv]\nconstraint-dependencies = {json.dumps(_pins(_PACKAGES))}\n"


def _host_tables() -> dict[str, Any]:
    tables: dict[str, Any] = tomllib.loads(
        (_LOCKS / "environments.toml").read_text(encoding="utf-8")
    )["hosts"]
    return tables


def _pins(lock: Path) -> list[str]:
    """Get the lines of a lock without hashes: each a name, a version and perhaps a marker."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [line.removesuffix("\\").strip() for line in lines if line and line[0] not in " #"]
