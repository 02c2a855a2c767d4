"""Turn a locked Python project into an AWS Lambda deployment package.

A Python program may use the names below; everything else is private and may change::

    import lambda_build_plugin

    settings = lambda_build_plugin.load_settings("my-project", runtime="python3.13")
    report = lambda_build_plugin.build(settings)
    print(report["artifact"], report["code_sha256"])

`load_settings` takes the keys of `[tool.lambda-build]` as keyword arguments, and reads the
others from the environment and from pyproject.toml, as the command does. For a project with
several artifacts there are `load_all_settings` and `build_all`. `inspect` checks any zip.
All failures are a `LambdaBuildError`, with `what`, `why`, `hint` and an `exit_code`. A
subclass of `Reporter` hears how a build goes on.

Importing the package loads nothing else, because its plugins are imported by Poetry and PDM
at every start: each name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False  # for type checkers it is true; `typing` would take most of the time

if TYPE_CHECKING:
    from lambda_build_plugin.commands.api import inspect, load_all_settings, load_settings
    from lambda_build_plugin.commands.inspected_zip import InspectedPackage
    from lambda_build_plugin.commands.inspection import FailureReport, InspectionReport
    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.errors import LambdaBuildError
    from lambda_build_plugin.pipeline.build import build, build_all
    from lambda_build_plugin.progress import Reporter
    from lambda_build_plugin.report import (
        BuildReport,
        ExcludedReport,
        LeftOutReport,
        PackageReport,
        SizeReport,
    )

__version__ = "0.1.0"

__all__ = [
    "BuildReport",
    "ExcludedReport",
    "FailureReport",
    "InspectedPackage",
    "InspectionReport",
    "LambdaBuildError",
    "LeftOutReport",
    "PackageReport",
    "Reporter",
    "Settings",
    "SizeReport",
    "__version__",
    "build",
    "build_all",
    "inspect",
    "load_all_settings",
    "load_settings",
]

_MODULES = {
    "BuildReport": "report",
    "ExcludedReport": "report",
    "FailureReport": "commands.inspection",
    "InspectedPackage": "commands.inspected_zip",
    "InspectionReport": "commands.inspection",
    "LambdaBuildError": "errors",
    "LeftOutReport": "report",
    "PackageReport": "report",
    "Reporter": "progress",
    "Settings": "config.settings",
    "SizeReport": "report",
    "build": "pipeline.build",
    "build_all": "pipeline.build",
    "inspect": "commands.api",
    "load_all_settings": "commands.api",
    "load_settings": "commands.api",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
