"""Check where results go before any work is done, so that nothing precious is overwritten.

A result may replace an earlier one of its kind, or an empty file such as `mktemp` makes.
"""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.lock.formats import DEFAULT_NAMES
from lambda_build_plugin.system.output import OutputError
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lambda_build_plugin.config.settings import Settings

__all__ = [
    "PAGE",
    "REPORT",
    "SBOM",
    "ResultKind",
    "check_folders",
    "check_outputs",
    "check_zip",
    "result_problem",
]

_OWN_NAMES = frozenset(
    {*DEFAULT_NAMES, "Pipfile", "hatch.toml", "pyproject.toml", "setup.cfg", "setup.py", "uv.toml"}
)
"""Files that a project is made of: with a zip of such a name the next build would fail."""

_OWN = "it is one of the project's own files"

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")

_LARGEST_REPORT = 1 << 26  # bytes

_GENERATOR = b'<meta name="generator" content="lambda-build">'
_HEAD_OF_PAGE = 1 << 10  # bytes


def check_folders(artifacts: Iterable[Settings]) -> None:
    """Check that the folders of all outputs can be made and written to.

    Raises:
        OutputError: It names the folder, which artifacts of several projects may share.
    """
    paths = (path for settings in artifacts for path in _outputs(settings))
    for folder in dict.fromkeys(map(_folder_of, paths)):
        if problem := _folder_problem(folder):
            raise OutputError(folder, problem)


def _outputs(settings: Settings) -> Iterator[Path]:
    yield settings.zip_path(settings.project.version)
    if settings.unpacked is not None:
        yield settings.unpacked


def _folder_of(path: Path) -> Path:
    """Get the folder of an output; a link stays one, and what it points to is replaced."""
    return Path(os.path.realpath(path) if os.path.islink(path) else path).parent  # noqa: PTH114 - false for impossible names


def _folder_problem(folder: Path) -> str:
    """Say why a folder cannot be made, or nothing be written to it; empty if it can."""
    ancestors = (folder, *folder.parents)
    there = next((each for each in ancestors if os.path.lexists(each)), None)
    if there is None:  # a drive of Windows may be missing
        return f"{ancestors[-1]} does not exist"
    if not os.path.isdir(there):  # noqa: PTH112 - also false where the user may not look
        return f"{there} is not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"you have no permission to write to {there}, or its disk is read-only"
    return ""


def check_outputs(settings: Settings) -> None:
    """Check that the build may write to its output paths.

    Raises:
        OutputError: Something else exists at one of them, one is inside the other, or nothing
            can be written to the folder of one.
    """
    output, unpacked = settings.zip_path(settings.project.version), settings.unpacked
    for path in _outputs(settings):
        if problem := _folder_problem(_folder_of(path)):
            raise OutputError(path, problem)
    check_zip(settings, output)
    if unpacked is None:
        return
    if unpacked == output:
        raise OutputError(
            unpacked,
            "the zip and the unpacked files cannot have the same path",
            hint="give `--output` and `--unpacked` different names",
        )
    _check_folder(unpacked)
    if unpacked in output.parents:
        raise OutputError(
            output,
            f"the zip cannot be in the folder of the unpacked files, {unpacked}",
            hint="give `--output` another folder",
        )
    if output in unpacked.parents:
        raise OutputError(
            unpacked,
            f"the unpacked files cannot be inside of the zip, {output}",
            hint="give `--output` and `--unpacked` different names",
        )


def check_zip(settings: Settings, path: Path) -> None:
    """Check that a zip may be written to a path; a version in it may only be known later.

    Raises:
        OutputError: It is a file of the project's, or something that is not a zip.
    """
    try:
        problem, hint = _zip_problem(settings, path)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error
    if problem:
        raise OutputError(path, problem, hint=hint)


def _zip_problem(settings: Settings, path: Path) -> tuple[str, str]:
    """Say why a zip cannot be written to a path, and what to do; empty if it can."""
    if path.is_dir():
        return "it is a folder", "end the name with `/` to write the default name into it"
    if path.name in _OWN_NAMES or _is_input(path, settings):
        return _OWN, "choose another name with `--output`"
    if path.exists() and not path.is_file():
        return "it is a device or a pipe, and a zip cannot be moved there", "name a file"
    if not path.exists() or _is_empty(path, settings.project.root, suffix=".zip"):
        return "", ""
    if path.suffix == ".whl" or not _is_zip(path):
        kind = "a wheel" if path.suffix == ".whl" else "not a zip"
        return (
            f"it already exists and is {kind}, so it was not written by lambda-build",
            "remove it first, or choose another file with `--output`",
        )
    return "", ""


