"""Read the build policy from the places of each tool: pip, uv, Poetry and PDM.

What uv or pip forbid to build counts for every lock, and so do their constraints on build
requirements. What forbids wheels counts only for the locks of the tool, because it makes a
build do more than the user's own tool would. Poetry and PDM are read for their own locks.

- pip: https://pip.pypa.io/en/stable/cli/pip_install/
- uv: https://docs.astral.sh/uv/reference/settings/ and /reference/environment/
- Poetry: https://python-poetry.org/docs/configuration/ and /docs/pyproject/
- PDM: https://pdm-project.org/latest/reference/pep621/
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from lambda_build_plugin.config.build_policy import ALL, BuildPolicy, format_rules
from lambda_build_plugin.config.tables import TableError, read_toml, stamp_of
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.fetch.pip_config import pip_values
from lambda_build_plugin.fetch.raw_sources import is_true
from lambda_build_plugin.fetch.uv_config import uv_tables
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lambda_build_plugin.config.build_policy import FormatRules
    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.tables import Stamp, Table
    from lambda_build_plugin.lock.model import LockedPackage
    from lambda_build_plugin.wheel.file import Wheel

    class PolicyLock(Protocol):
        """What a policy depends on in a lock."""

        @property
        def kind(self) -> str: ...
        @property
        def policy(self) -> BuildPolicy: ...
        @property
        def packages(self) -> tuple[LockedPackage, ...]: ...


__all__ = ["policy_warnings", "read_policy"]

_OF_UV = frozenset({"uv.lock", "pylock.toml", "requirements file"})
_OF_PIP = frozenset({"Pipfile.lock", "pylock.toml", "requirements file"})
_OF_PDM = frozenset({"pdm.lock", "pylock.toml"})

_KEPT = 16
"""Files of constraints that were read."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where to look, and for which lock."""

    environ: Mapping[str, str]
    home: Path
    etc: Path
    project: Project
    lock: PolicyLock | None

    def is_for(self, kinds: Iterable[str]) -> bool:
        """Tell whether the lock is of one of some kinds."""
        return self.lock is not None and self.lock.kind in kinds

    @property
    def versions(self) -> dict[str, str]:
        """The locked version of each package, if there is only one."""
        found: dict[str, str] = {}
        for package in self.lock.packages if self.lock else ():
            found[package.name] = "" if package.name in found else str(package.version or "")
        return found


def read_policy(
    project: Project,
    lock: PolicyLock | None,
    *,
    environ: Mapping[str, str],
    home: Path,
    etc: Path = Path("/etc"),
) -> BuildPolicy:
    """Read what the user's tools allow and prescribe for builds.

    Args:
        project: The project that is built.
        lock: Its lock, which has rules of its own.
        environ: The environment variables.
        home: The user's home folder.
        etc: The folder of the machine's configuration, on systems that have one.

    Raises:
        SettingsError: A configuration file cannot be read, or a setting has a wrong type.
    """
    place = _Place(environ=environ, home=home, etc=etc, project=project, lock=lock)
    policy = lock.policy if lock is not None else BuildPolicy()
    try:
        for read in (_of_uv, _of_pip, _of_poetry, _of_pdm):
            policy = policy.joined(read(place))
    except TableError as error:
        raise SettingsError([str(error)], hint="fix this setting") from error
    return policy


def policy_warnings(policy: BuildPolicy, wheels: Iterable[Wheel]) -> Iterator[str]:
    """Warn of what cannot be done as the user's tools prescribe it, if anything was built."""
    built = [wheel for wheel in wheels if wheel.source != "wheel"]
    if built:
        yield from policy.warnings
    for wheel in built:
        if not policy.not_isolated.isdisjoint({ALL, wheel.name}):
            yield (
                f"{wheel.name} was built in isolation, although uv is configured not to "
                "(`no-build-isolation`): name what its build needs in "
                "`[tool.uv.extra-build-dependencies]`"
            )


# --- pip ------------------------------------------------------------------------------


