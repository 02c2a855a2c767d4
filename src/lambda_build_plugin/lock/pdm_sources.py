"""Read `[[tool.pdm.source]]` of pyproject.toml, as PDM does.

https://pdm-project.org/latest/usage/config/ has the keys. Only PDM
itself knows its other configuration (`pdm config`, its variables); the frontend adds it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from lambda_build_plugin.config.indexes import IndexAccess, IndexOptions
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.urls import redacted, without_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table

__all__ = ["DEFAULT", "PROJECT_ROOT", "PdmSource", "expanded", "indexes"]

DEFAULT = "pypi"
"""The name of the source that takes the place of the default index."""

_VARIABLE = re.compile(r"\$\{(.+?)\}")
PROJECT_ROOT = "file:///${PROJECT_ROOT}"
"""How PDM writes the URL of the folder of the project."""


def indexes(project: Project, environ: Mapping[str, str]) -> IndexOptions:
    """Read where the project's packages come from.

    The project's own sources come before the default index of this machine, which a
    source with the name `pypi` replaces.

    Raises:
        TableError: PDM would not accept a source.
    """
    sources = {
        source.required_text("name"): source
        for source in project.tool.table("pdm").tables("source")
        if "url" in source  # without one, the configuration of PDM has it
    }
    listed = [
        _access(source, project, environ)
        for _, source in sorted(sources.items(), key=lambda item: item[0] == DEFAULT)
    ]
    return IndexOptions.of(listed, alone=DEFAULT in sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class PdmSource:
    """The keys of one source, named as PDM names them; variables are filled in."""

    url: str = field(repr=False)
    name: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    verify_ssl: bool | None = None
    type: str | None = None
    """`index` or `find_links`; None for an index."""

    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    include_packages: Iterable[str] = ()
    exclude_packages: Iterable[str] = ()

    def access(self) -> IndexAccess:
        """Bring the source into our form, with the login taken out of its URL.

        Raises:
            ValueError: The URL is not one.
        """
        parts = urlsplit(self.url)
        _ = parts.port  # raises ValueError if it is not a number
        return IndexAccess(
            url=without_login(self.url),
            name=self.name,
            username=self.username or (unquote(parts.username) if parts.username else None),
            password=self.password or (unquote(parts.password) if parts.password else None),
            ca_file=self.ca_certs,
            client_certificate=self.client_cert,
            client_key=self.client_key,
            verify=self.verify_ssl is not False,
            flat=self.type == "find_links",
            include=tuple(map(_pattern, self.include_packages)),
            exclude=tuple(map(_pattern, self.exclude_packages)),
        )


def _access(source: Table, project: Project, environ: Mapping[str, str]) -> IndexAccess:
    text = source.required_text("url")
    try:
        return PdmSource(
            url=expanded(text, project, environ),
            name=source.required_text("name"),
            username=source.text("username"),
            password=source.text("password"),
            verify_ssl=source.flag("verify_ssl"),
            type=source.text("type"),
            ca_certs=source.text("ca_certs"),
            client_cert=source.text("client_cert"),
            client_key=source.text("client_key"),
            include_packages=source.texts("include_packages"),
            exclude_packages=source.texts("exclude_packages"),
        ).access()
    except TableError:
        raise
    except ValueError as error:
        problem = f"`{excerpt(redacted(text))}` is not a URL: {error}"
        raise TableError(source.place("url"), problem) from error


def expanded(url: str, project: Project, environ: Mapping[str, str]) -> str:
    """Fill in `${VARIABLE}`: unset ones become empty, values in the login are quoted."""

    def quoted(login: re.Match[str]) -> str:
        return _fill_in(login[0], lambda name: quote(environ.get(name, ""), safe=""))

    url = re.sub(r"(?<=://)[^/?#]*@", quoted, url, count=1).replace(
        PROJECT_ROOT, project.root.as_uri()
    )
    return _fill_in(url, lambda name: environ.get(name, ""))


def _fill_in(text: str, value: Callable[[str], str]) -> str:
    return _VARIABLE.sub(lambda match: value(match[1]), text)


def _pattern(text: str) -> str:
    """Normalize a pattern as PDM does: like a name, but wildcards stay."""
    return re.sub(r"[^A-Za-z0-9?*\[\]-]+", "-", text).lower()
