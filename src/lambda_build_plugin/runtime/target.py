"""What a Lambda function runs on: the runtimes, as data with a date, and the target.

A target is a runtime on an architecture. From it follow the ordered list of wheel tags
that the function can load (PEP 425, PEP 600), and the marker environment in which
requirements are evaluated (PEP 508). Nothing here asks the running interpreter or this
machine: `packaging.tags.sys_tags` and `default_environment` are never called.
"""

from __future__ import annotations

import datetime
import enum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from packaging import tags
from packaging.version import Version

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag

__all__ = [
    "AS_OF",
    "RUNTIMES",
    "Architecture",
    "Glibc",
    "Runtime",
    "Target",
    "admitted",
    "default_runtimes",
    "newest_admitted",
]

AS_OF = datetime.date(2026, 11, 21)
"""The day on which the table of runtimes was checked."""


class Glibc(NamedTuple):
    """A version of the GNU C library; PEP 600 compares it as a pair."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


_AMAZON_LINUX_2 = Glibc(2, 26)
_AMAZON_LINUX_2023 = Glibc(2, 34)

_LEGACY_MANYLINUX = {
    Glibc(2, 5): "manylinux1",  # PEP 513
    Glibc(2, 12): "manylinux2010",  # PEP 571
    Glibc(2, 17): "manylinux2014",  # PEP 599
}


class Architecture(enum.Enum):
    """Instruction sets that Lambda offers, with Lambda's names."""

    X86_64 = "x86_64"
    ARM64 = "arm64"

    @property
    def machine(self) -> str:
        """The name in wheel tags and markers, which may differ from Lambda's."""
        return "aarch64" if self is Architecture.ARM64 else self.value

    @property
    def oldest_glibc(self) -> Glibc:
        """The oldest glibc for which there are manylinux wheels of this architecture."""
        return Glibc(2, 17) if self is Architecture.ARM64 else Glibc(2, 5)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One managed Python runtime, as AWS documents it on `AS_OF`."""

    name: str
    """Lambda's identifier, such as `python3.13`."""

    python: tuple[int, int]
    patch: int
    """Patch level of the interpreter, which AWS raises without notice.

    It was observed in user agents that functions have sent (3.12.13 and 3.14.3 in 2026).
    For other runtimes it is the last release of the same age, and never newer than what
    AWS can have.
    """

    glibc: Glibc
    deprecated: datetime.date | None = None
    """The day on which AWS stops giving security patches."""

    preview: bool = False

    @property
    def full_version(self) -> str:
        """`python_full_version`: major, minor and patch."""
        major, minor = self.python
        return f"{major}.{minor}.{self.patch}"


def _runtime(  # one row of the table below
    minor: int,
    patch: int,
    glibc: Glibc,
    deprecated: tuple[int, int, int] | None,
    *,
    preview: bool = False,
) -> Runtime:
    return Runtime(
        name=f"python3.{minor}",
        python=(3, minor),
        patch=patch,
        glibc=glibc,
        deprecated=datetime.date(*deprecated) if deprecated else None,
        preview=preview,
    )


RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime
    for runtime in (
        # https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
        _runtime(8, 20, _AMAZON_LINUX_2, (2024, 10, 14)),
        _runtime(9, 25, _AMAZON_LINUX_2, (2025, 12, 15)),
        _runtime(10, 19, _AMAZON_LINUX_2, (2026, 10, 31)),
        _runtime(11, 14, _AMAZON_LINUX_2, (2027, 6, 30)),
        _runtime(12, 13, _AMAZON_LINUX_2023, (2028, 10, 31)),
        _runtime(13, 12, _AMAZON_LINUX_2023, (2029, 6, 30)),
        _runtime(14, 3, _AMAZON_LINUX_2023, (2029, 6, 30)),
        _runtime(15, 0, _AMAZON_LINUX_2023, None, preview=True),
    )
}
"""Every managed Python runtime by its identifier, oldest first."""


