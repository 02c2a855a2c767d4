"""The files that tell about a run: the report and the page, where the user wants them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.pipeline.outputs import PAGE, result_problem
from lambda_build_plugin.system.output import moved_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.page.views import View
    from lambda_build_plugin.pipeline.outputs import ResultKind

__all__ = ["ReportFileError", "check_page", "check_result_file", "write_page", "write_result"]


class ReportFileError(SettingsError):
    """A result cannot be written to the file that `--report`, `--html` or `--sbom` names."""

    def __init__(self, file: Path, problem: str, *, option: str) -> None:
        self.file = file
        self.option = option
        super().__init__([f"--{option}: `{file}` {problem}"], hint="choose another file")


def check_result_file(file: Path, kind: ResultKind, artifacts: Sequence[Settings] = ()) -> None:
    """Check before any work that a result can be written to a file.

    Args:
        file: An absolute path.
        kind: What is to be written.
        artifacts: What is built.

    Raises:
        ReportFileError: The path is that of an artifact, of a file of the project's, or of
            something that is not such a result; or it cannot be written.
    """
    existing = next(path for path in (file, *file.parents) if os.path.lexists(path))
    try:
        problem = result_problem(artifacts, file, kind)
    except OSError as error:  # such as a name that is too long
        problem = f"cannot be read: {error.strerror or error}"
    if name_problem := _name_problem(file):
        problem = f"cannot be written: {name_problem}"
    elif (
        not problem
        and existing != file
        and not (existing.is_dir() and os.access(existing, os.W_OK))
    ):
        problem = f"cannot be written: {existing} is not a writable folder"
    if problem:
        raise ReportFileError(file, problem, option=kind.option)


def _name_problem(file: Path) -> str:
    """Say why the system does not accept a path, such as too long a name; empty if it does."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""


def write_result(file: Path, text: str) -> None:
    """Write a result, and replace an earlier one only when it is complete.

    Raises:
        OutputError: The file cannot be written.
    """
    if file.exists() and not file.is_file():
        file.write_text(text, encoding="utf-8")  # a pipe or a terminal cannot be replaced
        return
    with moved_in(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")  # the same on every system


def check_page(file: Path) -> None:
    """Check before any work that a page can be written to a file, for commands without a build.

    Raises:
        ReportFileError: There is something else, or the file cannot be written.
    """
    check_result_file(Path.cwd() / file, PAGE)


def write_page(file: Path, views: Sequence[View]) -> None:
    """Write a page.

    Raises:
        OutputError: The file cannot be written.
    """
    from lambda_build_plugin.page.render import render

    write_result(file, render(views))
