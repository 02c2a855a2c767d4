"""What a construct wants to have built → settings of the builds."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import lambda_build_plugin
from lambda_build_plugin.cdk.bundling import bundling_options, environment_of, keywords_of
from lambda_build_plugin.config.settings import Form, Layout
from lambda_build_plugin.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from lambda_build_plugin.cdk.bundling import Bundling, BundlingOptions
    from lambda_build_plugin.config.project import Project
    from lambda_build_plugin.config.settings import Settings

__all__ = ["Request", "name_of", "read_settings"]

_DEFAULT_INDEX, _DEFAULT_HANDLER = "index.py", "handler"
_DECLARATIONS = ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "requirements.in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a construct wants to have built."""

    entry: str | os.PathLike[str]
    layout: Layout
    runtime: str | None = None
    """Such as `python3.13`; None for what the project says."""

    architecture: str | None = None
    index: str | None = None
    """The file with the handler, from `entry`."""

    handler: str | None = None
    """The name of the function in that file, or `package.module.function`."""

    is_handler_needed: bool = True
    """Whether there has to be a handler, so that one is taken by default."""

    bundling: Bundling = None

    @property
    def options(self) -> BundlingOptions:
        """The options of `bundling`.

        Raises:
            SettingsError: They are not there, or not given as options.
        """
        return bundling_options(self.bundling)

    @property
    def target(self) -> dict[str, Any]:
        """The settings that also count for artifacts that provide for this one."""
        named = {"runtime": self.runtime, "architecture": self.architecture}
        return {key: value for key, value in named.items() if value is not None}


def read_settings(request: Request, entry: Path, output: str) -> list[Settings]:
    """Read the settings of the wanted artifact; those that provide for it come first.

    Raises:
        SettingsError: With every mistake.
    """
    options = request.options
    names = [options.artifact] if options.artifact else []
    environ = {**os.environ, **environment_of(options)}

    def load(**keywords: Any) -> tuple[Settings, ...]:
        return lambda_build_plugin.load_all_settings(
            entry, *names, environ=environ, output=output, **request.target, **keywords
        )

    *providers, plain = load()
    if providers and not names:
        raise SettingsError(
            [f"the project has {len(providers) + 1} artifacts, and no construct has all of them"],
            hint='choose one by its name: bundling=BundlingOptions(artifact="...")',
        )
    if names and plain.layout is not request.layout:
        raise SettingsError(
            [f"the artifact `{plain.artifact}` is a {plain.layout.value}"],
            hint=f'choose one with `layout = "{request.layout.value}"`',
        )
    keywords = {**keywords_of(options, entry), **_handler_keyword(request, plain)}
    chosen = load(layout=request.layout.value, **keywords)[-1]
    return [
        replace(each, unpacked=None, project=_with_dependencies(each.project))
        for each in (*providers, chosen)
    ]


def name_of(value: Any, kind: type) -> str:
    """Get the name of a runtime or an architecture.

    Raises:
        TypeError: It is something else, such as the name itself.
    """
    if not isinstance(value, kind):
        given = type(value).__name__
        message = f"{value!r} must be a value of aws_lambda.{kind.__name__}, not of {given}"
        raise TypeError(message)
    name: str = value.name  # type: ignore[attr-defined]
    return name


def _with_dependencies(project: Project) -> Project:
    """Take a folder of scripts, without a word about dependencies, for one that has none.

    The alpha module does so; `lambda-build` itself asks for an empty requirements.txt.
    """
    says_something = any((project.root / name).exists() for name in _DECLARATIONS)
    return project if says_something else replace(project, dependencies=())


def _handler_keyword(request: Request, settings: Settings) -> dict[str, Any]:
    """Choose the handler: what the construct says, what the project says, or the default."""
    index, handler = request.index, request.handler
    if request.layout is Layout.LAYER:
        return {}
    if index is None and handler is None:
        is_open = request.is_handler_needed and settings.handler is None
        return {"handler": f"{_module(_DEFAULT_INDEX)}.{_DEFAULT_HANDLER}"} if is_open else {}
    if index is None and handler is not None and "." in handler:
        return {"handler": handler}
    if handler is not None and "." in handler:
        raise SettingsError(
            [f"`handler` is `{handler}`, which names a module, and `index` is `{index}`"],
            hint='leave `index` out, or name the function alone, such as handler="handler"',
        )
    module = _module(index or _DEFAULT_INDEX)
    root = settings.project.root
    if settings.form is Form.WHEEL and not (root / "src" / "__init__.py").is_file():
        module = module.removeprefix("src.")  # a wheel has no such folder
    return {"handler": f"{module}.{handler or _DEFAULT_HANDLER}"}


def _module(index: str) -> str:
    """Name the module of a file.

    Raises:
        SettingsError: It is not the path of a Python file.
    """
    path = PurePosixPath(index.replace(os.sep, "/"))
    if path.suffix != ".py" or path.is_absolute() or ".." in path.parts:
        raise SettingsError(
            [f"`index` is `{index}`: write the path of a `.py` file from `entry`"],
            hint='for example index="index.py", or leave it out and write '
            'handler="package.module.function"',
        )
    return ".".join(path.with_suffix("").parts)
