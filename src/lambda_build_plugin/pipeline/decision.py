"""What was decided about the packages of a lock: which wheels ship, and why others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from lambda_build_plugin.pipeline.noted_choice import NotedLock
    from lambda_build_plugin.pipeline.plan import Plan
    from lambda_build_plugin.pipeline.target_lock import TargetLock
    from lambda_build_plugin.selection.left_out import LeftOut
    from lambda_build_plugin.wheel.file import Wheel

__all__ = ["Dependencies"]


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """The wheels that ship beside the project, and what was decided about all others."""

    lock: TargetLock | NotedLock | None = None
    wheels: tuple[Wheel, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    provided: tuple[Wheel, ...] = ()
    """Wheels that do not ship because the runtime or another artifact has them."""

    skipped: frozenset[str] = frozenset()
    """Names of packages for the target that the user does not want to ship."""

    plan: Plan | None = None
    """How the files of the wheels lie in the zip; the wheels have not been hashed then."""

    can_have_plan: bool = False
    """Whether a plan can be made for these wheels."""
