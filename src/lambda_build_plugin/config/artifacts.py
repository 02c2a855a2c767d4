"""Several artifacts of one project → one `Settings` for each zip, in the order to build them.

A table `[tool.lambda-build.artifacts.NAME]` has the keys that differ for this artifact.
It is stronger than the tables for all artifacts, and weaker than flags and environment.
If `runtime` or `architecture` is a list, there is a zip for each value. An artifact comes
after those that it is provided by. Nothing is built before all settings are known to be
right.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.read_settings import read_settings
from lambda_build_plugin.config.sources import ARTIFACTS, SettingsSource
from lambda_build_plugin.config.tables import TableError
from lambda_build_plugin.errors import SettingsError, quoted
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Host, Settings

__all__ = ["for_one_target", "read_artifacts"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TABLE = f"tool.lambda-build.{ARTIFACTS}"


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """One zip, and the layers that its settings come from."""

    settings: Settings
    layers: tuple[SettingsSource, ...]

    def origin(self, key: str) -> str:
        """Spell a key as in the place where it was given, or say that it has its default."""
        layer = _first(self.layers, key)
        if layer is not None:
            return layer.spell(key)
        name = self.settings.artifact
        return f"[{_TABLE}.{name}] {key} (by default)" if name else f"{key} (by default)"


def read_artifacts(
    project: Project, layers: Sequence[SettingsSource], host: Host, *, wanted: Sequence[str] = ()
) -> tuple[Settings, ...]:
    """Read the settings of every artifact, and choose the wanted ones, or all without names.

    Artifacts that provide for a wanted one are chosen, too, so that all have the same lock.

    Raises:
        SettingsError: With every mistake in every artifact.
    """
    problems: list[str] = []
    tables = _tables(project, problems)
    if unknown := [name for name in dict.fromkeys(wanted) if name not in tables]:
        problems.append(_unknown(unknown, tables))
    planned: list[_Planned] = []
    for stack, name in _stacks(layers, tables):
        for variant in _variants(stack):
            try:
                settings = read_settings(project, variant, host, artifact=name, artifacts=tables)
            except SettingsError as error:
                problems += error.problems
            else:
                planned.append(_Planned(settings=settings, layers=variant))
    chosen: list[_Planned] = []
    if not problems:
        chosen = _chosen(planned, wanted, problems)
        problems += [*_provider_problems(chosen, tables), *_place_problems(chosen)]
    if problems:
        raise SettingsError(list(dict.fromkeys(problems)))
    return tuple(each.settings for each in chosen)


def _tables(project: Project, problems: list[str]) -> Mapping[str, SettingsSource]:
    """Make a layer of each artifact's table, by its name."""
    found: dict[str, SettingsSource] = {}
    try:
        tables = project.tool.table("lambda-build").table(ARTIFACTS)
        for name in tables:
            if not _NAME.fullmatch(name):
                problems.append(
                    f"[{_TABLE}] {name}: is not a valid artifact name: use letters, digits, "
                    "`.`, `_` and `-`, and begin with a letter or digit"
                )
            found[name] = _layer(project, name)
    except TableError as error:
        raise SettingsError([str(error)]) from error
    return found


def _layer(project: Project, name: str) -> SettingsSource:
    table = project.tool.table("lambda-build").table(ARTIFACTS).table(name)
    return SettingsSource(
        values={key: table.raw(key) for key in table},
        spell=lambda key: f"[{_TABLE}.{name}] {key}",
        base=project.root,
        is_table=True,
    )


def _unknown(names: Sequence[str], there: Iterable[str]) -> str:
    asked = quoted(names)
    return f"there is no artifact {asked}; {_listing(there)}"


def _listing(names: Iterable[str]) -> str:
    listed = quoted(names)
    return f"the artifacts are {listed}" if listed else f"the project has no [{_TABLE}]"


def _stacks(
    layers: Sequence[SettingsSource], tables: Mapping[str, SettingsSource]
) -> Iterator[tuple[tuple[SettingsSource, ...], str | None]]:
    """Put each artifact's table above the tables for all, and below flags and environment."""
    above = [layer for layer in layers if not layer.is_table]
    below = [layer for layer in layers if layer.is_table]
    if not tables:
        yield (*above, *below), None
    for name, layer in tables.items():
        yield (*above, layer, *below), name


def _variants(layers: tuple[SettingsSource, ...]) -> Iterator[tuple[SettingsSource, ...]]:
    """Expand lists of runtimes and architectures: yield the layers for each pair."""
    lists = (_listed(layers, "runtime"), _listed(layers, "architecture"))
    for runtime, architecture in itertools.product(*lists):
        yield _with(_with(layers, "runtime", runtime), "architecture", architecture)


