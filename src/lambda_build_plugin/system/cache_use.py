"""Who uses a cache just now: builds share it, and a clean-up has it alone or is careful.

Every run holds a shared lock of the system on a file in the cache. The lock ends with the
process, also if that is killed, and file systems that several machines use pass it on (NFS
since version 4).
"""

from __future__ import annotations

import enum
import os
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from lambda_build_plugin.system.cache import belongs_to_another_user

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["LOCK", "Use", "alone_in", "using"]

LOCK = "in-use.lock"
"""The file in the cache that is locked; it is always empty."""

_OPEN = os.O_RDWR | os.O_CREAT
_SAFELY = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""For a file that others may have replaced by a link or a pipe."""


class Use(enum.Enum):
    """Whether others use a cache."""

    NONE = "nobody uses it, and nobody begins to"
    RUNNING = "a build uses it"
    UNKNOWN = "the file system has no locks that would tell"


@contextmanager
def using(caches: Iterable[Path]) -> Iterator[None]:
    """Keep clean-ups from removing what is used, until the block ends; wait for one that runs.

    Args:
        caches: The folders, which are made. Where that is not possible, or where there are no
            locks, only what was used lately is safe.
    """
    with ExitStack() as stack:
        for cache in sorted(set(caches)):
            with suppress(OSError):
                is_foreign = belongs_to_another_user(cache)
                if not is_foreign:
                    cache.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDONLY if is_foreign else _OPEN
                descriptor = os.open(cache / LOCK, flags | _SAFELY, 0o666)
                stack.callback(os.close, descriptor)  # which gives the lock back
                _share(descriptor)
        yield


@contextmanager
def alone_in(cache: Path) -> Iterator[Use]:
    """Tell whether a build uses a cache; if none does, none begins before the block ends.

    Args:
        cache: The folder, which exists.
    """
    with ExitStack() as stack:
        use = Use.UNKNOWN
        try:
            descriptor = os.open(cache / LOCK, _OPEN | _SAFELY, 0o666)
            stack.callback(os.close, descriptor)
            use = _take(descriptor)
        except BlockingIOError:
            use = Use.RUNNING
        except OSError:
            pass
        yield use


if sys.platform == "win32":
    # There are no shared locks here, but what a build has opened cannot be removed either.

    def _share(descriptor: int) -> None:
        pass

    def _take(descriptor: int) -> Use:  # noqa: ARG001 - as on other systems
        return Use.UNKNOWN

else:
    import fcntl

    def _share(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)

    def _take(descriptor: int) -> Use:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Use.NONE
