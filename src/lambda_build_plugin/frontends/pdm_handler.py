"""`pdm build --lambda`: PDM's options → `Settings` → build → text or JSON.

Loaded when the command runs, never when PDM starts. PDM tells where the project and its
lock are, which groups exist, whether the lock is up to date, and how to reach the sources.
The core does the rest, so that all frontends write the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name
from pdm.environments import BareEnvironment
from pdm.models.auth import keyring

from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.sources import environment_source, table_source
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.pdm import dest
from lambda_build_plugin.frontends.session import Session, run_command, with_host_lock
from lambda_build_plugin.lock import pdm_sources
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.urls import redacted, redacted_text, without_login

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from pdm._types import RepositoryConfig
    from pdm.project import Project

    from lambda_build_plugin.config.indexes import IndexAccess
    from lambda_build_plugin.config.settings import Settings

__all__ = ["run"]

_MAIN, _ALL = canonicalize_name("default"), ":all"
_PYLOCK = "pylock.toml"
_DEST = "dist"
"""Where `pdm build` puts artifacts by default."""


def run(project: Project, options: argparse.Namespace) -> int:
    """Build what the command line asks for and return the exit code."""
    # Otherwise PDM would look for the project's interpreter and create a virtualenv.
    project.environment = BareEnvironment(project)
    return run_command(
        lambda: _build(project, options, os.environ),
        _given_options(options),
        command="pdm build --lambda",
        verbose=project.core.ui.verbosity > 0,
    )


def _build(project: Project, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    verbosity = project.core.ui.verbosity
    session = Session.of(
        _read_options(project, options), environ, quiet=verbosity < 0, verbose=verbosity > 0
    )
    session.build(_settings(project, options, session))


def _given_options(options: argparse.Namespace) -> dict[str, object]:
    """Return the options on the command line that are not PDM's own, by their key."""
    return {
        option.key: getattr(options, dest(option.key), None)
        for option in OPTIONS
        if option.key not in {"extras", "groups"}  # `_with_groups` adds them to those of the table
    }


def _read_options(project: Project, options: argparse.Namespace) -> dict[str, object]:
    """Read the options on the command line, by their key.

    Raises:
        SettingsError: `--config-setting` is given, which the build of the wheel would not get.
    """
    if project.core.state.config_settings:
        raise SettingsError(
            ["-C, --config-setting: the project's wheel is built without config settings"],
            hint="remove it: `--lambda` builds what `pdm install` would install",
        )
    values = _given_options(options)
    if values["output"] is None and options.dest != _DEST:
        values["output"] = f"{project.root / options.dest}/"
    return values


def _settings(
    project: Project, options: argparse.Namespace, session: Session
) -> Sequence[Settings]:
    if project.is_global:
        raise SettingsError(
            ["there is no project here, and PDM falls back to its global project"],
            hint="change to the folder of a project, or name one with `-p`",
        )
    host = session.host
    ours = read_project(project.root)
    sources = [session.flags(), environment_source(host), table_source(ours)]
    artifacts = [
        _with_groups(settings, project, options)
        for settings in read_artifacts(ours, sources, host, wanted=session.artifact_names)
    ]

    configured = _list_sources(project)
    access = tuple(map(_access_of, configured))  # also to find out whether they are valid

    @cache
    def find_access() -> Sequence[IndexAccess]:
        if artifacts[0].offline:
            return access
        for source in configured:
            _ask_keyring(source)
        return tuple(map(_access_of, configured))

    return [
        _with_lock(replace(settings, find_access=find_access), project) for settings in artifacts
    ]


def _with_groups(settings: Settings, project: Project, options: argparse.Namespace) -> Settings:
    """Choose groups as `pdm install --prod` does; PDM calls extras groups, too.

    Raises:
        SettingsError: A group does not exist, or `--prod` is given with a development group.
    """
    requested = getattr(options, dest("groups")) or []
    optional = frozenset(
        map(canonicalize_name, project.pyproject.metadata.get("optional-dependencies", {}))
    )
    dev = frozenset(map(canonicalize_name, project.pyproject.dev_dependencies))
    names = frozenset(canonicalize_name(name) for name in requested if name != _ALL)
    if unknown := sorted(names - optional - dev - {_MAIN}):
        raise SettingsError(
            [f"Group(s) not found: {', '.join(unknown)} (via --group)"],
            hint=f"the groups are: {', '.join(sorted(optional | dev | {_MAIN}))}",
        )
    without_dev, all_dev = getattr(options, dest("prod")), getattr(options, dest("dev"))
    if without_dev and names & dev:
        raise SettingsError(["--prod is not allowed with dev groups"])
    groups = settings.groups | (dev if all_dev else names & dev)
    return replace(
        settings,
        extras=settings.extras | (optional if _ALL in requested else names & optional),
        groups=frozenset() if without_dev else groups,
        main=_MAIN in names or not getattr(options, dest("no_default")),
    )


