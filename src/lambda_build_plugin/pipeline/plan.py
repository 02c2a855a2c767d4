"""A plan for all locked wheels of an artifact: found in the cache, or noted there.

The files of locked wheels are the same in every artifact with the same wheels, the same prefix
and the same rules about what is left out, whatever the user's own files are, as long as both have no folder in common. The user's
own are those of the project, and of the local folders that it needs. So the first build notes
how the others lie in the zip, and later builds copy them by that plan, without hashing, opening
or laying out a wheel before. What was copied must have the digest in the plan, which proves
every byte; otherwise the artifact is built again without a plan.

The plan is signed with the key of the user, like every note in the cache.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lambda_build_plugin.archive import packed_files, write_archive
from lambda_build_plugin.config.settings import Contents, Form
from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.stage.packed import Packed, as_bytes, from_bytes
from lambda_build_plugin.stage.tree import Dispute, Distribution, StagedTree
from lambda_build_plugin.system.hashes import Digest
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.sizes import Saving
from lambda_build_plugin.verify.view import shipped_from_note
from lambda_build_plugin.wheel.machine_code import as_note, from_note

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.staging import StagedArtifact
    from lambda_build_plugin.stage.filters import Effect
    from lambda_build_plugin.stage.tree import Entry
    from lambda_build_plugin.verify.view import ArtifactView, Shipped
    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = [
    "Plan",
    "UnusablePlanError",
    "find_plan",
    "keep_plan",
    "may_have_plan",
    "write_by_plan",
]

_NOTES, _LAST = "plans", "planned"
_FORMAT = "2"
"""The version of a plan; to be raised if zips are written differently."""


class UnusablePlanError(Exception):
    """The plan does not fit; nobody sees this, because the artifact is built without it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the files of all dependencies lie in the zip, and what is known about them."""

    tree: StagedTree
    """The dependencies alone; all entries are packed."""

    sha256: bytes
    """What the copied bytes must have."""

    top_names: frozenset[str]
    """What lies directly below the prefix, spelled so that case does not count; also what is
    left out."""

    code: Mapping[str, MachineCode]
    """The machine code in these files, by path."""

    distributions: tuple[Shipped, ...]
    """What the metadata of the distributions says."""

    savings: tuple[Saving, ...] = ()
    """What would have made the zip smaller; empty if it was not large."""

    effects: tuple[Effect, ...] = ()
    """What each rule that leaves files out has done to the dependencies."""

    def check_beside(self, project: StagedTree) -> None:
        """Check that the project's own files, before any is left out, fit the plan.

        Raises:
            UnusablePlanError: They have a folder or a name in common with the dependencies.
        """
        names = {each.wheel.name for each in self.tree.distributions}
        own = {each.wheel.name for each in project.distributions}
        if not names.isdisjoint(own):
            raise UnusablePlanError("the project is among its own dependencies")
        if not self.top_names.isdisjoint(_top_names(project.entries, project.prefix)):
            raise UnusablePlanError("the project has a folder in common with a dependency")
        if self.effects and _decides_about_stubs(own):
            raise UnusablePlanError("the project decides which stubs of its dependencies ship")

    def with_project(self, project: StagedTree) -> StagedTree:
        """Add the project's own files to those of the dependencies."""
        distributions = (*self.tree.distributions, *project.distributions)
        return StagedTree(
            entries=tuple(
                sorted((*self.tree.entries, *project.entries), key=lambda entry: entry.path)
            ),
            distributions=tuple(sorted(distributions, key=lambda each: each.wheel.name)),
            prefix=project.prefix,
            disputes=(*self.tree.disputes, *project.disputes),
        )


def may_have_plan(settings: Settings) -> bool:
    """Tell whether the files of the dependencies depend on the wheels and on settings alone."""
    return (
        settings.contents is not Contents.PROJECT
        and (settings.form is Form.WHEEL or settings.contents is Contents.DEPENDENCIES)
        and settings.unpacked is None
        and not (settings.hooks.after_stage or settings.scripts or settings.bytecode)
        and not (settings.include_local or settings.provided or settings.provided_by)
        and not settings.layer_files
    )


