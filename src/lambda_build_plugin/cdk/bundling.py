"""The bundling options of CDK's experimental Python module → settings of a build.

The names are those of `aws_cdk.aws_lambda_python_alpha.BundlingOptions`, so that an app can
change over by its import line. Options that only make sense for a container are refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from aws_cdk import AssetHashType

from lambda_build_plugin.config.spelling import nearest
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = [
    "Bundling",
    "BundlingOptions",
    "ICommandHooks",
    "bundling_options",
    "check_bundling",
    "environment_of",
    "keywords_of",
]

_OF_DOCKER = (
    "bundling_file_access",
    "command",
    "entrypoint",
    "image",
    "network",
    "platform",
    "security_opt",
    "user",
    "volumes",
    "volumes_from",
    "working_directory",
)

_OF_CONSTRUCT = ("architecture", "handler", "layout", "output", "runtime", "unpacked")
"""Settings that follow from the construct."""

_OF_OPTIONS = {
    "artifact": "artifact",
    "bytecode": "bytecode",
    "exclude": "asset_excludes",
    "exclude_presets": "exclude_presets",
    "hooks": "command_hooks",
    "layer_prefix": "output_path_suffix",
    "provided": "provided",
}
"""Settings that are options, too, and the names of these."""

_LISTS = ("asset_excludes", "exclude_presets", "provided")
_DICTIONARIES = ("build_args", "environment", "settings")

_INDEX_VARIABLE = re.compile(r"(?:PIP|UV)_\w+|(?:HTTPS?|ALL|NO)_PROXY", re.IGNORECASE)
"""Variables that say where packages come from; the alpha module has them as `build_args`."""

_STAGE = "%LAMBDA_BUILD_STAGE%" if os.name == "nt" else "$LAMBDA_BUILD_STAGE"
_NOT_YET = "<output_dir>"
"""Stands for the folder of the files in commands that run before there is one."""


class ICommandHooks(Protocol):
    """Commands to run before and after the files of an asset are put together.

    Each method returns command lines for the shell, which are joined with `&&`. The first ones
    run in the project's folder, the second ones in the folder of the files that will ship.
    """

    def before_bundling(self, input_dir: str, output_dir: str) -> Sequence[str]:
        """Give the commands to run before the project is built; `output_dir` is not there yet."""

    def after_bundling(self, input_dir: str, output_dir: str) -> Sequence[str]:
        """Give the commands to run on the files before they are zipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlingOptions:
    """How an asset is built. Whatever is not given is read from `[tool.lambda-build]`."""

    asset_excludes: Sequence[str] | None = None
    """Files to leave out, as in .gitignore; the setting `exclude`."""

    asset_hash: str | None = None
    """Identifies the asset instead of the sha256 of its zip."""

    asset_hash_type: AssetHashType | None = None
    """`OUTPUT` or `CUSTOM`; the hash of an asset that is built is always that of its zip."""

    build_args: Mapping[str, str] | None = field(default=None, repr=False)
    """`PIP_INDEX_URL` and the like, as in `environment`; there is no image to build."""

    command_hooks: ICommandHooks | None = None
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    """Variables for this build beside those of the process: indexes, settings, hooks."""

    output_path_suffix: str | None = None
    """Of a layer: the setting `layer-prefix`."""

    poetry_include_hashes: bool | None = None
    """Without effect: the hashes in the lock are always checked."""

    poetry_without_urls: bool | None = None
    """Without effect: nothing is exported."""

    # What the alpha module does not have.
    artifact: str | None = None
    """The name of one of `[tool.lambda-build.artifacts]`."""

    bytecode: bool | None = None
    exclude_presets: Sequence[str] | None = None
    """Of `tests`, `stubs` and `docs`."""

    provided: Sequence[str] | None = None
    """Packages that the runtime has, such as boto3."""

    settings: Mapping[str, object] | None = None
    """Any other keys of `[tool.lambda-build]`, with `_` for `-`."""

    # What only a container could do: refused, if it is set.
    bundling_file_access: object | None = None
    command: object | None = None
    entrypoint: object | None = None
    image: object | None = None
    network: object | None = None
    platform: object | None = None
    security_opt: object | None = None
    user: object | None = None
    volumes: object | None = None
    volumes_from: object | None = None
    working_directory: object | None = None


Bundling: TypeAlias = "BundlingOptions | Mapping[str, Any] | None"
"""As all structures of CDK: the options, or a dictionary of them."""


def bundling_options(given: Bundling) -> BundlingOptions:
    """Get the options, however they are given.

    Raises:
        SettingsError: They are those of another module, or some do not exist.
    """
    if isinstance(given, BundlingOptions):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise SettingsError(
            [f"bundling: is of the type `{type(given).__module__}.{type(given).__qualname__}`"],
            hint="write the options as lambda_build_plugin.cdk.BundlingOptions(...), or as a "
            "dictionary",
        )
    names = [each.name for each in fields(BundlingOptions)]
    if unknown := [str(name) for name in given or () if name not in names]:
        raise SettingsError(
            [f"bundling: `{name}` is not an option{_meant(name, names)}" for name in unknown],
            hint="settings of [tool.lambda-build] that have no option of their own can be written "
            "into the option `settings`",
        )
    return BundlingOptions(**(given or {}))


