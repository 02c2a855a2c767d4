"""Where files may come from: indexes and credentials as pip and uv are configured.

Reads the configuration files and variables of both tools, so that a machine set up
for one of them needs nothing more:

* pip: https://pip.pypa.io/en/stable/topics/configuration/
* uv: https://docs.astral.sh/uv/reference/settings/ and /reference/environment/

Credentials are taken out of the URLs at once and kept by origin.
"""

from __future__ import annotations

import configparser
import itertools
import netrc
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from lambda_build_plugin.config.indexes import IndexOptions
from lambda_build_plugin.config.tables import TableError, read_toml
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.urls import origin_of, redacted, without_login

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lambda_build_plugin.config.indexes import IndexAccess
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.urls import Origin

__all__ = [
    "DEFAULT_INDEX",
    "Credentials",
    "Login",
    "Restriction",
    "Sources",
    "Tls",
    "read_sources",
    "redacted",
]

DEFAULT_INDEX = "https://pypi.org/simple/"
"""The index that is asked where none is configured."""

_TRUE = {"1", "true", "yes", "on", "y", "t"}

_PIP_FILE = "pip.ini" if sys.platform == "win32" else "pip.conf"


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
        if (index := _nearest(url, self.by_index)) is not None:
            return self.by_index[index]
        scheme, host, _ = origin
        if scheme == "https" or origin in self.unencrypted:
            return self.by_host.get(host)
        return None

    def with_login_of(self, url: str) -> Credentials:
        """Add the login that a URL itself holds, for its own origin."""
        login = _login_in(url)
        if login is None:
            return self
        return replace(self, by_index={**self.by_index, _key(url): login})


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
        index = _nearest(url, self.names)
        return "" if index is None else self.names[index]

    def tls_of(self, url: str) -> Tls:
        """Find how the server of a URL proves who it is."""
        return self.tls_by_origin.get(origin_of(url), self.tls)


@dataclass(slots=True, repr=False)
class _Gathered:
    """What the configuration says, the strongest layer first; URLs still hold passwords."""

    defaults: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    explicit: list[str] = field(default_factory=list)
    find_links: list[str] = field(default_factory=list)
    no_index: bool = False
    logins: dict[str, Login] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    client_certificate: str | None = None
    trusted_hosts: set[str] = field(default_factory=set)
    proxy: str | None = None


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
    gathered = _Gathered(no_index=options.no_index, find_links=list(options.find_links))
    if installers:
        _add_uv(gathered, environ, home=home, project=project, etc=etc)
        _add_pip(gathered, environ, home=home, etc=etc)
    elif not access_is_all:
        _add_host(gathered, of_host)
    _add_poetry(gathered, options, environ)
    for index in access:
        if index.name:
            gathered.names[_key(index.url)] = index.name
        if index.username or index.password:
            gathered.logins[_key(index.url)] = Login(
                username=index.username or "", password=index.password or ""
            )
    sources = _sources(gathered, options, environ, home=home, project=project)
    return replace(
        sources,
        tls_by_origin=_tls_by_origin(access, sources.tls),
        restrictions=_restrictions(access, _Places(home=home, project=project, logins={})),
    )


def _sources(
    gathered: _Gathered,
    options: IndexOptions,
    environ: Mapping[str, str],
    *,
    home: Path,
    project: Path,
) -> Sources:
    places = _Places(home=home, project=project, logins=gathered.logins)
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


def _add_host(gathered: _Gathered, access: Sequence[IndexAccess]) -> None:
    """Ask what the host would, where the lock names no index."""
    asked = [index for index in access if not index.explicit]
    urls = [index.url for index in asked if not index.flat]
    gathered.extras += urls[:-1]
    gathered.defaults += urls[-1:]
    gathered.find_links += [index.url for index in asked if index.flat]


def _add_poetry(gathered: _Gathered, options: IndexOptions, environ: Mapping[str, str]) -> None:
    """Read the credentials that Poetry takes from the environment, by the name of a source."""
    for name, url in options.named:
        gathered.names[_key(url)] = name
        key = "POETRY_HTTP_BASIC_" + name.upper().replace("-", "_")
        username = environ.get(f"{key}_USERNAME", "")
        password = environ.get(f"{key}_PASSWORD", "")
        if username or password:
            gathered.logins[_key(url)] = Login(username=username, password=password)


def _restrictions(access: Sequence[IndexAccess], places: _Places) -> tuple[Restriction, ...]:
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


def _key(index: str) -> str:
    """Spell the URL of an index in one way, without its login."""
    return without_login(index).rstrip("/") + "/"