def find_plan(artifact: ArtifactBuild, wheels: Sequence[Wheel]) -> Plan | None:
    """Find the plan for these wheels, which artifacts of a run share; None if there is none."""
    wheels, plans = _ordered(wheels), artifact.run.plans
    key = _key(artifact.settings, wheels)
    if key not in plans:
        note = artifact.context.cache.signed(_NOTES, key)
        if note is None:
            return None
        plans[key] = _read_plan(note, wheels, artifact.settings.prefix)
    return plans[key]


def _read_plan(note: bytes, wheels: Sequence[Wheel], prefix: str) -> Plan:
    packed = from_bytes(note, [wheel.path for wheel in wheels], [wheel.name for wheel in wheels])
    facts = packed.facts
    return Plan(
        tree=StagedTree(
            entries=packed.entries,
            distributions=tuple(
                Distribution(wheel=wheel, dist_info=dist_info)
                for wheel, dist_info in zip(wheels, facts["dist-infos"], strict=True)
            ),
            prefix=prefix,
            disputes=tuple(
                Dispute(text=text, paths=tuple(paths)) for text, paths in facts["disputes"]
            ),
        ),
        sha256=packed.sha256,
        top_names=frozenset(facts["top-names"]),
        code=from_note(facts["code"]),
        distributions=tuple(map(shipped_from_note, facts["distributions"])),
        savings=tuple(Saving(*each) for each in facts["savings"]),
        effects=_effects_from_note(facts["effects"]),
    )


def _effects_from_note(note: Sequence[Sequence[Any]]) -> tuple[Effect, ...]:
    if not note:
        return ()
    # Not loaded for an artifact from which nothing is left out.
    from lambda_build_plugin.stage.filters import Effect

    return tuple(Effect(*each) for each in note)


def _decides_about_stubs(names: Collection[str]) -> bool:
    from lambda_build_plugin.stage.presets import READER_OF_STUBS

    return READER_OF_STUBS in names


def write_by_plan(artifact: ArtifactBuild, tree: StagedTree, path: Path, plan: Plan) -> Written:
    """Write a zip of which most files are copied by a plan.

    What was copied must have the hash in the plan. If the project's own files are the same as
    in the last build, the whole zip must have the hash that it had then, and nothing is hashed
    twice. If another artifact of this run has the same files, its zip is copied.

    Raises:
        UnusablePlanError: What was copied is not what the plan says, so a wheel is another one
            by now.
    """
    cache, key = artifact.context.cache, _own_key(artifact, tree)
    last = cache.note(_LAST, key) or {}
    own = _own_digest(tree)
    earlier = artifact.run.written.get((key, own))
    if earlier is not None:
        shutil.copyfile(earlier.path, path)
        return replace(earlier, path=path)
    is_the_same = last.get("own") == own
    try:
        written = write_archive(
            tree, path, epoch=artifact.settings.epoch, hashes_packed=not is_the_same
        )
    except OSError as error:
        raise UnusablePlanError(f"a wheel cannot be copied: {error}") from error
    if is_the_same:
        is_proved = written.sha256.hex() == last.get("sha256")
    else:
        is_proved = written.packed_sha256 == plan.sha256
    if not is_proved:
        with suppress(FetchError):
            cache.keep_note(_LAST, key, {})
        raise UnusablePlanError("a wheel in the cache is not the one that was locked")
    if not is_the_same:
        with suppress(FetchError):  # a cache that cannot be written costs time only
            cache.keep_note(_LAST, key, {"own": own, "sha256": written.sha256.hex()})
    artifact.run.written[key, own] = written
    return written


def _own_key(artifact: ArtifactBuild, tree: StagedTree) -> str:
    """Name a project and the plan: there is one note for both, about the last build."""
    wheels = [each.wheel for each in tree.distributions if each.wheel.source != "local"]
    settings = artifact.settings
    return f"{settings.project.root}\n{settings.contents.value}\n{_key(settings, wheels)}"


def _own_digest(tree: StagedTree) -> str:
    """Hash everything that the zip depends on beside the plan: the project's own files."""
    hashing = hashlib.sha256()
    for entry in tree.entries:
        if not isinstance(entry.data, Packed):
            fields = (entry.path, entry.digest, entry.size, entry.executable)
            hashing.update(repr((*fields, isinstance(entry.data, bytes))).encode())
    for each in tree.distributions:
        if each.wheel.source == "local":
            hashing.update(each.wheel.sha256.encode())
    return hashing.hexdigest()