def _meant(name: str, names: Sequence[str]) -> str:
    close = nearest(name, names)
    return "" if close is None else f"; did you mean `{close}`?"


def check_bundling(options: BundlingOptions) -> None:
    """Check that the options make sense without a container.

    Raises:
        SettingsError: It names all options that do not.
    """
    if problems := [*_problems(options)]:
        raise SettingsError(
            problems,
            hint="remove or correct these options; `command_hooks` runs commands on this "
            "machine, and `environment` has variables for the build",
        )


def _problems(options: BundlingOptions) -> Iterator[str]:
    yield from (wrong := [*_wrong_types(options)])
    if not wrong:
        yield from _senseless(options)


def _wrong_types(options: BundlingOptions) -> Iterator[str]:
    for name in _LISTS:
        value = getattr(options, name)
        # A string is a sequence of strings, too: each of its letters.
        if isinstance(value, str):
            yield f'bundling: `{name}` must be a list of strings, such as ["{value}"]'
    for name in _DICTIONARIES:
        value = getattr(options, name)
        if value is not None and not isinstance(value, Mapping):
            yield f"bundling: `{name}` must be a dictionary"
        elif name != "settings":
            for key, text in (value or {}).items():
                if not isinstance(text, str):
                    yield f"bundling: `{name}` contains `{key}`, whose value must be a string"


def _senseless(options: BundlingOptions) -> Iterator[str]:
    for name in _OF_DOCKER:
        if getattr(options, name) is not None:
            yield f"bundling: `{name}` is an option of Docker, and nothing is built in a container"
    for name in options.build_args or ():
        if not _INDEX_VARIABLE.fullmatch(name):
            yield f"bundling: `build_args` contains `{name}`, but there is no image to build"
    yield from _wrong_settings(options)
    if options.asset_hash_type == AssetHashType.SOURCE:
        yield (
            "bundling: `asset_hash_type` is SOURCE, but the hash is always that of the zip, "
            "which is the same as long as nothing in it changes"
        )


def _wrong_settings(options: BundlingOptions) -> Iterator[str]:
    for name in options.settings or ():
        key = name.replace("-", "_")
        option = _OF_OPTIONS.get(key)
        if key in _OF_CONSTRUCT:
            yield f"bundling: `settings` contains `{name}`, which is set by the construct"
        elif key == "environ":
            yield f"bundling: `settings` contains `{name}`, which is not a setting"
        elif option == "artifact" or (option and getattr(options, option) is not None):
            yield f"bundling: `settings` contains `{name}`: use the option `{option}`"


def environment_of(options: BundlingOptions) -> dict[str, str]:
    """Get the variables that the options set."""
    return {**(options.build_args or {}), **(options.environment or {})}


def keywords_of(options: BundlingOptions, entry: Path) -> dict[str, object]:
    """Translate the options into keywords of `load_settings`.

    Raises:
        SettingsError: A command before the build wants to write into the folder of the files.
    """
    keywords = {
        "bytecode": options.bytecode,
        "exclude": _listed(options.asset_excludes),
        "exclude_presets": _listed(options.exclude_presets),
        "hooks": _hooks(options.command_hooks, entry) if options.command_hooks else None,
        "layer_prefix": options.output_path_suffix,
        "provided": _listed(options.provided),
        **(options.settings or {}),
    }
    return {key: value for key, value in keywords.items() if value is not None}


def _listed(values: Sequence[str] | None) -> list[str] | None:
    return None if values is None else list(values)


def _hooks(hooks: ICommandHooks, entry: Path) -> dict[str, list[str]]:
    before = _commands(hooks, "before_bundling", entry, _NOT_YET)
    if any(_NOT_YET in command for command in before):
        raise SettingsError(
            ["bundling: a command of `before_bundling` uses `output_dir`, which is not there yet"],
            hint="write into `input_dir`, or return the command from `after_bundling`",
        )
    after = _commands(hooks, "after_bundling", entry, _STAGE)
    # One shell for all, as in the alpha module: a `cd` counts for the commands that follow.
    lists = {"before-build": before, "after-stage": after}
    return {name: [" && ".join(commands)] for name, commands in lists.items() if commands}


def _commands(hooks: ICommandHooks, method: str, entry: Path, output_dir: str) -> list[str]:
    """Ask for the commands.

    Raises:
        SettingsError: The method does not exist, or does not return a list.
    """
    ask = getattr(hooks, method, None)
    if ask is None:
        raise SettingsError(
            [f"bundling: `command_hooks` has no method `{method}`"],
            hint="write both methods; they return lists of commands, which may be empty",
        )
    commands = ask(str(entry), output_dir)
    if isinstance(commands, str):
        raise SettingsError(
            [f"bundling: `{method}` returns a string instead of a list of commands"],
            hint=f'return ["{commands}"]',
        )
    return list(commands or ())
