"""The command `poetry build-lambda`: what Poetry loads at every start, and no more.

Poetry imports this module whatever command is run, and a failing import would stop all
of them: at module level it knows Poetry's base classes and the list of options.
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

_OWN_WORDS = frozenset({"extras", "groups"})
"""Keys for which Poetry has words of its own."""

_OWN_HELP = {"lock": "default: poetry.lock"}

_HELP = """\
Turn the project and what poetry.lock holds for it into an AWS Lambda zip: exactly the
locked dependencies, in the files that fit the runtime and architecture, from any host.

Only the group main is packaged unless <c1>--with</c1>, <c1>--without</c1> or <c1>--only</c1> say otherwise.
Options of target, contents and output can also stand in [tool.lambda-build] of
pyproject.toml or in the environment as LAMBDA_BUILD_KEY (LAMBDA_BUILD_RUNTIME).
"""  # noqa: E501 - tags take no room on the terminal


def _options() -> Iterator[Option]:
    for each in OPTIONS:
        if each.key in _OWN_WORDS:
            continue
        short = next((name for name in each.names if len(name) == 1), None)
        first, *others = (name for name in each.names if len(name) > 1)
        is_switch = each.metavar is None
        help_text = _OWN_HELP.get(each.key, each.help)
        yield option(first, short, help_text, flag=is_switch, multiple=each.repeated)
        for name in others:
            same = f"The same as --{first}."
            yield option(name, None, same, flag=is_switch, multiple=each.repeated)
    for name, short, text in (
        ("with", None, "Dependency groups to package beside main."),
        ("without", None, "Dependency groups to leave out."),
        ("only", None, "The only dependency groups to package."),
        ("extras", "E", "Extras of the project to package."),
    ):
        yield option(name, short, text, flag=False, multiple=True)
    yield option("all-extras", None, "Package all extras of the project.")


class BuildLambdaCommand(Command):  # type: ignore[misc]
    """Translates from Poetry and back; an `EnvCommand` would create a virtualenv."""

    name = "build-lambda"
    description = "Builds an AWS Lambda zip of the project and its locked dependencies."
    help = _HELP
    options: ClassVar[list[Option]] = list(_options())

    def run(self, io: IO) -> int:
        """Say first if another plugin has a command of this name: its words may differ."""
        loader = self.get_application().command_loader
        if loader.has(self.name):
            other = type(loader.get(self.name)).__module__.partition(".")[0]
            io.write_error_line(
                f"warning: the plugin of the package {other} has a command build-lambda, too; "
                "this is the one of lambda-build-plugin. Remove one of them: poetry self remove"
            )
        return int(super().run(io))

    def handle(self) -> int:
        """Build."""
        from lambda_build_plugin.frontends.poetry_handler import run

        return run(self)


class LambdaBuildPlugin(ApplicationPlugin):  # type: ignore[misc]
    """What Poetry finds under the entry point `poetry.application.plugin`."""

    def activate(self, application: Application) -> None:
        """Add the command.

        Poetry's loader of commands takes each name once and stops every command when a
        second plugin comes with it, so ours does not go there.
        """
        application.add(BuildLambdaCommand())
