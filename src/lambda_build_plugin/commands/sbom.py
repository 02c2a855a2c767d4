"""What is in the zips of a build, as a software bill of materials: CycloneDX 1.6 in JSON.

https://cyclonedx.org/docs/1.6/json/ - the library `cyclonedx-python-lib`, which the extra `sbom`
installs, writes it. The same zips give the same bytes: the serial number is made from their
digests, and there is a date only where `SOURCE_DATE_EPOCH` names one.
"""

from __future__ import annotations

import datetime
import json
import re
import uuid
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from lambda_build_plugin import __version__
from lambda_build_plugin.commands.inspected_zip import opened_zip
from lambda_build_plugin.report import json_text
from lambda_build_plugin.runtime.target import RUNTIMES, Architecture, Target
from lambda_build_plugin.selection.graph import extras_in_markers, holds, parsed_requirements
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.wheel.licences import licence
from lambda_build_plugin.wheel.metadata import headers, values

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from lambda_build_plugin.report import BuildReport, PackageReport

__all__ = ["sbom"]

_DIST_INFO = re.compile(
    r"(?P<folder>(?:python/(?:lib/python[\d.]+/site-packages/)?)?[^/]+\.dist-info)/METADATA"
)
"""Metadata of what can be imported; other folders of the name are vendored by some package."""

_NAMESPACE = uuid.UUID("b0a4b5f7-2a3c-5d0c-9d67-0c3a5f4d2f5e")
"""Of our serial numbers, so that no other tool makes the same ones."""

_PREFIX = "lambda-build"
_LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class _Metadata:
    """What the zip itself tells about one distribution."""

    licence: str
    is_expression: bool
    """Whether the licence is an SPDX expression (PEP 639)."""

    requires: tuple[Requirement, ...]
    sboms: Mapping[str, str]
    """Path and sha256 of each SBOM that its wheel brought (PEP 770)."""


def sbom(reports: Sequence[BuildReport], *, epoch: str | None) -> str:
    """List what is in the zips of one run.

    Args:
        reports: Of the builds, whose zips are in their places. A single zip is what the document
            is about; several ones are components, beside the packages in them.
        epoch: `SOURCE_DATE_EPOCH`, if it is set: seconds since 1970, in decimal digits.

    Raises:
        UnreadableZipError: A zip is gone, or another file has taken its place.
    """
    digests = "\n".join(sorted(report["sha256"] for report in reports))
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, digests),
        metadata=BomMetaData(tools=ToolRepository(components=[_tool()])),
    )
    for report in reports:
        _add(report, bom, is_subject=len(reports) == 1)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    _date(document["metadata"], epoch)
    return json_text(document)


def _date(metadata: dict[str, Any], epoch: str | None) -> None:
    """Put the date of the sources in the place of today's, or no date."""
    metadata.pop("timestamp", None)
    if epoch and epoch.isdecimal():
        date = datetime.datetime.fromtimestamp(int(epoch), tz=datetime.timezone.utc)
        metadata["timestamp"] = date.isoformat()


def _tool() -> Component:
    return Component(
        name="lambda-build-plugin",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="lambda-build-plugin",
    )


def _add(report: BuildReport, bom: Bom, *, is_subject: bool) -> None:
    """Add a zip, the packages in it, and who requires whom."""
    itself = _artifact(report)
    if is_subject:
        bom.metadata.component = itself
    else:
        bom.components.add(itself)
    with opened_zip(Path(report["artifact"])) as archive:
        found = dict(_read(archive))
    components = {
        canonicalize_name(package["name"]): _package(
            package, found.get(canonicalize_name(package["name"]))
        )
        for package in report["packages"]
    }
    known = {each.bom_ref.value: each for each in bom.components}
    for name, component in components.items():
        components[name] = known.get(component.bom_ref.value, component)
        bom.components.add(components[name])
    edges = _requirements(report, found)
    required = {name for needed in edges.values() for name in needed}
    bom.register_dependency(
        itself, [component for name, component in components.items() if name not in required]
    )
    for name, component in components.items():
        bom.register_dependency(component, [components[each] for each in edges.get(name, ())])


