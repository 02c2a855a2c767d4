"""Read the licence of a distribution from its core metadata."""

from __future__ import annotations

from lambda_build_plugin.wheel.metadata import headers, values

__all__ = ["licence"]

_LONGEST = 80
_UNKNOWN = {"", "UNKNOWN", "OTHER/PROPRIETARY LICENSE"}


def licence(metadata: bytes) -> str:
    """Name the licence; empty if the metadata does not tell.

    An SPDX expression (`License-Expression`, PEP 639) is what the author means exactly. Older
    metadata has classifiers, or the free text of `License`, of which the first line is taken.
    """
    found = headers(metadata)
    if expression := found.get("license-expression", ""):
        return expression[:_LONGEST]
    classifiers = (
        value.rpartition("::")[2].strip()
        for value in values(metadata, "classifier")
        if value.startswith("License ::") and value.count("::") > 1
    )
    if named := ", ".join(dict.fromkeys(classifiers)):
        return named[:_LONGEST]
    text = found.get("license", "")
    return "" if text.upper() in _UNKNOWN else text[:_LONGEST]
