"""`StagedTree` and what the user wants to leave out → a smaller tree whose RECORDs are true.

Rules are applied in this order, and the last one that matches a file decides: the presets, the
lines of `exclude` (where `!` takes a file back in), the lines of `include`. All of them see the
path below the import root, so the same rules work for layers and functions; files outside of it
(`bin/` of a layer) have their path in the zip.

The metadata of a distribution (`*.dist-info`) is only touched by rules that name it:
`importlib.metadata` is how packages find their version and their plugins.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lambda_build_plugin.config.patterns import parse_pattern
from lambda_build_plugin.stage.presets import Rule, preset_rules
from lambda_build_plugin.stage.records import with_entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from lambda_build_plugin.config.settings import Preset
    from lambda_build_plugin.stage.tree import Entry, StagedTree

__all__ = ["Excluded", "Filtered", "excluded_by", "filtered"]

_METADATA = ".dist-info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """What one rule has saved."""

    kind: str
    """`preset`, or `pattern` for a line of `exclude`."""

    rule: str
    files: int
    unzipped: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What remains, and what does not."""

    tree: StagedTree
    excluded: tuple[Excluded, ...] = ()
    """One for each rule that leaves files out, in their order."""

    warnings: tuple[str, ...] = ()


def filtered(
    tree: StagedTree,
    *,
    presets: Sequence[Preset] = (),
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
) -> Filtered:
    """Leave out what the rules match; all lines must be valid for `parse_pattern`."""
    paths = [_below(tree.prefix, entry) for entry in tree.entries]
    rules = [*preset_rules(presets, tree, paths), *_patterns(exclude, include)]
    if not rules:
        return Filtered(tree=tree)
    found = _apply(rules, paths, tree.entries)
    return Filtered(
        tree=with_entries(tree, found.kept),
        excluded=found.excluded(rules),
        warnings=tuple(
            _in_vain(rule, tree.prefix, spares=number in found.spared)
            for number, rule in enumerate(rules)
            if rule.kind != "preset" and number not in found.matched
        ),
    )


def excluded_by(preset: Preset, tree: StagedTree) -> Excluded:
    """Tell what a preset alone would leave out of a tree."""
    paths = [_below(tree.prefix, entry) for entry in tree.entries]
    rules = list(preset_rules((preset,), tree, paths))
    (excluded,) = _apply(rules, paths, tree.entries).excluded(rules)
    return excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    """What some rules do with the entries of a tree; rules are named by their places."""

    kept: Sequence[Entry]
    files: Mapping[int, int]
    """How many files a rule leaves out."""

    sizes: Mapping[int, int]
    """Bytes that it leaves out."""

    matched: AbstractSet[int]
    spared: AbstractSet[int]
    """Rules that match only metadata, which they do not name."""

    def excluded(self, rules: Sequence[Rule]) -> tuple[Excluded, ...]:
        return tuple(
            Excluded(
                kind=rule.kind,
                rule=rule.text,
                files=self.files.get(number, 0),
                unzipped=self.sizes.get(number, 0),
            )
            for number, rule in enumerate(rules)
            if rule.leaves_out
        )


def _apply(rules: Sequence[Rule], paths: Sequence[str], entries: Sequence[Entry]) -> _Applied:
    """Apply rules to entries, whose paths below the import root are given."""
    kept: list[Entry] = []
    files: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    matched: set[int] = set()
    spared: set[int] = set()
    for path, entry in zip(paths, entries, strict=True):
        is_metadata = path.partition("/")[0].endswith(_METADATA)
        last = None
        for number, rule in enumerate(rules):
            if is_metadata and rule.kind == "preset":
                continue
            if rule.matches(path):
                if is_metadata and not rule.names_metadata:
                    spared.add(number)
                    continue
                matched.add(number)
                last = number
        if last is None or not rules[last].leaves_out:
            kept.append(entry)
        else:
            files[last] += 1
            sizes[last] += entry.size
    return _Applied(kept=kept, files=files, sizes=sizes, matched=matched, spared=spared)


def _below(prefix: str, entry: Entry) -> str:
    return entry.path.removeprefix(prefix)


def _in_vain(rule: Rule, prefix: str, *, spares: bool) -> str:
    key = "exclude" if rule.kind == "pattern" else rule.kind
    text = f"`{rule.text}` of `{key}` matches nothing"
    if spares:
        return f"{text} but metadata, which stays unless a pattern names `*{_METADATA}`"
    if prefix and rule.text.lstrip("!/").startswith(prefix.partition("/")[0] + "/"):
        return f"{text}: paths start below `{prefix}`"
    return text


def _patterns(exclude: Sequence[str], include: Sequence[str]) -> Iterator[Rule]:
    for kind, lines in (("pattern", exclude), ("include", include)):
        for text in lines:
            pattern = parse_pattern(text)
            yield Rule(
                kind=kind,
                text=text,
                leaves_out=kind == "pattern" and not pattern.negated,
                matches=pattern.matches,
                names_metadata=_METADATA in text,
            )
