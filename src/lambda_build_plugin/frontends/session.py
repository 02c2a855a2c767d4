"""What the doors have in common: the machine, the flags, the report to show.

The one place that looks at the working directory, the home folder and the clock;
the core is told.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.archive import moved_in
from lambda_build_plugin.errors import SettingsError
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.terminal import TerminalReporter
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.report import as_json, as_text
from lambda_build_plugin.settings import KEYS, Host, Layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lambda_build_plugin.report import BuildReport
    from lambda_build_plugin.settings import Settings

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
        cwd = _cwd()
        return cls(
            options=options,
            host=Host(
                cwd=cwd,
                home=_home(cwd),
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

    def check_places(self, settings: Settings) -> None:
        """Refuse a place for the report that cannot serve, before anything is built.

        Raises:
            SettingsError: It is the artifact's own, a folder, or below something else.
        """
        file = self._report_file()
        if file is None:
            return
        existing = next(place for place in (file, *file.parents) if os.path.lexists(place))
        problem = ""
        if file in {settings.output, settings.unpacked}:
            problem = "is the place of the artifact"
        elif file.is_dir():
            problem = "is a folder"
        elif existing != file and not (existing.is_dir() and os.access(existing, os.W_OK)):
            problem = f"cannot be written: {existing} is no folder that may be written to"
        if problem:
            raise SettingsError([f"--report: `{file}` {problem}"], hint="name another file")

    def show(self, result: BuildReport, output: TextIO, errors: TextIO) -> None:
        """Write the report where it was asked for."""
        if (file := self._report_file()) is not None:
            _write_report(file, as_json(result))
        if self.quiet:
            return
        if self.options.get("json"):
            # Standard output holds the report alone, for machines.
            _write(errors, "".join(f"warning: {warning}\n" for warning in result["warnings"]))
            _write(output, as_json(result))
        else:
            _write(output, as_text(result, verbose=self.verbose))

    def _report_file(self) -> Path | None:
        named = self.options.get("report")
        return None if named is None else self.host.cwd / str(named)


def _write(stream: TextIO, text: str) -> None:
    """Write what the stream's encoding has, and spell out the rest."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _write_report(file: Path, text: str) -> None:
    if file.exists() and not file.is_file():
        file.write_text(text, encoding="utf-8")  # a pipe or a terminal: nothing to move in
        return
    with moved_in(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _cwd() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise SettingsError(
            ["the current folder is gone"], hint="change to a folder that is there"
        ) from error


def _home(cwd: Path) -> Path:
    """Find the user's folder; a user without one has no configuration there either."""
    try:
        return Path.home()
    except RuntimeError:
        return cwd


def _cache_dir(cwd: Path, named: object, environ: Mapping[str, str]) -> Path:
    chosen = named or environ.get("LAMBDA_BUILD_CACHE_DIR")
    if chosen:
        return cwd / str(chosen)
    from platformdirs import user_cache_path

    folder = user_cache_path("lambda-build", appauthor=False)
    if not folder.is_absolute():  # no HOME, and no entry for the user
        raise SettingsError(
            ["there is no home folder to keep the cache in"],
            hint="name a folder: `--cache-dir` or LAMBDA_BUILD_CACHE_DIR",
        )
    return folder
