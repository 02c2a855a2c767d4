"""Read where files may come from: the lock, the host, uv, pip, netrc and proxies.

The configuration files and variables of uv and pip count, so that a machine that is set
up for one of them needs nothing else. Their own rules are in `uv_config` and `pip_config`.
"""

from __future__ import annotations

import netrc
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.fetch.pip_config import add_pip
from lambda_build_plugin.fetch.raw_sources import RawSources, is_file
from lambda_build_plugin.fetch.sources import (
    Credentials,
    Login,
    Restriction,
    Sources,
    Tls,
    index_key,
    login_in,
)
from lambda_build_plugin.fetch.uv_config import add_uv
from lambda_build_plugin.urls import origin_of, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lambda_build_plugin.config.indexes import IndexAccess
    from lambda_build_plugin.urls import Origin

__all__ = ["DEFAULT_INDEX", "HostIndexes", "read_sources"]

DEFAULT_INDEX = "https://pypi.org/simple/"
"""The index that is used if none is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIndexes:
    """What the host (Poetry, Hatch, PDM) knows about its indexes."""

    access: Sequence[IndexAccess] = field(default=(), repr=False)
    """How to reach them; wins over what the lock and the other tools say."""

    are_all: bool = False
    """Whether exactly these indexes are searched, whatever the lock says."""

    installers: bool = True
    """Whether the configuration of uv and pip counts. If not, the indexes of `access` are
    used in its place, in their order, except explicit ones."""


def read_sources(
    options: IndexOptions,
    *,
    environ: Mapping[str, str],
    home: Path,
    project: Path,
    etc: Path = Path("/etc"),
    host: HostIndexes | None = None,
) -> Sources:
    """Read where files may come from: the lock's own options first, then uv's, then pip's.

    If there are several indexes, the extra ones are searched before the default one, so
    that a public package cannot replace a private one with the same name. A lock that
    names its index means only that one and its own extra ones, as in pip.

    Args:
        options: What the lock says.
        environ: The environment variables.
        home: The user's home folder.
        project: The folder in which uv begins to search; relative paths start there too.
        etc: The folder of the machine's configuration, on systems that have one.
        host: What the host says, if there is one.

    Raises:
        SettingsError: A configuration file cannot be read, or has an invalid URL.
    """
    host = host or HostIndexes()
    if host.are_all:
        options = IndexOptions.of(host.access, alone=True)
    access = host.access if host.are_all else (*options.access, *host.access)
    raw = RawSources(no_index=options.no_index, find_links=list(options.find_links))
    if host.installers:
        add_uv(raw, environ, home=home, project=project, etc=etc)
        add_pip(raw, environ, home=home, etc=etc)
    elif not host.are_all:
        _add_host(raw, host.access)
    _add_poetry(raw, options, environ)
    _add_access(raw, access)
    locations = _Locations(home=home, project=project, logins=raw.logins)
    sources = _merge(raw, options, environ, locations)
    return replace(
        sources,
        tls_by_origin=_tls_by_origin(access, sources.tls),
        restrictions=_restrictions(access, replace(locations, logins={})),
    )


def _merge(
    raw: RawSources, options: IndexOptions, environ: Mapping[str, str], locations: _Locations
) -> Sources:
    of_lock = [locations.index(url) for url in options.extra_index_urls]
    extras = [locations.index(url) for url in raw.extras]
    defaults = [locations.index(url) for url in raw.defaults]
    if options.index_url:
        indexes = [*of_lock, locations.index(options.index_url)]
    else:
        indexes = [*of_lock, *extras, *(defaults or [DEFAULT_INDEX])]
    indexes += [locations.index(url) for url in options.supplemental_urls]
    explicit = [locations.index(url) for url in (*raw.explicit, *dict(options.named).values())]
    links = [locations.find_links(url) for url in raw.find_links]
    named = {origin_of(url) for url in (*indexes, *extras, *defaults, *explicit, *links)}
    proxies = _proxies(environ)
    if raw.proxy:
        proxies = {"all": raw.proxy, "no": proxies.get("no", "")}
    netrc_file = environ.get("NETRC")
    return Sources(
        indexes=() if raw.no_index else tuple(dict.fromkeys(indexes)),
        first_index=not raw.no_index and len(set(indexes)) > 1 and _first_index(raw, options),
        find_links=tuple(dict.fromkeys(links)),
        credentials=Credentials(
            by_index=raw.logins,
            by_host=_read_netrc(Path(netrc_file) if netrc_file else _default_netrc(locations.home)),
            unencrypted=frozenset(origin for origin in named if origin[0] == "http"),
        ),
        tls=Tls(
            ca_file=_first(
                environ.get("SSL_CERT_FILE"),
                raw.ca_file,
                environ.get("REQUESTS_CA_BUNDLE"),
                environ.get("CURL_CA_BUNDLE"),
            ),
            ca_folder=environ.get("SSL_CERT_DIR") or None,
            client_certificate=_first(environ.get("SSL_CLIENT_CERT"), raw.client_certificate),
            trusted_hosts=frozenset(raw.trusted_hosts),
        ),
        names=raw.names,
        proxies=proxies,
    )


def _first_index(raw: RawSources, options: IndexOptions) -> bool:
    """Decide whether the first index that has a package decides, as in uv, or all count, as in pip.

    uv's rule protects from a public package with the name of a private one, and counts if uv
    made the lock or is configured with the indexes, unless `index-strategy` turns it off:
    https://docs.astral.sh/uv/concepts/indexes/#searching-across-multiple-indexes
    """
    uses_uv = raw.is_uv and not options.index_url
    return (uses_uv or options.first_index) and raw.index_strategy in {None, "first-index"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Locations:
    """Turn configured locations into URLs without a login and absolute paths."""

    home: Path
    project: Path
    logins: dict[str, Login] = field(repr=False)
    """By URL without a login; receives the logins that are found in URLs."""

    def index(self, text: str) -> str:
        """Read the root of an index, which is a folder whether or not it ends with a slash."""
        location = self.find_links(text)
        if "://" not in location:
            return location
        parts = urlsplit(location)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/"))

    def find_links(self, text: str) -> str:
        """Read a `--find-links` location: a folder, or the URL of a page.

        Raises:
            SettingsError: The URL is invalid.
        """
        if "://" not in text:
            path = Path(text)
            if path.parts[:1] == ("~",):
                path = self.home.joinpath(*path.parts[1:])
            return str(self.project / path)
        try:
            origin_of(text)
        except ValueError as error:
            raise SettingsError(
                [f"`{redacted(text)}` is not a valid index URL: {error}"],
                hint="fix it where it is configured: uv.toml, pip.conf, a variable or the lock",
            ) from error
        login = login_in(text)
        if login is not None:
            self.logins.setdefault(index_key(text), login)
        parts = urlsplit(text)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _add_access(raw: RawSources, access: Sequence[IndexAccess]) -> None:
    """Add the names and credentials that the lock's tool or the host knows."""
    for index in access:
        if index.name:
            raw.names[index_key(index.url)] = index.name
        if index.username or index.password:
            raw.logins[index_key(index.url)] = Login(
                username=index.username or "", password=index.password or ""
            )


