"""What a lock or a host says about package indexes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["IndexAccess", "IndexOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAccess:
    """How a host has been told to reach one index; counts for its origin alone."""

    url: str
    """Without credentials."""

    name: str = ""
    """What the user calls it, for messages."""

    username: str | None = field(default=None, repr=False)  # may be a token
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    """The file of its key, where the certificate's own does not hold it."""

    verify: bool = True
    """False where the user wants the server's certificate not to be checked."""

    flat: bool = False
    """Whether it lists the files of many packages, as `--find-links` has it."""

    explicit: bool = False
    """Whether it is asked for the packages alone that are locked to it."""

    include: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of normalized names: these packages come from here alone."""

    exclude: tuple[str, ...] = ()
    """Patterns of names that it is not asked for, unless `include` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """What a lock itself says about where files are to be had."""

    index_url: str | None = field(default=None, repr=False)
    """Like the others a URL that may hold a password."""

    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    no_index: bool = False
    supplemental_urls: tuple[str, ...] = ()
    """Indexes to ask when no other one has a package."""

    named: tuple[tuple[str, str], ...] = ()
    """Each index that the project gives a name, with its URL: credentials go by the name."""

    access: tuple[IndexAccess, ...] = field(default=(), repr=False)
    """What is known of indexes beside their URLs; what the host knows wins."""

    @classmethod
    def of(cls, access: Sequence[IndexAccess], *, alone: bool) -> IndexOptions:
        """Ask these indexes in their order; if not `alone`, the configured default one after."""
        indexes = [index.url for index in access if not index.flat]
        return cls(
            index_url=indexes[-1] if alone and indexes else None,
            extra_index_urls=tuple(indexes[:-1] if alone else indexes),
            find_links=tuple(index.url for index in access if index.flat),
            no_index=alone and not indexes,
            access=tuple(access),
        )