def for_one_target(layers: Sequence[SettingsSource], *, door: str) -> tuple[SettingsSource, ...]:
    """Replace lists that have one runtime or architecture, for a door that builds one zip.

    Args:
        layers: The strongest first.
        door: The name of the door that cannot build for several targets, for the message.

    Raises:
        SettingsError: There are several.
    """
    several = {
        key: quoted(values)
        for key in ("runtime", "architecture")
        if len(values := _listed(layers, key)) > 1
    }
    if several:
        raise SettingsError(
            [
                f"{layer.spell(key)}: has several values: {names}; {door} builds for one"
                for key, names in several.items()
                if (layer := _first(layers, key)) is not None
            ],
            hint="name one, or use `lambda-build`, which builds for each of them",
        )
    return next(_variants(tuple(layers)))


def _listed(layers: Sequence[SettingsSource], key: str) -> list[object]:
    """Get the values of a key, each once; anything but a list of names counts as one value."""
    layer = _first(layers, key)
    value = layer.values[key] if layer else None
    items = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if isinstance(items, (list, tuple)) and items and all(isinstance(i, str) for i in items):
        return list(dict.fromkeys(items))
    return [value]


def _with(
    layers: tuple[SettingsSource, ...], key: str, value: object
) -> tuple[SettingsSource, ...]:
    """Set a key in the layer that already has it, so that messages name the right place."""
    first = _first(layers, key)
    return tuple(
        replace(layer, values={**layer.values, key: value}) if layer is first else layer
        for layer in layers
    )


def _first(layers: Iterable[SettingsSource], key: str) -> SettingsSource | None:
    return next((layer for layer in layers if layer.values.get(key) is not None), None)


def _chosen(
    planned: Sequence[_Planned], wanted: Sequence[str], problems: list[str]
) -> list[_Planned]:
    """Choose the wanted artifacts and those that provide for them, the latter first."""
    by_name: defaultdict[str, list[_Planned]] = defaultdict(list)
    for each in planned:
        by_name[each.settings.artifact or ""].append(each)
    providers = {
        name: [item for item in each[0].settings.provided_by if isinstance(item, str)]
        for name, each in by_name.items()
    }
    try:
        order = list(TopologicalSorter(providers).static_order())
    except CycleError as error:
        # Each in the cycle is provided by the one before it.
        cycle = list(reversed(error.args[1]))
        arrows = quoted(cycle, " → ")
        origin = by_name[cycle[0]][0].origin("provided-by")
        problems.append(f"{origin}: an artifact cannot provide itself: {arrows}")
        return []
    needed: set[str] = set()
    todo = list(wanted or by_name)
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += providers[name]
    return [each for name in order if name in needed for each in by_name[name]]


def _provider_problems(planned: Sequence[_Planned], names: Iterable[str]) -> Iterator[str]:
    """Yield mistakes in `provided-by`: unknown, for another target, or a zip of this build."""
    if not any(each.settings.provided_by for each in planned):
        return  # most projects have none, and a workspace has many projects
    there = {(each.settings.artifact, each.settings.target) for each in planned}
    zips = {_place(each): each for each in planned}
    for each in planned:
        settings, origin = each.settings, each.origin("provided-by")
        for item in settings.provided_by:
            if isinstance(item, str):
                if (item, settings.target) not in there:
                    yield f"{origin}: `{item}` is not built for {settings.target}"
                continue
            if not item.suffix and not os.path.lexists(item):  # a hook may still make a zip
                yield f"{origin}: `{item.name}` is neither an artifact nor a zip; {_listing(names)}"
            other = zips.get(_real(item))
            if other is each:
                yield f"{origin}: an artifact cannot provide itself: {item} is its own zip"
            elif other is not None:
                yield f"{origin}: {item} is the zip of {other.settings.label}: use its name instead"


def _place_problems(planned: Sequence[_Planned]) -> Iterator[str]:
    """Yield the places that two artifacts would be written to, or one inside of the other."""
    if len(planned) == 1:
        return
    zips: defaultdict[Path, list[tuple[_Planned, str]]] = defaultdict(list)
    for each in planned:
        zips[_place(each)].append((each, "output"))
        if each.settings.unpacked is not None:
            zips[_real(each.settings.unpacked)].append((each, "unpacked"))
    for place, claims in zips.items():
        artifacts = dict.fromkeys(each.settings.label for each, _ in claims)
        if len(artifacts) > 1:
            keys = dict.fromkeys(each.origin(key) for each, key in claims)
            yield f"{', '.join(keys)}: {place} would be written by {' and by '.join(artifacts)}"
    for place, claims in zips.items():
        for outer in (each for each in place.parents if each in zips):
            for (each, key), (other, other_key) in itertools.product(claims, zips[outer]):
                if each is not other:  # what one artifact has inside of itself is told later
                    yield (
                        f"{each.origin(key)}, {other.origin(other_key)}: {place} would be written "
                        f"by {each.settings.label}, inside of what {other.settings.label} writes"
                    )


def _place(planned: _Planned) -> Path:
    settings = planned.settings
    return _real(settings.zip_path(settings.project.version))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `resolve` fails on links in a circle
