"""What a build did, as data; text and JSON are two views of it.

The schema has a version: the meaning of a field changes only together with `schema`.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from typing import TYPE_CHECKING, TypedDict

from lambda_build_plugin.errors import cut, printable
from lambda_build_plugin.runtime.limits import UNZIPPED_LIMIT, ZIPPED_LIMIT, size_text
from lambda_build_plugin.stage.tree import LAYER_FILES
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.folders import heavy_folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lambda_build_plugin.archive import Written
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.errors import LambdaBuildError
    from lambda_build_plugin.selection.left_out import LeftOut
    from lambda_build_plugin.stage.filters import Excluded
    from lambda_build_plugin.stage.tree import StagedTree
    from lambda_build_plugin.verify.sizes import Saving

__all__ = [
    "STATES",
    "BuildReport",
    "BuildReports",
    "BuildResult",
    "ErrorReport",
    "ExcludedReport",
    "FailedReport",
    "FolderReport",
    "LayerFileReport",
    "LeftBehindReport",
    "LeftOutReport",
    "PackageReport",
    "SavingReport",
    "SizeReport",
    "as_json",
    "as_text",
    "error_as_json",
    "error_report",
    "json_text",
    "make",
    "size_lines",
    "size_report",
]

SCHEMA = 1

STATES = {None: "new", True: "changed", False: "same"}
"""What people read about the field `changed`."""

_BAR = 24
_LISTED = 8
_NOT_SMALL = 10 << 20  # bytes
_LARGE_PART = 0.1
_NAMED = 4


class SizeReport(TypedDict):
    """The size of the artifact, and what Lambda allows, in bytes."""

    zipped: int
    unzipped: int
    limit_zipped: int
    limit_unzipped: int


class PackageReport(TypedDict):
    """One distribution that ships."""

    name: str
    version: str
    """Empty for a project that ships as source and has no version."""

    file: str
    sha256: str
    """Of the file, hexadecimal; both are empty for a project that ships as source."""

    source: str
    """`wheel`, `sdist`, `local` or `vcs`."""

    built_by: str
    """The backend that built it, with its version; empty if it was not built here."""

    compiled_by: str
    """The zig that compiled its machine code, and its target; empty if none did."""

    unzipped: int
    zipped: int
    files: int


class LeftOutReport(TypedDict):
    """One locked package that does not ship."""

    name: str
    version: str
    reason: str


class ExcludedReport(TypedDict):
    """What one rule of `exclude` or `exclude-presets` leaves out."""

    kind: str
    """`preset` or `pattern`."""

    rule: str
    files: int
    unzipped: int


class FolderReport(TypedDict):
    """A folder inside a package that makes up a tenth of the artifact or more."""

    path: str
    unzipped: int


class SavingReport(TypedDict):
    """A setting that would make the artifact smaller."""

    setting: str
    """As it is written in the table of settings."""

    unzipped: int
    """Bytes that it would leave out."""

    condition: str
    """When the function can do without them; empty if nothing speaks against it."""


class LeftBehindReport(TypedDict):
    """A file or folder of a project that ships as source, and that stays behind."""

    path: str
    """Below the folder from which modules are imported; of a folder with a `/` at its end."""

    reason: str


class LayerFileReport(TypedDict):
    """A file that `layer-files` puts at the root of a layer."""

    path: str
    unzipped: int
    zipped: int


class BuildReport(TypedDict):
    """Schema 1. Paths are absolute; sizes are bytes; times are seconds."""

    schema: int
    name: str | None
    """Of the artifact; None if the project does not name its artifacts."""

    artifact: str
    changed: bool | None
    """Whether the zip differs from the one that was at its place; None if none was there."""

    layout: str
    runtime: str
    runtime_reason: str
    architecture: str
    handler: str | None
    size: SizeReport
    sha256: str
    """Hexadecimal."""

    code_sha256: str
    """Base64, as Lambda shows it and Terraform's `source_code_hash` compares it."""

    packages: list[PackageReport]
    folders: list[FolderReport]
    """The largest folders inside packages, the largest first; empty for a small artifact."""

    savings: list[SavingReport]
    """Found out only if the zip takes more than half of what Lambda allows."""

    layer_files: list[LayerFileReport]
    left_out: list[LeftOutReport]
    excluded: list[ExcludedReport]
    left_behind: list[LeftBehindReport]
    """Empty for a project that ships as a wheel."""

    warnings: list[str]
    lock: str | None
    seconds: dict[str, float]