def _is_input(path: Path, settings: Settings) -> bool:
    """Tell whether the build reads a file."""
    inputs = [each for each in (settings.lock, *settings.include_local) if each is not None]
    if not inputs and not settings.layer_files:
        return False
    real = os.path.realpath(path)
    return any(real == os.path.realpath(each) for each in inputs) or any(
        Path(real).is_relative_to(os.path.realpath(each.path)) for each in settings.layer_files
    )


def _is_empty(path: Path, project: Path, *, suffix: str) -> bool:
    """Tell whether nothing is lost with a file; an empty file of the project's has a meaning."""
    return path.stat().st_size == 0 and (
        path.suffix == suffix or not Path(os.path.realpath(path)).is_relative_to(project.resolve())
    )


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    # The start alone is enough for a zip that was cut off.
    return start in _ZIP_STARTS or zipfile.is_zipfile(path)


def _check_folder(path: Path) -> None:
    try:
        is_link = stat.S_ISLNK(path.lstat().st_mode)
        is_free = not is_link and path.is_dir() and not any(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:  # such as a name that is too long
        raise OutputError(path, error.strerror or str(error)) from error
    if not is_free:
        raise OutputError(
            path,
            "it already exists and is not an empty folder",
            hint="remove it first, or choose another folder with `--unpacked`",
        )


@dataclass(frozen=True, kw_only=True)
class ResultKind:
    """A kind of file that tells about a build, beside the artifact."""

    option: str
    """The key of the option that names the file."""

    noun: str
    suffix: str
    is_one: Callable[[Path], bool]
    """Tells whether a file is an earlier one of this kind."""


def result_problem(artifacts: Sequence[Settings], file: Path, kind: ResultKind) -> str:
    """Say why a result cannot be written to a file; empty if it can.

    Args:
        artifacts: What is built; empty if that is not known, or nothing is.
        file: Where the result is to go.
        kind: What it is.

    Raises:
        OSError: The file cannot be read.
    """
    if problem := _meeting_problem(artifacts, file):
        return problem
    if file.name in _OWN_NAMES or any(_is_input(file, settings) for settings in artifacts):
        return "is one of the project's own files"
    folders = [settings.project.root for settings in artifacts] or [Path.cwd()]
    if not file.is_file() or all(_is_empty(file, each, suffix=kind.suffix) for each in folders):
        return ""
    return "" if kind.is_one(file) else f"already exists and is not {kind.noun} of lambda-build"


def _meeting_problem(artifacts: Sequence[Settings], file: Path) -> str:
    """Say how a result would meet an artifact; empty if it does not, and is no folder."""
    outputs = [Path(os.path.realpath(path)) for each in artifacts for path in _outputs(each)]
    place = Path(os.path.realpath(file))
    if place in outputs:
        return "is also the path of the artifact"
    if outer := next((each for each in outputs if each in place.parents), None):
        return f"is inside of the artifact, {outer}"
    if file.is_dir():
        return "is a folder"
    if inner := next((each for each in outputs if place in each.parents), None):
        return f"cannot be a file, because the artifact is inside of it, {inner}"
    return ""


def _is_report(file: Path) -> bool:
    """Tell whether a file contains what `--json` and `--report` write."""
    return "schema" in _document(file)


def _is_sbom(file: Path) -> bool:
    """Tell whether a file contains what `--sbom` writes, or another SBOM of CycloneDX."""
    return _document(file).get("bomFormat") == "CycloneDX"


def _document(file: Path) -> dict[str, object]:
    """Read a JSON document; empty if the file contains something else."""
    if file.stat().st_size > _LARGEST_REPORT:
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_page(file: Path) -> bool:
    """Tell whether a file is a page that `--html` has written, by its generator."""
    with file.open("rb") as stream:
        return _GENERATOR in stream.read(_HEAD_OF_PAGE)


REPORT = ResultKind(option="report", noun="a report", suffix=".json", is_one=_is_report)
SBOM = ResultKind(option="sbom", noun="an SBOM", suffix=".json", is_one=_is_sbom)
PAGE = ResultKind(option="html", noun="a page", suffix=".html", is_one=_is_page)