def _with_lock(settings: Settings, project: Project) -> Settings:
    """Use PDM's lock, unless the settings name another one.

    A pylock.toml takes its place if there is no pdm.lock: `lock.format` may be set where the
    lock is made and nowhere else.

    All packages of PDM's lock come from PDM's sources, whatever the lock says. Those of
    another lock come from PDM's sources if it names no index itself.

    Raises:
        LockError: PDM's lock is missing or out of date.
    """
    if not settings.needs_lock:
        return settings
    path, pylock = _lock_path(project), project.root / _PYLOCK
    if settings.lock is None and pylock.is_file() and not path.is_file():
        settings = replace(settings, lock=pylock)
    settings = with_host_lock(
        settings,
        path,
        is_locked=path.is_file,
        is_fresh=lambda: _is_fresh(project),
        judge="PDM",
        remedy=FORMATS["pdm.lock"].command,
    )
    return replace(settings, access_is_all=settings.lock_is_fresh, installers=False)


def _lock_path(project: Project) -> Path:
    """Ask PDM for the path of its lock, which may be configured or be a pylock.toml."""
    try:
        return Path(project.lockfile._path).absolute()  # noqa: SLF001 - there is no public way
    except ValueError:  # not UTF-8 or not TOML: our reader will say where
        named = os.environ.get("PDM_LOCKFILE")
        is_pylock = project.config["lock.format"] == "pylock"
        default = project.root / (_PYLOCK if is_pylock else "pdm.lock")
        return Path(named).absolute() if named else default


def _is_fresh(project: Project) -> bool:
    try:
        # If PDM cannot read this format any more, our reader will say so.
        is_foreign = project.lockfile.compatibility().name == "NONE"
        # Before PDM 2.29, the content hash was the only check.
        check = getattr(project, "is_lockfile_fresh", project.is_lockfile_hash_match)
        return is_foreign or bool(check())
    except ValueError:
        return True


def _list_sources(project: Project) -> Sequence[RepositoryConfig]:
    """List PDM's sources, the default source last.

    Raises:
        SettingsError: A source is not valid.
    """
    try:
        return sorted(project.sources, key=lambda source: source.name == pdm_sources.DEFAULT)
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            [f"[[tool.pdm.source]] or `pdm config pypi.*`: {redacted_text(str(error))}"],
            hint="fix the sources: https://pdm-project.org/latest/usage/config/",
        ) from error


def _access_of(source: RepositoryConfig) -> IndexAccess:
    """Say how a source is reached, with its credentials and certificates.

    Raises:
        SettingsError: Its URL is not valid.
    """
    try:
        return pdm_sources.PdmSource(
            url=source.url,
            name=source.name,
            username=source.username,
            password=source.password,
            verify_ssl=source.verify_ssl,
            type=source.type,
            ca_certs=source.ca_certs,
            client_cert=source.client_cert,
            client_key=source.client_key,
            include_packages=source.include_packages,
            exclude_packages=source.exclude_packages,
        ).access()
    except ValueError as error:
        raise SettingsError(
            [f"the source {source.name}: `{redacted(source.url)}` is not a URL: {error}"],
            hint="fix it in [[tool.pdm.source]], or with `pdm config`",
        ) from error


def _ask_keyring(source: RepositoryConfig) -> None:
    """Complete a login from the keyring, if there is one: by PDM's name for it, or by the URL.

    The default index is public, so it needs no login unless a user name is configured.
    """
    if source.name == pdm_sources.DEFAULT and not source.username:
        return
    parts = urlsplit(source.url)
    if parts.password:
        return
    for service in (f"pdm-pypi-{source.name}", without_login(source.url), parts.hostname):
        if source.username and source.password:
            return
        found = keyring.get_auth_info(service, source.username or parts.username)
        if found is not None:
            source.username, source.password = found
