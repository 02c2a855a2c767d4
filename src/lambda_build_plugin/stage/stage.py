"""Wheels and plain sources → `StagedTree`: a map from paths in the zip to where the bytes are.

Nothing is unpacked: `installer.install` (PEP 427) drives a destination that notes for
each file which member of the wheel contains it. Only RECORD is written again, so that it
lists what ships. Headers and scripts are left out, and so are bytecode caches, because they
belong to the machine that wrote them. A project that is not a package ships the files of
its folder as they are.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import StageError
from lambda_build_plugin.stage.layout import lay_out
from lambda_build_plugin.stage.records import record
from lambda_build_plugin.stage.tree import (
    Dispute,
    Distribution,
    Entry,
    StagedTree,
    check_folders,
    same,
)
from lambda_build_plugin.system.hashes import digest_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from lambda_build_plugin.stage.tree import (
        PlainFile,
        PlainProject,
        WheelLayout,
    )
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["DuplicateDistributionError", "same_but_for_case", "stage"]


class DuplicateDistributionError(StageError):
    """Two wheels contain the same distribution."""

    def __init__(self, one: Wheel, other: Wheel) -> None:
        self.wheels = (one, other)
        super().__init__(
            f"`{one.name}` would ship twice",
            why=[f"{wheel.filename} ({wheel.source})" for wheel in self.wheels],
            hint="a project that is in its own lock ships from its source: remove it from the lock",
        )


def stage(
    wheels: Iterable[Wheel],
    *,
    prefix: str,
    project: PlainProject | None = None,
    layout_of: Callable[[Wheel], WheelLayout] = lay_out,
) -> StagedTree:
    """Lay out the wheels under a prefix, and then the files of the project on top of them.

    If two wheels contain the same path, the wheel whose name sorts later wins, whatever
    order they are given in; the project's own file wins over both.

    Args:
        wheels: One for each distribution.
        prefix: The folder of the importable files: empty, or with a slash at its end.
        project: Files that ship without being in a wheel.
        layout_of: Lays out one wheel, or gets its layout from the cache.

    Raises:
        StageError: A wheel is broken, a path leads out of the artifact, or a file cannot be read.
    """
    entries: dict[str, Entry] = {}
    claims: defaultdict[str, list[Entry]] = defaultdict(list)
    distributions: list[Distribution] = []
    written: dict[str, Sequence[Entry]] = {}
    for wheel in _one_of_each(wheels):
        layout = layout_of(wheel)
        own = _below(prefix, layout.entries)
        distributions.append(Distribution(wheel=wheel, dist_info=layout.dist_info))
        written[layout.dist_info] = own
        _lay_over(entries, claims, own)
    if project is not None:
        _lay_over(entries, claims, [_plain_entry(project, file, prefix) for file in project.files])
    for distribution in distributions:
        own_record = record(distribution, written[distribution.dist_info], entries, prefix)
        entries[own_record.path] = own_record
    check_folders(entries)
    return StagedTree(
        entries=tuple(entries[path] for path in sorted(entries)),
        distributions=tuple(distributions),
        prefix=prefix,
        project=project,
        disputes=(*_collisions(claims, entries), *same_but_for_case(entries)),
    )


def _lay_over(
    entries: dict[str, Entry], claims: defaultdict[str, list[Entry]], own: Iterable[Entry]
) -> None:
    for entry in own:
        if entry.path in entries:
            claims[entry.path].append(entries[entry.path])
        entries[entry.path] = entry


def _plain_entry(project: PlainProject, file: PlainFile, prefix: str) -> Entry:
    digest, size = digest_of_file(file.place)
    return Entry(prefix + file.path, project.owner, file.place, digest, size, file.executable)


def _one_of_each(wheels: Iterable[Wheel]) -> list[Wheel]:
    """Sort the wheels by name, and refuse two with the same name: their files would mix."""
    ordered = sorted(wheels, key=lambda wheel: wheel.name)
    for one, other in itertools.pairwise(ordered):
        if one.name == other.name:
            raise DuplicateDistributionError(one, other)
    return ordered


def _below(prefix: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    if not prefix:
        return entries
    return [
        Entry(
            prefix + entry.path,
            entry.owner,
            entry.data,
            entry.digest,
            entry.size,
            entry.executable,
        )
        for entry in entries
    ]


def _collisions(
    claims: Mapping[str, Sequence[Entry]], entries: Mapping[str, Entry]
) -> Iterator[Dispute]:
    for path, losers in sorted(claims.items()):
        winner = entries[path]
        different = [loser.owner for loser in losers if not same(loser, winner)]
        if different:
            text = (
                f"`{path}` comes from {', '.join(different)} and from {winner.owner} with "
                f"different content: the one from {winner.owner} ships"
            )
            yield Dispute(text=text, paths=(path,))


def same_but_for_case(entries: Mapping[str, Entry]) -> Iterator[Dispute]:
    """Yield paths that differ only in case: Lambda keeps both files, other systems lose one."""
    seen: dict[str, Entry] = {}
    for path in sorted(entries):
        entry = entries[path]
        other = seen.setdefault(path.casefold(), entry)
        if other is not entry:
            text = (
                f"`{other.path}` of {other.owner} and `{path}` of {entry.owner} differ only in "
                "case: on Windows and macOS they unpack to one file"
            )
            yield Dispute(text=text, paths=(other.path, path))
