"""The options of the command line that every frontend offers.

`lambda-build` and PDM make argparse arguments of them, Poetry makes cleo options. A host
that has its own word for one of them leaves that option out. Nothing is imported but the
table itself, because hosts load this module at every start.
"""

from __future__ import annotations

from lambda_build_plugin.config.options import TABLE
from lambda_build_plugin.lock.formats import DEFAULT_NAMES

__all__ = ["OPTIONS"]

_DEFAULTS = {"lock": f"the first of {', '.join(DEFAULT_NAMES)}"}
"""What only a later stage of the pipeline can say."""

OPTIONS = tuple(
    option._replace(default=_DEFAULTS.get(option.key, option.default))
    for option in TABLE
    if option.names
)
"""The rows that have a flag; `config.options.Option` describes their fields."""
