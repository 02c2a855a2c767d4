"""Where the artifact and its unpacked files go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.system.output import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings

__all__ = ["check_places"]


def check_places(settings: Settings) -> None:
    """Refuse places that hold something else before any work is done.

    Raises:
        OutputError: One of them does.
    """
    output, unpacked = settings.output, settings.unpacked
    try:
        if output is not None and not settings.output_is_folder:
            _check_output(output)
        if unpacked is not None and (unpacked.is_symlink() or unpacked.exists()):
            _check_unpacked(unpacked)
    except OSError as error:
        place = output if unpacked is None else unpacked
        raise OutputError(place or settings.project.root, error.strerror or str(error)) from error
    if unpacked is not None and unpacked == output:
        raise OutputError(
            unpacked,
            "the zip and the unpacked files are to go to the same place",
            hint="give `--output` and `--unpacked` different names",
        )


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise OutputError(
            output, "it is a folder", hint="end the name with `/` to write the default name into it"
        )
    if output.exists() and not output.is_file():
        raise OutputError(
            output, "it is a device or a pipe, and a zip cannot be moved there", hint="name a file"
        )


def _check_unpacked(unpacked: Path) -> None:
    if unpacked.is_symlink() or not _is_empty_folder(unpacked):
        raise OutputError(
            unpacked,
            "it is there already and no empty folder",
            hint="remove it first, or choose another folder with `--unpacked`",
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