def _artifact(report: BuildReport) -> Component:
    properties = {
        "runtime": report["runtime"],
        "architecture": report["architecture"],
        "layout": report["layout"],
        "artifact": report["name"] or "",
        "handler": report["handler"] or "",
    }
    return Component(
        name=Path(report["artifact"]).name,
        type=ComponentType.FILE,
        bom_ref=f"sha256:{report['sha256']}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=report["sha256"])],
        properties=_properties(properties),
    )


def _package(package: PackageReport, found: _Metadata | None) -> Component:
    """Describe one package; a wheel that was built here has no digest that others could know."""
    name, version = canonicalize_name(package["name"]), package["version"]
    is_locked = package["source"] == "wheel" and bool(package["sha256"])
    purl = None if package["source"] == _LOCAL else PackageURL("pypi", None, name, version)
    digest = package["sha256"] if is_locked else ""
    return Component(
        name=package["name"],
        version=version or None,
        type=ComponentType.LIBRARY,
        bom_ref="#".join(filter(None, (str(purl) if purl else f"{name}@{version}", digest))),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
        licenses=_licences(found),
        properties=_properties({"file": package["file"], "source": package["source"]}),
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.BOM,
                url=XsUri(path),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content)],
            )
            for path, content in (found.sboms.items() if found else ())
        ],
    )


def _properties(found: Mapping[str, str]) -> list[Property]:
    return [Property(name=f"{_PREFIX}:{key}", value=value) for key, value in found.items() if value]


def _licences(found: _Metadata | None) -> list[LicenseExpression | DisjunctiveLicense]:
    if found is None or not found.licence:
        return []
    declared = LicenseAcknowledgement.DECLARED
    if found.is_expression:
        return [LicenseExpression(found.licence, acknowledgement=declared)]
    return [DisjunctiveLicense(name=found.licence, acknowledgement=declared)]


def _read(archive: zipfile.ZipFile) -> Iterator[tuple[NormalizedName, _Metadata]]:
    """Read the metadata of all distributions in a zip, by name."""
    names = archive.namelist()
    for match in filter(None, map(_DIST_INFO.fullmatch, names)):
        metadata = archive.read(match[0])
        expression = headers(metadata).get("license-expression", "")
        sboms = f"{match['folder']}/sboms/"
        yield (
            canonicalize_name(headers(metadata).get("name", "")),
            _Metadata(
                licence=expression or licence(metadata),
                is_expression=bool(expression),
                requires=tuple(parsed_requirements(values(metadata, "requires-dist"))),
                sboms={
                    name: sha256(archive.read(name)).hexdigest()
                    for name in names
                    if name.startswith(sboms) and not name.endswith("/")
                },
            ),
        )


def _requirements(
    report: BuildReport, found: Mapping[NormalizedName, _Metadata]
) -> dict[NormalizedName, list[NormalizedName]]:
    """Tell which distribution in a zip requires which other ones there, on its target.

    The extras of a distribution are at work if another one requests them. What the project
    requires by an extra counts always, since the zip does not tell which ones were requested.
    """
    target = Target(
        runtime=RUNTIMES[report["runtime"]], architecture=Architecture(report["architecture"])
    )
    extras: dict[NormalizedName, set[str]] = {name: {""} for name in found}
    for package in report["packages"]:
        if package["source"] == _LOCAL and (own := canonicalize_name(package["name"])) in found:
            extras[own] |= extras_in_markers(found[own].requires)
    edges: dict[NormalizedName, set[NormalizedName]] = {name: set() for name in found}
    todo = list(found)
    while todo:
        needer = todo.pop()
        for each in found[needer].requires:
            name = canonicalize_name(each.name)
            if name not in found or not any(
                holds(each, target, frozenset(filter(None, (extra,)))) for extra in extras[needer]
            ):
                continue
            edges[needer] |= {name} - {needer}
            if further := set(map(canonicalize_name, each.extras)) - extras[name]:
                extras[name] |= further
                todo.append(name)
    return {name: sorted(needed) for name, needed in edges.items()}
