"""What disturbs the import system: names of the standard library, `.pth` files, editable leftovers.

The runtime puts the artifact before the standard library on `sys.path`, and runs the
`.pth` files at its root (`site.addsitedir`) at every start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import VerificationError
from lambda_build_plugin.runtime.standard_library import is_standard
from lambda_build_plugin.verify.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.view import ArtifactView

__all__ = ["EditableError", "check_imports", "check_pythons"]

_MODULE = re.compile(r"(?P<name>[^.]+)\.(py|pyc|.*so)")
_EDITABLE = re.compile(r"__editable__.*|_{2,}editable_{2,}.*|.*\.egg-link")
_HARMLESS = re.compile(r"distutils-precedence\.pth|.*-nspkg\.pth")
"""From setuptools: a switch that is off by default, and namespace packages, which need it."""

_LARGEST_PTH = 1 << 16  # bytes

_OF_ONE_PYTHON = re.compile(r"python/lib/(?P<name>python3\.\d+)/site-packages/")
"""Where a layer keeps packages for one Python version only.

https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html#packaging-layers-paths
"""


class EditableError(VerificationError):
    """A package was installed editable: its code is on the machine that built it."""

    def __init__(self, places: Sequence[str]) -> None:
        self.places = tuple(places)
        super().__init__(
            "the artifact contains an editable install instead of a package",
            why=places,
            hint="install it without `-e` (`--editable`), or as a wheel",
        )


def check_imports(artifact: ArtifactView, target: Target) -> Findings:
    """Check what is directly on `sys.path`."""
    editable: list[str] = []
    warnings: list[str] = []
    for root in artifact.roots:
        for name, paths in sorted(artifact.names[root].items()):
            if _EDITABLE.fullmatch(name):
                editable.append(_shown(artifact, paths[0]))
            elif name.endswith(".pth") and paths == [root + name]:
                warnings += _pth(artifact, paths[0], name)
            elif (module := _module(root, name, paths)) and is_standard(
                module, target.runtime.python
            ):
                warnings.append(
                    f"{_shown(artifact, paths[0])} shadows `{module}` of the standard library"
                )
    return Findings(errors=(EditableError(editable),) if editable else (), warnings=tuple(warnings))


def check_pythons(artifact: ArtifactView, target: Target) -> Findings:
    """Check whether a layer has folders for other Pythons, but none for the target's."""
    if "" in artifact.roots:
        return Findings()
    found = {
        match[0]: match["name"] for path in artifact.sizes if (match := _OF_ONE_PYTHON.match(path))
    }
    if target.runtime.name in found.values():
        return Findings()
    return Findings(
        warnings=tuple(
            f"`{folder}` of a layer is for another Python: {target.runtime.name} imports nothing "
            "from it"
            for folder in found
        )
    )


def _shown(artifact: ArtifactView, path: str) -> str:
    owner = artifact.owner(path)
    return f"`{path}` (of {owner})" if owner else f"`{path}`"


def _module(root: str, name: str, paths: Sequence[str]) -> str:
    """Name what an import would find here; a folder without `__init__` comes last."""
    if paths == [root + name]:
        match = _MODULE.fullmatch(name)
        return match["name"] if match else ""
    return name if any(path.startswith(f"{root}{name}/__init__.") for path in paths) else ""


def _pth(artifact: ArtifactView, path: str, name: str) -> Iterator[str]:
    """Yield what a `.pth` file does at every start (docs.python.org/3/library/site.html)."""
    shown = _shown(artifact, path)
    if artifact.sizes[path] > _LARGEST_PTH:
        yield f"{shown} is read at every start, but is too large to be checked"
        return
    lines = artifact.read(path).decode("utf-8", "replace").splitlines()
    runs = any(line.startswith(("import ", "import\t")) for line in lines)
    if runs and not _HARMLESS.fullmatch(name):
        yield f"{shown} runs code at every start"
    for line in lines:
        if line.startswith("/") and not line.startswith(("/opt/", "/var/task")):
            yield f"{shown} points to `{line.strip()}`, which does not exist when the function runs"
