"""Read the project's lock with the reader of its format (see `formats`)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from lambda_build_plugin import urls
from lambda_build_plugin.config.tables import read_toml
from lambda_build_plugin.errors import excerpt
from lambda_build_plugin.lock.errors import (
    InvalidLockError,
    PyprojectNotFoundError,
    UnsupportedLockError,
)
from lambda_build_plugin.lock.fields import Context
from lambda_build_plugin.lock.formats import FORMATS, format_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from packaging.utils import NormalizedName

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Table
    from lambda_build_plugin.lock.formats import LockFormat
    from lambda_build_plugin.lock.model import Lock

__all__ = ["read_lock"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)


def read_lock(
    path: Path,
    project: Project,
    environ: Mapping[str, str],
    *,
    lock_is_fresh: bool = False,
    read_toml: Callable[[Path], Table] = read_toml,
) -> Lock:
    """Read a lock of any format.

    Args:
        path: The lock.
        project: The project that it is for.
        environ: The environment variables.
        lock_is_fresh: Whether a host has already checked it against pyproject.toml.
        read_toml: Reads the file, if the format is TOML.

    Raises:
        LockError: The format is unknown, the lock is not valid, or the pyproject.toml that
            it belongs to is missing.
    """
    context = Context(
        project=project, environ=environ, lock_is_fresh=lock_is_fresh, read_toml=read_toml
    )
    lock_format = format_of(path)
    if lock_format is None:
        names = ", ".join(row.naming or row.name for row in FORMATS.values())
        raise UnsupportedLockError(
            path,
            f"`{path.name}` is not the file name of a lock format that this version reads",
            hint=f"use one of these names: {names}",
        )
    if lock_format.needs_pyproject and not (project.root / "pyproject.toml").is_file():
        raise PyprojectNotFoundError(path, project.root)
    return _with_overrides(_read_guarded(lock_format, path, context), project)


def _with_overrides(lock: Lock, project: Project) -> Lock:
    """Add what pyproject.toml overrides, because exported locks do not say it.

    https://docs.astral.sh/uv/reference/settings/ (`override-dependencies`,
    `exclude-dependencies`, `dependency-metadata`) and
    https://pdm-project.org/latest/reference/pep621/#dependency-resolution (`overrides`,
    `excludes`). The owning tool validates these keys; invalid names are ignored here.
    """
    of_uv, of_pdm = project.tool.raw("uv"), project.tool.raw("pdm")
    overridden = {
        *_named_packages(of_uv, "override-dependencies"),
        *_named_packages(of_uv, "exclude-dependencies"),
        *_named_packages(of_pdm, "resolution", "overrides"),
        *_named_packages(of_pdm, "resolution", "excludes"),
    }
    return replace(
        lock,
        overridden=lock.overridden | overridden,
        rewritten=lock.rewritten | set(_named_packages(of_uv, "dependency-metadata")),
    )


def _named_packages(value: object, *keys: str) -> Iterator[NormalizedName]:
    """Yield the package names in a list of requirements or tables, or in the keys of a table."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    for item in value if isinstance(value, (dict, list)) else ():
        text = item.get("name") if isinstance(item, dict) else item
        if isinstance(text, str) and (match := _NAME.match(text)):
            yield canonicalize_name(match[0])


def _read_guarded(lock_format: LockFormat, path: Path, context: Context) -> Lock:
    try:
        return lock_format.read(path, context)
    except OSError as error:
        raise InvalidLockError(
            path, f"cannot read {path}: {error.strerror}", hint="check its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        # Text that the reader did not expect; libraries may quote all of it in their errors.
        problem = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidLockError(
            path,
            urls.redacted_text(excerpt(problem)),
            hint="make it again with the tool that wrote it",
        ) from error
