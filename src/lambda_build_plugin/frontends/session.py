"""What all frontends share: the flags, the progress, and the report to show.

The last part is for frontends inside a host: Poetry and PDM.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lambda_build_plugin.config.options import KEYS
from lambda_build_plugin.config.sources import SettingsSource
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.frontends.colour import coloured, shows_colours
from lambda_build_plugin.frontends.extras import MissingExtraError
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.frontends.result_files import (
    ReportFileError,
    check_result_file,
    write_result,
)
from lambda_build_plugin.frontends.terminal import Progress, TerminalReporter, moves
from lambda_build_plugin.lock.errors import NotLockedError, StaleLockError
from lambda_build_plugin.lock.formats import DEFAULT_NAMES
from lambda_build_plugin.pipeline.host import read_host
from lambda_build_plugin.pipeline.outputs import PAGE, REPORT, SBOM, result_problem
from lambda_build_plugin.progress import Reporter
from lambda_build_plugin.report import as_json, as_text, error_as_json
from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lambda_build_plugin.config.settings import Host, Settings
    from lambda_build_plugin.pipeline.outputs import ResultKind
    from lambda_build_plugin.report import BuildReport

__all__ = ["Session", "Shown", "run_command", "with_host_lock", "write_failure"]

_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The forms of a report."""

    document: Callable[[], str]
    """Writes it as JSON."""

    text: Callable[[], str]
    """Writes it for people, with its warnings."""

    warnings: str
    """Lines for standard error, beside the JSON document."""

    page: Callable[[], str] | None
    """Writes it as a page for the browser; None if nothing was built."""

    sbom: Callable[[], str] | None
    """Lists what is in the zips (CycloneDX); None if nothing was built."""


@dataclass(frozen=True, kw_only=True)
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
        """Start a session on this machine.

        Raises:
            SettingsError: The current folder does not exist, or there is no folder for the cache.
        """
        cache_dir = options.get("cache-dir")
        return cls(
            options=options,
            host=read_host(environ, str(cache_dir) if cache_dir else None),
            quiet=quiet,
            verbose=verbose,
        )

    def flags(self) -> SettingsSource:
        """Return the flags as the strongest source of settings."""
        names = {option.key: option.names[0] for option in OPTIONS}
        return SettingsSource(
            values={key: self.options.get(key) for key in KEYS},
            spell=lambda key: f"--{names[key]}",
            base=self.host.cwd,
        )

    def reporter(self, stream: TextIO, *, plain: bool = False, several: bool = False) -> Reporter:
        """Choose how to show progress.

        Args:
            stream: Where to show it.
            plain: Whether no line is ever overwritten.
            several: Whether there are several artifacts, whose lines have to be told apart.
        """
        if self.quiet:
            return Reporter()
        live = not plain and moves(stream, self.host.environ)
        return TerminalReporter(stream, verbose=self.verbose, live=live, several=several)

    def check_result_files(self, artifacts: Sequence[Settings]) -> None:
        """Check before the build that the report, the page and the SBOM can be written.

        Raises:
            MissingExtraError: The library for the SBOM is not installed.
            ReportFileError: A file cannot be written, or two of them have the same path.
        """
        files = self._result_files()
        if SBOM in files and find_spec("cyclonedx") is None:
            raise MissingExtraError("--sbom", library="cyclonedx-python-lib", extra="sbom")
        seen: dict[str, ResultKind] = {}
        for kind, file in files.items():
            check_result_file(file, kind, artifacts)
            other = seen.setdefault(os.path.realpath(file), kind)
            if other is not kind:
                problem = f"is also the file of --{other.option}"
                raise ReportFileError(file, problem, option=kind.option)

    @property
    def artifact_names(self) -> Sequence[str]:
        """The names of the artifacts to build; empty to build all."""
        named = self.options.get("artifact")
        return [str(name) for name in named] if isinstance(named, (list, tuple)) else []

    def build(self, artifacts: Sequence[Settings], *, plain: bool = False) -> None:
        """Build, show the progress, and show the report.

        Raises:
            LambdaBuildError: With the reason and how to fix it. Nothing is left behind.
        """
        from lambda_build_plugin.pipeline.build import build_all

        self.check_result_files(artifacts)
        reporter = self.reporter(sys.stderr, plain=plain, several=len(artifacts) > 1)
        with reporter.live():
            results = build_all(artifacts, reporter)
        self.show(results, sys.stdout, sys.stderr)

    def show(self, results: Sequence[BuildReport], output: TextIO, errors: TextIO) -> None:
        """Write the report where the options ask for it."""
        warnings = dict.fromkeys(chain.from_iterable(result["warnings"] for result in results))
        self.write(
            Shown(
                document=lambda: as_json(results),
                text=lambda: "\n".join(as_text(each, verbose=self.verbose) for each in results),
                warnings="".join(f"warning: {warning}\n" for warning in warnings),
                page=lambda: self.page({"": results}),
                sbom=lambda: self.sbom(results),
            ),
            output,
            errors,
        )

    def write(self, shown: Shown, output: TextIO, errors: TextIO) -> None:
        """Write a report as JSON, as text and as a page, as the options ask for it."""
        texts = {REPORT: shown.document, PAGE: shown.page, SBOM: shown.sbom}
        for kind, file in self._result_files().items():
            if (text := texts[kind]) is not None:
                write_result(file, text())
        if self.options.get("json"):
            # Standard output contains nothing but the report, for the program that reads it.
            if not self.quiet:
                _write(Progress(errors), shown.warnings)
            _write(output, shown.document())
        elif not self.quiet:
            plain = shown.text()
            is_coloured = shows_colours(output, self.host.environ)
            _write(output, coloured(plain) if is_coloured else plain)

    def page(self, results: Mapping[str, Sequence[BuildReport]]) -> str:
        """Show what was built on one page, by the labels of the projects."""
        from lambda_build_plugin.page.render import render
        from lambda_build_plugin.page.views import of_build

        return render(
            [
                of_build(report, label, cwd=self.host.cwd)
                for label, reports in results.items()
                for report in reports
            ]
        )

    def sbom(self, results: Sequence[BuildReport]) -> str:
        """List what is in the zips."""
        from lambda_build_plugin.commands.sbom import sbom

        return sbom(results, epoch=self.host.environ.get("SOURCE_DATE_EPOCH"))

    def _result_files(self) -> dict[ResultKind, Path]:
        """Give the files that the options name for the report and the page."""
        return {
            kind: self.host.cwd / str(named)
            for kind in (REPORT, PAGE, SBOM)
            if (named := self.options.get(kind.option)) is not None
        }