def _add_host(raw: RawSources, access: Sequence[IndexAccess]) -> None:
    """Add the indexes that the host itself would search if the lock names none."""
    asked = [index for index in access if not index.explicit]
    urls = [index.url for index in asked if not index.flat]
    raw.extras += urls[:-1]
    raw.defaults += urls[-1:]
    raw.find_links += [index.url for index in asked if index.flat]


def _add_poetry(raw: RawSources, options: IndexOptions, environ: Mapping[str, str]) -> None:
    """Add the credentials that Poetry reads from variables, by the name of a source."""
    for name, url in options.named:
        raw.names[index_key(url)] = name
        key = "POETRY_HTTP_BASIC_" + name.upper().replace("-", "_")
        username = environ.get(f"{key}_USERNAME", "")
        password = environ.get(f"{key}_PASSWORD", "")
        if username or password:
            raw.logins[index_key(url)] = Login(username=username, password=password)


def _restrictions(access: Sequence[IndexAccess], locations: _Locations) -> tuple[Restriction, ...]:
    """Read which packages each index serves; empty if none is restricted."""
    if not any(index.include or index.exclude for index in access):
        return ()
    return tuple(
        Restriction(
            place=locations.find_links(index.url) if index.flat else locations.index(index.url),
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


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Read `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; lower case wins.

    `HTTP_PROXY` in upper case is ignored under CGI, where a request can set it.
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
        if is_file(home / name):
            return home / name
    return None


def _read_netrc(path: Path | None) -> dict[str, Login]:
    """Read a netrc file; an invalid one is ignored, as in curl.

    So is its `default` entry, which would send one login to every server.
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
