"""Read the indexes and credentials that pip is configured with.

https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import stamp_of
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.fetch.raw_sources import is_true

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lambda_build_plugin.config.tables import Stamp
    from lambda_build_plugin.fetch.raw_sources import RawSources

__all__ = ["add_pip", "pip_values"]

_PIP_FILE = "pip.ini" if sys.platform == "win32" else "pip.conf"

_SECTIONS = ("global", "install", "download")
"""What counts for an installation; of two sections with an option, the later one wins."""

_KEPT = 16
"""Files that were read; pip has up to five."""


def add_pip(raw: RawSources, environ: Mapping[str, str], *, home: Path, etc: Path) -> None:
    """Add what `pip.conf` and the variables `PIP_*` configure.

    Raises:
        SettingsError: A file cannot be read.
    """
    values = pip_values(environ, home=home, etc=etc)
    if url := values.get("index-url"):
        raw.defaults.append(url)
    raw.extras.extend(values.get("extra-index-url", "").split())
    raw.find_links.extend(values.get("find-links", "").split())
    raw.no_index |= is_true(values.get("no-index"))
    raw.trusted_hosts.update(values.get("trusted-host", "").split())
    raw.ca_file = values.get("cert") or None
    raw.client_certificate = values.get("client-cert") or None
    raw.proxy = values.get("proxy") or None


def pip_values(environ: Mapping[str, str], *, home: Path, etc: Path) -> Mapping[str, str]:
    """Read all options that pip is configured with, by their long name without dashes.

    Raises:
        SettingsError: A file cannot be read.
    """
    return _pip_values(environ, _pip_files(environ, home=home, etc=etc))


def _pip_values(environ: Mapping[str, str], files: Iterable[Path]) -> Mapping[str, str]:
    """Merge pip's files, of which later ones win, and its variables, which win over all.

    A command's section wins over `[global]`, whichever files they are in.
    """
    sections: dict[str, dict[str, str]] = {name: {} for name in _SECTIONS}
    for path in filter(Path.is_file, files):
        for section, values in _sections(path, stamp_of(path)).items():
            sections[section].update(values)
    variables = {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("PIP_") and value
    }
    return {key: value for each in (*sections.values(), variables) for key, value in each.items()}


@lru_cache(maxsize=_KEPT)
def _sections(path: Path, _stamp: Stamp) -> Mapping[str, Mapping[str, str]]:
    """Read a file of pip's, once as long as it is the same: every project of a run asks for it.

    Raises:
        SettingsError: It is not a file of pip's.
    """
    import configparser  # most users have no such file

    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: {error}"], hint="fix the configuration of pip") from error
    return {
        section: {
            key.replace("_", "-").removeprefix("--"): value.strip()
            for key, value in parser.items(section)
        }
        for section in _SECTIONS
        if parser.has_section(section)
    }


def _pip_files(environ: Mapping[str, str], *, home: Path, etc: Path) -> Iterator[Path]:
    """Yield the paths that pip reads, of which later ones win.

    They are those of the machine, of the user (unless PIP_CONFIG_FILE names an existing
    file), of the virtual environment, and the named one.
    """
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    yield from _pip_files_of_machine(environ, etc)
    if not (named and Path(named).exists()):
        yield from _pip_files_of_user(environ, home)
    if prefix := environ.get("VIRTUAL_ENV"):
        yield Path(prefix) / _PIP_FILE
    if named:
        yield Path(named)


def _pip_files_of_machine(environ: Mapping[str, str], etc: Path) -> Iterator[Path]:
    if sys.platform == "win32":
        yield Path(environ.get("PROGRAMDATA") or "C:/ProgramData") / "pip" / _PIP_FILE
    elif sys.platform == "darwin":
        yield Path("/Library/Application Support/pip") / _PIP_FILE
    else:
        for folder in (environ.get("XDG_CONFIG_DIRS") or str(etc / "xdg")).split(os.pathsep):
            yield Path(folder) / "pip" / _PIP_FILE
        yield etc / _PIP_FILE


def _pip_files_of_user(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    if sys.platform == "win32":
        yield home / "pip" / _PIP_FILE
        yield Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "pip" / _PIP_FILE
        return
    yield home / ".pip" / _PIP_FILE
    folder = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    if sys.platform == "darwin":
        support = home / "Library" / "Application Support" / "pip"
        folder = support if support.is_dir() else home / ".config" / "pip"
    yield folder / _PIP_FILE
