"""Read the indexes and credentials that uv is configured with.

https://docs.astral.sh/uv/reference/settings/ and /reference/environment/
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.fetch.raw_sources import is_file, is_true
from lambda_build_plugin.fetch.sources import Login, index_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.fetch.raw_sources import RawSources

__all__ = ["add_uv", "uv_tables"]


def add_uv(
    raw: RawSources, environ: Mapping[str, str], *, home: Path, project: Path, etc: Path
) -> None:
    """Add what `uv.toml`, `[tool.uv]` and the variables `UV_*` configure.

    Raises:
        SettingsError: A file cannot be read, or a setting has a wrong type.
    """
    named: dict[str, str] = {}
    before = len(raw.defaults) + len(raw.extras)
    _add_uv_environment(raw, environ, named)
    try:
        for table, base in uv_tables(environ, home=home, project=project, etc=etc):
            _add_uv_table(raw, table, base, named)
    except TableError as error:
        raise SettingsError([str(error)], hint="fix the configuration of uv") from error
    raw.is_uv = len(raw.defaults) + len(raw.extras) > before
    for name, url in named.items():
        raw.names[index_key(url)] = name
        key = re.sub(r"[^A-Z0-9]", "_", name.upper())
        username = environ.get(f"UV_INDEX_{key}_USERNAME")
        password = environ.get(f"UV_INDEX_{key}_PASSWORD")
        if username or password:
            # Variables win over what is in the URL.
            raw.logins[index_key(url)] = Login(username=username or "", password=password or "")


def _add_uv_environment(raw: RawSources, environ: Mapping[str, str], named: dict[str, str]) -> None:
    def url_of(text: str) -> str:
        name, equals, url = text.partition("=")
        if equals and re.fullmatch(r"[\w.-]+", name):
            named.setdefault(name, url)
            return url
        return text

    for key in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        raw.defaults.extend(url_of(text) for text in environ.get(key, "").split()[:1])
    for key in ("UV_INDEX", "UV_EXTRA_INDEX_URL"):
        raw.extras.extend(url_of(text) for text in environ.get(key, "").split())
    raw.find_links.extend(filter(None, re.split(r"[,\s]+", environ.get("UV_FIND_LINKS", ""))))
    raw.no_index |= is_true(environ.get("UV_NO_INDEX"))
    raw.index_strategy = environ.get("UV_INDEX_STRATEGY") or None
    raw.trusted_hosts.update(environ.get("UV_INSECURE_HOST", "").split())


def _add_uv_table(raw: RawSources, table: Table, base: Path, named: dict[str, str]) -> None:
    for index in table.tables("index"):
        url = _uv_url(index.required_text("url"), base)
        name = index.text("name")
        if name:
            named.setdefault(name, url)
        if index.text("format") == "flat":
            raw.find_links.append(url)
        elif index.flag("explicit"):
            raw.explicit.append(url)
        else:
            (raw.defaults if index.flag("default") else raw.extras).append(url)
    for section in (table, table.table("pip")):
        if default := section.text("index-url"):
            raw.defaults.append(_uv_url(default, base))
        raw.extras.extend(_uv_url(url, base) for url in section.texts("extra-index-url"))
        raw.find_links.extend(_uv_url(url, base) for url in section.texts("find-links"))
        raw.no_index |= section.flag("no-index") or False
        raw.index_strategy = raw.index_strategy or section.text("index-strategy")
        raw.trusted_hosts.update(section.texts("allow-insecure-host"))


def _uv_url(text: str, base: Path) -> str:
    return text if "://" in text else str(base / text)


def uv_tables(
    environ: Mapping[str, str], *, home: Path, project: Path, etc: Path
) -> Iterator[tuple[Table, Path]]:
    """Yield uv's configuration: of the project or its workspace, the user, the system.

    Raises:
        SettingsError: A file cannot be read.
    """
    if is_true(environ.get("UV_NO_CONFIG")):
        return
    if named := environ.get("UV_CONFIG_FILE"):
        yield _toml(Path(named)), Path(named).parent
        return
    start = _uv_workspace(project) or project
    for folder in (start, *start.parents):
        table = _uv_table_in(folder)
        if table is not None:
            yield table, folder
            break
    for folder in _uv_folders(environ, home=home, etc=etc):
        if is_file(folder / "uv.toml"):
            yield _toml(folder / "uv.toml"), folder


def _uv_workspace(project: Path) -> Path | None:
    """Find the root of the workspace: the configuration of its members is ignored."""
    for folder in (project, *project.parents):
        if is_file(folder / "uv.lock"):
            with suppress(OSError, TableError):
                if "workspace" in read_toml(folder / "pyproject.toml").table("tool").table("uv"):
                    return folder
        if (folder / ".git").exists():
            break
    return None


def _uv_table_in(folder: Path) -> Table | None:
    """Read the settings in a project's folder: uv.toml wins over `[tool.uv]`."""
    if is_file(folder / "uv.toml"):
        return _toml(folder / "uv.toml")
    if is_file(folder / "pyproject.toml"):
        tool = _toml(folder / "pyproject.toml").table("tool")
        if "uv" in tool:
            return tool.table("uv")
    return None


def _uv_folders(environ: Mapping[str, str], *, home: Path, etc: Path) -> Iterator[Path]:
    if sys.platform == "win32":
        yield Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "uv"
        yield Path(environ.get("PROGRAMDATA") or "C:/ProgramData") / "uv"
        return
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "uv"
    for folder in (environ.get("XDG_CONFIG_DIRS") or str(etc / "xdg")).split(os.pathsep):
        yield Path(folder) / "uv"
    yield etc / "uv"


def _toml(path: Path) -> Table:
    try:
        return read_toml(path)
    except TableError as error:
        raise SettingsError([f"{path}: {error.problem}"], hint="fix this file") from error
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror}"], hint="check its path") from error
