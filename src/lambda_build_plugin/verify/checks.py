"""Run all checks of the contents of an artifact; `sizes` and `zip_format` check the zip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.verify.closure import check_closure
from lambda_build_plugin.verify.findings import Findings, together
from lambda_build_plugin.verify.handler import check_handler
from lambda_build_plugin.verify.imports import check_imports, check_pythons
from lambda_build_plugin.verify.modules import Surroundings, check_modules
from lambda_build_plugin.verify.native import check_native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.closure import Word
    from lambda_build_plugin.verify.view import ArtifactView

__all__ = ["check_contents"]


def check_contents(
    artifact: ArtifactView,
    target: Target,
    word: Word,
    *,
    handler: str | None,
    beside: Sequence[ArtifactView] = (),
    surroundings: Surroundings | None = None,
) -> Findings:
    """Check the contents of an artifact against a target.

    Args:
        artifact: A function or a layer.
        target: Where it is to run.
        word: What the user has decided about its distributions.
        handler: The handler as the function is configured with it; None if there is none to check.
        beside: Layers that are used together with it.
        surroundings: What is known about modules that are not in it; nothing by default.
    """
    there = tuple(each for layer in beside for each in layer.distributions)
    return together(
        check_closure(artifact.distributions, target, word, beside=there),
        check_native(artifact, target, beside=beside),
        check_handler(artifact, handler, target, beside=beside) if handler else Findings(),
        check_imports(artifact, target),
        check_modules(
            artifact, target, surroundings or Surroundings(), handler=handler, beside=beside
        ),
        *(check_pythons(each, target) for each in (artifact, *beside)),
    )
