"""`pdm build --lambda`: PDM's words → `Settings` → build → text or JSON.

Loaded when the command runs, never when PDM starts. What is asked of PDM: where the
project and its lock are, which groups it has, whether the lock is fresh, and how to
reach the sources. The rest is the core's, so that all doors write the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name
from pdm.environments import BareEnvironment
from pdm.models.auth import keyring

from lambda_build_plugin.config.artifacts import read_artifacts
from lambda_build_plugin.config.project import read_project
from lambda_build_plugin.config.read_settings import environment_source, table_source
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.pdm import dest
from lambda_build_plugin.frontends.session import Session, told, with_lock_of_host
from lambda_build_plugin.lock import pdm_sources
from lambda_build_plugin.lock.formats import FORMATS
from lambda_build_plugin.urls import redacted, redacted_text, without_login

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from pdm._types import RepositoryConfig
    from pdm.project import Project

    from lambda_build_plugin.config.indexes import IndexAccess
    from lambda_build_plugin.config.settings import Settings

__all__ = ["run"]

_MAIN, _ALL = canonicalize_name("default"), ":all"
_DEST = "dist"
"""Where `pdm build` puts artifacts unless it is told otherwise."""


def run(project: Project, options: argparse.Namespace) -> int:
    """Build what the command line asks for and return the exit code."""
    # Else PDM looks for an interpreter of the project's own, and creates a virtualenv.
    project.environment = BareEnvironment(project)
    return told(lambda: _build(project, options, os.environ), command="pdm build --lambda")


def _build(project: Project, options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    verbosity = project.core.ui.verbosity
    session = Session.of(
        _given(project, options), environ, quiet=verbosity < 0, verbose=verbosity > 0
    )
    session.build(_settings(project, options, session))


def _given(project: Project, options: argparse.Namespace) -> dict[str, object]:
    """Get the options that are on the command line, by their key.

    Raises:
        SettingsError: `--config-setting`, which the build of the wheel would not hear of.
    """
    if project.core.state.config_settings:
        raise SettingsError(
            ["-C, --config-setting: the project's wheel is built without config settings"],
            hint="leave it out: `--lambda` builds what `pdm install` would install",
        )
    values: dict[str, object] = {
        option.key: getattr(options, dest(option.key), None)
        for option in OPTIONS
        if option.key not in {"extras", "groups"}  # chosen when the table is known
    }
    if values["output"] is None and options.dest != _DEST:
        values["output"] = f"{project.root / options.dest}/"
    return values


def _settings(
    project: Project, options: argparse.Namespace, session: Session
) -> Sequence[Settings]:
    if project.is_global:
        raise SettingsError(
            ["there is no project: PDM falls back to its global one"],
            hint="change to the folder of a project, or name one: `-p`",
        )
    host = session.host
    ours = read_project(project.root)
    layers = [session.flags(), environment_source(host), table_source(ours)]
    artifacts = [
        _with_groups(settings, project, options)
        for settings in read_artifacts(ours, layers, host, wanted=session.wanted)
    ]
    access = tuple(_access(project, offline=artifacts[0].offline))
    return [_with_lock(replace(settings, access=access), project) for settings in artifacts]


def _with_groups(settings: Settings, project: Project, options: argparse.Namespace) -> Settings:
    """Choose groups as `pdm install --prod` does; PDM calls extras groups, too.

    Raises:
        SettingsError: A group is not there, or `--prod` is given with one for development.
    """
    asked = getattr(options, dest("groups")) or []
    optional = frozenset(
        map(canonicalize_name, project.pyproject.metadata.get("optional-dependencies", {}))
    )
    dev = frozenset(map(canonicalize_name, project.pyproject.dev_dependencies))
    names = frozenset(canonicalize_name(name) for name in asked if name != _ALL)
    if unknown := sorted(names - optional - dev - {_MAIN}):
        raise SettingsError(
            [f"Group(s) not found: {', '.join(unknown)} (via --group)"],
            hint=f"the groups are: {', '.join(sorted(optional | dev | {_MAIN}))}",
        )
    without_dev, all_dev = getattr(options, dest("prod")), getattr(options, dest("dev"))
    if without_dev and names & dev:
        raise SettingsError(["--prod is not allowed with dev groups and should be left"])
    groups = settings.groups | (dev if all_dev else names & dev)
    return replace(
        settings,
        extras=settings.extras | (optional if _ALL in asked else names & optional),
        groups=frozenset() if without_dev else groups,
        main=_MAIN in names or not getattr(options, dest("no_default")),
    )


def _with_lock(settings: Settings, project: Project) -> Settings:
    """Take PDM's lock unless another one is named.

    All its packages come from PDM's sources, whatever it says; those of another one where
    it names no index itself.

    Raises:
        LockError: It is missing or stale.
    """
    if not settings.needs_lock:
        return settings
    path = _lock_of(project)
    settings = with_lock_of_host(
        settings,
        path,
        is_locked=path.is_file,
        is_fresh=lambda: _is_fresh(project),
        judge="PDM",
        remedy=FORMATS["pdm.lock"].command,
    )
    return replace(settings, access_is_all=settings.lock_is_fresh, installers=False)


def _lock_of(project: Project) -> Path:
    """Ask PDM for the path of its lock, which may be named or set to be a pylock.toml."""
    try:
        return Path(project.lockfile._path).absolute()  # noqa: SLF001 - there is no other way
    except ValueError:  # not UTF-8 or not TOML: the reader will say where
        named = os.environ.get("PDM_LOCKFILE")
        is_pylock = project.config["lock.format"] == "pylock"
        there = project.root / ("pylock.toml" if is_pylock else "pdm.lock")
        return Path(named).absolute() if named else there


def _is_fresh(project: Project) -> bool:
    try:
        # Of a format that PDM cannot read any more, the reader will say so.
        is_foreign = project.lockfile.compatibility().name == "NONE"
        # Before 2.29 the content hash was all there was to check.
        check = getattr(project, "is_lockfile_fresh", project.is_lockfile_hash_match)
        return is_foreign or bool(check())
    except ValueError:
        return True


def _access(project: Project, *, offline: bool) -> Iterator[IndexAccess]:
    """Get PDM's sources with what opens them, the default one last.

    Raises:
        SettingsError: A source is not right.
    """
    try:
        sources = sorted(project.sources, key=lambda source: source.name == pdm_sources.DEFAULT)
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            [f"[[tool.pdm.source]] or `pdm config pypi.*`: {redacted_text(str(error))}"],
            hint="mend the sources: https://pdm-project.org/latest/usage/config/",
        ) from error
    for source in sources:
        try:
            if not offline:
                _ask_keyring(source)
            yield pdm_sources.PdmSource(
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
                [f"the source {source.name}: `{redacted(source.url)}` is no URL: {error}"],
                hint="mend it in [[tool.pdm.source]], or with `pdm config`",
            ) from error


def _ask_keyring(source: RepositoryConfig) -> None:
    """Let the keyring, if there is one, complete a login: by PDM's name of it, or by the URL.

    Of the default index nothing is asked unless a user is named: it is public.
    """
    if source.name == pdm_sources.DEFAULT and not source.username:
        return
    parts = urlsplit(source.url)
    if parts.password:
        return
    for place in (f"pdm-pypi-{source.name}", without_login(source.url), parts.hostname):
        if source.username and source.password:
            return
        found = keyring.get_auth_info(place, source.username or parts.username)
        if found is not None:
            source.username, source.password = found
