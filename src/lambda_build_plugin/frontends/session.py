"""What the doors have in common: the machine, the flags, the report to show.

The one place that looks at the working directory, the home folder and the clock;
the core is told.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.archive import moved_in
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.terminal import TerminalReporter
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.report import as_json, as_text
from lambda_build_plugin.settings import KEYS, Host, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.report import BuildReport

__all__ = ["Session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a frontend."""

    options: Mapping[str, object]
    """Values by the key of `OPTIONS`; None or absent means not given."""

    host: Host
    quiet: bool
    verbose: bool

    @classmethod
    def of(
        cls,
        options: Mapping[str, object],
        environ: Mapping[str, str],
        *,
        quiet: bool,
        verbose: bool,
    ) -> Session:
        """Look at the machine once and keep what was seen."""
        cwd = Path.cwd()
        return cls(
            options=options,
            host=Host(
                cwd=cwd,
                home=Path.home(),
                cache_dir=_cache_dir(cwd, options.get("cache-dir"), environ),
                today=datetime.datetime.now(tz=datetime.timezone.utc).date(),
                environ=dict(environ),
            ),
            quiet=quiet,
            verbose=verbose,
        )

    def flags(self) -> Layer:
        """Make the strongest layer of settings."""
        names = {option.key: option.names[0] for option in OPTIONS}
        return Layer(
            values={key: self.options.get(key) for key in KEYS},
            spell=lambda key: f"--{names[key]}",
            base=self.host.cwd,
        )

    def reporter(self, stream: TextIO, *, plain: bool = False) -> Reporter:
        """Choose how to show progress; `plain` is without a moving line."""
        if self.quiet:
            return Reporter()
        live = stream.isatty() and not plain
        return TerminalReporter(stream, verbose=self.verbose, live=live)

    def show(self, result: BuildReport, output: TextIO, errors: TextIO) -> None:
        """Write the report where it was asked for."""
        if (file := self.options.get("report")) is not None:
            with moved_in(self.host.cwd / str(file)) as temporary:
                temporary.write_text(as_json(result), encoding="utf-8")
        if self.quiet:
            return
        if self.options.get("json"):
            # Standard output holds the report alone, for machines.
            errors.writelines(f"warning: {warning}\n" for warning in result["warnings"])
            output.write(as_json(result))
        else:
            output.write(as_text(result, verbose=self.verbose))
        output.flush()


def _cache_dir(cwd: Path, named: object, environ: Mapping[str, str]) -> Path:
    chosen = named or environ.get("LAMBDA_BUILD_CACHE_DIR")
    if chosen:
        return cwd / str(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("lambda-build", appauthor=False)
