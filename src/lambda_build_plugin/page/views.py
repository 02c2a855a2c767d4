"""What the page shows of one zip, or of two, as data that becomes JSON.

Builds and `inspect` share one way: the finished zip is read again, and the report adds what the
zip does not tell. Nothing in a view depends on the day, the machine or its folders.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from packaging.utils import canonicalize_name

from lambda_build_plugin.commands.inspected_zip import InspectedPackage, InspectedZip, opened_zip
from lambda_build_plugin.page.chains import chains
from lambda_build_plugin.page.files import Group, file_tree, files_of, merged, shown
from lambda_build_plugin.runtime.limits import size_text
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lambda_build_plugin.commands.diff import Difference
    from lambda_build_plugin.commands.inspection import FailureReport, InspectionReport
    from lambda_build_plugin.page.files import FileTree
    from lambda_build_plugin.report import BuildReport, PackageReport, SizeReport

__all__ = ["Change", "Row", "Section", "View", "of_build", "of_diff", "of_inspection"]


class Row(TypedDict):
    """One distribution in the zip."""

    name: str
    version: str
    licence: str
    why: list[str]
    """Who requires it, from the far end of the chain to the near one."""

    files: int
    unzipped: int
    zipped: int


class Change(TypedDict):
    """One distribution in one of two zips, or in both."""

    name: str
    versions: list[str]
    """Before and after; empty where it is not there."""

    unzipped: list[int]
    zipped: list[int]


class Section(TypedDict):
    """A list with a title, and how urgent it is."""

    title: str
    kind: str
    """`failure`, `warning` or `note`."""

    lines: list[str]


class View(TypedDict):
    """One zip, or what changed from one zip to another one."""

    kind: str
    """`zip` or `diff`."""

    label: str
    title: str
    facts: list[tuple[str, str]]
    size: SizeReport | None
    """None for two zips."""

    sizes: list[list[int]]
    """Unzipped and zipped, of both zips; empty for one zip."""

    sections: list[Section]
    packages: list[Row]
    """Those of the zip; empty for two zips."""

    changes: list[Change]
    """Those of two zips that are not the same; empty for one zip."""

    tree: FileTree


def of_build(report: BuildReport, label: str, *, cwd: Path) -> View:
    """Show what a build has written.

    Args:
        report: What the build did; its zip has to be in its place.
        label: What stands before the name of the zip where the page lists several; may be empty.
        cwd: A folder that messages may name, and that the page does not.

    Raises:
        UnreadableZipError: The zip is gone, or another file has taken its place.
    """
    path = Path(report["artifact"])
    lock = Path(report["lock"]) if report["lock"] else None
    hidden = _Hidden(
        files=[path, *([lock] if lock else [])],
        folders=[cwd, path.parent, *([lock.parent] if lock else [])],
    )
    others = {
        each["path"]: Group(is_package=False, name="layer files") for each in report["layer_files"]
    }
    for package in report["packages"]:
        if not package["file"]:  # the project ships as source
            others[""] = Group(is_package=True, name=package["name"])
    return _one(
        path,
        facts=[
            *_facts(report, report["architecture"]),
            ("lock", lock.name if lock else "none needed"),
        ],
        report=report,
        label=f"{label}: {path.name}" if label else path.name,
        sections=hidden.sections(
            ("Warnings", "warning", report["warnings"]),
            ("Left out", "note", _left_out(report)),
            ("Excluded by rules", "note", _excluded(report)),
            (
                "Files of the project that stay behind",
                "note",
                [f"{each['path']}: {each['reason']}" for each in report["left_behind"]],
            ),
        ),
        others=others,
    )


def of_inspection(report: InspectionReport, *, layers: Sequence[Path], cwd: Path) -> View:
    """Show a zip that was inspected.

    Args:
        report: What the inspection has found.
        layers: What it was inspected with.
        cwd: A folder that messages may name, and that the page does not.

    Raises:
        UnreadableZipError: The zip is gone, or another file has taken its place.
    """
    path = Path(report["artifact"])
    hidden = _Hidden(files=[path, *layers], folders=[cwd])
    machine = f"{report['architecture']} ({report['architecture_reason']})"
    return _one(
        path,
        facts=[*_facts(report, machine), ("files", f"{report['files']:,}")],
        report=report,
        label=path.name,
        sections=hidden.sections(
            ("Failures", "failure", [_failure(each) for each in report["failures"]]),
            ("Warnings", "warning", report["warnings"]),
        ),
        others={},
    )


def of_diff(before: Path, after: Path, difference: Difference) -> View:
    """Show what grew and what shrank between two zips.

    Raises:
        UnreadableZipError: One of them is gone, or another file has taken its place.
    """
    sides = [
        _side(path, zipped)
        for path, zipped in zip((before, after), difference["size"], strict=True)
    ]
    same = "The zips are identical." if difference["same"] else ""
    changes = [
        change
        for name in sorted({*sides[0].packages, *sides[1].packages})
        if (change := _change(name, *(side.packages.get(name) for side in sides)))
    ]
    files = merged(*(side.files for side in sides))
    return View(
        kind="diff",
        label=f"{before.name} → {after.name}",
        title=f"{shown(before.name)} → {shown(after.name)}",
        facts=[],
        size=None,
        sizes=[[side.unzipped, side.zipped] for side in sides],
        sections=_Hidden(files=[before, after], folders=[]).sections(
            ("Why the zips differ", "note", difference["why"] or [same])
        ),
        packages=[],
        changes=changes,
        tree=file_tree(files),
    )


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One of two zips."""

    files: Mapping[tuple[Group, str], list[int]]
    packages: Mapping[str, InspectedPackage]
    unzipped: int
    zipped: int