def _nearest(url: str, indexes: Iterable[str]) -> str | None:
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
class _Places:
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
        login = _login_in(text)
        if login is not None:
            self.logins.setdefault(_key(text), login)
        parts = urlsplit(text)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def _login_in(url: str) -> Login | None:
    """Get the credentials that a URL holds."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return None
    return Login(username=unquote(parts.username or ""), password=unquote(parts.password or ""))


# --- uv -------------------------------------------------------------------------------
def _add_uv(
    gathered: _Gathered, environ: Mapping[str, str], *, home: Path, project: Path, etc: Path
) -> None:
    named: dict[str, str] = {}
    _add_uv_environment(gathered, environ, named)
    try:
        for table, base in _uv_tables(environ, home=home, project=project, etc=etc):
            _add_uv_table(gathered, table, base, named)
    except TableError as error:
        raise SettingsError([str(error)], hint="mend the configuration of uv") from error
    for name, url in named.items():
        gathered.names[_key(url)] = name
        key = re.sub(r"[^A-Z0-9]", "_", name.upper())
        username = environ.get(f"UV_INDEX_{key}_USERNAME")
        password = environ.get(f"UV_INDEX_{key}_PASSWORD")
        if username or password:
            # Variables win over what stands in the URL.
            gathered.logins[_key(url)] = Login(username=username or "", password=password or "")


def _add_uv_environment(
    gathered: _Gathered, environ: Mapping[str, str], named: dict[str, str]
) -> None:
    def url_of(text: str) -> str:
        name, equals, url = text.partition("=")
        if equals and re.fullmatch(r"[\w.-]+", name):
            named.setdefault(name, url)
            return url
        return text

    for key in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        gathered.defaults.extend(url_of(text) for text in environ.get(key, "").split()[:1])
    for key in ("UV_INDEX", "UV_EXTRA_INDEX_URL"):
        gathered.extras.extend(url_of(text) for text in environ.get(key, "").split())
    gathered.find_links.extend(filter(None, re.split(r"[,\s]+", environ.get("UV_FIND_LINKS", ""))))
    gathered.no_index |= _is_true(environ.get("UV_NO_INDEX"))
    gathered.trusted_hosts.update(environ.get("UV_INSECURE_HOST", "").split())


def _add_uv_table(gathered: _Gathered, table: Table, base: Path, named: dict[str, str]) -> None:
    for index in table.tables("index"):
        url = _uv_url(index.required_text("url"), base)
        name = index.text("name")
        if name:
            named.setdefault(name, url)
        if index.text("format") == "flat":
            gathered.find_links.append(url)
        elif index.flag("explicit"):
            gathered.explicit.append(url)
        else:
            (gathered.defaults if index.flag("default") else gathered.extras).append(url)
    for section in (table, table.table("pip")):
        if default := section.text("index-url"):
            gathered.defaults.append(_uv_url(default, base))
        gathered.extras.extend(_uv_url(url, base) for url in section.texts("extra-index-url"))
        gathered.find_links.extend(_uv_url(url, base) for url in section.texts("find-links"))
        gathered.no_index |= section.flag("no-index") or False
        gathered.trusted_hosts.update(section.texts("allow-insecure-host"))


def _uv_url(text: str, base: Path) -> str:
    return text if "://" in text else str(base / text)


def _uv_tables(
    environ: Mapping[str, str], *, home: Path, project: Path, etc: Path
) -> Iterator[tuple[Table, Path]]:
    """Yield uv's configuration: the project's or its workspace's, the user's, the system's."""
    if _is_true(environ.get("UV_NO_CONFIG")):
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
        if (folder / "uv.toml").is_file():
            yield _toml(folder / "uv.toml"), folder


def _uv_workspace(project: Path) -> Path | None:
    """Find the root of the workspace: what its members configure does not count."""
    for folder in (project, *project.parents):
        if (folder / "uv.lock").is_file():
            with suppress(OSError, TableError):
                if "workspace" in read_toml(folder / "pyproject.toml").table("tool").table("uv"):
                    return folder
        if (folder / ".git").exists():
            break
    return None


def _uv_table_in(folder: Path) -> Table | None:
    """Get a project folder's settings: uv.toml wins over `[tool.uv]`."""
    if (folder / "uv.toml").is_file():
        return _toml(folder / "uv.toml")
    if (folder / "pyproject.toml").is_file():
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
        raise SettingsError([f"{path}: {error.problem}"], hint="mend this file") from error
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror}"], hint="check its path") from error


# --- pip ------------------------------------------------------------------------------
def _add_pip(gathered: _Gathered, environ: Mapping[str, str], *, home: Path, etc: Path) -> None:
    values = _pip_values(environ, _pip_files(environ, home=home, etc=etc))
    if url := values.get("index-url"):
        gathered.defaults.append(url)
    gathered.extras.extend(values.get("extra-index-url", "").split())
    gathered.find_links.extend(values.get("find-links", "").split())
    gathered.no_index |= _is_true(values.get("no-index"))
    gathered.trusted_hosts.update(values.get("trusted-host", "").split())
    gathered.ca_file = values.get("cert") or None
    gathered.client_certificate = values.get("client-cert") or None
    gathered.proxy = values.get("proxy") or None


def _pip_values(environ: Mapping[str, str], files: Iterable[Path]) -> Mapping[str, str]:
    """Merge pip's files, the weakest first, and its variables over them.

    A command's section wins over `[global]`, whichever files they stand in.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, "download": {}}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise SettingsError(
                [f"{path}: {error}"], hint="mend the configuration of pip"
            ) from error
        for section, values in sections.items():
            if parser.has_section(section):
                values.update(
                    (key.replace("_", "-").removeprefix("--"), value.strip())
                    for key, value in parser.items(section)
                )
    variables = {
        key.removeprefix("PIP_").lower().replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("PIP_") and value
    }
    return {**sections["global"], **sections["install"], **sections["download"], **variables}


def _pip_files(environ: Mapping[str, str], *, home: Path, etc: Path) -> Iterator[Path]:
    """Yield where pip looks: the machine, the user unless a file is named, the environment."""
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


def _is_true(text: str | None) -> bool:
    return (text or "").lower() in _TRUE


def _first(*values: str | None) -> str | None:
    return next((value for value in values if value), None)
