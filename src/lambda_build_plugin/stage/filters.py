"""`StagedTree` and what the user wants to leave out → a smaller tree whose RECORDs are true.

Rules are applied in this order, and the last one that matches a file decides: the presets, the
lines of `exclude` (where `!` takes a file back in), the lines of `include`. All of them see the
path below the import root, so the same rules work for layers and functions; files outside of it
(`bin/` of a layer) have their path in the zip.

The metadata of a distribution (`*.dist-info`) is only touched by rules that name it:
`importlib.metadata` is how packages find their version and their plugins.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.config.patterns import parse_pattern
from lambda_build_plugin.stage.presets import Rule, preset_rules
from lambda_build_plugin.stage.records import with_entries
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lambda_build_plugin.config.settings import Preset, Settings
    from lambda_build_plugin.stage.tree import Entry, StagedTree

__all__ = ["Effect", "Excluded", "Filtered", "filtered", "preset_effect"]

_METADATA = ".dist-info"


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """What one rule has saved."""

    kind: str
    """`preset`, or `pattern` for a line of `exclude`."""

    rule: str
    files: int
    unzipped: int
    """Bytes."""


class Effect(NamedTuple):
    """What one rule has done in a tree."""

    files: int = 0
    """How many it has left out."""

    unzipped: int = 0
    """Their bytes."""

    matches: bool = False
    """Whether it matches a file, even if a later rule decides about it."""

    spares: bool = False
    """Whether it would match metadata, which it does not name."""

    def __add__(self, other: Effect) -> Effect:  # type: ignore[override]
        """Say what a rule has done in both of two trees."""
        return Effect(
            self.files + other.files,
            self.unzipped + other.unzipped,
            self.matches or other.matches,
            self.spares or other.spares,
        )


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """What remains, and what does not."""

    tree: StagedTree
    effects: tuple[Effect, ...] = ()
    """One for each rule, in their order."""

    excluded: tuple[Excluded, ...] = ()
    """One for each rule that leaves files out, in their order."""

    warnings: tuple[str, ...] = ()


def filtered(
    tree: StagedTree,
    *,
    presets: Sequence[Preset] = (),
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
    beside: Collection[str] = (),
    elsewhere: Sequence[Effect] = (),
) -> Filtered:
    """Leave out what the rules match; all lines must be valid for `parse_pattern`.

    Args:
        tree: From which files are left out.
        presets: Those of the user.
        exclude: The lines of `exclude`.
        include: The lines of `include`.
        beside: Names of distributions that ship with those in the tree.
        elsewhere: What the same rules have done to these.
    """
    paths = [_below(tree.prefix, entry) for entry in tree.entries]
    names = {*beside, *(each.wheel.name for each in tree.distributions)}
    rules = [*preset_rules(presets, tree, paths, names), *_patterns(exclude, include)]
    if not rules:
        return Filtered(tree=tree)
    kept, effects = _applied(rules, tree, paths)
    # What is told about a rule is about all files.
    total = [one + other for one, other in zip_longest(effects, elsewhere, fillvalue=Effect())]
    return Filtered(
        tree=with_entries(tree, kept),
        effects=tuple(effects),
        excluded=tuple(
            Excluded(kind=rule.kind, rule=rule.text, files=effect.files, unzipped=effect.unzipped)
            for rule, effect in zip(rules, total, strict=True)
            if rule.leaves_out
        ),
        warnings=tuple(
            _in_vain(rule, tree.prefix, spares=effect.spares)
            for rule, effect in zip(rules, total, strict=True)
            if rule.kind != "preset" and not effect.matches
        ),
    )


def preset_effect(preset: Preset, tree: StagedTree) -> Effect:
    """Tell what a preset alone would leave out of a tree, without making the smaller tree."""
    paths = [_below(tree.prefix, entry) for entry in tree.entries]
    names = {each.wheel.name for each in tree.distributions}
    _, (effect,) = _applied(list(preset_rules((preset,), tree, paths, names)), tree, paths)
    return effect


def filtered_by(
    settings: Settings,
    tree: StagedTree,
    *,
    beside: Collection[str] = (),
    elsewhere: Sequence[Effect] = (),
) -> Filtered:
    """Leave out what settings say; the other arguments are those of `filtered`."""
    return filtered(
        tree,
        presets=settings.exclude_presets,
        exclude=settings.exclude,
        include=settings.include,
        beside=beside,
        elsewhere=elsewhere,
    )


def _applied(
    rules: Sequence[Rule], tree: StagedTree, paths: Sequence[str]
) -> tuple[list[Entry], list[Effect]]:
    """Divide the entries of a tree into those that stay, and what each rule leaves out."""
    kept: list[Entry] = []
    effects = [Effect()] * len(rules)
    for path, entry in zip(paths, tree.entries, strict=True):
        is_metadata = path.partition("/")[0].endswith(_METADATA)
        last = None
        for number, rule in enumerate(rules):
            if is_metadata and rule.kind == "preset":
                continue
            if rule.matches(path):
                if is_metadata and not rule.names_metadata:
                    effects[number] = effects[number]._replace(spares=True)
                    continue
                last = number
                if not effects[number].matches:
                    effects[number] = effects[number]._replace(matches=True)
        if last is None or not rules[last].leaves_out:
            kept.append(entry)
        else:
            effects[last] += Effect(files=1, unzipped=entry.size)
    return kept, effects


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
