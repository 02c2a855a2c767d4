"""How many processors this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["usable_processors"]

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""The limit of a container: microseconds of all processors together, in each period.

https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
"""


def usable_processors(quota: Path = _QUOTA) -> int:
    """Count the processors, as far as affinity and the limit of a container allow them.

    Args:
        quota: The file with that limit, which may not exist.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no container, or `max`
        allowed, period = map(int, quota.read_text(encoding="ascii").split())
        count = min(count, max(1, allowed // period))
    return count
