"""Write the metadata of a wheel that was built here in one spelling.

Build backends change how they spell metadata from version to version. If that shipped, an
upgrade of a backend would change the artifact, and everything would be deployed again,
although nothing in it is different. So what means the same is spelled the same:

- `WHEEL` does not name the backend and its version (PEP 427).
- `METADATA` has a fixed version and a fixed order of fields; requirements, licenses and
  links are spelled as in version 2.4, and what backends add from their own knowledge, such as
  classifiers for versions of Python, is left out
  (https://packaging.python.org/en/latest/specifications/core-metadata/).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["GENERATOR", "respelled_metadata", "respelled_wheel"]

GENERATOR = "lambda-build-plugin"
"""What `WHEEL` names in place of the backend; without a version, which changes too."""

_VERSION = "2.4"
_NEWER = frozenset({"import-name", "import-namespace"})
"""Fields of later versions than 2.4; metadata with one of them keeps its own version."""

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_PYTHON_CLASSIFIER = "Programming Language :: Python"
_LICENSE_CLASSIFIER = "License ::"

_ORDER = (
    *("metadata-version", "name", "version", "dynamic", "platform", "supported-platform"),
    *("summary", "description-content-type", "keywords", "author", "author-email", "maintainer"),
    *("maintainer-email", "license", "license-expression", "license-file", "classifier"),
    *("requires-python", "requires-external", "requires-dist", "provides-extra", "project-url"),
)
_SORTED = frozenset(
    {"classifier", "license-file", "project-url", "provides-extra", "requires-dist"}
)
"""Fields that may occur several times, in an order that means nothing."""


class _Field(NamedTuple):
    """One header of METADATA."""

    name: str
    value: str

    @property
    def key(self) -> str:
        return self.name.lower()


def respelled_wheel(content: bytes) -> bytes:
    """Spell a `WHEEL` file without the backend that wrote it."""
    fields = [field for field in _fields(content) if field.key != "generator"]
    version = [field for field in fields if field.key == "wheel-version"]
    rest = [field for field in fields if field.key != "wheel-version"]
    return _written([*version, _Field("Generator", GENERATOR), *rest])


def respelled_metadata(content: bytes, *, license_files: Iterable[str] = ()) -> bytes:
    """Spell a `METADATA` file in the one way that this program has.

    Args:
        content: What the backend wrote.
        license_files: Paths of license files in `.dist-info/licenses`, which backends before
            version 2.4 of the format did not list.
    """
    end = _END_OF_HEADERS.search(content)
    body = content[end.end() :].replace(b"\r\n", b"\n").rstrip(b"\n") if end else b""
    fields = list(_fields(content[: end.start()] if end else content))
    listed = {field.value for field in fields if field.key == "license-file"}
    fields += [_Field("License-File", name) for name in license_files if name not in listed]
    headers = _written(_ordered(_respelled(fields)))
    return b"\n".join((headers, body, b"")) if body else headers


def _fields(content: bytes) -> Iterator[_Field]:
    """Yield the headers; lines that continue a value stay as they are."""
    name, lines = "", list[str]()
    # Decoded so that whatever a backend wrote can be written again.
    for line in content.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n"):
        if line[:1] in {" ", "\t"} and name:
            lines.append(line)
            continue
        if name:
            yield _Field(name, "\n".join(lines))
        name, _, value = line.partition(":")
        lines = [value.strip()]
    if name:
        yield _Field(name, "\n".join(lines))


def _written(fields: Iterable[_Field]) -> bytes:
    text = "".join(f"{field.name}: {field.value}\n" for field in fields)
    return text.encode("utf-8", "surrogateescape")


def _respelled(fields: Sequence[_Field]) -> Iterator[_Field]:
    keeps_version = any(
        field.key in _NEWER or (field.key == "metadata-version" and field.value[:2] != "2.")
        for field in fields
    )
    expression = _license_expression(fields)
    if expression:
        yield _Field("License-Expression", expression)
    for field in fields:
        if field.key == "metadata-version" and not keeps_version:
            yield _Field(field.name, _VERSION)
        elif not _is_superfluous(field, has_expression=bool(expression)):
            yield _respelled_field(field)


def _is_superfluous(field: _Field, *, has_expression: bool) -> bool:
    """Tell whether a field says what another one does, or what only the backend knows."""
    match field.key:
        case "dynamic":
            return True  # only an sdist has a use for it
        case "license" | "license-expression":
            return has_expression
        case "classifier":
            return field.value.startswith(_PYTHON_CLASSIFIER) or (
                has_expression and field.value.startswith(_LICENSE_CLASSIFIER)
            )
        case _:
            return False


def _respelled_field(field: _Field) -> _Field:
    match field.key:
        case "home-page" if field.value != "UNKNOWN":
            return _Field("Project-URL", f"Homepage, {field.value}")
        case "requires-dist":
            return _Field(field.name, _requirement(field.value))
        case "requires-python":
            return _Field(field.name, _specifier(field.value))
        case _:
            return field


def _ordered(fields: Iterable[_Field]) -> list[_Field]:
    places = {key: place for place, key in enumerate(_ORDER)}

    def place(field: _Field) -> tuple[int, str, str]:
        known = places.get(field.key, len(places))
        return known, field.key, field.value if field.key in _SORTED else ""

    return sorted(dict.fromkeys(fields), key=place)


def _license_expression(fields: Iterable[_Field]) -> str:
    """Return the license as an expression (PEP 639), which older backends write as a text."""
    by_key = {field.key: field.value for field in fields}
    text = by_key.get("license-expression") or by_key.get("license") or ""
    if not text:
        return ""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""


def _requirement(text: str) -> str:
    """Spell a requirement (PEP 508) in the same way whatever version of `packaging` is there."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return text
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    if requirement.url is not None:
        what = f" @ {requirement.url}"
    else:
        what = ",".join(sorted(map(str, requirement.specifier)))
    marker = f" ; {requirement.marker}" if requirement.marker is not None else ""
    return f"{requirement.name}{extras}{what}{marker}"


def _specifier(text: str) -> str:
    try:
        return ",".join(sorted(map(str, SpecifierSet(text))))
    except InvalidSpecifier:
        return text
