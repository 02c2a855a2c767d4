"""Look into the cache, and make it smaller: `lambda-build cache`.

Nothing that a running build uses is removed. While no build runs, everything else may go.
While one does, or where the file system cannot tell, what was used in the last day stays: a
build says of each file in the cache when it has used it, and none takes a day.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.report import json_text
from lambda_build_plugin.runtime.limits import size_text
from lambda_build_plugin.system.cache import belongs_to_another_user
from lambda_build_plugin.system.cache_use import Use, alone_in
from lambda_build_plugin.system.leftovers import DAY, sweep_ended
from lambda_build_plugin.system.stored import remove, remove_empty_folders, stored_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lambda_build_plugin.system.stored import Stored

__all__ = ["DEFAULT_AGE", "CacheInUseError", "Pruned", "clear", "measure", "prune"]

DEFAULT_AGE = 30 * DAY

_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much there is."""

    files: int
    size: int
    """Bytes."""

    @classmethod
    def of(cls, entries: Iterable[Stored]) -> Amount:
        """Add up what is in a cache."""
        entries = list(entries)
        return cls(files=sum(e.files for e in entries), size=sum(e.size for e in entries))

    def __str__(self) -> str:
        return f"{self.files} file{'' if self.files == 1 else 's'}, {size_text(self.size)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is in a cache."""

    cache: Path
    amount: Amount
    kinds: tuple[tuple[str, Amount], ...]
    """By the folder in the cache, the largest first."""

    def as_text(self) -> str:
        """Write it for people."""
        rows = [("total", self.amount), *self.kinds]
        width = max(len(name) for name, _ in rows)
        return "".join(
            f"{name:<{width}}  {size_text(amount.size):>10}  {amount.files:>7} "
            f"file{'' if amount.files == 1 else 's'}\n"
            for name, amount in rows
        )

    def as_json(self) -> str:
        """Write it for programs."""
        kinds = {name: {"files": amount.files, "bytes": amount.size} for name, amount in self.kinds}
        return json_text(
            {
                "schema": _SCHEMA,
                "folder": str(self.cache),
                "files": self.amount.files,
                "bytes": self.amount.size,
                "kinds": kinds,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a clean-up has done."""

    cache: Path
    removed: Amount
    remaining: Amount
    kept: Amount
    """What would have been removed too, but may be in use."""

    use: Use

    def as_text(self) -> str:
        """Write it for people."""
        lines = [f"Removed {self.removed}", f"Remaining in {self.cache}: {self.remaining}"]
        if self.kept.files:
            reason = self.use.value if self.use is not Use.NONE else "it cannot be removed"
            lines.append(f"Kept although it was to go: {self.kept} ({reason})")
        return "".join(f"{line}\n" for line in lines)


def measure(cache: Path) -> Measured:
    """Measure a cache; one that does not exist is empty."""
    entries = list(stored_in(cache))
    names = Counter[str]()
    for entry in entries:
        names[entry.kind] += entry.size
    return Measured(
        cache=cache,
        amount=Amount.of(entries),
        kinds=tuple(
            (name, Amount.of(entry for entry in entries if entry.kind == name))
            for name, _ in names.most_common()
        ),
    )


def prune(cache: Path, *, older_than: int | None = None, max_size: int | None = None) -> Pruned:
    """Remove what killed builds have left behind, and what has not been used for long.

    Args:
        cache: The folder, which may not exist.
        older_than: Seconds. What has not been used for so long is removed. When a file was
            used is known to the hour.
        max_size: Bytes. What has not been used for longest is removed until no more than this
            is left.

    Raises:
        ForeignCacheError: The folder belongs to another user.
    """
    _check_owner(cache)
    sweep_ended()
    if not cache.is_dir():
        return _removed(cache, (), unwanted=(), removable=(), use=Use.NONE)
    with alone_in(cache) as use:
        return _pruned(cache, use, older_than=older_than, max_size=max_size)


def clear(cache: Path) -> Pruned:
    """Remove everything from a cache.

    Raises:
        CacheInUseError: A build uses it.
        ForeignCacheError: The folder belongs to another user.
    """
    _check_owner(cache)
    sweep_ended()
    if not cache.is_dir():
        return _removed(cache, (), unwanted=(), removable=(), use=Use.NONE)
    with alone_in(cache) as use:
        if use is Use.RUNNING:
            raise CacheInUseError(cache)
        entries = list(stored_in(cache))
        pruned = _removed(cache, entries, unwanted=entries, removable=entries, use=use)
        if use is Use.NONE:  # else a build could be about to write into one of them
            remove_empty_folders(cache, entries)
    return pruned


def _check_owner(cache: Path) -> None:
    if belongs_to_another_user(cache):
        raise ForeignCacheError(cache)


def _pruned(cache: Path, use: Use, *, older_than: int | None, max_size: int | None) -> Pruned:
    now = time.time()
    entries = sorted(stored_in(cache), key=lambda entry: (entry.used, str(entry.path)))
    unwanted: list[Stored] = []
    rest: list[Stored] = []
    for entry in entries:
        is_old = older_than is not None and now - entry.used > older_than
        (unwanted if entry.is_leftover or is_old else rest).append(entry)
    if max_size is not None:
        unwanted += _too_many(rest, max_size)
    removable = [entry for entry in unwanted if use is Use.NONE or now - entry.used > DAY]
    return _removed(cache, entries, unwanted=unwanted, removable=removable, use=use)


def _too_many(entries: Sequence[Stored], max_size: int) -> Iterator[Stored]:
    """Yield what has to go, the longest unused first, until the others fit."""
    size = sum(entry.size for entry in entries)
    for entry in entries:
        if size <= max_size:
            return
        size -= entry.size
        yield entry


def _removed(
    cache: Path,
    entries: Sequence[Stored],
    *,
    unwanted: Sequence[Stored],
    removable: Sequence[Stored],
    use: Use,
) -> Pruned:
    gone = {entry.path for entry in removable if remove(entry)}
    return Pruned(
        cache=cache,
        removed=Amount.of(entry for entry in entries if entry.path in gone),
        remaining=Amount.of(entry for entry in entries if entry.path not in gone),
        kept=Amount.of(entry for entry in unwanted if entry.path not in gone),
        use=use,
    )


class CacheInUseError(FetchError):
    """The cache cannot be cleared because a build needs it."""

    def __init__(self, cache: Path) -> None:
        super().__init__(
            f"cannot clear the cache at {cache}",
            why="a build that runs uses it",
            hint="wait for it, or run `lambda-build cache prune`, which is safe during a build",
        )


class ForeignCacheError(FetchError):
    """The cache is another user's, who alone may change it."""

    def __init__(self, cache: Path) -> None:
        super().__init__(
            f"cannot change the cache at {cache}",
            why="it belongs to another user",
            hint="name another folder with `--cache-dir`, or run the command as that user",
        )