def write_failure(
    error: LambdaBuildError, options: Mapping[str, object], *, cwd: Path, output: TextIO
) -> None:
    """Write why a command failed as JSON, if and where the options ask for a document.

    Args:
        error: What has ended the command.
        options: Values by the key of `OPTIONS`; `json` and `report` are read.
        cwd: What `--report` is relative to.
        output: Standard output.

    Raises:
        OSError: Standard output cannot be written. A file that cannot is passed over, since
            it may be the reason for the failure.
    """
    cannot = isinstance(error, ReportFileError) and error.option == REPORT.option
    if (named := options.get(REPORT.option)) and not cannot:
        file = cwd / str(named)
        # What is there and is not a report is not ours; that may be what the error is about.
        with suppress(OSError):
            if not result_problem((), file, REPORT):
                write_result(file, error_as_json(error))
    if options.get("json"):
        _write(output, error_as_json(error))


def _write(stream: TextIO | Progress, text: str) -> None:
    """Write a text, with escapes for characters that the stream's encoding does not have."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


# --- frontends inside a host ----------------------------------------------------------


def run_command(
    build: Callable[[], None], options: Mapping[str, object], *, command: str, verbose: bool
) -> int:
    """Run the build of a host's command and return the exit code; failures go to stderr.

    Args:
        build: Builds and shows the report.
        options: Values by the key of `OPTIONS`, which say whether failures are written as JSON.
        command: The host's command, for messages.
        verbose: Whether to show all of a message.
    """
    # As in the console script: collecting garbage is not worth it, also not at the very end,
    # when Python would do so once more.
    gc.disable()
    try:
        build()
    except LambdaBuildError as error:
        text = error.text(verbose=verbose)
        print(text.replace("`lambda-build --", f"`{command} --"), file=sys.stderr)
        write_failure(error, options, cwd=Path.cwd(), output=sys.stdout)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    finally:
        gc.freeze()
        gc.enable()
    return 0


def with_host_lock(
    settings: Settings,
    path: Path,
    *,
    is_locked: Callable[[], bool],
    is_fresh: Callable[[], bool],
    judge: str,
    remedy: str,
) -> Settings:
    """Use the host's own lock, unless the settings name another one, and have the host check it.

    Args:
        settings: As the user requested them.
        path: The path of the host's lock.
        is_locked: Tells whether that lock exists.
        is_fresh: Tells whether it matches pyproject.toml.
        judge: What tells that, such as `Poetry's content hash`.
        remedy: The command that makes or refreshes the lock.

    Raises:
        LockError: The lock is missing or out of date.
    """
    if settings.lock is not None and settings.lock.resolve() != path.resolve():
        return settings
    if not is_locked():
        if settings.lock is None and settings.project.needs_no_lock:
            return settings
        folder = settings.project.root
        others = [name for name in DEFAULT_NAMES if (folder / name).is_file()]
        raise NotLockedError(path, remedy=remedy, others=others)
    if not is_fresh():
        lines = _changes(path, settings) or [f"- {judge} says so"]
        raise StaleLockError(path, lines, remedy=remedy)
    return replace(settings, lock=path, lock_is_fresh=True)


def _changes(path: Path, settings: Settings) -> Sequence[str]:
    """Ask our own reader which requirements have changed; it may not know."""
    from lambda_build_plugin.lock.read import read_lock

    try:
        read_lock(path, settings.project, settings.host.environ)
    except StaleLockError as error:
        return error.differences
    except LambdaBuildError:
        return ()
    return ()
