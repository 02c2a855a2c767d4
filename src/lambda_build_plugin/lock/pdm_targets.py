"""The lock targets of PDM (`[[metadata.targets]]`), as markers.

https://pdm-project.org/latest/usage/lock-targets/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.lock.markers import LockMarker

if TYPE_CHECKING:
    from lambda_build_plugin.config.tables import Table

__all__ = ["environment", "python_marker"]

_NEVER = 'python_version < "0"'
_MANYLINUX = re.compile(r"manylinux_\d+_\d+_(\w+)")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def environment(table: Table) -> LockMarker:
    """Turn a lock target into a marker, which is false if Lambda can never match it.

    A glibc newer than Lambda's does not make it false: PDM also installs from such a
    lock, and the tags of the files decide which of them load.
    """
    shown = ", ".join(f"{key} = {table.raw(key)}" for key in table)
    text = " and ".join(
        f"({part})"
        for part in (
            _python_marker_of(table),
            _platform_marker(table.text("platform")),
            _implementation_marker(table),
        )
        if part
    )
    return LockMarker(text or 'python_version >= "0"', shown=shown)


def _python_marker_of(table: Table) -> str | None:
    """Read the range of a target; PDM joins several ranges with `||`."""
    alternatives = []
    for text in (table.text("requires_python") or "").split("||"):
        try:
            specifier = SpecifierSet(text)
            hash(specifier)  # parses the numbers, which may have too many digits
        except (InvalidSpecifier, ValueError) as error:
            raise TableError(
                table.place("requires_python"), "is not a version specifier"
            ) from error
        marker = python_marker(specifier)
        if marker is None:
            return None
        alternatives.append(f"({marker.text})")
    return " or ".join(alternatives)


def python_marker(specifier: SpecifierSet | None) -> LockMarker | None:
    """Turn a range of Python versions into a marker; None if it admits every version."""
    if not specifier:
        return None
    clauses = sorted((each.operator, each.version) for each in specifier)
    return LockMarker(
        " and ".join(
            f'python_full_version {operator} "{version}"' for operator, version in clauses
        ),
        shown=f"requires Python {specifier}",
    )


def _platform_marker(platform: str | None) -> str | None:
    if platform is None:
        return None
    if platform == "linux":  # PDM's name for the most common one
        platform = "manylinux_2_40_x86_64"
    match = _MANYLINUX.fullmatch(platform)
    if match is None:
        return _NEVER  # another system, or musl
    machine = _MACHINES.get(match[1], match[1])
    return f'sys_platform == "linux" and platform_machine == "{machine}"'


def _implementation_marker(table: Table) -> str | None:
    implementation = table.text("implementation")
    if implementation in {None, "cpython"} and not table.flag("gil_disabled"):
        return None
    return _NEVER
