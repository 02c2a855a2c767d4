"""Any zip, whatever tool made it → the checks that a build makes of its own zip, as a report."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypedDict

from lambda_build_plugin.commands.inspected_zip import (
    DamagedZipError,
    InspectedPackage,
    InspectedZip,
    UnreadableZipError,
    guess_architecture,
    guess_runtime,
    opened_zip,
    raising,
)
from lambda_build_plugin.errors import VerificationError, printable
from lambda_build_plugin.pipeline.target_compiler import compile_with_target
from lambda_build_plugin.report import json_text, size_lines, size_report
from lambda_build_plugin.runtime.limits import MOST_ENTRIES, UNZIPPED_LIMIT
from lambda_build_plugin.runtime.sdk import SDK
from lambda_build_plugin.runtime.target import Target
from lambda_build_plugin.system.hashes import check_file
from lambda_build_plugin.verify import sizes
from lambda_build_plugin.verify.checks import check_contents
from lambda_build_plugin.verify.closure import Word
from lambda_build_plugin.verify.findings import Findings, listed, together
from lambda_build_plugin.verify.modules import Surroundings
from lambda_build_plugin.verify.zip_format import check_format

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lambda_build_plugin.pipeline.host import Machine
    from lambda_build_plugin.report import SizeReport
    from lambda_build_plugin.runtime.target import Architecture, Runtime

__all__ = [
    "FailureReport",
    "InspectedPackage",
    "InspectionReport",
    "as_json",
    "as_text",
    "failing_text",
    "inspect",
]

SCHEMA = 1

_REQUESTED = "requested"


class FailureReport(TypedDict):
    """One check that failed."""

    what: str
    why: str
    hint: str


class InspectionReport(TypedDict):
    """Schema 1. Sizes are bytes."""

    schema: int
    artifact: str
    layout: str
    runtime: str
    runtime_reason: str
    architecture: str
    architecture_reason: str
    handler: str | None
    files: int
    size: SizeReport
    sha256: str
    """Hexadecimal."""

    code_sha256: str
    """Base64, as Lambda shows it."""

    packages: list[InspectedPackage]
    failures: list[FailureReport]
    warnings: list[str]


def inspect(
    path: Path,
    *,
    runtime: Runtime | None,
    architecture: Architecture | None,
    handler: str | None,
    layers: Sequence[Path],
    machine: Machine,
) -> InspectionReport:
    """Check a zip.

    Args:
        path: The zip of a function or of a layer.
        runtime: What it is for; None to guess it from the contents.
        architecture: What it is for; None to guess it from the contents.
        handler: What the runtime is configured with; None to skip its check.
        layers: Zips of the layers that are used with it, in their order.
        machine: The date, on which a runtime may be deprecated, and where to find its Python.

    Raises:
        UnreadableZipError: One of the files is not a zip.
    """
    with raising(lambda problem: UnreadableZipError(path, problem)):
        checked = check_file(path)
    with ExitStack() as stack:
        found = InspectedZip(path, stack.enter_context(opened_zip(path)))
        beside = [
            InspectedZip(layer, stack.enter_context(opened_zip(layer)), is_layer=True)
            for layer in layers
        ]
        target, reasons = _choose_target([found, *beside], runtime, architecture)
        findings = together(
            check_format(found.infos, found.link),
            _check_sizes(found, zipped=checked.size),
            check_contents(
                found.importable(target.runtime, found.own(handler)),
                target,
                Word(doubtful=SDK),
                handler=handler,
                beside=[layer.importable(target.runtime) for layer in beside],
                surroundings=Surroundings(
                    compile_with_target=lambda sources: compile_with_target(
                        sources,
                        target.runtime.python,
                        environ=machine.environ,
                        home=machine.home,
                    )
                ),
            ),
        )
        unimportable = [
            warning for layer in beside for warning in layer.unimportable(target.runtime)
        ]
        packages = found.packages()
        # Members are read by the checks, so all damage is known only now.
        damages = [
            *sorted(found.damages),
            *(
                f"{layer}: {text}"
                for layer, zipped in zip(layers, beside, strict=True)
                for text in sorted(zipped.damages)
            ),
        ]
        damage = (DamagedZipError(damages),) if damages else ()
    return InspectionReport(
        schema=SCHEMA,
        artifact=str(path),
        layout=found.layout,
        runtime=target.runtime.name,
        runtime_reason=reasons[0],
        architecture=target.architecture.value,
        architecture_reason=reasons[1],
        handler=handler,
        files=len(found.artifact.sizes),
        size=size_report(zipped=checked.size, unzipped=found.unzipped),
        sha256=checked.sha256,
        code_sha256=base64.b64encode(bytes.fromhex(checked.sha256)).decode(),
        packages=packages,
        failures=[
            FailureReport(what=error.what, why=error.why, hint=error.hint)
            for error in (*damage, *findings.errors)
        ],
        warnings=[
            *target.warnings(machine.today),
            *found.warnings,
            *unimportable,
            *findings.warnings,
        ],
    )


def as_json(report: InspectionReport) -> str:
    """Write the report for machines."""
    return json_text(report)


def as_text(report: InspectionReport, *, verbose: bool = False) -> str:
    """Write the report for people, with the failures last; `verbose` shows long lists whole."""
    packages = [f"{each['name']} {each['version']}" for each in report["packages"]]
    failures, warnings = report["failures"], report["warnings"]
    lines = [
        f"Inspected {report['artifact']}",
        "",
        f"  runtime    {report['runtime']} ({report['runtime_reason']})",
        f"  machine    {report['architecture']} ({report['architecture_reason']})",
        f"  layout     {report['layout']}"
        + (f", handler {report['handler']}" if report["handler"] else ""),
        *size_lines(report["size"], report["code_sha256"]),
        f"  files      {report['files']:,}",
        f"  packages   {listed(packages, 8) or 'none with metadata'}",
        "",
        *(f"warning: {warning}" for warning in warnings),
        *(_shown(each, verbose=verbose) for each in failures),
        _summary(len(failures), len(warnings)),
    ]
    return printable("\n".join(lines)) + "\n"


def failing_text(report: InspectionReport, *, strict: bool, verbose: bool) -> str:
    """Write what fails for people, and nothing else; with `strict` that may be a warning."""
    lines = [f"warning: {warning}" for warning in report["warnings"] if strict]
    lines += (_shown(each, verbose=verbose) for each in report["failures"])
    return printable("".join(f"{line}\n" for line in lines))


def _shown(failure: FailureReport, *, verbose: bool) -> str:
    error = VerificationError(
        failure["what"], why=failure["why"].splitlines(), hint=failure["hint"]
    )
    return error.text(verbose=verbose)


def _summary(failures: int, warnings: int) -> str:
    if not (failures or warnings):
        return "no problems found"
    return f"{_count(failures, 'failure')}, {_count(warnings, 'warning')}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _choose_target(
    zips: Sequence[InspectedZip], runtime: Runtime | None, architecture: Architecture | None
) -> tuple[Target, tuple[str, str]]:
    """Guess what was not requested; the reasons are those of runtime and architecture."""
    runtime_reason = architecture_reason = _REQUESTED
    if runtime is None:
        runtime, runtime_reason = guess_runtime(zips)
    if architecture is None:
        architecture, architecture_reason = guess_architecture(zips)
    target = Target(runtime=runtime, architecture=architecture)
    return target, (runtime_reason, architecture_reason)


def _check_sizes(found: InspectedZip, *, zipped: int) -> Findings:
    """Check the zip against Lambda's quotas."""
    errors: list[VerificationError] = []
    if not found.artifact.sizes:
        errors.append(sizes.EmptyArtifactError(layer=False))
    if len(found.infos) > MOST_ENTRIES:
        errors.append(sizes.TooManyEntriesError(len(found.infos)))
    if found.unzipped >= UNZIPPED_LIMIT:
        largest = sorted(found.packages(), key=lambda each: -each["unzipped"])[:5]
        by_name = [(each["name"], each["unzipped"]) for each in largest]
        errors.append(sizes.OversizeError(found.unzipped, by_name))
    warnings = () if errors else sizes.doubtful_size(found.unzipped)
    return Findings(errors=tuple(errors), warnings=(*warnings, *sizes.large_zip(zipped)))
