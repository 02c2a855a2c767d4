"""What the doors have in common: the machine, the flags, the report to show.

The one place that looks at the working directory, the home folder and the clock;
the core is told. What doors inside of a host share stands at the end.
"""

from __future__ import annotations

import datetime
import gc
import os
import sys
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.config.options import KEYS
from lambda_build_plugin.config.settings import Host
from lambda_build_plugin.config.sources import SettingsSource
from lambda_build_plugin.errors import LambdaBuildError, SettingsError
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.terminal import TerminalReporter
from lambda_build_plugin.lock.errors import NotLockedError, StaleLockError
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.report import as_json, as_text
from lambda_build_plugin.system.output import moved_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lambda_build_plugin.config.settings import Settings
    from lambda_build_plugin.report import BuildReport

__all__ = ["Session", "told", "with_lock_of_host"]

_INTERRUPTED = 130


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

    def flags(self) -> SettingsSource:
        """Make the strongest layer of settings."""
        names = {option.key: option.names[0] for option in OPTIONS}
        return SettingsSource(
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

    def check_places(self, artifacts: Sequence[Settings]) -> None:
        """Refuse a place for the report that cannot serve, before anything is built.

        Raises:
            SettingsError: It is that of an artifact, a folder, or below something else.
        """
        file = self._report_file()
        if file is None:
            return
        existing = next(place for place in (file, *file.parents) if os.path.lexists(place))
        problem = ""
        places = {
            os.path.realpath(place)
            for settings in artifacts
            for place in (settings.zip_path(settings.project.version), settings.unpacked)
            if place is not None
        }
        if unnamed := _cannot_be_named(file):
            problem = f"cannot be written: {unnamed}"
        elif os.path.realpath(file) in places:
            problem = "is the place of the artifact"
        elif file.is_dir():
            problem = "is a folder"
        elif existing != file and not (existing.is_dir() and os.access(existing, os.W_OK)):
            problem = f"cannot be written: {existing} is no folder that may be written to"
        if problem:
            raise SettingsError([f"--report: `{file}` {problem}"], hint="name another file")

    @property
    def wanted(self) -> Sequence[str]:
        """The names of the artifacts to build; none where all are."""
        named = self.options.get("artifact")
        return [str(name) for name in named] if isinstance(named, (list, tuple)) else []

    def build(self, artifacts: Sequence[Settings], *, plain: bool = False) -> None:
        """Build, show how it goes, and show the report.

        Raises:
            LambdaBuildError: With the reason and the remedy; nothing is left behind.
        """
        from lambda_build_plugin.pipeline.build import build_all

        self.check_places(artifacts)
        reporter = self.reporter(sys.stderr, plain=plain)
        with reporter.live():
            results = build_all(artifacts, reporter)
        self.show(results, sys.stdout, sys.stderr)

    def show(self, results: Sequence[BuildReport], output: TextIO, errors: TextIO) -> None:
        """Write the report where it was asked for."""
        if (file := self._report_file()) is not None:
            _write_report(file, as_json(results))
        if self.options.get("json"):
            # Standard output holds the report alone, for machines, which asked for it.
            warnings = chain.from_iterable(result["warnings"] for result in results)
            if not self.quiet:
                lines = (f"warning: {warning}\n" for warning in dict.fromkeys(warnings))
                _write(errors, "".join(lines))
            _write(output, as_json(results))
        elif not self.quiet:
            texts = [as_text(result, verbose=self.verbose) for result in results]
            _write(output, "\n".join(texts))

    def _report_file(self) -> Path | None:
        named = self.options.get("report")
        return None if named is None else self.host.cwd / str(named)


def _cannot_be_named(file: Path) -> str:
    """Say why the system takes no such path, be there a file or none; empty where it does."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""


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


# --- doors inside of a host -----------------------------------------------------------


def told(work: Callable[[], None], *, command: str) -> int:
    """Do the work of a host's command, tell of a failure in its words, give the exit code."""
    # As in the console script: the process is about to end, collecting is not worth it.
    gc.disable()
    try:
        work()
    except LambdaBuildError as error:
        print(str(error).replace("`lambda-build --", f"`{command} --"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    finally:
        gc.enable()
    return 0


def with_lock_of_host(
    settings: Settings,
    path: Path,
    *,
    is_locked: Callable[[], bool],
    is_fresh: Callable[[], bool],
    judge: str,
    remedy: str,
) -> Settings:
    """Take the host's own lock unless another one is named, and ask the host about it.

    Args:
        settings: As asked for.
        path: Where the host keeps its lock.
        is_locked: Whether there is one.
        is_fresh: Whether it answers pyproject.toml.
        judge: What the host goes by, such as `Poetry's content hash`.
        remedy: The command that makes or refreshes the lock.

    Raises:
        LockError: It is missing or stale.
    """
    if settings.lock is not None and settings.lock.resolve() != path.resolve():
        return settings
    if not is_locked():
        if settings.lock is None and settings.project.needs_no_lock:
            return settings
        raise NotLockedError(path, remedy=remedy)
    if not is_fresh():
        raise StaleLockError(path, [f"- {judge} says so"], remedy=remedy)
    return replace(settings, lock=path, lock_is_fresh=True)
