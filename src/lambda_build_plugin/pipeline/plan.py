"""A plan for all locked wheels of an artifact: found in the cache, or noted there.

The files of locked wheels are the same in every artifact with the same wheels, the same prefix,
the same rules about what is left out and the same compiler of bytecode, whatever the user's own
files are, as long as both have no folder in common. The user's own are those of the project, and
of the local folders that it needs. So the first build notes how the others lie in the zip, and
later builds copy them by that plan, without hashing, opening or laying out a wheel before. What
was copied must have the digest in the plan, which proves every byte; otherwise the artifact is
built again without a plan.

The plan is signed with the key of the user, like every note in the cache.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from lambda_build_plugin import __version__
from lambda_build_plugin.archive import describe_archive, packed_files, write_archive
from lambda_build_plugin.config.settings import Contents, Form
from lambda_build_plugin.errors import FetchError
from lambda_build_plugin.stage.packed import as_bytes, from_bytes
from lambda_build_plugin.stage.tree import Dispute, Distribution, StagedTree
from lambda_build_plugin.system.hashes import Digest
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.sizes import is_large
from lambda_build_plugin.verify.view import shipped_from_note
from lambda_build_plugin.wheel.machine_code import as_note, from_note
from lambda_build_plugin.wheel.members import Member

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.pipeline.run import ArtifactBuild
    from lambda_build_plugin.pipeline.staging import StagedArtifact
    from lambda_build_plugin.stage.filters import Effect
    from lambda_build_plugin.stage.tree import Entry
    from lambda_build_plugin.system.hashes import Checked
    from lambda_build_plugin.verify.view import ArtifactView, Shipped
    from lambda_build_plugin.wheel.file import Wheel
    from lambda_build_plugin.wheel.machine_code import MachineCode

__all__ = [
    "Plan",
    "UnusablePlanError",
    "find_plan",
    "keep_plan",
    "may_have_plan",
    "own_names",
    "write_by_plan",
]

_NOTES, _LAST = "plans", "planned"
_FORMAT = "3"
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

    savings: Counter[tuple[str, str]] | None = None
    """The bytes that settings would save, with their conditions; None if the zip was small."""

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
        if (self.effects or self.savings) and _decides_about_stubs(own):
            raise UnusablePlanError("the project decides which stubs of its dependencies ship")

    def with_project(self, project: StagedTree) -> StagedTree:
        """Add the project's own files to those of the dependencies."""
        distributions = (*self.tree.distributions, *project.distributions)
        return StagedTree(
            entries=tuple(sorted((*self.tree.entries, *project.entries), key=attrgetter("path"))),
            distributions=tuple(sorted(distributions, key=lambda each: each.wheel.name)),
            prefix=project.prefix,
            disputes=tuple(sorted((*self.tree.disputes, *project.disputes), key=_staging_order)),
            bytecode=project.bytecode,
        )


def _staging_order(dispute: Dispute) -> tuple[int, tuple[str, ...]]:
    """Sort as staging does: first what several wheels contain, then what differs in case only."""
    return len(dispute.paths), dispute.paths[-1:]


def may_have_plan(settings: Settings) -> bool:
    """Tell whether the files of the dependencies depend on the wheels and on settings alone."""
    return (
        settings.contents is not Contents.PROJECT
        and (settings.form is Form.WHEEL or settings.contents is Contents.DEPENDENCIES)
        and settings.unpacked is None
        and not (settings.hooks.after_stage or settings.scripts)
        and not (settings.include_local or settings.provided or settings.provided_by)
        and not settings.layer_files
    )


def find_plan(artifact: ArtifactBuild, wheels: Sequence[Wheel]) -> Plan | None:
    """Find the plan for these wheels, which artifacts of a run share; None if there is none."""
    wheels, plans = _ordered(wheels), artifact.run.plans
    try:
        key = _key(artifact, wheels)
        if key not in plans:
            note = artifact.context.cache.signed(_NOTES, key)
            if note is None:
                return None
            plans[key] = _read_plan(note, wheels, artifact)
    except UnusablePlanError:
        return None
    return plans[key]


def _read_plan(note: bytes, wheels: Sequence[Wheel], artifact: ArtifactBuild) -> Plan:
    cache = artifact.context.cache

    def find_sources(facts: Mapping[str, Any]) -> list[Path]:
        found = [wheel.path for wheel in wheels]
        for digest in facts["bytecode"]:
            path = cache.unchecked(digest)
            if path is None:
                raise UnusablePlanError("the bytecode is not in the cache any more")
            found.append(path)
        return found

    packed = from_bytes(note, find_sources, [wheel.name for wheel in wheels])
    facts = packed.facts
    return Plan(
        tree=StagedTree(
            entries=packed.entries,
            distributions=tuple(
                Distribution(wheel=wheel, dist_info=dist_info)
                for wheel, dist_info in zip(wheels, facts["dist-infos"], strict=True)
            ),
            prefix=artifact.settings.prefix,
            disputes=tuple(
                Dispute(text=text, paths=tuple(paths)) for text, paths in facts["disputes"]
            ),
        ),
        sha256=packed.sha256,
        top_names=frozenset(facts["top-names"]),
        code=from_note(facts["code"]),
        distributions=tuple(map(shipped_from_note, facts["distributions"])),
        savings=_savings_from_note(facts["savings"]),
        effects=_effects_from_note(facts["effects"]),
    )