def keep_plan(
    artifact: ArtifactBuild,
    staged: StagedArtifact,
    written: Written,
    shown: ArtifactView,
    savings: Sequence[Saving] = (),
) -> None:
    """Note the plan of a verified zip, unless a local folder has one in common with a wheel.

    Args:
        artifact: What was built, with wheels that can have a plan.
        staged: What was written.
        written: The zip.
        shown: What verification has found out about it.
        savings: What would make it smaller; found out only if it is large.
    """
    tree, cache = staged.tree, artifact.context.cache
    if cache.warnings:  # nothing can be kept
        return
    own = {each.wheel.name for each in tree.distributions if each.wheel.source == "local"}
    wheels = [each.wheel for each in tree.distributions if each.wheel.name not in own]
    if any(cache.unchecked(Digest(f"sha256:{wheel.sha256}")) is None for wheel in wheels):
        return
    unfiltered = staged.find_unfiltered()
    top_names = _top_names(_without(unfiltered, own).entries, tree.prefix)
    own_entries = [entry for entry in unfiltered.entries if entry.owner in own]
    if not top_names.isdisjoint(_top_names(own_entries, tree.prefix)):
        return
    effects = _find_effects(artifact.settings, _without(tree, own), _without(unfiltered, own))
    if effects is None:
        return
    own_paths = {entry.path for entry in own_entries}
    facts = {
        "dist-infos": [each.dist_info for each in tree.distributions if each.wheel.name not in own],
        "disputes": [
            [each.text, each.paths] for each in tree.disputes if own_paths.isdisjoint(each.paths)
        ],
        "top-names": sorted(top_names),
        "code": as_note({path: code for path, code in shown.code.items() if path not in own_paths}),
        "savings": savings,
        "effects": effects,
        "distributions": [each.as_note() for each in shown.distributions if each.name not in own],
    }
    packed = packed_files(tree, written, without=own, facts=facts)
    paths, names = [wheel.path for wheel in wheels], [wheel.name for wheel in wheels]
    with suppress(FetchError):  # a cache that cannot be written costs time only
        content = as_bytes(packed, paths, names)
        cache.keep_signed(_NOTES, _key(artifact.settings, wheels), content)


def _without(tree: StagedTree, owners: Collection[str]) -> StagedTree:
    """Take some distributions and their files out of a tree."""
    return replace(
        tree,
        entries=tuple(entry for entry in tree.entries if entry.owner not in owners),
        distributions=tuple(each for each in tree.distributions if each.wheel.name not in owners),
    )


def _find_effects(
    settings: Settings, kept: StagedTree, unfiltered: StagedTree
) -> tuple[Effect, ...] | None:
    """Find what the rules that leave files out do to the dependencies alone.

    Returns:
        None if that differs from what they have done, because of the project's own files, or if
        they have left out metadata.
    """
    from lambda_build_plugin.stage.filters import filtered

    found = filtered(
        unfiltered,
        presets=settings.exclude_presets,
        exclude=settings.exclude,
        include=settings.include,
    )
    paths = [entry.path for entry in found.tree.entries]
    if paths != [entry.path for entry in kept.entries]:
        return None
    return found.effects if all(each.has_metadata for each in kept.distributions) else None


def _key(settings: Settings, wheels: Iterable[Wheel]) -> str:
    """Name everything that the packed files depend on."""
    files = (f"{wheel.sha256} {wheel.filename}" for wheel in wheels)
    presets = [preset.value for preset in settings.exclude_presets]
    rules = json.dumps([presets, settings.exclude, settings.include])
    return "\n".join((_FORMAT, settings.prefix, str(settings.epoch), rules, *files))


def _ordered(wheels: Iterable[Wheel]) -> list[Wheel]:
    return sorted(wheels, key=lambda wheel: wheel.name)


def _top_names(entries: Iterable[Entry], prefix: str) -> frozenset[str]:
    """List what lies directly below a prefix, spelled so that case does not count."""
    start = len(prefix)
    names = {entry.path[start:].partition("/")[0] for entry in entries}
    return frozenset(name.casefold() for name in names)
