"""This machine → `Host`, or `Machine` for what builds nothing.

No other module looks at the working directory, the home folder or the date.
"""

from __future__ import annotations

import datetime
import os
import sys
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Host
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.system.cache import Cache
from lambda_build_plugin.system.note_key import read_key
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.system.sharing import SharedFolder

__all__ = ["Machine", "open_cache", "read_host", "read_machine"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What checks of a zip need to know of this machine: less than a build."""

    today: datetime.date
    environ: Mapping[str, str] = field(repr=False)
    home: Path


def read_machine(environ: Mapping[str, str]) -> Machine:
    """Look at this machine, even if it has no place for a cache and no working directory."""
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("/")
    return Machine(today=_today(), environ=dict(environ), home=home)


def open_cache(host: Host, scratch: Path, *, shared: SharedFolder | None = None) -> Cache:
    """Open the cache of a machine, with the key of the user's notes.

    Args:
        host: The machine.
        scratch: A folder for temporary files, for what the cache cannot take.
        shared: What the builds of one run have in common.
    """
    return Cache(
        host.cache_dir,
        key=read_key(host.state_dir, cache=host.cache_dir),
        spare=scratch / "cache",
        is_optional=host.cache_is_default,
        shared=shared,
    )


def read_host(environ: Mapping[str, str], cache_dir: str | None = None) -> Host:
    """Look at this machine once.

    Args:
        environ: The environment variables that the build may use.
        cache_dir: The folder of the cache, before the variable LAMBDA_BUILD_CACHE_DIR.

    Raises:
        SettingsError: The working directory does not exist, or there is no folder for the cache.
    """
    cwd = _cwd()
    chosen = cache_dir or environ.get("LAMBDA_BUILD_CACHE_DIR")
    home = _home(cwd)
    return Host(
        cwd=cwd,
        home=home,
        cache_dir=_cache_dir(cwd, chosen),
        cache_is_default=not chosen,
        today=_today(),
        environ=dict(environ),
        state_dir=_state_dir(home, environ),
    )


def _today() -> datetime.date:
    """Return the date in UTC, which decides whether a runtime is deprecated."""
    return datetime.datetime.now(tz=datetime.timezone.utc).date()


def _cwd() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise SettingsError(
            ["the current folder does not exist any more"], hint="change to an existing folder"
        ) from error


def _home(cwd: Path) -> Path:
    """Find the home folder; without one there is no user configuration to read."""
    try:
        return Path.home()
    except RuntimeError:
        return cwd


def _cache_dir(cwd: Path, chosen: str | None) -> Path:
    if chosen:
        return cwd / chosen
    from platformdirs import user_cache_path

    folder = user_cache_path("lambda-build", appauthor=False)
    if not folder.is_absolute():  # no HOME, and the user has no entry in the password database
        raise SettingsError(
            ["there is no home folder for the cache"],
            hint="name a folder with `--cache-dir` or LAMBDA_BUILD_CACHE_DIR",
        )
    return folder


def _state_dir(home: Path, environ: Mapping[str, str]) -> Path | None:
    """Find the user's folder for state, which is outside of any cache.

    On Linux as in the XDG Base Directory Specification, elsewhere as platformdirs does, which
    need not be imported for it.
    """
    if sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    elif os.name == "nt":
        folder = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        folder = Path(environ.get("XDG_STATE_HOME") or "")
        if not folder.is_absolute():
            folder = home / ".local" / "state"
    return folder / "lambda-build" if folder.is_absolute() else None
