"""`poetry build-lambda`: Poetry's options → `Settings` → build → text or JSON.

Loaded when the command runs, never when Poetry starts. Poetry tells where the project is,
which groups and extras exist, whether the lock is up to date, and how to reach the sources.
The core does the rest, so that all frontends write the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from poetry.repositories.http_repository import HTTPRepository
from poetry.repositories.pypi_repository import PyPiRepository
from poetry.repositories.repository_pool import Priority
from poetry.utils.password_manager import PoetryKeyringError

from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.indexes import IndexAccess
from lambda_build_plugin.config.project import BuildSystem, read_project
from lambda_build_plugin.config.sources import environment_source, table_source
from lambda_build_plugin.errors import FetchError, SettingsError
from lambda_build_plugin.fetch.configuration import DEFAULT_INDEX
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.session import Session, run_command, with_host_lock
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
    """Poetry cannot get the credentials of a source."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"cannot get the credentials of the source {name}",
            why=reason,
            hint="unlock the keyring, or turn it off: `poetry config keyring.enabled false`",
        )


def run(command: Command) -> int:
    """Build what the command line asks for and return the exit code."""
    return run_command(
        lambda: _build(command, os.environ),
        _given_options(command),
        command="poetry build-lambda",
        verbose=command.io.is_verbose(),
    )


def _build(command: Command, environ: Mapping[str, str]) -> None:
    io = command.io
    session = Session.of(
        _read_options(command), environ, quiet=io.output.is_quiet(), verbose=io.is_verbose()
    )
    session.build(_settings(command, session), plain=not io.error_output.is_decorated())


def _given_options(command: Command) -> dict[str, object]:
    """Return the options on the command line, by their key; a switch is on or not given."""
    return {
        each.key: next((value for name in each.names if (value := command.option(name))), None)
        for each in OPTIONS
    }


def _read_options(command: Command) -> dict[str, object]:
    """Return the options with those that Poetry itself has.

    Raises:
        SettingsError: Two of them contradict each other.
    """
    values = _given_options(command)
    extras = command.option("extras")
    values["extras"] = _split(extras) or None
    if command.option("all-extras"):
        if extras:
            raise SettingsError(["--extras cannot be combined with --all-extras"])
        values["extras"] = list(command.poetry.package.extras)
    return values


def _settings(command: Command, session: Session) -> Sequence[Settings]:
    poetry = command.poetry
    host = session.host
    project = _project(poetry)
    sources = [session.flags(), environment_source(host), table_source(project)]
    artifacts = read_artifacts(project, sources, host, wanted=session.artifact_names)

    @cache
    def find_access() -> Sequence[IndexAccess]:
        return () if artifacts[0].offline else tuple(_read_sources(poetry))

    return [
        _with_lock(_with_groups(command, replace(settings, find_access=find_access)), poetry)
        for settings in artifacts
    ]


def _with_groups(command: Command, settings: Settings) -> Settings:
    groups = _choose_groups(command, settings.groups)
    return replace(
        settings,
        groups=groups - {_MAIN},
        main=_MAIN in groups,
        installers=False,
    )


def _project(poetry: Poetry) -> Project:
    """Read the project; without a build backend, Poetry uses its own."""
    project = read_project(poetry.pyproject_path.parent)
    if poetry.is_package_mode and "build-backend" not in poetry.pyproject.data.get(
        "build-system", {}
    ):
        default = BuildSystem(backend="poetry.core.masonry.api", requires=("poetry-core",))
        return replace(project, is_package=True, build_system=default)
    return project


def _choose_groups(
    command: Command, configured: frozenset[NormalizedName]
) -> frozenset[NormalizedName]:
    """Choose groups as `poetry install` does, but start with only main."""
    requested = {key: _split(command.option(key), ",") for key in ("with", "without", "only")}
    package = command.poetry.package
    unknown = {
        name: ", ".join(f"--{key}" for key, names in requested.items() if name in names)
        for name in sorted({name for names in requested.values() for name in names})
        if name != _MAIN and not package.has_dependency_group(name)
    }
    if unknown:
        listed = ", ".join(f"{name} (via {options})" for name, options in unknown.items())
        known = ", ".join(sorted(package.dependency_group_names(include_optional=True)))
        raise SettingsError([f"Group(s) not found: {listed}"], hint=f"the groups are: {known}")
    groups = {key: frozenset(map(canonicalize_name, names)) for key, names in requested.items()}
    if groups["only"]:
        if groups["with"] or groups["without"]:
            command.line_error("warning: --with and --without are ignored when --only is given")
        return groups["only"]
    return (configured | {_MAIN} | groups["with"]) - groups["without"]


def _split(values: list[str], separator: str = " ") -> list[str]:
    """Split names: an option may be repeated, and each time contain several names."""
    items = (item.strip() for value in values for item in value.replace(separator, ",").split(","))
    return [item for item in items if item]


def _with_lock(settings: Settings, poetry: Poetry) -> Settings:
    """Use poetry.lock, unless the settings name another lock, and have Poetry check it.

    Raises:
        LockError: It is missing or out of date.
    """
    if not settings.needs_lock:
        return settings
    locker = poetry.locker
    settings = with_host_lock(
        settings,
        locker.lock,
        is_locked=locker.is_locked,
        is_fresh=lambda: _is_fresh(locker),
        judge="Poetry's content hash",
        remedy=FORMATS["poetry.lock"].command,
    )
    if not settings.lock_is_fresh:
        return settings
    # In poetry.lock each package names its source, except those of the default index.
    return replace(
        settings,
        find_access=lambda: [replace(index, explicit=True) for index in settings.find_access()],
    )


def _is_fresh(locker: Locker) -> bool:
    try:
        return bool(locker.is_fresh())
    except ValueError:  # not UTF-8 or not TOML: our reader will say where
        return True


def _read_sources(poetry: Poetry) -> Iterator[IndexAccess]:
    """Get all sources, including explicit ones, in the order in which Poetry uses them.

    Raises:
        FetchError: The keyring denies access.
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