_KEPT = 64
"""Targets whose tags are remembered: more than there are."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A runtime on an architecture: which wheels it loads, and which markers are true."""

    runtime: Runtime
    architecture: Architecture

    def __str__(self) -> str:
        return f"{self.runtime.name} {self.architecture.value}"

    @property
    def python_version(self) -> Version:
        """The interpreter's full version, to compare with `Requires-Python`."""
        return Version(self.runtime.full_version)

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """Every tag that the target can load, the most specific first.

        `abis` is given because packaging would otherwise read the flags of the
        running interpreter, and a free-threaded host would ask for `cp313t`.
        """
        python = self.runtime.python
        platforms = list(self._platforms())
        interpreter = f"cp{python[0]}{python[1]}"
        return (
            *tags.cpython_tags(python, abis=[interpreter], platforms=platforms),
            *tags.compatible_tags(python, interpreter=interpreter, platforms=platforms),
        )

    @cached_property
    def rank(self) -> dict[Tag, int]:
        """Position of each tag in `tags`; smaller is better. Equal targets share it."""
        return _rank_of(self)

    @cached_property
    def marker_environment(self) -> dict[str, str]:
        """All eleven variables of PEP 508, so that none is filled in from the host."""
        version = self.runtime.full_version
        major, minor = self.runtime.python
        return {
            "implementation_name": "cpython",
            "implementation_version": version,
            "os_name": "posix",
            "platform_machine": self.architecture.machine,
            "platform_python_implementation": "CPython",
            # AWS does not say which kernel there is. Numbers keep comparisons defined: packaging
            # before 25 fails if a marker compares any other text with a version.
            "platform_release": "5.10",
            "platform_system": "Linux",
            "platform_version": "0",
            "python_full_version": version,
            "python_version": f"{major}.{minor}",
            "sys_platform": "linux",
        }

    def warnings(self, today: datetime.date) -> tuple[str, ...]:
        """Say what a user should know about this runtime on the given day."""
        runtime = self.runtime
        if runtime.preview:
            return (f"{runtime.name} is a preview: AWS gives no support and may change it",)
        if runtime.deprecated and runtime.deprecated <= today:
            return (
                f"{runtime.name} is deprecated since {runtime.deprecated}: "
                f"AWS no longer patches it (table of {AS_OF})",
            )
        return ()

    def _platforms(self) -> Iterator[str]:
        """Yield the platform tags from the glibc ceiling downwards (PEP 600).

        PEP 600 lets a platform load every `manylinux_2_N` up to its own glibc, and
        the legacy names stand for fixed levels. `linux_*` comes last: only wheels that
        were built for the target itself have it.
        """
        machine = self.architecture.machine
        major, newest = self.runtime.glibc
        for minor in range(newest, self.architecture.oldest_glibc.minor - 1, -1):
            yield f"manylinux_{major}_{minor}_{machine}"
            if legacy := _LEGACY_MANYLINUX.get(Glibc(major, minor)):
                yield f"{legacy}_{machine}"
        yield f"linux_{machine}"


@lru_cache(maxsize=_KEPT)
def _rank_of(target: Target) -> dict[Tag, int]:
    return {tag: place for place, tag in enumerate(target.tags)}


def admitted(requires_python: SpecifierSet | None) -> tuple[Runtime, ...]:
    """List the runtimes that a `requires-python` admits, without previews, the oldest first."""
    return tuple(
        runtime
        for runtime in RUNTIMES.values()
        if not runtime.preview
        and (requires_python is None or requires_python.contains(runtime.full_version))
    )


def newest_admitted(requires_python: SpecifierSet | None) -> Runtime | None:
    """Choose the newest runtime that a `requires-python` admits, previews excepted."""
    return next(reversed(admitted(requires_python)), None)


_NEWEST_BY_DEFAULT = (3, 14)
"""The newest Python that is chosen if nobody names one. It never changes.

Otherwise, an upgrade of this package would move the functions of everybody who does not
name a runtime to another Python, although their locks are the same.
"""


def default_runtimes(requires_python: SpecifierSet | None) -> tuple[Runtime, ...]:
    """List the runtimes to try for a project that names none, the preferred one first.

    A runtime that is added to the table later comes after all of these, oldest first, so
    that it is chosen only for projects that admit no other.
    """
    found = admitted(requires_python)
    return (
        *(each for each in reversed(found) if each.python <= _NEWEST_BY_DEFAULT),
        *(each for each in found if each.python > _NEWEST_BY_DEFAULT),
    )
