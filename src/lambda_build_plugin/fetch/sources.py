"""Where files may come from: indexes and credentials as pip and uv are configured.

Reads the configuration files and variables of both tools, so that a machine set up
for one of them needs nothing more:

* pip: https://pip.pypa.io/en/stable/topics/configuration/
* uv: https://docs.astral.sh/uv/reference/settings/ and /reference/environment/

Credentials are taken out of the URLs at once and kept by origin.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.urls import origin_of, redacted, without_login

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lambda_build_plugin.urls import Origin

__all__ = ["Credentials", "Login", "Restriction", "Sources", "Tls", "redacted"]

TRUE = {"1", "true", "yes", "on", "y", "t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user name and a password for one origin."""

    username: str = field(repr=False)  # may be a token
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How servers prove who they are."""

    ca_file: str | None = None
    ca_folder: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    """The file of its key, where the certificate's own does not hold it."""

    trusted_hosts: frozenset[str] = frozenset()
    """`host` or `host:port` whose certificate the user wants not to be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Logins by index; none is ever given to another origin."""

    by_index: Mapping[str, Login] = field(default_factory=dict)
    """By URL; where several indexes share an origin, the nearest path counts, as in pip."""

    by_host: Mapping[str, Login] = field(default_factory=dict)
    """From netrc, which knows neither scheme nor port."""

    unencrypted: frozenset[Origin] = frozenset()
    """The `http` origins that the configuration names: no other hears what netrc holds."""

    def of(self, url: str) -> Login | None:
        """Find the login for a URL: that of the index on its origin which it is nearest to."""
        origin = origin_of(url)
        if (index := nearest(url, self.by_index)) is not None:
            return self.by_index[index]
        scheme, host, _ = origin
        if scheme == "https" or origin in self.unencrypted:
            return self.by_host.get(host)
        return None

    def with_login_of(self, url: str) -> Credentials:
        """Add the login that a URL itself holds, for its own origin."""
        login = login_in(url)
        if login is None:
            return self
        return replace(self, by_index={**self.by_index, index_key(url): login})


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Which packages one place is asked for, by patterns of their normalized names."""

    place: str
    """As in `Sources.indexes` or `Sources.find_links`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def verdict(self, name: str) -> bool | None:
        """Tell whether a package comes from here (True), not from here, or maybe (None)."""
        if any(fnmatchcase(name, pattern) for pattern in self.include):
            return True
        return False if any(fnmatchcase(name, pattern) for pattern in self.exclude) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything the fetcher needs to know about the world outside."""

    indexes: tuple[str, ...]
    """URLs of simple indexes without credentials, in the order in which to ask."""

    find_links: tuple[str, ...] = ()
    """Folders, or URLs of pages, that list files."""

    credentials: Credentials = field(repr=False)
    tls: Tls = Tls()
    tls_by_origin: Mapping[Origin, Tls] = field(default_factory=dict)
    """For indexes whose certificates are configured one by one."""

    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By scheme, `all` for any, and `no` for the hosts that need none."""

    names: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What the user calls an index, by its URL; for messages alone."""

    restrictions: tuple[Restriction, ...] = ()
    """Of the places that do not serve every package; a place may have several."""

    def places_of(self, name: str) -> frozenset[str]:
        """Choose the places for a package: those that claim it, else all that do not refuse it.

        That is what PDM does with `include_packages` and `exclude_packages`.
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
        """Find what the user calls the index that a URL belongs to; empty where it has no name."""
        index = nearest(url, self.names)
        return "" if index is None else self.names[index]

    def tls_of(self, url: str) -> Tls:
        """Find how the server of a URL proves who it is."""
        return self.tls_by_origin.get(origin_of(url), self.tls)


def index_key(index: str) -> str:
    """Spell the URL of an index in one way, without its login."""
    return without_login(index).rstrip("/") + "/"


def nearest(url: str, indexes: Iterable[str]) -> str | None:
    """Choose the index on the origin of a URL that has most of its path; None if none has it."""
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
    except ValueError:  # it is none; that is reported where it is asked
        return False


def _steps(url: str) -> list[str]:
    return [step for step in urlsplit(url).path.split("/") if step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Brings what is configured into one form: bare URLs, and absolute paths."""

    home: Path
    project: Path
    logins: dict[str, Login] = field(repr=False)
    """By URL without a login; filled on the way."""

    def index(self, text: str) -> str:
        """Read the root of an index, which is a folder whether or not it ends like one."""
        place = self.links(text)
        if "://" not in place:
            return place
        parts = urlsplit(place)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/"))

    def links(self, text: str) -> str:
        """Read a `--find-links` location: a folder, or the URL of a page."""
        if "://" not in text:
            path = Path(text)
            if path.parts[:1] == ("~",):
                path = self.home.joinpath(*path.parts[1:])
            return str(self.project / path)
        try:
            origin_of(text)
        except ValueError as error:
            raise SettingsError(
                [f"`{redacted(text)}` is no URL of an index: {error}"],
                hint="mend it where it is configured: uv.toml, pip.conf, a variable or the lock",
            ) from error
        login = login_in(text)
        if login is not None:
            self.logins.setdefault(index_key(text), login)
        parts = urlsplit(text)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def login_in(url: str) -> Login | None:
    """Get the credentials that a URL holds."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return None
    return Login(username=unquote(parts.username or ""), password=unquote(parts.password or ""))
