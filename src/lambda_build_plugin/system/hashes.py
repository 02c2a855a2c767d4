"""Digests: as locks spell them, as RECORD spells them, and of files on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["Digest", "digest", "strongest"]

Digest = NewType("Digest", str)
"""`algorithm:hexadecimal`, such as `sha256:ab12…`; made by `digest` alone."""

_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128, "blake2b": 128}
"""Hexadecimal digits of the algorithms that vouch for a file, the preferred first."""


def digest(algorithm: str, value: str) -> Digest | None:
    """Make a digest; None where the algorithm is too weak or unknown to vouch for a file.

    Raises:
        ValueError: The value is no digest of that algorithm.
    """
    algorithm, value = algorithm.lower(), value.lower()
    if algorithm not in _LENGTHS:
        return None
    if len(value) != _LENGTHS[algorithm] or value.strip("0123456789abcdef"):
        raise ValueError(f"`{value}` is no {algorithm} digest")
    return Digest(f"{algorithm}:{value}")


def strongest(hashes: Mapping[str, str]) -> Digest | None:
    """Choose the digest to hold a file against: sha256 where there is one.

    Raises:
        ValueError: A value is no digest of its algorithm.
    """
    known = [found for item in hashes.items() if (found := digest(*item)) is not None]
    order = list(_LENGTHS)
    return min(known, key=lambda d: order.index(d.partition(":")[0]), default=None)
