"""A project without code of its own → a warning that names the local packages left behind.

Some projects keep their code in path dependencies of a group. Without that group, the zip
holds nothing that could be a handler, and nothing else is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lambda_build_plugin.lock.model import Lock, LockedPackage
    from lambda_build_plugin.pipeline.decision import Dependencies
    from lambda_build_plugin.stage.tree import StagedTree

__all__ = ["warn_of_empty_project"]

_MODULES = (".py", ".pyc", ".so")


def warn_of_empty_project(tree: StagedTree, dependencies: Dependencies) -> Iterator[str]:
    """Warn if all local code is empty, and local packages do not ship.

    Args:
        tree: What ships.
        dependencies: What was decided about the packages of the lock.
    """
    if dependencies.lock is None or _has_code(tree):
        return
    lock = dependencies.lock.lock
    left_out = {canonicalize_name(each.name) for each in dependencies.left_out}
    for package in lock.packages:
        if package.directory is not None and not package.virtual and package.name in left_out:
            yield (
                "the project ships no code of its own, only empty modules, and its local package "
                f"{package} does not ship: {_remedy(package, lock)}"
            )


def _has_code(tree: StagedTree) -> bool:
    """Tell whether the project or a local package ships a module that is not empty."""
    own: set[str] = {dist.wheel.name for dist in tree.distributions if dist.wheel.source == "local"}
    if tree.project is not None:
        own.add(tree.project.owner)
    if not own:
        return True  # the project itself is not meant to ship
    return any(
        entry.size and entry.owner in own and entry.path.endswith(_MODULES)
        for entry in tree.not_packed
    )


def _remedy(package: LockedPackage, lock: Lock) -> str:
    roots = lock.roots
    for flag, wanted in (
        ("--group", roots.groups if roots else {}),
        ("--extra", roots.extras if roots else {}),
    ):
        for name, edges in sorted(wanted.items()):
            if any(edge.name == package.name for edge in edges):
                return f"`{flag} {name}` ships it"
    return "`--group NAME` ships the dependencies of a group, and `--extra NAME` those of an extra"