class BuildReports(TypedDict):
    """Schema 1, for a run that builds several artifacts, or one with a name."""

    schema: int
    artifacts: list[BuildReport]
    """In the order in which they were built."""


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """The facts of one build that its report is made from."""

    settings: Settings
    tree: StagedTree
    written: Written
    artifact: Path
    """Where the zip goes when the run ends."""

    changed: bool | None = None
    """Whether it differs from the file that is there now; None if there is none."""

    lock: Path | None
    left_out: Sequence[LeftOut]
    excluded: Sequence[Excluded] = ()
    savings: Sequence[Saving] = ()
    warnings: Sequence[str]
    seconds: Mapping[str, float]
    """By stage."""


def make(result: BuildResult) -> BuildReport:
    """Make the report of one build."""
    settings, tree, written = result.settings, result.tree, result.written
    return BuildReport(
        schema=SCHEMA,
        name=settings.artifact,
        artifact=str(result.artifact),
        changed=result.changed,
        layout=settings.layout.value,
        runtime=settings.target.runtime.name,
        runtime_reason=settings.runtime_reason,
        architecture=settings.target.architecture.value,
        handler=settings.handler,
        size=size_report(zipped=written.size, unzipped=tree.size),
        sha256=written.sha256.hex(),
        code_sha256=base64.b64encode(written.sha256).decode(),
        packages=_packages(tree, written),
        folders=_folders(tree),
        savings=[
            SavingReport(setting=each.setting, unzipped=each.size, condition=each.condition)
            for each in result.savings
        ],
        layer_files=[
            LayerFileReport(path=entry.path, unzipped=entry.size, zipped=compressed)
            for entry, compressed in zip(tree.entries, written.compressed, strict=True)
            if entry.owner == LAYER_FILES
        ],
        left_out=[
            LeftOutReport(name=item.name, version=item.version, reason=item.reason)
            for item in result.left_out
        ],
        excluded=[
            ExcludedReport(kind=item.kind, rule=item.rule, files=item.files, unzipped=item.unzipped)
            for item in result.excluded
        ],
        left_behind=[
            LeftBehindReport(path=item.path, reason=item.reason)
            for item in (tree.project.left_behind if tree.project else ())
        ],
        warnings=list(result.warnings),
        lock=str(result.lock) if result.lock else None,
        seconds={name: round(value, 4) for name, value in result.seconds.items()},
    )


def size_report(*, zipped: int, unzipped: int) -> SizeReport:
    """Compare the size of a zip, in bytes, with what Lambda allows."""
    return SizeReport(
        zipped=zipped,
        unzipped=unzipped,
        limit_zipped=ZIPPED_LIMIT,
        limit_unzipped=UNZIPPED_LIMIT,
    )


def as_json(reports: Sequence[BuildReport]) -> str:
    """Write the reports of one run for machines; one report without a name stands alone."""
    if len(reports) == 1 and reports[0]["name"] is None:
        return json_text(reports[0])
    return json_text(BuildReports(schema=SCHEMA, artifacts=list(reports)))


