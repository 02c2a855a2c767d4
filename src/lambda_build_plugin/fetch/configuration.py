"""Read where files may come from: the lock's options, the host, uv, pip, netrc and proxies."""

from __future__ import annotations

import netrc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.fetch.gathered import Gathered
from lambda_build_plugin.fetch.pip_config import add_pip
from lambda_build_plugin.fetch.sources import (
    Credentials,
    Login,
    Places,
    Restriction,
    Sources,
    Tls,
    index_key,
)
from lambda_build_plugin.fetch.uv_config import add_uv
from lambda_build_plugin.urls import origin_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambda_build_plugin.config.indexes import IndexAccess
    from lambda_build_plugin.urls import Origin

__all__ = ["DEFAULT_INDEX", "read_sources"]

DEFAULT_INDEX = "https://pypi.org/simple/"
"""The index that is asked where none is configured."""


def read_sources(
    options: IndexOptions,
    *,
    environ: Mapping[str, str],
    home: Path,
    project: Path,
    etc: Path = Path("/etc"),
    access: Sequence[IndexAccess] = (),
    access_is_all: bool = False,
    installers: bool = True,
) -> Sources:
    """Read where files may come from: the lock's own options, uv's, then pip's.

    With several indexes the extra ones are asked before the default one, so that a
    public package cannot take the place of a private one of the same name. A lock
    that names its index means that one and its own extra ones alone, as in pip.

    Args:
        options: What the lock says.
        environ: The environment.
        home: The user's folder.
        project: The folder in which uv begins to look; relative paths begin there too.
        etc: The folder of the machine's configuration, where the system has one.
        access: What the host knows of its indexes; it wins.
        access_is_all: Whether these are the indexes to ask, whatever the lock says.
        installers: Whether the configuration of uv and pip counts. If not, the indexes of
            `access` are asked in its place, in their order, but for explicit ones.

    Raises:
        SettingsError: A configuration file cannot be read, or holds no URL where one is due.
    """
    of_host = access
    if access_is_all:
        options = IndexOptions.of(access, alone=True)
    else:
        access = (*options.access, *access)
    gathered = Gathered(no_index=options.no_index, find_links=list(options.find_links))
    if installers:
        add_uv(gathered, environ, home=home, project=project, etc=etc)
        add_pip(gathered, environ, home=home, etc=etc)
    elif not access_is_all:
        _add_host(gathered, of_host)
    _add_poetry(gathered, options, environ)
    for index in access:
        if index.name:
            gathered.names[index_key(index.url)] = index.name
        if index.username or index.password:
            gathered.logins[index_key(index.url)] = Login(
                username=index.username or "", password=index.password or ""
            )
    sources = _sources(gathered, options, environ, home=home, project=project)
    return replace(
        sources,
        tls_by_origin=_tls_by_origin(access, sources.tls),
        restrictions=_restrictions(access, Places(home=home, project=project, logins={})),
    )


def _sources(
    gathered: Gathered,
    options: IndexOptions,
    environ: Mapping[str, str],
    *,
    home: Path,
    project: Path,
) -> Sources:
    places = Places(home=home, project=project, logins=gathered.logins)
    own_extras = [places.index(url) for url in options.extra_index_urls]
    extras = [places.index(url) for url in gathered.extras]
    defaults = [places.index(url) for url in gathered.defaults]
    if options.index_url:
        indexes = [*own_extras, places.index(options.index_url)]
    else:
        indexes = [*own_extras, *extras, *(defaults or [DEFAULT_INDEX])]
    indexes += [places.index(url) for url in options.supplemental_urls]
    explicit = [places.index(url) for url in (*gathered.explicit, *dict(options.named).values())]
    links = [places.links(url) for url in gathered.find_links]
    named = {origin_of(url) for url in (*indexes, *extras, *defaults, *explicit, *links)}
    proxies = _proxies(environ)
    if gathered.proxy:
        proxies = {"all": gathered.proxy, "no": proxies.get("no", "")}
    netrc_file = environ.get("NETRC")
    return Sources(
        indexes=() if gathered.no_index else tuple(dict.fromkeys(indexes)),
        find_links=tuple(dict.fromkeys(links)),
        credentials=Credentials(
            by_index=gathered.logins,
            by_host=_read_netrc(Path(netrc_file) if netrc_file else _default_netrc(home)),
            unencrypted=frozenset(origin for origin in named if origin[0] == "http"),
        ),
        tls=Tls(
            ca_file=_first(
                environ.get("SSL_CERT_FILE"),
                gathered.ca_file,
                environ.get("REQUESTS_CA_BUNDLE"),
                environ.get("CURL_CA_BUNDLE"),
            ),
            ca_folder=environ.get("SSL_CERT_DIR") or None,
            client_certificate=_first(environ.get("SSL_CLIENT_CERT"), gathered.client_certificate),
            trusted_hosts=frozenset(gathered.trusted_hosts),
        ),
        names=gathered.names,
        proxies=proxies,
    )