def _of_pip(place: _Place) -> BuildPolicy:
    values = pip_values(place.environ, home=place.home, etc=place.etc)
    constraints, warnings = _constraint_files(
        values.get("build-constraint", "").split(), place, origin="PIP_BUILD_CONSTRAINT"
    )
    settings: dict[str, str | list[str]] = {}
    if place.is_for(_OF_PIP):
        pairs = (text.partition("=") for text in values.get("config-settings", "").split())
        settings = {key: value for key, equals, value in pairs if equals}
    return BuildPolicy(
        rules=(
            format_rules(
                "pip's configuration (`only-binary`)", only_binary=_split(values, "only-binary")
            ),
            format_rules(
                "pip's configuration (`no-binary`)",
                no_binary=_split(values, "no-binary") if place.is_for(_OF_PIP) else (),
            ),
        ),
        constraints={"": constraints},
        config_settings={"": settings},
        warnings=warnings,
    )


def _split(values: Mapping[str, str], key: str) -> list[str]:
    return re.split(r"[,\s]+", values.get(key, ""))


def _constraint_files(
    names: Sequence[str], place: _Place, *, origin: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read files of constraints; return the requirements in them, and warnings.

    Raises:
        SettingsError: A file cannot be read.
    """
    if not names:
        return (), ()
    found: list[str] = []
    warnings: list[str] = []
    for name in names:
        path = place.project.root / name
        if "://" in name or not path.is_file():
            raise SettingsError(
                [f"{origin}: `{name}` is not a file"],
                hint="name a file of constraints, relative to the project or absolute",
            )
        lines, is_hashed = _constraints_in(path, stamp_of(path), tuple(place.environ.items()))
        found += lines
        if is_hashed:
            warnings.append(f"the hashes in {path.name} are not checked: only its versions count")
    return tuple(found), tuple(warnings)


@lru_cache(maxsize=_KEPT)
def _constraints_in(
    path: Path, _stamp: Stamp, variables: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, ...], bool]:
    """Read the requirements in a file, and whether some have hashes.

    It is read once as long as it is the same: every project of a run asks for it.
    """
    from lambda_build_plugin.lock.requirements_lines import HASH, read_lines

    lines = [line.text for line in read_lines(path, dict(variables))]
    texts = [text for text in lines if not text.startswith("-")]
    without_hashes = [HASH.sub("", f" {text}").strip() for text in texts]
    return tuple(without_hashes), without_hashes != texts


# --- uv -------------------------------------------------------------------------------


def _of_uv(place: _Place) -> BuildPolicy:
    tables = [
        table
        for table, _ in uv_tables(
            place.environ, home=place.home, project=place.project.root, etc=place.etc
        )
    ]
    policy = _uv_environment(place)
    for table in tables:
        policy = _uv_table(table, place).joined(policy)
        if place.is_for({"pylock.toml", "requirements file"}):
            policy = _uv_pip_table(table.table("pip")).joined(policy)
    # A variable that is false turns off what a file turns on.
    off = {
        name
        for name in ("UV_NO_BUILD", "UV_NO_BINARY")
        if place.environ.get(name) and not is_true(place.environ[name])
    }
    return replace(policy, rules=tuple(_without_all(rule, off) for rule in policy.rules))


def _without_all(rule: FormatRules, off: set[str]) -> FormatRules:
    return replace(
        rule,
        only_binary=rule.only_binary - ({ALL} if "UV_NO_BUILD" in off else set()),
        no_binary=rule.no_binary - ({ALL} if "UV_NO_BINARY" in off else set()),
    )


def _uv_environment(place: _Place) -> BuildPolicy:
    environ = place.environ

    def names(flag: str, packages: str) -> list[str]:
        listed = environ.get(packages, "").split()
        return [ALL, *listed] if is_true(environ.get(flag)) else listed

    constraints, warnings = _constraint_files(
        environ.get("UV_BUILD_CONSTRAINT", "").split(), place, origin="UV_BUILD_CONSTRAINT"
    )
    no_binary = names("UV_NO_BINARY", "UV_NO_BINARY_PACKAGE")
    return BuildPolicy(
        rules=(
            format_rules("UV_NO_BUILD", only_binary=names("UV_NO_BUILD", "UV_NO_BUILD_PACKAGE")),
            format_rules("UV_NO_BINARY", no_binary=no_binary if place.is_for(_OF_UV) else ()),
        ),
        constraints={"": constraints},
        not_isolated=frozenset({ALL} if is_true(environ.get("UV_NO_BUILD_ISOLATION")) else ()),
        warnings=warnings,
    )


def _uv_table(table: Table, place: _Place) -> BuildPolicy:
    no_binary = _all_or_names(table, "no-binary", "no-binary-package")
    return BuildPolicy(
        rules=(
            format_rules(
                f"`no-build` of uv ({table.at})",
                only_binary=_all_or_names(table, "no-build", "no-build-package"),
            ),
            format_rules(
                f"`no-binary` of uv ({table.at})",
                no_binary=no_binary if place.is_for(_OF_UV) else (),
            ),
        ),
        constraints={"": table.texts("build-constraint-dependencies")},
        requirements=_extra_requirements(table.table("extra-build-dependencies"), place),
        variables={
            canonicalize_name(name): {
                key: variables.required_text(key)
                for variables in (table.table("extra-build-variables").table(name),)
                for key in variables
            }
            for name in table.table("extra-build-variables")
        },
        config_settings={
            "": _config_settings(table.table("config-settings")),
            **{
                canonicalize_name(name): _config_settings(
                    table.table("config-settings-package").table(name)
                )
                for name in table.table("config-settings-package")
            },
        },
        not_isolated=_not_isolated(table),
    )


def _uv_pip_table(table: Table) -> BuildPolicy:
    only_binary = [*([ALL] if table.flag("no-build") else []), *table.texts("only-binary")]
    return BuildPolicy(
        rules=(
            format_rules(f"`only-binary` of uv ({table.at})", only_binary=only_binary),
            format_rules(f"`no-binary` of uv ({table.at})", no_binary=table.texts("no-binary")),
        ),
        config_settings={"": _config_settings(table.table("config-settings"))},
        not_isolated=_not_isolated(table),
    )


def _all_or_names(table: Table, flag: str, packages: str) -> list[str]:
    return [*([ALL] if table.flag(flag) else []), *table.texts(packages)]


def _not_isolated(table: Table) -> frozenset[str]:
    names = frozenset(map(canonicalize_name, table.texts("no-build-isolation-package")))
    return names | ({ALL} if table.flag("no-build-isolation") else frozenset())


def _config_settings(table: Table) -> dict[str, str | list[str]]:
    return {
        key: list(table.texts(key))
        if isinstance(table.raw(key), list)
        else table.required_text(key)
        for key in table
    }


def _extra_requirements(table: Table, place: _Place) -> dict[str, tuple[str, ...]]:
    """Read `extra-build-dependencies`; `match-runtime` means the locked version."""
    found: dict[str, tuple[str, ...]] = {}
    for name in table:
        items = table.raw(name)
        if not isinstance(items, list):
            raise TableError(table.place(name), "must be a list")
        texts = []
        for index, item in enumerate(items):
            if isinstance(item, str):
                texts.append(item)
                continue
            if not isinstance(item, dict):
                raise TableError(f"{table.place(name)}[{index}]", "must be a string or a table")
            entry = type(table)(item, at=f"{table.place(name)}[{index}]")
            text = entry.required_text("requirement")
            texts.append(_matched(text, place) if entry.flag("match-runtime") else text)
        found[canonicalize_name(name)] = tuple(texts)
    return found


def _matched(text: str, place: _Place) -> str:
    """Pin a build requirement to the locked version of the same package, if there is one."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return text  # refused when something is built with it
    version = place.versions.get(canonicalize_name(requirement.name))
    if version and not requirement.specifier:
        requirement.specifier = SpecifierSet(f"=={version}")
    return str(requirement)


# --- Poetry ---------------------------------------------------------------------------


def _of_poetry(place: _Place) -> BuildPolicy:
    if not place.is_for({"poetry.lock"}):
        return BuildPolicy()
    rules: dict[str, FormatRules] = {}
    settings: dict[str, dict[str, str | list[str]]] = {}
    for path in _poetry_files(place):
        installer = _read(path).table("installer")
        for key in ("only-binary", "no-binary"):
            if key in installer:
                names = _poetry_names(installer.raw(key), installer.place(key))
                rules[key] = _poetry_rules(key, names, f"`installer.{key}` in {path.name}")
        for name in installer.table("build-config-settings"):
            values = installer.table("build-config-settings").table(name)
            settings[canonicalize_name(name)] = _config_settings(values)
    for key in ("only-binary", "no-binary"):
        variable = f"POETRY_INSTALLER_{key.upper().replace('-', '_')}"
        if value := place.environ.get(variable):
            rules[key] = _poetry_rules(key, _poetry_names(value, variable), variable)
    # Not loaded for the locks of other tools.
    from lambda_build_plugin.source_build.poetry_policy import build_constraints

    constraints, warnings = build_constraints(
        place.project.tool.table("poetry").table("build-constraints")
    )
    return BuildPolicy(
        rules=tuple(rules.values()),
        constraints=constraints,
        config_settings=settings,
        warnings=warnings,
    )


def _poetry_files(place: _Place) -> Iterator[Path]:
    """Yield the files of Poetry's configuration, of which later ones win."""
    if named := place.environ.get("POETRY_CONFIG_DIR"):
        folder = Path(named)
    elif sys.platform == "darwin":
        folder = place.home / "Library" / "Application Support" / "pypoetry"
    elif sys.platform == "win32":
        appdata = place.environ.get("APPDATA")
        folder = Path(appdata or place.home / "AppData" / "Roaming") / "pypoetry"
    else:
        configured = place.environ.get("XDG_CONFIG_HOME")
        folder = Path(configured or place.home / ".config") / "pypoetry"
    for path in (folder / "config.toml", place.project.root / "poetry.toml"):
        if path.is_file():
            yield path


def _poetry_names(value: object, at: str) -> list[str]:
    """Read names: true, false, text with commas, or a list."""
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in {"true", "false"}):
        return [ALL] if str(value).lower() == "true" else []
    if isinstance(value, str):
        return [ALL] if value == "1" else [] if value == "0" else value.split(",")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise TableError(at, "must be a list of names, true or false")


