"""Check where the zip and the unpacked files go, before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambda_build_plugin.system.output import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.config.settings import Settings

__all__ = ["check_outputs"]


def check_outputs(settings: Settings) -> None:
    """Check that the build may write to its output paths.

    Raises:
        OutputError: Something else exists at one of them, or both are the same.
    """
    output, unpacked = settings.output, settings.unpacked
    try:
        if output is not None and not settings.output_is_folder:
            _check_zip(output)
        if unpacked is not None and (unpacked.is_symlink() or unpacked.exists()):
            _check_folder(unpacked)
    except OSError as error:
        path = output if unpacked is None else unpacked
        raise OutputError(path or settings.project.root, error.strerror or str(error)) from error
    if unpacked is not None and unpacked == output:
        raise OutputError(
            unpacked,
            "the zip and the unpacked files cannot have the same path",
            hint="give `--output` and `--unpacked` different names",
        )


def _check_zip(path: Path) -> None:
    if path.is_dir():
        raise OutputError(
            path, "it is a folder", hint="end the name with `/` to write the default name into it"
        )
    if path.exists() and not path.is_file():
        raise OutputError(
            path,
            "it is a device or a pipe, and a zip cannot be moved there",
            hint="name a file",
        )


def _check_folder(path: Path) -> None:
    if path.is_symlink() or not (path.is_dir() and not any(path.iterdir())):
        raise OutputError(
            path,
            "it already exists and is not an empty folder",
            hint="remove it first, or choose another folder with `--unpacked`",
        )
