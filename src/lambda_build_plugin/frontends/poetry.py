"""The command `poetry build-lambda`: the part that Poetry loads at every start.

Poetry imports this module for all of its commands, and a failing import would break all of
them. So at module level it imports nothing but Poetry's base classes and the list of options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cleo.helpers import option
from poetry.console.commands.command import Command
from poetry.plugins.application_plugin import ApplicationPlugin

from lambda_build_plugin.frontends.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cleo.io.inputs.option import Option
    from cleo.io.io import IO
    from poetry.console.application import Application

__all__ = ["BuildLambdaCommand", "LambdaBuildPlugin"]

_HOST_KEYS = frozenset({"extras", "groups"})
"""Keys for which Poetry has options of its own."""

_HOST_HELP = {"lock": "default: poetry.lock"}

_HELP = """\
Build an AWS Lambda zip from the project and its poetry.lock: exactly the locked
dependencies, with the files that fit the runtime and architecture, from any host.

Only the group main is packaged, unless <c1>--with</c1>, <c1>--without</c1> or <c1>--only</c1> choose other groups.
The options for target, contents and output can also be set in [tool.lambda-build] of
pyproject.toml, or in the environment as LAMBDA_BUILD_KEY (LAMBDA_BUILD_RUNTIME).
"""  # noqa: E501 - the tags are not shown


def _options() -> Iterator[Option]:
    for each in OPTIONS:
        if each.key in _HOST_KEYS:
            continue
        short = next((name for name in each.names if len(name) == 1), None)
        first, *others = (name for name in each.names if len(name) > 1)
        is_switch = each.metavar is None
        help_text = _HOST_HELP.get(each.key, each.help)
        yield option(first, short, help_text, flag=is_switch, multiple=each.repeated)
        for name in others:
            same = f"The same as --{first}."
            yield option(name, None, same, flag=is_switch, multiple=each.repeated)
    for name, short, text in (
        ("with", None, "Dependency groups to package in addition to main."),
        ("without", None, "Dependency groups to leave out."),
        ("only", None, "Package only these dependency groups."),
        ("extras", "E", "Extras of the project to package."),
    ):
        yield option(name, short, text, flag=False, multiple=True)
    yield option("all-extras", None, "Package all extras of the project.")


class BuildLambdaCommand(Command):  # type: ignore[misc]
    """Translates between Poetry and the core; an `EnvCommand` would create a virtualenv."""

    name = "build-lambda"
    description = "Builds an AWS Lambda zip from the project and its locked dependencies."
    help = _HELP
    options: ClassVar[list[Option]] = list(_options())

    def run(self, io: IO) -> int:
        """Warn if another plugin has a command with this name, whose options may differ."""
        loader = self.get_application().command_loader
        if loader.has(self.name):
            other = type(loader.get(self.name)).__module__.partition(".")[0]
            io.write_error_line(
                f"warning: the plugin in the package {other} has a command build-lambda, too; "
                "this is the one of lambda-build-plugin. Remove one of them: poetry self remove"
            )
        return int(super().run(io))

    def handle(self) -> int:
        """Build."""
        from lambda_build_plugin.frontends.poetry_handler import run

        return run(self)


class LambdaBuildPlugin(ApplicationPlugin):  # type: ignore[misc]
    """The plugin that Poetry finds under the entry point `poetry.application.plugin`."""

    def activate(self, application: Application) -> None:
        """Add the command.

        It is not added to Poetry's command loader, because that accepts each name only once:
        a second plugin with the same name would break every command.
        """
        application.add(BuildLambdaCommand())
