"""`[[tool.pdm.source]]` of pyproject.toml → `IndexOptions`, as PDM reads the table.

https://pdm-project.org/latest/usage/config/ has the keys. What else PDM is configured
with (`pdm config`, its variables) is known to PDM alone, and comes from its door.
"""

from __future__ import annotations

import re
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

__all__ = ["DEFAULT", "PROJECT_ROOT", "access", "expanded", "indexes"]

DEFAULT = "pypi"
"""The name of the source that takes the place of the default index."""

_VARIABLE = re.compile(r"\$\{(.+?)\}")
PROJECT_ROOT = "file:///${PROJECT_ROOT}"
"""How PDM writes the URL of the folder of the project."""


def indexes(project: Project, environ: Mapping[str, str]) -> IndexOptions:
    """Read where the project's packages come from.

    Its own sources are asked before the default index, which is the machine's unless
    one of them is named `pypi`.

    Raises:
        TableError: A source is not what PDM would take for one.
    """
    sources = {
        source.required_text("name"): source
        for source in project.tool.table("pdm").tables("source")
        if "url" in source  # else the configuration of PDM has it
    }
    listed = [
        _access(source, project, environ)
        for _, source in sorted(sources.items(), key=lambda item: item[0] == DEFAULT)
    ]
    return IndexOptions.of(listed, alone=DEFAULT in sources)


def access(
    url: str,
    *,
    name: str = "",
    username: str | None = None,
    password: str | None = None,
    verify: bool | None = None,
    kind: str | None = None,
    ca_file: str | None = None,
    client_certificate: str | None = None,
    client_key: str | None = None,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
) -> IndexAccess:
    """Bring the keys of a source into our form, the login of the URL taken out of it.

    Raises:
        ValueError: The URL is none.
    """
    parts = urlsplit(url)
    _ = parts.port  # read, and refused, only now
    return IndexAccess(
        url=without_login(url),
        name=name,
        username=username or (unquote(parts.username) if parts.username else None),
        password=password or (unquote(parts.password) if parts.password else None),
        ca_file=ca_file,
        client_certificate=client_certificate,
        client_key=client_key,
        verify=verify is not False,
        flat=kind == "find_links",
        include=tuple(map(_pattern, include)),
        exclude=tuple(map(_pattern, exclude)),
    )


def _access(source: Table, project: Project, environ: Mapping[str, str]) -> IndexAccess:
    text = source.required_text("url")
    try:
        return access(
            expanded(text, project, environ),
            name=source.required_text("name"),
            username=source.text("username"),
            password=source.text("password"),
            verify=source.flag("verify_ssl"),
            kind=source.text("type"),
            ca_file=source.text("ca_certs"),
            client_certificate=source.text("client_cert"),
            client_key=source.text("client_key"),
            include=source.texts("include_packages"),
            exclude=source.texts("exclude_packages"),
        )
    except TableError:
        raise
    except ValueError as error:
        problem = f"`{excerpt(redacted(text))}` is not a URL: {error}"
        raise TableError(source.place("url"), problem) from error


def expanded(url: str, project: Project, environ: Mapping[str, str]) -> str:
    """Fill in `${VARIABLE}`, an unset one with nothing; in the login with quoted values."""

    def quoted(login: re.Match[str]) -> str:
        return _filled(login[0], lambda name: quote(environ.get(name, ""), safe=""))

    url = re.sub(r"(?<=://)[^/?#]*@", quoted, url, count=1).replace(
        PROJECT_ROOT, project.root.as_uri()
    )
    return _filled(url, lambda name: environ.get(name, ""))


def _filled(text: str, value: Callable[[str], str]) -> str:
    return _VARIABLE.sub(lambda match: value(match[1]), text)


def _pattern(text: str) -> str:
    """Normalize a pattern as PDM does: like a name, but wildcards stay."""
    return re.sub(r"[^A-Za-z0-9?*\[\]-]+", "-", text).lower()