def _side(path: Path, zipped: int) -> _Side:
    with opened_zip(path) as archive:
        found = InspectedZip(path, archive, examine=False)
        return _Side(
            files=files_of(found, zipped=zipped, others={}),
            packages={each["name"]: each for each in found.packages()},
            unzipped=found.unzipped,
            zipped=zipped,
        )


def _change(
    name: str, before: InspectedPackage | None, after: InspectedPackage | None
) -> Change | None:
    """Compare a distribution; None if its version and its sizes are the same."""
    none = InspectedPackage(name=name, version="", files=0, unzipped=0, zipped=0)
    one, other = before or none, after or none
    if (one["version"], one["unzipped"], one["zipped"]) == (
        other["version"],
        other["unzipped"],
        other["zipped"],
    ):
        return None
    return Change(
        name=shown(name),
        versions=[shown(one["version"]), shown(other["version"])],
        unzipped=[one["unzipped"], other["unzipped"]],
        zipped=[one["zipped"], other["zipped"]],
    )


def _one(
    path: Path,
    *,
    facts: Sequence[tuple[str, str]],
    report: BuildReport | InspectionReport,
    label: str,
    sections: list[Section],
    others: Mapping[str, Group],
) -> View:
    size = report["size"]
    with opened_zip(path) as archive:
        found = InspectedZip(path, archive, is_layer=report["layout"] == "layer", examine=False)
        files = files_of(found, zipped=size["zipped"], others=others)
        rows = _rows(found, report)
    return View(
        kind="zip",
        label=shown(label),
        title=shown(path.name),
        facts=[(name, shown(value)) for name, value in facts],
        size=size,
        sizes=[],
        sections=sections,
        packages=rows,
        changes=[],
        tree=file_tree(files),
    )


def _rows(found: InspectedZip, report: BuildReport | InspectionReport) -> list[Row]:
    """Add to the packages of a report what the zip tells about them."""
    distributions = found.artifact.distributions
    target = Target(
        runtime=RUNTIMES[report["runtime"]], architecture=Architecture(report["architecture"])
    )
    why = chains(distributions, target)
    licences = found.licences()
    of_names = {each.name: licences[each.shown] for each in distributions}
    packages: Iterable[PackageReport | InspectedPackage] = report["packages"]
    return [
        Row(
            name=shown(each["name"]),
            version=shown(each["version"]),
            licence=shown(of_names.get(canonicalize_name(each["name"]), "")),
            why=list(map(shown, why.get(canonicalize_name(each["name"]), ()))),
            files=each["files"],
            unzipped=each["unzipped"],
            zipped=each["zipped"],
        )
        for each in packages
    ]


def _facts(report: BuildReport | InspectionReport, machine: str) -> list[tuple[str, str]]:
    return [
        ("runtime", f"{report['runtime']} ({report['runtime_reason']})"),
        ("architecture", machine),
        ("layout", report["layout"]),
        *([("handler", report["handler"])] if report["handler"] else []),
        ("CodeSha256", report["code_sha256"]),
    ]


def _left_out(report: BuildReport) -> list[str]:
    return [
        f"{' '.join(filter(None, (each['name'], each['version'])))}: {each['reason']}"
        for each in report["left_out"]
    ]


def _excluded(report: BuildReport) -> list[str]:
    return [
        f"{'preset ' if each['kind'] == 'preset' else ''}{each['rule']}: {each['files']:,} "
        f"file{'' if each['files'] == 1 else 's'}, {size_text(each['unzipped'])}"
        for each in report["excluded"]
    ]


def _failure(failure: FailureReport) -> str:
    why = f": {failure['why']}" if failure["why"] else ""
    return f"{failure['what']}{why}" + (f" ({failure['hint']})" if failure["hint"] else "")


@dataclass(frozen=True, kw_only=True)
class _Hidden:
    """Paths of this machine, which messages name and the page does not."""

    files: Sequence[Path]
    """Of which the name is shown."""

    folders: Sequence[Path]
    """In which the files are that messages name."""

    def sections(self, *sections: tuple[str, str, Sequence[str]]) -> list[Section]:
        """Make the sections that have lines."""
        return [
            Section(title=title, kind=kind, lines=[self._without(line) for line in lines])
            for title, kind, lines in sections
            if lines
        ]

    def _without(self, text: str) -> str:
        for file in self.files:
            text = text.replace(str(file), file.name)
        for folder in sorted(self.folders, key=lambda each: len(each.parts), reverse=True):
            if folder.is_absolute() and folder.name:  # the root is a part of every path
                text = text.replace(f"{folder}{os.sep}", "")
        return shown(text)
