"""The artifacts of a project → parts, which different processes may build at the same time.

An artifact stays with those that provide for it. Everything stays together if commands of the
user run, because these may change the files of the project, or if the artifacts differ in how
sources are built, because all of them ship the same wheel of the project. A lock has a say in
that as well.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from lambda_build_plugin.config.settings import Contents, Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.config.settings import Settings

__all__ = ["parts_of"]


def parts_of(artifacts: Sequence[Settings]) -> list[tuple[int, ...]]:
    """Divide the artifacts of a project.

    Args:
        artifacts: In the order in which one process would build them.

    Returns:
        The numbers of the artifacts of each part. Both the parts and the numbers in each of
        them are in the order of the artifacts.
    """
    if _belong_together(artifacts):
        return [tuple(range(len(artifacts)))]
    # Runtimes that nobody named are chosen later, but the same for all that belong together.
    has_default = any(settings.runtime_is_default for settings in artifacts)
    targets = [each.target.architecture if has_default else each.target for each in artifacts]
    leaders: dict[int, int] = {}
    named: defaultdict[tuple[object, object], list[int]] = defaultdict(list)
    for number, (settings, target) in enumerate(zip(artifacts, targets, strict=True)):
        leaders[number] = number
        for name in settings.provided_by:
            for provider in named.get((name, target), ()):
                one, other = _leader(leaders, provider), _leader(leaders, number)
                leaders[max(one, other)] = min(one, other)
        named[settings.artifact, target].append(number)
    parts: dict[int, list[int]] = {}
    for number in leaders:
        parts.setdefault(_leader(leaders, number), []).append(number)
    return [tuple(part) for _, part in sorted(parts.items())]


def _belong_together(artifacts: Sequence[Settings]) -> bool:
    """Tell whether one process has to build all artifacts of a project."""
    ways = {
        (each.build_environment, each.cross_compile, each.only_binary, each.no_binary)
        for each in artifacts
    }
    locks = {
        each.needs_lock and (each.lock or True)
        for each in artifacts
        if each.contents is not Contents.DEPENDENCIES and each.form is Form.WHEEL
    }
    return max(len(ways), len(locks)) > 1 or any(
        each.hooks.before_build or each.hooks.after_stage for each in artifacts
    )


def _leader(leaders: dict[int, int], number: int) -> int:
    """Find the first artifact of the part that an artifact belongs to."""
    while leaders[number] != number:
        number = leaders[number]
    return number