def _savings_from_note(
    note: Sequence[tuple[str, str, int]] | None,
) -> Counter[tuple[str, str]] | None:
    if note is None:
        return None
    return Counter({(setting, condition): size for setting, condition, size in note})


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
            by now. Or the zip is large, and was small when the plan was noted.
    """
    cache, key = artifact.context.cache, _own_key(artifact, tree)
    own = _own_digest(tree)
    earlier = artifact.run.written.get((key, own))
    if earlier is not None:
        return _write_again(artifact, earlier, path)
    last = cache.note(_LAST, key) or {}
    is_the_same = last.get("own") == own
    try:
        written = _find_written(artifact, tree, path, last) if is_the_same else None
        written = written or write_archive(
            tree,
            path,
            epoch=artifact.settings.epoch,
            hashes_packed=not is_the_same,
            in_thread=not artifact.run.is_among_others,
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
    if plan.savings is None and is_large(unzipped=tree.size, zipped=written.size):
        raise UnusablePlanError("the artifact has become large")
    if not is_the_same:
        with suppress(FetchError):  # a cache that cannot be written costs time only
            note = {"own": own, "sha256": written.sha256.hex(), "size": str(written.size)}
            cache.keep_note(_LAST, key, note)
    artifact.run.written[key, own] = written
    return written


def _find_written(
    artifact: ArtifactBuild, tree: StagedTree, path: Path, last: Mapping[str, str]
) -> Written | None:
    """Find the zip of the last build, if it is still at its place; the note of it is signed."""
    size, sha256 = int(last["size"]), bytes.fromhex(last["sha256"])
    there = artifact.run.outputs.find_same(path, size=size, sha256=sha256)
    if there is None:
        return None
    return describe_archive(tree, there, epoch=artifact.settings.epoch, sha256=sha256)


def _write_again(artifact: ArtifactBuild, earlier: Written, path: Path) -> Written:
    """Copy the zip of another artifact of this run, unless a copy is there already."""
    outputs = artifact.run.outputs
    there = outputs.find_same(path, size=earlier.size, sha256=earlier.sha256)
    if there is None:
        shutil.copyfile(earlier.path, path)
    return replace(earlier, path=there or path)


def _own_key(artifact: ArtifactBuild, tree: StagedTree) -> str:
    """Name a project and the plan: there is one note for both, about the last build."""
    wheels = [each.wheel for each in tree.distributions if each.wheel.source != "local"]
    settings = artifact.settings
    return f"{settings.project.root}\n{settings.contents.value}\n{_key(artifact, wheels)}"


def _own_digest(tree: StagedTree) -> str:
    """Hash everything that the zip depends on beside the plan: the project's own files."""
    hashing = hashlib.sha256()
    for entry in tree.not_packed:
        fields = (entry.path, entry.digest, entry.size, entry.executable)
        hashing.update(repr((*fields, isinstance(entry.data, bytes))).encode())
    for each in tree.distributions:
        if each.wheel.source == "local":
            hashing.update(each.wheel.sha256.encode())
    return hashing.hexdigest()


def own_names(tree: StagedTree) -> frozenset[str]:
    """Name the distributions whose files are not part of a plan: those of the user's folders."""
    local = (each.wheel for each in tree.distributions if each.wheel.source == "local")
    return frozenset(wheel.name for wheel in local)