def json_text(document: object) -> str:
    """Write a document for machines; all commands have the same form."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def as_text(report: BuildReport, *, verbose: bool = False) -> str:
    """Write the report for people."""
    lines = [
        f"Built {report['artifact']}",
        "",
        *([f"  artifact   {report['name']}"] if report["name"] else []),
        f"  runtime    {report['runtime']} {report['architecture']} ({report['runtime_reason']})",
        f"  layout     {report['layout']}"
        + (f", handler {report['handler']}" if report["handler"] else ""),
        f"  lock       {report['lock'] or 'none needed'}",
        *size_lines(report["size"], report["code_sha256"]),
        *_state_lines(report["changed"]),
        "",
        *_package_lines(report["packages"], verbose=verbose),
        *_folder_lines(report["folders"]),
        *_saving_lines(report["savings"]),
        *_layer_file_lines(report["layer_files"], verbose=verbose),
        *_left_out_lines(report["left_out"], verbose=verbose),
        *_excluded_lines(report["excluded"]),
        *_left_behind_lines(report["left_behind"], verbose=verbose),
        *(f"warning: {warning}" for warning in report["warnings"]),
        f"{sum(report['seconds'].values()):.2f} s"
        + (
            " (" + ", ".join(f"{name} {s:.2f}" for name, s in report["seconds"].items()) + ")"
            if verbose
            else ""
        ),
    ]
    return printable("\n".join(lines)) + "\n"


def _state_lines(changed: bool | None) -> list[str]:  # noqa: FBT001 - a field of the report
    """Say how the zip differs from an earlier one at its place, if there was one."""
    if changed is None:
        return []
    reason = "replaces another zip" if changed else "was already there, and is left alone"
    return [f"  zip        {STATES[changed]} ({reason})"]


def size_lines(size: SizeReport, code_sha256: str) -> list[str]:
    """Write sizes and digest for people."""
    return [
        f"  unzipped   {_bar(size['unzipped'], size['limit_unzipped'])}",
        f"  zipped     {_bar(size['zipped'], size['limit_zipped'])}"
        + (" for a direct upload" if size["zipped"] < size["limit_zipped"] else ": upload via S3"),
        f"  CodeSha256 {code_sha256}",
    ]


class ErrorReport(TypedDict):
    """Why there is no report of what the command was to do."""

    kind: str
    """`settings`, `lock`, `selection`, `fetch`, `source-build`, `stage`, `verification`,
    `unexpected`: one for each exit code."""

    exit_code: int
    what: str
    why: str
    hint: str


class FailedReport(TypedDict):
    """Schema 1, in place of any other document if the command fails."""

    schema: int
    error: ErrorReport


def error_as_json(error: LambdaBuildError) -> str:
    """Write why a command failed for machines."""
    return json_text(FailedReport(schema=SCHEMA, error=error_report(error)))


def error_report(error: LambdaBuildError) -> ErrorReport:
    """Describe an error for machines, in the words of the message."""
    return ErrorReport(
        kind=error.kind,
        exit_code=error.exit_code,
        what=printable(error.what),
        why=printable(error.why),
        hint=printable(error.hint),
    )


def _packages(tree: StagedTree, written: Written) -> list[PackageReport]:
    by_owner: dict[str, PackageReport] = {
        dist.wheel.name: PackageReport(
            name=dist.wheel.name,
            version=str(dist.wheel.version),
            file=dist.wheel.filename,
            sha256=dist.wheel.sha256,
            source=dist.wheel.source,
            built_by=dist.wheel.built_by,
            compiled_by=dist.wheel.compiled_by,
            unzipped=0,
            zipped=0,
            files=0,
        )
        for dist in tree.distributions
    }
    if (project := tree.project) is not None:
        by_owner[project.owner] = PackageReport(
            name=project.name,
            version=project.version or "",
            file="",
            sha256="",
            source="local",
            built_by="",
            compiled_by="",
            unzipped=0,
            zipped=0,
            files=0,
        )
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (_, owner, _, _, size, _), compressed in zip(tree.entries, written.compressed, strict=True):
        total = totals[owner]
        total[0] += size
        total[1] += compressed
        total[2] += 1
    for owner, package in by_owner.items():
        package["unzipped"], package["zipped"], package["files"] = totals[owner]
    return sorted(by_owner.values(), key=lambda package: (package["name"], package["version"]))


def _folders(tree: StagedTree) -> list[FolderReport]:
    """List the folders inside packages that are large parts of a tree that is not small."""
    size = tree.size
    if size < _NOT_SMALL:
        return []
    return [
        FolderReport(path=path, unzipped=unzipped)
        for path, unzipped in heavy_folders(tree, _LISTED)
        if unzipped >= size * _LARGE_PART
    ]


def _bar(size: int, limit: int) -> str:
    filled = min(_BAR, round(_BAR * size / limit))
    return (
        f"[{'#' * filled}{'.' * (_BAR - filled)}] "
        f"{size_text(size)} of {size_text(limit)} ({size / limit:.0%})"
    )


def _package_lines(packages: Sequence[PackageReport], *, verbose: bool) -> list[str]:
    ordered = sorted(packages, key=lambda package: (-package["unzipped"], package["name"]))
    shown = ordered if verbose else ordered[:_LISTED]
    rest = ordered[len(shown) :]
    rows = [
        (
            f"{package['name']} {package['version']}".rstrip(),
            package["unzipped"],
            _note(package),
        )
        for package in shown
    ]
    if rest:
        rows.append((f"and {len(rest)} more", sum(package["unzipped"] for package in rest), ""))
    width = max((len(label) for label, _, _ in rows), default=0)
    plural = "" if len(packages) == 1 else "s"
    return [
        f"{len(packages)} distribution{plural}",
        *(f"  {label:<{width}}  {size_text(size):>9}{note}" for label, size, note in rows),
        "",
    ]


def _note(package: PackageReport) -> str:
    if package["source"] == "wheel":
        return ""
    if not package["file"]:
        return "  (ships as source)"
    by = f" by {package['built_by']}" if package["built_by"] else ""
    compiled = f", compiled by {package['compiled_by']}" if package["compiled_by"] else ""
    return f"  (built from source{by}{compiled})"


def _folder_lines(folders: Sequence[FolderReport]) -> list[str]:
    return _size_table(
        "Largest folders", [(each["path"], each["unzipped"], "") for each in folders]
    )


def _saving_lines(savings: Sequence[SavingReport]) -> list[str]:
    return _size_table(
        "Could be smaller: what these settings would save",
        [(each["setting"], each["unzipped"], each["condition"]) for each in savings],
    )


def _size_table(title: str, rows: Sequence[tuple[str, int, str]]) -> list[str]:
    if not rows:
        return []
    width = max(len(label) for label, _, _ in rows)
    lines = [
        f"  {label:<{width}}  {size_text(size):>9}  {remark}".rstrip()
        for label, size, remark in rows
    ]
    return [title, *lines, ""]


def _layer_file_lines(files: Sequence[LayerFileReport], *, verbose: bool) -> list[str]:
    if not files:
        return []
    lines = [f"{item['path']}  {size_text(item['unzipped'])}" for item in files]
    return ["Layer files", *(f"  {line}" for line in cut(lines, verbose=verbose)), ""]


def _left_out_lines(left_out: Sequence[LeftOutReport], *, verbose: bool) -> list[str]:
    """Name what is left out in one line, or list it with its reasons."""
    if not left_out:
        return []
    # A source without a known version is shown by its name only.
    names = [" ".join(filter(None, (item["name"], item["version"]))) for item in left_out]
    if verbose:
        reasons = (item["reason"] for item in left_out)
        listed = (f"  {name}: {reason}" for name, reason in zip(names, reasons, strict=True))
        return ["Left out", *listed, ""]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"Left out: {', '.join(names[:_NAMED])}{more} (`-v` says why)", ""]


def _excluded_lines(excluded: Sequence[ExcludedReport]) -> list[str]:
    lines = [
        f"  {'preset ' if item['kind'] == 'preset' else ''}{item['rule']}: {item['files']:,} "
        f"file{'' if item['files'] == 1 else 's'}, {size_text(item['unzipped'])}"
        for item in excluded
        if item["files"]
    ]
    return ["Excluded", *lines, ""] if lines else []


def _left_behind_lines(left_behind: Sequence[LeftBehindReport], *, verbose: bool) -> list[str]:
    """Count what stays behind in the project's folder, or list it."""
    if not left_behind:
        return []
    folders = sum(item["path"].endswith("/") for item in left_behind)
    files = len(left_behind) - folders
    counts = [
        f"{count} {thing}{'' if count == 1 else 's'}"
        for count, thing in ((files, "file"), (folders, "folder"))
        if count
    ]
    total = f"{' and '.join(counts)} of the project stay behind"
    if not verbose:
        return [f"{total} (`-v` lists them)", ""]
    return [total, *(f"  {item['path']}: {item['reason']}" for item in left_behind), ""]