def _poetry_rules(key: str, names: Iterable[str], origin: str) -> FormatRules:
    if key == "only-binary":
        return format_rules(origin, only_binary=names)
    return format_rules(origin, no_binary=names)


def _read(path: Path) -> Table:
    try:
        return read_toml(path)
    except OSError as error:
        raise SettingsError([f"{path}: {error.strerror}"], hint="check this file") from error


# --- PDM ------------------------------------------------------------------------------


def _of_pdm(place: _Place) -> BuildPolicy:
    if not place.is_for(_OF_PDM):
        return BuildPolicy()
    table = place.project.tool.table("pdm").table("resolution")

    def names(variable: str, key: str) -> tuple[list[str], str]:
        if value := place.environ.get(variable):
            return re.split(r"[,\s]+", value), variable
        raw = table.raw(key)
        listed = raw.split(",") if isinstance(raw, str) else list(table.texts(key))
        return listed, f"`{key}` in [tool.pdm.resolution]"

    only_binary, forbidden_by = names("PDM_ONLY_BINARY", "only-binary")
    no_binary, forced_by = names("PDM_NO_BINARY", "no-binary")
    return BuildPolicy(
        rules=(
            format_rules(forbidden_by, only_binary=only_binary),
            format_rules(forced_by, no_binary=no_binary),
        )
    )
