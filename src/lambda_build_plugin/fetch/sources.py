"""Where files may come from: indexes, credentials, certificates, proxies.

`configuration.read_sources` makes these values. Credentials are removed from URLs as soon
as they are read, and are sent only to the origin that they belong to.
"""

from __future__ import annotations

import itertools
from dataclasses import field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lambda_build_plugin.urls import origin_of, without_login
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lambda_build_plugin.urls import Origin

__all__ = ["Credentials", "Login", "Restriction", "Sources", "Tls", "index_key", "login_in"]


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user name and a password for one origin."""

    username: str = field(repr=False)  # may be a token
    password: str = field(repr=False)


def login_in(url: str) -> Login | None:
    """Return the credentials that a URL contains."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return None
    return Login(username=unquote(parts.username or ""), password=unquote(parts.password or ""))


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Which certificates servers must have, and which one the client sends."""

    ca_file: str | None = None
    ca_folder: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    """The file with its key, if the certificate's file does not contain it."""

    trusted_hosts: frozenset[str] = frozenset()
    """`host` or `host:port` for which the user has turned off the check of certificates."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Logins by index, which are never sent to another origin."""

    by_index: Mapping[str, Login] = field(default_factory=dict)
    """By URL; if several indexes share an origin, the longest common path wins, as in pip."""

    by_host: Mapping[str, Login] = field(default_factory=dict)
    """From netrc, which has neither schemes nor ports."""

    unencrypted: frozenset[Origin] = frozenset()
    """The `http` origins that the configuration names: logins of netrc go to no others."""

    def of(self, url: str) -> Login | None:
        """Find the login for a URL: of the index on its origin with most of its path."""
        origin = origin_of(url)
        if (index := _nearest(url, self.by_index)) is not None:
            return self.by_index[index]
        scheme, host, _ = origin
        if scheme == "https" or origin in self.unencrypted:
            return self.by_host.get(host)
        return None

    def with_login_of(self, url: str) -> Credentials:
        """Add the login that a URL itself contains, for its own origin."""
        login = login_in(url)
        if login is None:
            return self
        return replace(self, by_index={**self.by_index, index_key(url): login})


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """Which packages an index serves, by patterns (`fnmatch`) of their normalized names."""

    place: str
    """As in `Sources.indexes` or `Sources.find_links`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def verdict(self, name: str) -> bool | None:
        """Return True if the index is for the package, False if not, None if it may be used."""
        if any(fnmatchcase(name, pattern) for pattern in self.include):
            return True
        return False if any(fnmatchcase(name, pattern) for pattern in self.exclude) else None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Everything that the fetcher needs to know about indexes and how to reach them."""

    indexes: tuple[str, ...]
    """URLs of simple indexes without credentials, the first to search first."""

    first_index: bool = False
    """Whether files that are known only by version come from the first index that has the
    package, as in uv, and not from all indexes, as in pip."""

    find_links: tuple[str, ...] = ()
    """Folders, or URLs of pages, that list files."""

    credentials: Credentials = field(repr=False)
    tls: Tls = Tls()
    tls_by_origin: Mapping[Origin, Tls] = field(default_factory=dict)
    """For indexes that have certificates of their own configured."""

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By scheme; `all` is for any scheme, and `no` lists the hosts that need no proxy."""

    names: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What the user calls an index, by its URL; only for messages."""

    restrictions: tuple[Restriction, ...] = ()
    """For indexes that do not serve every package; an index may have several."""

    def places_of(self, name: str) -> frozenset[str]:
        """Choose where to search for a package.

        If an index includes it, only such indexes are searched, else all that do not
        exclude it, as PDM does with `include_packages` and `exclude_packages`.
        """
        places = frozenset((*self.find_links, *self.indexes))
        restricted: dict[str, list[bool | None]] = {}
        for each in self.restrictions:
            restricted.setdefault(each.place, []).append(each.verdict(name))
        claimed = {place for place, verdicts in restricted.items() if True in verdicts}
        if claimed:
            return places & claimed
        return places - {place for place, verdicts in restricted.items() if None not in verdicts}

    def name_of(self, url: str) -> str:
        """Return the name of the index that a URL belongs to; empty if it has none."""
        index = _nearest(url, self.names)
        return "" if index is None else self.names[index]

    def tls_of(self, url: str) -> Tls:
        """Return the certificates to use for the server of a URL."""
        return self.tls_by_origin.get(origin_of(url), self.tls)


def index_key(index: str) -> str:
    """Return the URL of an index without its login, with one slash at the end."""
    return without_login(index).rstrip("/") + "/"


def _nearest(url: str, indexes: Iterable[str]) -> str | None:
    """Return the index on the origin of a URL that shares most of its path, if there is one."""
    origin, path = origin_of(url), _steps(url)

    def shared(index: str) -> int:
        pairs = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(path, _steps(index), strict=False)
        )
        return sum(1 for _ in pairs)

    return max((index for index in indexes if _is_at(index, origin)), key=shared, default=None)


def _is_at(url: str, origin: Origin) -> bool:
    try:
        return origin_of(url) == origin
    except ValueError:  # not a URL, which is reported when it is requested
        return False


def _steps(url: str) -> list[str]:
    return [step for step in urlsplit(url).path.split("/") if step]