def keep_plan(
    artifact: ArtifactBuild,
    staged: StagedArtifact,
    written: Written,
    shown: ArtifactView,
    savings: Counter[tuple[str, str]] | None = None,
) -> None:
    """Note the plan of a verified zip, unless a local folder has one in common with a wheel.

    Args:
        artifact: What was built, with wheels that can have a plan.
        staged: What was written.
        written: The zip, written with `own_names` in mind.
        shown: What verification has found out about it.
        savings: What would make it smaller; found out only if it is large.
    """
    tree, cache = staged.tree, artifact.context.cache
    if cache.warnings:  # nothing can be kept
        return
    own = own_names(tree)
    wheels = [each.wheel for each in tree.distributions if each.wheel.name not in own]
    if any(cache.unchecked(Digest(f"sha256:{wheel.sha256}")) is None for wheel in wheels):
        return
    unfiltered = staged.find_unfiltered()
    top_names = _top_names(_without(unfiltered, own).entries, tree.prefix)
    own_entries = [entry for entry in unfiltered.entries if entry.owner in own]
    if not top_names.isdisjoint(_top_names(own_entries, tree.prefix)):
        return
    effects = _find_effects(
        artifact.settings, _without(staged.with_sources, own), _without(unfiltered, own)
    )
    bytecode = _bytecode_of(_without(tree, own), wheels)
    if effects is None or bytecode is None:
        return
    own_paths = {entry.path for entry in own_entries}
    facts = {
        "dist-infos": [each.dist_info for each in tree.distributions if each.wheel.name not in own],
        "disputes": [
            [each.text, each.paths] for each in tree.disputes if own_paths.isdisjoint(each.paths)
        ],
        "top-names": sorted(top_names),
        "code": as_note({path: code for path, code in shown.code.items() if path not in own_paths}),
        "savings": _savings_as_note(savings, tree, own),
        "effects": effects,
        "bytecode": [each.digest for each in bytecode],
        "distributions": [each.as_note() for each in shown.distributions if each.name not in own],
    }
    packed = packed_files(tree, written, without=own, facts=facts)
    paths = [*(wheel.path for wheel in wheels), *(each.path for each in bytecode)]
    names = [wheel.name for wheel in wheels]
    # A cache that cannot be written costs time only. Data has no compiler, and needs none.
    with suppress(FetchError, UnusablePlanError):
        content = as_bytes(packed, paths, names)
        key = _key(artifact, wheels)
        cache.keep_signed(_NOTES, key, content)
        artifact.run.plans.pop(key, None)  # it was of no use to this artifact


def _savings_as_note(
    savings: Counter[tuple[str, str]] | None, tree: StagedTree, own: Collection[str]
) -> list[tuple[str, str, int]] | None:
    """Note what would be saved in the dependencies, without what the user's own files add."""
    if savings is None or _decides_about_stubs(own):
        return None
    # Not loaded for a small zip.
    from lambda_build_plugin.verify.savings import all_savings

    own_entries = tuple(entry for entry in tree.entries if entry.owner in own)
    of_dependencies = savings - all_savings(replace(tree, entries=own_entries))
    return [(*setting, size) for setting, size in of_dependencies.items()]


def _without(tree: StagedTree, owners: Collection[str]) -> StagedTree:
    """Take some distributions and their files out of a tree."""
    return replace(
        tree,
        entries=tuple(entry for entry in tree.entries if entry.owner not in owners),
        distributions=tuple(each for each in tree.distributions if each.wheel.name not in owners),
    )


def _bytecode_of(tree: StagedTree, wheels: Iterable[Wheel]) -> list[Checked] | None:
    """List the files with the bytecode of a tree; None if the cache could not keep them."""
    copied = {entry.data.wheel for entry in tree.entries if isinstance(entry.data, Member)}
    copied.difference_update(wheel.path for wheel in wheels)
    found = [each for each in tree.bytecode if each.path in copied]
    return found if len(found) == len(copied) else None


def _find_effects(
    settings: Settings, kept: StagedTree, unfiltered: StagedTree
) -> tuple[Effect, ...] | None:
    """Find what the rules that leave files out do to the dependencies alone.

    Returns:
        None if that differs from what they have done, because of the project's own files, or if
        they have left out metadata.
    """
    from lambda_build_plugin.stage.filters import filtered_by

    found = filtered_by(
        settings,
        unfiltered,
    )
    paths = [entry.path for entry in found.tree.entries]
    if paths != [entry.path for entry in kept.entries]:
        return None
    return found.effects if all(each.has_metadata for each in kept.distributions) else None


def _key(artifact: ArtifactBuild, wheels: Iterable[Wheel]) -> str:
    """Name everything that the packed files depend on.

    Raises:
        UnusablePlanError: They contain bytecode, and nothing on this machine compiles it.
    """
    settings = artifact.settings
    files = (f"{wheel.sha256} {wheel.filename}" for wheel in wheels)
    presets = [preset.value for preset in settings.exclude_presets]
    rules = json.dumps([presets, settings.exclude, settings.include, _compiler_key(artifact)])
    return "\n".join((_FORMAT, __version__, settings.prefix, str(settings.epoch), rules, *files))


def _compiler_key(artifact: ArtifactBuild) -> list[object]:
    settings = artifact.settings
    if not settings.bytecode:
        return []
    # Not loaded by a build without bytecode.
    from lambda_build_plugin.stage.bytecode import compiler_key
    from lambda_build_plugin.system.interpreters import NoInterpreterError

    try:
        compiler = artifact.compiler()
    except NoInterpreterError as error:  # it is reported if there is something to compile
        raise UnusablePlanError("there is no compiler") from error
    return [settings.bytecode_only, compiler_key(compiler, settings.prefix)]


def _ordered(wheels: Iterable[Wheel]) -> list[Wheel]:
    return sorted(wheels, key=lambda wheel: wheel.name)


def _top_names(entries: Iterable[Entry], prefix: str) -> frozenset[str]:
    """List what lies directly below a prefix, spelled so that case does not count."""
    start = len(prefix)
    names = {entry.path[start:].partition("/")[0] for entry in entries}
    return frozenset(name.casefold() for name in names)
