"""Replace the entries of a tree, and update its RECORDs (PEP 376, PEP 427).

Rows of removed or changed files are dropped, and new files of a distribution get rows.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from lambda_build_plugin.stage.tree import Entry, same
from lambda_build_plugin.system.hashes import digest_of
from lambda_build_plugin.wheel.record import record_content, record_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lambda_build_plugin.stage.tree import Distribution, StagedTree

__all__ = ["record", "with_entries"]


def with_entries(tree: StagedTree, entries: Iterable[Entry]) -> StagedTree:
    """Give the tree these entries, in any order, and write each RECORD among them anew."""
    found = {entry.path: entry for entry in entries}
    owned: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in found.values():
        owned[entry.owner].append(entry)
    distributions = []
    for distribution in tree.distributions:
        folder = tree.prefix + distribution.dist_info
        record = found.get(f"{folder}/RECORD")
        if record is not None:
            found[record.path] = _updated(record, owned[record.owner], found, tree.prefix)
        has_metadata = f"{folder}/METADATA" in found
        distributions.append(replace(distribution, has_metadata=has_metadata))
    return replace(
        tree,
        entries=tuple(found[path] for path in sorted(found)),
        distributions=tuple(distributions),
        # Doubts about a file end when the file is gone; bytecode may replace it.
        disputes=tuple(
            dispute
            for dispute in tree.disputes
            if all(path in found or f"{path}c" in found for path in dispute.paths)
        ),
    )


def _updated(
    record: Entry, owned: Sequence[Entry], entries: Mapping[str, Entry], prefix: str
) -> Entry:
    if not isinstance(record.data, bytes):  # from something other than staging
        return record
    # It was written by `stage` or here, so it is valid.
    rows = {
        path: (digest, size)
        for path, digest, size in record_rows(record.data.decode("utf-8"))
        if (entry := entries.get(_absolute(path, prefix))) is not None and entry.digest == digest
    }
    for entry in owned:
        path = _relative(entry.path, prefix)
        rows.setdefault(path, (entry.digest, str(entry.size) if entry.digest else ""))
    own = record.path.removeprefix(prefix)
    rows.pop(own, None)
    content = record_content([*((path, *rows[path]) for path in sorted(rows)), (own, "", "")])
    return record._replace(data=content, digest=digest_of(content), size=len(content))


def _absolute(path: str, prefix: str) -> str:
    """Turn the path of a row, which may begin with `../`, into the one in the zip."""
    return posixpath.normpath(prefix + path) if path.startswith("../") else prefix + path


def _relative(path: str, prefix: str) -> str:
    """Do the reverse: paths above the prefix, such as scripts of a layer, begin with `../`."""
    return path.removeprefix(prefix) if path.startswith(prefix) else posixpath.relpath(path, prefix)


def record(
    distribution: Distribution,
    own: Sequence[Entry],
    entries: Mapping[str, Entry],
    prefix: str,
) -> Entry:
    """Write a RECORD, sorted, of the files that ship with the content from this distribution."""
    path = f"{prefix}{distribution.dist_info}/RECORD"
    rows = [
        (entry.path.removeprefix(prefix), entry.digest, str(entry.size))
        for entry in sorted(own, key=lambda entry: entry.path)
        if entry.path != path and same(entry, entries[entry.path])
    ]
    content = record_content([*rows, (path.removeprefix(prefix), "", "")])
    return Entry(path, distribution.wheel.name, content, digest_of(content), len(content))
