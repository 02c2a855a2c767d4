"""Package indexes as a lock or a host describes them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["IndexAccess", "IndexOptions"]


@dataclass(frozen=True, kw_only=True)
class IndexAccess:
    """How a host is configured to reach one index; applies to its origin only."""

    url: str
    """Without credentials."""

    name: str = ""
    """Name that the user gave it, for messages."""

    username: str | None = field(default=None, repr=False)  # may be a token
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    """File of the private key, if the certificate file does not contain it."""

    verify: bool = True
    """False if the user turned off checking the certificate of the server."""

    flat: bool = False
    """Whether it is one page with files of many packages, as for `--find-links`."""

    explicit: bool = False
    """Whether it is only used for packages that are locked to it."""

    include: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of normalized names: these packages come only from this index."""

    exclude: tuple[str, ...] = ()
    """Patterns of names that it is not used for, unless `include` matches them."""


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """Where files can be found, according to the lock itself."""

    index_url: str | None = field(default=None, repr=False)
    """Like the other URLs, it may contain a password."""

    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    no_index: bool = False
    supplemental_urls: tuple[str, ...] = ()
    """Indexes to ask when no other one has a package."""

    named: tuple[tuple[str, str], ...] = ()
    """Named indexes of the project, each with its URL; credentials are looked up by name."""

    first_index: bool = False
    """Whether the lock was made by uv, which takes a package from the first index that has it."""

    access: tuple[IndexAccess, ...] = field(default=(), repr=False)
    """What the lock says about indexes beside their URLs; the host's settings win."""

    @classmethod
    def of(cls, access: Sequence[IndexAccess], *, alone: bool) -> IndexOptions:
        """Use these indexes in order; if not `alone`, the configured default index comes last."""
        indexes = [index.url for index in access if not index.flat]
        return cls(
            index_url=indexes[-1] if alone and indexes else None,
            extra_index_urls=tuple(indexes[:-1] if alone else indexes),
            find_links=tuple(index.url for index in access if index.flat),
            no_index=alone and not indexes,
            access=tuple(access),
        )