def _add_host(gathered: Gathered, access: Sequence[IndexAccess]) -> None:
    """Ask what the host would, where the lock names no index."""
    asked = [index for index in access if not index.explicit]
    urls = [index.url for index in asked if not index.flat]
    gathered.extras += urls[:-1]
    gathered.defaults += urls[-1:]
    gathered.find_links += [index.url for index in asked if index.flat]


def _add_poetry(gathered: Gathered, options: IndexOptions, environ: Mapping[str, str]) -> None:
    """Read the credentials that Poetry takes from the environment, by the name of a source."""
    for name, url in options.named:
        gathered.names[index_key(url)] = name
        key = "POETRY_HTTP_BASIC_" + name.upper().replace("-", "_")
        username = environ.get(f"{key}_USERNAME", "")
        password = environ.get(f"{key}_PASSWORD", "")
        if username or password:
            gathered.logins[index_key(url)] = Login(username=username, password=password)


def _restrictions(access: Sequence[IndexAccess], places: Places) -> tuple[Restriction, ...]:
    """Read which packages each place serves; nothing at all where none is restricted."""
    if not any(index.include or index.exclude for index in access):
        return ()
    return tuple(
        Restriction(
            place=places.links(index.url) if index.flat else places.index(index.url),
            include=index.include,
            exclude=index.exclude,
        )
        for index in access
    )


def _tls_by_origin(access: Sequence[IndexAccess], general: Tls) -> dict[Origin, Tls]:
    return {
        origin_of(index.url): replace(
            general,
            ca_file=index.ca_file or general.ca_file,
            ca_folder=None if index.ca_file else general.ca_folder,
            client_certificate=index.client_certificate or general.client_certificate,
            client_key=index.client_key if index.client_certificate else general.client_key,
            trusted_hosts=general.trusted_hosts
            if index.verify
            else general.trusted_hosts | {origin_of(index.url)[1]},
        )
        for index in access
        if index.ca_file or index.client_certificate or not index.verify
    }


# --- the environment ------------------------------------------------------------------
def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Read `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; lower case wins.

    `HTTP_PROXY` in upper case is passed over under CGI, where a request sets it.
    """
    found: dict[str, str] = {}
    for scheme in ("http", "https", "all", "no"):
        lower, upper = f"{scheme}_proxy", f"{scheme.upper()}_PROXY"
        value = environ.get(lower)
        if value is None and not (scheme == "http" and "REQUEST_METHOD" in environ):
            value = environ.get(upper)
        if value:
            found[scheme] = value
    return found


def _default_netrc(home: Path) -> Path | None:
    for name in (".netrc", "_netrc"):
        if (home / name).is_file():
            return home / name
    return None


def _read_netrc(path: Path | None) -> dict[str, Login]:
    """Read a netrc file; one that is not right is no reason to fail, as in curl.

    Its `default` entry would give one login to every server, and is passed over.
    """
    if path is None:
        return {}
    try:
        hosts = netrc.netrc(str(path)).hosts
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return {}
    return {
        host: Login(username=username or "", password=password)
        for host, (username, _, password) in hosts.items()
        if host != "default" and password is not None
    }


def _first(*values: str | None) -> str | None:
    return next((value for value in values if value), None)
