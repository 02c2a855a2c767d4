"""`poetry build-lambda`: Poetry's words → `Settings` → build → text or JSON.

Loaded when the command runs, never when Poetry starts. What is asked of Poetry: where
the project is, which groups and extras it has, whether the lock is fresh, and how to
reach the sources. The rest is the core's, so that all doors write the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from poetry.repositories.http_repository import HTTPRepository
from poetry.repositories.pypi_repository import PyPiRepository
from poetry.repositories.repository_pool import Priority
from poetry.utils.password_manager import PoetryKeyringError

from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.indexes import IndexAccess
from lambda_build_plugin.config.project import BuildSystem, read_project
from lambda_build_plugin.config.read_settings import environment_source, table_source
from lambda_build_plugin.errors import FetchError, SettingsError
from lambda_build_plugin.fetch.configuration import DEFAULT_INDEX
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.session import Session, told, with_lock_of_host
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.utils import NormalizedName
    from poetry.console.commands.command import Command
    from poetry.packages.locker import Locker
    from poetry.poetry import Poetry

    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Settings

__all__ = ["run"]

_MAIN = canonicalize_name("main")


class KeyringError(FetchError):
    """Poetry cannot tell the credentials of a source."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"the credentials of the source {name} are not to be had",
            why=reason,
            hint="unlock the keyring, or switch it off: `poetry config keyring.enabled false`",
        )


def run(command: Command) -> int:
    """Build what the command line asks for and return the exit code."""
    return told(lambda: _build(command, os.environ), command="poetry build-lambda")


def _build(command: Command, environ: Mapping[str, str]) -> None:
    io = command.io
    session = Session.of(
        _given(command), environ, quiet=io.output.is_quiet(), verbose=io.is_verbose()
    )
    session.build(_settings(command, session), plain=not io.error_output.is_decorated())


def _given(command: Command) -> dict[str, object]:
    """Get the options that are on the command line, by their key; a switch is on or not given."""
    values: dict[str, object] = {
        each.key: next((value for name in each.names if (value := command.option(name))), None)
        for each in OPTIONS
    }
    extras = command.option("extras")
    values["extras"] = _split(extras) or None
    if command.option("all-extras"):
        if extras:
            raise SettingsError(["--extras and --all-extras exclude each other"])
        values["extras"] = list(command.poetry.package.extras)
    return values


def _settings(command: Command, session: Session) -> Sequence[Settings]:
    poetry = command.poetry
    host = session.host
    project = _project(poetry)
    layers = [session.flags(), environment_source(host), table_source(project)]
    artifacts = read_artifacts(project, layers, host, wanted=session.wanted)
    access = () if artifacts[0].offline else tuple(_access(poetry))
    return [_with_lock(_with_groups(command, settings, access), poetry) for settings in artifacts]


def _with_groups(command: Command, settings: Settings, access: tuple[IndexAccess, ...]) -> Settings:
    groups = _groups(command, settings.groups)
    return replace(
        settings,
        groups=groups - {_MAIN},
        main=_MAIN in groups,
        access=access,
        installers=False,
    )


def _project(poetry: Poetry) -> Project:
    """Read the project; without a build backend Poetry takes its own."""
    project = read_project(poetry.pyproject_path.parent)
    if poetry.is_package_mode and "build-backend" not in poetry.pyproject.data.get(
        "build-system", {}
    ):
        own = BuildSystem(backend="poetry.core.masonry.api", requires=("poetry-core",))
        return replace(project, is_package=True, build_system=own)
    return project


def _groups(command: Command, configured: frozenset[NormalizedName]) -> frozenset[NormalizedName]:
    """Choose groups as `poetry install` does, but with main alone in the beginning."""
    asked = {key: _split(command.option(key), ",") for key in ("with", "without", "only")}
    package = command.poetry.package
    unknown = {
        name: ", ".join(f"--{key}" for key, names in asked.items() if name in names)
        for name in sorted({name for names in asked.values() for name in names})
        if name != _MAIN and not package.has_dependency_group(name)
    }
    if unknown:
        listed = ", ".join(f"{name} (via {options})" for name, options in unknown.items())
        there = ", ".join(sorted(package.dependency_group_names(include_optional=True)))
        raise SettingsError([f"Group(s) not found: {listed}"], hint=f"the groups are: {there}")
    groups = {key: frozenset(map(canonicalize_name, names)) for key, names in asked.items()}
    if groups["only"]:
        if groups["with"] or groups["without"]:
            command.line_error("warning: --with and --without are ignored when --only is given")
        return groups["only"]
    return (configured | {_MAIN} | groups["with"]) - groups["without"]


def _split(values: list[str], separator: str = " ") -> list[str]:
    """Take names apart: an option may be given again, and each time with several names."""
    items = (item.strip() for value in values for item in value.replace(separator, ",").split(","))
    return [item for item in items if item]


def _with_lock(settings: Settings, poetry: Poetry) -> Settings:
    """Take poetry.lock unless another lock is named, and ask Poetry whether it is fresh.

    Raises:
        LockError: It is missing or stale.
    """
    if not settings.needs_lock:
        return settings
    locker = poetry.locker
    settings = with_lock_of_host(
        settings,
        locker.lock,
        is_locked=locker.is_locked,
        is_fresh=lambda: _is_fresh(locker),
        judge="Poetry's content hash",
        remedy=FORMATS["poetry.lock"].command,
    )
    if not settings.lock_is_fresh:
        return settings
    # In poetry.lock each package names its source, but for those of the default index.
    return replace(
        settings, access=tuple(replace(index, explicit=True) for index in settings.access)
    )


def _is_fresh(locker: Locker) -> bool:
    try:
        return bool(locker.is_fresh())
    except ValueError:  # not UTF-8 or not TOML: the reader will say where
        return True


def _access(poetry: Poetry) -> Iterator[IndexAccess]:
    """Get every source, also explicit ones, in the order in which Poetry would ask them.

    Raises:
        FetchError: The keyring refuses.
    """
    for repository in poetry.pool.all_repositories:
        if not isinstance(repository, HTTPRepository):
            continue
        try:
            login = repository.session.get_credentials_for_url(repository.url)
        except PoetryKeyringError as error:
            raise KeyringError(repository.name, str(error)) from error
        certificates = repository.certificates
        yield IndexAccess(
            url=(
                DEFAULT_INDEX
                if isinstance(repository, PyPiRepository)
                else redacted(repository.url)
            ),
            name=repository.name,
            username=login.username,
            password=login.password,
            ca_file=str(certificates.cert) if certificates.cert else None,
            client_certificate=(
                str(certificates.client_cert) if certificates.client_cert else None
            ),
            verify=certificates.verify,
            explicit=poetry.pool.get_priority(repository.name) is Priority.EXPLICIT,
        )
